package rotate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// Action is what may be asked of the function beside rotations.
type Action string

const (
	// Reconcile brings hosts to what the secret says: its live key in, every retired one out. It serves
	// hosts that were born later, were offline, or left the fleet.
	Reconcile Action = "reconcile"
	// Adopt registers the value that AWSCURRENT holds and that was put by hand, so that it may be rolled
	// out. It changes no host.
	Adopt Action = "adopt"
	// Revoke ends trust in one fingerprint at once, whatever the grace, and reconciles. Asked again, it
	// goes on until nobody trusts the key.
	Revoke Action = "revoke"
)

// ActionRequest is the event of an action.
type ActionRequest struct {
	Action   Action
	SecretID string             `json:"SecretId"`   // ARN or name
	Hosts    []fleet.InstanceID `json:",omitempty"` // Reconcile, Revoke: only these; none stands for all
	DryRun   bool               `json:",omitempty"` // Reconcile: compare, and change nothing
	// Abandoned is the version whose rotation is known to have failed or to have been abandoned: its key
	// is retired at once. Reconcile only.
	Abandoned   string             `json:",omitempty"`
	Fingerprint sshkey.Fingerprint `json:",omitempty"` // Revoke
}

// ActionResult is what an action came to. Hosts that are not as they should be are no error of the
// call: they stand in it.
type ActionResult struct {
	Action     Action
	SecretARN  string `json:"SecretArn"`
	Version    string `json:",omitempty"` // AWSCURRENT
	Generation int64  `json:",omitempty"` // of the orders; 0 in a dry run
	DryRun     bool   `json:",omitempty"`
	// Unregistered: AWSCURRENT holds a value that was put by hand. Nothing of it is rolled out.
	Unregistered bool `json:",omitempty"`
	// Clean: every host and user is ok.
	Clean  bool
	Counts map[fleet.State]int `json:",omitempty"`
	Hosts  []HostResult        `json:",omitempty"` // by host, then user; those that left the fleet come last
	// Live, Pending and Retired are the secret's keys as hosts were told, by fingerprint.
	Live, Pending, Retired []sshkey.Fingerprint `json:",omitempty"`
	// LockedOut are the secrets whose AWSCURRENT was revoked: rotate them.
	LockedOut []string `json:",omitempty"`
	Note      string   `json:",omitempty"`
}

// HostResult is one user on one host, before and after.
type HostResult struct {
	Host       fleet.InstanceID
	User       string
	Was, State fleet.State // the same where nothing was changed
	Reason     string      `json:",omitempty"`
	Added      int         `json:",omitempty"` // lines written
	Removed    int         `json:",omitempty"` // lines removed
	// Trusted are the retired keys that are still there.
	Trusted   []sshkey.Fingerprint `json:",omitempty"`
	CommandID string               `json:"CommandId,omitempty"`
	// Elsewhere: the account is none of the secret's, and holds a retired key or may. Only a dry run looks
	// for that, and nothing takes it away.
	Elsewhere bool `json:",omitempty"`
}

// parseAction reads an action's event.
func parseAction(event json.RawMessage) (ActionRequest, error) {
	var req ActionRequest
	if err := json.Unmarshal(event, &req); err != nil {
		return ActionRequest{}, err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch req.Action {
	case Reconcile, Adopt, Revoke:
	default:
		bad("unknown Action %q: want reconcile, adopt or revoke", req.Action)
	}
	if req.SecretID == "" {
		bad("SecretId is missing")
	}
	for _, h := range req.Hosts {
		if _, err := fleet.ParseInstanceID(string(h)); err != nil {
			errs = append(errs, err)
		}
	}
	if req.Action == Revoke && req.Fingerprint == "" {
		bad("Fingerprint is missing")
	}
	stray := func(name string, is bool) {
		if is {
			bad("%s does not go with %s", name, req.Action)
		}
	}
	stray("DryRun", req.DryRun && req.Action != Reconcile)
	stray("Abandoned", req.Abandoned != "" && req.Action != Reconcile)
	stray("Fingerprint", req.Fingerprint != "" && req.Action != Revoke)
	stray("Hosts", len(req.Hosts) > 0 && req.Action == Adopt)
	return req, errors.Join(errs...)
}

// act runs one action. Each may be asked again after any interruption.
func (r *Rotator) act(ctx context.Context, event json.RawMessage) (*ActionResult, error) {
	started := time.Now()
	req, err := parseAction(event)
	if err != nil {
		return nil, permanent(fmt.Errorf("read event: %w", err))
	}
	result, err := r.answer(ctx, req)
	r.logAction(ctx, req, result, time.Since(started), err)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.Action, err)
	}
	return result, nil
}

