package host_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// tools is the built multi-call program.
var tools string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "host")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		tools = filepath.Join(dir, "tools")
		if err := host.Build(context.Background(), tools); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// now is the time on every host of these tests.
var now = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// body is a script that tests trust: it runs what SSM_Do says.
const body = "# a trusted body\neval \"$SSM_Do\"\n"

func machine() host.Machine {
	return host.Machine{Tools: tools, Trusted: []string{body}, Now: func() time.Time { return now }}
}

// newHost makes a host with the users alice and bob; edit may change the rest.
func newHost(t testing.TB, edit func(*host.Spec)) *host.Host {
	t.Helper()
	s := host.Spec{
		ID: "i-0123456789abcdef0", Name: "web-1", IPAddress: "10.0.0.7",
		Tags:  map[string]string{"role": "web"},
		Users: []host.User{{Name: "alice"}, {Name: "bob", Groups: []string{"staff"}}},
	}
	if edit != nil {
		edit(&s)
	}
	h, err := host.New(filepath.Join(t.TempDir(), s.ID), s, machine())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// do runs a command on the host as a trusted script.
func do(t *testing.T, h *host.Host, command string) host.Output {
	t.Helper()
	return h.Run(t.Context(), host.Script{Text: body, Env: map[string]string{"SSM_Do": command}})
}

// newKey makes a key pair and its line for authorized_keys.
func newKey(t testing.TB) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signerOf(t, key)
}

func signerOf(t testing.TB, key any) (ssh.Signer, string) {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s, strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(s.PublicKey())), "\n")
}

func writeFile(t testing.TB, h *host.Host, hostPath, text string) {
	t.Helper()
	path := h.Path(hostPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// must fails the test on an error of a preparation.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
