package ssm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/ssm"
)

// wait lets everything happen that needs no time.
func wait() { time.Sleep(time.Nanosecond); synctest.Wait() }

// outcome is what a command and its invocations came to.
type outcome struct {
	Status, Details                              string
	Targets, Completed, Errors, DeliveryTimedOut int32
	Invocations                                  map[string]int
}

func (l *lab) outcome(id string) outcome {
	c := l.command(id)
	return outcome{string(c.Status), *c.StatusDetails, c.TargetCount, c.CompletedCount, c.ErrorCount, c.DeliveryTimedOutCount, l.details(id)}
}

// TestCommandStatus has a row for each way in which a command can end, and
// for what it says on its way. Rows run under a fake clock and are looked at
// after the given time.
func TestCommandStatus(t *testing.T) {
	hour := time.Hour
	set := func(s ssm.State) func(*node) { return func(n *node) { n.set(s) } }
	exit := func(code int) func(*node) { return func(n *node) { n.run = exits(code) } }
	slow := func(n *node) { n.run = takes(10 * time.Second) }
	tests := []struct {
		name  string
		nodes []func(*node) // by tag; nil is a node that answers
		ids   bool          // by id instead
		edit  func(*awsssm.SendCommandInput)
		o     ssm.Options
		after time.Duration
		want  outcome
	}{
		{name: "no node has the tag: a success", after: time.Second,
			want: outcome{"Success", "NoInstancesInTag", 0, 0, 0, 0, map[string]int{}}},
		{name: "all succeed", nodes: []func(*node){nil, nil}, after: time.Second,
			want: outcome{"Success", "Success", 2, 2, 0, 0, map[string]int{"Success": 2}}},
		{name: "one still runs", nodes: []func(*node){nil, slow}, after: time.Second,
			want: outcome{"InProgress", "InProgress", 2, 1, 0, 0, map[string]int{"Success": 1, "InProgress": 1}}},
		{name: "one fails", nodes: []func(*node){nil, exit(1)}, after: time.Second,
			want: outcome{"Failed", "Failed", 2, 2, 1, 0, map[string]int{"Success": 1, "Failed": 1}}},
		{name: "fewer fail than MaxErrors", nodes: []func(*node){nil, nil, exit(1)}, edit: func(in *awsssm.SendCommandInput) { in.MaxErrors = new("2") }, after: time.Second,
			want: outcome{"Failed", "Incomplete", 3, 3, 1, 0, map[string]int{"Success": 2, "Failed": 1}}},
		{name: "as many fail as MaxErrors", nodes: []func(*node){nil, exit(1), exit(1)}, edit: func(in *awsssm.SendCommandInput) { in.MaxErrors = new("2") }, after: time.Second,
			want: outcome{"Failed", "Failed", 3, 3, 2, 0, map[string]int{"Success": 1, "Failed": 2}}},
		{name: "MaxErrors 100% never stops a command", nodes: []func(*node){nil, exit(1), exit(1)}, edit: func(in *awsssm.SendCommandInput) { in.MaxErrors = new("100%") }, after: time.Second,
			want: outcome{"Failed", "Incomplete", 3, 3, 2, 0, map[string]int{"Success": 1, "Failed": 2}}},
		{name: "what runs when MaxErrors is passed goes on, nothing more is sent", nodes: []func(*node){exit(1), exit(1), exit(1), exit(1)},
			edit: func(in *awsssm.SendCommandInput) { in.MaxConcurrency, in.MaxErrors = new("1"), new("1") }, after: time.Second,
			want: outcome{"Failed", "Failed", 4, 4, 2, 0, map[string]int{"Failed": 2, "Terminated": 2}}},
		{name: "four of five undeliverable, one success: a success", nodes: []func(*node){set(ssm.Unmanaged), set(ssm.Unmanaged), set(ssm.Terminated), set(ssm.Terminated), nil}, after: time.Second,
			want: outcome{"Success", "Success", 5, 5, 0, 0, map[string]int{"Undeliverable": 4, "Success": 1}}},
		{name: "all undeliverable: failed, though no error is counted", nodes: []func(*node){set(ssm.Unmanaged), set(ssm.Unmanaged)}, after: time.Second,
			want: outcome{"Failed", "Failed", 2, 2, 0, 0, map[string]int{"Undeliverable": 2}}},
		{name: "the wrong platform does not count either", nodes: []func(*node){func(n *node) { n.info.PlatformType = "Windows" }, nil}, after: time.Second,
			want: outcome{"Success", "Success", 2, 2, 0, 0, map[string]int{"InvalidPlatform": 1, "Success": 1}}},
		{name: "an offline node is delayed", nodes: []func(*node){set(ssm.Offline)}, after: time.Second,
			want: outcome{"InProgress", "Delayed", 1, 0, 0, 0, map[string]int{"Delayed": 1}}},
		{name: "a stopped node is delayed, even when named by id", nodes: []func(*node){set(ssm.Stopped)}, ids: true, after: time.Second,
			want: outcome{"InProgress", "Delayed", 1, 0, 0, 0, map[string]int{"Delayed": 1}}},
		{name: "an offline node is still waited for when the delivery time-out is over", nodes: []func(*node){set(ssm.Offline), nil},
			edit: func(in *awsssm.SendCommandInput) { in.TimeoutSeconds = new(int32(600)) }, after: 4199 * time.Second,
			want: outcome{"InProgress", "InProgress", 2, 1, 0, 0, map[string]int{"Success": 1, "Delayed": 1}}},
		{name: "and given up after 70 minutes", nodes: []func(*node){set(ssm.Offline), nil},
			edit: func(in *awsssm.SendCommandInput) { in.TimeoutSeconds = new(int32(600)) }, after: 4200 * time.Second,
			want: outcome{"TimedOut", "DeliveryTimedOut", 2, 2, 0, 1, map[string]int{"Success": 1, "DeliveryTimedOut": 1}}},
		{name: "fewer delivery time-outs than MaxErrors", nodes: []func(*node){set(ssm.Offline), nil}, edit: func(in *awsssm.SendCommandInput) { in.MaxErrors = new("2") }, after: 3 * hour,
			want: outcome{"Failed", "Incomplete", 2, 2, 0, 1, map[string]int{"Success": 1, "DeliveryTimedOut": 1}}},
		{name: "offline nodes keep their places, so others may never be served", nodes: []func(*node){set(ssm.Offline), set(ssm.Offline), set(ssm.Offline)},
			edit: func(in *awsssm.SendCommandInput) { in.MaxConcurrency = new("1") }, after: time.Minute,
			want: outcome{"InProgress", "Delayed", 3, 0, 0, 0, map[string]int{"Delayed": 1, "Pending": 2}}},
		{name: "a script that takes too long", nodes: []func(*node){func(n *node) { n.run = takes(hour) }, nil},
			edit: func(in *awsssm.SendCommandInput) { in.Parameters["executionTimeout"] = []string{"60"} }, after: time.Minute + time.Second,
			want: outcome{"TimedOut", "ExecutionTimedOut", 2, 2, 1, 0, map[string]int{"Success": 1, "ExecutionTimedOut": 1}}},
		{name: "more targets than the account may have pending", nodes: []func(*node){nil, nil, nil}, o: ssm.Options{PendingLimit: 2}, after: time.Second,
			want: outcome{"Cancelled", "RateExceeded", 3, 3, 0, 0, map[string]int{"Terminated": 3}}},
		{name: "a delivery that is lost", nodes: []func(*node){nil}, o: ssm.Options{Fate: func(ssm.Delivery) ssm.Fate { return ssm.Fate{Lost: true} }}, after: 3 * hour,
			want: outcome{"TimedOut", "DeliveryTimedOut", 1, 1, 0, 1, map[string]int{"DeliveryTimedOut": 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(len(tt.nodes))
				for k, edit := range tt.nodes {
					if edit != nil {
						edit(nodes[k])
					}
				}
				l := start(t, nodes, tt.o)
				in := tagged("Env", "Dev")
				if tt.ids {
					in = shell(nodes...)
				}
				if tt.edit != nil {
					tt.edit(in)
				}
				c := l.send(in)
				time.Sleep(tt.after)
				synctest.Wait()
				if diff := cmp.Diff(tt.want, l.outcome(*c.CommandId)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestANodeThatComesBackGetsItsCommand(t *testing.T) {
	tests := []struct {
		name string
		wake bool
		in   time.Duration
	}{
		{"at once when the service is woken", true, time.Nanosecond},
		{"at the next poll otherwise", false, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				nodes[0].set(ssm.Offline)
				l := start(t, nodes, ssm.Options{Poll: 3 * time.Second})
				c := l.send(shell(nodes...))
				time.Sleep(10*time.Minute + time.Second)
				nodes[0].set(ssm.Online)
				if tt.wake {
					l.service.Wake()
				}
				time.Sleep(tt.in)
				synctest.Wait()
				if got := l.command(*c.CommandId); *got.StatusDetails != "Success" {
					t.Errorf("command is %s", *got.StatusDetails)
				}
			})
		})
	}
}

func TestACommandThatExpiredIsNotDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		nodes[0].set(ssm.Offline)
		l := start(t, nodes, ssm.Options{})
		l.send(shell(nodes...))
		time.Sleep(3 * time.Hour)
		nodes[0].set(ssm.Online)
		l.service.Wake()
		wait()
		if n := len(nodes[0].ran()); n != 0 {
			t.Errorf("%d scripts ran", n)
		}
	})
}

