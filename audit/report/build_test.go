package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keytrail/keytrail/audit/evidence"
)

var october31 = Options{From: from, To: to, Now: now, Within: 15 * time.Minute}

func statusOf(r Report, control int) (Status, string) {
	for _, test := range r.Controls[control].Tests {
		if test.Secret == deploy.Name {
			return test.Status, test.Reason
		}
	}
	return r.Controls[control].Status, ""
}

// spoil changes the last verification of an archive, or all of them.
func spoil(a evidence.Archive, all bool, change func(*evidence.Verification)) evidence.Archive {
	c := &a.Chains[0]
	c.Records = slices.Clone(c.Records)
	done := false
	for i := len(c.Records) - 1; i >= 0 && (all || !done); i-- {
		if old := c.Records[i].Verification; old != nil {
			v := *old
			v.Keys = slices.Clone(v.Keys)
			change(&v)
			c.Records[i].Verification = &v
			done = true
		}
	}
	c.Sums = nil
	return a
}

func users(change func(*evidence.User)) func(*evidence.Verification) {
	return func(v *evidence.Verification) { *v = *with(v, 0, change) }
}

// alerted adds an alert on the last day.
func alerted(a evidence.Archive, condition string) evidence.Archive {
	c := &a.Chains[0]
	r := c.Records[len(c.Records)-1]
	r.Sequence++
	r.Kind, r.Verification, r.At = evidence.Alerted, nil, to.Add(-time.Minute)
	r.Alert = &evidence.Alert{Condition: condition, ID: "kt-1", Severity: "high", Since: r.At, Status: "opened"}
	c.Records, c.Sums = append(slices.Clip(c.Records), r), nil
	return a
}

// rotated changes the rotations of an archive.
func rotated(a evidence.Archive, change func(*evidence.Record)) evidence.Archive {
	for i := range a.Chains[0].Records {
		if r := &a.Chains[0].Records[i]; r.Rotation != nil {
			change(r)
		}
	}
	a.Chains[0].Sums = nil
	return a
}

// without leaves records out, and numbers the rest.
func without(a evidence.Archive, drop func(evidence.Record) bool) evidence.Archive {
	c := &a.Chains[0]
	c.Records = slices.DeleteFunc(c.Records, drop)
	for i := range c.Records {
		c.Records[i].Sequence = int64(i + 1)
	}
	c.Sums = nil
	return a
}

func rotations(r evidence.Record) bool     { return r.Rotation != nil }
func verifications(r evidence.Record) bool { return r.Verification != nil }

