package operator

import (
	"context"
	"fmt"
	"slices"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// find opens the stack and reads what Secrets Manager says of a secret.
func (s *session) find(ctx context.Context, secret string) (*stack, audit.Secret, error) {
	s.working("finding " + secret)
	k, err := s.open(ctx)
	if err != nil {
		return nil, audit.Secret{}, err
	}
	auditor, err := k.auditor()
	if err != nil {
		return nil, audit.Secret{}, err
	}
	described, err := auditor.Describe(ctx, secret)
	return k, described, err
}

// act has the rotation function do something for a secret.
func (s *session) act(ctx context.Context, k *stack, secret audit.Secret, req rotate.ActionRequest) (*rotate.ActionResult, error) {
	req.SecretID = secret.ARN
	if why := wanted.CheckHold(secret.Tags); why != nil && !req.DryRun {
		return nil, &failure{code: exitUnavailable, err: why, fix: "take the tag keytrail:hold off " + secret.Name + " once nobody investigates any more"}
	}
	s.working(fmt.Sprintf("%s: %s asks the hosts of %s", req.Action, k.name+"-rotate", secret.Name))
	result, err := events.NewRotator(k.aws, k.function).Ask(ctx, req)
	if err == nil {
		return result, nil
	}
	f := explain(ctx, "", fmt.Errorf("%s %s: %w", req.Action, secret.Name, err))
	if f.fix == "" {
		f.fix = "the function says why in its log: aws logs tail " + k.log + " --since 10m"
	}
	return nil, f
}

// judgeAction turns what an action came to into what to exit with.
func judgeAction(r *rotate.ActionResult) int {
	drifted := func(h rotate.HostResult) bool { return audit.Drift(h.State) }
	switch {
	case r.Clean:
		return exitClean
	case r.Unregistered, len(r.LockedOut) > 0, slices.ContainsFunc(r.Hosts, drifted):
		return exitDrift
	}
	return exitUnknown
}

// tellAction lists the accounts, all of a small fleet, or those that were or are not as they should be.
func (s *session) tellAction(r *rotate.ActionResult) error {
	if s.output == asJSON {
		return s.print(r)
	}
	hosts := r.Hosts
	if len(hosts) > fewPlaces {
		hosts = slices.DeleteFunc(slices.Clone(hosts), func(h rotate.HostResult) bool { return h.State == fleet.OK && h.Was == fleet.OK })
	}
	var rows [][]cell
	for _, h := range hosts {
		rows = append(rows, []cell{word(string(h.Host)), word(h.User), {string(h.Was), shade(h.Was)}, {string(h.State), shade(h.State)}, word(afterwards(h))})
	}
	if len(rows) > 0 {
		s.table([]string{"HOST", "USER", "WAS", "IS", "REMARK"}, rows)
		s.say("")
	}
	return nil
}

// afterwards says what was done in a place, and what is left to do.
func afterwards(h rotate.HostResult) string {
	text := ""
	add := func(more string) {
		if text != "" {
			text += "; "
		}
		text += more
	}
	if h.Added > 0 {
		add(plural(h.Added, "line") + " added")
	}
	if h.Removed > 0 {
		add(plural(h.Removed, "line") + " removed")
	}
	if len(h.Trusted) > 0 {
		add("still trusted: " + join(h.Trusted))
	}
	if h.Reason != "" {
		add(h.Reason)
	}
	if h.Elsewhere {
		add("not an account of the secret: take the line away by hand")
	}
	return text
}
