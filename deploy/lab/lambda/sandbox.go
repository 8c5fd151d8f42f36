package lambda

import (
	"context"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// lastWords is how long a process whose initialisation failed may take to
// write its log and exit by itself, and a server to answer what was asked.
const lastWords = time.Second

// sandbox is one process of a function, with a Runtime API of its own on
// loopback. It serves one invocation at a time.
type sandbox struct {
	function *function
	log      stream
	api      *runtimeAPI
	server   *http.Server
	cmd      *exec.Cmd
	serving  sync.WaitGroup
	exited   chan struct{} // closed when the process, its group and its server are gone

	mu   sync.Mutex
	peak int64 // of the resident set, in bytes
}

// start starts a sandbox that writes to a log.
func (s *Service) start(f *function, log stream) (*sandbox, error) {
	if err := f.checkArchitecture(); err != nil {
		return nil, err
	}
	l, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	api := newRuntimeAPI(log)
	b := &sandbox{
		function: f,
		log:      log,
		api:      api,
		server:   &http.Server{Handler: api.handler()},
		cmd:      exec.Command(f.Command[0], f.Command[1:]...),
		exited:   make(chan struct{}),
	}
	b.cmd.Dir = f.Dir
	b.cmd.Env = s.options.environment(f.Function, l.Addr().String(), log.name)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.launch(b); err != nil {
		_ = l.Close()
		return nil, err
	}
	b.serving.Go(func() { _ = b.server.Serve(l) }) // until it is shut down
	go s.reap(b)
	return b, nil
}

// launch starts the process, unless the service is closed.
func (s *Service) launch(b *sandbox) error {
	out, err := b.log.open()
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	b.cmd.Stdout, b.cmd.Stderr = out, out

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	if err := s.guard.add(b.pid()); err != nil {
		killGroup(b.pid())
		_ = b.cmd.Wait()
		return err
	}
	s.live[b] = true
	s.running.Add(1)
	return nil
}

func (b *sandbox) pid() int { return b.cmd.Process.Pid }

// reap waits for the process to end and puts everything of it away. What the
// process had posted before it ended is taken in first.
func (s *Service) reap(b *sandbox) {
	defer s.running.Done()
	_ = b.cmd.Wait() // the state says it all
	killGroup(b.pid())
	s.guard.remove(b.pid())
	close(b.api.gone)
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if b.server.Shutdown(ctx) != nil {
		_ = b.server.Close()
	}
	b.serving.Wait()
	b.observe(residentPeakAtExit(b.cmd.ProcessState))
	s.forget(b)
	close(b.exited)
}

// kill ends the sandbox at once and returns when nothing of it is left.
func (b *sandbox) kill() {
	select {
	case <-b.exited:
	default:
		killGroup(b.pid())
		<-b.exited
	}
}

// observe keeps the largest resident set seen, and returns it.
func (b *sandbox) observe(size int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peak = max(b.peak, size)
	return b.peak
}

// await waits until the process asks for its first invocation. The error is a
// [*failure] that says why it did not; then nothing of the sandbox is left.
func (b *sandbox) await(ctx context.Context, id string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-b.api.ready:
		return nil
	case a := <-b.api.refused:
		select {
		case <-b.exited:
		case <-time.After(lastWords):
		case <-ctx.Done():
		}
		b.kill()
		return &failure{a}
	case <-b.exited:
		return &failure{b.exitError(id)}
	case <-ctx.Done():
		b.kill()
		return &failure{timedOut(id, limit)}
	}
}

// run hands an invocation over and waits for its end. taken is false when the
// process ended without having seen it. What was answered in time counts,
// however the process ends.
func (b *sandbox) run(ctx context.Context, i *invocation) (a answer, taken bool) {
	ctx, cancel := context.WithDeadline(ctx, i.deadline)
	defer cancel()
	select {
	case b.api.work <- i:
	case <-b.exited:
		return b.exitError(i.id), false
	case <-ctx.Done():
		b.kill()
		return timedOut(i.id, b.function.Timeout), true
	}
	var failure answer
	select {
	case <-i.done:
		b.observe(residentPeak(b.pid()))
	case <-b.exited:
		failure = b.exitError(i.id)
	case <-ctx.Done():
		b.observe(residentPeak(b.pid()))
		b.kill()
		failure = timedOut(i.id, b.function.Timeout)
	}
	if given := b.api.given(i); given != nil {
		return *given, true
	}
	return failure, true
}

// exitError says how the process ended.
func (b *sandbox) exitError(id string) answer {
	reason := "Runtime exited without providing a reason"
	if p := b.cmd.ProcessState; !p.Success() {
		reason = "Runtime exited with error: " + p.String()
	}
	return failed("Runtime.ExitError", "RequestId: "+id+" Error: "+reason)
}
