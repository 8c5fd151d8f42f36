package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// policy is a compiled policy document.
type policy struct {
	statements []statement
}

// statement is one statement, compiled.
type statement struct {
	id           string // its Sid, or #0 for the first without one
	deny         bool
	principal    *principals // nil in policies of identities
	notPrincipal bool
	actions      []pattern
	notActions   bool
	resources    []pattern // none: the resource that the policy is attached to
	notResources bool
	conditions   []condition
}

// kind says what a policy is attached to, which decides on its elements.
type kind int

const (
	identityPolicy kind = iota // also a permissions boundary
	resourcePolicy
	trustPolicy
)

// elements of a statement.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
var elements = []string{"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}

// parsePolicy compiles a document. What the lab does not know is an error that
// names it, never ignored.
func parsePolicy(document []byte, k kind) (policy, error) {
	top, err := object(document)
	if err != nil {
		return policy{}, fmt.Errorf("policy: %w", err)
	}
	if err := only(top, "Version", "Id", "Statement"); err != nil {
		return policy{}, fmt.Errorf("policy: %w", err)
	}
	version := "2008-10-17"
	if raw, ok := top["Version"]; ok {
		if version, err = text(raw); err != nil || version != "2012-10-17" && version != "2008-10-17" {
			return policy{}, fmt.Errorf("policy: Version %s is not known", raw)
		}
	}
	list, err := listOf(top["Statement"])
	if err != nil || len(list) == 0 {
		return policy{}, errors.New("policy: no Statement")
	}
	var p policy
	var errs []error
	for i, raw := range list {
		s, err := parseStatement(raw, i, k, version == "2012-10-17")
		if err == nil && slices.ContainsFunc(p.statements, func(o statement) bool { return o.id == s.id }) {
			err = errors.New("its Sid is used twice")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("policy: statement %s: %w", s.id, err))
		}
		p.statements = append(p.statements, s)
	}
	return p, errors.Join(errs...)
}

func parseStatement(raw json.RawMessage, index int, k kind, variables bool) (s statement, err error) {
	s.id = "#" + strconv.Itoa(index)
	m, err := object(raw)
	if err != nil {
		return s, err
	}
	if err := only(m, elements...); err != nil {
		return s, err
	}
	if sid, ok := m["Sid"]; ok {
		if s.id, err = text(sid); err != nil {
			return s, err
		}
	}
	switch effect, _ := text(m["Effect"]); effect {
	case "Deny":
		s.deny = true
	case "Allow":
	default:
		return s, errors.New("want Allow or Deny as Effect")
	}
	if err := s.parsePrincipal(m, k); err != nil {
		return s, err
	}
	if s.actions, s.notActions, err = either(m, "Action", variables); err != nil {
		return s, err
	}
	for _, a := range s.actions {
		if a.source != "*" && !strings.Contains(a.source, ":") {
			return s, fmt.Errorf("action %q has no service", a.source)
		}
	}
	if s.resources, s.notResources, err = either(m, "Resource", variables); err != nil && (k != trustPolicy || !errors.Is(err, errNeither)) {
		return s, err
	}
	if k == trustPolicy && s.resources != nil {
		return s, errors.New("a trust policy has no Resource")
	}
	for _, r := range s.resources {
		if r.source != "*" && !strings.HasPrefix(r.source, "arn:") {
			return s, fmt.Errorf("resource %q is no ARN", r.source)
		}
	}
	s.conditions, err = parseConditions(m["Condition"], variables)
	return s, err
}

// parsePrincipal reads who a statement is about. Policies of identities must
// not say, all others must.
func (s *statement) parsePrincipal(m map[string]json.RawMessage, k kind) (err error) {
	name, raw := "Principal", m["Principal"]
	if not, ok := m["NotPrincipal"]; ok {
		if raw != nil {
			return errors.New("both Principal and NotPrincipal")
		}
		name, raw = "NotPrincipal", not
	}
	switch {
	case k == identityPolicy && raw != nil:
		return fmt.Errorf("%s in a policy of an identity", name)
	case k == identityPolicy:
		return nil
	case raw == nil:
		return errors.New("no Principal")
	case name == "NotPrincipal" && !s.deny:
		return errors.New("NotPrincipal with Allow lets in everybody else") // AWS takes it, and advises against it
	}
	s.notPrincipal = name == "NotPrincipal"
	s.principal, err = parsePrincipals(raw)
	return err
}

// errNeither is the absence of an element and of its negation.
var errNeither = errors.New("absent")

// either reads an element that may be there as NotX.
func either(m map[string]json.RawMessage, name string, variables bool) (list []pattern, not bool, err error) {
	raw, ok := m[name]
	other, negated := m["Not"+name]
	switch {
	case ok && negated:
		return nil, false, fmt.Errorf("both %s and Not%s", name, name)
	case !ok && !negated:
		return nil, false, fmt.Errorf("%s: %w", name, errNeither)
	case negated:
		raw = other
	}
	values, err := texts(raw)
	if err != nil || len(values) == 0 {
		return nil, false, fmt.Errorf("%s: want a text or a list of texts", name)
	}
	for _, v := range values {
		p, err := parsePattern(v, true, variables && name == "Resource")
		if err != nil {
			return nil, false, err
		}
		list = append(list, p)
	}
	return list, negated, nil
}

func parseConditions(raw json.RawMessage, variables bool) (list []condition, err error) {
	if raw == nil {
		return nil, nil
	}
	block, err := object(raw)
	if err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	var errs []error
	for _, operator := range slices.Sorted(maps.Keys(block)) {
		lines, err := object(block[operator])
		if err != nil {
			return nil, fmt.Errorf("condition %s: %w", operator, err)
		}
		for _, key := range slices.Sorted(maps.Keys(lines)) {
			values, err := texts(lines[key])
			if err != nil {
				return nil, fmt.Errorf("condition %s of %s: %w", operator, key, err)
			}
			c, err := newCondition(operator, key, values, variables)
			errs = append(errs, err)
			list = append(list, c)
		}
	}
	return list, errors.Join(errs...)
}

// object reads a JSON object and refuses a name that stands in it twice.
func object(raw []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	m := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string) // the decoder takes nothing else for a name
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%q stands there twice", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		m[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return m, nil
}

// only refuses names that are not among those known.
func only(m map[string]json.RawMessage, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("element %q is not known", name)
		}
	}
	return nil
}

// listOf takes a list, or anything else for a list of one.
func listOf(raw json.RawMessage) ([]json.RawMessage, error) {
	if len(raw) == 0 || raw[0] != '[' {
		return []json.RawMessage{raw}, nil
	}
	var list []json.RawMessage
	return list, json.Unmarshal(raw, &list)
}

// texts takes one scalar or a list of them; numbers and truth values are texts
// as well.
func texts(raw json.RawMessage) (out []string, err error) {
	list, err := listOf(raw)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		t, err := text(r)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func text(raw json.RawMessage) (string, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", errors.New("want a text")
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	default:
		return "", fmt.Errorf("%s is no text", raw)
	}
}
