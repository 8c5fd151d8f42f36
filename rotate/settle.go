package rotate

import (
	"context"
	"errors"
	"slices"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/trust"
)

// settled is what hosts answered when they were brought to what trust decides, or compared with it.
type settled struct {
	fleet fleet.Observations
	// strays are hosts and users that had a key once and are not of the fleet any more. They get no new
	// key, and keep a retired one that is the last to open the account.
	strays fleet.Observations
}

// settle tells hosts what trust decides, and records what it learns. nodes are those of the secret's
// fleet; only narrows strays to some hosts where it is not empty. Observations are complete even with
// an error.
func (r *Rotator) settle(ctx context.Context, subj subject, k *knowledge, q trust.Question, action fleet.Action, nodes []fleet.Node, only []fleet.InstanceID) (settled, error) {
	var out settled
	var err error
	out.fleet, err = r.run(ctx, subj, k, action, k.inFleet(q, nodes, subj.order.Users)...)
	jobs, lost, strayErr := r.outside(ctx, subj, k, q, nodes, only)
	var told fleet.Observations
	if strayErr == nil {
		told, strayErr = r.run(ctx, subj, k, action, jobs...)
	}
	out.strays = append(told, lost...)
	return out, errors.Join(err, strayErr)
}

// run gives the orders of some jobs and returns what hosts answered, in the order of hosts.
func (r *Rotator) run(ctx context.Context, subj subject, k *knowledge, action fleet.Action, jobs ...job) (fleet.Observations, error) {
	var all fleet.Observations
	var errs []error
	for _, j := range jobs {
		if k != nil && action == fleet.Apply && j.plan.version != "" {
			if err := r.noteInstalled(ctx, k, j); err != nil {
				return all, errors.Join(append(errs, err)...)
			}
		}
		order := subj.order
		order.Action, order.Users = action, j.users
		order.Install, order.Retire, order.Known = j.plan.install, j.plan.retire, j.plan.known
		told, err := r.fleet.Run(ctx, j.nodes, order)
		all, errs = append(all, told...), append(errs, err)
		if k != nil && action == fleet.Apply {
			errs = append(errs, r.noteRetired(ctx, k, j.plan.retire, told))
		}
	}
	return all.ByHost(), errors.Join(errs...)
}

// outside returns the jobs for strays, and the observations of those that cannot be asked: what is not
// in the boundary, or not known to Systems Manager, is not touched.
func (r *Rotator) outside(ctx context.Context, subj subject, k *knowledge, q trust.Question, nodes []fleet.Node, only []fleet.InstanceID) ([]job, fleet.Observations, error) {
	places := k.strays(q, nodes, subj.order.Users)
	if len(places) == 0 {
		return nil, nil, nil
	}
	bounded, err := r.fleet.Nodes(ctx, fleet.Target{r.config.Boundary})
	if err != nil {
		return nil, nil, err
	}
	known := map[fleet.InstanceID]fleet.Node{}
	for _, n := range bounded {
		known[n.ID] = n
	}
	var jobs []job
	var lost fleet.Observations
	for _, g := range byUsers(places) {
		var managed []string // users that may still be managed
		for _, u := range g.users {
			if slices.Contains(r.config.Users, u) {
				managed = append(managed, u)
			}
		}
		var there []fleet.Node
		for _, h := range g.hosts {
			id := fleet.InstanceID(h)
			if len(only) > 0 && !slices.Contains(only, id) {
				continue
			}
			n, ok := known[id]
			if ok {
				there = append(there, n)
			}
			for _, u := range g.users {
				switch {
				case !ok:
					lost = append(lost, fleet.Observation{Host: id, User: u, State: fleet.Unreachable, Reason: "had a key of the secret and is no managed node with the boundary tag any more"})
				case !slices.Contains(managed, u):
					lost = append(lost, fleet.Observation{Host: id, User: u, State: fleet.Unverifiable, Reason: "had a key of the secret and is not in USERNAME any more"})
				}
			}
		}
		for _, j := range k.inFleet(q, there, managed) {
			j.plan.version, j.plan.install = "", nil
			if len(j.nodes) > 0 && len(managed) > 0 {
				jobs = append(jobs, j)
			}
		}
	}
	return jobs, lost, nil
}
