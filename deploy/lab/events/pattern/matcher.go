package pattern

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// matcher tells whether a leaf is right.
type matcher func(value any) bool

// matcherOf makes a matcher from its name in a pattern and what follows it.
func matcherOf(name string, operand any) (matcher, error) {
	switch name {
	case "prefix":
		return affix(name, strings.HasPrefix, operand)
	case "suffix":
		return affix(name, strings.HasSuffix, operand)
	case "equals-ignore-case":
		return equalFold(operand)
	case "wildcard":
		return wildcard(operand)
	case "anything-but":
		return anythingBut(operand)
	case "numeric":
		return numeric(operand)
	case "cidr":
		return cidr(operand)
	default:
		return nil, reason("Unrecognized match type " + name)
	}
}

// exactly is a value that stands for itself; numbers are the same in every
// spelling.
func exactly(want any) matcher {
	if n, ok := want.(json.Number); ok {
		return func(value any) bool {
			v, ok := value.(json.Number)
			return ok && (v == n || sameNumber(v, n))
		}
	}
	return func(value any) bool { return value == want }
}

func sameNumber(x, y json.Number) bool {
	a, fine := number(x)
	b, too := number(y)
	return fine && too && a == b
}

// number returns a number that can be compared: AWS compares those between
// -5e9 and 5e9.
func number(n json.Number) (float64, bool) {
	f, err := n.Float64()
	return f, err == nil && f >= -5e9 && f <= 5e9
}

// onText makes a matcher of strings.
func onText(match func(string) bool) matcher {
	return func(value any) bool {
		text, ok := value.(string)
		return ok && match(text)
	}
}

func affix(name string, has func(s, affix string) bool, operand any) (matcher, error) {
	if o, ok := operand.(map[string]any); ok && len(o) == 1 {
		if want, ok := o["equals-ignore-case"].(string); ok {
			want = strings.ToLower(want)
			return onText(func(s string) bool { return has(strings.ToLower(s), want) }), nil
		}
	}
	want, ok := operand.(string)
	if !ok {
		return nil, reasonf("%s match pattern must be a string", name)
	}
	return onText(func(s string) bool { return has(s, want) }), nil
}

func equalFold(operand any) (matcher, error) {
	want, ok := operand.(string)
	if !ok {
		return nil, reason("equals-ignore-case match pattern must be a string")
	}
	return onText(func(s string) bool { return strings.EqualFold(s, want) }), nil
}

// wildcard reads a text in which * stands for any characters or none; \* and
// \\ are the characters themselves.
func wildcard(operand any) (matcher, error) {
	text, ok := operand.(string)
	if !ok {
		return nil, reason("wildcard match pattern must be a string")
	}
	parts, part, star := []string{}, []byte{}, -2
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*' && star == i-1:
			return nil, reasonf("Consecutive wildcard characters at pos %d", i)
		case c == '*':
			star = i
			parts, part = append(parts, string(part)), nil
		case c == '\\' && (i+1 == len(text) || text[i+1] != '*' && text[i+1] != '\\'):
			return nil, reasonf("Invalid escape character at pos %d", i+1)
		case c == '\\':
			i++
			part = append(part, text[i])
		default:
			part = append(part, c)
		}
	}
	return onText(func(s string) bool { return matchParts(s, parts, string(part)) }), nil
}

