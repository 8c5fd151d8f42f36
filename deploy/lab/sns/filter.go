package sns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// The values of FilterPolicyScope.
const (
	scopeAttributes = "MessageAttributes"
	scopeBody       = "MessageBody"
)

// Limits of filter policies.
// https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
const (
	maxFilterKeys   = 5
	maxCombinations = 150
	maxFilterBytes  = 256 * 1024
)

// policyError says in AWS's words what is wrong with a policy.
type policyError string

func (e policyError) Error() string { return string(e) }

func policyErrorf(format string, values ...any) error {
	return policyError(fmt.Sprintf(format, values...))
}

// filter is a filter policy.
type filter struct {
	scope string
	rule  *rule
}

// rule is one object of a filter policy: all of it has to hold.
type rule struct {
	leaves map[string][]condition // of which one has to hold
	nested map[string]*rule
	ors    [][]*rule // of each group one has to hold
}

func newRule() *rule { return &rule{leaves: map[string][]condition{}, nested: map[string]*rule{}} }

// parseFilter reads a filter policy. Errors are worded as AWS's, without the
// place in the text that those end with.
func parseFilter(text, scope string) (*filter, error) {
	if len(text) > maxFilterBytes {
		return nil, policyError("FilterPolicy: Filter policy is too long")
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil || d.More() {
		return nil, policyError("FilterPolicy: failed to parse JSON.")
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, policyError("FilterPolicy: Filter is not an object")
	}
	r := newRule()
	if err := r.read(object, scope); err != nil {
		return nil, policyError("FilterPolicy: " + err.Error())
	}
	switch {
	case scope == scopeAttributes && r.nests():
		return nil, policyError("Filter policy scope MessageAttributes does not support nested filter policy")
	case r.keys() > maxFilterKeys:
		return nil, policyErrorf("FilterPolicy: Filter policy can not have more than %d keys", maxFilterKeys)
	case r.combinations(1) > maxCombinations:
		return nil, policyError("FilterPolicy: Filter policy is too complex")
	}
	return &filter{scope: scope, rule: r}, nil
}

// read adds an object of the policy. In a body a dot in a key is a step down.
func (r *rule) read(object map[string]any, scope string) error {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		value := object[key]
		if key == "$or" {
			if group, ok := alternatives(value); ok {
				if err := r.readOr(group, scope); err != nil {
					return err
				}
				continue
			}
		}
		at := r
		if scope == scopeBody {
			steps := strings.Split(key, ".")
			for _, step := range steps[:len(steps)-1] {
				at = at.below(step)
			}
			key = steps[len(steps)-1]
		}
		switch value := value.(type) {
		case map[string]any:
			if len(value) == 0 {
				return policyError("Empty objects are not allowed")
			}
			if err := at.below(key).read(value, scope); err != nil {
				return err
			}
		case []any:
			list, err := readConditions(value)
			if err != nil {
				return err
			}
			at.leaves[key] = list
		default:
			return policyErrorf("%q must be an object or an array", key)
		}
	}
	return nil
}

func (r *rule) below(key string) *rule {
	if r.nested[key] == nil {
		r.nested[key] = newRule()
	}
	return r.nested[key]
}

// alternatives tells whether the value of $or is one of the operator: at least
// two objects. Anything else makes it a key like any other.
func alternatives(value any) ([]map[string]any, bool) {
	list, ok := value.([]any)
	if !ok || len(list) < 2 {
		return nil, false
	}
	var group []map[string]any
	for _, v := range list {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		group = append(group, object)
	}
	return group, true
}

func (r *rule) readOr(group []map[string]any, scope string) error {
	var rules []*rule
	for _, object := range group {
		a := newRule()
		if err := a.read(object, scope); err != nil {
			return err
		}
		rules = append(rules, a)
	}
	r.ors = append(r.ors, rules)
	return nil
}

// nests tells whether there are objects in the policy, but those of $or.
func (r *rule) nests() bool {
	return len(r.nested) > 0 || slices.ContainsFunc(r.ors, func(g []*rule) bool { return slices.ContainsFunc(g, (*rule).nests) })
}

// keys counts the keys at the top, of alternatives the most.
func (r *rule) keys() int {
	n := len(r.leaves) + len(r.nested)
	for _, group := range r.ors {
		most := 0
		for _, a := range group {
			most = max(most, a.keys())
		}
		n += most
	}
	return n
}

// combinations multiplies the number of values of each key by its depth, and
// these; alternatives add up.
func (r *rule) combinations(depth int) int {
	n := 1
	for _, list := range r.leaves {
		n *= len(list) * depth
	}
	for _, below := range r.nested {
		n *= below.combinations(depth + 1)
	}
	for _, group := range r.ors {
		sum := 0
		for _, a := range group {
			sum += a.combinations(depth)
		}
		n *= sum
	}
	return n
}

