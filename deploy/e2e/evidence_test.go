package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/audit/evidence"
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

	// Nobody deletes it, and a day that is over is closed once, though its keeper forgot where it ends.
	name, key := bucket, slices.Sorted(maps.Keys(w.evidence()))[0]
	kept, err := w.objects().GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: &name, Key: &key})
	if err != nil || time.Until(*kept.Retention.RetainUntilDate) < 364*24*time.Hour {
		t.Errorf("%s is kept until %+v: %v", key, kept, err)
	}
	w.remember(func(j map[string]any) {
		delete(j, "proof")
		j["begun"] = time.Now().AddDate(0, 0, -2).UTC().Format(time.RFC3339)
	})
	before := len(chain.Records)
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
