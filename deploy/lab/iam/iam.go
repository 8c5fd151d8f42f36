// Package iam is the lab's IAM: it reads policies as AWS writes them, judges
// every call by them, and says so in AWS's words. It also answers the few calls
// of IAM and STS that somebody makes who sets up a role by hand, or asks
// beforehand what may be done.
//
// [Engine] decides on a [Call]: who, which action, on which resource, with
// which condition keys. [Gate] stands before the services and turns what comes
// off the wire into such calls, by the table in calls.go. What each call needs,
// and which keys it has, stands there with AWS's page; a call that is not in
// it is denied.
//
// What the lab does not know in a policy is an error when the policy is put:
// elements, condition operators, condition keys, kinds of principal. On AWS
// some of these load and then hold never or always.
//
// Not modelled: other accounts, organizations and their policies, session
// policies, access keys beyond those of functions, groups, federated
// principals, VPC endpoint policies, KMS grants. Every user is an
// administrator; explicit denies bind users as well.
package iam

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Enforcement says whose calls are judged.
type Enforcement int

const (
	// KnownRoles judges sessions of roles that were put, and what services do
	// with resources whose policies were put. All other calls are let through
	// and not recorded, so that a lab without roles needs none.
	KnownRoles Enforcement = iota
	// Everyone judges every call: a session of a role that was not put may do
	// nothing, and a service needs a resource's policy.
	Everyone
)

// Engine judges calls. Make it with [New]. It may be used concurrently.
type Engine struct {
	account, region string
	options         Options

	mu       sync.Mutex
	policies policies
	records  []Record
	noted    map[string]int // record by all that tells it from others
}

// Options of an engine. The zero value judges known roles by the real clock.
type Options struct {
	Enforcement Enforcement
	Now         func() time.Time // default time.Now
}

// New returns an engine for an account without roles and policies.
func New(account, region string, o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Engine{
		account: account, region: region, options: o,
		policies: policies{roles: map[string]*role{}, resources: map[string]attached{}},
		noted:    map[string]int{},
	}
}

// Role is a role with all that decides on what its sessions may do.
type Role struct {
	Name string
	Path string // default /
	// AssumeRolePolicy says who may be the role: lambda.amazonaws.com for a
	// function's.
	AssumeRolePolicy json.RawMessage
	Inline           map[string]json.RawMessage // by name
	Managed          map[string]json.RawMessage // by ARN
	Boundary         json.RawMessage            // permissions boundary, nil for none

	created time.Time
}

var (
	roleName   = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	policyName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
	rolePath   = regexp.MustCompile(`^/([\w+=,.@-]+/)*$`)
)

