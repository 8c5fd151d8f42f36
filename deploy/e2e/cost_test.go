package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// callLimit is how many API calls a whole rotation of n hosts may take, without polls and retries.
func callLimit(n int) int { return 40 + 8*((n+49)/50) }

// callsOf counts what functions called: retries are not counted, and of the polls of one command only
// one for each page.
func callsOf(calls []wire.Call) (n int, actions map[string]int) {
	actions = map[string]int{}
	page, pages := map[string]int{}, map[string]int{}
	for _, c := range calls {
		if !byFunction(c.Request) || c.ErrorCode != "" {
			continue
		}
		if c.Action == "ListCommandInvocations" {
			var in struct{ CommandID, NextToken string }
			if json.Unmarshal(c.Body, &in) == nil {
				if in.NextToken == "" {
					page[in.CommandID] = 0
				}
				page[in.CommandID]++
				pages[in.CommandID] = max(pages[in.CommandID], page[in.CommandID])
			}
			continue
		}
		actions[c.Action]++
		n++
	}
	for _, p := range pages {
		actions["ListCommandInvocations"] += p
		n += p
	}
	return n, actions
}

func TestAPICallsOfARotationStayWithinTheLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, 51} { // one batch, and two
		t.Run(fmt.Sprintf("%d hosts", n), func(t *testing.T) {
			t.Parallel()
			old := newKey(t, "made by hand")
			w := newWorld(t, nodes(n, old.line))
			w.run(keytrail)
			s := w.secret(keytrail, "fleet", old.value())
			s.mustRotate()
			if calls, actions := callsOf(w.Front().Calls()); calls > callLimit(n) {
				t.Errorf("%d calls, at most %d: %v", calls, callLimit(n), actions)
			}
			if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAPICallsOfARotationWithARegisterStayWithinTheLimit counts for functions that have just started, whatever
// the register tells them of earlier rotations.
func TestAPICallsOfARotationWithARegisterStayWithinTheLimit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ hosts, rotations int }{{10, 8}, {51, 4}} {
		t.Run(fmt.Sprintf("%d hosts", row.hosts), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nodes(row.hosts), quick(t))
			w.keep()
			s := w.secret(keytrail, "fleet", "")
			for n := range row.rotations {
				w.Lambda().Kill(keytrail)
				w.Front().ResetCalls()
				s.mustRotate()
				calls, actions := callsOf(w.Front().Calls())
				if calls > callLimit(row.hosts) {
					t.Errorf("rotation %d: %d calls, at most %d: %v", n+1, calls, callLimit(row.hosts), actions)
				}
				t.Logf("rotation %d: %d calls, at most %d, %.1f MiB resident", n+1, calls, callLimit(row.hosts), float64(w.Lambda().PeakRSS(keytrail))/(1<<20))
			}
		})
	}
}

// BenchmarkRotation is a whole rotation: the second one, which retires a key as well.
func BenchmarkRotation(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("%d hosts", n), func(b *testing.B) {
			w := newWorld(b, nodes(n))
			w.run(keytrail, "TIMEOUT=15m")
			s := w.secret(keytrail, "fleet", "")
			s.mustRotate()
			calls := 0
			for b.Loop() {
				w.Front().ResetCalls()
				s.mustRotate()
				calls, _ = callsOf(w.Front().Calls())
			}
			if calls > callLimit(n) {
				b.Errorf("%d calls, at most %d", calls, callLimit(n))
			}
			b.ReportMetric(float64(calls), "calls")
			b.ReportMetric(float64(callLimit(n)), "calls-allowed")
			rss := float64(w.Lambda().PeakRSS(keytrail)) / (1 << 20)
			if rss > 64 {
				b.Errorf("%.1f MiB resident, at most 64", rss)
			}
			b.ReportMetric(rss, "MiB-resident")
		})
	}
}

// BenchmarkSlowHosts compares a rotation of 200 hosts that take a second each with its three commands
// alone, sent to the same fleet at the same rate and polled without mercy.
func BenchmarkSlowHosts(b *testing.B) {
	const hosts = 200
	w := newWorld(b, nodes(hosts), quick(b)) // a second of waiting, and nothing that a busy machine is slow at
	w.run(keytrail, "TIMEOUT=15m")
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	for _, h := range w.Hosts() {
		if err := h.Change(func(s *host.Switches) { s.Latency = host.Duration(time.Second) }); err != nil {
			b.Fatal(err)
		}
	}
	var rotation, passes time.Duration
	for b.Loop() {
		w.Front().ResetCalls()
		started := time.Now()
		s.mustRotate()
		rotation = time.Since(started)
		passes = 3 * w.pass(b, inspection(b, w.Front().Calls()))
	}
	ratio := rotation.Seconds() / passes.Seconds()
	if ratio > 2 {
		b.Errorf("a rotation takes %.2f times as long as its commands, at most 2", ratio)
	}
	b.ReportMetric(rotation.Seconds(), "s-rotation")
	b.ReportMetric(passes.Seconds(), "s-commands-alone")
	b.ReportMetric(ratio, "ratio")
}

