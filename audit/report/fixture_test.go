package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/audit/evidence"
)

var (
	from = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	to   = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now  = time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)
)

const (
	arnPrefix = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"
	function  = "arn:aws:lambda:eu-west-1:111122223333:function:keytrail-rotate"
	kmsKey    = "arn:aws:kms:eu-west-1:111122223333:key/0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9"
	launch    = "SHA256:q6Xr1Jm0pVqk8b4Yb3n3v2h0m0Ywz1J5cX9dG7tT2kE"
	vendor    = "SHA256:Zt8r2Kn1qWrl9c5Zc4o4w3i1n1Zxa2K6dY0eH8uU3lF"
)

var (
	deploy  = evidence.Secret{ARN: arnPrefix + "fleet/deploy-AbCdEf", Name: "fleet/deploy"}
	backups = evidence.Secret{ARN: arnPrefix + "fleet/backups-GhIjKl", Name: "fleet/backups"}
	stack   = evidence.Stack{Account: "111122223333", Region: "eu-west-1", Heal: "missing", Readers: true}
)

func version(n int) string { return fmt.Sprintf("eeb681b1-a07d-4aeb-9b61-1ee6590ec%03d", n) }
func print(n int) string {
	return fmt.Sprintf("SHA256:VPpM0zECrnpuNte6YTMeHljH/Uuhwp3SadwCCP88%03d", n)
}
func host(n int) string { return fmt.Sprintf("i-0a1b2c3d4e5f6%04d", n) }

// book writes a chain.
type book struct {
	t testing.TB
	evidence.Chain
}

func newBook(t testing.TB, s evidence.Secret) *book {
	return &book{t: t, Chain: evidence.Chain{Secret: s}}
}

func (b *book) add(at time.Time, r evidence.Record) {
	b.t.Helper()
	r.At, r.Schema, r.Secret, r.Stack, r.Sequence = at, evidence.Schema, b.Secret, stack, int64(len(b.Records)+1)
	if n := len(b.Sums); n > 0 {
		r.Previous = b.Sums[n-1]
	}
	body, err := r.Canonical()
	if err != nil {
		b.t.Fatal(err)
	}
	b.Records, b.Sums = append(b.Records, r), append(b.Sums, evidence.Sum(body))
}

func (b *book) verify(at time.Time, v *evidence.Verification) {
	b.add(at, evidence.Record{Kind: evidence.Verified, Verification: v})
}

func (b *book) rotate(at time.Time, r evidence.Rotation) {
	b.add(at, evidence.Record{Kind: evidence.Rotated, Rotation: &r})
}

func (b *book) alert(at time.Time, a evidence.Alert) {
	b.add(at, evidence.Record{Kind: evidence.Alerted, Alert: &a})
}

// well is a verification that finds nothing wrong.
func well(n int, created time.Time, hosts ...evidence.Host) *evidence.Verification {
	return &evidence.Verification{
		Clean: true, Commands: []string{"0b1f6a2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b"}, Coverage: evidence.Coverage{Expected: len(hosts), Seen: len(hosts)},
		Fingerprint: print(n), Version: version(n), Hosts: hosts,
		Keys: []evidence.Key{{Created: created, Fingerprint: print(n), Reason: "current", Standing: "live", Type: "ssh-ed25519", Bits: 256, Version: version(n)}},
		Settings: evidence.Settings{Days: 30, Function: function, KMSKey: kmsKey, Ours: true, Rotates: true, Rotated: created,
			Next: created.AddDate(0, 0, 30)},
	}
}

// with changes one user of a copy; the verification is clean no more, and covers what is known.
func with(v *evidence.Verification, n int, change func(*evidence.User)) *evidence.Verification {
	c := *v
	c.Hosts = make([]evidence.Host, len(v.Hosts))
	for i, h := range v.Hosts {
		c.Hosts[i] = evidence.Host{ID: h.ID, Users: append([]evidence.User(nil), h.Users...)}
	}
	u := &c.Hosts[n].Users[0]
	change(u)
	c.Clean = c.Clean && u.State == "ok"
	if blindState(u.State) {
		c.Coverage.Seen--
	}
	return &c
}

func fleet(n int) []evidence.Host {
	var out []evidence.Host
	for i := range n {
		out = append(out, evidence.Host{ID: host(i + 1), Users: []evidence.User{{Command: 1, Name: "deploy", State: "ok"}}})
	}
	return out
}

func state(s, reason string) func(*evidence.User) {
	return func(u *evidence.User) { u.State, u.Reason = s, reason }
}

