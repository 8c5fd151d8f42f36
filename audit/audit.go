package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// Config is what an auditor is told of the stack; it must be what rotate is told.
type Config struct {
	Limits    wanted.Limits
	AllowRoot bool
	Grace     time.Duration
}

// instances tells of EC2 instances what Systems Manager does not. *EC2 is one.
type instances interface {
	Tagged(context.Context, fleet.Target) ([]Instance, error)
	Terminated(context.Context, []fleet.InstanceID) ([]fleet.InstanceID, error)
}

// Auditor verifies secrets. Make it with New.
type Auditor struct {
	config    Config
	secrets   secrets
	register  *register.Register
	fleet     *fleet.Fleet
	instances instances
}

// New returns an Auditor that reads through the given clients. The fleet's inspect document is the only
// one that it sends.
func New(config Config, secretsManager *secretsmanager.Client, reg *register.Register, hosts *fleet.Fleet, instances instances) *Auditor {
	return &Auditor{config, secrets{secretsManager}, reg, hosts, instances}
}

// Describe reads what Secrets Manager says of a secret, by ARN or name. wanted.ErrGone when there is none.
func (a *Auditor) Describe(ctx context.Context, secretID string) (Secret, error) {
	return a.secrets.describe(ctx, secretID)
}

// Secrets lists all secrets of the account and Region, deleted ones that can be restored included. What a
// list says of a secret may be some seconds old.
func (a *Auditor) Secrets(ctx context.Context) ([]Secret, error) { return a.secrets.list(ctx) }

