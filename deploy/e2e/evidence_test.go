package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/report"
	"github.com/keytrail/keytrail/deploy/lab/host"
)

// proofs reads the evidence of the one secret that is watched, and fails for whatever is wrong with it.
func (w *watched) proofs() evidence.Chain {
	w.t.Helper()
	a, err := evidence.Check(w.evidence())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range a.Faults {
		w.t.Error(f)
	}
	if len(a.Chains) != 1 {
		w.t.Fatalf("%d chains", len(a.Chains))
	}
	return a.Chains[0]
}

// tale says records in a few words each.
func tale(records []evidence.Record) (words []string) {
	for _, r := range records {
		switch {
		case r.Verification != nil:
			v := r.Verification
			words = append(words, fmt.Sprintf("verified %d of %d, clean %t, by %s", v.Coverage.Seen, v.Coverage.Expected, v.Clean, r.Event.Name))
		case r.Rotation != nil:
			words = append(words, strings.TrimSpace(fmt.Sprintf("rotation %s %s", r.Rotation.Outcome, r.Rotation.Step)))
		case r.Reconcile != nil:
			words = append(words, fmt.Sprintf("reconcile to %s, %d changes", r.Reconcile.Why, len(r.Reconcile.Hosts)))
		case r.Alert != nil:
			words = append(words, r.Alert.Condition+" "+r.Alert.Status)
		}
	}
	return words
}

// agree writes the list of exceptions, as the operator may.
func (w *watched) agree(body string) {
	w.t.Helper()
	name, key := bucket, evidence.ExceptionsKey
	if _, err := w.objects().PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader(body)}); err != nil {
		w.t.Fatal(err)
	}
}

// TestForeignKeysAreSilentOnceSomebodyAnswersForThem: first they wait for an answer, then the list decides.
func TestForeignKeysAreSilentOnceSomebodyAnswersForThem(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	launch, rogue := newKey(t, "launch"), newKey(t, "rogue")
	put := func(keys ...key) {
		t.Helper()
		var lines []string
		for _, k := range keys {
			lines = append(lines, k.line)
		}
		if err := w.Hosts()[0].WriteKeys(user, lines...); err != nil {
			t.Fatal(err)
		}
	}
	put(launch)
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	w.settle()
	mail := w.expect("[INFO] keys that were there before: fleet (1 host)")[0]
	if !strings.Contains(mail.text, launch.fingerprint()) {
		t.Errorf("the mail does not name the key:\n%s", mail.text)
	}
	live := s.key(current)
	put(live, launch, rogue)
	w.sweep()
	if mail = w.expect("[HIGH] unknown key trusted: fleet (1 host)")[0]; !strings.Contains(mail.text, rogue.fingerprint()) || strings.Contains(mail.text, launch.fingerprint()) {
		t.Errorf("the mail names other keys than the stranger's:\n%s", mail.text)
	}

	// Somebody fills the baseline in, and adds the new key to it.
	name := bucket
	list, err := w.objects().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &name, Prefix: aws.String("baseline/")})
	if err != nil || len(list.Contents) != 1 {
		t.Fatalf("%d baselines, %v", len(list.Contents), err)
	}
	out, err := w.objects().GetObject(t.Context(), &s3.GetObjectInput{Bucket: &name, Key: list.Contents[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`"fingerprint": %q`, launch.fingerprint()); strings.Count(string(text), `"fingerprint"`) != 1 || !strings.Contains(string(text), want) {
		t.Fatalf("the baseline is\n%s", text)
	}
	next := time.Now().AddDate(0, 1, 0).UTC().Format(time.DateOnly)
	answered := strings.NewReplacer(`"owner": ""`, `"owner": "Ops"`, `"reason": ""`, `"reason": "launch key"`, `"expires": ""`, `"expires": "`+next+`"`).Replace(string(text))
	both := strings.Replace(answered, `"exceptions": [`, fmt.Sprintf(`"exceptions": [{"expires": %q, "fingerprint": %q, "hosts": ["i-*"], "owner": "Vendor", "reason": "support"},`, next, rogue.fingerprint()), 1)
	w.agree(both)
	w.sweep()
	w.expect("[RESOLVED, was high] unknown key trusted", "[RESOLVED, was info] keys that were there before")
	w.agree(both[:len(both)/2]) // which changes nothing
	w.sweep()
	w.expect()
	w.agree(strings.Replace(both, `"expires": "`+next+`", "fingerprint": "`+rogue.fingerprint(), `"expires": "2026-01-31", "fingerprint": "`+rogue.fingerprint(), 1))
	w.sweep()
	w.expect("[HIGH] unknown key trusted: fleet (1 host)")
	w.agree(`{"schema":1,"exceptions":[]}`)
	w.sweep()
	w.expect("[HIGH, changed] unknown key trusted: fleet (1 host)")

	a, err := evidence.Check(w.evidence())
	if err != nil || len(a.Faults) != 0 || len(a.Chains) != 2 {
		t.Fatalf("%d chains, faults %v, %v", len(a.Chains), a.Faults, err)
	}
	var lists []string
	for _, r := range a.Chains[0].Records {
		words := fmt.Sprintf("%d in force", len(r.Exceptions.List))
		if r.Exceptions.Error != "" {
			words += ", since the list cannot be read"
		}
		lists = append(lists, words)
	}
	if want := []string{"2 in force", "2 in force, since the list cannot be read", "2 in force", "0 in force"}; !slices.Equal(lists, want) {
		t.Errorf("the evidence has %q", lists)
	}
	if _, err := w.asWatcher().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: aws.String(evidence.ExceptionsKey), Body: strings.NewReader("{}")}); says(err, "AccessDenied") != nil {
		t.Errorf("the function wrote the exceptions: %v", err)
	}
}

