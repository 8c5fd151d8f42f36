package rotate

import (
	"context"
	"errors"
	"fmt"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// errNoHosts: a rotation without hosts would promote a key that nobody trusts.
var errNoHosts = errors.New("no managed node")

// resolve lists the hosts of the rotation. None at all, and too many offline, end the step before
// anything is sent.
func (r *Rotator) resolve(ctx context.Context, subj subject) ([]fleet.Node, error) {
	nodes, err := r.fleet.Nodes(ctx, subj.Target)
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w has the tags %s: check TAGNAME, TAGVALUE and the secret's tag %s, and that the hosts are registered with Systems Manager", errNoHosts, subj.Target, wanted.TagTarget)
	}
	var offline fleet.Observations
	for _, n := range nodes {
		if !n.Online {
			offline = append(offline, fleet.Observation{Host: n.ID, User: "*", State: fleet.Unreachable})
		}
	}
	if allowed := r.config.MaxOffline.Of(len(nodes)); len(offline) > allowed {
		return nil, fmt.Errorf("%d of %d hosts are offline and KEYTRAIL_MAX_OFFLINE allows %d: %s", len(offline), len(nodes), allowed, offline)
	}
	if len(offline) == len(nodes) {
		return nil, fmt.Errorf("none of %d hosts is online", len(nodes))
	}
	return nodes, nil
}

// accept decides whether the observations of a pass let the step succeed: all ok, but for as many
// unreachable hosts as allowed, and users that a host may lack. sendErr is what the pass itself ran
// into, told with the rest.
func (r *Rotator) accept(ctx context.Context, hosts fleet.Observations, sendErr error) error {
	served := map[fleet.InstanceID]bool{} // hosts with at least one user ok
	for _, o := range hosts {
		if o.State == fleet.OK {
			served[o.Host] = true
		}
	}
	away := map[fleet.InstanceID]bool{}
	var bad fleet.Observations
	for _, o := range hosts.NotOK() {
		switch {
		case o.State == fleet.Unreachable:
			away[o.Host] = true
			bad = append(bad, o)
		case o.State == fleet.NoUser && r.config.MissingUser == MissingUserSkip && served[o.Host]:
		default:
			bad = append(bad, o)
		}
	}
	total := hosts.Hosts()
	tolerated := len(away) <= r.config.MaxOffline.Of(total) && len(served) > 0
	for _, o := range bad {
		if o.State != fleet.Unreachable {
			tolerated = false
		}
	}
	if sendErr == nil && tolerated {
		return nil
	}
	done := hosts.Count()[fleet.OK]
	err := fmt.Errorf("%d of %d host users are ok, %d are not: %s", done, len(hosts), len(bad), bad)
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	if sendErr != nil {
		return fmt.Errorf("%w: %w", sendErr, err)
	}
	return err
}
