package sns

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// condition is one member of a key's list. It is asked of all values that a
// message has for the key: none, one, or the members of an array. They are
// strings, float64s, bools or nil.
type condition func(values []any) bool

func anyOf(test func(any) bool) condition {
	return func(values []any) bool { return slices.ContainsFunc(values, test) }
}

// noneOf is for anything-but: a value has to be there, and none that is listed.
func noneOf(test func(any) bool) condition {
	return func(values []any) bool { return len(values) > 0 && !slices.ContainsFunc(values, test) }
}

func anyText(test func(string) bool) condition {
	return anyOf(func(v any) bool {
		text, ok := v.(string)
		return ok && test(text)
	})
}

func anyNumber(test func(float64) bool) condition {
	return anyOf(func(v any) bool {
		n, ok := v.(float64)
		return ok && test(n)
	})
}

// same compares numbers to the sixth digit; the documentation says the fifth.
func same(a, b any) bool {
	x, isX := a.(float64)
	y, isY := b.(float64)
	if isX && isY {
		return math.Round(x*1e6) == math.Round(y*1e6)
	}
	return a == b
}

// exist tells whether there is a value that is neither null nor empty.
// https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html
func exist(values []any) bool {
	return slices.ContainsFunc(values, func(v any) bool { return v != nil && v != "" })
}

// takes tells whether a subscriber wants a message. A message without any
// attribute matches no policy on attributes, and a body that is no JSON object
// none on bodies.
func (f *filter) takes(attributes map[string]Attribute, body string) bool {
	if f.scope == scopeBody {
		var object map[string]any
		if json.Unmarshal([]byte(body), &object) != nil || object == nil {
			return false
		}
		return f.rule.holds(expand(object))
	}
	if len(attributes) == 0 {
		return false
	}
	object := map[string]any{}
	for name, a := range attributes {
		if values := a.values(); values != nil {
			object[name] = values
		}
	}
	return f.rule.holds(object)
}

// values are what an attribute has for a filter; Binary has nothing.
func (a Attribute) values() []any {
	kind, _, _ := strings.Cut(a.DataType, ".")
	switch {
	case a.DataType == "String.Array":
		var list []any
		if json.Unmarshal([]byte(a.text()), &list) != nil {
			return nil
		}
		return list
	case kind == "String":
		return []any{a.text()}
	case kind == "Number":
		if n, err := strconv.ParseFloat(a.text(), 64); err == nil {
			return []any{n}
		}
	}
	return nil
}

// holds tells whether the whole rule holds of a value of a message. Of an
// array one member has to satisfy all of it; what is no object has no keys.
func (r *rule) holds(value any) bool {
	if list, ok := value.([]any); ok && len(list) > 0 {
		return slices.ContainsFunc(list, r.holds)
	}
	object, _ := value.(map[string]any)
	for key, list := range r.leaves {
		values := leaves(object[key])
		if _, there := object[key]; !there {
			values = nil
		}
		if !slices.ContainsFunc(list, func(c condition) bool { return c(values) }) {
			return false
		}
	}
	for key, below := range r.nested {
		if !below.holds(object[key]) {
			return false
		}
	}
	for _, group := range r.ors {
		if !slices.ContainsFunc(group, func(a *rule) bool { return a.holds(object) }) {
			return false
		}
	}
	return true
}

// leaves are the values of a member: itself, or those in an array, of any
// depth. An object is none.
func leaves(v any) []any {
	switch v := v.(type) {
	case map[string]any:
		return nil
	case []any:
		var all []any
		for _, member := range v {
			all = append(all, leaves(member)...)
		}
		return all
	default:
		return []any{v}
	}
}

// expand turns dots in keys into steps: {"a.b":1} is {"a":{"b":1}}.
func expand(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = expand(v[i])
		}
	case map[string]any:
		out := map[string]any{}
		for key, member := range v {
			steps := strings.Split(key, ".")
			at := out
			for _, step := range steps[:len(steps)-1] {
				below, ok := at[step].(map[string]any)
				if !ok {
					below = map[string]any{}
					if other, there := at[step]; there {
						at[step] = []any{other, below} // both are there: either may match
					} else {
						at[step] = below
					}
				}
				at = below
			}
			put(at, steps[len(steps)-1], expand(member))
		}
		return out
	}
	return v
}

// put sets a member, beside what another spelling has put there.
func put(object map[string]any, key string, v any) {
	old, there := object[key]
	if !there {
		object[key] = v
		return
	}
	a, isObject := old.(map[string]any)
	b, both := v.(map[string]any)
	if !isObject || !both {
		object[key] = []any{old, v}
		return
	}
	for k, member := range b {
		put(a, k, member)
	}
}