// Registered returns the ARNs of the secrets that rotate ever registered a key of.
func (a *Auditor) Registered(ctx context.Context) ([]string, error) {
	keys, err := a.register.Fingerprints(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Compact(slices.Sorted(maps.Values(keys))), nil
}

// Verify asks every host that a secret concerns what it trusts: those of its fleet, EC2 instances that
// have the tags of its target, and those that the register says had its keys once. The secret is as
// Describe returned it; its tags say which hosts and users it is for. Hosts that cannot be asked are in
// the verdict, not in the error. The error says that the verdict could not be made at all. Where some hosts
// are named, no other is asked or in the verdict.
func (a *Auditor) Verify(ctx context.Context, s Secret, hosts ...fleet.InstanceID) (Verdict, error) {
	subject, err := a.config.Limits.Subject(s.ARN, s.Name, s.Tags)
	if err != nil {
		return Verdict{}, fmt.Errorf("verify %s: %w", s.Name, err)
	}
	view := a.register.View()
	k, err := wanted.Read(ctx, a.secrets.client, view, subject)
	if err != nil {
		return Verdict{}, fmt.Errorf("verify %s: %w", s.Name, err)
	}
	q, err := k.Question(ctx, a.secrets.client, view, a.config.Grace)
	if err != nil {
		return Verdict{}, fmt.Errorf("verify %s: %w", s.Name, err)
	}
	v := verdictOf(k, trust.Decide(q))
	if why, ok := s.Tags[wanted.TagHold]; ok {
		v.Held = &why
	}
	if err := a.inspect(ctx, k, q, view, &v, hosts); err != nil {
		return Verdict{}, fmt.Errorf("verify %s: %w", s.Name, err)
	}
	v.sort()
	return v, nil
}

// VerifyGone asks the hosts of a secret that Secrets Manager does not have any more: all of its keys are
// retired.
func (a *Auditor) VerifyGone(ctx context.Context, arn string) (Verdict, error) {
	view := a.register.View()
	history, err := view.Read(ctx, arn)
	if err != nil {
		return Verdict{}, err
	}
	k := wanted.Knowledge{Subject: wanted.Subject{ARN: arn, Name: NameOf(arn)}, At: time.Now(), History: history}
	q, err := k.Question(ctx, a.secrets.client, view, a.config.Grace)
	if err != nil {
		return Verdict{}, err
	}
	q.Secret.Gone = true
	v := verdictOf(k, trust.Decide(q))
	v.Gone = true
	if err := a.inspect(ctx, k, q, view, &v, nil); err != nil {
		return Verdict{}, fmt.Errorf("verify %s: %w", arn, err)
	}
	v.sort()
	return v, nil
}

// InTheWay returns what stood in the way of a rotation of a secret on hosts when it sent them its keys between two
// times: one place for each account that could not follow the newest order, and one without a user where a whole
// host gave no answer. An inspection does not see all of that: a full disk is met by those who write.
func (a *Auditor) InTheWay(ctx context.Context, secretARN string, from, to time.Time) ([]Place, error) {
	told, err := a.fleet.Trouble(ctx, fleet.Scope(secretARN), from, to)
	if err != nil {
		return nil, err
	}
	var all []Place
	for _, o := range told {
		all = append(all, Place{Host: o.Host, User: o.User, State: o.State, Reason: o.Reason, CommandID: o.CommandID})
	}
	return all, nil
}

// verdictOf is what can be said before any host is asked.
func verdictOf(k wanted.Knowledge, d trust.Decision) Verdict {
	v := Verdict{SecretARN: k.Subject.ARN, SecretName: k.Subject.Name, At: k.At, Version: d.Current, Unregistered: d.Unregistered}
	for _, part := range []struct {
		standing string
		keys     []trust.Key
	}{{"live", d.Live}, {"pending", d.Pending}, {"retired", d.Retired}} {
		for _, key := range part.keys {
			public, _ := k.History.PublicKey(key.Fingerprint)
			v.Keys = append(v.Keys, Key{key.Fingerprint, key.Version, part.standing, key.Reason, madeAt(k, key.Version), public.Algorithm(), public.Bits()})
			if key.Reason == trust.Current {
				v.Fingerprint = key.Fingerprint
			}
		}
	}
	return v
}

// madeAt is when the register got a version's key, zero where it does not say.
func madeAt(k wanted.Knowledge, version string) time.Time {
	for _, r := range k.History.Trust().Records {
		if r.Version == version {
			return r.Created
		}
	}
	return time.Time{}
}

// inspect asks the hosts, or only some, and adds their places to the verdict.
func (a *Auditor) inspect(ctx context.Context, k wanted.Knowledge, q trust.Question, view *register.View, v *Verdict, hosts []fleet.InstanceID) error {
	other := func(id fleet.InstanceID) bool { return len(hosts) > 0 && !slices.Contains(hosts, id) }
	var nodes []fleet.Node
	var err error
	if len(k.Subject.Target) > 0 { // a secret that is gone has no fleet any more
		if nodes, err = a.fleet.Nodes(ctx, k.Subject.Target); err != nil {
			return err
		}
		missing, err := a.unmanaged(ctx, k.Subject, nodes)
		if err != nil {
			return err
		}
		v.Places = append(v.Places, slices.DeleteFunc(missing, func(p Place) bool { return other(p.Host) })...)
	}
	strays := slices.DeleteFunc(k.Strays(q, nodes), func(p register.Place) bool { return other(fleet.InstanceID(p.Host)) })
	nodes = slices.DeleteFunc(nodes, func(n fleet.Node) bool { return other(n.ID) })
	ours, err := a.ask(ctx, k, k.InFleet(q, nodes, k.Subject.Users)...)
	if err != nil {
		return err
	}
	left, err := a.left(ctx, k, q, strays)
	if err != nil {
		return err
	}
	managed, err := a.managed(ctx, view, ours, left)
	if err != nil {
		return err
	}
	v.Places = append(v.Places, places(ours, left, managed)...)
	return nil
}

// left asks about strays. Some of them nobody can ask about.
func (a *Auditor) left(ctx context.Context, k wanted.Knowledge, q trust.Question, strays []register.Place) (fleet.Observations, error) {
	if len(strays) == 0 {
		return nil, nil
	}
	bounded, err := a.fleet.Nodes(ctx, fleet.Target{a.config.Limits.Boundary})
	if err != nil {
		return nil, err
	}
	jobs, lost := k.Outside(q, strays, bounded, a.config.Limits.Users)
	told, err := a.ask(ctx, k, jobs...)
	if err != nil {
		return nil, err
	}
	if lost, err = a.stillThere(ctx, lost); err != nil {
		return nil, err
	}
	return append(told, lost...), nil
}

// managed returns the keys of all secrets. Another secret may have got one, and rolled it out, while the
// hosts were asked: it was registered before, so a register that is read afterwards has every key of ours
// that they told of.
func (a *Auditor) managed(ctx context.Context, view *register.View, told ...fleet.Observations) (map[sshkey.Fingerprint]string, error) {
	keys, err := view.Fingerprints(ctx)
	if err != nil {
		return nil, err
	}
	unknown := func(o fleet.Observation) bool {
		return slices.ContainsFunc(o.Keys, func(k fleet.SeenKey) bool { return keys[k.Fingerprint] == "" })
	}
	if slices.ContainsFunc(slices.Concat(told...), unknown) {
		return a.register.Fingerprints(ctx)
	}
	return keys, nil
}

// ask gives hosts their inspect orders. A command that could not be sent leaves its hosts unreachable,
// with the reason: that is for the verdict to tell. Only when none could be sent is it an error.
func (a *Auditor) ask(ctx context.Context, k wanted.Knowledge, jobs ...wanted.Job) (fleet.Observations, error) {
	var all fleet.Observations
	var errs []error
	for _, j := range jobs {
		told, err := a.fleet.Run(ctx, j.Nodes, fleet.Order{
			Action: fleet.Inspect, Scope: fleet.Scope(k.Subject.ARN), Users: j.Users, Detail: true,
			Install: j.Plan.Install, Retire: j.Plan.Retire, Known: j.Plan.Known, AllowRoot: a.config.AllowRoot,
		})
		all, errs = append(all, told...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil && all.Count()[fleet.Unreachable] == len(all) {
		return nil, err
	}
	return all, nil
}

// unmanaged returns the EC2 instances of a target that Systems Manager does not know.
func (a *Auditor) unmanaged(ctx context.Context, s wanted.Subject, nodes []fleet.Node) ([]Place, error) {
	list, err := a.instances.Tagged(ctx, s.Target)
	if err != nil {
		return nil, err
	}
	var out []Place
	for _, i := range list {
		if slices.ContainsFunc(nodes, func(n fleet.Node) bool { return n.ID == i.ID }) {
			continue
		}
		state, reason := fleet.Unmanaged, "the instance runs, but Systems Manager does not know it: is the agent installed, and may its role register"
		if !i.Running {
			state, reason = fleet.Stopped, "the instance does not run; it is looked at when it does"
		}
		for _, u := range s.Users {
			out = append(out, Place{Host: i.ID, User: u, State: state, Reason: reason})
		}
	}
	return out, nil
}

// stillThere drops the EC2 instances that are terminated: nobody logs in to them any more.
func (a *Auditor) stillThere(ctx context.Context, lost fleet.Observations) (fleet.Observations, error) {
	var ids []fleet.InstanceID
	for _, o := range lost {
		if o.State == fleet.Unreachable {
			ids = append(ids, o.Host)
		}
	}
	if len(ids) == 0 {
		return lost, nil
	}
	gone, err := a.instances.Terminated(ctx, ids)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(lost, func(o fleet.Observation) bool { return slices.Contains(gone, o.Host) }), nil
}

// places turns what hosts told of the fleet, and of what left it, into places of the verdict. managed are
// the keys of all secrets: a host was told of one secret, and takes the keys of the others for foreign or,
// by their comments, for forged.
func places(told, left fleet.Observations, managed map[sshkey.Fingerprint]string) []Place {
	type account struct {
		host fleet.InstanceID
		user string
	}
	stray := map[account]bool{}
	for _, o := range left {
		if !o.Elsewhere {
			stray[account{o.Host, o.User}] = true
		}
	}
	all := fleet.Join(told, left)
	out := make([]Place, len(all))
	for i, o := range all {
		p := Place{Host: o.Host, User: o.User, State: o.State, Reason: o.Reason, CommandID: o.CommandID, Stray: stray[account{o.Host, o.User}],
			Elsewhere: o.Elsewhere, Skipped: o.Skipped, Retired: o.Remaining, Ways: o.Ways}
		claims := 0
		for _, key := range o.Keys {
			if managed[key.Fingerprint] == "" {
				p.Foreign = append(p.Foreign, key)
			}
			if key.Forged() {
				claims++
			}
		}
		p.Unlisted = o.Omitted
		forged := slices.ContainsFunc(p.Foreign, fleet.SeenKey.Forged)
		switch {
		case p.State != fleet.OK:
		case forged:
			p.State, p.Reason = fleet.Forged, "a key that was never made here carries our marker"
		case o.Forged > claims: // of those that are not listed nobody can tell whose they are
			p.State, p.Reason = fleet.Forged, "of more keys than the host could list, some carry our marker"
		}
		out[i] = p
	}
	return out
}
