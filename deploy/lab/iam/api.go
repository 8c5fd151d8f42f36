package iam

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// api answers the calls of IAM and STS that somebody makes who sets up a role
// by hand, or who asks beforehand what may be done. Lists come in one page.
type api struct {
	engine  *Engine
	actions map[string]action
	mu      sync.Mutex // of a role that is read, changed and put
}

// HandleIn has a front serve the APIs of IAM and STS.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (e *Engine) HandleIn(f *wire.Front) {
	f.HandleQuery("iam", "https://iam.amazonaws.com/doc/2010-05-08/", newAPI(e))
	f.HandleQuery("sts", "https://sts.amazonaws.com/doc/2011-06-15/", sts{e})
}

func newAPI(e *Engine) *api {
	a := &api{engine: e}
	a.actions = map[string]action{
		"AttachRolePolicy":         {a.attachRolePolicy, "RoleName PolicyArn"},
		"CreateRole":               {a.createRole, "RoleName Path AssumeRolePolicyDocument Description MaxSessionDuration"},
		"DeleteRole":               {a.deleteRole, "RoleName"},
		"DeleteRolePolicy":         {a.deleteRolePolicy, "RoleName PolicyName"},
		"DetachRolePolicy":         {a.detachRolePolicy, "RoleName PolicyArn"},
		"GetRole":                  {a.getRole, "RoleName"},
		"GetRolePolicy":            {a.getRolePolicy, "RoleName PolicyName"},
		"ListAttachedRolePolicies": {a.listAttachedRolePolicies, "RoleName PathPrefix MaxItems"},
		"ListRolePolicies":         {a.listRolePolicies, "RoleName MaxItems"},
		"PutRolePolicy":            {a.putRolePolicy, "RoleName PolicyName PolicyDocument"},
		"SimulatePrincipalPolicy":  {a.simulatePrincipalPolicy, "PolicySourceArn ActionNames ResourceArns ContextEntries"},
	}
	return a
}

