package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// killer kills a function around its calls: before each of them, and after each that has changed
// something, or may have. (After one that only read nothing is different from before the next.) It does
// so once at each point, when the function first gets there, so that every attempt comes one point
// further than the one before.
type killer struct {
	*promise

	mu     sync.Mutex
	scene  string            // what the function was invoked for
	calls  map[string]int    // of this invocation, by action
	last   string            // the call before: a poll is one call, however often it is made
	under  map[string]string // the calls under way by request id
	killed []string          // points
	down   bool
}

func newKiller(t testing.TB, p *promise) *killer {
	k := &killer{promise: p}
	t.Cleanup(p.Front().Inject(wire.Fault{Match: byFunction, Do: k.before}))
	t.Cleanup(p.Front().Inject(wire.Fault{Match: byFunction, When: wire.After, Do: k.after}))
	return k
}

// begin begins an invocation.
func (k *killer) begin(scene string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.scene, k.calls, k.last, k.under, k.down = scene, map[string]int{}, "", map[string]string{}, false
}

// fell tells whether the function was killed in the invocation.
func (k *killer) fell() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.down
}

func (k *killer) before(_ context.Context, r wire.Request) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if call := r.Action + string(r.Body); r.Attempt <= 1 && (r.Service != "ssm" || call != k.last) {
		k.calls[r.Action]++
		k.last = call
	}
	point := fmt.Sprintf("%s of %s %d", k.scene, r.Action, k.calls[r.Action])
	k.under[r.ID] = point
	return k.strike("before " + point)
}

func (k *killer) after(ctx context.Context, r wire.Request) error {
	k.hold(ctx, "after "+r.Action)
	k.mu.Lock()
	defer k.mu.Unlock()
	point, known := k.under[r.ID]
	if !known {
		return wire.ErrDropped // of a process that was killed meanwhile
	}
	if reads(r.Action) {
		return nil
	}
	return k.strike("after " + point)
}

// reads tells the calls after which nothing can be different. While a command is followed, hosts work.
func reads(action string) bool {
	return action != "ListCommandInvocations" && slices.ContainsFunc([]string{"Describe", "Get", "Head", "List"},
		func(verb string) bool { return strings.HasPrefix(action, verb) })
}

func (k *killer) strike(point string) error {
	if k.down {
		return wire.ErrDropped
	}
	if slices.Contains(k.killed, point) {
		return nil
	}
	k.killed, k.down = append(k.killed, point), true
	k.Lambda().Kill(k.function)
	return wire.ErrDropped
}

// maxAttempts ends a test that would not end by itself.
const maxAttempts = 200

// insist runs a rotation as Secrets Manager does when it fails: all steps again, with the same token,
// until they go through. An attempt that fails though nothing was interrupted ends the test.
func (p *promise) insist(version string, begin func(step string), interrupted func() bool) (attempts int) {
	p.t.Helper()
	for attempts < maxAttempts {
		attempts++
		done := true
		for _, step := range steps {
			begin(step)
			err := p.step(step, version)
			p.hold(p.t.Context(), step)
			if interrupted() {
				done = false
				break
			}
			if err != nil {
				p.t.Fatalf("attempt %d: %s: %v", attempts, step, err)
			}
		}
		if done {
			return attempts
		}
	}
	p.t.Fatalf("no end after %d attempts", attempts)
	return attempts
}

// mixedFleet describes two hosts that have the keys: one in a single file, one in the second of two, of
// which the first is not there.
func mixedFleet(t testing.TB, keys ...key) []host.Spec {
	t.Helper()
	var lines []string
	for _, k := range keys {
		lines = append(lines, k.line)
	}
	lines = slices.Concat(strangers(t), lines)
	one, two := node(1, lines...), node(2, lines...)
	two.SSHDConfig = "AuthorizedKeysFile .ssh/authorized_keys2 .ssh/authorized_keys\n"
	return []host.Spec{one, two}
}

// TestARotationKilledAtEveryCall kills the function at every call, and has the rotation retried.
func TestARotationKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, mixedFleet(t, old))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", old.value())
	version := s.begin()
	k := newKiller(t, promised(s, []key{old}, w.Hosts()))
	attempts := k.insist(version, k.begin, k.fell)
	k.settled(s.key(current))
	for _, want := range []string{
		"before createSecret of DescribeSecret 1", "after createSecret of PutSecretValue 1",
		"before setSecret of SendCommand 1", "after setSecret of SendCommand 1", "after setSecret of ListCommandInvocations 1",
		"before finishSecret of UpdateSecretVersionStage 1", "after finishSecret of UpdateSecretVersionStage 1",
		"before finishSecret of SendCommand 1", "after finishSecret of SendCommand 1", "after finishSecret of ListCommandInvocations 1",
	} {
		if !slices.Contains(k.killed, want) {
			t.Errorf("the function was not killed %s, but %q", want, k.killed)
		}
	}
	t.Logf("%d attempts, killed %q", attempts, k.killed)
}

// TestARotationThatLosesTheReplyToEveryCall drops the reply to each call once; the SDK makes it again.
func TestARotationThatLosesTheReplyToEveryCall(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, mixedFleet(t, old))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", old.value())
	p := promised(s, []key{old}, w.Hosts())
	var lost atomic.Int32
	w.Front().Inject(wire.Fault{Match: byFunction, When: wire.After, Do: func(ctx context.Context, r wire.Request) error {
		p.hold(ctx, "after "+r.Action)
		if r.Attempt > 1 {
			return nil
		}
		lost.Add(1)
		return wire.ErrDropped
	}})
	s.mustRotate()
	p.settled(s.key(current))
	if n := lost.Load(); n < 20 {
		t.Errorf("only %d replies were lost", n)
	}
}
