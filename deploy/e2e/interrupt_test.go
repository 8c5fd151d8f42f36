package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/sshkey"
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

// was says where the function was not killed, though it should have been.
func (k *killer) was(points ...string) {
	k.t.Helper()
	for _, p := range points {
		if !slices.Contains(k.killed, p) {
			k.t.Errorf("not killed %s, but %q", p, k.killed)
		}
	}
}

// TestARotationKilledAtEveryCall kills the function at every call, and has the rotation retried.
func TestARotationKilledAtEveryCall(t *testing.T) {
	long(t)
	old := newKey(t, "made by hand")
	for name, row := range map[string]struct {
		hosts []host.Spec
		run   func(*world, ...string)
		want  []string
	}{
		"without a register": {nodes(1, append(strangers(t), old.line)...), func(w *world, env ...string) { w.run(keytrail, env...) }, []string{
			"before createSecret of DescribeSecret 1", "before finishSecret of ListSecretVersionIds 1",
		}},
		"with a register": {mixedFleet(t, old), (*world).keep, []string{
			"before createSecret of PutObject 1", "after createSecret of PutObject 1",
			"before setSecret of PutObject 1", "after setSecret of PutObject 1",
			"before finishSecret of PutObject 1", "after finishSecret of PutObject 1",
			"before finishSecret of GetObject 1", "before finishSecret of ListObjectsV2 1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.hosts)
			row.run(w)
			s := w.secret(keytrail, "fleet", old.value())
			version := s.begin()
			k := newKiller(t, promised(s, []key{old}, w.Hosts()))
			attempts := k.insist(version, k.begin, k.fell)
			k.settled(s.key(current))
			k.was("before createSecret of PutSecretValue 1", "after createSecret of PutSecretValue 1",
				"before setSecret of SendCommand 1", "after setSecret of SendCommand 1", "after setSecret of ListCommandInvocations 1",
				"before finishSecret of UpdateSecretVersionStage 1", "after finishSecret of UpdateSecretVersionStage 1",
				"before finishSecret of SendCommand 1", "after finishSecret of SendCommand 1", "after finishSecret of ListCommandInvocations 1")
			k.was(row.want...)
			t.Logf("%d attempts, killed %q", attempts, k.killed)
		})
	}
}

// TestAnActionKilledAtEveryCall kills the function at every call of an action, which Lambda then repeats
// with the same request id.
func TestAnActionKilledAtEveryCall(t *testing.T) {
	long(t)
	for _, action := range []rotate.Action{rotate.Reconcile, rotate.Revoke} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nodes(2, strangers(t)...))
			w.keep("KEYTRAIL_GRACE=24h", "KEYTRAIL_SWEEP=15m")
			s := w.secret(keytrail, "fleet", "")
			s.mustRotate()
			oldest := s.key(current)
			s.mustRotate()
			old := s.key(current)
			s.mustRotate()
			live := s.key(current)
			event := rotate.ActionRequest{Action: action, SecretID: s.arn}
			first := []key{oldest}
			if action == rotate.Revoke {
				event.Fingerprint, first = sshkey.Fingerprint(old.fingerprint()), append(first, old)
			}
			// One host has a key that was retired, the other lost the live one.
			hosts := w.Hosts()
			for i, lines := range [][]string{{oldest.line, old.line, live.line}, {oldest.line, old.line}} {
				if err := hosts[i].WriteKeys(user, slices.Concat(strangers(t), lines)...); err != nil {
					t.Fatal(err)
				}
			}
			p := promised(s, first, hosts)
			p.hosts = hosts[:1]
			k := newKiller(t, p)
			attempts := k.repeat(event)
			p.hosts = hosts
			if action == rotate.Revoke {
				k.settled(live)
			} else {
				k.settled(live, old) // in its grace
			}
			k.was("before "+string(action)+" of DescribeSecret 1",
				"before "+string(action)+" of PutObject 1", "after "+string(action)+" of PutObject 1",
				"before "+string(action)+" of SendCommand 1", "after "+string(action)+" of SendCommand 1", "after "+string(action)+" of ListCommandInvocations 1")
			t.Logf("%d attempts, killed %q", attempts, k.killed)
		})
	}
}

// repeat asks for an action until it goes through and leaves nothing to do.
func (k *killer) repeat(req rotate.ActionRequest) (attempts int) {
	k.t.Helper()
	event, err := json.Marshal(req)
	if err != nil {
		k.t.Fatal(err)
	}
	id := "5f0c7c3e-6f0b-4a55-9c59-6a3d5d2f6c11"
	for attempts < maxAttempts {
		attempts++
		k.begin(string(req.Action))
		answer, err := k.Lambda().Repeat(k.t.Context(), id, k.function+":"+rotate.ActionAlias, event)
		if err != nil {
			k.t.Fatal(err)
		}
		k.hold(k.t.Context(), string(req.Action))
		if k.fell() {
			continue
		}
		var result rotate.ActionResult
		if answer.FunctionError != "" || json.Unmarshal(answer.Payload, &result) != nil || !result.Clean {
			k.t.Fatalf("attempt %d: %s", attempts, answer.Payload)
		}
		return attempts
	}
	k.t.Fatalf("no end after %d attempts", attempts)
	return attempts
}

// TestARotationThatLosesTheReplyToEveryCall drops the reply to each call once; the SDK makes it again.
func TestARotationThatLosesTheReplyToEveryCall(t *testing.T) {
	long(t)
	old := newKey(t, "made by hand")
	w := newWorld(t, mixedFleet(t, old))
	w.keep()
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
	if n := lost.Load(); n < 50 {
		t.Errorf("only %d replies were lost", n)
	}
}
