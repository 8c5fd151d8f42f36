package iam

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// pattern is a text of a policy that may have wildcards and variables in it.
type pattern struct {
	source string
	parts  []part
}

// part is a run of a pattern: literal text, a wildcard or a variable.
type part struct {
	literal  string
	wildcard rune   // '*' or '?', 0 for none
	variable string // the condition key that it stands for, "" for none
	fallback *string
}

// parsePattern reads a text. Without wildcards * and ? stand for themselves, as
// they do for StringEquals; without variables so does ${…}, as in policies of
// version 2008-10-17.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func parsePattern(text string, wildcards, variables bool) (pattern, error) {
	p := pattern{source: text}
	for rest := text; rest != ""; {
		switch {
		case variables && strings.HasPrefix(rest, "${"):
			inner, after, ok := strings.Cut(rest[2:], "}")
			if !ok {
				return p, fmt.Errorf("%q: a variable without its end", text)
			}
			v, err := parseVariable(inner)
			if err != nil {
				return p, fmt.Errorf("%q: %w", text, err)
			}
			p.parts, rest = append(p.parts, v), after
		case wildcards && (rest[0] == '*' || rest[0] == '?'):
			p.parts, rest = append(p.parts, part{wildcard: rune(rest[0])}), rest[1:]
		default:
			n := len(rest)
			if i := strings.IndexAny(rest[1:], "*?$"); i >= 0 {
				n = i + 1
			}
			p.parts, rest = append(p.parts, part{literal: rest[:n]}), rest[n:]
		}
	}
	return p, nil
}

// parseVariable reads what stands between the braces: a condition key, with
// 'a text' after a comma for its absence, or one of * ? $ as a plain character.
func parseVariable(text string) (part, error) {
	if text == "*" || text == "?" || text == "$" {
		return part{literal: text}, nil
	}
	name, fallback, has := strings.Cut(text, ",")
	v := part{variable: strings.ToLower(strings.TrimSpace(name))}
	if has {
		f := strings.TrimSpace(fallback)
		if len(f) < 2 || f[0] != '\'' || f[len(f)-1] != '\'' {
			return part{}, fmt.Errorf("the default of ${%s} is not in single quotes", text)
		}
		f = f[1 : len(f)-1]
		v.fallback = &f
	}
	k, ok := keyNamed(v.variable)
	if !ok {
		return part{}, fmt.Errorf("${%s} is no condition key that the lab knows", text)
	}
	if k == multi {
		return part{}, fmt.Errorf("${%s} has many values and cannot be a variable", text)
	}
	return v, nil
}

// fixed tells whether a pattern is the same text for every request.
func (p pattern) fixed() bool {
	return !slices.ContainsFunc(p.parts, func(q part) bool { return q.variable != "" || q.wildcard != 0 })
}

// symbol is one character of an expanded pattern.
type symbol struct {
	char     rune
	wildcard bool // the character is * or ? and means it
}

// expand puts values in the place of variables. It reports false if one has
// none: then nothing matches.
func (p pattern) expand(keys Keys) ([]symbol, bool) {
	var out []symbol
	for _, q := range p.parts {
		text := q.literal
		switch {
		case q.wildcard != 0:
			out = append(out, symbol{q.wildcard, true})
			continue
		case q.variable != "":
			values := keys[q.variable]
			if len(values) != 1 && q.fallback == nil {
				return nil, false
			}
			if len(values) == 1 {
				text = values[0]
			} else {
				text = *q.fallback
			}
		}
		for _, c := range text {
			out = append(out, symbol{c, false})
		}
	}
	return out, true
}

// text is what a pattern without wildcards expands to.
func (p pattern) text(keys Keys) (string, bool) {
	symbols, ok := p.expand(keys)
	var b strings.Builder
	for _, s := range symbols {
		b.WriteRune(s.char)
	}
	return b.String(), ok
}

// matches tells whether a whole text fits.
func (p pattern) matches(text string, keys Keys) bool {
	symbols, ok := p.expand(keys)
	return ok && glob(symbols, []rune(text))
}

// matchesFold does the same without looking at case.
func (p pattern) matchesFold(text string, keys Keys) bool {
	symbols, ok := p.expand(keys)
	for i := range symbols {
		symbols[i].char = unicode.ToLower(symbols[i].char)
	}
	return ok && glob(symbols, []rune(strings.ToLower(text)))
}

// matchesARN compares the six parts of an ARN one by one: a wildcard in one of
// the first five does not reach into the next.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN
func (p pattern) matchesARN(arn string, keys Keys) bool {
	symbols, ok := p.expand(keys)
	if !ok {
		return false
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return false
	}
	for _, part := range parts[:5] {
		i := slices.Index(symbols, symbol{':', false})
		if i < 0 || !glob(symbols[:i], []rune(part)) {
			return false
		}
		symbols = symbols[i+1:]
	}
	return glob(symbols, []rune(parts[5]))
}

// glob matches with at most one step back: to the last *, which then takes one
// more character.
func glob(p []symbol, s []rune) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == symbol{'*', true}:
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == symbol{'?', true} || p[i] == symbol{s[j], false}):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == (symbol{'*', true}) {
		i++
	}
	return i == len(p)
}
