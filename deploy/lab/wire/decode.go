package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Decode reads a JSON 1.1 body into an SDK input struct: times from epoch
// seconds, []byte from base64, null as absent. What does not fit is a
// SerializationException in AWS's words. Members that the struct does not have
// are ignored, as AWS ignores them.
func Decode(body []byte, in any) error {
	_, err := decode(body, in)
	return err
}

// Decode reads the request's body as the function [Decode] does, and has the
// recorded call tell which members were unknown.
func (r Request) Decode(in any) error {
	unknown, err := decode(r.Body, in)
	r.notes.add(unknown)
	return err
}

func decode(body []byte, in any) (unknown []string, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var tree any
	if len(bytes.TrimSpace(body)) == 0 {
		tree = map[string]any{} // clients may send nothing for an empty input
	} else if err := d.Decode(&tree); err != nil {
		return nil, malformed("")
	} else if _, err := d.Token(); err != io.EOF {
		return nil, malformed("")
	}
	s := setter{}
	if err := s.set(reflect.ValueOf(in).Elem(), tree, ""); err != nil {
		return nil, err
	}
	slices.Sort(s.unknown)
	return s.unknown, nil
}

func malformed(message string) *Error {
	return &Error{Code: "SerializationException", Message: message}
}

// setter copies a JSON tree into a struct and collects what it has no place
// for.
type setter struct {
	unknown []string
}

func (s *setter) set(v reflect.Value, tree any, path string) error {
	if tree == nil {
		return nil
	}
	switch {
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return s.set(p.Elem(), tree, path)
	case v.Type() == timeType:
		return setTime(v, tree)
	case v.Kind() == reflect.Struct:
		return s.setStruct(v, tree, path)
	case v.Kind() == reflect.Map:
		return s.setMap(v, tree, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return setBlob(v, tree)
	case v.Kind() == reflect.Slice:
		return s.setList(v, tree, path)
	case v.Kind() == reflect.Interface && v.NumMethod() == 0:
		v.Set(reflect.ValueOf(tree))
		return nil
	default:
		return setScalar(v, tree)
	}
}

func (s *setter) setStruct(v reflect.Value, tree any, path string) error {
	m, ok := tree.(map[string]any)
	if !ok {
		return unexpected(tree, "a structure")
	}
	members := membersOf(v.Type())
	for name, value := range m {
		i := slices.IndexFunc(members, func(f member) bool { return f.name == name })
		if i < 0 {
			s.unknown = append(s.unknown, join(path, name))
			continue
		}
		if err := s.set(v.Field(members[i].index), value, join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *setter) setMap(v reflect.Value, tree any, path string) error {
	m, ok := tree.(map[string]any)
	if !ok {
		return unexpected(tree, "a map")
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(m)))
	for key, value := range m {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := s.set(e, value, join(path, key)); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
	}
	return nil
}

func (s *setter) setList(v reflect.Value, tree any, path string) error {
	list, ok := tree.([]any)
	if !ok {
		return unexpected(tree, "a list")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, value := range list {
		if err := s.set(v.Index(i), value, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func setTime(v reflect.Value, tree any) error {
	n, ok := tree.(json.Number)
	if !ok {
		return unexpected(tree, "milliseconds since epoch")
	}
	f, err := n.Float64()
	if err != nil || math.Abs(f) > 1e11 {
		return malformed(string(n) + " can not be converted to milliseconds since epoch")
	}
	v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(f * 1000))).UTC()))
	return nil
}

func setBlob(v reflect.Value, tree any) error {
	text, ok := tree.(string)
	if !ok {
		return unexpected(tree, "a Blob")
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return malformed("")
	}
	v.SetBytes(b)
	return nil
}

func setScalar(v reflect.Value, tree any) error {
	switch v.Kind() {
	case reflect.String:
		if text, ok := tree.(string); ok {
			v.SetString(text)
			return nil
		}
		return unexpected(tree, "a String")
	case reflect.Bool:
		if b, ok := tree.(bool); ok {
			v.SetBool(b)
			return nil
		}
		return unexpected(tree, "a Boolean")
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, ok := tree.(json.Number)
		if !ok {
			return unexpected(tree, map[bool]string{true: "a Long", false: "an Integer"}[v.Kind() == reflect.Int64])
		}
		i, err := n.Int64()
		if err != nil || v.OverflowInt(i) {
			return malformed("")
		}
		v.SetInt(i)
		return nil
	case reflect.Float32, reflect.Float64:
		n, ok := tree.(json.Number)
		if !ok {
			return unexpected(tree, "a Double")
		}
		f, err := n.Float64()
		if err != nil {
			return malformed("")
		}
		v.SetFloat(f)
		return nil
	default:
		return malformed("")
	}
}

// unexpected words a value of the wrong kind as AWS's parser does.
func unexpected(tree any, want string) error {
	switch tree := tree.(type) {
	case map[string]any:
		return malformed("Start of structure or map found where not expected.")
	case []any:
		return malformed("Start of list found where not expected")
	case string:
		return malformed("STRING_VALUE can not be converted to " + want)
	case json.Number:
		return malformed("NUMBER_VALUE can not be converted to " + want)
	case bool:
		return malformed(map[bool]string{true: "TRUE_VALUE", false: "FALSE_VALUE"}[tree] + " can not be converted to " + want)
	default:
		return malformed("")
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