// TestWhatWasSeenDoneAndToldIsKept follows a secret through a rotation, a drift that is mended, and a rotation that
// fails, and reads what an auditor gets of it.
func TestWhatWasSeenDoneAndToldIsKept(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), nil)
	s := w.rotated("fleet")
	w.settle()
	chain := w.proofs()
	first := chain.Records[1].Verification
	if got := tale(chain.Records); !slices.Equal(got, []string{"rotation succeeded", "verified 2 of 2, clean true, by RotationSucceeded"}) {
		t.Fatalf("after the rotation: %q", got)
	}
	var hosts []string
	for _, h := range first.Hosts {
		for _, u := range h.Users {
			hosts = append(hosts, fmt.Sprintf("%s %s %s", h.ID, u.Name, u.State))
			if _, err := w.systems.GetCommandInvocation(t.Context(), &ssm.GetCommandInvocationInput{CommandId: &first.Commands[u.Command-1], InstanceId: &h.ID}); err != nil {
				t.Errorf("no command of SSM is behind %s: %v", h.ID, err)
			}
		}
	}
	if want := []string{w.Hosts()[0].ID() + " deploy ok", w.Hosts()[1].ID() + " deploy ok"}; !slices.Equal(hosts, want) {
		t.Errorf("hosts %q", hosts)
	}
	live := s.key(current).fingerprint()
	if k := first.Keys[0]; first.Fingerprint != live || k.Fingerprint != live || k.Standing != "live" || k.Type != "ssh-ed25519" || k.Bits != 256 {
		t.Errorf("the live key is %+v, not %s", k, live)
	}
	if first.Version != s.holder("AWSCURRENT") || !first.Settings.Rotates || !first.Settings.Ours || first.Settings.Days != 30 {
		t.Errorf("settings %+v of version %s", first.Settings, first.Version)
	}

	if err := w.Hosts()[0].WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.settle()
	if err := w.Hosts()[1].SetState(host.Offline); err != nil {
		t.Fatal(err)
	}
	if _, err := s.rotate(); err == nil {
		t.Fatal("it succeeded")
	}
	w.settle()
	want := []string{
		"verified 2 of 2, clean false, by check", "drift-missing opened",
		"reconcile to heal, 1 changes", "heal-done opened",
		"verified 2 of 2, clean true, by check", "drift-missing resolved",
		"rotation failed setSecret", "reconcile to abandoned, 1 changes",
		"verified 1 of 2, clean false, by RotationFailed",
	}
	chain = w.proofs()
	got := tale(chain.Records)[2:]
	if !slices.Equal(got[:len(want)], want) {
		t.Errorf("after the rest: %q", got)
	}
	for _, alert := range []string{"rotation-failed opened", "coverage opened", "rotation-blocked opened"} {
		if !slices.Contains(got[len(want):], alert) {
			t.Errorf("no %s among %q", alert, got[len(want):])
		}
	}

	w.mails()
	w.reportOf(time.Now().UTC().Format(time.DateOnly))

	// The sweep asks for what is due, once.
	name := bucket
	if _, err := w.asWatcher().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: aws.String("watch/reports.json"), Body: strings.NewReader(`{"schema":1,"done":{"daily":"2026-01-01","monthly":"9999-12"}}`)}); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.sweep()
	if m := w.expect("[REPORT] " + time.Now().AddDate(0, 0, -1).UTC().Format("2 January 2006") + ": not all could be tested"); !strings.Contains(m[0].text, "Secrets") {
		t.Error(m[0].text)
	}

	// Nobody deletes it, and a day that is over is closed once, though its keeper forgot where it ends.
	key := slices.Sorted(maps.Keys(w.evidence()))[0]
	kept, err := w.objects().GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: &name, Key: &key})
	if err != nil || time.Until(*kept.Retention.RetainUntilDate) < 364*24*time.Hour {
		t.Errorf("%s is kept until %+v: %v", key, kept, err)
	}
	w.remember(func(j map[string]any) {
		delete(j, "proof")
		j["begun"] = time.Now().AddDate(0, 0, -2).UTC().Format(time.RFC3339)
	})
	before := len(w.proofs().Records)
	w.sweep()
	w.sweep()
	w.settle()
	days := 0
	for name := range w.evidence() {
		if strings.Contains(name, "/days/") {
			days++
		}
	}
	if chain = w.proofs(); days != 1 || len(chain.Records) != before+2 {
		t.Errorf("%d days closed, %d records after %d", days, len(chain.Records), before)
	}
}

