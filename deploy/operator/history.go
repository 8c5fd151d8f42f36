package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate/wanted"
)

func (s *session) historyCommand() *cobra.Command {
	var days int
	c := &cobra.Command{
		Use: "history SECRET", Short: "List the rotations of a secret, and who changed what", Args: cobra.ExactArgs(1),
		Long: `history lists what happened to a secret, newest first: how rotations went, and who changed its value, labels,
tags, policy or rotation. It is what CloudTrail keeps, for 90 days at most, and what the function that watches
remembers beyond that. CloudTrail answers twice a second, so that this takes some seconds; an event may be
there only minutes after it happened.`,
		ValidArgsFunction: s.completeSecret,
		RunE: func(c *cobra.Command, args []string) error {
			if days < 1 {
				return &failure{code: exitUsage, err: fmt.Errorf("--days is at least 1, not %d", days)}
			}
			return s.history(c.Context(), args[0], time.Now().AddDate(0, 0, -days))
		},
	}
	c.Flags().IntVar(&days, "days", 90, "how many `days` to look back")
	return c
}

// happening is one line of a history.
type happening struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"` // as CloudTrail names it
	Version string    `json:"version,omitempty"`
	Who     string    `json:"who,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	EventID string    `json:"eventId,omitempty"` // of CloudTrail's record
}

func (s *session) history(ctx context.Context, secret string, since time.Time) error {
	s.working("finding the stack " + s.stackName)
	k, err := s.open(ctx)
	if err != nil {
		return err
	}
	auditor, err := k.auditor()
	if err != nil {
		return err
	}
	described, err := auditor.Describe(ctx, secret)
	if errors.Is(err, wanted.ErrGone) && strings.HasPrefix(secret, "arn:") {
		described, err = audit.Secret{ARN: secret, Name: audit.NameOf(secret)}, nil
	}
	if err != nil {
		return err
	}
	s.working("looking up events of " + described.Name)
	bucket, err := k.bucket()
	if err != nil {
		return err
	}
	watched, err := events.ReadWatched(ctx, bucket, described.ARN)
	if err != nil {
		return err
	}
	recorded, missing := k.trail(ctx, since, lookedUp, names(described.ARN, described.Name))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	all := merge(recorded, watched.Rotations, since)
	if s.output == asJSON {
		err = s.print(struct {
			Secret string      `json:"secret"`
			ARN    string      `json:"arn"`
			Events []happening `json:"events"`
		}{described.Name, described.ARN, all})
	} else {
		s.tellHistory(described.Name, all)
	}
	if err == nil && missing != nil {
		f := explain(ctx, "", fmt.Errorf("only what the function that watches remembers is listed: %w", missing))
		f.code = exitUnknown
		err = f
	}
	return err
}

// merge joins what CloudTrail recorded with what is remembered, newest first. The memory was made of the same
// events: their times are the same.
func merge(recorded []events.Event, remembered []events.Rotation, since time.Time) []happening {
	all := []happening{}
	known := map[string]bool{}
	add := func(h happening) {
		id := h.What + h.At.UTC().Format(time.RFC3339)
		if h.At.IsZero() || h.At.Before(since) || known[id] && h.EventID == "" {
			return
		}
		known[id] = true
		all = append(all, h)
	}
	for _, e := range recorded {
		h := happening{At: e.At, What: string(e.Kind), Version: e.Version, Who: e.By.String(), EventID: e.ID}
		switch {
		case e.Refused():
			h.Detail = "refused: " + e.Refusal
		case e.Message != "":
			h.Detail = e.Message
		case len(e.Labels) > 0:
			h.Detail = strings.Join(e.Labels, ", ")
		}
		add(h)
	}
	for _, r := range remembered {
		add(happening{At: r.Started, What: string(events.RotationStarted), Version: r.Version})
		what := map[evidence.Outcome]events.Kind{
			evidence.Succeeded: events.RotationSucceeded, evidence.Failed: events.RotationFailed, evidence.Abandoned: events.RotationAbandoned,
		}[r.Outcome]
		h := happening{At: r.Ended, What: string(what), Version: r.Version}
		switch r.Outcome {
		case evidence.Failed:
			h.Detail = r.Message
		case evidence.Unheard:
			h.What, h.Detail = string(events.RotationSucceeded), "found by the sweep; no event told of it"
		case events.ByHand, events.Running:
			continue // told by the call, or by its start
		}
		add(h)
	}
	slices.SortStableFunc(all, func(a, b happening) int { return b.At.Compare(a.At) })
	return all
}

func (s *session) tellHistory(name string, all []happening) {
	if len(all) == 0 {
		s.say("nothing is known to have happened to %s", clean(name))
		return
	}
	var rows [][]cell
	for _, h := range all {
		row := words(moment(h.At), h.What, short(h.Version), h.Who, h.Detail)
		switch events.Kind(h.What) {
		case events.RotationSucceeded:
			row[1].colour = green
		case events.RotationFailed, events.RotationAbandoned:
			row[1].colour = red
		}
		rows = append(rows, row)
	}
	s.table([]string{"WHEN", "WHAT", "VERSION", "WHO", "DETAIL"}, rows)
}