// PutRole adds a role, or replaces the one of that name. The error names every
// statement that is wrong.
func (e *Engine) PutRole(r Role) error {
	r.Path = cmp.Or(r.Path, "/")
	if r.created.IsZero() {
		r.created = e.options.Now()
	}
	if !roleName.MatchString(r.Name) || !rolePath.MatchString(r.Path) || len(r.Path) > 512 {
		return fmt.Errorf("role %q with path %q: not a name, or not a path", r.Name, r.Path)
	}
	c := &role{Role: r, arn: e.RoleARN(r.Path, r.Name)}
	var errs []error
	compile := func(name string, document json.RawMessage, k kind) attached {
		p, err := parsePolicy(document, k)
		if err != nil {
			errs = append(errs, fmt.Errorf("role %s: %s: %w", r.Name, name, err))
		}
		return attached{name: name, policy: p}
	}
	trust := compile(c.arn, r.AssumeRolePolicy, trustPolicy)
	for _, name := range slices.Sorted(maps.Keys(r.Inline)) {
		c.identity = append(c.identity, compile(r.Name+"/"+name, r.Inline[name], identityPolicy))
	}
	for _, arn := range slices.Sorted(maps.Keys(r.Managed)) {
		c.identity = append(c.identity, compile(arn, r.Managed[arn], identityPolicy))
	}
	if r.Boundary != nil {
		b := compile(r.Name+" permissions boundary", r.Boundary, identityPolicy)
		c.boundary = &b
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(r.Name)
	e.policies.roles[r.Name], e.policies.resources[c.arn] = c, trust
	return nil
}

// DeleteRole removes a role; its sessions may do nothing more where all roles
// are judged.
func (e *Engine) DeleteRole(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(name)
}

func (e *Engine) drop(name string) {
	if r := e.policies.roles[name]; r != nil {
		delete(e.policies.resources, r.arn)
		delete(e.policies.roles, name)
	}
}

// Role returns a role by its name.
func (e *Engine) Role(name string) (Role, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.policies.roles[name]
	if r == nil {
		return Role{}, false
	}
	return r.Role, true
}

// RoleARN returns the ARN of a role, whether it exists or not.
func (e *Engine) RoleARN(path, name string) string {
	return "arn:aws:iam::" + e.account + ":role" + path + name
}

// PutResourcePolicy attaches a policy to a resource: a bucket, a secret, a
// function or one of its aliases, a topic, a queue, a key. It takes the place
// of the one before; nil takes it away.
func (e *Engine) PutResourcePolicy(arn string, document json.RawMessage) error {
	if document == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.policies.resources, arn)
		return nil
	}
	p, err := parsePolicy(document, resourcePolicy)
	if err != nil {
		return fmt.Errorf("policy of %s: %w", arn, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.policies.resources[arn] = attached{name: arn, policy: p}
	return nil
}

// Call is one action on one resource.
type Call struct {
	Principal string // ARN of a user or of a session of a role, or the name of a service
	Action    string // secretsmanager:GetSecretValue
	Resource  string // ARN; * for actions that have none
	Keys      Keys   // those that do not follow from the rest
}

// Authorize decides on a call and records the decision. Keys that follow from
// the caller, the resource and the clock are added to those of the call.
func (e *Engine) Authorize(_ context.Context, c Call) Decision {
	who, err := callerOf(c.Principal)
	if err != nil {
		return Decision{Reason: "because " + err.Error()}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.judged(who, c.Resource) {
		return Decision{Allowed: true}
	}
	who = e.policies.complete(who)
	q := inquiry{Call: c, caller: who, keys: e.keys(who, c)}
	d := e.policies.judge(q)
	e.note(q, d)
	return d
}

// Judges tells whether the calls of a user or a session are judged at all.
func (e *Engine) Judges(principal string) bool {
	c, err := callerOf(principal)
	e.mu.Lock()
	defer e.mu.Unlock()
	return err != nil || e.judged(c, "")
}

// judged tells whether a caller's calls are judged.
func (e *Engine) judged(c caller, resource string) bool {
	_, hasPolicy := e.policies.resources[policyHolder(resource)]
	return e.options.Enforcement == Everyone || e.policies.roles[c.role] != nil || c.service != "" && hasPolicy
}

// complete gives the ARN of a session's role its path.
func (p policies) complete(c caller) caller {
	if r := p.roles[c.role]; r != nil {
		c.roleARN = r.arn
	}
	return c
}

// keys returns the condition keys of a call.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (e *Engine) keys(c caller, call Call) Keys {
	now := e.options.Now().UTC()
	k := Keys{
		"aws:CurrentTime":           {now.Format(time.RFC3339)},
		"aws:EpochTime":             {strconv.FormatInt(now.Unix(), 10)},
		"aws:PrincipalIsAWSService": {strconv.FormatBool(c.service != "")},
		"aws:RequestedRegion":       {e.region},
		"aws:SecureTransport":       {"true"},
		"aws:ViaAWSService":         {"false"},
	}
	if p := strings.SplitN(call.Resource, ":", 6); len(p) == 6 && p[4] != "" {
		k["aws:ResourceAccount"] = []string{p[4]}
	} else if strings.HasPrefix(call.Resource, "arn:aws:s3:::") {
		k["aws:ResourceAccount"] = []string{e.account}
		k["s3:TlsVersion"] = []string{"1.3"}
	}
	name := c.arn[strings.LastIndexByte(c.arn, '/')+1:] // of the user or the session
	switch {
	case c.service != "":
		k["aws:PrincipalServiceName"] = []string{c.service}
	case c.role != "":
		k["aws:PrincipalArn"], k["aws:PrincipalType"] = []string{c.roleARN}, []string{"AssumedRole"}
		k["aws:userid"] = []string{uniqueID("AROA", c.roleARN) + ":" + name}
	default:
		k["aws:PrincipalArn"], k["aws:PrincipalType"] = []string{c.arn}, []string{"User"}
		k["aws:userid"], k["aws:username"] = []string{uniqueID("AIDA", c.arn)}, []string{name}
	}
	if c.account != "" {
		k["aws:PrincipalAccount"] = []string{c.account}
	}
	return k.lower().with(call.Keys.lower())
}

// uniqueID returns the id that AWS gives a role or a user beside its name: the
// same one for the same ARN.
func uniqueID(prefix, arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return prefix + base32.StdEncoding.EncodeToString(sum[:10])
}
