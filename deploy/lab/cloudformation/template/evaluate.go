package template

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Lookup returns what a resource became: what Ref gives for "", else what
// GetAtt gives for an attribute.
type Lookup func(id, attribute string) (string, error)

// nothing is AWS::NoValue: it takes away what it stands for.
type nothing struct{}

// evaluator replaces functions by their values.
type evaluator struct {
	plan *Plan
	look Lookup // nil in conditions, where there are no resources
}

// value returns a tree without functions.
func (e evaluator) value(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if name, argument, ok := call(v); ok {
			return e.call(name, argument)
		}
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			inner, err := e.value(v[key])
			if err != nil {
				return nil, err
			}
			if inner != (nothing{}) {
				out[key] = inner
			}
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			inner, err := e.value(item)
			if err != nil {
				return nil, err
			}
			if inner != (nothing{}) {
				out = append(out, inner)
			}
		}
		return out, nil
	default:
		return v, nil
	}
}

// call takes a function apart. A map with more than one key is none; see check.
func call(m map[string]any) (name string, argument any, ok bool) {
	if len(m) != 1 {
		return "", nil, false
	}
	for name, argument = range m {
	}
	return name, argument, isFunction(name)
}

func isFunction(key string) bool { return key == "Ref" || strings.HasPrefix(key, "Fn::") }

func (e evaluator) call(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		return e.ref(argument)
	case "Fn::GetAtt":
		return e.getAtt(argument)
	case "Fn::If":
		branch, err := e.branch(argument)
		if err != nil {
			return nil, err
		}
		return e.value(branch)
	case "Fn::Sub":
		return e.sub(argument)
	case "Fn::Join":
		return e.join(argument)
	case "Fn::Select":
		return e.selected(argument)
	case "Fn::Split":
		return e.split(argument)
	case "Fn::FindInMap":
		return e.findInMap(argument)
	case "Fn::Base64":
		v, err := e.value(argument)
		if err != nil {
			return nil, err
		}
		s, ok := scalarText(v)
		if !ok {
			return nil, invalid("Template error: every Fn::Base64 object must have a String-typed value.")
		}
		return base64.StdEncoding.EncodeToString([]byte(s)), nil
	default:
		return nil, unknownFunction(name)
	}
}

func unknownFunction(name string) error {
	return invalid("Template format error: the function %s is not known here", name)
}

func (e evaluator) ref(argument any) (any, error) {
	id, ok := argument.(string)
	if !ok || id == "" {
		return nil, invalid("Template format error: every Ref object must have a single String value.")
	}
	if v, ok := e.plan.pseudo(id); ok {
		return v, nil
	}
	if v, ok := e.plan.parameter(id); ok {
		return v, nil
	}
	return e.resource(id, "")
}

// resource asks for what a resource became.
func (e evaluator) resource(id, attribute string) (any, error) {
	if e.look == nil {
		return nil, invalid("Template format error: Unresolved dependencies [%s]. Cannot reference resources in the Conditions block of the template", id)
	}
	if !e.plan.exists(id) {
		return nil, unresolved("Resources", id)
	}
	return e.look(id, attribute)
}

func unresolved(block string, ids ...string) error {
	return invalid("Template format error: Unresolved resource dependencies [%s] in the %s block of the template", listed(ids), block)
}

// attribute returns the two parts of a GetAtt.
func attribute(argument any) (id, name string, err error) {
	if s, ok := argument.(string); ok { // the long form in YAML takes A.B as well
		id, name, _ = strings.Cut(s, ".")
	} else if list, ok := argument.([]any); ok && len(list) == 2 {
		id, _ = list[0].(string)
		name, _ = list[1].(string)
	}
	if id == "" || name == "" {
		return "", "", invalid("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute")
	}
	return id, name, nil
}

func (e evaluator) getAtt(argument any) (any, error) {
	id, name, err := attribute(argument)
	if err != nil {
		return nil, err
	}
	return e.resource(id, name)
}

// branch returns the one of two trees that a condition chooses.
func (e evaluator) branch(argument any) (any, error) {
	list, ok := argument.([]any)
	if !ok || len(list) != 3 {
		return nil, invalid("Template error: Fn::If requires a list argument with three elements")
	}
	name, ok := list[0].(string)
	if !ok {
		return nil, invalid("Template error: Fn::If requires a list argument with the first element being a condition")
	}
	holds, err := e.plan.condition(name)
	if err != nil {
		return nil, err
	}
	if holds {
		return list[1], nil
	}
	return list[2], nil
}

// list evaluates an argument that is, or becomes, a list.
func (e evaluator) list(v any) ([]any, bool, error) {
	v, err := e.value(v)
	if err != nil {
		return nil, false, err
	}
	list, ok := v.([]any)
	return list, ok, nil
}

func (e evaluator) join(argument any) (any, error) {
	const usage = "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and " +
		"(2) a list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
	pair, _ := argument.([]any)
	if len(pair) != 2 {
		return nil, Error(usage)
	}
	delimiter, ok := pair[0].(string)
	list, isList, err := e.list(pair[1])
	if err != nil {
		return nil, err
	}
	if !ok || !isList {
		return nil, Error(usage)
	}
	parts := make([]string, len(list))
	for i, v := range list {
		if parts[i], ok = scalarText(v); !ok {
			return nil, Error(usage)
		}
	}
	return strings.Join(parts, delimiter), nil
}

func (e evaluator) split(argument any) (any, error) {
	const usage = "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and " +
		"(2) a string to be split or a function that returns a string to be split."
	pair, _ := argument.([]any)
	if len(pair) != 2 {
		return nil, Error(usage)
	}
	v, err := e.value(pair[1])
	if err != nil {
		return nil, err
	}
	delimiter, ok := pair[0].(string)
	s, isText := scalarText(v)
	if !ok || !isText || delimiter == "" {
		return nil, Error(usage)
	}
	var list []any
	for part := range strings.SplitSeq(s, delimiter) {
		list = append(list, part)
	}
	return list, nil
}

func (e evaluator) selected(argument any) (any, error) {
	const usage = "Template error: every Fn::Select object requires two parameters, the index and list"
	pair, _ := argument.([]any)
	if len(pair) != 2 {
		return nil, Error(usage)
	}
	index, err := e.value(pair[0])
	if err != nil {
		return nil, err
	}
	list, isList, err := e.list(pair[1])
	if err != nil {
		return nil, err
	}
	s, ok := scalarText(index)
	i, notNumber := strconv.Atoi(s)
	if !ok || notNumber != nil || !isList {
		return nil, Error(usage)
	}
	if i < 0 || i >= len(list) {
		return nil, invalid("Template error: Fn::Select cannot select nonexistent value at index %d", i)
	}
	return list[i], nil
}

func (e evaluator) findInMap(argument any) (any, error) {
	triple, _ := argument.([]any)
	keys := make([]string, len(triple))
	for i, v := range triple {
		v, err := e.value(v)
		if err != nil {
			return nil, err
		}
		keys[i], _ = scalarText(v)
	}
	if len(keys) != 3 || slices.Contains(keys, "") {
		return nil, invalid("Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value")
	}
	m, known := e.plan.template.mappings[keys[0]].(map[string]any)
	if !known {
		return nil, invalid("Template error: Mapping named '%s' is not present in the 'Mappings' section of template.", keys[0])
	}
	row, _ := m[keys[1]].(map[string]any)
	v, found := row[keys[2]]
	if !found {
		return nil, invalid("Template error: Unable to get mapping for %s", strings.Join(keys, "::"))
	}
	return v, nil
}

// scalarText returns a scalar as it stands in a string.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		return "", false
	}
}
