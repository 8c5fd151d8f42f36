package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate"
)

func (s *session) replayCommand() *cobra.Command {
	var ask, renew bool
	c := &cobra.Command{
		Use: "replay EVENT.json", Short: "Say what the function that watches would do about an event", Args: cobra.ExactArgs(1),
		Long: `replay has the function's own code decide on an event as EventBridge delivers it, or on a batch of messages from
its queue; - reads standard input. Nothing is sent, written or mended. What hosts trust is taken from the last
look at them; --ask asks them. An event that is older than that look was answered by it: --now takes it as if it
happened now.`,
		RunE: func(c *cobra.Command, args []string) error {
			var options []events.RehearsalOption
			if ask {
				options = append(options, events.AskHosts)
			}
			if renew {
				options = append(options, events.Renew)
			}
			return s.replay(c.Context(), args[0], options)
		},
	}
	c.Flags().BoolVar(&ask, "ask", false, "ask the hosts what they trust now")
	c.Flags().BoolVar(&renew, "now", false, "take the event as if it happened now")
	return c
}

// decision is what would be done about one event.
type decision struct {
	Kind      events.Kind            `json:"kind"`
	EventID   string                 `json:"eventId,omitempty"`
	At        time.Time              `json:"at,omitzero"`
	Secret    string                 `json:"secret,omitempty"`
	Version   string                 `json:"version,omitempty"`
	By        string                 `json:"by,omitempty"`
	Malformed string                 `json:"malformed,omitempty"` // why it would go to the dead letters
	Outcome   string                 `json:"outcome,omitempty"`
	Messages  []messageUnsent        `json:"messages"`
	Actions   []rotate.ActionRequest `json:"actions"`
	Checks    []string               `json:"checks"`  // the secrets that would be looked at
	Reports   []string               `json:"reports"` // the periods of which a report would be written
	// Cut: what comes of the last action is not known, and so what people would be told of it.
	Cut bool `json:"cut,omitempty"`
}

type messageUnsent struct {
	Status    alert.Status   `json:"status"`
	Severity  alert.Severity `json:"severity"`
	Condition alert.ID       `json:"condition"`
	Title     string         `json:"title"`
	Reason    string         `json:"reason,omitempty"`
	Hosts     int            `json:"hosts,omitempty"`
}

// maxInvocation is what Lambda takes at most.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxInvocation = 6 << 20

func (s *session) replay(ctx context.Context, path string, options []events.RehearsalOption) error {
	body, err := s.file(path)
	if err != nil {
		return &failure{code: exitNoInput, err: err, fix: "name a file with an event as EventBridge delivers it, or - for standard input"}
	}
	s.working("deciding")
	k, err := s.open(ctx)
	if err != nil {
		return err
	}
	if k.events == nil {
		return &failure{code: exitConfig, err: fmt.Errorf("nothing watches: there is no function %s-events", k.name), fix: "deploy the stack with Watch=true"}
	}
	deliveries, _ := events.Deliveries(body)
	all := []decision{}
	for _, d := range deliveries {
		r, err := events.Rehearse(ctx, *k.events, k.aws, d.Body, options...)
		if err != nil {
			return fmt.Errorf("decide on %s %s: %w", r.Event.Kind, r.Event.ID, err)
		}
		all = append(all, decided(r))
	}
	if s.output == asJSON {
		return s.print(all)
	}
	for i, d := range all {
		if i > 0 {
			s.say("")
		}
		s.tellDecision(d)
	}
	return nil
}

func (s *session) file(path string) ([]byte, error) {
	f := s.In
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // it was read
	}
	body, err := io.ReadAll(io.LimitReader(f, maxInvocation+1))
	if err == nil && len(body) > maxInvocation {
		err = errors.New(path + " is longer than any event")
	}
	return body, err
}

func decided(r events.Rehearsal) decision {
	e := r.Event
	d := decision{
		Kind: e.Kind, EventID: e.ID, At: e.At, Secret: e.Secret.String(), Version: e.Version, By: e.By.String(), Outcome: r.Outcome,
		Messages: []messageUnsent{}, Actions: append([]rotate.ActionRequest{}, r.Actions...), Checks: []string{}, Reports: []string{}, Cut: r.Cut,
	}
	if r.Malformed != nil {
		d.Malformed, d.EventID = r.Malformed.Reason, r.Malformed.ID
	}
	for _, m := range r.Messages {
		c, _ := alert.Lookup(m.Condition)
		d.Messages = append(d.Messages, messageUnsent{m.Status, c.Severity, m.Condition, c.Title, m.Problem.Reason, m.Problem.Hosts()})
	}
	for _, c := range r.Checks {
		if c.Kind == events.Report {
			d.Reports = append(d.Reports, c.Period)
		} else {
			d.Checks = append(d.Checks, c.Secret.String())
		}
	}
	if e.Kind == events.Report {
		d.Reports = append(d.Reports, e.Period)
	}
	return d
}

func (s *session) tellDecision(d decision) {
	if d.Malformed != "" {
		s.say("%s %s", s.paint(red, "malformed:"), clean(d.Malformed))
		s.say("  would put it into the dead letters")
		return
	}
	about := []string{string(d.Kind)}
	for _, part := range []struct{ before, text string }{{"of ", d.Secret}, {"version ", d.Version}, {"by ", d.By}} {
		if part.text != "" {
			about = append(about, part.before+part.text)
		}
	}
	s.say("%s at %s: %s", clean(strings.Join(about, " ")), moment(d.At), s.paint(bold, clean(d.Outcome)))
	for _, m := range d.Messages {
		line := fmt.Sprintf("%s, %s %s", m.Title, m.Severity, m.Status)
		if m.Hosts > 0 {
			line += ", " + plural(m.Hosts, "host")
		}
		if m.Reason != "" {
			line += ": " + m.Reason
		}
		s.say("  would tell people: %s", clean(line))
	}
	for _, a := range d.Actions {
		line := string(a.Action)
		if len(a.Hosts) > 0 {
			line += " of " + join(a.Hosts)
		}
		if a.Abandoned != "" {
			line += ", version " + a.Abandoned + " given up"
		}
		s.say("  would ask rotate: %s", clean(line))
	}
	if len(d.Checks) > 0 {
		s.say("  would look at the hosts of %s", plural(len(d.Checks), "secret"))
	}
	if len(d.Reports) > 0 {
		s.say("  would write the report of %s", clean(strings.Join(d.Reports, ", ")))
	}
	if d.Cut {
		s.say("  what comes of that is not known; people would be told")
	}
	if len(d.Messages)+len(d.Actions)+len(d.Checks)+len(d.Reports) == 0 {
		s.say("  would tell nobody, and mend nothing")
	}
}
