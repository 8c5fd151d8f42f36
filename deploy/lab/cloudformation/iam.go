package cloudformation

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

var iamKinds = map[string]kind{
	"AWS::IAM::Role":          define(definition[roleProperties]{attributes: []string{"Arn", "RoleId"}, create: createRole, update: updateRole, remove: removeRole}),
	"AWS::IAM::Policy":        define(definition[policyProperties]{create: createPolicy, update: updatePolicy, remove: removePolicy}),
	"AWS::IAM::RolePolicy":    define(definition[rolePolicyProperties]{create: createRolePolicy, update: updateRolePolicy, remove: removeRolePolicy}),
	"AWS::IAM::ManagedPolicy": define(definition[managedPolicyProperties]{attributes: []string{"PolicyArn"}, create: createManagedPolicy, update: updateManagedPolicy, remove: removeManagedPolicy}),
}

// longestRole bounds the name of a role.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const longestRole = 64

type inlinePolicy struct {
	PolicyName     string   `cfn:"required"`
	PolicyDocument document `cfn:"required"`
}

type roleProperties struct {
	AssumeRolePolicyDocument document `cfn:"required"`
	Description              string
	ManagedPolicyArns        []string
	MaxSessionDuration       int64
	Path                     string `cfn:"fixed"`
	PermissionsBoundary      string
	Policies                 []inlinePolicy
	RoleName                 string `cfn:"name"`
	Tags                     []Tag
}

func createRole(t *task, p *roleProperties) (entity, error) {
	name := cmp.Or(p.RoleName, t.name(longestRole))
	if err := t.claim("AWS::IAM::Role", name); err != nil {
		return entity{}, err
	}
	e := entity{ID: name, Attributes: map[string]string{
		"Arn":    "arn:aws:iam::" + t.options.Account + ":role" + cmp.Or(p.Path, "/") + name,
		"RoleId": "AROA" + t.unique(name)[:17],
	}}
	if _, err := updateRole(t, e, nil, p); err != nil {
		t.release("AWS::IAM::Role", name)
		return entity{}, err
	}
	return e, nil
}

// updateRole puts the role with its own policies and those that are resources.
func updateRole(t *task, e entity, _, p *roleProperties) (entity, error) {
	r := Role{
		Name: e.ID, Path: cmp.Or(p.Path, "/"), Trust: json.RawMessage(p.AssumeRolePolicyDocument),
		Managed: p.ManagedPolicyArns, Boundary: p.PermissionsBoundary, Inline: map[string]json.RawMessage{},
	}
	for _, policy := range p.Policies {
		r.Inline[policy.PolicyName] = json.RawMessage(policy.PolicyDocument)
	}
	t.Service.mu.Lock()
	was, existed := t.roles[e.ID]
	t.roles[e.ID] = r
	t.Service.mu.Unlock()
	if err := t.putRole(e.ID); err != nil {
		t.Service.mu.Lock()
		if t.roles[e.ID] = was; !existed {
			delete(t.roles, e.ID)
		}
		t.Service.mu.Unlock()
		return e, err
	}
	return e, nil
}

// putRole hands a role over with all its policies.
func (t *task) putRole(name string) error {
	t.Service.mu.Lock()
	r, known := t.roles[name]
	r.Inline = maps.Clone(r.Inline)
	maps.Copy(r.Inline, t.inline[name])
	t.Service.mu.Unlock()
	if !known {
		return noSuch("The role with name " + name + " cannot be found.")
	}
	return t.options.Policies.PutRole(r)
}

func noSuch(message string) error {
	return &refusal{Service: "Iam", Code: "NoSuchEntity", Message: message, Status: 404, RequestID: "n/a"}
}

func removeRole(t *task, e entity, _ *roleProperties) error {
	t.options.Policies.DeleteRole(e.ID)
	t.Service.mu.Lock()
	delete(t.roles, e.ID)
	t.Service.mu.Unlock()
	t.release("AWS::IAM::Role", e.ID)
	return nil
}

// policyProperties has no users and groups: the lab has none.
type policyProperties struct {
	PolicyDocument document `cfn:"required"`
	PolicyName     string   `cfn:"required,fixed"`
	Roles          []string `cfn:"required"`
}