func (r *Rotator) answer(ctx context.Context, req ActionRequest) (*ActionResult, error) {
	if r.register == nil && req.Action != Reconcile {
		return nil, permanent(errors.New("it needs the register: set KEYTRAIL_BUCKET"))
	}
	subj, err := r.action(ctx, req)
	if err != nil {
		return nil, err
	}
	if req.DryRun {
		return r.reconcile(ctx, req, subj)
	}
	var result *ActionResult
	err = r.exclusively(ctx, subj.ARN, holder(ctx), func(ctx context.Context, generation int64) error {
		if subj, err = r.action(ctx, req); err != nil {
			return err
		}
		subj.generation = generation
		if req.Action == Adopt {
			result, err = r.adopt(ctx, subj)
		} else {
			result, err = r.reconcile(ctx, req, subj)
		}
		return err
	})
	return result, err
}

// action reads the secret that an action is about.
func (r *Rotator) action(ctx context.Context, req ActionRequest) (subject, error) {
	s, err := r.vault.describe(ctx, req.SecretID)
	if err != nil {
		return subject{}, err
	}
	if err := wanted.CheckHold(s.tags); err != nil && !req.DryRun {
		return subject{}, permanent(err)
	}
	of, err := r.config.limits().Subject(s.arn, s.name, s.tags)
	if err != nil {
		return subject{}, permanent(err)
	}
	return subject{of, s, 0}, nil
}

// holder names an invocation. Lambda retries an asynchronous one under the same id.
func holder(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" {
		return "invocation " + lc.AwsRequestID
	}
	return "invocation"
}