func readConditions(list []any) ([]condition, error) {
	if len(list) == 0 {
		return nil, policyError("Empty arrays are not allowed")
	}
	var out []condition
	for _, v := range list {
		object, ok := v.(map[string]any)
		if !ok {
			c, err := readExact(v)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
			continue
		}
		if len(object) != 1 {
			return nil, policyError("Only one key allowed in match expression")
		}
		for operator, operand := range object {
			c, err := readOperator(operator, operand)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// scalar returns a value of the policy as a message has it.
func scalar(v any) (any, error) {
	switch v := v.(type) {
	case string, bool, nil:
		return v, nil
	case json.Number:
		return v.Float64()
	default:
		return nil, policyError("Match value must be String, number, true, false, or null")
	}
}

func readExact(v any) (condition, error) {
	want, err := scalar(v)
	return anyOf(func(v any) bool { return same(v, want) }), err
}

func readOperator(operator string, operand any) (condition, error) {
	text, isText := operand.(string)
	needText := func(what string, test func(string) bool) (condition, error) {
		if !isText {
			return nil, policyError(what + " match pattern must be a string")
		}
		return anyText(test), nil
	}
	switch operator {
	case "prefix", "suffix", "equals-ignore-case":
		return needText(operator, textTest(operator, text))
	case "exists":
		want, ok := operand.(bool)
		if !ok {
			return nil, policyError("exists match pattern must be either true or false.")
		}
		return func(values []any) bool { return exist(values) == want }, nil
	case "anything-but":
		return readAnythingBut(operand)
	case "numeric":
		list, ok := operand.([]any)
		if !ok {
			return nil, policyError("Value of numeric must be an array.")
		}
		return readNumeric(list)
	case "cidr":
		if !isText {
			return nil, policyError("prefix match pattern must be a string") // AWS says so
		}
		return readCIDR(text)
	default:
		return nil, policyError("Unrecognized match type " + operator)
	}
}

func textTest(operator, text string) func(string) bool {
	switch operator {
	case "prefix":
		return func(v string) bool { return strings.HasPrefix(v, text) }
	case "suffix":
		return func(v string) bool { return strings.HasSuffix(v, text) }
	default:
		return func(v string) bool { return strings.EqualFold(v, text) }
	}
}

// readAnythingBut reads a value, a list of values, or a prefix.
func readAnythingBut(operand any) (condition, error) {
	if object, ok := operand.(map[string]any); ok {
		for operator, v := range object {
			text, isText := v.(string)
			switch {
			case operator != "prefix":
				return nil, policyError("Unsupported anything-but pattern: " + operator)
			case len(object) > 1:
				return nil, policyError("Only one key allowed in match expression")
			case !isText:
				return nil, policyError("prefix match pattern must be a string")
			}
			return noneOf(func(v any) bool {
				got, ok := v.(string)
				return ok && strings.HasPrefix(got, text)
			}), nil
		}
		return nil, policyError("Empty objects are not allowed")
	}
	list, ok := operand.([]any)
	if !ok {
		list = []any{operand}
	}
	if len(list) == 0 {
		return nil, policyError("Empty arrays are not allowed")
	}
	var unwanted []any
	for _, v := range list {
		u, err := scalar(v)
		if _, isBool := u.(bool); err != nil || isBool || u == nil {
			return nil, policyError("Inside anything but list, start|null|boolean is not supported.")
		}
		unwanted = append(unwanted, u)
	}
	return noneOf(func(v any) bool {
		return slices.ContainsFunc(unwanted, func(u any) bool { return same(v, u) })
	}), nil
}

// readNumeric reads = and a number, or one or two ends of a range.
func readNumeric(list []any) (condition, error) {
	operator, number, rest, err := readComparison(list)
	if err != nil {
		return nil, err
	}
	low := comparison(operator, number)
	if len(rest) == 0 {
		return anyNumber(low), nil
	}
	if operator != ">" && operator != ">=" {
		return nil, policyError("Too many elements in numeric expression")
	}
	second, ok := rest[0].(string)
	switch {
	case !ok:
		return nil, policyErrorf("Bad value in numeric range: %v", rest[0])
	case second != "<" && second != "<=":
		return nil, policyError("Bad numeric range operator: " + second)
	}
	_, top, rest, err := readComparison(rest)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, policyError("Too many terms in numeric range expression")
	case number >= top:
		return nil, policyError("Bottom must be less than top")
	}
	high := comparison(second, top)
	return anyNumber(func(v float64) bool { return low(v) && high(v) }), nil
}

// readComparison reads an operator and its number off the front of a list.
func readComparison(list []any) (operator string, number float64, rest []any, err error) {
	if len(list) == 0 {
		return "", 0, nil, policyError("Invalid member in numeric match: ]")
	}
	operator, ok := list[0].(string)
	if !ok {
		return "", 0, nil, policyErrorf("Invalid member in numeric match: %v", list[0])
	}
	name := operator
	switch operator {
	case "=":
		name = "equals"
	case "<", "<=", ">", ">=":
	default:
		return "", 0, nil, policyError("Unrecognized numeric range operator: " + operator)
	}
	if len(list) > 1 {
		if n, ok := list[1].(json.Number); ok {
			if number, err = n.Float64(); err == nil && number >= -1e9 && number <= 1e9 {
				return operator, number, list[2:], nil
			}
			return "", 0, nil, policyError("Value must be between -1.0E9 and 1.0E9, inclusive")
		}
	}
	return "", 0, nil, policyError("Value of " + name + " must be numeric")
}

func comparison(operator string, number float64) func(float64) bool {
	switch operator {
	case "=":
		return func(v float64) bool { return same(v, number) }
	case "<":
		return func(v float64) bool { return v < number }
	case "<=":
		return func(v float64) bool { return v <= number }
	case ">":
		return func(v float64) bool { return v > number }
	default:
		return func(v float64) bool { return v >= number }
	}
}

func readCIDR(text string) (condition, error) {
	before, bits, found := strings.Cut(text, "/")
	if !found || strings.Contains(bits, "/") {
		return nil, policyError("Malformed CIDR, one '/' required")
	}
	if _, err := netip.ParseAddr(before); err != nil {
		return nil, policyError("Nonstandard IP address: " + before)
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, policyError("Malformed CIDR, mask bits must be an integer")
	}
	return anyText(func(v string) bool {
		a, err := netip.ParseAddr(v)
		return err == nil && prefix.Contains(a)
	}), nil
}
