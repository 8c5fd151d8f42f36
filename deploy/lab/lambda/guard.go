package lambda

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

//go:embed guard.sh
var guardScript string

// guard is a small process that outlives the lab only to kill the process
// groups that the lab left behind: its standard input is a pipe from the lab,
// and ends with it, even by kill -9. It is the same on every Unix, where a
// parent-death signal is Linux's alone and does not reach grandchildren.
type guard struct {
	mu   sync.Mutex
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// add puts a group under guard.
func (g *guard) add(pgid int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd == nil {
		if err := g.start(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(g.pipe, "+ %d\n", pgid)
	return err
}

// remove releases a group that has ended: its number may come again.
func (g *guard) remove(pgid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd != nil {
		_, _ = fmt.Fprintf(g.pipe, "- %d\n", pgid) // a guard that is gone guards nothing
	}
}

func (g *guard) start() error {
	cmd := exec.Command("/bin/sh", "-c", guardScript)
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is not for it
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the guard of processes: %w", err)
	}
	g.cmd, g.pipe = cmd, pipe
	return nil
}

// close kills the groups that are still under guard and waits for the guard.
func (g *guard) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd == nil {
		return nil
	}
	err := errors.Join(g.pipe.Close(), g.cmd.Wait())
	g.cmd, g.pipe = nil, nil
	return err
}

// killGroup ends every process of a group at once. A group that has ended is
// no error.
func killGroup(pgid int) { _ = syscall.Kill(-pgid, syscall.SIGKILL) }
