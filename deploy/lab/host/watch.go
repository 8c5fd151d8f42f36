package host

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Step is one side of a command by which a script changes files.
type Step struct {
	Command []string // name and arguments; paths are those of this machine
	Done    bool     // its work is done; else it has not begun
}

// watchedTools are the commands that a watched host tells of.
var watchedTools = []string{"chmod", "cp", "dd", "ln", "mkdir", "mv", "rm"}

// watchFolder holds, while a host is watched, the commands that are told of
// and the port to tell it to. The host's tools know the name.
const watchFolder = "/watch"

// Watch has f called before and after each command by which trusted scripts of
// this host change files: chmod, cp, dd, ln, mkdir, mv and rm. What a shell
// writes itself, by a redirection, comes between two of them. A script stands
// still while f looks; f may be called for two scripts at once.
//
// When f returns false the host loses power: all that runs on it is killed at
// once, its files stay as they are, and it is up again. Data that was not on
// the disk yet is not lost, as it could be on a real one.
//
// To see the commands, the lab stands in their place in the host's /bin. That
// costs each of them a few milliseconds, so a host is watched only until stop;
// neither may be called while a script runs.
func (h *Host) Watch(f func(Step) bool) (stop func() error, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := h.standIn(l.Addr().(*net.TCPAddr).Port); err != nil {
		return nil, errors.Join(fmt.Errorf("watch host %s: %w", h.ID(), err), l.Close(), h.standBack())
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			serving.Go(func() { h.look(c, f) })
		}
	})
	return func() error {
		err := errors.Join(l.Close(), h.standBack())
		serving.Wait()
		return err
	}, nil
}

// standIn puts the multi-call program in the place of the watched commands.
func (h *Host) standIn(port int) error {
	if err := os.Mkdir(h.Path(watchFolder), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(h.Path(watchFolder+"/port"), []byte(strconv.Itoa(port)), 0o644); err != nil {
		return err
	}
	for _, name := range watchedTools {
		link := h.Path("/bin/" + name)
		if err := os.Rename(link, h.Path(watchFolder+"/"+name)); err != nil {
			return err
		}
		if err := os.Symlink(h.machine.Tools, link); err != nil {
			return err
		}
	}
	return nil
}

// standBack undoes standIn, as far as it was done.
func (h *Host) standBack() error {
	for _, name := range watchedTools {
		err := os.Rename(h.Path(watchFolder+"/"+name), h.Path("/bin/"+name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(h.Path(watchFolder))
}

// look hears of one command: a line with its process group and its words, and
// a byte when its work is done. It answers both with a byte, or cuts the power.
func (h *Host) look(c net.Conn, f func(Step) bool) {
	defer c.Close()
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return // it was killed
	}
	group, command, err := parseCommand(strings.TrimSuffix(line, "\n"))
	if err != nil {
		return
	}
	for _, done := range []bool{false, true} {
		if done {
			if _, err := r.ReadByte(); err != nil {
				return
			}
		}
		if !f(Step{command, done}) {
			h.cutPower(group)
			return
		}
		if _, err := c.Write([]byte{'\n'}); err != nil {
			return
		}
	}
}

func parseCommand(line string) (group int, command []string, err error) {
	number, words, _ := strings.Cut(line, " ")
	if group, err = strconv.Atoi(number); err != nil {
		return 0, nil, err
	}
	for words != "" {
		quoted, err := strconv.QuotedPrefix(words)
		if err != nil {
			return 0, nil, err
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return 0, nil, err
		}
		command = append(command, word)
		words = strings.TrimPrefix(words[len(quoted):], " ")
	}
	if len(command) == 0 || group <= 1 {
		return 0, nil, errors.New("no command of a process group")
	}
	command[0] = filepath.Base(command[0])
	return group, command, nil
}

// cutPower kills the scripts that run, and a process group that one of them
// made, as timeout does. The latter goes last: as long as it stands still,
// the scripts wait for it.
func (h *Host) cutPower(group int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for script := range h.scripts {
		_ = syscall.Kill(-script, syscall.SIGKILL) // one that has ended is no error
	}
	_ = syscall.Kill(-group, syscall.SIGKILL)
}
