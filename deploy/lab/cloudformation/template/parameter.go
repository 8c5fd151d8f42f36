package template

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parameter is a parameter of a template.
type Parameter struct {
	Name                  string
	Type                  string
	Default               *string // nil: a value must be given
	Description           string
	ConstraintDescription string
	AllowedPattern        string
	AllowedValues         []string
	NoEcho                bool

	minLength, maxLength *int64
	minValue, maxValue   *float64
	pattern              *regexp.Regexp
}

// Shown returns what may be shown of a value.
func (p Parameter) Shown(value string) string {
	if p.NoEcho {
		return "****"
	}
	return value
}

// isList tells whether Ref gives a list.
func (p Parameter) isList() bool {
	return p.Type == "CommaDelimitedList" || strings.HasPrefix(p.Type, "List<")
}

// parameterTypes are those of strings and numbers, and those whose existence
// AWS checks and this package does not.
var parameterTypes = regexp.MustCompile(`^(String|Number|CommaDelimitedList|List<(String|Number|AWS::[A-Za-z0-9:]+)>|` +
	`AWS::(EC2|Route53)::[A-Za-z0-9:]+)$`)

func (t *Template) readParameters(m map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !alphanumeric.MatchString(name) {
			return invalid("Template format error: Parameter name %s is non alphanumeric.", name)
		}
		body, ok := m[name].(map[string]any)
		if !ok {
			return invalid("Template format error: Every Parameters member must be an object.")
		}
		p := Parameter{Name: name}
		for _, key := range slices.Sorted(maps.Keys(body)) {
			if err := p.set(key, body[key]); err != nil {
				return err
			}
		}
		if p.Type == "" {
			return invalid("Template format error: Every Parameters object must contain a Type member.")
		}
		if p.Default != nil {
			if err := p.check(*p.Default); err != nil {
				return err
			}
		}
		t.Parameters = append(t.Parameters, p)
	}
	return nil
}

// set takes one key of a parameter.
func (p *Parameter) set(key string, v any) (err error) {
	where := "Parameters/" + p.Name + "/" + key
	switch key {
	case "Type":
		if p.Type, err = text(where, v); err == nil && !parameterTypes.MatchString(p.Type) {
			err = invalid("Template format error: Unrecognized parameter type: %s", p.Type)
		}
	case "Default":
		var s string
		s, err = literal(where, v)
		p.Default = &s
	case "Description":
		p.Description, err = text(where, v)
	case "ConstraintDescription":
		p.ConstraintDescription, err = text(where, v)
	case "AllowedPattern":
		if p.AllowedPattern, err = text(where, v); err == nil {
			if p.pattern, err = regexp.Compile(`^(?:` + p.AllowedPattern + `)$`); err != nil {
				err = invalid("Template format error: %s: %v", where, err)
			}
		}
	case "AllowedValues":
		list, ok := v.([]any)
		if !ok {
			return invalid("Template format error: %s must be a list", where)
		}
		for _, e := range list {
			s, err := literal(where, e)
			if err != nil {
				return err
			}
			p.AllowedValues = append(p.AllowedValues, s)
		}
	case "NoEcho":
		p.NoEcho, err = truth(where, v)
	case "MinLength":
		p.minLength, err = length(where, v)
	case "MaxLength":
		p.maxLength, err = length(where, v)
	case "MinValue":
		p.minValue, err = bound(where, v)
	case "MaxValue":
		p.maxValue, err = bound(where, v)
	default:
		err = invalid("Invalid template parameter property '%s'", key)
	}
	return err
}

// literal returns a scalar as a string.
func literal(where string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return string(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	default:
		return "", invalid("Template format error: %s must be a string", where)
	}
}

func truth(where string, v any) (bool, error) {
	s, err := literal(where, v)
	if err == nil && s != "true" && s != "false" {
		err = invalid("Template format error: %s must be a boolean", where)
	}
	return s == "true", err
}

func length(where string, v any) (*int64, error) {
	s, err := literal(where, v)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, invalid("Template format error: %s must be a number", where)
	}
	return &n, nil
}

func bound(where string, v any) (*float64, error) {
	s, err := literal(where, v)
	if err != nil {
		return nil, err
	}
	n, ok := parseNumber(s)
	if !ok {
		return nil, invalid("Template format error: %s must be a number", where)
	}
	return &n, nil
}

// parseNumber reads what CloudFormation takes for a number: neither words nor
// other bases.
func parseNumber(s string) (float64, bool) {
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && number.MatchString(s)
}

// items are the members of a value, each without the spaces around it.
func (p Parameter) items(value string) []string {
	if !p.isList() {
		return []string{value}
	}
	list := strings.Split(value, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// check holds a value against the constraints. Those of a list are of each of
// its members.
func (p Parameter) check(value string) error {
	for _, item := range p.items(value) {
		if why := p.refuses(item); why != "" {
			if p.ConstraintDescription != "" {
				return invalid("Parameter %s failed to satisfy constraint: %s", p.Name, p.ConstraintDescription)
			}
			return invalid("Parameter '%s' %s", p.Name, why)
		}
	}
	return nil
}

// refuses says what is wrong with a value, "" if nothing is.
func (p Parameter) refuses(value string) string {
	characters := int64(utf8.RuneCountInString(value))
	switch {
	case p.AllowedValues != nil && !slices.Contains(p.AllowedValues, value):
		return "must be one of AllowedValues"
	case p.pattern != nil && !p.pattern.MatchString(value):
		return "must match pattern " + p.AllowedPattern
	case p.minLength != nil && characters < *p.minLength:
		return "must contain at least " + strconv.FormatInt(*p.minLength, 10) + " characters"
	case p.maxLength != nil && characters > *p.maxLength:
		return "must contain at most " + strconv.FormatInt(*p.maxLength, 10) + " characters"
	case p.Type != "Number" && p.Type != "List<Number>":
		return ""
	}
	n, ok := parseNumber(value)
	switch {
	case !ok:
		return "must be a number"
	case p.minValue != nil && n < *p.minValue:
		return "must be a number not less than " + strconv.FormatFloat(*p.minValue, 'f', -1, 64)
	case p.maxValue != nil && n > *p.maxValue:
		return "must be a number not greater than " + strconv.FormatFloat(*p.maxValue, 'f', -1, 64)
	}
	return ""
}

// bind gives each parameter a value, and refuses values of parameters that do
// not exist.
func (t *Template) bind(values map[string]string) (map[string]string, error) {
	bound := map[string]string{}
	var missing, unknown []string
	for _, p := range t.Parameters {
		value, given := values[p.Name]
		switch {
		case given:
			bound[p.Name] = value
		case p.Default != nil:
			bound[p.Name] = *p.Default
		default:
			missing = append(missing, p.Name)
		}
	}
	for name := range values {
		if _, ok := bound[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, invalid("Parameters: [%s] do not exist in the template", listed(unknown))
	}
	if len(missing) > 0 {
		return nil, invalid("Parameters: [%s] must have values", listed(missing))
	}
	for _, p := range t.Parameters {
		if err := p.check(bound[p.Name]); err != nil {
			return nil, err
		}
	}
	return bound, nil
}