func createPolicy(t *task, p *policyProperties) (entity, error) {
	e := entity{ID: t.name(longestRole)}
	return e, t.attach(p.PolicyName, nil, p.Roles, p.PolicyDocument)
}

func updatePolicy(t *task, e entity, was, is *policyProperties) (entity, error) {
	return e, t.attach(is.PolicyName, was.Roles, is.Roles, is.PolicyDocument)
}

func removePolicy(t *task, _ entity, p *policyProperties) error {
	return t.attach(p.PolicyName, p.Roles, nil, nil)
}

// attach puts a policy to roles, and takes it from those that had it.
func (t *task) attach(policy string, had, get []string, text document) error {
	for _, role := range had {
		if !slices.Contains(get, role) {
			if err := t.setInline(role, policy, nil); err != nil && !isCode(err, "NoSuchEntity") {
				return err
			}
		}
	}
	for i, role := range get {
		if err := t.setInline(role, policy, text); err != nil {
			for _, done := range get[:i] {
				_ = t.setInline(done, policy, nil) // a role that took a policy can lose it
			}
			return err
		}
	}
	return nil
}

// setInline gives a role a policy, or takes it away for nil.
func (t *task) setInline(role, policy string, text document) error {
	t.Service.mu.Lock()
	if t.inline[role] == nil {
		t.inline[role] = map[string]json.RawMessage{}
	}
	was := t.inline[role][policy]
	set := func(text json.RawMessage) {
		if t.inline[role][policy] = text; text == nil {
			delete(t.inline[role], policy)
		}
	}
	set(json.RawMessage(text))
	t.Service.mu.Unlock()
	err := t.putRole(role)
	if err != nil {
		t.Service.mu.Lock()
		set(was)
		t.Service.mu.Unlock()
	}
	return err
}

type rolePolicyProperties struct {
	PolicyDocument document
	PolicyName     string `cfn:"required,fixed"`
	RoleName       string `cfn:"required,fixed"`
}

func createRolePolicy(t *task, p *rolePolicyProperties) (entity, error) {
	return entity{ID: p.PolicyName + "|" + p.RoleName}, t.setInline(p.RoleName, p.PolicyName, p.PolicyDocument)
}

func updateRolePolicy(t *task, e entity, _, p *rolePolicyProperties) (entity, error) {
	return e, t.setInline(p.RoleName, p.PolicyName, p.PolicyDocument)
}

func removeRolePolicy(t *task, _ entity, p *rolePolicyProperties) error {
	err := t.setInline(p.RoleName, p.PolicyName, nil)
	if isCode(err, "NoSuchEntity") {
		return nil
	}
	return err
}

type managedPolicyProperties struct {
	Description       string   `cfn:"fixed"`
	ManagedPolicyName string   `cfn:"name"`
	Path              string   `cfn:"fixed"`
	PolicyDocument    document `cfn:"required"`
}

func createManagedPolicy(t *task, p *managedPolicyProperties) (entity, error) {
	name := cmp.Or(p.ManagedPolicyName, t.name(128))
	arn := "arn:aws:iam::" + t.options.Account + ":policy" + cmp.Or(p.Path, "/") + name
	if err := t.claim("AWS::IAM::ManagedPolicy", arn); err != nil {
		return entity{}, err
	}
	if err := t.options.Policies.PutManagedPolicy(arn, json.RawMessage(p.PolicyDocument)); err != nil {
		t.release("AWS::IAM::ManagedPolicy", arn)
		return entity{}, err
	}
	return entity{ID: arn, Attributes: map[string]string{"PolicyArn": arn}}, nil
}

// updateManagedPolicy changes the policy for all roles that have it.
func updateManagedPolicy(t *task, e entity, _, p *managedPolicyProperties) (entity, error) {
	return e, t.options.Policies.PutManagedPolicy(e.ID, json.RawMessage(p.PolicyDocument))
}

func removeManagedPolicy(t *task, e entity, _ *managedPolicyProperties) error {
	t.release("AWS::IAM::ManagedPolicy", e.ID)
	return t.options.Policies.PutManagedPolicy(e.ID, nil)
}