func TestEveryControlPassesFailsAndIsNotTestable(t *testing.T) {
	t.Parallel()
	gone := func(v *evidence.Verification) { v.Gone = true }
	blind := users(state("unreachable", "offline"))
	unseen := func(a evidence.Archive) evidence.Archive { return spoil(a, true, blind) }
	blank := func(a evidence.Archive) evidence.Archive { return without(a, verifications) }
	at := func(all bool, change func(*evidence.Verification)) func(evidence.Archive) evidence.Archive {
		return func(a evidence.Archive) evidence.Archive { return spoil(a, all, change) }
	}
	told := func(condition string) func(evidence.Archive) evidence.Archive {
		return func(a evidence.Archive) evidence.Archive { return alerted(a, condition) }
	}
	unwatched := func(a evidence.Archive) evidence.Archive {
		a.Chains[0].Records[5].Stack.Readers, a.Chains[0].Sums = false, nil
		return a
	}
	noRotation := func(a evidence.Archive) evidence.Archive { return without(a, rotations) }
	for control, row := range [controlCount]struct {
		fail, untestable func(evidence.Archive) evidence.Archive
	}{
		rotationOn: {at(false, func(v *evidence.Verification) { v.Settings.Rotates = false }), at(false, gone)},
		keyAge: {at(true, func(v *evidence.Verification) { v.Keys[0].Created = from.AddDate(-1, 0, 0) }),
			at(true, func(v *evidence.Verification) { v.Settings.Days, v.Settings.Next = 0, time.Time{} })},
		lastRotation: {func(a evidence.Archive) evidence.Archive {
			return rotated(a, func(r *evidence.Record) { r.Rotation.Outcome = evidence.Failed })
		}, noRotation},
		noneStuck:  {at(true, func(v *evidence.Verification) { v.Settings.Pending = version(7) }), blank},
		currentKey: {at(false, users(state("missing", ""))), unseen},
		noRetired:  {at(false, users(func(u *evidence.User) { u.State, u.Retired = "stale", []string{print(1)} })), unseen},
		noForeign: {at(false, users(foreign(evidence.Foreign{Fingerprint: vendor, Path: "/k", Type: "RSA"}))),
			at(false, users(func(u *evidence.User) { u.Unlisted = 3 }))},
		honoured: {at(false, users(state("refused", "/home/deploy is writable by its group"))), unseen},
		keyType: {at(false, func(v *evidence.Verification) { v.Keys[0].Type, v.Keys[0].Bits = "ssh-rsa", 1024 }),
			at(true, func(v *evidence.Verification) { v.Keys[0].Type = "" })},
		verifiable: {unseen, blank},
		verifiedAfter: {func(a evidence.Archive) evidence.Archive {
			return without(a, func(r evidence.Record) bool {
				return r.Verification != nil && !r.At.Before(from.AddDate(0, 0, 14)) && r.At.Before(from.AddDate(0, 0, 15))
			})
		}, noRotation},
		onlyRotation: {told("value-changed"), told("event-missed")},
		readers:      {told("private-key-read"), unwatched},
		ownKMSKey:    {at(false, func(v *evidence.Verification) { v.Settings.KMSKey = "alias/aws/secretsmanager" }), blank},
		otherWays:    {at(false, users(func(u *evidence.User) { u.Ways = "k" })), at(false, users(func(u *evidence.User) { u.Skipped = 4 }))},
		alertPath: {func(a evidence.Archive) evidence.Archive {
			return rotated(a, func(r *evidence.Record) { r.Rotation.Outcome = evidence.Unheard })
		}, noRotation},
	} {
		id := controls[control].ID
		if got, why := statusOf(Build(quiet(t, fleet(3)...), october31), control); got != Pass {
			t.Errorf("%s: %s where nothing is wrong: %s", id, got, why)
		}
		r := Build(row.fail(quiet(t, fleet(3)...)), october31)
		if got, why := statusOf(r, control); got != Fail || why == "" {
			t.Errorf("%s: %s where it is broken: %s", id, got, why)
		}
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Control == id && f.Status != Mended && len(f.Evidence) > 0 }) {
			t.Errorf("%s failed, and there is no finding of it", id)
		}
		if r.Summary.Status != Fail {
			t.Errorf("%s failed, and the verdict is %s", id, r.Summary.Status)
		}
		if got, why := statusOf(Build(row.untestable(quiet(t, fleet(3)...)), october31), control); got != NotTestable || why == "" {
			t.Errorf("%s: %s where it cannot be tested: %q", id, got, why)
		}
	}
}

func TestAQuietPeriodPasses(t *testing.T) {
	t.Parallel()
	r := Build(quiet(t, fleet(3)...), october31)
	if r.Summary.Status != Pass || len(r.Findings) != 0 || len(r.Faults) != 0 {
		t.Errorf("%s: %s %+v %+v", r.Summary.Status, r.Summary.Sentence, r.Findings, r.Faults)
	}
	if want := "All 16 controls passed: 3 of 3 hosts trusted the current keys and no retired one."; r.Summary.Sentence != want {
		t.Errorf("the verdict is %q", r.Summary.Sentence)
	}
}

func TestAPeriodWithoutDataProvesNothing(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]evidence.Archive{"no evidence": {}, "evidence of another time": quiet(t, fleet(2)...)} {
		o := Options{From: to.AddDate(1, 0, 0), To: to.AddDate(1, 1, 0), Now: to.AddDate(2, 0, 0)}
		r := Build(a, o)
		if r.Summary.Status != NotTestable || !strings.Contains(r.Summary.Sentence, "no evidence") {
			t.Errorf("%s: %s: %s", name, r.Summary.Status, r.Summary.Sentence)
		}
		for _, c := range r.Controls {
			// How the last rotation ended is known from before.
			if c.Status != NotTestable && c.ID != controls[lastRotation].ID {
				t.Errorf("%s: %s is %s", name, c.ID, c.Status)
			}
		}
	}
}

func TestTheSameEvidenceGivesTheSameReportInWhateverOrder(t *testing.T) {
	t.Parallel()
	want := asJSON(t, octoberReport(t))
	for range 3 {
		if !bytes.Equal(want, asJSON(t, octoberReport(t))) {
			t.Fatal("the same evidence gave other bytes")
		}
	}
	a := october(t)
	for i := range a.Chains {
		slices.Reverse(a.Chains[i].Records)
		slices.Reverse(a.Chains[i].Sums)
	}
	slices.Reverse(a.Chains)
	a.Chains = append(a.Chains, a.Chains[0]) // and doubled
	before := octoberReport(t).Changes
	r := Build(a, Options{From: from, To: to, Now: now, Within: 15 * time.Minute, Exceptions: agreedKeys})
	r.Changes = before
	if !bytes.Equal(want, asJSON(t, r)) {
		t.Error("records out of order, or doubled, gave another report")
	}
}

