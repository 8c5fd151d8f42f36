package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// sent is an order on its way: a document with its parameters.
type sent struct {
	document   string
	parameters map[string][]string
}

// applies returns what the function had hosts apply so far, oldest first.
func (w *world) applies() []sent {
	var list []sent
	for _, c := range w.Front().Calls() {
		var in struct {
			Comment, DocumentName string
			Parameters            map[string][]string
		}
		if c.Action == "SendCommand" && byFunction(c.Request) && json.Unmarshal(c.Body, &in) == nil && strings.Contains(in.Comment, "apply") {
			list = append(list, sent{in.DocumentName, in.Parameters})
		}
	}
	return list
}

// send sends an order to a host again and returns the command.
func (w *world) send(h *host.Host, order sent) string {
	w.t.Helper()
	out, err := w.systems.SendCommand(w.t.Context(), &ssm.SendCommandInput{
		DocumentName: &order.document, Parameters: order.parameters, InstanceIds: []string{h.ID()},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.ToString(out.Command.CommandId)
}

// said is what a host answers to an order, as far as it matters here.
type said struct {
	Code           string
	Added, Removed int
}

// answer waits for a command to end and returns what the host said.
func (w *world) answer(h *host.Host, command string) said {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		out, err := w.systems.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: &command, InstanceId: aws.String(h.ID())})
		if err != nil {
			w.t.Fatal(err)
		}
		switch out.Status {
		case types.CommandInvocationStatusPending, types.CommandInvocationStatusInProgress, types.CommandInvocationStatusDelayed:
		case types.CommandInvocationStatusSuccess:
			var summary struct {
				Code  string
				Users []said
			}
			line, _, _ := strings.Cut(aws.ToString(out.StandardOutputContent), "\n")
			if err := json.Unmarshal([]byte(line), &summary); err != nil {
				w.t.Fatalf("answer %q: %v", line, err)
			}
			s := said{Code: summary.Code}
			for _, u := range summary.Users {
				s.Added += u.Added
				s.Removed += u.Removed
			}
			return s
		default:
			w.t.Fatalf("the command is %s: %s", out.Status, aws.ToString(out.StandardErrorContent))
		}
		<-tick.C
	}
}

// TestOrdersThatArriveAgainOrInAnyOrderDoNoHarm delivers the orders of two rotations once more: to
// hosts that followed them, and to one that was offline and gets all of them at once.
func TestOrdersThatArriveAgainOrInAnyOrderDoNoHarm(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(3, append(strangers(t), old.line)...))
	w.run(keytrail, "KEYTRAIL_MAX_OFFLINE=2")
	for _, h := range w.Hosts()[1:] {
		if err := h.SetState(host.Offline); err != nil {
			t.Fatal(err)
		}
	}
	s := w.secret(keytrail, "fleet", old.value())
	s.mustRotate()
	s.mustRotate()
	orders := w.applies()
	if len(orders) != 4 {
		t.Fatalf("%d orders, want two of each rotation", len(orders))
	}
	newest := len(orders) - 1
	superseded := said{Code: "superseded"}

	t.Run("to a host that followed them", func(t *testing.T) {
		w, h := w.in(t), w.Hosts()[0]
		before := homes(t, h)
		for _, n := range []int{0, newest, 2, 1, newest} {
			want := superseded
			if n == newest {
				want = said{Code: "ok"} // as it says: there is nothing to do
			}
			if got := w.answer(h, w.send(h, orders[n])); got != want {
				t.Errorf("order %d: %+v, want %+v", n, got, want)
			}
		}
		if diff := cmp.Diff(before, homes(t, h)); diff != "" {
			t.Errorf("files changed:\n%s", diff)
		}
	})
	t.Run("to a host that was offline, the newest first", func(t *testing.T) {
		w, h := w.in(t), w.Hosts()[1]
		if err := h.SetState(host.Online); err != nil {
			t.Fatal(err)
		}
		p := promised(secret{w, s.name, s.arn, s.function}, []key{old}, []*host.Host{h})
		for _, n := range []int{newest, 2, 0, 1} {
			want := superseded
			if n == newest {
				want = said{"ok", 1, 1}
			}
			if got := w.answer(h, w.send(h, orders[n])); got != want {
				t.Errorf("order %d: %+v, want %+v", n, got, want)
			}
			p.hold(t.Context(), fmt.Sprintf("after order %d", n))
		}
		p.settled(s.key(current))
	})
	t.Run("to a host that was offline, all of them twice and at once", func(t *testing.T) {
		w, h := w.in(t), w.Hosts()[2]
		p := promised(secret{w, s.name, s.arn, s.function}, []key{old}, []*host.Host{h})
		sent := map[string]int{}
		for _, n := range []int{newest, 0, 1, 2, 2, 1, 0, newest} {
			sent[w.send(h, orders[n])] = n
		}
		if err := h.SetState(host.Online); err != nil {
			t.Fatal(err)
		}
		w.SSM().Wake()
		followed := false
		for command, n := range sent {
			switch got := w.answer(h, command); {
			case got.Code == "ok":
				followed = followed || n == newest
			case got.Code == "busy": // it waited ten seconds for the others
			case got != superseded || n == newest:
				t.Errorf("order %d: %+v", n, got)
			}
			if followed {
				p.hold(t.Context(), "once the newest order was followed")
			} else if logsIn(old, user, h) != nil && logsIn(s.key(previous), user, h) != nil {
				p.hold(t.Context(), "once the keys of older orders are gone")
			}
		}
		if !followed {
			t.Fatal("the newest order was not followed")
		}
		p.settled(s.key(current))
	})
}

// TestAnOrderThatArrivesAfterItsTimeIsRefused delivers an order to a host on which it is another day.
func TestAnOrderThatArrivesAfterItsTimeIsRefused(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(2, old.line))
	w.run(keytrail, "KEYTRAIL_MAX_OFFLINE=1")
	late := w.Hosts()[1]
	if err := late.SetState(host.Offline); err != nil {
		t.Fatal(err)
	}
	w.secret(keytrail, "fleet", old.value()).mustRotate()
	tomorrow(t, late)
	if err := late.SetState(host.Online); err != nil {
		t.Fatal(err)
	}
	before := homes(t, late)
	for n, order := range w.applies() {
		if got, want := w.answer(late, w.send(late, order)), (said{Code: "expired"}); got != want {
			t.Errorf("order %d: %+v, want %+v", n, got, want)
		}
	}
	if diff := cmp.Diff(before, homes(t, late)); diff != "" {
		t.Errorf("files changed:\n%s", diff)
	}
	if err := logsIn(old, user, late); err != nil {
		t.Error(err)
	}
}

// tomorrow sets the clock of a host's scripts a day ahead.
func tomorrow(t *testing.T, h *host.Host) {
	t.Helper()
	path := h.Path("/bin/date")
	real, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nif [ \"$*\" = +%s ]; then echo $(($(" + real + " +%s) + 86400)); else exec " + real + " \"$@\"; fi\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}
