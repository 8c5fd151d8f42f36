package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// TestTwoSecretsRotateAtOnceForTheSameUser rotates two secrets at the same time, twenty times, and looks
// after both all the while: neither loses a line of the other, nor of anybody else.
func TestTwoSecretsRotateAtOnceForTheSameUser(t *testing.T) {
	t.Parallel()
	const rounds = 20
	first := []key{newKey(t, "made by hand"), newKey(t, "made by another hand")}
	w := newWorld(t, nodes(1, slices.Concat(strangers(t), []string{first[0].line, first[1].line})...))
	w.keep()
	names := []string{"one", "other"}
	promises := make([]*promise, len(names))
	for i, name := range names {
		promises[i] = promised(w.secret(keytrail, name, first[i].value()), first, w.Hosts(), names[1-i])
	}
	w.Front().Inject(wire.Fault{Match: byFunction, When: wire.After, Do: func(ctx context.Context, r wire.Request) error {
		for _, p := range promises {
			p.hold(ctx, "after "+r.Action)
		}
		return nil
	}})
	for round := range rounds {
		var both sync.WaitGroup
		errs := make([]error, len(promises))
		for i, p := range promises {
			both.Go(func() { _, errs[i] = p.rotate() })
		}
		both.Wait()
		for i, p := range promises {
			if errs[i] != nil {
				t.Fatalf("round %d: %s: %v", round, p.name, errs[i])
			}
			p.hold(t.Context(), fmt.Sprintf("after round %d", round))
		}
	}
	live := []key{promises[0].key(current), promises[1].key(current)}
	for _, p := range promises {
		p.settled(live...)
	}
}
