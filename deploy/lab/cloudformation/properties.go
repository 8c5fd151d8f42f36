package cloudformation

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// document is a JSON document inside of a template: a policy, a filter, an
// SSM document. It stands in the template as an object or as its text.
type document json.RawMessage

// MarshalJSON implements json.Marshaler.
func (d document) MarshalJSON() ([]byte, error) { return d, nil }

var documentType = reflect.TypeFor[document]()

// Tag is a tag of a resource.
type Tag struct {
	Key   string `cfn:"required"`
	Value string `cfn:"required"`
}

// parse reads properties into a struct, whose fields are all the properties
// that there are. The tag `cfn` of a field lists what is to be known of it:
// required, fixed (to change it is to make another resource) and name (fixed,
// and the name of the resource). Scalars become what is wanted of them where
// their text allows it, as in CloudFormation. The error tells all that is
// wrong. A text may have the tag `pattern` beside it, a regular expression.
func parse(properties map[string]any, into any) error {
	p := parser{}
	p.object(reflect.ValueOf(into).Elem(), properties, "#")
	if len(p.wrong) > 0 {
		return fmt.Errorf("[%s]", strings.Join(p.wrong, ", "))
	}
	return nil
}

type parser struct{ wrong []string }

func (p *parser) complain(format string, a ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf(format, a...))
}

func (p *parser) object(v reflect.Value, m map[string]any, path string) {
	t := v.Type()
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if f, ok := t.FieldByName(name); ok {
			p.value(v.FieldByIndex(f.Index), m[name], path+"/"+name)
		} else {
			p.complain("%s: extraneous key [%s] is not permitted", path, name)
		}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		_, given := m[f.Name]
		pattern := f.Tag.Get("pattern")
		switch {
		case !given && marked(f, "required"):
			p.complain("%s: required key [%s] not found", path, f.Name)
		case given && pattern != "" && !regexp.MustCompile(pattern).MatchString(v.Field(i).String()):
			p.complain("%s/%s: failed validation constraint for keyword [pattern]", path, f.Name)
		}
	}
}

// marked tells whether a field's tag has a word.
func marked(f reflect.StructField, word string) bool {
	return slices.Contains(strings.Split(f.Tag.Get("cfn"), ","), word)
}

func (p *parser) value(v reflect.Value, tree any, path string) {
	switch {
	case v.Type() == documentType:
		p.document(v, tree, path)
		return
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		p.value(v.Elem(), tree, path)
		return
	case v.Kind() == reflect.Interface:
		v.Set(reflect.ValueOf(tree))
		return
	}
	switch tree := tree.(type) {
	case map[string]any:
		switch v.Kind() {
		case reflect.Struct:
			p.object(v, tree, path)
			return
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			for _, key := range slices.Sorted(maps.Keys(tree)) {
				e := reflect.New(v.Type().Elem()).Elem()
				p.value(e, tree[key], path+"/"+key)
				v.SetMapIndex(reflect.ValueOf(key), e)
			}
			return
		}
	case []any:
		if v.Kind() == reflect.Slice {
			v.Set(reflect.MakeSlice(v.Type(), len(tree), len(tree)))
			for i, e := range tree {
				p.value(v.Index(i), e, path+"/"+strconv.Itoa(i))
			}
			return
		}
	default:
		if setScalar(v, fmt.Sprint(tree)) {
			return
		}
	}
	p.complain("%s: expected type: %s, found: %s", path, wantedType(v), foundType(tree))
}

func setScalar(v reflect.Value, text string) bool {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return true
	case reflect.Bool:
		v.SetBool(text == "true")
		return text == "true" || text == "false"
	case reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		v.SetInt(n)
		return err == nil
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		v.SetFloat(n)
		return err == nil
	}
	return false
}

func (p *parser) document(v reflect.Value, tree any, path string) {
	text, isText := tree.(string)
	if !isText {
		b, err := marshal(tree)
		if err != nil {
			p.complain("%s: %v", path, err)
			return
		}
		text = string(b)
	}
	if !json.Valid([]byte(text)) || !strings.HasPrefix(strings.TrimSpace(text), "{") {
		p.complain("%s: expected type: JSONObject, found: %s", path, foundType(tree))
		return
	}
	v.SetBytes([]byte(text))
}

func wantedType(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		return "JSONObject"
	case reflect.Slice:
		return "JSONArray"
	case reflect.Bool:
		return "Boolean"
	case reflect.Int64:
		return "Integer"
	case reflect.Float64:
		return "Number"
	default:
		return "String"
	}
}

func foundType(tree any) string {
	switch tree.(type) {
	case map[string]any:
		return "JSONObject"
	case []any:
		return "JSONArray"
	case bool:
		return "Boolean"
	case json.Number:
		return "Number"
	default:
		return "String"
	}
}
