package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// points counts the calls that a function makes: one that is made again with the same body, as a poll
// or a retry is, is the same point.
type points struct {
	mu   sync.Mutex
	seen map[string]int // the number of a point, by action and body
	list []string       // actions by number
}

// number returns the number of a call, and whether it is made for the first time.
func (p *points) number(r wire.Request) (n int, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]int{}
	}
	id := r.Action + " " + string(r.Body)
	n, known := p.seen[id]
	if !known {
		n = len(p.list)
		p.seen[id] = n
		p.list = append(p.list, r.Service+":"+r.Action)
	}
	return n, !known
}

// at returns a fault for all calls with one number, and the points that it counts.
func at(n int, do func(context.Context, wire.Request) error) (wire.Fault, *points) {
	p := &points{}
	return wire.Fault{Match: byFunction, Do: func(ctx context.Context, r wire.Request) error {
		if number, _ := p.number(r); number == n {
			return do(ctx, r)
		}
		return nil
	}}, p
}

// afterPromotion matches the calls of an action that come after AWSCURRENT has moved.
func afterPromotion(action string) func(wire.Request) bool {
	var promoted atomic.Bool
	return func(r wire.Request) bool {
		if r.Action == "UpdateSecretVersionStage" {
			promoted.Store(true)
		}
		return promoted.Load() && r.Action == action
	}
}

// TestDenialAtAnyCall has each call of a rotation denied in turn. The error names the action; whoever
// could log in still can, with the key that is AWSCURRENT; and once the right is granted, the same
// rotation goes through.
func TestDenialAtAnyCall(t *testing.T) {
	long(t)
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(1, old.line))
	w.run(keytrail)
	counting, all := at(-1, nil)
	remove := w.Front().Inject(counting)
	w.secret(keytrail, "undisturbed", newKey(t, "undisturbed").value()).mustRotate()
	remove()
	if len(all.list) < 10 {
		t.Fatalf("a rotation makes the calls %q only", all.list)
	}
	h := w.Hosts()[0]
	for n, action := range all.list {
		t.Run(fmt.Sprintf("%02d %s", n, action), func(t *testing.T) {
			w := w.in(t)
			if err := h.WriteKeys(user, old.line); err != nil {
				t.Fatal(err)
			}
			denial, _ := at(n, wire.Deny)
			remove := w.Front().Inject(denial)
			s := w.secret(keytrail, fmt.Sprintf("denied-%d", n), old.value())
			version, err := s.rotate()
			remove()
			if err := says(err, "not authorized", action); err != nil {
				t.Error(err)
			}
			if err := logsIn(s.key(current), user, h); err != nil {
				t.Errorf("the key that is AWSCURRENT: %v", err)
			}
			if s.holder(current) != version {
				if err := logsIn(old, user, h); err != nil {
					t.Error(err)
				}
			}
			for _, step := range steps {
				if err := s.step(step, version); err != nil {
					t.Errorf("%s, after the right was granted: %v", step, err)
				}
			}
			if s.holder(current) != version {
				t.Errorf("AWSCURRENT is not on %s after the right was granted", version)
			}
			if err := logsIn(s.key(current), user, h); err != nil {
				t.Error(err)
			}
			if err := refused(old, user, h); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestThrottlingAtEveryCall has each call throttled when it is made for the first time.
func TestThrottlingAtEveryCall(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(2, old.line))
	w.run(keytrail)
	p := &points{}
	w.Front().Inject(wire.Fault{Match: byFunction, Do: func(ctx context.Context, r wire.Request) error {
		if _, first := p.number(r); first {
			return wire.Throttle(ctx, r)
		}
		return nil
	}})
	s := w.secret(keytrail, "fleet", old.value())
	s.mustRotate()
	if len(p.list) < 10 {
		t.Errorf("only the calls %q were throttled", p.list)
	}
	if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	if err := refused(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

// TestWithoutTimeLeftAStepSaysWhatWasDoneAndWhatIsLeft runs into the function's time-out.
func TestWithoutTimeLeftAStepSaysWhatWasDoneAndWhatIsLeft(t *testing.T) {
	t.Parallel()
	slow := func(t *testing.T, w *world) {
		if err := w.Hosts()[1].Change(func(s *host.Switches) { s.Latency = host.Duration(time.Hour) }); err != nil {
			t.Fatal(err)
		}
	}
	throttled := func(action string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.Front().Inject(wire.Fault{Match: wire.Action("ssm", action), Do: wire.Throttle})
		}
	}
	for name, row := range map[string]struct {
		step     string
		hinder   func(*testing.T, *world)
		words    []string
		promoted bool
	}{
		"a host is slow to take the key":            {"setSecret", slow, []string{"deadline", "1 of 2", node(2).ID, "unreachable"}, false},
		"a host is slow to prove the key":           {"testSecret", slow, []string{"deadline", "1 of 2", node(2).ID, "unreachable"}, false},
		"a host is slow to drop the old key":        {"finishSecret", slow, []string{"deadline", "1 of 2", node(2).ID, "is AWSCURRENT", "not retired"}, true},
		"Systems Manager does not tell of commands": {"setSecret", throttled("ListCommandInvocations"), []string{"deadline", node(1).ID, node(2).ID}, false},
		"Systems Manager does not list the fleet":   {"finishSecret", throttled("DescribeInstanceInformation"), []string{"is AWSCURRENT", "not retired"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newKey(t, "made by hand")
			w := newWorld(t, nodes(2, old.line))
			w.run(keytrail)
			s := w.secret(keytrail, "fleet", old.value())
			version := s.begin()
			s.until(row.step, version)
			row.hinder(t, w)
			w.hurry(keytrail)
			if err := says(s.step(row.step, version), append(row.words, row.step)...); err != nil {
				t.Error(err)
			}
			if strings.Contains(w.log(keytrail), "Task timed out") {
				t.Error("Lambda killed the function")
			}
			if promoted := s.holder(current) == version; promoted != row.promoted {
				t.Errorf("promoted: %t", promoted)
			}
			// The slow host has not dropped anything; where both keys stand, both log in.
			if err := errors.Join(logsIn(old, user, w.Hosts()[1]), logsIn(s.key(current), user, w.Hosts()...)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestACommandWithoutAnswerIsCancelled ends a step by its deadline and looks at what Systems
// Manager was told.
func TestACommandWithoutAnswerIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(2))
	w.run(keytrail, "TIMEOUT=5s")
	s := w.secret(keytrail, "fleet", "")
	if err := w.Hosts()[1].Change(func(s *host.Switches) { s.Latency = host.Duration(time.Hour) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.rotate(); err == nil {
		t.Error("the rotation succeeded")
	}
	actions := []string{}
	for _, c := range w.Front().Calls() {
		actions = append(actions, c.Action)
	}
	if !slices.Contains(actions, "CancelCommand") {
		t.Errorf("calls %q, want a CancelCommand", actions)
	}
	if err := w.Hosts()[1].Change(func(s *host.Switches) { s.Latency = 0 }); err != nil {
		t.Fatal(err)
	}
	if file := keyFile(t, w.Hosts()[1], user); file != "" {
		t.Errorf("the host was changed all the same: %s", file)
	}
}
