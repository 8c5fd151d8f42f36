package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listen opens a TCP listener on a loopback address and refuses any other:
// whoever reaches the lab may read its secrets and run its scripts. The host
// is an IP literal or "localhost" (127.0.0.1); names are not resolved.
func Listen(address string) (net.Listener, error) {
	h, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	if h == "localhost" {
		h = "127.0.0.1"
	}
	if ip := net.ParseIP(h); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen on %q: the lab listens on loopback only", address)
	}
	return net.Listen("tcp", net.JoinHostPort(h, port))
}

// Serve answers on a loopback listener until the context ends, then lets the
// calls that are under way finish for at most five seconds. It takes over the
// listener.
func (f *Front) Serve(ctx context.Context, l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("serve on %s: the lab listens on loopback only", l.Addr()), l.Close())
	}
	var silent sync.Map // connections that have sent nothing yet
	s := &http.Server{
		Handler: f,
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				silent.Store(c, nil)
			} else {
				silent.Delete(c)
			}
		},
		ReadHeaderTimeout: 10 * time.Second, // a caller that stalls must not hold a connection for ever
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		// Clients keep spare connections, and Shutdown would wait five seconds for each.
		silent.Range(func(c, _ any) bool {
			_ = c.(net.Conn).Close()
			return true
		})
		if err := s.Shutdown(bounded); err != nil {
			stopped <- s.Close()
			return
		}
		stopped <- nil
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
