package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// findPython returns the interpreter itself: a launcher that picks a version
// needs more of an environment than functions have.
func findPython() (string, error) {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err
}

// caller is a server that functions call: it tells of each call and of its
// end, and holds it until it is released.
type caller struct {
	*httptest.Server
	begun   chan struct{}
	ended   chan struct{} // the process that called is gone
	release chan struct{}
}

func newCaller(t *testing.T) *caller {
	c := &caller{begun: make(chan struct{}, 10), ended: make(chan struct{}, 10), release: make(chan struct{})}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.begun <- struct{}{}
		select {
		case <-c.release:
		case <-r.Context().Done():
			c.ended <- struct{}{}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *caller) event(do string) string {
	b, err := json.Marshal(map[string]string{"Do": do, "URL": c.URL})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// wait fails the test when something that must happen does not.
func wait(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: did not happen", what)
	}
}

func TestInvocationsAtOnce(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	s := newService(t, lambda.Options{Concurrency: 3}, function())
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if r := invoke(t, s, c.event("call")); string(r.Payload) != `"called"` {
				t.Errorf("answer %s, want called", r.Payload)
			}
		})
	}
	for range 3 {
		wait(t, "a call while the others run", c.begun)
	}
	if n := len(s.Processes()); n != 3 {
		t.Errorf("%d processes for three invocations at once", n)
	}
	_, err := s.Invoke(t.Context(), "sample", nil)
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != "TooManyRequestsException" || e.Members["Reason"] != "ConcurrentInvocationLimitExceeded" {
		t.Errorf("a fourth: %v, want TooManyRequestsException", err)
	}
	close(c.release)
	all.Wait()
	if n := len(s.Processes()); n != 3 {
		t.Errorf("%d processes, want the three kept", n)
	}
	invoke(t, s, "{}")
}

func TestReservedConcurrency(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	f := function()
	f.Concurrency = 1
	s := newService(t, lambda.Options{}, f)
	var all sync.WaitGroup
	all.Go(func() { invoke(t, s, c.event("call")) })
	wait(t, "the call", c.begun)
	_, err := s.Invoke(t.Context(), "sample", nil)
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Members["Reason"] != "ReservedFunctionConcurrentInvocationLimitExceeded" {
		t.Errorf("a second: %v, want TooManyRequestsException", err)
	}
	close(c.release)
	all.Wait()
	invoke(t, s, "{}")
}

func TestKill(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	s := newService(t, lambda.Options{}, function())
	result := make(chan lambda.Result, 1)
	go func() { result <- invoke(t, s, c.event("call")) }()
	wait(t, "the call", c.begun)
	s.Kill("sample")
	wait(t, "the end of the call", c.ended)
	r := <-result
	if want := `"RequestId: ` + r.RequestID + ` Error: Runtime exited with error: signal: killed"`; !strings.Contains(string(r.Payload), want) {
		t.Errorf("answer %s, want %s", r.Payload, want)
	}
	if p := s.Processes(); len(p) != 0 {
		t.Errorf("processes %v, want none", p)
	}
	if r := invoke(t, s, "{}"); r.FunctionError != "" {
		t.Errorf("the next invocation: %s, want a new sandbox", r.Payload)
	}
}

func TestARepeatKeepsTheRequestID(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	first := invoke(t, s, `{"Do":"exit"}`)
	if first.FunctionError == "" {
		t.Fatalf("the first attempt: %s", first.Payload)
	}
	again, err := s.Repeat(t.Context(), first.RequestID, "sample", []byte(`{"Do":"context"}`))
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ ID string }
	if err := json.Unmarshal(again.Payload, &c); err != nil || c.ID != first.RequestID || again.RequestID != first.RequestID {
		t.Errorf("the second attempt was %s to the function and %s to its caller, want %s (%v)", c.ID, again.RequestID, first.RequestID, err)
	}
}

func TestKillOfAnIdleSandbox(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	for range 20 {
		if r := invoke(t, s, "{}"); r.FunctionError != "" {
			t.Fatalf("an invocation after a kill: %s", r.Payload)
		}
		s.Kill("sample")
	}
}

func TestKillEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	s := newService(t, lambda.Options{}, function())
	go func() { _, _ = s.Invoke(t.Context(), "sample", []byte(c.event("child"))) }()
	wait(t, "the call of the child", c.begun)
	s.Kill("sample")
	wait(t, "the end of the child", c.ended)
}

func TestCancelledCaller(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	s := newService(t, lambda.Options{}, function())
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := s.Invoke(ctx, "sample", []byte(c.event("call")))
		result <- err
	}()
	wait(t, "the call", c.begun)
	cancel()
	wait(t, "the end of the call", c.ended)
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	s := newService(t, lambda.Options{}, function())
	invoke(t, s, c.event("pid"))
	result := make(chan lambda.Result, 1)
	go func() { result <- invoke(t, s, c.event("call")) }()
	wait(t, "the call", c.begun)
	processes := s.Processes()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r := <-result; r.FunctionError == "" {
		t.Errorf("answer %s, want an error", r.Payload)
	}
	for _, p := range processes {
		if err := syscall.Kill(p.PID, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: %v, want none", p.PID, err)
		}
	}
	if _, err := s.Invoke(t.Context(), "sample", nil); err == nil {
		t.Error("an invocation after Close has no error")
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// TestKilledLab kills a lab the hard way: what it cannot clean up itself is
// cleaned up behind it, grandchildren as well.
func TestKilledLab(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"call", "child"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			c := newCaller(t)
			lab := exec.Command(os.Args[0])
			lab.Env = append(os.Environ(), "LAB_TO_KILL="+t.TempDir(),
				"LAB_FUNCTION="+filepath.Join(programs, "function"), "LAB_EVENT="+c.event(do))
			lab.Stderr = os.Stderr
			if err := lab.Start(); err != nil {
				t.Fatal(err)
			}
			wait(t, "the call", c.begun)
			if err := lab.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			wait(t, "the end of the process that called", c.ended)
			_ = lab.Wait() // killed, as said
		})
	}
}