// adopt registers AWSCURRENT's value as one that may be rolled out.
func (r *Rotator) adopt(ctx context.Context, subj subject) (*ActionResult, error) {
	k, err := r.know(ctx, subj)
	if err != nil {
		return nil, err
	}
	id := k.Current()
	if id == "" {
		return nil, permanent(errors.New("no version is AWSCURRENT"))
	}
	val, err := r.vault.value(ctx, subj.ARN, id, "")
	if err != nil {
		return nil, err
	}
	key, err := val.pair()
	if err != nil {
		return nil, permanent(fmt.Errorf("version %s: %w", id, err))
	}
	result := &ActionResult{Action: Adopt, SecretARN: subj.ARN, Version: id, Generation: subj.generation,
		Clean: true, Live: []sshkey.Fingerprint{key.Public().Fingerprint()}}
	if k.Registered(id) && k.History.Has(register.Promoted, id) {
		result.Note = "the version is registered already"
		return result, nil
	}
	for _, f := range []register.Fact{
		{Kind: register.Created, Version: id, Keys: []sshkey.PublicKey{key.Public()}},
		{Kind: register.Adopted, Version: id},
		{Kind: register.Promoted, Version: id},
	} {
		if k.History.Has(f.Kind, id) {
			continue
		}
		if err := r.note(ctx, &k, f); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// reconcile serves Reconcile and Revoke.
func (r *Rotator) reconcile(ctx context.Context, req ActionRequest, subj subject) (*ActionResult, error) {
	action := fleet.Apply
	if req.DryRun {
		action = fleet.Inspect
	}
	nodes, err := r.fleet.Nodes(ctx, subj.Target)
	if err != nil {
		return nil, err
	}
	nodes = only(nodes, req.Hosts)
	result := &ActionResult{Action: req.Action, SecretARN: subj.ARN, Generation: subj.generation, DryRun: req.DryRun}
	var seen settled
	if r.register == nil {
		seen.fleet, err = r.reconcileByValues(ctx, subj, action, nodes, result)
	} else {
		seen, err = r.reconcileByRegister(ctx, req, subj, action, nodes, result)
	}
	result.add(seen.fleet, seen.strays)
	for _, h := range req.Hosts {
		if !result.has(h) {
			result.add(fleet.Observations{{Host: h, User: "*", State: fleet.Unreachable,
				Reason: "no managed node of the secret's target, and it never had a key of the secret"}})
		}
	}
	if len(result.Hosts) == 0 && err == nil {
		err = fmt.Errorf("%w has the tags %s", errNoHosts, subj.Target)
	}
	return result, err
}

func (r *Rotator) reconcileByRegister(ctx context.Context, req ActionRequest, subj subject, action fleet.Action, nodes []fleet.Node, result *ActionResult) (settled, error) {
	k, err := r.know(ctx, subj)
	if err != nil {
		return settled{}, err
	}
	if _, ok := k.History.PublicKey(req.Fingerprint); req.Action == Revoke && !ok {
		return settled{}, permanent(fmt.Errorf("%s is no key of the secret: it is nobody's to remove", req.Fingerprint))
	}
	for _, f := range news(k, req) {
		if req.DryRun {
			f.Secret, f.At = subj.ARN, time.Now()
			k.History.Facts = append(k.History.Facts, f)
		} else if err := r.note(ctx, &k, f); err != nil {
			return settled{}, err
		}
	}
	q, err := k.Question(ctx, r.vault.client, r.register, r.config.Grace)
	if err != nil {
		return settled{}, err
	}
	d := trust.Decide(q)
	result.Version, result.Unregistered, result.LockedOut = d.Current, d.Unregistered, d.LockedOut
	result.Live, result.Pending, result.Retired = wanted.Prints(d.Live), wanted.Prints(d.Pending), wanted.Prints(d.Retired)
	out, err := r.settle(ctx, subj, &k, q, action, nodes, req.Hosts)
	if !req.DryRun {
		r.bundle(ctx, k)
	}
	return out, err
}

// news returns the facts that a request tells, or that an interrupted finishSecret left out.
func news(k wanted.Knowledge, req ActionRequest) []register.Fact {
	var facts []register.Fact
	if id := k.Current(); k.Registered(id) && !k.History.Has(register.Promoted, id) {
		facts = append(facts, register.Fact{Kind: register.Promoted, Version: id})
	}
	id := req.Abandoned
	if k.Registered(id) && id != k.Current() && !k.History.Ended(id) {
		facts = append(facts, register.Fact{Kind: register.Abandoned, Version: id})
	}
	if req.Action == Revoke {
		facts = append(facts, register.Fact{Kind: register.Revoked, Fingerprint: req.Fingerprint})
	}
	return facts
}

// reconcileByValues serves Reconcile where no register is kept.
func (r *Rotator) reconcileByValues(ctx context.Context, subj subject, action fleet.Action, nodes []fleet.Node, result *ActionResult) (fleet.Observations, error) {
	id := subj.secret.version(labelCurrent)
	if id == "" {
		return nil, permanent(errors.New("no version is AWSCURRENT"))
	}
	val, err := r.vault.value(ctx, subj.ARN, id, "")
	if err != nil {
		return nil, err
	}
	key, err := val.pair()
	if err != nil {
		return nil, permanent(fmt.Errorf("version %s: %w", id, err))
	}
	p, err := r.planByValues(ctx, subj, id, key)
	if err != nil {
		return nil, err
	}
	result.Version, result.Live = id, []sshkey.Fingerprint{key.Public().Fingerprint()}
	result.Pending, result.Retired = p.Known, p.Retire
	return r.run(ctx, subj, nil, action, wanted.Job{Nodes: nodes, Users: subj.Users, Plan: p})
}

// only narrows nodes to some ids; none stands for all.
func only(nodes []fleet.Node, ids []fleet.InstanceID) []fleet.Node {
	if len(ids) == 0 {
		return nodes
	}
	return slices.DeleteFunc(nodes, func(n fleet.Node) bool { return !slices.Contains(ids, n.ID) })
}

// add tells what hosts answered.
func (a *ActionResult) add(seen ...fleet.Observations) {
	for _, o := range fleet.Join(seen...) {
		h := HostResult{Host: o.Host, User: o.User, Was: o.State, State: o.State, Reason: o.Reason,
			Added: o.Added, Removed: o.Removed, Trusted: o.Remaining, CommandID: o.CommandID, Elsewhere: o.Elsewhere}
		switch { // what keeps people out goes before what lets too many in
		case o.Added > 0:
			h.Was = fleet.Missing
		case o.Removed > 0:
			h.Was = fleet.Stale
		}
		a.Hosts = append(a.Hosts, h)
	}
	a.Counts = map[fleet.State]int{}
	for _, h := range a.Hosts {
		a.Counts[h.State]++
	}
	a.Clean = len(a.Live) > 0 && !a.Unregistered && a.Counts[fleet.OK] == len(a.Hosts)
}

func (a *ActionResult) has(id fleet.InstanceID) bool {
	return slices.ContainsFunc(a.Hosts, func(h HostResult) bool { return h.Host == id })
}
