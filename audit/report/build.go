package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/line"
)

// defaultWithin is how soon a rotation is to be verified where nobody says: the events function looks within minutes,
// and its sweep each hour.
const defaultWithin = time.Hour

// Options say what a report covers.
type Options struct {
	// From is the first moment of the period, and To the first that is not part of it. Zero: as far as the evidence
	// goes back, and Now.
	From, To time.Time
	Secrets  []string // names or ARNs; empty: all
	Now      time.Time
	// MaxAge is the limit of a key's age. 0: what the secret's own rule says.
	MaxAge time.Duration
	// Within is how soon each rotation is to be verified. 0: an hour.
	Within     time.Duration
	Before     *Report     // the one before, for what changed
	Exceptions []Exception // nil: the list that the evidence says was in force at the end
	// Recorded are rotations as CloudTrail keeps them for 90 days, by the secret's ARN. Those that the evidence does
	// not know are listed beside its own, and decide nothing: no host was asked.
	Recorded map[string][]Rotation
}

// end is until when evidence can have been gathered.
func (o *Options) end() time.Time {
	if o.Now.Before(o.To) {
		return o.Now
	}
	return o.To
}

// Build tests every control for every secret by what the evidence says of the period. Records before the period
// tell since when something is so; records after it are left out.
func Build(archive evidence.Archive, o Options) Report {
	chains := gather(archive, o.Secrets)
	o.complete(chains)
	if o.Exceptions == nil {
		o.Exceptions = inForce(archive, o.To)
	}
	r := Report{
		Form: Form, Generated: o.Now, From: o.From, To: o.To, Within: o.Within.String(),
		Findings: []Finding{}, Exceptions: []ExceptionUse{}, Secrets: []Secret{}, Faults: []Fault{}, Untested: untested[:], Method: method[:],
	}
	if o.MaxAge > 0 {
		r.MaxAge = o.MaxAge.String()
	}
	for _, c := range controls {
		r.Controls = append(r.Controls, ControlResult{Control: c, Tests: []Result{}})
	}
	b := builder{o: &o, report: &r, used: map[int][]string{}, hosts: map[string]bool{}, faults: map[Fault]bool{}}
	for _, f := range archive.Faults {
		if len(o.Secrets) == 0 || f.Secret.ARN == "" || named(o.Secrets, f.Secret) {
			b.fault(f)
		}
	}
	for _, c := range chains {
		entries := b.order(c)
		if c.Secret.ARN == "" {
			b.exceptions(entries)
			continue
		}
		b.secret(c.Secret, entries)
	}
	b.expired()
	b.finish()
	return r
}

// builder puts the parts of a report together.
type builder struct {
	o      *Options
	report *Report
	used   map[int][]string // places, by exception
	hosts  map[string]bool  // expected at the end, and whether they were seen
	faults map[Fault]bool
	trails []*trail
	stack  []*standing // findings that concern no single secret
	at     time.Time   // of the newest record
}

// named reports whether a secret is one of a list.
func named(list []string, s evidence.Secret) bool {
	return slices.Contains(list, s.ARN) || slices.Contains(list, s.Name)
}

// gather returns the chains that are asked for, one for each secret, by name; that of the exceptions first.
func gather(archive evidence.Archive, secrets []string) []evidence.Chain {
	at := map[string]int{}
	var out []evidence.Chain
	for _, c := range archive.Chains {
		if c.Secret.ARN != "" && len(secrets) > 0 && !named(secrets, c.Secret) {
			continue
		}
		sums := make([]string, len(c.Records)) // those that are not known are filled in here, not in the archive
		copy(sums, c.Sums)
		c.Sums = sums
		i, met := at[c.Secret.ARN]
		if !met {
			at[c.Secret.ARN] = len(out)
			out = append(out, c)
			continue
		}
		out[i].Records = slices.Concat(out[i].Records, c.Records)
		out[i].Sums = slices.Concat(out[i].Sums, c.Sums)
	}
	slices.SortStableFunc(out, func(a, b evidence.Chain) int {
		return cmp.Or(strings.Compare(a.Secret.Name, b.Secret.Name), strings.Compare(a.Secret.ARN, b.Secret.ARN))
	})
	return out
}

