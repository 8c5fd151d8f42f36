package template

import (
	"regexp"
	"strings"
)

// variable is what Fn::Sub takes in a string; ${!Text} stays as ${Text}.
var variable = regexp.MustCompile(`\$\{[^}]*\}`)

var variableName = regexp.MustCompile(`^[A-Za-z0-9_.:]+$`)

// subArguments takes both forms of Fn::Sub apart.
func subArguments(argument any) (text string, variables map[string]any, err error) {
	text, ok := argument.(string)
	if pair, isPair := argument.([]any); isPair && len(pair) == 2 {
		variables, _ = pair[1].(map[string]any)
		if text, ok = pair[0].(string); variables == nil {
			ok = false
		}
	}
	if !ok {
		return "", nil, invalid("Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. " +
			"Specify a string as first argument, and an optional second argument to specify a mapping of values to replace in the string")
	}
	return text, variables, nil
}

// parts calls literal for each piece of text and name for each variable of it,
// in their order.
func parts(text string, literal, name func(string) error) error {
	rest := 0
	for _, at := range variable.FindAllStringIndex(text, -1) {
		if err := literal(text[rest:at[0]]); err != nil {
			return err
		}
		rest = at[1]
		inner := strings.TrimSpace(text[at[0]+2 : at[1]-1])
		var err error
		switch quoted, isLiteral := strings.CutPrefix(inner, "!"); {
		case isLiteral:
			err = literal("${" + quoted + "}")
		case !variableName.MatchString(inner):
			err = invalid("Template error: variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons")
		default:
			err = name(inner)
		}
		if err != nil {
			return err
		}
	}
	return literal(text[rest:])
}

func (e evaluator) sub(argument any) (any, error) {
	text, variables, err := subArguments(argument)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	literal := func(s string) error {
		out.WriteString(s)
		return nil
	}
	err = parts(text, literal, func(name string) error {
		v, err := e.substitute(name, variables)
		if err != nil {
			return err
		}
		s, ok := scalarText(v)
		if !ok {
			return invalid("Template error: variable %s in Fn::Sub expression does not resolve to a string", name)
		}
		return literal(s)
	})
	return out.String(), err
}

func (e evaluator) substitute(name string, variables map[string]any) (any, error) {
	if v, ok := variables[name]; ok {
		return e.value(v)
	}
	if id, attribute, ok := strings.Cut(name, "."); ok {
		return e.resource(id, attribute)
	}
	return e.ref(name)
}
