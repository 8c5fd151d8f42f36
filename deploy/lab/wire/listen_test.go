package wire_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func TestListenIsForLoopbackOnly(t *testing.T) {
	t.Parallel()
	for address, allowed := range map[string]bool{
		"127.0.0.1:0":     true,
		"localhost:0":     true,
		"0.0.0.0:0":       false,
		":0":              false,
		"[::]:0":          false,
		"192.0.2.1:0":     false,
		"example.com:0":   false,
		"127.0.0.1.:0":    false,
		"localhost.evil:": false,
		"127.0.0.1":       false,
	} {
		l, err := wire.Listen(address)
		if (err == nil) != allowed {
			t.Errorf("Listen(%q): %v, allowed is %t", address, err, allowed)
		}
		if err == nil {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// everywhere is a listener that claims an address outside loopback.
type everywhere struct{ net.Listener }

func (everywhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

func TestServe(t *testing.T) {
	t.Parallel()
	f := wire.New(wire.Options{})
	f.Handle("x", serviceFunc(func(context.Context, wire.Request) (any, error) { return nil, nil }))
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Serve(t.Context(), everywhere{l}); err == nil || !strings.Contains(err.Error(), "loopback only") {
		t.Errorf("serving on every address: %v", err)
	}
	if l, err = wire.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(ctx, l) }()
	resp, body := raw(t, "http://"+l.Addr().String(), map[string]string{"Authorization": scoped("x"), "X-Amz-Target": "X.Y"}, "")
	if resp.StatusCode != http.StatusOK || body != "{}" {
		t.Errorf("answer = %d %s", resp.StatusCode, body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve ended with %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("somebody still listens")
	}
}

func BenchmarkCall(b *testing.B) {
	f := wire.New(wire.Options{})
	f.Handle("secretsmanager", serviceFunc(describe))
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = f.Serve(ctx, l) }()
	url, auth := "http://"+l.Addr().String(), scoped("secretsmanager")
	for b.Loop() {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"SecretId":"a"}`))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", auth)
		r.Header.Set("X-Amz-Target", "secretsmanager.DescribeSecret")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func TestASpareConnectionDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- wire.New(wire.Options{}).Serve(ctx, l) }()
	spare, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	// Once a later connection is answered, the server has accepted the spare one.
	if response, err := http.Get("http://" + l.Addr().String()); err != nil {
		t.Fatal(err)
	} else {
		_ = response.Body.Close()
	}
	cancel()
	// The server hangs up instead of waiting for a request that never comes.
	if _, err := spare.Read(make([]byte, 1)); err == nil {
		t.Error("the spare connection was answered")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