// matchParts reports whether a text is the parts in their order, with
// anything after each, and the last one at its end.
func matchParts(s string, parts []string, last string) bool {
	if len(parts) == 0 {
		return s == last
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1:] {
		if _, s, ok = strings.Cut(s, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(s, last)
}

// anythingBut is any value, null included, that is none of a list, or has none
// of some forms.
func anythingBut(operand any) (matcher, error) {
	if form, ok := operand.(map[string]any); ok {
		return anythingOfForm(form)
	}
	list, isList := operand.([]any)
	if !isList {
		list = []any{operand}
	}
	var not []matcher
	for _, v := range list {
		switch v.(type) {
		case string, json.Number:
			not = append(not, exactly(v))
		default:
			if isList {
				return nil, reason("Inside anything but list, start|null|boolean is not supported.")
			}
			return nil, reason("Value of anything-but must be an array or single string/number value.")
		}
	}
	if len(list) == 0 {
		return nil, reason("Empty arrays are not allowed")
	}
	_, texts := list[0].(string)
	if slices.ContainsFunc(list, func(v any) bool { _, text := v.(string); return text != texts }) {
		return nil, reason("Inside anything but list, either all values are number or string, mixed type is not supported")
	}
	return noneOf(not), nil
}

// anythingOfForm reads {"anything-but": {"prefix": …}} and its like, each with
// one text or several.
func anythingOfForm(form map[string]any) (matcher, error) {
	if len(form) != 1 {
		return nil, reason("Only one key allowed in match expression")
	}
	var not []matcher
	for name, operand := range form {
		list, isList := operand.([]any)
		if !isList {
			list = []any{operand}
		}
		if len(list) == 0 {
			return nil, reason("Empty arrays are not allowed")
		}
		for _, v := range list {
			if err := checkForm(name, v); err != nil {
				return nil, err
			}
			m, err := matcherOf(name, v)
			if err != nil {
				return nil, err
			}
			not = append(not, m)
		}
	}
	return noneOf(not), nil
}

func checkForm(name string, operand any) error {
	_, nested := operand.(map[string]any)
	_, text := operand.(string)
	switch name {
	case "prefix", "suffix":
		switch {
		case nested:
			return reason("Value of anything-but must be an array or single string/number value.")
		case !text:
			return reason("prefix/suffix match pattern must be a string")
		case operand == "":
			return reason("Null prefix/suffix not allowed")
		}
	case "equals-ignore-case":
		if !text {
			return reason("Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.")
		}
	case "wildcard":
	default:
		return reasonf("Unsupported anything-but pattern: %s", name)
	}
	return nil
}

func noneOf(not []matcher) matcher {
	return func(value any) bool {
		return !slices.ContainsFunc(not, func(m matcher) bool { return m(value) })
	}
}

// numeric reads ["=", n], or one or both ends of a range: [">", n, "<=", m].
func numeric(operand any) (matcher, error) {
	list, ok := operand.([]any)
	if !ok {
		return nil, reason("Value of numeric must be an array.")
	}
	var all []func(float64) bool
	for i := 0; i < len(list); i += 2 {
		operator, ok := list[i].(string)
		if !ok {
			return nil, reasonf("Invalid member in numeric match: %v", list[i])
		}
		end, known := ends[operator]
		switch {
		case !known:
			return nil, reasonf("Unrecognized numeric range operator: %s", operator)
		case i > 0 && (end.isExact || end.isLower || ends[list[0].(string)].isUpper):
			return nil, reasonf("Bad numeric range operator: %s", operator)
		case i > 0 && ends[list[0].(string)].isExact || i > 2:
			return nil, reason("Too many elements in numeric expression")
		}
		var n json.Number
		if i+1 < len(list) {
			n, ok = list[i+1].(json.Number)
		}
		if i+1 == len(list) || !ok {
			return nil, reasonf("Value of %s must be numeric", operator)
		}
		limit, ok := number(n)
		if !ok {
			return nil, reason("Value must be between -5.0E9 and 5.0E9, inclusive")
		}
		all = append(all, func(v float64) bool { return end.holds(v, limit) })
	}
	if len(all) == 0 {
		return nil, reason("Invalid member in numeric match: ]")
	}
	if len(all) == 2 {
		bottom, _ := list[1].(json.Number).Float64()
		top, _ := list[3].(json.Number).Float64()
		if bottom >= top {
			return nil, reason("Bottom must be less than top")
		}
	}
	return func(value any) bool {
		n, _ := value.(json.Number)
		v, ok := number(n)
		return ok && !slices.ContainsFunc(all, func(holds func(float64) bool) bool { return !holds(v) })
	}, nil
}

// end is an operator of numeric.
type end struct {
	isExact, isLower, isUpper bool
	holds                     func(v, limit float64) bool
}

var ends = map[string]end{
	"=":  {isExact: true, holds: func(v, limit float64) bool { return v == limit }},
	">":  {isLower: true, holds: func(v, limit float64) bool { return v > limit }},
	">=": {isLower: true, holds: func(v, limit float64) bool { return v >= limit }},
	"<":  {isUpper: true, holds: func(v, limit float64) bool { return v < limit }},
	"<=": {isUpper: true, holds: func(v, limit float64) bool { return v <= limit }},
}

func cidr(operand any) (matcher, error) {
	text, ok := operand.(string)
	if !ok {
		return nil, reason("prefix match pattern must be a string") // so AWS words it
	}
	address, bits, ok := strings.Cut(text, "/")
	if !ok || strings.Contains(bits, "/") {
		return nil, reason("Malformed CIDR, one '/' required")
	}
	n, err := strconv.Atoi(bits)
	if err != nil {
		return nil, reason("Malformed CIDR, mask bits must be an integer")
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return nil, reasonf("Nonstandard IP address: %s", address)
	}
	network, err := a.Prefix(n)
	if err != nil {
		return nil, reason("Malformed CIDR, mask bits must not be negative or exceed the address")
	}
	return onText(func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && network.Contains(a)
	}), nil
}