func TestNothingWrongWithTheEvidenceIsDroppedInSilence(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil func(*evidence.Chain)
		what  evidence.FaultKind
	}{
		"a record is missing": {func(c *evidence.Chain) { c.Records = slices.Delete(c.Records, 7, 9) }, evidence.Missing},
		"two with a sequence": {func(c *evidence.Chain) {
			other := c.Records[7]
			other.At = other.At.Add(time.Second)
			c.Records = append(c.Records, other)
		}, evidence.Doubled},
		"of another secret": {func(c *evidence.Chain) { c.Records[len(c.Records)-1].Secret = backups }, evidence.Misplaced},
	} {
		a := quiet(t, fleet(2)...)
		row.spoil(&a.Chains[0])
		a.Chains[0].Sums = nil
		r := Build(a, october31)
		if len(r.Faults) != 1 || r.Faults[0].What != string(row.what) {
			t.Errorf("%s: %+v", name, r.Faults)
		}
		if r.Summary.Status == Pass || !strings.Contains(r.Summary.Sentence, "fault") {
			t.Errorf("%s: %s: %s", name, r.Summary.Status, r.Summary.Sentence)
		}
	}
	a := quiet(t, fleet(2)...)
	a.Faults = []evidence.Fault{{Path: "x", What: evidence.Broken, Detail: "d"}}
	if r := Build(a, october31); len(r.Faults) != 1 || r.Summary.Status == Pass {
		t.Errorf("the reader's fault: %+v %s", r.Faults, r.Summary.Status)
	}
}

func TestAHostThatFallsSilentMendsNothing(t *testing.T) {
	t.Parallel()
	b := newBook(t, deploy)
	hosts := fleet(2)
	created := from.AddDate(0, 0, -3)
	v := well(1, created, hosts...)
	b.verify(from, v)
	b.verify(from.Add(time.Hour), with(v, 0, func(u *evidence.User) { u.State, u.Retired = "stale", []string{print(8)} }))
	b.verify(from.Add(2*time.Hour), with(v, 0, state("unreachable", "offline")))
	look := func() Finding {
		r := Build(evidence.Archive{Chains: []evidence.Chain{b.Chain}}, october31)
		if len(r.Findings) != 1 {
			t.Fatalf("%+v", r.Findings)
		}
		return r.Findings[0]
	}
	if f := look(); f.Status != Open || !f.LastSeen.Equal(from.Add(time.Hour)) {
		t.Errorf("silent: %s, last seen %s", f.Status, f.LastSeen)
	}
	id := look().ID
	b.verify(from.Add(3*time.Hour), v)
	if f := look(); f.Status != Mended || !f.Mended.Equal(from.Add(3*time.Hour)) || !f.LastSeen.Equal(from.Add(time.Hour)) {
		t.Errorf("mended: %+v", f)
	}
	b.verify(from.Add(4*time.Hour), with(v, 0, func(u *evidence.User) { u.State, u.Retired = "stale", []string{print(8)} }))
	if f := look(); f.Status != Open || f.Times != 2 || f.ID != id || !f.Mended.IsZero() {
		t.Errorf("again: %+v", f)
	}
}

func TestAnExceptionSilencesItsKeyUntilItExpires(t *testing.T) {
	t.Parallel()
	key := foreign(evidence.Foreign{Fingerprint: vendor, Path: "/k", Type: "RSA"})
	a := spoil(quiet(t, fleet(2)...), true, users(key))
	for name, row := range map[string]struct {
		exceptions []Exception
		want       Status
		state      string
	}{
		"none":                   {nil, Fail, ""},
		"valid":                  {[]Exception{{Fingerprint: vendor, Expires: to.AddDate(1, 0, 0)}}, Pass, "valid"},
		"expires meanwhile":      {[]Exception{{Fingerprint: vendor, Expires: to.AddDate(0, 0, -3)}}, Fail, "expired"},
		"another user":           {[]Exception{{Fingerprint: vendor, User: "root"}}, Fail, "unused"},
		"another host":           {[]Exception{{Fingerprint: vendor, Hosts: []string{"mi-*"}}}, Fail, "unused"},
		"the host":               {[]Exception{{Fingerprint: vendor, Hosts: []string{"mi-*", "i-0a*"}}}, Pass, "valid"},
		"a pattern that is none": {[]Exception{{Fingerprint: vendor, Hosts: []string{"["}}}, Fail, "unused"},
	} {
		o := october31
		o.Exceptions = row.exceptions
		r := Build(a, o)
		if got, why := statusOf(r, noForeign); got != row.want {
			t.Errorf("%s: %s: %s", name, got, why)
		}
		if len(r.Exceptions) > 0 && r.Exceptions[0].State != row.state {
			t.Errorf("%s: the exception is %s", name, r.Exceptions[0].State)
		}
	}
	forged := spoil(quiet(t, fleet(2)...), true, users(foreign(evidence.Foreign{Fingerprint: vendor, Forged: true, Path: "/k"})))
	o := october31
	o.Exceptions = []Exception{{Fingerprint: vendor}}
	if got, _ := statusOf(Build(forged, o), noForeign); got != Fail {
		t.Errorf("a forged key under an exception: %s", got)
	}
}