func TestAMessageThatTheAgentHoldsRunsAfterItsCommandEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		l := start(t, nodes, ssm.Options{Fate: func(ssm.Delivery) ssm.Fate { return ssm.Fate{Held: true, Delay: 5 * time.Hour} }})
		c := l.send(shell(nodes...))
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		if got := l.command(*c.CommandId); *got.StatusDetails != "DeliveryTimedOut" || len(nodes[0].ran()) != 0 {
			t.Errorf("before: %s, %d scripts ran", *got.StatusDetails, len(nodes[0].ran()))
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := l.command(*c.CommandId); *got.StatusDetails != "DeliveryTimedOut" || len(nodes[0].ran()) != 1 {
			t.Errorf("after: %s, %d scripts ran", *got.StatusDetails, len(nodes[0].ran()))
		}
	})
}

func TestACommandMayRunThoughItIsCalledUndeliverable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		l := start(t, nodes, ssm.Options{Fate: func(ssm.Delivery) ssm.Fate { return ssm.Fate{Undeliverable: true, Held: true} }})
		c := l.send(shell(nodes...))
		wait()
		if diff := cmp.Diff(map[string]int{"Undeliverable": 1}, l.details(*c.CommandId)); diff != "" || len(nodes[0].ran()) != 1 {
			t.Error(diff, len(nodes[0].ran()))
		}
	})
}

