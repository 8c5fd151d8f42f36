package e2e

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// breaker cuts the power of hosts around the commands by which the host script changes their files: on
// both sides of each, once, when the host first gets there in a step. So every attempt brings a host
// one command further than the one before.
type breaker struct {
	*promise

	mu   sync.Mutex
	step string
	cuts map[string][]string // points by host
	down map[string]bool     // hosts in this step
}

func newBreaker(t testing.TB, p *promise) *breaker {
	t.Helper()
	b := &breaker{promise: p, cuts: map[string][]string{}, down: map[string]bool{}}
	for _, h := range p.hosts {
		stop, err := h.Watch(func(s host.Step) bool { return b.look(h, s) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
	return b
}

// begin begins a step.
func (b *breaker) begin(step string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.step, b.down = step, map[string]bool{}
}

// fell tells whether a host lost power in the step.
func (b *breaker) fell() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.down) > 0
}

// look says whether the host goes on.
func (b *breaker) look(h *host.Host, s host.Step) bool {
	side := "before "
	if s.Done {
		side = "after "
	}
	point := b.step + ": " + side + strings.ReplaceAll(strings.Join(s.Command, " "), h.Folder(), "")
	b.hold(b.t.Context(), h.ID()+" in "+point)
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Contains(b.cuts[h.ID()], point) {
		return true
	}
	b.cuts[h.ID()] = append(b.cuts[h.ID()], point)
	b.down[h.ID()] = true
	return false
}

// TestARotationWhoseHostsLosePowerAtEveryCommand interrupts the host script at every command by which
// it changes a file.
func TestARotationWhoseHostsLosePowerAtEveryCommand(t *testing.T) {
	long(t)
	old := newKey(t, "made by hand")
	for name, row := range map[string]struct {
		hosts []host.Spec
		value string
		first []key
		// The commands whose interruption matters most, by host: what they end with.
		want [][]string
	}{
		"the key was put by hand": {mixedFleet(t, old), old.value(), []key{old}, [][]string{
			{"setSecret: generation", "setSecret: .ssh/authorized_keys", "finishSecret: generation", "finishSecret: .ssh/authorized_keys"},
			{"setSecret: generation", "setSecret: .ssh/authorized_keys2", "finishSecret: generation", "finishSecret: .ssh/authorized_keys"},
		}},
		"there never was a key": {nodes(1), "", nil, [][]string{
			{"setSecret: generation", "setSecret: /home/deploy/.ssh", "setSecret: .ssh/authorized_keys", "finishSecret: generation"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.hosts)
			w.keep()
			s := w.secret(keytrail, "fleet", row.value)
			version := s.begin()
			b := newBreaker(t, promised(s, row.first, w.Hosts()))
			attempts := b.insist(version, b.begin, b.fell)
			b.settled(s.key(current))
			for i, h := range w.Hosts() {
				cuts := b.cuts[h.ID()]
				for _, want := range row.want[i] {
					step, path, _ := strings.Cut(want, ": ")
					for _, side := range []string{"before", "after"} {
						if !slices.ContainsFunc(cuts, func(point string) bool {
							return strings.HasPrefix(point, step+": "+side) && strings.HasSuffix(point, path)
						}) {
							t.Errorf("the power of %s was not cut %s %s, but %q", h.ID(), side, want, cuts)
						}
					}
				}
				t.Logf("%d attempts, %d cuts of %s", attempts, len(cuts), h.ID())
			}
		})
	}
}