func foreign(keys ...evidence.Foreign) func(*evidence.User) {
	return func(u *evidence.User) { u.Foreign = keys }
}

// quiet is an archive of October with one rotation, hosts looked at twice a day, and nothing wrong.
func quiet(t testing.TB, hosts ...evidence.Host) evidence.Archive {
	b := newBook(t, deploy)
	before, on := from.AddDate(0, 0, -15), from.AddDate(0, 0, 14)
	b.rotate(before, evidence.Rotation{Function: function, Outcome: evidence.Succeeded, Version: version(1)})
	for at := from.Add(-12 * time.Hour); at.Before(to); at = at.Add(12 * time.Hour) {
		if at.Equal(on) {
			b.rotate(on, evidence.Rotation{Function: function, Outcome: evidence.Succeeded, Started: on.Add(-90 * time.Second), Version: version(2)})
			b.verify(on.Add(2*time.Minute), well(2, on, hosts...))
		}
		if at.Before(on) {
			b.verify(at, well(1, before, hosts...))
		} else if at.After(on) {
			b.verify(at, well(2, on, hosts...))
		}
	}
	return evidence.Archive{Chains: []evidence.Chain{b.Chain}}
}

// hostile is a comment that means something in every place where it could be printed.
const hostile = "=cmd|'/c calc'!A1 <script>alert(1)</script> \"],\n\u202e*_~ {{.}} \x1b[31m & --> ]]> é 🔑"

// october is the archive of the goldens: some of everything.
func october(t testing.TB) evidence.Archive {
	hosts := fleet(12)
	a, b := newBook(t, deploy), newBook(t, backups)
	list := newBook(t, evidence.Secret{})
	list.add(from.AddDate(0, 0, 3), evidence.Record{Kind: evidence.Excepted, Exceptions: &evidence.Exceptions{Added: []string{launch}, SHA256: evidence.Sum(nil)}})
	list.add(from.AddDate(0, 0, 20), evidence.Record{Kind: evidence.Excepted, Exceptions: &evidence.Exceptions{Error: "line 7: expires is no date", SHA256: evidence.Sum([]byte("x"))}})

	first, second := from.AddDate(0, 0, -26), from.AddDate(0, 0, 4).Add(3*time.Hour)
	a.rotate(first, evidence.Rotation{Function: function, Outcome: evidence.Succeeded, Version: version(1)})
	third := from.AddDate(0, 0, 25).Add(3 * time.Hour)
	for at := from.Add(-6 * time.Hour); at.Before(to); at = at.Add(6 * time.Hour) {
		day := int(at.Sub(from) / (24 * time.Hour))
		v := well(1, first, hosts...)
		if at.After(second) {
			v = well(2, second, hosts...)
		}
		if at.After(third) {
			v = well(4, third, hosts...)
		}
		v = with(v, 0, foreign(evidence.Foreign{Comment: "launch key", Fingerprint: launch, Line: 1, Path: "/home/deploy/.ssh/authorized_keys", Type: "RSA"}))
		switch {
		case day >= 8 && day < 10:
			v = with(v, 2, state("missing", ""))
		case day >= 16 && day < 17:
			v = with(with(v, 5, state("unreachable", "the SSM agent has not answered since 11:02 UTC")), 6, state("unreachable", "the SSM agent has not answered since 11:02 UTC"))
		case day >= 27:
			v = with(v, 3, func(u *evidence.User) {
				u.State, u.Retired, u.Reason = "stale", []string{print(1)}, "in /etc/ssh/keys/deploy"
			})
			v = with(v, 7, foreign(evidence.Foreign{Comment: hostile, Fingerprint: vendor, Line: 3, Path: "/home/deploy/.ssh/authorized_keys", Type: "ED25519"}))
			v = with(v, 11, state("unreachable", "not delivered within 60 seconds"))
		}
		a.verify(at, v)
		switch {
		case at.Before(second) && at.Add(6*time.Hour).After(second):
			a.rotate(second, evidence.Rotation{Function: function, Outcome: evidence.Succeeded, Started: second.Add(-80 * time.Second), Version: version(2)})
			a.verify(second.Add(95*time.Second), well(2, second, hosts...))
		case at.Before(third) && at.Add(6*time.Hour).After(third):
			failed := third.Add(-2 * time.Hour)
			a.rotate(failed, evidence.Rotation{Failure: "1 of 12 hosts did not answer", Function: function, Outcome: evidence.Failed, Started: failed.Add(-3 * time.Minute), Step: "setSecret", Version: version(3)})
			a.rotate(third, evidence.Rotation{Function: function, Outcome: evidence.Succeeded, Started: third.Add(-70 * time.Second), Version: version(4)})
			a.verify(third.Add(110*time.Second), well(4, third, hosts...))
		}
	}
	a.alert(to.Add(-9*time.Hour), evidence.Alert{Condition: "private-key-read", ID: "kt-read-1", Message: "kt-read-1-7", Reason: "GetSecretValue",
		Severity: "critical", Since: to.Add(-9 * time.Hour), Status: "opened", Who: "arn:aws:iam::111122223333:role/" + "operators/maria"})

	old := from.AddDate(0, 0, -70)
	for at := from; at.Before(to); at = at.Add(24 * time.Hour) {
		v := well(9, old, fleet(3)...)
		v.Keys[0].Type, v.Keys[0].Bits = "ssh-rsa", 4096
		v.Settings.KMSKey, v.Settings.Days, v.Settings.Schedule = "", 0, "rate(60 days)"
		v = with(v, 1, func(u *evidence.User) { u.Ways = "c" })
		v = with(v, 2, state("stopped", ""))
		b.verify(at, v)
	}
	return evidence.Archive{
		Chains: []evidence.Chain{list.Chain, b.Chain, a.Chain},
		Faults: []evidence.Fault{{Path: "evidence/111122223333/eu-west-1/fleet/backups-GhIjKl/records/0000000017.json", Secret: backups, Sequence: 17, What: evidence.Cut, Detail: "damaged: cut, changed, or no record"}},
	}
}

