package wire_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	match := wire.Action("secretsmanager", "DescribeSecret")
	for name, test := range map[string]struct {
		fault wire.Fault
		code  string // "" for a lost reply
		done  int32  // calls whose work was done, of the first
	}{
		"throttled before the work":  {wire.Fault{Do: wire.Throttle}, "ThrottlingException", 0},
		"denied before the work":     {wire.Fault{Do: wire.Deny}, "AccessDeniedException", 0},
		"unavailable after the work": {wire.Fault{Do: wire.Unavailable, When: wire.After}, "ServiceUnavailableException", 1},
		"request lost":               {wire.Fault{Do: wire.Drop}, "", 0},
		"reply lost":                 {wire.Fault{Do: wire.Drop, When: wire.After}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s := newFront(t, wire.Options{})
			var done atomic.Int32
			f.Handle("secretsmanager", serviceFunc(func(ctx context.Context, r wire.Request) (any, error) {
				done.Add(1)
				return describe(ctx, r)
			}))
			test.fault.Match, test.fault.Times = match, 1
			f.Inject(test.fault)
			client := secrets(s.URL, "AKIA")
			_, err := client.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")})
			if err == nil || code(err) != test.code {
				t.Errorf("first call: %v, want code %q", err, test.code)
			}
			if done.Load() != test.done {
				t.Errorf("work was done %d times, want %d", done.Load(), test.done)
			}
			if c := f.Calls()[0]; c.ErrorCode != test.code || (c.Status == 0) != (test.code == "") {
				t.Errorf("recorded as %d %q", c.Status, c.ErrorCode)
			}
			if _, err := client.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")}); err != nil {
				t.Errorf("second call: %v", err)
			}
		})
	}
}

// What a test does around a call, such as killing the caller, happens on the
// right side of the work.
func TestHooksStandOnTheirSideOfTheWork(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{})
	var seen []string
	note := func(text string) func(context.Context, wire.Request) error {
		return func(_ context.Context, r wire.Request) error { seen = append(seen, text+" "+r.Action); return nil }
	}
	f.Handle("secretsmanager", serviceFunc(func(ctx context.Context, r wire.Request) (any, error) {
		seen = append(seen, "work")
		return describe(ctx, r)
	}))
	f.Inject(wire.Fault{When: wire.After, Do: note("after")})
	remove := f.Inject(wire.Fault{Do: note("before")})
	client := secrets(s.URL, "AKIA")
	for range 2 {
		if _, err := client.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")}); err != nil {
			t.Fatal(err)
		}
		remove()
	}
	want := []string{"before DescribeSecret", "work", "after DescribeSecret", "work", "after DescribeSecret"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// A caller that was killed has still asked: the work is finished.
func TestWorkOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	finished := make(chan error, 1)
	f.Handle("x", serviceFunc(func(served context.Context, _ wire.Request) (any, error) {
		cancel()
		s.CloseClientConnections()
		finished <- served.Err()
		return nil, nil
	}))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", scoped("x"))
	r.Header.Set("X-Amz-Target", "X.Y")
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Error("a cancelled call was answered")
	}
	if err := <-finished; err != nil {
		t.Errorf("the service's context ended with its caller: %v", err)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	now := noon
	limit := wire.Limit(2, func() time.Time { return now })
	var got []bool
	for _, step := range []time.Duration{0, 0, 0, 500 * time.Millisecond, 0, time.Hour, 0, 0} {
		now = now.Add(step)
		got = append(got, limit(t.Context(), wire.Request{}) == nil)
	}
	if diff := cmp.Diff([]bool{true, true, false, true, false, true, true, false}, got); diff != "" {
		t.Errorf("let through (-want +got):\n%s", diff)
	}
}

func TestRecordedCallsAreBounded(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{Keep: 3})
	f.Handle("x", serviceFunc(func(context.Context, wire.Request) (any, error) { return nil, nil }))
	big := strings.Repeat(" ", 15<<20)
	for _, action := range []string{"A", "B", "C", "D", "E"} {
		raw(t, s.URL, map[string]string{"Authorization": scoped("x"), "X-Amz-Target": "X." + action}, "{}")
	}
	var got string
	for _, c := range f.Calls() {
		got += c.Action
	}
	if got != "CDE" || f.Counts()["x:A"] != 1 {
		t.Errorf("kept %q, counts %v", got, f.Counts())
	}

	f, s = newFront(t, wire.Options{})
	f.Handle("x", serviceFunc(func(context.Context, wire.Request) (any, error) { return nil, nil }))
	for range 6 {
		raw(t, s.URL, map[string]string{"Authorization": scoped("x"), "X-Amz-Target": "X.A"}, big)
	}
	bodies := 0
	for _, c := range f.Calls() {
		bodies += len(c.Body)
	}
	if bodies > 64<<20 || f.Calls()[0].Body != nil || f.Calls()[5].Body == nil {
		t.Errorf("%d bytes of bodies kept", bodies)
	}
}