// inspection returns a command that changes nothing.
func inspection(t testing.TB, calls []wire.Call) *ssm.SendCommandInput {
	t.Helper()
	for _, c := range slices.Backward(calls) {
		var in ssm.SendCommandInput
		if c.Action == "SendCommand" && json.Unmarshal(c.Body, &in) == nil && strings.Contains(aws.ToString(in.Comment), "inspect") {
			return &in
		}
	}
	t.Fatal("no inspect command was sent")
	return nil
}

// pass sends a command to the fleet, 50 hosts at a time, and returns how long they took.
func (w *world) pass(t testing.TB, in *ssm.SendCommandInput) time.Duration {
	t.Helper()
	in.InstanceIds, in.Targets = nil, []types.Target{{Key: aws.String("tag:" + boundaryKey), Values: []string{boundaryValue}}}
	in.MaxConcurrency, in.MaxErrors = aws.String("50"), aws.String("100%")
	started := time.Now()
	sent, err := w.systems.SendCommand(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		list, err := w.systems.ListCommands(t.Context(), &ssm.ListCommandsInput{CommandId: sent.Command.CommandId})
		if err != nil {
			t.Fatal(err)
		}
		if c := list.Commands[0]; c.Status == types.CommandStatusSuccess && c.CompletedCount == c.TargetCount && c.TargetCount > 0 {
			return time.Since(started)
		} else if c.Status != types.CommandStatusPending && c.Status != types.CommandStatusInProgress {
			t.Fatalf("the command is %s", c.Status)
		}
	}
}

// BenchmarkColdStart takes the time from the start of a process to its first `next`, for the functions
// and for one that does nothing, in turns. The fastest of each counts: what others do on the machine only
// adds to it.
func BenchmarkColdStart(b *testing.B) {
	empty := filepath.Join(b.TempDir(), "empty")
	if err := build(empty, "./testdata/empty"); err != nil {
		b.Fatal(err)
	}
	for _, row := range []struct{ name, program string }{{"rotate", rotateProgram}, {"events", eventsProgram}} {
		b.Run(row.name, func(b *testing.B) {
			const rounds = 41
			var product, nothing time.Duration
			for b.Loop() {
				var p, n []time.Duration
				for range rounds {
					n = append(n, untilNext(b, empty))
					p = append(p, untilNext(b, row.program))
				}
				product, nothing = slices.Min(p), slices.Min(n)
			}
			ratio := product.Seconds() / nothing.Seconds()
			if ratio > 3 {
				b.Errorf("the start takes %.2f times as long as that of an empty function, at most 3", ratio)
			}
			b.ReportMetric(float64(product.Microseconds())/1000, "ms-start")
			b.ReportMetric(float64(nothing.Microseconds())/1000, "ms-start-empty")
			b.ReportMetric(ratio, "ratio")
		})
	}
}

// untilNext starts a function and waits until it asks for its first event.
func untilNext(t testing.TB, program string) time.Duration {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan time.Time, 1)
	done := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/runtime/invocation/next") {
			select {
			case asked <- time.Now():
			default:
			}
		}
		<-done
	})}
	go func() { _ = server.Serve(l) }()
	defer func() { close(done); _ = server.Close() }()
	c := exec.Command(program)
	c.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + l.Addr().String(), "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=lab",
		"USERNAME=" + user, "TAGNAME=" + boundaryKey, "TAGVALUE=" + boundaryValue,
		"KEYTRAIL_BUCKET=" + bucket, "KEYTRAIL_ROTATE_FUNCTION=arn:aws:lambda:us-east-1:111122223333:function:" + keytrail,
		"KEYTRAIL_ROTATE_ROLE=arn:aws:iam::111122223333:role/" + keytrail, "KEYTRAIL_ALERTS_TOPIC=arn:aws:sns:us-east-1:111122223333:keytrail-alerts",
		"KEYTRAIL_QUEUE=https://sqs.us-east-1.amazonaws.com/111122223333/keytrail-checks",
		"KEYTRAIL_DEAD_LETTERS=https://sqs.us-east-1.amazonaws.com/111122223333/keytrail-dead-letters",
	}
	c.Stderr = os.Stderr
	started := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	select {
	case at := <-asked:
		return at.Sub(started)
	case <-time.After(time.Minute):
		t.Fatalf("%s did not ask for an event within a minute", program)
		return 0
	}
}

// BenchmarkPackage builds what is uploaded, by the program behind make package.
func BenchmarkPackage(b *testing.B) {
	for _, name := range []string{"rotate", "events"} {
		for _, arch := range []string{"arm64", "amd64"} {
			b.Run(name+" "+arch, func(b *testing.B) {
				dir := b.TempDir()
				program, archive := filepath.Join(dir, "bootstrap"), filepath.Join(dir, name+".zip")
				var size int64
				for b.Loop() {
					if err := build(program, "../../"+name+"/lambda", "GOOS=linux", "GOARCH="+arch); err != nil {
						b.Fatal(err)
					}
					if out, err := exec.Command("go", "run", "../cmd/package", archive, program).CombinedOutput(); err != nil {
						b.Fatalf("%v\n%s", err, out)
					}
					info, err := os.Stat(archive)
					if err != nil {
						b.Fatal(err)
					}
					size = info.Size()
				}
				if size > 6_000_000 {
					b.Errorf("the zip file has %d bytes, at most 6,000,000", size)
				}
				b.ReportMetric(float64(size)/1e6, "MB-zip")
			})
		}
	}
}
