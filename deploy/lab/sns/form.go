package sns

import (
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/url"
	"slices"
	"strconv"
)

// form is the parameters of a request.
type form struct{ url.Values }

// optional returns a parameter, nil if it is absent.
func (f form) optional(name string) *string {
	if !f.Has(name) {
		return nil
	}
	v := f.Get(name)
	return &v
}

// members calls f with the prefix of each member of a list or entry of a map:
// Tags.member.1., Attributes.entry.1.
func (f form) members(list string, each func(prefix string)) {
	for _, kind := range []string{"member", "entry"} {
		for i := 1; ; i++ {
			prefix := list + "." + kind + "." + strconv.Itoa(i)
			if !f.has(prefix) {
				break
			}
			each(prefix + ".")
		}
	}
}

// has tells whether there is a parameter of a name, or one below it.
func (f form) has(name string) bool {
	if f.Has(name) {
		return true
	}
	for key := range f.Values {
		if len(key) > len(name) && key[len(name)] == '.' && key[:len(name)] == name {
			return true
		}
	}
	return false
}

// attributes reads a map of strings.
func (f form) attributes() map[string]string {
	m := map[string]string{}
	f.members("Attributes", func(p string) { m[f.Get(p+"key")] = f.Get(p + "value") })
	return m
}

// tags reads a list of tags.
func (f form) tags() map[string]string {
	m := map[string]string{}
	f.members("Tags", func(p string) { m[f.Get(p+"Key")] = f.Get(p + "Value") })
	return m
}

// messageAttributes reads the attributes of a message as they were sent.
func (f form) messageAttributes(prefix string) (map[string]Attribute, error) {
	m := map[string]Attribute{}
	var bad error
	f.members(prefix+"MessageAttributes", func(p string) {
		a := Attribute{DataType: f.Get(p + "Value.DataType"), StringValue: f.optional(p + "Value.StringValue")}
		if text := f.optional(p + "Value.BinaryValue"); text != nil {
			b, err := base64.StdEncoding.DecodeString(*text)
			if err != nil {
				bad = errParameter("BinaryValue")
			}
			a.BinaryValue = b
		}
		m[f.Get(p+"Name")] = a
	})
	return m, bad
}

// entries is a map in an answer.
type entries map[string]string

// MarshalXML writes the entries in the order of their keys.
func (m entries) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	type entry struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	list := struct {
		Entries []entry `xml:"entry"`
	}{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list.Entries = append(list.Entries, entry{key, m[key]})
	}
	return e.EncodeElement(list, start)
}
