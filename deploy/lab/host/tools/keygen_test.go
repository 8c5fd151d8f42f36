package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFingerprintsAsTheRealOnePrintsThem holds each file against the machine's
// own ssh-keygen.
func TestFingerprintsAsTheRealOnePrintsThem(t *testing.T) {
	t.Parallel()
	real := realKeygen(t)
	dir := t.TempDir()
	ed := generate(t, real, dir, "ed", "-t", "ed25519", "-C", "alice@example comment")
	bare := generate(t, real, dir, "bare", "-t", "ed25519", "-C", "")
	ec256 := generate(t, real, dir, "ec256", "-t", "ecdsa", "-b", "256", "-C", "c256")
	ec384 := generate(t, real, dir, "ec384", "-t", "ecdsa", "-b", "384", "-C", "c384")
	ec521 := generate(t, real, dir, "ec521", "-t", "ecdsa", "-b", "521", "-C", "c521")
	rsa := generate(t, real, dir, "rsa", "-t", "rsa", "-b", "2048", "-C", "rsa")
	generate(t, real, dir, "ca", "-t", "ed25519", "-C", "ca")
	if out, err := exec.Command(real, "-q", "-s", filepath.Join(dir, "ca"), "-I", "id", "-n", "alice", filepath.Join(dir, "ed.pub")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cert := read(t, filepath.Join(dir, "ed-cert.pub"))
	trim := func(s string) string { return strings.TrimSuffix(s, "\n") }
	for _, tt := range []struct{ name, file string }{
		{"one key", ed},
		{"every type", ed + ec256 + ec384 + ec521 + rsa},
		{"a certificate has the fingerprint of its key", cert},
		{"a key without a comment", bare},
		{"no newline at the end", ed + trim(rsa)},
		{"carriage returns", trim(ed) + "\r\n" + trim(bare) + "\r\n"},
		{"options before a key", `from="10.0.0.0/8,::1",command="echo \"a b\"",no-pty ` + ed},
		{"a host name before a key and no comment", "host.example " + bare},
		{"comments, blank lines and leading blanks", "# one\n\n  \t\n \t" + ed + "#" + rsa},
		{"garbage between keys", "garbage\nssh-ed25519\nssh-ed25519 AAAA\nssh-rsa " + strings.Fields(ed)[1] + " x\n" + ed},
		{"a key that is cut short", ed + trim(ed)[:40] + "\n"},
		{"a quote that never ends", `command="echo ` + ed + rsa},
		{"letters beyond ASCII and control characters", trim(bare) + " p\u00e4t\x01\x7f\t\n"},
		{"a NUL in a line", ed + trim(bare) + " before\x00after\n" + rsa},
		{"nothing", ""},
		{"no key at all", "# only\nwords here\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.write("keys", tt.file)
			for _, from := range []string{"-", filepath.Join(h.root, "keys")} {
				stdout, _, status := h.run(tt.file, "ssh-keygen", "-lf", from)
				cmd := exec.Command(real, "-l", "-f", from)
				cmd.Env = []string{"LC_ALL=C"}
				cmd.Stdin = strings.NewReader(tt.file)
				var want bytes.Buffer
				cmd.Stdout = &want
				var exit *exec.ExitError
				if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want.String(), stdout); diff != "" || status != cmd.ProcessState.ExitCode() {
					t.Errorf("-lf %s: status %d, real %d (-real +ours):\n%s", from, status, cmd.ProcessState.ExitCode(), diff)
				}
			}
		})
	}
}

func TestQueryOfARevocationList(t *testing.T) {
	t.Parallel()
	real := realKeygen(t)
	h := newHost(t)
	one := generate(t, real, h.root, "one", "-t", "ed25519", "-C", "one")
	generate(t, real, h.root, "two", "-t", "ed25519", "-C", "two")
	if out, err := exec.Command(real, "-q", "-k", "-f", filepath.Join(h.root, "krl"), filepath.Join(h.root, "one.pub")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h.write("text", one)
	for _, tt := range []struct {
		name, command, stdout string
		status                int
	}{
		{"a revoked key", "ssh-keygen -Q -f krl one.pub", "one.pub (one): REVOKED\n", 1},
		{"a key that is not revoked", "ssh-keygen -Q -f krl two.pub", "two.pub (two): ok\n", 0},
		{"both", "ssh-keygen -Q -f krl two.pub one.pub", "two.pub (two): ok\none.pub (one): REVOKED\n", 1},
		{"a list of text, which this command does not take", "ssh-keygen -Q -f text one.pub", "", 255},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := h.run("", strings.Fields(tt.command)...)
			if stdout != tt.stdout || status != tt.status {
				t.Errorf("%s: %q, status %d, want %q, %d; stderr: %s", tt.command, stdout, status, tt.stdout, tt.status, stderr)
			}
		})
	}
}

// realKeygen returns the machine's ssh-keygen, or skips: only CI promises it.
func realKeygen(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs OpenSSH's ssh-keygen")
	}
	return path
}

// generate makes a key pair and returns the public line.
func generate(t *testing.T, keygen, dir, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if out, err := exec.Command(keygen, append([]string{"-q", "-N", "", "-f", path}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return read(t, path+".pub")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
