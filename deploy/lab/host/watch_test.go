package host_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// steps writes down what a watched host tells of, and cuts the power at one of them.
type steps struct {
	mu   sync.Mutex
	list []string
	fall string // the step at which power is lost
}

func (s *steps) look(step host.Step) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(step.Command, " ")
	if step.Done {
		text += " done"
	}
	s.list = append(s.list, text)
	return text != s.fall
}

func watch(t *testing.T, h *host.Host, fall string) *steps {
	t.Helper()
	s := &steps{fall: fall}
	stop, err := h.Watch(s.look)
	must(t, err)
	t.Cleanup(func() { must(t, stop()) })
	return s
}

func TestAWatchedHostTellsOfEachCommandThatChangesFiles(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	s := &steps{}
	stop, err := h.Watch(s.look)
	must(t, err)
	const script = "mkdir -p a && echo 'b c' >a/new && mv -f a/new 'a/b c' && cat 'a/b c'; rm none 2>/dev/null; echo $?"
	if out := do(t, h, script); out.Stdout != "b c\n1\n" || out.ExitCode != 0 {
		t.Errorf("%+v", out)
	}
	want := []string{"mkdir -p a", "mkdir -p a done", "mv -f a/new a/b c", "mv -f a/new a/b c done", "rm none", "rm none done"}
	if diff := cmp.Diff(want, s.list); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	must(t, stop())
	if out := do(t, h, "mkdir after && cat 'a/b c'"); out.Stdout != "b c\n" {
		t.Errorf("after the watch: %+v", out)
	}
	if len(s.list) != len(want) {
		t.Errorf("steps after the watch: %q", s.list[len(want):])
	}
	if _, err := os.Stat(h.Path("/watch")); err == nil {
		t.Error("the watch left its folder behind")
	}
}

func TestPowerIsLostAtAStep(t *testing.T) {
	t.Parallel()
	// timeout makes a process group of its own.
	const script = "echo old >file; timeout 100 sh -c 'echo new >next; mv next file; echo >survived'; echo >survived"
	for _, tt := range []struct{ fall, file string }{
		{"mv next file", "old\n"},
		{"mv next file done", "new\n"},
	} {
		t.Run(tt.fall, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			if out := do(t, h, "command -v timeout"); out.ExitCode != 0 && os.Getenv("CI") == "" {
				t.Skip("needs timeout")
			}
			watch(t, h, tt.fall)
			if out := do(t, h, script); out.ExitCode != 137 || out.TimedOut {
				t.Errorf("%+v", out)
			}
			if got := readFile(t, h.Path("/root/file")); got != tt.file {
				t.Errorf("the file holds %q, want %q", got, tt.file)
			}
			if _, err := os.Stat(h.Path("/root/survived")); err == nil {
				t.Error("a process of the script went on")
			}
			if out := do(t, h, "echo up"); out.Stdout != "up\n" {
				t.Errorf("afterwards: %+v", out)
			}
		})
	}
}
