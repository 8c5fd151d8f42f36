package iam

import (
	"slices"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Statement names one statement of one policy.
type Statement struct {
	// Policy is ROLE/NAME of an inline policy, the ARN of a managed one,
	// "ROLE permissions boundary", or the ARN of the resource or role that a
	// resource's policy or a trust policy is attached to.
	Policy string
	ID     string // the Sid, or #0 for the first statement without one
}

func (s Statement) String() string { return s.Policy + " " + s.ID }

// Decision is the answer to a call.
type Decision struct {
	Allowed bool
	// By are the statements that allowed the call, all of them needed, or the
	// one that denied it. It is empty for a call that nothing allows, and for
	// one that is not judged; see [Enforcement].
	By []Statement
	// Reason is why the call is denied, in AWS's words: "because no
	// identity-based policy allows the s3:GetObject action".
	Reason string
}

// attached is a policy where it stands.
type attached struct {
	name string
	policy
}

// role is a role with its policies, compiled.
type role struct {
	Role
	arn      string
	identity []attached
	boundary *attached
}

// policies is everything that a decision depends on beside the call.
type policies struct {
	roles     map[string]*role
	resources map[string]attached // by ARN; the trust policy of a role by the role's
}

// administrator is what users of the account may do.
var administrator = attached{name: "arn:aws:iam::aws:policy/AdministratorAccess", policy: policy{statements: []statement{{
	id: "#0", actions: []pattern{{source: "*", parts: []part{{wildcard: '*'}}}}, resources: []pattern{{source: "*", parts: []part{{wildcard: '*'}}}},
}}}}

// inquiry is a call with all its keys, in lower case, and its caller.
type inquiry struct {
	Call
	caller caller
	keys   Keys
}

// judge decides within one account: an explicit deny anywhere first; then the
// policy of the resource or those of the identity allow, each alone, within the
// permissions boundary. A service is let in by the resource's policy only, and
// KMS keys and roles let nobody in whom their own policy does not name.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html
func (p policies) judge(q inquiry) Decision {
	identity, boundary := p.of(q.caller)
	var resource []attached
	if a, ok := p.resources[policyHolder(q.Resource)]; ok {
		resource = []attached{a}
	}
	var limits []attached
	if boundary != nil {
		limits = []attached{*boundary}
	}
	for _, source := range []struct {
		words string
		list  []attached
	}{{"an identity-based policy", identity}, {"a permissions boundary", limits}, {"a resource-based policy", resource}} {
		if by, _ := first(source.list, q, true); by != nil {
			return Decision{By: []Statement{*by}, Reason: "with an explicit deny in " + source.words}
		}
	}
	byIdentity, _ := first(identity, q, false)
	byBoundary, _ := first(limits, q, false)
	byResource, as := first(resource, q, false)
	within := boundary == nil || byBoundary != nil
	switch strict := mustBeNamed(q.Call); {
	case as == direct, as == asRole && within:
		if as == direct {
			byBoundary = nil
		}
		return allowedBy(byResource, byBoundary)
	case q.caller.service != "", strict && as == stranger:
		return implied("no resource-based policy allows", q)
	case byIdentity == nil && as != asRole:
		return implied("no identity-based policy allows", q)
	case !within:
		return implied("no permissions boundary allows", q)
	case strict:
		return allowedBy(byResource, byIdentity, byBoundary)
	default:
		return allowedBy(byIdentity, byBoundary)
	}
}

func allowedBy(list ...*Statement) Decision {
	d := Decision{Allowed: true}
	for _, s := range list {
		if s != nil {
			d.By = append(d.By, *s)
		}
	}
	return d
}

func implied(words string, q inquiry) Decision {
	return Decision{Reason: "because " + words + " the " + q.Action + " action"}
}

// of returns the policies of a caller.
func (p policies) of(c caller) (identity []attached, boundary *attached) {
	if c.service != "" {
		return nil, nil
	}
	if c.role == "" {
		return []attached{administrator}, nil
	}
	if r := p.roles[c.role]; r != nil {
		return r.identity, r.boundary
	}
	return nil, nil
}

// simulate decides by the policies of a user or a role alone, and their
// permissions boundary, as SimulatePrincipalPolicy does. There is no request, so
// that no condition key has a value but those that are given. Nothing is
// recorded.
func (e *Engine) simulate(source, action, on string, given Keys) (decision string, err error) {
	c, err := callerOf(source)
	if err != nil || !strings.HasPrefix(source, "arn:aws:iam::") {
		return "", &wire.Error{Code: "InvalidInput", Message: "Invalid Entity Arn: " + source + " does not clearly define entity type and name."}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, name, isRole := strings.Cut(source, ":role/"); isRole {
		c.role = name[strings.LastIndexByte(name, '/')+1:]
		if r := e.policies.roles[c.role]; r == nil || r.arn != source {
			return "", noSuchEntity("role", c.role)
		}
	}
	q := inquiry{Call: Call{Principal: source, Action: action, Resource: on}, caller: c, keys: given.lower()}
	list, boundary := e.policies.of(c)
	limits := []attached{administrator}
	if boundary != nil {
		limits = []attached{*boundary}
	}
	if by, _ := first(slices.Concat(list, limits), q, true); by != nil {
		return "explicitDeny", nil
	}
	byIdentity, _ := first(list, q, false)
	byBoundary, _ := first(limits, q, false)
	if byIdentity == nil || byBoundary == nil {
		return "implicitDeny", nil
	}
	return "allowed", nil
}

// policyHolder returns the ARN that the policy for a resource is attached to:
// that of the bucket for an object, else its own.
func policyHolder(resource string) string {
	if strings.HasPrefix(resource, "arn:aws:s3:::") {
		resource, _, _ = strings.Cut(resource, "/")
	}
	return resource
}

// mustBeNamed tells whether the resource's own policy has to let the caller in,
// or leave it to the account.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
func mustBeNamed(c Call) bool {
	return strings.HasPrefix(c.Resource, "arn:aws:kms:") || strings.EqualFold(c.Action, "sts:AssumeRole")
}

// first returns the first statement with an effect that matches, and how it
// names the caller; of several that allow, the one that names it best.
func first(list []attached, q inquiry, deny bool) (by *Statement, as standing) {
	for _, a := range list {
		for _, s := range a.statements {
			if s.deny != deny || !s.matches(q) {
				continue
			}
			named := s.names(q.caller)
			if named == stranger || by != nil && named <= as {
				continue
			}
			by, as = &Statement{Policy: a.name, ID: s.id}, named
		}
	}
	return by, as
}

// names tells how a statement names the caller. One of an identity's policy
// needs not.
func (s statement) names(c caller) standing {
	switch {
	case s.principal == nil:
		return direct
	case !s.notPrincipal:
		return s.principal.includes(c)
	case s.principal.spares(c):
		return stranger
	default:
		return direct
	}
}

// matches tells whether a statement is about the call.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
func (s statement) matches(q inquiry) bool {
	any := func(list []pattern, match func(pattern) bool) bool {
		for _, p := range list {
			if match(p) {
				return true
			}
		}
		return false
	}
	if s.notActions == any(s.actions, func(p pattern) bool { return p.matchesFold(q.Action, nil) }) {
		return false
	}
	if s.resources != nil && s.notResources == any(s.resources, func(p pattern) bool { return p.matches(q.Resource, q.keys) }) {
		return false
	}
	for _, c := range s.conditions {
		if !c.holds(q.keys) {
			return false
		}
	}
	return true
}

// without returns the policies with one statement taken away, or one action of
// it if an action is named.
func (p policies) without(s Statement, action string) policies {
	out := policies{roles: map[string]*role{}, resources: map[string]attached{}}
	for name, r := range p.roles {
		c := *r
		c.identity = nil
		for _, a := range r.identity {
			c.identity = append(c.identity, a.without(s, action))
		}
		if r.boundary != nil {
			b := r.boundary.without(s, action)
			c.boundary = &b
		}
		out.roles[name] = &c
	}
	for arn, a := range p.resources {
		out.resources[arn] = a.without(s, action)
	}
	return out
}

func (a attached) without(s Statement, action string) attached {
	if a.name != s.Policy {
		return a
	}
	out := attached{name: a.name}
	for _, st := range a.statements {
		if st.id == s.ID {
			var left []pattern
			for _, p := range st.actions {
				if action != "" && p.source != action {
					left = append(left, p)
				}
			}
			if st.actions = left; left == nil {
				continue
			}
		}
		out.statements = append(out.statements, st)
	}
	return out
}