// complete fills in what nobody said.
func (o *Options) complete(chains []evidence.Chain) {
	o.Now, o.From, o.To = o.Now.UTC(), o.From.UTC(), o.To.UTC()
	if o.To.IsZero() {
		o.To = o.Now
	}
	if o.Within <= 0 {
		o.Within = defaultWithin
	}
	if !o.From.IsZero() {
		return
	}
	o.From = o.To
	for _, c := range chains {
		for i := range c.Records {
			if at := c.Records[i].At.UTC(); at.Before(o.From) {
				o.From = at
			}
		}
	}
}

// order returns the records of a chain by sequence, each once. What does not belong is a fault.
func (b *builder) order(c evidence.Chain) []entry {
	var out []entry
	for i := range c.Records {
		e := entry{&c.Records[i], &c.Sums[i]}
		if e.Secret.ARN != c.Secret.ARN {
			b.fault(evidence.Fault{Secret: c.Secret, Sequence: e.Sequence, What: evidence.Misplaced, Detail: "the record is about another secret"})
			continue
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(x, y entry) int { return cmp.Compare(x.Sequence, y.Sequence) })
	kept := out[:0]
	for _, e := range out {
		if n := len(kept); n > 0 && kept[n-1].Sequence == e.Sequence {
			if kept[n-1].cite() != e.cite() {
				b.fault(evidence.Fault{Secret: c.Secret, Sequence: e.Sequence, What: evidence.Doubled, Detail: "two different records have one sequence; the first was read"})
			}
			continue
		}
		if n := len(kept); n > 0 && kept[n-1].Sequence+1 != e.Sequence {
			b.gap(c.Secret, kept[n-1].Sequence+1, e.Sequence-1)
		}
		kept = append(kept, e)
	}
	if n := len(kept); n > 0 {
		if last := kept[n-1]; last.At.After(b.at) {
			b.at, b.report.Stack = last.At, Stack{line.Plain(last.Stack.Account, maxName), line.Plain(last.Stack.Region, maxName)}
		}
	}
	return kept
}

// gap notes missing records, unless the reader of the evidence did.
func (b *builder) gap(s evidence.Secret, from, to int64) {
	for _, f := range b.report.Faults {
		if f.Secret == line.Plain(s.Name, maxName) && f.Sequence >= from && f.Sequence <= to+1 {
			return
		}
	}
	b.fault(evidence.Fault{Secret: s, Sequence: from, What: evidence.Missing, Detail: fmt.Sprintf("records %d to %d are missing", from, to)})
}

func (b *builder) fault(f evidence.Fault) {
	out := Fault{
		Path: line.Plain(f.Path, maxText), Secret: line.Plain(f.Secret.Name, maxName), Sequence: f.Sequence,
		What: line.Plain(string(f.What), maxName), Detail: line.Plain(f.Detail, maxText),
	}
	if !b.faults[out] {
		b.faults[out] = true
		b.report.Faults = append(b.report.Faults, out)
	}
}

// secret reads a chain.
func (b *builder) secret(s evidence.Secret, entries []entry) {
	t := newTrail(b.o, s)
	t.read(entries)
	b.trails = append(b.trails, t)
	sum := &b.report.Summary
	sum.Records += t.records
	sum.Verifications += t.verified
	for i := range controls {
		b.report.Controls[i].Tests = append(b.report.Controls[i].Tests, t.result(i))
	}
	for _, f := range t.standings() {
		if f.concerns(b.o.From) {
			b.report.Findings = append(b.report.Findings, f.finding(s))
		}
	}
	if !t.lastLook.empty() {
		for host, definite := range t.view.known {
			was, met := b.hosts[host]
			b.hosts[host] = definite && (was || !met)
		}
		for i, places := range t.view.excepted {
			b.used[i] = append(b.used[i], places...)
		}
	}
	t.out.Rotations = b.o.completed(t.out.Rotations, s.ARN) // what the evidence does not know decides nothing
	for _, r := range t.out.Rotations {
		if r.Outcome == string(evidence.Failed) || r.Outcome == string(evidence.Abandoned) {
			sum.Rotations.Failed++
		} else {
			sum.Rotations.Succeeded++
		}
	}
	b.report.Secrets = append(b.report.Secrets, t.out)
}

// completed are rotations of the evidence, with those of the period that only CloudTrail knows. Both have the times of
// the same events, to the second.
func (o *Options) completed(known []Rotation, arn string) []Rotation {
	all := slices.Clip(known)
	for _, r := range o.Recorded[arn] {
		same := func(k Rotation) bool {
			return k.Outcome == r.Outcome && k.At.Truncate(time.Second).Equal(r.At.Truncate(time.Second))
		}
		if r.At.Before(o.From) || !r.At.Before(o.To) || slices.ContainsFunc(known, same) {
			continue
		}
		all = append(all, Rotation{
			At: r.At.UTC(), Outcome: r.Outcome, Version: line.Plain(r.Version, maxName), Step: line.Plain(r.Step, maxName),
			Failure: line.Plain(r.Failure, maxText), EventID: line.Plain(r.EventID, maxName),
		})
	}
	slices.SortStableFunc(all, func(a, b Rotation) int { return a.At.Compare(b.At) })
	return all
}

// exceptions reads the chain of the exceptions: its changes are told, and a list that could not be read stands until
// the next that could.
func (b *builder) exceptions(entries []entry) {
	books := ledger{map[key]*standing{}}
	unread := group{open: map[key]*standing{}}
	for _, e := range entries {
		x := e.Exceptions
		if x == nil || !e.At.Before(b.o.To) {
			continue
		}
		if !e.At.Before(b.o.From) {
			b.report.Summary.Records++
		}
		var issues []issue
		if x.Error != "" {
			issues = []issue{{control: noForeign, scope: "exceptions unreadable", title: "The list of exceptions could not be read", severity: Medium,
				detail: line.Plain(x.Error, maxText) + "; the one before stays in force"}}
		}
		books.update(&unread, e, issues, nil)
		for _, change := range [...]struct {
			what string
			keys []string
		}{{"added", x.Added}, {"removed", x.Removed}} {
			for _, fp := range change.keys {
				books.occurred(e, issue{control: noForeign, scope: "exception " + change.what + " " + line.Plain(fp, maxName), severity: Info,
					title: "An exception was " + change.what, detail: line.Plain(fp, maxName)})
			}
		}
	}
	unread.end()
	for _, s := range books.all {
		if s.concerns(b.o.From) {
			b.stack = append(b.stack, s)
		}
	}
	slices.SortFunc(b.stack, func(x, y *standing) int { return compareFindings(x.order(), y.order()) })
	for _, s := range b.stack {
		b.report.Findings = append(b.report.Findings, s.finding(evidence.Secret{}))
	}
	if len(b.stack) == 0 {
		return
	}
	r := Result{Status: Pass, Reason: "the list of exceptions was changed, and can be read", Records: len(entries), Evidence: []Evidence{}}
	for _, s := range b.stack {
		if s.breaks() && s.status == Open {
			r.Status, r.Reason = Fail, s.title
		}
		if len(r.Evidence) < maxCited {
			r.cite(s.first, s.last)
		}
	}
	b.report.Controls[noForeign].Tests = append(b.report.Controls[noForeign].Tests, r)
}

// expired lists how the exceptions were used.
func (b *builder) expired() {
	for i, e := range b.o.Exceptions {
		places := b.used[i]
		if places == nil {
			places = []string{}
		}
		slices.Sort(places)
		places = slices.Compact(places)
		b.report.Summary.Excepted += len(places)
		b.report.Exceptions = append(b.report.Exceptions, e.use(b.o.end(), places))
	}
	slices.SortStableFunc(b.report.Exceptions, func(x, y ExceptionUse) int {
		return cmp.Or(strings.Compare(x.Fingerprint, y.Fingerprint), strings.Compare(x.User, y.User), slices.Compare(x.Hosts, y.Hosts))
	})
}

// finish decides the controls and says the verdict.
func (b *builder) finish() {
	r := b.report
	slices.SortStableFunc(r.Findings, compareFindings)
	slices.SortStableFunc(r.Faults, func(x, y Fault) int {
		return cmp.Or(strings.Compare(x.Secret, y.Secret), strings.Compare(x.Path, y.Path), cmp.Compare(x.Sequence, y.Sequence))
	})
	s := &r.Summary
	for i := range r.Controls {
		c := &r.Controls[i]
		idle := 0
		for _, test := range c.Tests {
			c.Tally.add(test.Status)
			if test.idle {
				idle++
			}
		}
		switch {
		case c.Tally.Fail > 0:
			c.Status = Fail
		case c.Tally.NotTestable > idle || c.Tally.Pass == 0:
			c.Status = NotTestable
		default:
			c.Status = Pass
		}
		s.Controls.add(c.Status)
	}
	for _, f := range r.Findings {
		switch {
		case f.Status == Mended:
			s.Mended++
		default:
			s.Open.add(f.Severity)
		}
	}
	s.Secrets, s.Hosts, s.Faults = len(r.Secrets), len(b.hosts), len(r.Faults)
	for host := range maps.Keys(b.hosts) {
		if b.hosts[host] {
			s.Seen++
		}
	}
	s.Status, s.Sentence = r.verdict()
	if b.o.Before != nil {
		r.Changes = r.since(b.o.Before)
	}
}

// verdict is one sentence.
func (r *Report) verdict() (Status, string) {
	s := r.Summary
	all := len(r.Controls)
	faults := ""
	if s.Faults > 0 {
		faults = fmt.Sprintf(" The evidence itself has %s.", count(s.Faults, "fault", "faults"))
	}
	switch {
	case s.Records == 0:
		return NotTestable, "There is no evidence of this period: nothing can be said of it." + faults
	case s.Controls.Fail > 0:
		text := fmt.Sprintf("%s of %d controls failed", number(s.Controls.Fail), all)
		if n := s.Controls.NotTestable; n > 0 {
			text += fmt.Sprintf(", and %d could not be tested", n)
		}
		if n := s.Open.Critical; n > 0 {
			text += fmt.Sprintf("; %s should be looked at now", count(n, "critical finding", "critical findings"))
		}
		return Fail, text + "." + faults
	case s.Controls.NotTestable > 0:
		return NotTestable, fmt.Sprintf("Nothing failed, and %d of %d controls could not be tested.", s.Controls.NotTestable, all) + faults
	case s.Faults > 0:
		return NotTestable, fmt.Sprintf("All %d controls passed by the evidence that is there.", all) + faults
	}
	return Pass, fmt.Sprintf("All %d controls passed: %s of %s trusted the current keys and no retired one.", all, number(s.Seen), count(s.Hosts, "host", "hosts"))
}

// since compares with the report before.
func (r *Report) since(before *Report) *Changes {
	c := &Changes{Since: before.Generated.UTC(), New: []string{}, Again: []string{}, Mended: []string{}, Gone: []Finding{}, Controls: []ControlChange{}}
	was := map[string]Finding{}
	for _, f := range before.Findings {
		was[f.ID] = f
	}
	for _, f := range r.Findings {
		old, met := was[f.ID]
		delete(was, f.ID)
		switch {
		case !met:
			c.New = append(c.New, f.ID)
		case old.Status == Mended && f.Status != Mended:
			c.Again = append(c.Again, f.ID)
		case old.Status != Mended && f.Status == Mended:
			c.Mended = append(c.Mended, f.ID)
		}
	}
	for _, f := range before.Findings {
		if _, gone := was[f.ID]; gone {
			c.Gone = append(c.Gone, f)
		}
	}
	status := map[string]Status{}
	for _, old := range before.Controls {
		status[old.ID] = old.Status
	}
	for _, now := range r.Controls {
		if old := status[now.ID]; old != "" && old != now.Status {
			c.Controls = append(c.Controls, ControlChange{now.ID, old, now.Status})
		}
	}
	return c
}

// untested is what no report of this kind can tell.
var untested = [...]string{
	"Hosts answer for themselves. Whoever is root on a host can make it lie, and can log in to its accounts without any key.",
	"Between two verifications a key may have been put and taken away again.",
	"A private key that was copied out of Secrets Manager before its rotation is of no use on these hosts afterwards; whether it was copied, or is used elsewhere, is not known.",
	"Sessions that were open when a key was retired may have gone on.",
	"Hosts outside the stack's boundary, accounts that are not managed, and passwords or other means of login were not tested.",
	"Exceptions are taken as they stand now: since when each was agreed to is in the evidence of their list alone.",
	"Whether a person read an alert is not known.",
}

// method is how the data was gathered.
var method = [...]string{
	"Keytrail's events function asked every host of each secret through Systems Manager, after each rotation and by a schedule, which keys each file that sshd reads holds.",
	"The auditor's role reads no private key and changes no host. What should be there came from Secrets Manager and from the register of public keys, which only the rotation function may write.",
	"Changes and reads of secrets were told by CloudTrail through EventBridge.",
	"Each look, rotation, repair and alert is one record. Each names the SHA-256 of the one before and is kept under per-object retention; `keytrail evidence verify` checks a copy offline.",
	"This report was computed from those records alone: the same records give the same report.",
}
