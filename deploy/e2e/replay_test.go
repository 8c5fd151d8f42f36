package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// The steps of a rotation, in order.
var steps = []string{"createSecret", "setSecret", "testSecret", "finishSecret"}

func TestEachStepRunAgainChangesNothing(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(2, old.line))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", old.value("port", "22"))
	version := s.begin()
	for i, step := range steps {
		if err := s.step(step, version); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		value, labels, files := s.text(pending), s.labels(), homes(t, w.Hosts()...)
		// Secrets Manager begins a rotation that failed from its first step.
		for _, again := range slices.Concat([]string{step}, steps[:i+1], steps[:i+1]) {
			if err := s.step(again, version); err != nil {
				t.Fatalf("%s again, after %s: %v", again, step, err)
			}
			if s.text(pending) != value {
				t.Errorf("%s again, after %s, changed the value", again, step)
			}
			if diff := cmp.Diff(labels, s.labels()); diff != "" {
				t.Errorf("%s again, after %s, moved labels:\n%s", again, step, diff)
			}
			if diff := cmp.Diff(files, homes(t, w.Hosts()...)); diff != "" {
				t.Errorf("%s again, after %s, changed files:\n%s", again, step, diff)
			}
		}
	}
	if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	if err := refused(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

func TestStepsInAnyOrderDoNoHarm(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(1, old.line))
	w.run(keytrail)
	for _, step := range steps[1:] {
		t.Run(step+" before createSecret", func(t *testing.T) {
			t.Parallel()
			s := w.in(t).secret(keytrail, step, old.value())
			version, labels := s.begin(), s.labels()
			if err := says(s.step(step, version), version, "no value"); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(labels, s.labels()); diff != "" {
				t.Errorf("labels moved:\n%s", diff)
			}
			if err := logsIn(old, user, w.Hosts()...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAFinishThatFailedAfterThePromotionIsFinishedByItsReplay has the command that retires the old key
// denied once.
func TestAFinishThatFailedAfterThePromotionIsFinishedByItsReplay(t *testing.T) {
	t.Parallel()
	for name, retries := range map[string]int{"by hand": 0, "by the retry of Secrets Manager": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newKey(t, "made by hand")
			w := newWorld(t, nodes(2, old.line), func(o *lab.Options) { o.Retries = retries })
			w.run(keytrail)
			s := w.secret(keytrail, "fleet", old.value())
			w.Front().Inject(wire.Fault{Match: afterPromotion("SendCommand"), Times: 1, Do: wire.Deny})
			version, err := s.rotate()
			if err := says(err, version, "is AWSCURRENT", "not retired", "AccessDenied"); err != nil {
				t.Error(err)
			}
			if s.holder(current) != version {
				t.Fatalf("AWSCURRENT is not on %s", version)
			}
			if retries == 0 {
				if err := logsIn(old, user, w.Hosts()...); err != nil {
					t.Errorf("the fault came too late to show anything: %v", err)
				}
				if err := s.step("finishSecret", version); err != nil {
					t.Fatal(err)
				}
			}
			if err := refused(old, user, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if labels := s.labels()[version]; !slices.Equal(labels, []string{current, pending}) {
				t.Errorf("labels %q, want AWSCURRENT and AWSPENDING", labels)
			}
		})
	}
}

// TestARotationWhoseRepliesAreLostIsOneRotation has the reply to each call that changes the secret
// dropped once.
func TestARotationWhoseRepliesAreLostIsOneRotation(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"PutSecretValue", "UpdateSecretVersionStage", "SendCommand"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			old := newKey(t, "made by hand")
			w := newWorld(t, nodes(1, old.line), func(o *lab.Options) { o.Retries = 1 })
			w.run(keytrail)
			s := w.secret(keytrail, "fleet", old.value())
			w.Front().Inject(wire.Fault{
				Match: func(r wire.Request) bool { return r.Action == action && byFunction(r) },
				Times: 1, When: wire.After, Do: wire.Drop,
			})
			version, err := s.rotate()
			if err != nil {
				t.Error(err) // the SDK sends the call again
			}
			if s.holder(current) != version {
				t.Errorf("AWSCURRENT is not on %s", version)
			}
			if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if err := refused(old, user, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if n := strings.Count(keyFile(t, w.Hosts()[0], user), "\n"); n != 1 {
				t.Errorf("authorized_keys has %d lines, want the current key's alone", n)
			}
		})
	}
}
