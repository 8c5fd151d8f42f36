// Package pattern is the language of EventBridge's event patterns, with the
// rules and the words that AWS documents, publishes as Event Ruler or was seen
// to answer.
//
// An event is a set of leaves, each with the dotted path of names that leads
// to it. A pattern names paths and what a leaf there may be; all of its paths
// must be served, and where they lead through the same array, by the same
// element of it. How many wildcards AWS finds too complex is not modelled.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
package pattern

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxCombinations bounds what $or may multiply to, as AWS does.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
const maxCombinations = 1000

// Pattern is a pattern that was parsed. The zero value matches nothing; make
// it with [Parse].
type Pattern struct {
	any [][]field // conjunctions: one of them must hold
}

// field is a path and what one of its leaves must be.
type field struct {
	path string
	any  []matcher
	none bool // no leaf at all is right as well: {"exists": false}
}

// Parse reads a pattern. An error has the reason in AWS's words.
func Parse(text string) (Pattern, error) {
	p := parser{json.NewDecoder(strings.NewReader(text))}
	p.UseNumber()
	t, err := p.Token()
	if err != nil {
		return Pattern{}, reasonf("%v", err)
	}
	if t != json.Delim('{') {
		return Pattern{}, reason("Filter is not an object")
	}
	all, err := p.object("")
	if err != nil {
		return Pattern{}, err
	}
	if _, err := p.Token(); err != io.EOF {
		return Pattern{}, reason("Unexpected text after the pattern")
	}
	return Pattern{all}, nil
}

// Match reports whether an event, a JSON object, is one of those that the
// pattern is for. What is no JSON matches nothing.
func (p Pattern) Match(event []byte) bool {
	d := json.NewDecoder(bytes.NewReader(event))
	d.UseNumber()
	var tree any
	if d.Decode(&tree) != nil {
		return false
	}
	leaves := map[string][]leaf{}
	flatten(leaves, "", nil, tree)
	return slices.ContainsFunc(p.any, func(all []field) bool { return serve(leaves, all, nil) })
}

// leaf is a value of an event, and the array elements that it stands in.
type leaf struct {
	value any // string, json.Number, bool or nil
	in    []element
}

// element is a place in one array of the event.
type element struct {
	array string // its path, with the places in the arrays around it
	index int
}

func flatten(leaves map[string][]leaf, path string, in []element, node any) {
	switch node := node.(type) {
	case map[string]any:
		for name, value := range node {
			flatten(leaves, join(path, name), in, value)
		}
	case []any:
		array := fmt.Sprint(path, in)
		for i, value := range node {
			flatten(leaves, path, append(slices.Clip(in), element{array, i}), value)
		}
	default:
		leaves[path] = append(leaves[path], leaf{node, in})
	}
}

// serve reports whether leaves can be chosen for all fields, in array
// elements that agree with those chosen before.
func serve(leaves map[string][]leaf, all []field, chosen []element) bool {
	if len(all) == 0 {
		return true
	}
	f := all[0]
	here := leaves[f.path]
	if f.none && len(here) == 0 {
		return serve(leaves, all[1:], chosen)
	}
	for _, l := range here {
		if agree(chosen, l.in) && slices.ContainsFunc(f.any, func(m matcher) bool { return m(l.value) }) &&
			serve(leaves, all[1:], append(slices.Clip(chosen), l.in...)) {
			return true
		}
	}
	return false
}

// agree reports whether no array is asked for two of its elements.
func agree(chosen, more []element) bool {
	for _, m := range more {
		if slices.ContainsFunc(chosen, func(c element) bool { return c.array == m.array && c.index != m.index }) {
			return false
		}
	}
	return true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// reason is why a text is no pattern, in AWS's words.
type reason string

func (r reason) Error() string { return string(r) }

func reasonf(format string, a ...any) error { return reason(fmt.Sprintf(format, a...)) }
