package operator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate/trust"
)

func (s *session) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "List the secrets and what is known of their hosts", Args: cobra.NoArgs,
		Long: `status lists all secrets that Keytrail looks after: how old the live key is, when the next rotation is due,
what the hosts showed when they were last asked, and which alerts are open. It asks no host: verify does.`,
		RunE: func(c *cobra.Command, _ []string) error { return s.status(c.Context()) },
	}
}

// standing is what is known of one secret.
type standing struct {
	Secret  string    `json:"secret"`
	ARN     string    `json:"arn"`
	Rotates bool      `json:"rotates"`
	Created time.Time `json:"created,omitzero"` // of the live key
	Next    time.Time `json:"next,omitzero"`    // rotation
	Deleted time.Time `json:"deleted,omitzero"` // when it was asked for
	Held    *string   `json:"held,omitempty"`
	// Of the last verdict.
	Seen     time.Time      `json:"seen,omitzero"`
	Old      bool           `json:"old,omitempty"` // the sweep should have made another by now
	Clean    bool           `json:"clean"`
	Coverage audit.Coverage `json:"coverage"`
	Drifted  int            `json:"drifted"`
	Foreign  int            `json:"foreign"` // keys that nobody registered
	Rotation *lastRotation  `json:"rotation,omitempty"`
	Alerts   []openAlert    `json:"alerts,omitempty"`
	Error    string         `json:"error,omitempty"` // why what is remembered could not be read
	Code     int            `json:"code"`            // as an exit code
}

// lastRotation is the newest that events told of.
type lastRotation struct {
	Version string           `json:"version"`
	Outcome evidence.Outcome `json:"outcome"`
	Began   time.Time        `json:"began,omitzero"`
	Ended   time.Time        `json:"ended,omitzero"`
	Step    string           `json:"step,omitempty"`
	Message string           `json:"message,omitempty"`
}

type openAlert struct {
	ID        string         `json:"id"`
	Condition alert.ID       `json:"condition"`
	Severity  alert.Severity `json:"severity"`
	Title     string         `json:"title"`
	Since     time.Time      `json:"since"`
}

func (s *session) status(ctx context.Context) error {
	s.working("reading what is known")
	k, err := s.open(ctx)
	if err != nil {
		return err
	}
	secrets, err := k.listed(ctx)
	if err != nil {
		return err
	}
	all := make([]standing, len(secrets))
	// S3 serves thousands a second; this bounds connections.
	const readers = 32
	var group errgroup.Group
	group.SetLimit(readers)
	for i, secret := range secrets {
		group.Go(func() error {
			all[i] = k.standing(ctx, secret, time.Now())
			return nil
		})
	}
	_ = group.Wait() // what could not be read stands in the rows
	if err := context.Cause(ctx); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b standing) int {
		return cmp.Or(strings.Compare(a.Secret, b.Secret), strings.Compare(a.ARN, b.ARN))
	})
	if err := s.tellStatus(k, all); err != nil {
		return err
	}
	return ended(worst(all))
}

// worst is what to exit with: drift before what is not known.
func worst(all []standing) int {
	code := exitClean
	for _, st := range all {
		if st.Code == exitDrift {
			return exitDrift
		}
		code = max(code, st.Code)
	}
	return code
}

// standing reads what is remembered of a secret.
func (k *stack) standing(ctx context.Context, secret audit.Secret, now time.Time) standing {
	st := standing{Secret: secret.Name, ARN: secret.ARN, Rotates: secret.Rotates && secret.Function == k.function, Next: secret.Next, Deleted: secret.Deleted, Created: secret.Rotated}
	bucket, err := k.bucket()
	if err == nil {
		err = k.remembered(ctx, &st, bucket, now)
	}
	if err != nil {
		st.Error = err.Error()
	}
	switch {
	case st.Drifted > 0 || slices.ContainsFunc(st.Alerts, func(a openAlert) bool { return a.Severity == alert.Critical || a.Severity == alert.High }):
		st.Code = exitDrift
	case st.Error != "" || !st.Clean || st.Old || len(st.Alerts) > 0:
		st.Code = exitUnknown
	}
	return st
}

// slack is how much later than after two sweeps a verdict may come.
const slack = time.Hour