func TestACommandThatArrivesTwiceRunsTwiceAndIsReportedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		var times atomic.Int32
		nodes[0].run = func(context.Context, ssm.Script) ssm.Output {
			return ssm.Output{Stdout: fmt.Sprint("run ", times.Add(1))}
		}
		l := start(t, nodes, ssm.Options{Fate: func(ssm.Delivery) ssm.Fate { return ssm.Fate{Times: 2} }})
		c := l.send(shell(nodes...))
		wait()
		i := l.invocations(*c.CommandId)[nodes[0].id]
		if got := *i.CommandPlugins[0].Output; got != "run 1" || times.Load() != 2 {
			t.Errorf("output is %q after %d runs, want that of the first of two", got, times.Load())
		}
	})
}

func TestAnAgentRunsFiveCommandsAtATimeInNoPromisedOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		orders := map[string]bool{}
		for seed := range uint64(4) {
			nodes := fleet(1)
			nodes[0].set(ssm.Offline)
			var (
				mu            sync.Mutex
				working, most int
				order         []string
			)
			nodes[0].run = func(ctx context.Context, s ssm.Script) ssm.Output {
				mu.Lock()
				working++
				most = max(most, working)
				order = append(order, strings.TrimSpace(s.Text))
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				working--
				return ssm.Output{}
			}
			l := start(t, nodes, ssm.Options{Seed: seed})
			for k := range 20 {
				in := shell(nodes...)
				in.Parameters["commands"] = []string{fmt.Sprintf("%02d", k)}
				l.send(in)
			}
			wait()
			nodes[0].set(ssm.Online)
			l.service.Wake()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if most != 5 || len(order) != 20 {
				t.Errorf("seed %d: %d commands ran, %d at a time, want 20, 5", seed, len(order), most)
			}
			// Scripts that start together start in any order.
			for five := range slices.Chunk(order, 5) {
				slices.Sort(five)
			}
			orders[strings.Join(order, " ")] = true
			if slices.IsSorted(order) {
				t.Errorf("seed %d: commands ran in the order in which they were sent", seed)
			}
		}
		if len(orders) < 2 {
			t.Error("every seed gives the same order")
		}
	})
}

