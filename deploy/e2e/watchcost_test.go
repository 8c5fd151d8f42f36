package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate"
)

// checkLimit is how many API calls the verification of n hosts may take, without polls and retries.
func checkLimit(n int) int { return 20 + 3*((n+49)/50) }

// byWatcher matches calls that the events function made.
func byWatcher(r wire.Request) bool { return strings.Contains(r.Caller.ARN, "/"+watcher) }

// quick has hosts answer at once.
func quick(t testing.TB) func(*lab.Options) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "quick")
	if err := build(program, "./testdata/quick"); err != nil {
		t.Fatal(err)
	}
	return func(o *lab.Options) { o.Shell = []string{program} }
}

// check has the function look at one secret, as a sweep asks for it, and returns the calls that it made and
// how long it took.
func (w *watched) check(s secret) (calls []wire.Call, took time.Duration) {
	w.t.Helper()
	now := time.Now().UTC()
	event := fmt.Sprintf(`{"version":"0","id":"check-%d","detail-type":"Check Secret","source":"keytrail","account":"111122223333",
		"time":%q,"region":"us-east-1","detail":{"secretId":%q}}`, now.UnixNano(), now.Format(time.RFC3339), s.arn)
	w.Front().ResetCalls()
	started := time.Now()
	result, err := w.Lambda().Invoke(w.t.Context(), watcher, []byte(event))
	took = time.Since(started)
	if err != nil || result.FunctionError != "" {
		w.t.Fatalf("check: %v %s", err, result.Payload)
	}
	calls = slices.DeleteFunc(w.Front().Calls(), func(c wire.Call) bool { return !byWatcher(c.Request) })
	w.settle()
	return calls, took
}

// TestAPICallsOfACheckStayWithinTheLimit looks at clean fleets of one batch and of two, with a function that
// has just started and reads what the register says of the secret, and with one that has read it before.
func TestAPICallsOfACheckStayWithinTheLimit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ hosts, rotations int }{{10, 8}, {51, 1}} {
		t.Run(fmt.Sprintf("%d hosts", row.hosts), func(t *testing.T) {
			t.Parallel()
			w := watch(t, nodes(row.hosts), nil, quick(t))
			s := w.rotated("fleet")
			for range row.rotations - 1 {
				s.mustRotate()
			}
			w.settle()
			w.Lambda().Kill(watcher)
			for _, start := range []string{"cold", "warm"} {
				list, _ := w.check(s)
				calls, actions := callsOf(list)
				if calls > checkLimit(row.hosts) {
					t.Errorf("%s: %d calls, at most %d: %v", start, calls, checkLimit(row.hosts), actions)
				}
				if actions["SendCommand"] != (row.hosts+49)/50 {
					t.Errorf("%s: the hosts were not asked: %v", start, actions)
				}
				t.Logf("%s: %d calls, at most %d", start, calls, checkLimit(row.hosts))
			}
			w.expect()
		})
	}
}

// BenchmarkVerification looks at a clean fleet, and at one with a host that lost the key.
func BenchmarkVerification(b *testing.B) {
	const (
		limitRatio = 1.5
		limitMiB   = 64
		limitAlert = 300 * time.Millisecond
	)
	for _, row := range []struct {
		hosts   int
		latency time.Duration // of each of them
	}{{10, 0}, {1000, 0}, {1000, time.Second}} {
		b.Run(fmt.Sprintf("%d hosts, latency %s", row.hosts, row.latency), func(b *testing.B) {
			k := newKey(b, "made by hand")
			w := watch(b, nodes(row.hosts, k.line), []string{"Heal=off"}, quick(b))
			end := w.deaf("label") // a value without a rotation looks as if one were under way
			s := w.secret(keytrail, "fleet", k.value())
			w.settle()
			end()
			if err := s.check(); err != nil { // it is rotated by our function, without a rotation
				b.Fatal(err)
			}
			s.mustAct(rotate.ActionRequest{Action: rotate.Adopt})
			w.settle()
			for _, h := range w.Hosts() {
				set(b, h, func(s *host.Switches) { s.Latency = host.Duration(row.latency) })
			}
			var clean, pass time.Duration
			var calls int
			var alert alertTimes
			for b.Loop() {
				var list []wire.Call
				list, clean = w.check(s)
				calls, _ = callsOf(list)
				pass = w.pass(b, inspection(b, list))
				w.expect()
				if err := w.Hosts()[0].WriteKeys(user); err != nil {
					b.Fatal(err)
				}
				list, _ = w.check(s)
				alert = w.alertTimes(list)
				w.expect("[CRITICAL] live key missing: fleet (1 host)")
			}
			ratio, rss := clean.Seconds()/pass.Seconds(), float64(w.Lambda().PeakRSS(watcher))/(1<<20)
			if row.hosts >= 200 && ratio > limitRatio {
				b.Errorf("a verification takes %.2f times as long as its command, at most %.1f", ratio, limitRatio)
			}
			if rss > limitMiB {
				b.Errorf("%.1f MiB resident, at most %d", rss, limitMiB)
			}
			if alert.told > limitAlert {
				b.Errorf("the alert came %s after the last answer, at most %s", alert.told, limitAlert)
			}
			if calls > checkLimit(row.hosts) {
				b.Errorf("%d calls, at most %d", calls, checkLimit(row.hosts))
			}
			b.ReportMetric(clean.Seconds(), "s-verification")
			b.ReportMetric(pass.Seconds(), "s-command-alone")
			b.ReportMetric(ratio, "ratio")
			b.ReportMetric(rss, "MiB-resident")
			b.ReportMetric(float64(calls), "calls")
			b.ReportMetric(float64(checkLimit(row.hosts)), "calls-allowed")
			b.ReportMetric(float64(alert.told.Milliseconds()), "ms-answer-to-alert")
			b.ReportMetric(float64(alert.ended.Milliseconds()), "ms-script-to-alert")
		})
	}
}

// alertTimes are how long it took until the first Publish was done.
type alertTimes struct {
	told  time.Duration // since Systems Manager told the function that the last host had answered
	ended time.Duration // since the script on the last host ended: the pause between two polls comes on top
}

func (w *watched) alertTimes(calls []wire.Call) alertTimes {
	w.t.Helper()
	var told, ended, published time.Time
	commands := map[string]bool{}
	for _, c := range calls {
		switch {
		case c.Action == "Publish" && published.IsZero():
			published = c.Time
		case c.Action == "ListCommandInvocations" && published.IsZero():
			told = c.Time
			var in struct{ CommandID string }
			if err := json.Unmarshal(c.Body, &in); err != nil {
				w.t.Fatal(err)
			}
			commands[in.CommandID] = true
		}
	}
	for id := range commands {
		in := &ssm.ListCommandInvocationsInput{CommandId: &id, Details: true}
		for pages := ssm.NewListCommandInvocationsPaginator(w.systems, in); pages.HasMorePages(); {
			page, err := pages.NextPage(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			for _, i := range page.CommandInvocations {
				for _, p := range i.CommandPlugins {
					if at := aws.ToTime(p.ResponseFinishDateTime); at.After(ended) {
						ended = at
					}
				}
			}
		}
	}
	if published.IsZero() || told.IsZero() || ended.IsZero() {
		w.t.Fatalf("no alert: told %s, ended %s, published %s", told, ended, published)
	}
	return alertTimes{told: published.Sub(told), ended: published.Sub(ended)}
}
