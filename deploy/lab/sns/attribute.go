package sns

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Attribute is an attribute of a message.
type Attribute struct {
	DataType    string // String, String.Array, Number, Binary, or one of them with a suffix
	StringValue *string
	BinaryValue []byte
}

// value is the text of an attribute in an envelope.
func (a Attribute) text() string {
	if a.StringValue != nil {
		return *a.StringValue
	}
	return string(a.BinaryValue)
}

// checkAttributes refuses what AWS does.
func checkAttributes(attributes map[string]Attribute, path string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if err := checkAttributeName(name); err != nil {
			return err
		}
		a := attributes[name]
		kind, _, _ := strings.Cut(a.DataType, ".")
		field := "String"
		if kind == "Binary" {
			field = "Binary"
		}
		switch {
		case a.DataType == "":
			return errNull(path + "messageAttributes." + name + ".member.dataType")
		case kind != "String" && kind != "Number" && kind != "Binary":
			return errAttribute("The message attribute '" + name + "' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.")
		case field == "String" && a.StringValue == nil && a.BinaryValue != nil, field == "Binary" && a.BinaryValue == nil && a.StringValue != nil:
			return errAttribute("The message attribute '" + name + "' with type '" + a.DataType + "' must use field '" + field + "'.")
		case field == "String" && (a.StringValue == nil || *a.StringValue == ""), field == "Binary" && len(a.BinaryValue) == 0:
			return errAttribute("The message attribute '" + name + "' must contain non-empty message attribute value for message attribute type '" + a.DataType + "'.")
		}
	}
	return nil
}

func checkAttributeName(name string) error {
	switch {
	case len(name) > 256:
		return errAttribute("Length of message attribute name must be less than 256 bytes.")
	case strings.HasPrefix(name, "."):
		return errAttribute("Invalid message attribute name starting with character '.' was found.")
	case strings.HasSuffix(name, "."):
		return errAttribute("Invalid message attribute name ending with character '.' was found.")
	case strings.Contains(name, ".."):
		return errAttribute("Message attribute name can not have successive '.' character.")
	}
	for _, r := range name {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.", r) {
			return errAttribute(fmt.Sprintf("Invalid non-alphanumeric character '#x%X' was found in the message attribute name. "+
				"Can only include alphanumeric characters, hyphens, underscores, or dots.", r))
		}
	}
	return nil
}