func TestMaxConcurrency(t *testing.T) {
	for limit, want := range map[string]int32{"3": 3, "25%": 3, "30%": 4, "1%": 1, "100%": 12} {
		t.Run(limit, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(12)
				var working, most atomic.Int32
				for _, n := range nodes {
					n.run = func(context.Context, ssm.Script) ssm.Output {
						if w := working.Add(1); w > most.Load() {
							most.Store(w)
						}
						time.Sleep(time.Second)
						working.Add(-1)
						return ssm.Output{}
					}
				}
				l := start(t, nodes, ssm.Options{})
				in := shell(nodes...)
				in.MaxConcurrency = &limit
				c := l.send(in)
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if got := l.command(*c.CommandId); most.Load() != want || *got.StatusDetails != "Success" {
					t.Errorf("%d at a time, %s, want %d, Success", most.Load(), *got.StatusDetails, want)
				}
			})
		})
	}
}

func TestANodeThatDiesWhileAScriptRuns(t *testing.T) {
	tests := []struct {
		name  string
		state ssm.State
		wake  bool
		back  time.Duration // 0: never
		want  string
	}{
		{"stops: nobody hears of it", ssm.Stopped, true, 0, "DeliveryTimedOut"},
		{"stops, and the service is not woken", ssm.Stopped, false, 0, "DeliveryTimedOut"},
		{"stops and starts again: nobody hears of it", ssm.Stopped, true, time.Hour, "DeliveryTimedOut"},
		{"stops and starts again, and the service was not woken", ssm.Stopped, false, time.Hour, "DeliveryTimedOut"},
		{"is cut off: the answer comes when it is back", ssm.Offline, true, time.Hour, "Success"},
		{"is cut off for too long: the answer comes too late", ssm.Offline, true, 3 * time.Hour, "DeliveryTimedOut"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				nodes[0].run = takes(time.Minute)
				l := start(t, nodes, ssm.Options{})
				c := l.send(shell(nodes...))
				time.Sleep(time.Second)
				nodes[0].set(tt.state)
				if tt.wake {
					l.service.Wake()
				}
				if tt.back > 0 {
					time.Sleep(tt.back)
					nodes[0].set(ssm.Online)
					l.service.Wake()
				}
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if got := l.outcome(*c.CommandId); got.Details != tt.want {
					t.Errorf("command is %s, want %s", got.Details, tt.want)
				}
				if n := len(nodes[0].ran()); n != 1 {
					t.Errorf("the script ran %d times", n)
				}
			})
		})
	}
}

func TestACommandThatIsStillRunningWhenItExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		nodes[0].set(ssm.Offline)
		nodes[0].run = takes(50 * time.Minute)
		l := start(t, nodes, ssm.Options{})
		c := l.send(shell(nodes...))
		time.Sleep(90 * time.Minute)
		nodes[0].set(ssm.Online)
		time.Sleep(40 * time.Minute)
		synctest.Wait()
		want := outcome{"TimedOut", "DeliveryTimedOut", 1, 1, 0, 1, map[string]int{"DeliveryTimedOut": 1}}
		if diff := cmp.Diff(want, l.outcome(*c.CommandId)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff(want, l.outcome(*c.CommandId)); diff != "" {
			t.Error("after the script ended:", diff)
		}
	})
}

