package iam

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// condition is one line of a Condition block: an operator, a key and the
// values of the policy. All lines of a block must hold.
type condition struct {
	operator operator
	set      string // ForAnyValue, ForAllValues or ""
	ifExists bool
	key      string // in lower case
	values   []pattern
}

// operator compares one value of a request with one of a policy.
type operator struct {
	match     func(p pattern, value string, keys Keys) bool
	check     func(text string) error // refuses a value that can never be compared
	wildcards bool
	negated   bool
}

// operators are those that policies may use here. Each of them may have
// IfExists behind it and a set operator before it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
var operators = map[string]operator{
	"StringEquals":              {match: equal},
	"StringNotEquals":           {match: equal, negated: true},
	"StringEqualsIgnoreCase":    {match: pattern.matchesFold},
	"StringNotEqualsIgnoreCase": {match: pattern.matchesFold, negated: true},
	"StringLike":                {match: pattern.matches, wildcards: true},
	"StringNotLike":             {match: pattern.matches, wildcards: true, negated: true},

	// ArnEquals and ArnLike are the same.
	"ArnEquals":    {match: pattern.matchesARN, wildcards: true},
	"ArnLike":      {match: pattern.matchesARN, wildcards: true},
	"ArnNotEquals": {match: pattern.matchesARN, wildcards: true, negated: true},
	"ArnNotLike":   {match: pattern.matchesARN, wildcards: true, negated: true},

	"Bool": {match: pattern.matchesFold, check: checked(truth)},

	"NumericEquals":            numeric(func(c int) bool { return c == 0 }),
	"NumericNotEquals":         negation(numeric(func(c int) bool { return c == 0 })),
	"NumericLessThan":          numeric(func(c int) bool { return c < 0 }),
	"NumericLessThanEquals":    numeric(func(c int) bool { return c <= 0 }),
	"NumericGreaterThan":       numeric(func(c int) bool { return c > 0 }),
	"NumericGreaterThanEquals": numeric(func(c int) bool { return c >= 0 }),

	"DateEquals":            dated(func(c int) bool { return c == 0 }),
	"DateNotEquals":         negation(dated(func(c int) bool { return c == 0 })),
	"DateLessThan":          dated(func(c int) bool { return c < 0 }),
	"DateLessThanEquals":    dated(func(c int) bool { return c <= 0 }),
	"DateGreaterThan":       dated(func(c int) bool { return c > 0 }),
	"DateGreaterThanEquals": dated(func(c int) bool { return c >= 0 }),

	"IpAddress":    {match: within, check: checked(network)},
	"NotIpAddress": {match: within, check: checked(network), negated: true},

	null: {check: checked(truth)},
}

// null asks for the absence of a key ("true") or its presence ("false").
const null = "Null"

// newCondition compiles one line. An operator or a key that is not known is an
// error: on AWS it would be one, or hold never or always.
func newCondition(name, key string, values []string, variables bool) (condition, error) {
	c := condition{key: strings.ToLower(key)}
	plain := name
	if set, rest, ok := strings.Cut(name, ":"); ok && (set == "ForAnyValue" || set == "ForAllValues") {
		c.set, plain = set, rest
	}
	plain, c.ifExists = strings.CutSuffix(plain, "IfExists")
	var ok bool
	if c.operator, ok = operators[plain]; !ok || plain == null && plain != name {
		return c, fmt.Errorf("condition operator %q is not known", name)
	}
	switch a, ok := keyNamed(c.key); {
	case !ok:
		return c, fmt.Errorf("condition key %q is not known", key)
	case a == multi && c.set == "" && plain != null:
		return c, fmt.Errorf("condition key %q has many values: the operator needs ForAnyValue or ForAllValues", key)
	case len(values) == 0:
		return c, fmt.Errorf("condition %s of %s has no value", name, key)
	}
	for _, v := range values {
		p, err := parsePattern(v, c.operator.wildcards, variables)
		if err != nil {
			return c, err
		}
		if c.operator.check != nil && p.fixed() {
			if err := c.operator.check(v); err != nil {
				return c, fmt.Errorf("condition %s of %s: %w", name, key, err)
			}
		}
		c.values = append(c.values, p)
	}
	return c, nil
}

// holds evaluates the line. Without the key a positive operator does not hold
// and a negated one does; ForAllValues holds and ForAnyValue does not.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
func (c condition) holds(keys Keys) bool {
	values := keys[c.key]
	if c.operator.match == nil { // Null
		return slices.ContainsFunc(c.values, func(p pattern) bool {
			absent, _ := p.text(keys)
			return strings.EqualFold(absent, strconv.FormatBool(len(values) == 0))
		})
	}
	holds := func(value string) bool {
		return c.operator.negated != slices.ContainsFunc(c.values, func(p pattern) bool { return c.operator.match(p, value, keys) })
	}
	switch {
	case len(values) == 0:
		return c.ifExists || c.set == "ForAllValues" || c.set == "" && c.operator.negated
	case c.set == "ForAnyValue":
		return slices.ContainsFunc(values, holds)
	default:
		return !slices.ContainsFunc(values, func(v string) bool { return !holds(v) })
	}
}

func equal(p pattern, value string, keys Keys) bool {
	text, ok := p.text(keys)
	return ok && text == value
}

func numeric(holds func(int) bool) operator { return ordered(number, cmp.Compare[float64], holds) }

func dated(holds func(int) bool) operator { return ordered(date, time.Time.Compare, holds) }

// ordered makes an operator of an order. A value that cannot be read compares
// with nothing.
func ordered[T any](read func(string) (T, error), compare func(a, b T) int, holds func(int) bool) operator {
	return operator{
		check: checked(read),
		match: func(p pattern, value string, keys Keys) bool {
			text, ok := p.text(keys)
			want, err := read(text)
			got, err2 := read(value)
			return ok && err == nil && err2 == nil && holds(compare(got, want))
		},
	}
}

func negation(o operator) operator {
	o.negated = true
	return o
}

func truth(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func number(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

// date reads the forms of ISO 8601 that AWS names, or seconds since 1970.
func date(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date", text)
}

// network reads a range, or one address as a range of its own.
func network(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}

func within(p pattern, value string, keys Keys) bool {
	text, ok := p.text(keys)
	n, err := network(text)
	a, err2 := netip.ParseAddr(value)
	return ok && err == nil && err2 == nil && n.Contains(a)
}

// checked makes a check of a reader.
func checked[T any](read func(string) (T, error)) func(string) error {
	return func(text string) error {
		_, err := read(text)
		return err
	}
}
