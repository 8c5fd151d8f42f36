package template

import (
	"maps"
	"slices"
)

// checkRules holds the parameters against the template's rules. The words of a
// rule that fails are the template's own.
func (p *Plan) checkRules() error {
	for _, name := range slices.Sorted(maps.Keys(p.template.rules)) {
		rule, _ := p.template.rules[name].(map[string]any)
		for key := range rule {
			if key != "RuleCondition" && key != "Assertions" {
				return invalid("Template format error: Invalid template rule property '%s'", key)
			}
		}
		if condition, ok := rule["RuleCondition"]; ok {
			if applies, err := p.ruleTruth(condition); err != nil || !applies {
				if err != nil {
					return err
				}
				continue
			}
		}
		assertions, ok := rule["Assertions"].([]any)
		if !ok {
			return invalid("Template format error: the rule %s has no Assertions", name)
		}
		for _, a := range assertions {
			if err := p.assert(name, a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Plan) assert(rule string, assertion any) error {
	m, _ := assertion.(map[string]any)
	for key := range m {
		if key != "Assert" && key != "AssertDescription" {
			return invalid("Template format error: Invalid template assertion property '%s'", key)
		}
	}
	ok, err := p.ruleTruth(m["Assert"])
	if err != nil || ok {
		return err
	}
	description, _ := scalarText(m["AssertDescription"])
	return invalid("Rule %s failed: %s", rule, description)
}

// ruleTruth evaluates a rule's function: those of conditions without names,
// and those over lists.
func (p *Plan) ruleTruth(v any) (bool, error) {
	m, _ := v.(map[string]any)
	e := evaluator{plan: p}
	for name, argument := range m {
		list, _ := argument.([]any)
		switch name {
		case "Fn::Contains", "Fn::EachMemberIn", "Fn::EachMemberEquals":
			return e.members(name, list)
		case "Fn::Not":
			if len(list) == 1 {
				ok, err := p.ruleTruth(list[0])
				return !ok, err
			}
		case "Fn::And", "Fn::Or":
			if len(list) < 2 {
				break
			}
			for _, inner := range list {
				ok, err := p.ruleTruth(inner)
				if err != nil || ok == (name == "Fn::Or") {
					return ok, err
				}
			}
			return name == "Fn::And", nil
		case "Fn::Equals":
			return e.equals(argument)
		}
	}
	return false, invalid("Template format error: a rule has one of Fn::And, Fn::Contains, Fn::EachMemberEquals, Fn::EachMemberIn, Fn::Equals, Fn::Not and Fn::Or")
}

// members evaluates the functions over lists of strings.
func (e evaluator) members(name string, pair []any) (bool, error) {
	if len(pair) != 2 {
		return false, invalid("Template error: %s requires two parameters", name)
	}
	list, isList, err := e.strings(pair[0])
	if err != nil {
		return false, err
	}
	other, otherIsList, err := e.strings(pair[1])
	if err != nil {
		return false, err
	}
	if !isList || otherIsList != (name == "Fn::EachMemberIn") {
		return false, invalid("Template error: a parameter of %s is of the wrong kind", name)
	}
	if name == "Fn::Contains" {
		return slices.Contains(list, other[0]), nil
	}
	return !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(other, s) }), nil
}

// strings evaluates a string, as a list of one, or a list of strings.
func (e evaluator) strings(v any) (list []string, isList bool, err error) {
	if v, err = e.value(v); err != nil {
		return nil, false, err
	}
	values, isList := v.([]any)
	if !isList {
		values = []any{v}
	}
	for _, v := range values {
		s, ok := scalarText(v)
		if !ok {
			return nil, false, invalid("Template error: rules are about strings")
		}
		list = append(list, s)
	}
	return list, isList, nil
}