func TestCancelCommand(t *testing.T) {
	tests := []struct {
		name string
		edit func(*awsssm.SendCommandInput)
		one  bool // cancel on the first node only
		want outcome
	}{
		{name: "everywhere", want: outcome{"Cancelled", "Cancelled", 3, 3, 0, 0, map[string]int{"Success": 1, "Cancelled": 2}}},
		{name: "before it was sent", edit: func(in *awsssm.SendCommandInput) { in.MaxConcurrency = new("1") },
			want: outcome{"Cancelled", "Cancelled", 3, 3, 0, 0, map[string]int{"Cancelled": 3}}},
		{name: "on one node", one: true, want: outcome{"Failed", "Incomplete", 3, 3, 0, 0, map[string]int{"Success": 2, "Cancelled": 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(3)
				nodes[0].run, nodes[1].run = takes(time.Minute), takes(time.Minute)
				if tt.edit != nil {
					nodes[2].run = takes(time.Minute)
				}
				l := start(t, nodes, ssm.Options{})
				in := shell(nodes...)
				if tt.edit != nil {
					tt.edit(in)
				}
				c := l.send(in)
				time.Sleep(time.Second)
				cancel := &awsssm.CancelCommandInput{CommandId: c.CommandId}
				if tt.one {
					cancel.InstanceIds = []string{nodes[0].id}
				}
				if _, err := l.Client.CancelCommand(t.Context(), cancel); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(tt.want, l.outcome(*c.CommandId)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestCancelCannotReachAnOfflineNode(t *testing.T) {
	tests := []struct {
		name string
		run  time.Duration
		back bool
		want string
	}{
		{"back while the script runs: it is stopped", time.Hour, true, "Cancelled"},
		{"back when it has ended: it ended as it did", 30 * time.Second, true, "Success"},
		{"never back", time.Hour, false, "Cancelled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				nodes[0].run = takes(tt.run)
				l := start(t, nodes, ssm.Options{})
				c := l.send(shell(nodes...))
				time.Sleep(time.Second)
				nodes[0].set(ssm.Offline)
				if _, err := l.Client.CancelCommand(t.Context(), &awsssm.CancelCommandInput{CommandId: c.CommandId}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := l.outcome(*c.CommandId); got.Status != "Cancelling" || got.Invocations["Cancelling"] != 1 {
					t.Errorf("offline: %+v, want Cancelling", got)
				}
				if tt.back {
					nodes[0].set(ssm.Online)
				}
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if got := l.outcome(*c.CommandId); got.Details != tt.want {
					t.Errorf("in the end: %+v, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestCancelCommandRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		l := start(t, nodes, ssm.Options{})
		c := l.send(shell(nodes...))
		_, err := l.Client.CancelCommand(t.Context(), &awsssm.CancelCommandInput{CommandId: new("00000000-0000-4000-8000-000000000000")})
		if got := failure(t, err); got != "InvalidCommandId: " {
			t.Errorf("unknown command: %s", got)
		}
		_, err = l.Client.CancelCommand(t.Context(), &awsssm.CancelCommandInput{CommandId: c.CommandId, InstanceIds: []string{id(9)}})
		if got := failure(t, err); got != "InvalidInstanceId: Instances not in a valid state for account" {
			t.Errorf("a node that is no target: %s", got)
		}
	})
}

func TestACommandsClockIsTheLabs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ahead atomic.Int64
		nodes := fleet(2)
		nodes[0].set(ssm.Offline)
		nodes[1].run = takes(2 * time.Hour)
		l := start(t, nodes, ssm.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		in := shell(nodes...)
		in.Parameters["executionTimeout"] = []string{"60"}
		in.MaxErrors = new("100%")
		c := l.send(in)
		wait()
		ahead.Store(int64(24 * time.Hour))
		l.service.Wake()
		wait()
		want := map[string]int{"DeliveryTimedOut": 2} // the second ends too late to be heard
		if diff := cmp.Diff(want, l.details(*c.CommandId)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCloseStopsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) { // a goroutine that is left over makes the bubble fail
		nodes := fleet(20)
		for k, n := range nodes {
			n.run = takes(time.Hour)
			if k%2 == 0 {
				n.set(ssm.Offline)
			}
		}
		l := start(t, nodes, ssm.Options{DeliveryDelay: time.Second})
		for range 10 {
			l.send(shell(nodes...))
		}
		time.Sleep(2 * time.Second)
		l.service.Close()
		l.service.Close()
		l.service.Wake()
		l.send(shell(nodes...))
	})
}
