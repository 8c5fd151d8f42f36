package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// principals is who a statement of a resource's policy is about.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
type principals struct {
	everyone bool
	arns     []string // of users, roles and sessions
	accounts []string
	services []string
}

var (
	accountID    = regexp.MustCompile(`^\d{12}$`)
	accountRoot  = regexp.MustCompile(`^arn:aws:iam::(\d{12}):root$`)
	principalARN = regexp.MustCompile(`^arn:aws:(iam::\d{12}:(user|role)|sts::\d{12}:assumed-role)/[\w+=,.@/-]+$`)
	serviceName  = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com$`)
)

func parsePrincipals(raw json.RawMessage) (*principals, error) {
	if t, err := text(raw); err == nil {
		if t != "*" {
			return nil, fmt.Errorf("principal %q: only * may stand alone", t)
		}
		return &principals{everyone: true}, nil
	}
	m, err := object(raw)
	if err != nil {
		return nil, fmt.Errorf("principal: %w", err)
	}
	if err := only(m, "AWS", "Service"); err != nil {
		return nil, fmt.Errorf("principal: %w", err)
	}
	p := &principals{}
	for name, raw := range m {
		values, err := texts(raw)
		if err != nil {
			return nil, fmt.Errorf("principal: %w", err)
		}
		for _, v := range values {
			if err := p.add(name, v); err != nil {
				return nil, err
			}
		}
	}
	if len(m) == 0 {
		return nil, errors.New("principal: nobody")
	}
	return p, nil
}

func (p *principals) add(name, v string) error {
	root := accountRoot.FindStringSubmatch(v)
	switch {
	case name == "Service" && serviceName.MatchString(v):
		p.services = append(p.services, v)
	case name == "AWS" && v == "*":
		p.everyone = true
	case name == "AWS" && root != nil:
		p.accounts = append(p.accounts, root[1])
	case name == "AWS" && accountID.MatchString(v):
		p.accounts = append(p.accounts, v)
	case name == "AWS" && principalARN.MatchString(v):
		p.arns = append(p.arns, v)
	default:
		return fmt.Errorf("principal: %s %q is not known", name, v)
	}
	return nil
}

// standing is how a resource's policy names a caller.
type standing int

const (
	stranger  standing = iota
	delegated          // through the account, which leaves it to the policies of the identity
	asRole             // through the role's ARN or everyone: a permissions boundary limits it
	direct             // by the ARN of the user or session, or as a service
)

// includes tells how a caller is named.
func (p *principals) includes(c caller) standing {
	switch {
	case c.service != "":
		if p.everyone || slices.Contains(p.services, c.service) {
			return direct
		}
		return stranger
	case slices.Contains(p.arns, c.arn):
		return direct
	case p.everyone || c.roleARN != "" && slices.Contains(p.arns, c.roleARN):
		return asRole
	case slices.Contains(p.accounts, c.account):
		return delegated
	default:
		return stranger
	}
}

// spares tells whether a NotPrincipal leaves a caller out. A session must be
// named by its account, its role and itself.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
func (p *principals) spares(c caller) bool {
	if c.service != "" {
		return p.includes(c) != stranger
	}
	return p.everyone || slices.Contains(p.accounts, c.account) && slices.Contains(p.arns, c.arn) &&
		(c.roleARN == "" || slices.Contains(p.arns, c.roleARN))
}

// caller is a principal of a call, taken apart.
type caller struct {
	arn, account string // of a user or of a session of a role
	role         string // name of the role, "" for others
	roleARN      string
	service      string // lambda.amazonaws.com, "" for others
}

// callerOf reads the ARN of a user or a session, or the name of a service.
func callerOf(principal string) (caller, error) {
	if serviceName.MatchString(principal) {
		return caller{service: principal}, nil
	}
	p := strings.SplitN(principal, ":", 6)
	if len(p) != 6 || p[0] != "arn" || !principalARN.MatchString(principal) {
		return caller{}, fmt.Errorf("%q is no principal", principal)
	}
	c := caller{arn: principal, account: p[4]}
	if rest, ok := strings.CutPrefix(p[5], "assumed-role/"); ok {
		c.role, _, _ = strings.Cut(rest, "/")
		c.roleARN = "arn:aws:iam::" + c.account + ":role/" + c.role // with its path once the role is known
	}
	return c, nil
}
