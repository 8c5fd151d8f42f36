package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// settled is what hosts answered when they were brought to what trust decides, or compared with it.
type settled struct {
	fleet fleet.Observations
	// strays are hosts and users that had a key once and are not of the fleet any more. They get no new
	// key, and keep a retired one that is the last to open the account.
	strays fleet.Observations
}

// settle tells hosts what trust decides, and records what it learns. nodes are those of the secret's
// fleet; ids narrows strays to some hosts where it is not empty. Observations are complete even with
// an error.
func (r *Rotator) settle(ctx context.Context, subj subject, k *wanted.Knowledge, q trust.Question, action fleet.Action, nodes []fleet.Node, ids []fleet.InstanceID) (settled, error) {
	var out settled
	var err error
	out.fleet, err = r.run(ctx, subj, k, action, k.InFleet(q, nodes, subj.Users)...)
	places := k.Strays(q, nodes)
	if len(ids) > 0 {
		places = slices.DeleteFunc(places, func(p register.Place) bool { return !slices.Contains(ids, fleet.InstanceID(p.Host)) })
	}
	if len(places) == 0 {
		return out, err
	}
	bounded, strayErr := r.fleet.Nodes(ctx, fleet.Target{r.config.Boundary})
	if strayErr == nil {
		jobs, lost := k.Outside(q, places, bounded, r.config.Users)
		var told fleet.Observations
		told, strayErr = r.run(ctx, subj, k, action, jobs...)
		out.strays = append(told, lost...).ByHost()
	}
	return out, errors.Join(err, strayErr)
}

// run gives the orders of some jobs and returns what hosts answered. Where a register is kept it is told
// where keys may be before they are sent, and where they are seen to be gone.
func (r *Rotator) run(ctx context.Context, subj subject, k *wanted.Knowledge, action fleet.Action, jobs ...wanted.Job) (fleet.Observations, error) {
	var all fleet.Observations
	var errs []error
	registering := k != nil && action == fleet.Apply
	for _, j := range jobs {
		if registering && j.Plan.Version != "" {
			if err := r.noteInstalled(ctx, k, j); err != nil {
				errs = append(errs, err)
				break
			}
		}
		told, err := r.fleet.Run(ctx, j.Nodes, fleet.Order{
			Action: action, Scope: fleet.Scope(subj.ARN), Users: j.Users,
			Install: j.Plan.Install, Retire: j.Plan.Retire, Known: j.Plan.Known,
			AllowRoot: r.config.AllowRoot, Generation: subj.generation,
		})
		all, errs = append(all, told...), append(errs, err)
		if registering {
			errs = append(errs, r.noteRetired(ctx, k, j.Plan.Retire, told))
		}
	}
	return all.ByHost(), errors.Join(errs...)
}

// know reads what is known of a secret.
func (r *Rotator) know(ctx context.Context, subj subject) (wanted.Knowledge, error) {
	return wanted.Read(ctx, r.vault.client, r.register, subj.Subject)
}

// note writes a fact about the secret to the register, and adds it to what is known.
func (r *Rotator) note(ctx context.Context, k *wanted.Knowledge, f register.Fact) error {
	f.Secret, f.At = k.Subject.ARN, time.Now()
	standing, err := r.register.Write(ctx, f)
	if err != nil {
		return err
	}
	k.History.Facts = append(k.History.Facts, standing)
	return nil
}

// bundle has the register copy the secret's facts into one object. Where that cannot be done, later invocations
// take more calls, and nothing else is lost.
func (r *Rotator) bundle(ctx context.Context, k wanted.Knowledge) {
	const most = 10 * time.Second // what hosts answered is not kept waiting
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if err := r.register.Bundle(ctx, k.History); err != nil {
		r.log.WarnContext(ctx, "register not bundled", "secretArn", k.Subject.ARN, "error", err.Error())
	}
}

// noteInstalled records where a job's key may be from now on, before it is sent there.
func (r *Rotator) noteInstalled(ctx context.Context, k *wanted.Knowledge, j wanted.Job) error {
	known := map[register.Place]bool{}
	for _, p := range k.History.Traces(j.Plan.Version) {
		known[p] = true
	}
	var hosts []string
	for _, n := range j.Nodes {
		lacks := func(u string) bool { return !known[register.Place{Host: string(n.ID), User: u}] }
		if n.Online && slices.ContainsFunc(j.Users, lacks) {
			hosts = append(hosts, string(n.ID))
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	err := r.note(ctx, k, register.Fact{Kind: register.Installed, Version: j.Plan.Version, Hosts: hosts, Users: j.Users})
	if err != nil {
		return fmt.Errorf("nothing was sent: %w", err)
	}
	return nil
}

// noteRetired records where the keys of versions were and are seen to be gone.
func (r *Rotator) noteRetired(ctx context.Context, k *wanted.Knowledge, retired []sshkey.Fingerprint, seen fleet.Observations) error {
	clean := map[register.Place]bool{}
	for _, o := range seen {
		if o.Clean {
			clean[register.Place{Host: string(o.Host), User: o.User}] = true
		}
	}
	var errs []error
	for _, rec := range k.History.Trust().Records {
		if slices.ContainsFunc(rec.Keys, func(fp sshkey.Fingerprint) bool { return !slices.Contains(retired, fp) }) {
			continue
		}
		gone := slices.DeleteFunc(k.History.Traces(rec.Version), func(p register.Place) bool { return !clean[p] })
		for _, g := range wanted.ByUsers(gone) {
			errs = append(errs, r.note(ctx, k, register.Fact{Kind: register.Retired, Version: rec.Version, Hosts: g.Hosts, Users: g.Users}))
		}
	}
	return errors.Join(errs...)
}
