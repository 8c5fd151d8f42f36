package pattern

import (
	"bytes"
	"encoding/json"
	"slices"
)

// parser reads a pattern's tokens in their order: the first thing wrong is
// what AWS complains about.
type parser struct{ *json.Decoder }

const errTooComplex = reason("Rule is too complex - try using fewer combinations of $or")

// reserved are the names that tell a list of matchers from a $or.
var reserved = []string{
	"exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "anything-but-prefix", "anything-but-suffix",
	"numeric", "cidr", "exists", "wildcard",
}

// object reads an object's fields below a path, its brace already read. It
// returns them as conjunctions of which one must hold.
func (p parser) object(path string) ([][]field, error) {
	all := [][]field{nil}
	if !p.More() {
		return nil, reason("Empty objects are not allowed")
	}
	for p.More() {
		t, err := p.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // the decoder lets nothing else be a name
		var value json.RawMessage
		if err := p.Decode(&value); err != nil {
			return nil, err
		}
		some, err := member(path, name, value)
		if err != nil {
			return nil, err
		}
		if all, err = multiply(all, some); err != nil {
			return nil, err
		}
	}
	_, err := p.Token()
	return all, err
}

// member reads one field of an object.
func member(path, name string, value json.RawMessage) ([][]field, error) {
	p := parser{json.NewDecoder(bytes.NewReader(value))}
	p.UseNumber()
	t, err := p.Token()
	if err != nil {
		return nil, err
	}
	switch {
	case t == json.Delim('{'):
		return p.object(join(path, name))
	case t != json.Delim('['):
		return nil, reasonf("%q must be an object or an array", name)
	case name == "$or" && isOr(value):
		return p.or(path)
	}
	f, err := p.leaf(join(path, name))
	return [][]field{{f}}, err
}

// isOr reports whether a list is that of a $or, and not of a field that
// happens to have the name: two objects or more, without names of matchers.
func isOr(value json.RawMessage) bool {
	var list []map[string]json.RawMessage
	if json.Unmarshal(value, &list) != nil || len(list) < 2 {
		return false
	}
	for _, object := range list {
		for _, name := range reserved {
			if _, ok := object[name]; ok {
				return false
			}
		}
	}
	return true
}

func (p parser) or(path string) ([][]field, error) {
	var all [][]field
	for p.More() {
		if _, err := p.Token(); err != nil {
			return nil, err
		}
		some, err := p.object(path)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func multiply(all, some [][]field) ([][]field, error) {
	if len(all)*len(some) > maxCombinations {
		return nil, errTooComplex
	}
	var product [][]field
	for _, a := range all {
		for _, b := range some {
			product = append(product, slices.Concat(a, b))
		}
	}
	return product, nil
}

// leaf reads the list of what a field may be.
func (p parser) leaf(path string) (field, error) {
	f := field{path: path}
	if !p.More() {
		return f, reason("Empty arrays are not allowed")
	}
	for p.More() {
		t, err := p.Token()
		if err != nil {
			return f, err
		}
		switch t {
		case json.Delim('['):
			return f, reason("Match value must be String, number, true, false, or null")
		case json.Delim('{'):
			if err := p.matcher(&f); err != nil {
				return f, err
			}
		default:
			f.any = append(f.any, exactly(t))
		}
	}
	return f, nil
}

// matcher reads {"prefix": …} and its like, the brace already read.
func (p parser) matcher(f *field) error {
	t, err := p.Token()
	if err != nil {
		return err
	}
	name, ok := t.(string)
	if !ok {
		return reason("Empty objects are not allowed")
	}
	var operand any
	if err := p.Decode(&operand); err != nil {
		return err
	}
	if p.More() {
		return reason("Only one key allowed in match expression")
	}
	if _, err := p.Token(); err != nil {
		return err
	}
	if name == "exists" {
		exists, ok := operand.(bool)
		if !ok {
			return reason("exists match pattern must be either true or false.")
		}
		f.none = f.none || !exists
		if exists {
			f.any = append(f.any, func(any) bool { return true })
		}
		return nil
	}
	m, err := matcherOf(name, operand)
	f.any = append(f.any, m)
	return err
}