func (k *stack) remembered(ctx context.Context, st *standing, bucket evidence.Bucket, now time.Time) error {
	w, err := events.ReadWatched(ctx, bucket, st.ARN)
	if err != nil {
		return err
	}
	open, err := alert.Open(ctx, bucket, st.ARN)
	if err != nil {
		return err
	}
	for _, a := range open {
		st.Alerts = append(st.Alerts, openAlert{a.ID, a.Condition.ID, a.Condition.Severity, a.Condition.Title, a.Since})
	}
	if n := len(w.Rotations); n > 0 {
		r := w.Rotations[n-1]
		st.Rotation = &lastRotation{r.Version, r.Outcome, r.Began, r.Ended, r.Step, r.Message}
	}
	v := w.Verdict
	if v == nil {
		return nil
	}
	st.Seen, st.Clean, st.Coverage, st.Drifted, st.Held = v.At, v.Clean(), v.Coverage(), len(v.Drifted()), v.Held
	st.Old = k.sweep > 0 && now.Sub(v.At) > 2*k.sweep+slack
	for _, p := range v.Places {
		st.Foreign += len(p.Foreign)
	}
	for _, key := range v.Keys {
		if key.Reason == trust.Current && !key.Created.IsZero() {
			st.Created = key.Created
		}
	}
	return nil
}

func (s *session) tellStatus(k *stack, all []standing) error {
	if s.output == asJSON {
		return s.print(struct {
			Stack   string     `json:"stack"`
			Region  string     `json:"region"`
			Secrets []standing `json:"secrets"`
		}{k.name, k.aws.Region, append([]standing{}, all...)})
	}
	if len(all) == 0 {
		s.say("no secret has the function %s-rotate or a tag keytrail:…", k.name)
		return nil
	}
	now := time.Now()
	var rows [][]cell
	for _, st := range all {
		age := "-"
		if !st.Created.IsZero() {
			age = span(now.Sub(st.Created))
		}
		rows = append(rows, []cell{word(st.Secret), word(age), st.due(now), st.coverage(), st.drift(), st.looked(now), st.alerts()})
	}
	s.table([]string{"SECRET", "KEY AGE", "NEXT ROTATION", "HOSTS SEEN", "DRIFT", "ASKED", "OPEN ALERTS"}, rows)
	for _, st := range all {
		if st.Error != "" {
			s.note("%s: %s", clean(st.Secret), clean(st.Error))
		}
	}
	return nil
}

func (st standing) due(now time.Time) cell {
	switch {
	case !st.Deleted.IsZero():
		return cell{"deleted", red}
	case !st.Rotates:
		return cell{"off", red}
	case st.Next.IsZero():
		return cell{"-", yellow}
	case now.After(st.Next):
		return cell{"overdue " + span(now.Sub(st.Next)), red}
	}
	return word("in " + span(st.Next.Sub(now)))
}

func (st standing) coverage() cell {
	if st.Seen.IsZero() {
		return cell{"-", yellow}
	}
	c := cell{fmt.Sprintf("%d of %d", st.Coverage.Seen, st.Coverage.Expected), plain}
	if st.Coverage.Seen < st.Coverage.Expected || st.Coverage.Expected == 0 {
		c.colour = yellow
	}
	return c
}

func (st standing) drift() cell {
	switch {
	case st.Seen.IsZero():
		return cell{"-", yellow}
	case st.Drifted > 0:
		return cell{plural(st.Drifted, "account"), red}
	case st.Clean:
		return cell{"none", green}
	}
	return cell{"none seen", yellow}
}

func (st standing) looked(now time.Time) cell {
	c := word(ago(st.Seen, now))
	if st.Old || st.Seen.IsZero() {
		c.colour = yellow
	}
	return c
}

func (st standing) alerts() cell {
	if st.Error != "" {
		return cell{"not known", yellow}
	}
	if len(st.Alerts) == 0 {
		return word("none")
	}
	var titles []string
	for _, a := range st.Alerts {
		titles = append(titles, a.Title)
	}
	c := cell{strings.Join(titles, ", "), yellow}
	if s := st.Alerts[0].Severity; s == alert.Critical || s == alert.High {
		c.colour = red
	}
	return c
}