func TestChangesSinceTheReportBefore(t *testing.T) {
	t.Parallel()
	stale := users(func(u *evidence.User) { u.State, u.Retired = "stale", []string{print(1)} })
	bad := Build(spoil(quiet(t, fleet(2)...), false, stale), october31)
	good := october31
	good.Before = &bad
	r := Build(quiet(t, fleet(2)...), good)
	if c := r.Changes; len(c.Gone) != 1 || len(c.New) != 0 || len(c.Controls) != 1 || c.Controls[0] != (ControlChange{"KT-6", Fail, Pass}) {
		t.Errorf("%+v", c)
	}
	good.Before = &r
	if c := Build(spoil(quiet(t, fleet(2)...), false, stale), good).Changes; len(c.New) != 1 || len(c.Gone) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestSecretsAreChosenByNameOrARN(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		secrets []string
		want    int
	}{{nil, 2}, {[]string{deploy.Name}, 1}, {[]string{deploy.ARN, backups.Name}, 2}, {[]string{"none"}, 0}} {
		o := october31
		o.Secrets = row.secrets
		if r := Build(october(t), o); len(r.Secrets) != row.want {
			t.Errorf("%v: %d secrets", row.secrets, len(r.Secrets))
		}
	}
}

func TestEveryMappingSaysWhoMadeIt(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i, c := range Controls() {
		if c.ID != fmt.Sprintf("KT-%d", i+1) || c.Title == "" || c.Why == "" || c.Test == "" || c.Mend == "" {
			t.Errorf("%d: %+v", i, c)
		}
		frameworks := map[string]bool{}
		for _, m := range c.Mappings {
			frameworks[m.Framework] = true
			seen[m.Source] = true
			if m.Source != Ours && !strings.HasPrefix(m.Source, "AWS Security Hub, SecretsManager.") {
				t.Errorf("%s: %q is no known source", c.ID, m.Source)
			}
		}
		for _, f := range []string{nist, iso, soc, ir} {
			if !frameworks[f] {
				t.Errorf("%s is mapped to nothing of %s", c.ID, f)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("sources: %v", seen)
	}
}

func TestRotationsThatOnlyCloudTrailKnowsAreListedAndDecideNothing(t *testing.T) {
	t.Parallel()
	a := quiet(t)
	o := Options{From: from, To: to, Now: now, Within: 15 * time.Minute}
	plain := Build(a, o)
	known := plain.Secrets[0].Rotations[0]
	o.Recorded = map[string][]Rotation{plain.Secrets[0].ARN: {
		{At: known.At.Truncate(time.Second), Outcome: known.Outcome, Version: known.Version, EventID: "the-same"},
		{At: from.Add(time.Hour), Outcome: string(evidence.Failed), Step: "setSecret", Failure: "no\x1b[31m", EventID: "before-us"},
		{At: from.Add(-time.Hour), Outcome: string(evidence.Succeeded), EventID: "too-early"},
	}}
	r := Build(a, o)
	got := r.Secrets[0].Rotations
	if len(got) != len(plain.Secrets[0].Rotations)+1 || got[0].EventID != "before-us" || got[0].Failure != "no" || got[0].Evidence != (Evidence{}) {
		t.Errorf("rotations %+v", got)
	}
	if r.Summary.Rotations.Failed != plain.Summary.Rotations.Failed+1 || !slices.EqualFunc(r.Controls, plain.Controls, func(x, y ControlResult) bool { return x.Status == y.Status }) {
		t.Errorf("%+v, before %+v", r.Summary, plain.Summary)
	}
	object, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(object); err != nil {
		t.Error(err)
	}
	if page := written(t, func(b *bytes.Buffer) error { return r.WriteHTML(b) }); !bytes.Contains(page, []byte("none; CloudTrail <code>before-us</code>")) {
		t.Error("the page does not say where it is from")
	}
}
