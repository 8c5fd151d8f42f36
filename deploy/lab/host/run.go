package host

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Script is a text for the host's shell, as the agent gets it.
type Script struct {
	Text    string
	Env     map[string]string // added to the agent's own environment
	Timeout time.Duration     // 0: none
}

// Output is what a script left.
type Output struct {
	Stdout, Stderr string
	ExitCode       int
	TimedOut       bool // killed when Script.Timeout was over
}

const (
	// maxOutput bounds what is kept of each stream; SSM shows 24,000 bytes.
	maxOutput = 1 << 20
	// pipeGrace is how long a stream may stay open after its script ended,
	// when a process that it left behind still holds it. What was written is lost
	// if this machine stands still for longer, so it is long.
	pipeGrace = 10 * time.Second
	// killedStatus is the exit code of a script that the agent killed.
	killedStatus = 128 + int(syscall.SIGKILL)
)

// otherHost is who a host believes to be under AnswerOther.
const otherHost = "i-0ffffffffffffffff"

// garbage is no answer to anything.
const garbage = "\x00\xff{\"]: \u202egarbage\n\n%s\n"

// Run runs a script as the agent does: as root of this host, with nothing in
// the environment but PATH, TMPDIR, AWS_SSM_INSTANCE_ID and s.Env. It returns
// when the script has ended or was killed, with all its processes, because the
// time-out was over, ctx ended or the host was closed.
func (h *Host) Run(ctx context.Context, s Script) Output {
	info := h.Info()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !h.begin() {
		return Output{ExitCode: killedStatus, Stderr: "host is closed\n"}
	}
	defer h.work.Done()
	go func() {
		select {
		case <-h.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	limited := ctx
	if s.Timeout > 0 {
		var stop context.CancelFunc
		limited, stop = context.WithTimeout(ctx, s.Timeout)
		defer stop()
	}
	out := h.answer(limited, info, s)
	if limited.Err() != nil {
		out.ExitCode = killedStatus
		out.TimedOut = ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded)
	}
	return out
}

// begin counts work that Close waits for, unless the host is closed already.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
		return false
	default:
		h.work.Add(1)
		return true
	}
}

// answer waits for the latency of the host, runs the script and spoils its
// answer as host.json wants it.
func (h *Host) answer(ctx context.Context, info Info, s Script) Output {
	if info.Latency > 0 {
		timer := time.NewTimer(time.Duration(info.Latency))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return Output{}
		}
	}
	id := info.ID
	switch info.Answer {
	case AnswerGarbage:
		return Output{Stdout: garbage}
	case AnswerOther:
		id = otherHost
	}
	var env []string
	for name, value := range s.Env {
		env = append(env, name+"="+value)
	}
	// Last, so that they win: the agent's environment names the host as well.
	env = append(env,
		"PATH="+h.root.Path("/bin"),
		"TMPDIR="+h.root.Path("/tmp"),
		"AWS_SSM_INSTANCE_ID="+id)
	var out Output
	if trusted(s.Text, h.machine.Trusted) {
		command := append(h.machine.Shell[:len(h.machine.Shell):len(h.machine.Shell)], "-c", s.Text)
		out = h.process(ctx, info.DiskFull, env, command)
	} else {
		out = h.interpret(ctx, info.DiskFull, env, s.Text)
	}
	if info.Answer == AnswerCut {
		out.Stdout = out.Stdout[:len(out.Stdout)/2]
	}
	return out
}

// assignment is a line that may stand before a trusted body: a value in single
// quotes, alone or as the default of the variable. It can run nothing.
var assignment = regexp.MustCompile(`^SSM_([A-Za-z0-9_]+)=('[^'\n]*'|\$\{SSM_([A-Za-z0-9_]+)-'[^'\n]*'\})$`)

// trusted reports whether a script is a trusted body behind assignments.
func trusted(text string, bodies []string) bool {
	text = strings.TrimRight(text, "\n")
	for _, body := range bodies {
		before, ok := strings.CutSuffix(text, strings.TrimRight(body, "\n"))
		if ok && body != "" && onlyAssignments(before) {
			return true
		}
	}
	return false
}

func onlyAssignments(text string) bool {
	for line := range strings.Lines(text) {
		name, whole := strings.CutSuffix(line, "\n")
		m := assignment.FindStringSubmatch(name)
		if !whole || m == nil || m[3] != "" && m[3] != m[1] {
			return false
		}
	}
	return true
}

// fullDisk runs a command whose writes to files all fail: the limit on file
// size is 0, and the signal that goes with it is ignored.
var fullDisk = []string{"/bin/sh", "-c", `trap '' XFSZ; ulimit -f 0; exec "$@"`, "sh"}

// process runs a command in a process group of its own.
func (h *Host) process(ctx context.Context, diskFull bool, env, command []string) Output {
	if diskFull {
		command = append(fullDisk[:len(fullDisk):len(fullDisk)], command...)
	}
	var stdout, stderr cappedBuffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = h.root.Path("/root")
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := startGroup(cmd); err != nil {
		return Output{Stderr: err.Error() + "\n", ExitCode: 127}
	}
	h.mu.Lock()
	h.scripts[cmd.Process.Pid] = true
	h.mu.Unlock()
	status := waitGroup(cmd)
	h.mu.Lock()
	delete(h.scripts, cmd.Process.Pid)
	h.mu.Unlock()
	return Output{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: status}
}

// runGroup runs a command as a process group and kills what is left of the
// group when the command's context ends or the command itself has.
func runGroup(cmd *exec.Cmd) (status int, err error) {
	if err := startGroup(cmd); err != nil {
		return 0, err
	}
	return waitGroup(cmd), nil
}

func startGroup(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeGrace
	return cmd.Start()
}

func waitGroup(cmd *exec.Cmd) (status int) {
	// The state says how it ended; the error would say it again.
	_ = cmd.Wait()
	_ = cmd.Cancel() // what the command left behind; there may be nothing
	state := cmd.ProcessState
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}

// cappedBuffer keeps the first maxOutput bytes and swallows the rest. What a
// foreign script left running may still write to it when it is read.
type cappedBuffer struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept.Write(p[:min(len(p), maxOutput-b.kept.Len())])
	return len(p), nil
}

func (b *cappedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept.String()
}
