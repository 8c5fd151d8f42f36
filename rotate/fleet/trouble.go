package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Trouble returns what stood in the way on hosts when the apply orders of a scope were sent in a time, to the
// second: one observation for each account whose newest answer is not ok, by host and user, and one without a
// user where a whole host gave none that can be read. Systems Manager keeps commands for 30 days.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ListCommandInvocations.html
func (f *Fleet) Trouble(ctx context.Context, scope string, from, to time.Time) (Observations, error) {
	orders, err := f.ssm.past(ctx, f.config.Apply.Name, comment(Apply, scope), from, to)
	if err != nil {
		return nil, fmt.Errorf("list the answers of hosts since %s: %w", from.UTC().Format(time.RFC3339), err)
	}
	type account struct {
		host InstanceID
		user string
	}
	newest := map[account]bool{} // and of a whole host once any order was
	var out Observations
	for _, s := range orders {
		host := account{s.host, ""}
		for _, o := range f.told(ctx, s) {
			at := account{o.Host, o.User}
			if newest[at] {
				continue
			}
			newest[at], newest[host] = true, true
			if o.State != OK {
				out = append(out, o)
			}
		}
	}
	return out.ByHost(), nil
}

// told reads what one host answered to an order of which only the scope is known.
func (f *Fleet) told(ctx context.Context, s sent) Observations {
	about := func(o Observation) Observation {
		o.Host, o.CommandID = s.host, s.command
		return o
	}
	if state, reason := s.verdict(f.config); state != OK {
		return Observations{about(Observation{State: state, Reason: reason})}
	}
	users, err := usersOf(s.output, string(s.host))
	if errors.Is(err, ErrDetail) {
		var full string
		if full, err = f.ssm.output(ctx, s.command, s.host); err == nil {
			users, err = usersOf(full, string(s.host))
		}
	}
	if err != nil {
		return Observations{about(Observation{State: Unverifiable, Reason: err.Error()})}
	}
	var out Observations
	for _, u := range users {
		out = append(out, about(judge(u)))
	}
	return slices.Clip(out)
}
