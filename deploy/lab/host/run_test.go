package host_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

func TestTrustedScriptRunsInTheRealShell(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text string }{
		{"with its parameters in the environment", body},
		{"behind an assignment", "SSM_Do='echo $0-$PPID'\n" + body},
		{"behind an assignment with a default", "SSM_Other=${SSM_Other-'a b'}\nSSM_Do='echo $0-$PPID'\n" + body},
		{"without its last newline", "SSM_Do='echo $0-$PPID'\n" + strings.TrimSuffix(body, "\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			out := h.Run(t.Context(), host.Script{Text: tt.text, Env: map[string]string{"SSM_Do": "echo $0-$PPID"}})
			if want := "/bin/sh-" + strconv.Itoa(os.Getpid()) + "\n"; out.Stdout != want || out.ExitCode != 0 {
				t.Errorf("%+v, want %q", out, want)
			}
		})
	}
}

func TestOtherScriptsNeverReachTheRealShell(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text string }{
		{"a text that is not known", "echo here"},
		{"a command before the body", "echo here\n" + body},
		{"a command behind an assignment", "SSM_Do='echo here'; echo here\n" + body},
		{"an assignment with a command in it", "SSM_Do=\"$(echo here)\"\n" + body},
		{"a default of another variable", "SSM_Do=${SSM_Other-'echo here'}\n" + body},
		{"an assignment of something else", "PATH='/usr/bin'\n" + body},
		{"a quote in a value", "SSM_Do='echo'\\''here'\n" + body},
		{"a body with more behind it", body + "echo here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			// Only a real shell has the machine's PID of a parent.
			text := strings.ReplaceAll(tt.text, "here", "$0")
			out := h.Run(t.Context(), host.Script{Text: text})
			if strings.Contains(out.Stdout, "/bin/sh") {
				t.Errorf("%q ran in the real shell: %+v", text, out)
			}
		})
	}
}