// Serve implements wire.Service.
func (a *api) Serve(_ context.Context, r wire.Request) (any, error) {
	act, ok := a.actions[r.Action]
	if !ok {
		return nil, invalidAction(r.Action)
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, &wire.Error{Code: "MalformedQueryString", Message: err.Error()}
	}
	for name := range form {
		name, _, _ := strings.Cut(name, ".member.")
		if name != "Action" && name != "Version" && !slices.Contains(strings.Fields(act.members), name) {
			return nil, &wire.Error{Code: "ValidationError", Message: "The lab's " + r.Action + " does not know " + name + "."}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return act.serve(form)
}

// action serves an action, which has only these members here.
type action struct {
	serve   func(url.Values) (any, error)
	members string
}

// sts answers GetCallerIdentity.
type sts struct{ engine *Engine }

// Serve implements wire.Service.
func (s sts) Serve(_ context.Context, r wire.Request) (any, error) {
	if r.Action != "GetCallerIdentity" {
		return nil, invalidAction(r.Action)
	}
	c, err := callerOf(r.Caller.ARN)
	if err != nil {
		return nil, err
	}
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	return struct{ Arn, UserId, Account string }{c.arn, e.keys(e.policies.complete(c), Call{})["aws:userid"][0], c.account}, nil
}

func invalidAction(name string) error {
	return &wire.Error{Code: "InvalidAction", Message: "Could not find operation " + name}
}

func noSuchEntity(what, name string) error {
	return &wire.Error{Code: "NoSuchEntity", Status: http.StatusNotFound, Message: "The " + what + " with name " + name + " cannot be found."}
}

// roleXML is a role in an answer; its policy is encoded as in a URL.
type roleXML struct {
	Path, RoleName, RoleId, Arn, CreateDate, AssumeRolePolicyDocument string
	MaxSessionDuration                                                int
}

func (a *api) describe(r Role) roleXML {
	arn := a.engine.RoleARN(r.Path, r.Name)
	return roleXML{
		Path: r.Path, RoleName: r.Name, RoleId: uniqueID("AROA", arn), Arn: arn, CreateDate: r.created.UTC().Format(time.RFC3339),
		AssumeRolePolicyDocument: escape(r.AssumeRolePolicy), MaxSessionDuration: 3600,
	}
}

// escape encodes a document as RFC 3986 has it: a space is %20.
func escape(document json.RawMessage) string {
	return strings.ReplaceAll(url.QueryEscape(string(document)), "+", "%20")
}

func (a *api) role(form url.Values) (Role, error) {
	name := form.Get("RoleName")
	r, ok := a.engine.Role(name)
	if !ok {
		return Role{}, noSuchEntity("role", name)
	}
	r.Inline, r.Managed = maps.Clone(r.Inline), maps.Clone(r.Managed)
	return r, nil
}

// put stores a role; what is wrong with its policies is what the caller sent.
func (a *api) put(r Role) error {
	if err := a.engine.PutRole(r); err != nil {
		return &wire.Error{Code: "MalformedPolicyDocument", Message: err.Error()}
	}
	return nil
}

func (a *api) createRole(form url.Values) (any, error) {
	r := Role{
		Name: form.Get("RoleName"), Path: cmp.Or(form.Get("Path"), "/"), AssumeRolePolicy: json.RawMessage(form.Get("AssumeRolePolicyDocument")),
		created: a.engine.options.Now(),
	}
	if !roleName.MatchString(r.Name) || !rolePath.MatchString(r.Path) {
		return nil, &wire.Error{Code: "ValidationError", Message: "The specified value for roleName or path is invalid."}
	}
	if _, ok := a.engine.Role(r.Name); ok {
		return nil, &wire.Error{Code: "EntityAlreadyExists", Status: http.StatusConflict, Message: "Role with name " + r.Name + " already exists."}
	}
	if err := a.put(r); err != nil {
		return nil, err
	}
	return struct{ Role roleXML }{a.describe(r)}, nil
}

func (a *api) getRole(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	return struct{ Role roleXML }{a.describe(r)}, nil
}

func (a *api) deleteRole(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	for what, n := range map[string]int{"delete policies": len(r.Inline), "detach all policies": len(r.Managed)} {
		if n > 0 {
			return nil, &wire.Error{Code: "DeleteConflict", Status: http.StatusConflict, Message: "Cannot delete entity, must " + what + " first."}
		}
	}
	a.engine.DeleteRole(r.Name)
	return nil, nil
}

func (a *api) putRolePolicy(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	name := form.Get("PolicyName")
	if !policyName.MatchString(name) {
		return nil, &wire.Error{Code: "ValidationError", Message: "The specified value for policyName is invalid."}
	}
	if r.Inline == nil {
		r.Inline = map[string]json.RawMessage{}
	}
	r.Inline[name] = json.RawMessage(form.Get("PolicyDocument"))
	return nil, a.put(r)
}

func (a *api) getRolePolicy(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	name := form.Get("PolicyName")
	document, ok := r.Inline[name]
	if !ok {
		return nil, noSuchEntity("role policy", name)
	}
	return struct{ RoleName, PolicyName, PolicyDocument string }{r.Name, name, escape(document)}, nil
}

func (a *api) listRolePolicies(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	return struct {
		PolicyNames []string `xml:"PolicyNames>member"`
		IsTruncated bool
	}{PolicyNames: slices.Sorted(maps.Keys(r.Inline))}, nil
}

func (a *api) deleteRolePolicy(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	name := form.Get("PolicyName")
	if _, ok := r.Inline[name]; !ok {
		return nil, noSuchEntity("role policy", name)
	}
	delete(r.Inline, name)
	return nil, a.put(r)
}

func (a *api) attachRolePolicy(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	arn := form.Get("PolicyArn")
	document, ok := ManagedPolicy(arn)
	if !ok {
		return nil, &wire.Error{Code: "NoSuchEntity", Status: http.StatusNotFound, Message: "Policy " + arn + " does not exist or is not attachable."}
	}
	if r.Managed == nil {
		r.Managed = map[string]json.RawMessage{}
	}
	r.Managed[arn] = document
	return nil, a.put(r)
}

func (a *api) detachRolePolicy(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	arn := form.Get("PolicyArn")
	if _, ok := r.Managed[arn]; !ok {
		return nil, &wire.Error{Code: "NoSuchEntity", Status: http.StatusNotFound, Message: "Policy " + arn + " was not found."}
	}
	delete(r.Managed, arn)
	return nil, a.put(r)
}

func (a *api) listAttachedRolePolicies(form url.Values) (any, error) {
	r, err := a.role(form)
	if err != nil {
		return nil, err
	}
	type attached struct{ PolicyName, PolicyArn string }
	var list []attached
	for _, arn := range slices.Sorted(maps.Keys(r.Managed)) {
		list = append(list, attached{arn[strings.LastIndexByte(arn, '/')+1:], arn})
	}
	return struct {
		AttachedPolicies []attached `xml:"AttachedPolicies>member"`
		IsTruncated      bool
	}{AttachedPolicies: list}, nil
}

// membersOf returns the members of a list.
func membersOf(form url.Values, list string) (values []string) {
	for i := 1; form.Has(list + ".member." + strconv.Itoa(i)); i++ {
		values = append(values, form.Get(list+".member."+strconv.Itoa(i)))
	}
	return values
}

// contextOf returns the condition keys that a simulation takes for given.
func contextOf(form url.Values) Keys {
	keys := Keys{}
	for i := 1; form.Has("ContextEntries.member." + strconv.Itoa(i) + ".ContextKeyName"); i++ {
		entry := "ContextEntries.member." + strconv.Itoa(i) + "."
		keys[form.Get(entry+"ContextKeyName")] = membersOf(form, entry+"ContextKeyValues")
	}
	return keys
}

// simulationXML is the answer for one action on one resource.
type simulationXML struct{ EvalActionName, EvalResourceName, EvalDecision string }

// simulatePrincipalPolicy answers in one page, and does not tell which
// statements matched.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (a *api) simulatePrincipalPolicy(form url.Values) (any, error) {
	actions, resources := membersOf(form, "ActionNames"), membersOf(form, "ResourceArns")
	if len(actions) == 0 {
		return nil, &wire.Error{Code: "ValidationError", Message: "1 validation error detected: Value null at 'actionNames' failed to satisfy constraint: Member must not be null"}
	}
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	var list []simulationXML
	for _, action := range actions {
		for _, on := range resources {
			decision, err := a.engine.simulate(form.Get("PolicySourceArn"), action, on, contextOf(form))
			if err != nil {
				return nil, err
			}
			list = append(list, simulationXML{action, on, decision})
		}
	}
	return struct {
		EvaluationResults []simulationXML `xml:"EvaluationResults>member"`
		IsTruncated       bool
	}{EvaluationResults: list}, nil
}
