package template

import (
	"reflect"
	"slices"
)

// condition evaluates a condition by its name, once.
func (p *Plan) condition(name string) (bool, error) {
	if v, known := p.conditions[name]; known {
		if v == undecided {
			return false, invalid("Template format error: Circular dependency of the condition %s", name)
		}
		return v == holds, nil
	}
	tree, ok := p.template.conditions[name]
	if !ok {
		return false, invalid("Template format error: Unresolved condition dependency %s in the Conditions block of the template", name)
	}
	p.conditions[name] = undecided
	v, err := evaluator{plan: p}.truth(tree)
	if err != nil {
		return false, err
	}
	p.conditions[name] = fails
	if v {
		p.conditions[name] = holds
	}
	return v, nil
}

// truthValue is what is known of a condition.
type truthValue int

const (
	undecided truthValue = iota
	holds
	fails
)

// truth evaluates a condition's tree.
func (e evaluator) truth(v any) (bool, error) {
	m, _ := v.(map[string]any)
	if len(m) != 1 {
		return false, invalid("Template format error: Every Conditions member must be an intrinsic function of conditions.")
	}
	for name, argument := range m {
		f, ok := conditionFunction(name)
		if !ok {
			return false, unknownFunction(name)
		}
		return f(e, argument)
	}
	panic("a map of one key has one")
}

// conditionFunction returns a function that is true or false.
func conditionFunction(name string) (func(evaluator, any) (bool, error), bool) {
	switch name {
	case "Condition":
		return evaluator.named, true
	case "Fn::Equals":
		return evaluator.equals, true
	case "Fn::Not":
		return evaluator.not, true
	case "Fn::And":
		return evaluator.and, true
	case "Fn::Or":
		return evaluator.or, true
	}
	return nil, false
}

func (e evaluator) named(argument any) (bool, error) {
	name, ok := argument.(string)
	if !ok {
		return false, invalid("Template format error: every Condition object must have a single String value.")
	}
	return e.plan.condition(name)
}

func (e evaluator) equals(argument any) (bool, error) {
	pair, _ := argument.([]any)
	if len(pair) != 2 {
		return false, invalid("Template error: every Fn::Equals object requires a list of 2 string parameters.")
	}
	sides, _, err := e.list(pair)
	if err != nil || len(sides) != 2 {
		return false, err
	}
	x, xText := scalarText(sides[0])
	y, yText := scalarText(sides[1])
	if xText && yText {
		return x == y, nil
	}
	return reflect.DeepEqual(sides[0], sides[1]), nil
}

func (e evaluator) not(argument any) (bool, error) {
	list, _ := argument.([]any)
	if len(list) != 1 {
		return false, invalid("Template error: every Fn::Not object requires one boolean parameter.")
	}
	v, err := e.truth(list[0])
	return !v, err
}

func (e evaluator) and(argument any) (bool, error) {
	list, err := e.truths("Fn::And", argument)
	return !slices.Contains(list, false), err
}

func (e evaluator) or(argument any) (bool, error) {
	list, err := e.truths("Fn::Or", argument)
	return slices.Contains(list, true), err
}

func (e evaluator) truths(name string, argument any) ([]bool, error) {
	list, _ := argument.([]any)
	if len(list) < 2 || len(list) > 10 {
		return nil, invalid("Template error: every %s object requires a list of at least 2 and at most 10 boolean parameters.", name)
	}
	out := make([]bool, len(list))
	for i, v := range list {
		var err error
		if out[i], err = e.truth(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}