func TestScriptSeesNothingButItsHost(t *testing.T) {
	t.Setenv("KEYTRAIL_TEST_SECRET", "leaked")
	h := newHost(t, nil)
	out := h.Run(t.Context(), host.Script{Text: body, Env: map[string]string{"SSM_Do": "env", "SSM_Users": "alice bob"}})
	got := strings.Split(strings.TrimSpace(out.Stdout), "\n")
	got = slices.DeleteFunc(got, func(v string) bool {
		return strings.HasPrefix(v, "_=") || strings.HasPrefix(v, "SHLVL=") || strings.HasPrefix(v, "__CF_USER_TEXT_ENCODING=")
	})
	slices.Sort(got)
	want := []string{
		"AWS_SSM_INSTANCE_ID=i-0123456789abcdef0", "PATH=" + h.Path("/bin"), "PWD=" + h.Path("/root"),
		"SSM_Do=env", "SSM_Users=alice bob", "TMPDIR=" + h.Path("/tmp"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestScriptFindsTheToolsOfTheShortListOnly(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	if out := do(t, h, "grep x"); out.ExitCode != 127 {
		t.Errorf("grep, which is not on the list: %+v", out)
	}
	if out := do(t, h, "getent passwd 0 alice | awk -F: '{ print $1 }' | tr a-z A-Z; id -u alice"); out.Stdout != "ROOT\nALICE\n1000\n" {
		t.Errorf("tools of the list: %+v", out)
	}
}

func TestScriptIsKilledWithAllItsProcesses(t *testing.T) {
	t.Parallel()
	// The processes hold the pipe named alive; its end is the end of them all.
	const forever = "exec 8>alive; (sleep 1000 & wait) & echo started >ready; wait"
	for _, tt := range []struct {
		name    string
		timeout time.Duration
		stop    func(*host.Host, context.CancelFunc)
		timed   bool
	}{
		{"when its time is over", time.Second, nil, true},
		{"when it is cancelled", 0, func(_ *host.Host, cancel context.CancelFunc) { cancel() }, false},
		{"when the host is closed", 0, func(h *host.Host, _ context.CancelFunc) { h.Close() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			must(t, syscall.Mkfifo(h.Path("/root/alive"), 0o600))
			alive, err := os.OpenFile(h.Path("/root/alive"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
			must(t, err)
			defer alive.Close()
			if tt.stop != nil {
				must(t, syscall.Mkfifo(h.Path("/root/ready"), 0o600))
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan host.Output)
			go func() {
				done <- h.Run(ctx, host.Script{Text: body, Timeout: tt.timeout, Env: map[string]string{"SSM_Do": forever}})
			}()
			if tt.stop != nil {
				if got := readFile(t, h.Path("/root/ready")); got != "started\n" {
					t.Fatalf("the script said %q", got)
				}
				tt.stop(h, cancel)
			}
			if out := <-done; out.ExitCode != 137 || out.TimedOut != tt.timed {
				t.Errorf("%+v", out)
			}
			if _, err := io.ReadAll(alive); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSpoiledAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		answer host.Answer
		check  func(out string) bool
	}{
		{host.AnswerWhole, func(out string) bool { return out == "i-0123456789abcdef0\n" }},
		{host.AnswerOther, func(out string) bool { return strings.HasPrefix(out, "i-") && out != "i-0123456789abcdef0\n" }},
		{host.AnswerCut, func(out string) bool { return out == "i-01234567" }},
		{host.AnswerGarbage, func(out string) bool { return strings.Contains(out, "garbage") }},
	} {
		t.Run("answer "+string(tt.answer), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(s *host.Spec) { s.Switches.Answer = tt.answer })
			out := do(t, h, "echo $AWS_SSM_INSTANCE_ID; echo ran >ran")
			if !tt.check(out.Stdout) || out.ExitCode != 0 {
				t.Errorf("%+v", out)
			}
			if _, err := os.Stat(h.Path("/root/ran")); (err == nil) != (tt.answer != host.AnswerGarbage) {
				t.Errorf("the script's file: %v", err)
			}
		})
	}
}

func TestFullDiskFailsEveryWrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		run  func(*testing.T, *host.Host) host.Output
	}{
		{"of a trusted script", func(t *testing.T, h *host.Host) host.Output {
			return do(t, h, "echo new >>home || echo no; cat home home >copy || echo none; echo said")
		}},
		{"of another script", func(t *testing.T, h *host.Host) host.Output {
			return h.Run(t.Context(), host.Script{Text: "echo new >>home || echo no; cat home home >copy || echo none; echo said"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(s *host.Spec) { s.Switches.DiskFull = true })
			writeFile(t, h, "/root/home", "old\n")
			if out := tt.run(t, h); out.Stdout != "no\nnone\nsaid\n" || out.ExitCode != 0 {
				t.Errorf("%+v", out)
			}
			if got := readFile(t, h.Path("/root/home")) + readFile(t, h.Path("/root/copy")); got != "old\n" {
				t.Errorf("files hold %q", got)
			}
			must(t, h.Change(func(s *host.Switches) { s.DiskFull = false }))
			if tt.run(t, h); readFile(t, h.Path("/root/home")) != "old\nnew\n" {
				t.Error("a disk that is no longer full cannot be written")
			}
		})
	}
}

func TestLatencyComesBeforeTheScript(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(s *host.Spec) { s.Switches.Latency = host.Duration(time.Hour) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	out := h.Run(ctx, host.Script{Text: body, Env: map[string]string{"SSM_Do": "echo ran >ran"}})
	if _, err := os.Stat(h.Path("/root/ran")); err == nil || out.Stdout != "" || out.ExitCode == 0 {
		t.Errorf("the script ran before its time: %+v", out)
	}
}

func TestLockHoldsBetweenScripts(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	writeFile(t, h, "/root/count", "0\n")
	const writers, rounds = 4, 25
	done := make(chan host.Output)
	for range writers {
		go func() {
			done <- h.Run(t.Context(), host.Script{Text: body, Env: map[string]string{"SSM_Do": `
				exec 9<.
				for i in ` + strings.Repeat("x ", rounds) + `; do
					flock 9 || exit 1
					n=0; while read -r m; do n=$m; done <count
					echo $((n + 1)) >count
					flock -u 9
				done`}})
		}()
	}
	for range writers {
		if out := <-done; out.ExitCode != 0 {
			t.Errorf("%+v", out)
		}
	}
	if got, want := readFile(t, h.Path("/root/count")), strconv.Itoa(writers*rounds)+"\n"; got != want {
		t.Errorf("count %q, want %q: the lock did not hold", got, want)
	}
}

func TestEveryShellOfTheMachine(t *testing.T) {
	t.Parallel()
	for _, shell := range [][]string{{"/bin/dash"}, {"/bin/bash"}, {"/bin/busybox", "sh"}} {
		t.Run(filepath.Base(shell[0]), func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(shell[0]); err != nil {
				if os.Getenv("CI") != "" {
					t.Fatal(err)
				}
				t.Skip("needs " + shell[0])
			}
			m := machine()
			m.Shell = shell
			h, err := host.New(filepath.Join(t.TempDir(), "h"), host.Spec{ID: "i-0123456789abcdef0", Users: []host.User{{Name: "alice"}}}, m)
			must(t, err)
			defer h.Close()
			if out := do(t, h, "runuser -u alice -- sh -c 'exec 9<.; flock -n 9 && id -u alice'"); out.Stdout != "1000\n" {
				t.Errorf("%+v", out)
			}
		})
	}
}
