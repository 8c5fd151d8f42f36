package template

import (
	"maps"
	"slices"
	"strings"
)

// children tells the references of one node of a tree, and its inner trees.
func children(v any, found func(reference), inner func(any) error) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := inner(e); err != nil {
				return err
			}
		}
	case map[string]any:
		name, argument, ok := call(v)
		switch {
		case ok && name == "Ref":
			id, _ := argument.(string)
			found(reference{id, ""})
			return nil
		case ok && name == "Fn::GetAtt":
			id, attr, err := attribute(argument)
			found(reference{id, attr})
			return err
		case ok && name == "Fn::Sub":
			return subChildren(argument, found, inner)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := inner(v[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func subChildren(argument any, found func(reference), inner func(any) error) error {
	text, variables, err := subArguments(argument)
	if err != nil {
		return err
	}
	err = parts(text, func(string) error { return nil }, func(name string) error {
		if _, own := variables[name]; !own {
			id, attr, _ := strings.Cut(name, ".")
			found(reference{id, attr})
		}
		return nil
	})
	if err != nil || variables == nil {
		return err
	}
	return inner(variables)
}

// check holds the whole template, branches that are not taken included, against
// itself: everything that it names must be there.
func (t *Template) check() error {
	for _, id := range slices.Sorted(maps.Keys(t.resources)) {
		r := t.resources[id]
		if err := t.checkCondition("Resources", r.condition); err != nil {
			return err
		}
		for _, other := range r.dependsOn {
			if t.resources[other].kind == "" {
				return unresolved("Resources", other)
			}
		}
		if err := t.checkTree("Resources", r.properties); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.outputs)) {
		o := t.outputs[id]
		if err := t.checkCondition("Outputs", o.condition); err != nil {
			return err
		}
		if err := t.checkTree("Outputs", []any{o.value, o.export}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Template) checkCondition(block, name string) error {
	if _, ok := t.conditions[name]; name != "" && !ok {
		return invalid("Template format error: Unresolved condition dependency %s in the %s block of the template", name, block)
	}
	return nil
}

// checkTree finds unknown functions and what they name that is not there.
func (t *Template) checkTree(block string, v any) error {
	if s, ok := v.(string); ok && strings.Contains(s, "{{resolve:") {
		return invalid("Template format error: dynamic references are not known here: %s", s)
	}
	if m, ok := v.(map[string]any); ok {
		for key := range m {
			if strings.HasPrefix(key, "Fn::") && !valueFunctions[key] {
				return unknownFunction(key)
			}
			if isFunction(key) && len(m) > 1 {
				return invalid("Template format error: %s stands beside other keys", key)
			}
		}
		if arguments, ok := m["Fn::If"].([]any); ok && len(arguments) > 0 {
			name, _ := arguments[0].(string)
			if err := t.checkCondition(block, name); err != nil {
				return err
			}
		}
	}
	var missing []string
	err := children(v, func(r reference) {
		_, isPseudo := (&Plan{}).pseudo(r.id)
		isParameter := slices.ContainsFunc(t.Parameters, func(p Parameter) bool { return p.Name == r.id })
		if t.resources[r.id].kind == "" && (r.attribute != "" || !isPseudo && !isParameter) {
			missing = append(missing, r.id)
		}
	}, func(inner any) error { return t.checkTree(block, inner) })
	if err == nil && len(missing) > 0 {
		err = unresolved(block, missing...)
	}
	return err
}

// valueFunctions are those that stand for values, see evaluator.call.
var valueFunctions = map[string]bool{
	"Fn::Base64": true, "Fn::FindInMap": true, "Fn::GetAtt": true, "Fn::If": true,
	"Fn::Join": true, "Fn::Select": true, "Fn::Split": true, "Fn::Sub": true,
}
