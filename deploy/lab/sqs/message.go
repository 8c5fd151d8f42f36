package sqs

import (
	"crypto/md5" // AWS's choice; SDKs check it
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxMessage bounds a message with its attributes, and a batch, in bytes.
const maxMessage = 1048576

// message is one copy of a message in a queue.
type message struct {
	id         string
	body       string
	attributes map[string]Attribute
	system     map[string]string // as the caller gave them: AWSTraceHeader
	sender     string
	sent       time.Time
	first      time.Time // receive
	receives   int
	visible    time.Time // from when on it can be received
	handle     string    // of the last receive; an older one deletes nothing
	origin     string    // ARN of the queue it was a dead letter of
}

// Attribute is a message attribute.
type Attribute struct {
	DataType    string // String, Number, Binary, or one of them with a suffix: Number.int
	StringValue *string
	BinaryValue []byte
}

// attributeInput is an attribute on the wire.
type attributeInput struct {
	DataType         *string
	StringValue      *string
	BinaryValue      []byte
	StringListValues []string
	BinaryListValues [][]byte
}

var attributeName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,256}$`)

// readAttributes checks attributes of a kind, user or system.
func readAttributes(in map[string]attributeInput) (map[string]Attribute, error) {
	if len(in) > 10 {
		return nil, errParameter(fmt.Sprintf("Number of message attributes [%d] exceeds the allowed maximum [10].", len(in)))
	}
	out := map[string]Attribute{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		a := in[name]
		if !attributeName.MatchString(name) {
			return nil, errParameter("Message (user) attribute name '" + name + "' is invalid.")
		}
		if a.DataType == nil || *a.DataType == "" {
			return nil, errParameter("The message attribute '" + name + "' must contain a non-empty message attribute type.")
		}
		kind, _, _ := strings.Cut(*a.DataType, ".")
		switch {
		case kind != "String" && kind != "Number" && kind != "Binary":
			return nil, errParameter("The message attribute '" + name +
				"' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.")
		case kind == "Binary" && len(a.BinaryValue) == 0, kind != "Binary" && (a.StringValue == nil || *a.StringValue == ""):
			return nil, errParameter("Message (user) attribute '" + name + "' must contain a non-empty value of type '" +
				map[bool]string{true: "Binary", false: "String"}[kind == "Binary"] + "'.")
		}
		out[name] = Attribute{DataType: *a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue}
	}
	return out, nil
}

// size is what counts against the limits.
func size(body string, attributes map[string]Attribute) int {
	n := len(body)
	for name, a := range attributes {
		n += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			n += len(*a.StringValue)
		}
	}
	return n
}

func md5Of(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is the checksum that SDKs compare: over names, types and
// values in the order of names, each after its length.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func md5OfAttributes(attributes map[string]Attribute) string {
	var b []byte
	put := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		put(name)
		put(a.DataType)
		if a.StringValue != nil {
			b = append(b, 1)
			put(*a.StringValue)
		} else {
			b = append(b, 2)
			put(string(a.BinaryValue))
		}
	}
	return md5Of(string(b))
}

// legible tells whether a body has only characters that SQS takes.
func legible(body string) bool {
	return !strings.ContainsFunc(body, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

// uuid returns a version 4 UUID from the seed.
func (s *Service) uuid() string {
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

// newHandle returns a receipt handle that names the message.
func (s *Service) newHandle(m *message) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s %s %d", m.id, s.uuid(), m.receives))
}

// isHandle tells whether a text is one of the lab's receipt handles.
func isHandle(handle string) bool {
	b, err := base64.StdEncoding.DecodeString(handle)
	return err == nil && len(strings.Fields(string(b))) == 3
}
