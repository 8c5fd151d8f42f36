package operator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/report"
	"github.com/keytrail/keytrail/events"
)

// wantedReport is what the flags of report ask for.
type wantedReport struct {
	from, to, format, file, folder string
	secrets                        []string
	maxAge, within                 time.Duration
}

func (s *session) reportCommand() *cobra.Command {
	var w wantedReport
	c := &cobra.Command{
		Use: "report", Short: "Write the compliance report of a period", Args: cobra.NoArgs,
		Long: `report tests every control by the evidence of a period, and writes what came of it. The period is the last 30
days, or with --from-evidence all that is in the folder; then it needs no AWS, and the same folder gives the same
bytes. Without, rotations of the last 90 days that the evidence does not know are listed as CloudTrail has them. It
exits with 0 when all controls passed, with 1 when one failed, and with 2 when some could not be tested.`,
		RunE: func(c *cobra.Command, _ []string) error { return s.report(c.Context(), w) },
	}
	f := c.Flags()
	f.StringVar(&w.from, "from", "", "first `day` of the period, such as 2026-11-01, in UTC")
	f.StringVar(&w.to, "to", "", "last `day` of the period")
	f.StringArrayVar(&w.secrets, "secret", nil, "`name` or ARN of a secret; all where none is named")
	f.StringVar(&w.format, "format", "html", "one of "+strings.Join(formats(), ", "))
	f.StringVarP(&w.file, "out", "o", "", "`file` to write in place of standard output")
	f.StringVar(&w.folder, "from-evidence", "", "`folder` that keytrail evidence export wrote")
	f.DurationVar(&w.maxAge, "max-age", 0, "greatest age of a live key; each secret's own rule where none is given")
	f.DurationVar(&w.within, "within", 0, "how soon each rotation must be verified; an hour where nothing is given")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// writers are the forms of a report.
func writers() map[string]func(report.Report, io.Writer) error {
	table := func(t report.Table) func(report.Report, io.Writer) error {
		return func(r report.Report, w io.Writer) error { return r.WriteCSV(w, t) }
	}
	return map[string]func(report.Report, io.Writer) error{
		"html": report.Report.WriteHTML, "json": report.Report.WriteJSON, "ocsf": report.Report.WriteOCSF, "asff": report.Report.WriteASFF,
		"findings.csv": table(report.FindingTable), "controls.csv": table(report.ControlTable), "hosts.csv": table(report.HostTable),
	}
}

func formats() []string { return slices.Sorted(maps.Keys(writers())) }

func (s *session) report(ctx context.Context, w wantedReport) error {
	write, ok := writers()[w.format]
	if !ok {
		return &failure{code: exitUsage, err: fmt.Errorf("--format is one of %s, not %q", strings.Join(formats(), ", "), w.format)}
	}
	o := report.Options{Secrets: w.secrets, MaxAge: w.maxAge, Within: w.within}
	var err error
	if o.From, o.To, err = w.period(); err != nil {
		return &failure{code: exitUsage, err: err, fix: "write days as 2026-11-01"}
	}
	a, err := s.archive(ctx, w, &o)
	if err != nil {
		return err
	}
	s.working("writing the report")
	r := report.Build(a, o)
	for _, name := range w.secrets {
		if !slices.ContainsFunc(r.Secrets, func(got report.Secret) bool { return got.Name == name || got.ARN == name }) {
			return &failure{code: exitNoInput, err: fmt.Errorf("there is no evidence of a secret %q", name), fix: "keytrail status lists the secrets that there are"}
		}
	}
	var b bytes.Buffer
	if err := write(r, &b); err != nil {
		return err
	}
	s.quiet()
	if w.file == "" {
		if _, err := s.Out.Write(b.Bytes()); err != nil {
			return err
		}
	} else {
		if err := os.WriteFile(w.file, b.Bytes(), 0o644); err != nil {
			return &failure{code: exitNoInput, err: err, fix: "name a file that can be written with -o"}
		}
		s.note("%s: %s", clean(w.file), clean(r.Summary.Sentence))
	}
	return ended(map[report.Status]int{report.Pass: exitClean, report.Fail: exitDrift, report.NotTestable: exitUnknown}[r.Summary.Status])
}

// period reads the days: the first moment of the first, and the first after the last.
func (w wantedReport) period() (from, to time.Time, err error) {
	if w.from != "" {
		if from, err = time.Parse(time.DateOnly, w.from); err != nil {
			return from, to, fmt.Errorf("--from %q is no day", w.from)
		}
	}
	if w.to != "" {
		if to, err = time.Parse(time.DateOnly, w.to); err != nil {
			return from, to, fmt.Errorf("--to %q is no day", w.to)
		}
		to = to.AddDate(0, 0, 1)
	}
	if !to.IsZero() && !from.Before(to) {
		return from, to, fmt.Errorf("--from %s is after --to %s", w.from, w.to)
	}
	return from, to, nil
}

// archive reads the evidence, and fills in what the period lacks.
func (s *session) archive(ctx context.Context, w wantedReport, o *report.Options) (evidence.Archive, error) {
	if w.folder != "" {
		s.working("reading " + w.folder)
		a, err := evidence.Open(os.DirFS(w.folder))
		if err != nil {
			return a, &failure{code: exitNoInput, err: err, fix: "name the folder that keytrail evidence export wrote"}
		}
		for _, c := range a.Chains { // the newest record is now: the same folder gives the same bytes
			for _, r := range c.Records {
				if r.At.After(o.Now) {
					o.Now = r.At
				}
			}
		}
		if len(a.Chains) == 0 && len(a.Faults) == 0 {
			return a, &failure{code: exitNoInput, err: fmt.Errorf("there is no evidence in %s", w.folder), fix: "name the folder that keytrail evidence export wrote"}
		}
		o.Now = o.Now.Add(time.Second).Truncate(time.Second)
		return a, nil
	}
	o.Now = time.Now().UTC().Truncate(time.Second).Add(time.Second) // what happened in this second is part of it
	if o.To.IsZero() {
		o.To = o.Now
	}
	if o.From.IsZero() {
		o.From = o.To.AddDate(0, 0, -30)
	}
	k, err := s.open(ctx)
	if err != nil {
		return evidence.Archive{}, err
	}
	bucket, err := k.bucket()
	if err != nil {
		return evidence.Archive{}, err
	}
	secrets, err := k.watched(ctx)
	if err != nil {
		return evidence.Archive{}, err
	}
	s.working("looking rotations up in CloudTrail")
	if o.Recorded, err = k.recorded(ctx, secrets, o.From); err != nil {
		f := explain(ctx, "", err)
		s.note("the report has the rotations of the evidence alone: %s (%s)", clean(f.err.Error()), f.fix)
	}
	s.working("reading the evidence")
	return evidence.Collect(ctx, bucket, secrets, o.From, o.To)
}

// recorded are the rotations that CloudTrail knows, for 90 days at most: the history of before Keytrail was there, and
// of whatever nobody looked at.
func (k *stack) recorded(ctx context.Context, secrets []evidence.Secret, since time.Time) (map[string][]report.Rotation, error) {
	outcomes := map[events.Kind]evidence.Outcome{
		events.RotationSucceeded: evidence.Succeeded, events.RotationFailed: evidence.Failed, events.RotationAbandoned: evidence.Abandoned,
	}
	all := map[string][]report.Rotation{}
	kinds := []events.Kind{events.RotationSucceeded, events.RotationFailed, events.RotationAbandoned}
	found, err := k.trail(ctx, since, kinds, func(events.SecretID) bool { return true })
	for _, e := range found {
		for _, secret := range secrets {
			if names(secret.ARN, secret.Name)(e.Secret) {
				all[secret.ARN] = append(all[secret.ARN], report.Rotation{
					At: e.At, Outcome: string(outcomes[e.Kind]), Version: e.Version, Step: e.Step, Failure: e.Message, EventID: e.ID,
				})
			}
		}
	}
	return all, err
}

// watched are the secrets that the functions look after, and those that they did.
func (k *stack) watched(ctx context.Context) ([]evidence.Secret, error) {
	listed, err := k.listed(ctx)
	if err != nil {
		return nil, err
	}
	auditor, err := k.auditor()
	if err != nil {
		return nil, err
	}
	arns, err := auditor.Registered(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range listed {
		arns = append(arns, l.ARN)
	}
	slices.Sort(arns)
	var all []evidence.Secret
	for _, arn := range slices.Compact(arns) {
		all = append(all, evidence.Secret{ARN: arn, Name: audit.NameOf(arn)})
	}
	return all, nil
}
