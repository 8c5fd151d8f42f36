package wire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

var timeType = reflect.TypeFor[time.Time]()

// Encode writes an answer as AWS JSON. A struct's members are its exported
// fields under the names of their json tags or their own, without the SDK's
// ResultMetadata; nil members
// and empty strings of named types (unset enums) are left out. Times are epoch
// seconds, []byte is base64, map keys are sorted. nil is an empty object, and
// json.RawMessage is taken as it is.
func Encode(v any) ([]byte, error) {
	if v == nil {
		return []byte("{}"), nil
	}
	return appendValue(nil, reflect.ValueOf(v))
}

func appendValue(b []byte, v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.Invalid:
		return append(b, "null"...), nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return appendValue(b, v.Elem())
	case reflect.Struct:
		if v.Type() == timeType {
			return appendTime(b, v.Interface().(time.Time)), nil
		}
		return appendStruct(b, v)
	case reflect.Map:
		return appendMap(b, v)
	case reflect.Slice, reflect.Array:
		return appendList(b, v)
	case reflect.String:
		return appendString(b, v.String()), nil
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64), nil
	default:
		return nil, fmt.Errorf("encode an answer: %s has no form in JSON", v.Type())
	}
}

func appendStruct(b []byte, v reflect.Value) ([]byte, error) {
	b = append(b, '{')
	first := true
	for _, m := range membersOf(v.Type()) {
		f := v.Field(m.index)
		if absent(f) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, m.name), ':')
		var err error
		if b, err = appendValue(b, f); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// absent reports whether a member is one that the SDK would not have been
// sent.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	case reflect.String: // enums; other strings are pointers in the SDK
		return v.Len() == 0 && v.Type().PkgPath() != ""
	default:
		return false
	}
}

func appendMap(b []byte, v reflect.Value) ([]byte, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("encode an answer: %s has keys that are not strings", v.Type())
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k.String()), ':')
		var err error
		if b, err = appendValue(b, v.MapIndex(k)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendList(b []byte, v reflect.Value) ([]byte, error) {
	if raw, ok := v.Interface().(json.RawMessage); ok {
		return append(b, bytes.TrimSpace(raw)...), nil
	}
	if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes())
		return append(b, '"'), nil
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendTime writes epoch seconds to the millisecond, as AWS prints them:
// 1.523477145713E9.
func appendTime(b []byte, t time.Time) []byte {
	s := strconv.FormatFloat(float64(t.UnixMilli())/1000, 'E', -1, 64)
	mantissa, exponent, _ := strings.Cut(s, "E")
	b = append(b, mantissa...)
	if !strings.Contains(mantissa, ".") {
		b = append(b, ".0"...)
	}
	n, _ := strconv.Atoi(exponent)
	return strconv.AppendInt(append(b, 'E'), int64(n), 10)
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if plain(s) {
		return append(append(b, s...), '"')
	}
	for _, r := range s { // invalid UTF-8 becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

// plain reports whether a string stands for itself in JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// member is a field that goes over the wire.
type member struct {
	name  string
	index int
}

// lowerCase names the SDK's types whose members begin in lower case on the
// wire; everywhere else a member is spelled as its field.
var lowerCase = map[string]bool{
	"AssociationFilter":         true, // ssm
	"CommandFilter":             true,
	"DocumentFilter":            true,
	"InstanceInformationFilter": true,
	"InstancePropertyFilter":    true,
	"SessionFilter":             true,
	"DescribeTrailsInput":       true, // cloudtrail; "includeShadowTrails", "trailNameList"
	"DescribeTrailsOutput":      true,
}

var membersCache sync.Map // reflect.Type to []member

func membersOf(t reflect.Type) []member {
	if m, ok := membersCache.Load(t); ok {
		return m.([]member)
	}
	var list []member
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Name == "ResultMetadata" {
			continue
		}
		name := cmp.Or(f.Tag.Get("json"), f.Name) // the SDK has no tags; services' own types may
		if lowerCase[t.Name()] {
			name = strings.ToLower(name[:1]) + name[1:]
		}
		list = append(list, member{name: name, index: i})
	}
	m, _ := membersCache.LoadOrStore(t, list)
	return m.([]member)
}