var agreedKeys = []Exception{
	{Fingerprint: launch, User: "deploy", Hosts: []string{"i-0a1b2c3d4e5f6*"}, Owner: "platform@example.com", Reason: "launch key of the image; goes with the next image", Expires: to.AddDate(0, 1, 0)},
	{Fingerprint: vendor, Owner: "vendors@example.com", Reason: "support until the migration", Expires: from.AddDate(0, 0, 10)},
}

func octoberReport(t testing.TB) Report {
	before := Build(october(t), Options{From: from.AddDate(0, -1, 0), To: from, Now: from.Add(6 * time.Hour), Exceptions: agreedKeys})
	return Build(october(t), Options{From: from, To: to, Now: now, Within: 15 * time.Minute, Exceptions: agreedKeys, Before: &before})
}

// golden compares, or with KEYTRAIL_UPDATE_GOLDEN=1 rewrites.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("KEYTRAIL_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (KEYTRAIL_UPDATE_GOLDEN=1 writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// written is what a form writes.
func written(t testing.TB, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hostileReport has the hostile text wherever a text comes from outside.
func hostileReport(t testing.TB) Report {
	bad := evidence.Secret{ARN: arnPrefix + hostile + "-AbCdEf", Name: hostile}
	b := newBook(t, bad)
	v := well(1, from, evidence.Host{ID: hostile, Users: []evidence.User{{Name: hostile, State: "refused", Reason: hostile,
		Foreign: []evidence.Foreign{{Comment: hostile, Fingerprint: vendor, Path: hostile, Type: hostile}}}}})
	v.Clean, v.Commands, v.Version, v.Fingerprint, v.Held = false, []string{hostile}, hostile, hostile, new(string)
	*v.Held = hostile
	v.Keys[0].Type, v.Keys[0].Version, v.Keys[0].Fingerprint, v.Keys[0].Bits = hostile, hostile, hostile, 0
	v.Settings.Ours, v.Settings.Function, v.Settings.Schedule, v.Settings.Days, v.Settings.Pending = false, hostile, hostile, 0, hostile
	b.verify(from.AddDate(0, 0, 1), v)
	b.verify(from.AddDate(0, 0, 3), v)
	b.rotate(from.AddDate(0, 0, 4), evidence.Rotation{Failure: hostile, Outcome: evidence.Outcome(hostile), Step: hostile, Version: hostile})
	b.alert(from.AddDate(0, 0, 5), evidence.Alert{Condition: "value-changed", ID: hostile, Reason: hostile, Status: "opened", Who: hostile})
	b.alert(from.AddDate(0, 0, 5), evidence.Alert{Condition: hostile, ID: hostile, Status: "opened"})
	o := october31
	o.Exceptions = []Exception{{Fingerprint: hostile, User: hostile, Hosts: []string{hostile}, Owner: hostile, Reason: hostile}}
	return Build(evidence.Archive{Chains: []evidence.Chain{b.Chain}, Faults: []evidence.Fault{{Path: hostile, Secret: bad, What: hostile, Detail: hostile}}}, o)
}