// reportOf has the report of a period written, and reads what people get: the mail, the message and the report.
func (w *watched) reportOf(period string) {
	w.t.Helper()
	job, err := json.Marshal(map[string]any{
		"version": "0", "id": "0b1f6a2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b", "source": "keytrail", "detail-type": "Write Report", "account": "111122223333",
		"region": "us-east-1", "time": time.Now().UTC().Format(time.RFC3339), "detail": map[string]string{"period": period},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.deliver(string(job))
	mail := w.expect("[REPORT] ")[0]
	words := strings.Join(strings.Fields(mail.text), " ")
	for _, want := range []string{"Secrets 1", "Hosts 1 of 2 gave a definite answer", "Rotations 1 succeeded, 1 did not", "What stands", "s3/object/" + bucket} {
		if !strings.Contains(words, want) {
			w.t.Errorf("the mail lacks %q:\n%s", want, mail.text)
		}
	}
	name, prefix := bucket, "reports/"
	list, err := w.objects().ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: &name, Prefix: &prefix})
	if err != nil {
		w.t.Fatal(err)
	}
	var found []string
	for _, o := range list.Contents {
		found = append(found, path.Base(*o.Key))
		out, err := w.objects().GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: &name, Key: o.Key})
		if err != nil {
			w.t.Fatal(err)
		}
		if path.Ext(*o.Key) != ".json" || path.Base(*o.Key) != "report.json" {
			continue
		}
		r, err := report.ReadJSON(out.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Summary.Status != report.Fail || len(r.Faults) != 0 || r.Summary.Records == 0 || len(r.Secrets) != 1 {
			w.t.Errorf("the report says %+v, faults %v", r.Summary, r.Faults)
		}
	}
	if !slices.Contains(found, "report.json") {
		w.t.Errorf("the report is %q", found)
	}
}
