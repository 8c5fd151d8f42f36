// Package policy reads resource policies as far as the lab's services need
// them: whether an AWS service may do something to a queue or a topic on
// behalf of another resource. What an identity may do is not decided here.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Policy is a resource policy. Make it with [Parse].
type Policy struct {
	statements []statement
}

// Request is what a service wants to do.
type Request struct {
	Principal string // sns.amazonaws.com
	Action    string // sqs:SendMessage
	Resource  string // ARN
	SourceARN string // of the resource on whose behalf it asks
	Account   string // that the source belongs to
}

type statement struct {
	Effect       string
	Principal    principal
	NotPrincipal json.RawMessage
	Action       list
	NotAction    list
	Resource     list
	NotResource  list
	Condition    map[string]map[string]list
}

// Parse reads a policy. Conditions that the package does not know are kept and
// never hold.
func Parse(text string) (Policy, error) {
	var document struct {
		Version   string
		Statement json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return Policy{}, fmt.Errorf("read a policy: %w", err)
	}
	var p Policy
	if err := json.Unmarshal(document.Statement, &p.statements); err != nil {
		var one statement
		if err := json.Unmarshal(document.Statement, &one); err != nil {
			return Policy{}, fmt.Errorf("read a policy's statements: %w", err)
		}
		p.statements = []statement{one}
	}
	for _, s := range p.statements {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Action)+len(s.NotAction) == 0 {
			return Policy{}, errors.New("read a policy: a statement needs an Effect and an Action")
		}
	}
	return p, nil
}

// Actions returns all actions that the policy names, sorted.
func (p Policy) Actions() []string {
	named := map[string]bool{}
	for _, s := range p.statements {
		for _, a := range slices.Concat(s.Action, s.NotAction) {
			named[a] = true
		}
	}
	return slices.Sorted(maps.Keys(named))
}

// Allows tells whether a statement allows the request and none denies it.
func (p Policy) Allows(r Request) bool {
	allowed := false
	for _, s := range p.statements {
		if !s.applies(r) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s statement) applies(r Request) bool {
	return s.NotPrincipal == nil && s.Principal.names(r.Principal) &&
		(s.Action.matches(r.Action, strings.ToLower) || len(s.NotAction) > 0 && !s.NotAction.matches(r.Action, strings.ToLower)) &&
		(s.Resource.matches(r.Resource, same) || len(s.NotResource) > 0 && !s.NotResource.matches(r.Resource, same)) &&
		s.holds(r)
}

// holds tells whether all conditions do. aws:SourceOwner, which the policy of a
// new topic asks for, is sent by older services only: EventBridge needs a
// statement of its own.
func (s statement) holds(r Request) bool {
	values := map[string]string{
		"aws:sourcearn": r.SourceARN, "aws:sourceaccount": r.Account,
		"aws:securetransport": "true", "aws:principalisawsservice": "true",
	}
	for operator, keys := range s.Condition {
		for key, want := range keys {
			if !compare(operator, values[strings.ToLower(key)], want) {
				return false
			}
		}
	}
	return true
}

// compare is one condition; a key without a value is the empty string, which
// nothing but a negation takes.
func compare(operator, value string, want list) bool {
	switch operator {
	case "ArnEquals", "ArnLike", "StringLike":
		return value != "" && want.matches(value, same)
	case "StringEquals":
		return value != "" && slices.Contains(want, value)
	case "StringEqualsIgnoreCase":
		return value != "" && slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, value) })
	case "Bool":
		return slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, value) })
	case "StringNotEquals":
		return !slices.Contains(want, value)
	case "ArnNotEquals", "ArnNotLike", "StringNotLike":
		return !want.matches(value, same)
	default:
		return false
	}
}

// principal is "*", or names by kind.
type principal map[string]list

// UnmarshalJSON reads both forms.
func (p *principal) UnmarshalJSON(b []byte) error {
	if string(b) == `"*"` {
		*p = principal{"Service": {"*"}}
		return nil
	}
	var m map[string]list
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*p = m
	return nil
}

// names tells whether a service is meant; {"AWS":"*"} is everybody.
func (p principal) names(service string) bool {
	return slices.Contains(p["Service"], service) || slices.Contains(p["Service"], "*") || slices.Contains(p["AWS"], "*")
}

// list is a string or several.
type list []string

// UnmarshalJSON reads both forms.
func (l *list) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(l))
	}
	var one any
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*l = list{fmt.Sprint(one)}
	return nil
}

func same(s string) string { return s }

// matches tells whether a pattern with * and ? takes the value.
func (l list) matches(value string, fold func(string) string) bool {
	return slices.ContainsFunc(l, func(pattern string) bool {
		return like(fold(pattern), fold(value))
	})
}

// like is path.Match without its classes, escapes and separators.
func like(pattern, value string) bool {
	flat := strings.NewReplacer("/", "\x00", "[", "\x01", "\\", "\x02")
	ok, err := path.Match(flat.Replace(pattern), flat.Replace(value))
	return ok && err == nil
}
