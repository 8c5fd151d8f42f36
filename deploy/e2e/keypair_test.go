package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestEveryKindOfKeyPair rotates to each type in each private form that exists, all on one host: the
// secrets are strangers to each other.
func TestEveryKindOfKeyPair(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	for _, row := range []struct {
		kind, algorithm string
		bits            string // as ssh-keygen -l says
		formats         []string
	}{
		{"ed25519", "ssh-ed25519", "256", []string{"openssh", "pkcs8"}},
		{"ecdsa-p256", "ecdsa-sha2-nistp256", "256", []string{"openssh", "pkcs8", "sec1"}},
		{"ecdsa-p384", "ecdsa-sha2-nistp384", "384", []string{"openssh", "pkcs8", "sec1"}},
		{"ecdsa-p521", "ecdsa-sha2-nistp521", "521", []string{"openssh", "pkcs8", "sec1"}},
		{"rsa-2048", "ssh-rsa", "2048", []string{"openssh", "pkcs8", "pkcs1"}},
		{"rsa-3072", "ssh-rsa", "3072", []string{"openssh", "pkcs8", "pkcs1"}},
		{"rsa-4096", "ssh-rsa", "4096", []string{"openssh", "pkcs8", "pkcs1"}},
	} {
		for _, format := range row.formats {
			name := row.kind + "-" + format
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := w.in(t)
				function := name + "-rotate"
				w.run(function, "KEYTRAIL_KEY_TYPE="+row.kind, "KEYTRAIL_PRIVATE_KEY_FORMAT="+format)
				s := w.secret(function, name, "")
				s.mustRotate()
				k := s.key(current)
				if got := k.signer.PublicKey().Type(); got != row.algorithm {
					t.Errorf("the key is a %s, want %s", got, row.algorithm)
				}
				if want := map[string]string{
					"openssh": "OPENSSH PRIVATE KEY", "pkcs8": "PRIVATE KEY", "pkcs1": "RSA PRIVATE KEY", "sec1": "EC PRIVATE KEY",
				}[format]; !strings.HasPrefix(k.private, "-----BEGIN "+want+"-----\n") {
					t.Errorf("the private key begins with %.40q, want %s", k.private, want)
				}
				if err := logsIn(k, user, w.Hosts()...); err != nil {
					t.Error(err)
				}
				if listing := listed(t, k.line); !strings.HasPrefix(listing, row.bits+" "+k.fingerprint()) {
					t.Errorf("ssh-keygen lists %q, want %s bits and %s", listing, row.bits, k.fingerprint())
				}
				derived(t, k)
			})
		}
	}
}

// keygen returns the machine's ssh-keygen, or "": x/crypto has read the key by then.
func keygen(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		return ""
	}
	return path
}

// listed returns what ssh-keygen says of a line of authorized_keys.
func listed(t *testing.T, line string) string {
	t.Helper()
	program := keygen(t)
	if program == "" {
		t.Skip("no ssh-keygen on this machine")
	}
	c := exec.Command(program, "-lf", "-")
	c.Stdin = strings.NewReader(line + "\n")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// derived checks that ssh-keygen makes the public half from the private one.
func derived(t *testing.T, k key) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(k.private), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(keygen(t), "-y", "-P", "", "-f", path).CombinedOutput()
	if err != nil {
		if strings.HasPrefix(k.private, "-----BEGIN PRIVATE KEY-----") && k.signer.PublicKey().Type() == ssh.KeyAlgoED25519 {
			return // OpenSSH reads this form from 9.6 on
		}
		t.Fatalf("%v: %s", err, out)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(out)
	if err != nil || ssh.FingerprintSHA256(public) != k.fingerprint() {
		t.Errorf("ssh-keygen derives %s, %v; want %s", out, err, k.fingerprint())
	}
}

func TestAKeyPairThatDoesNotExistIsRefusedByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	for name, env := range map[string][]string{
		"ed25519 has no pkcs1": {"KEYTRAIL_KEY_TYPE=ed25519", "KEYTRAIL_PRIVATE_KEY_FORMAT=pkcs1"},
		"rsa has no sec1":      {"KEYTRAIL_KEY_TYPE=rsa-3072", "KEYTRAIL_PRIVATE_KEY_FORMAT=sec1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.in(t)
			id := strings.ReplaceAll(name, " ", "-") + "-rotate"
			w.run(id, env...)
			s := w.secret(id, id, "")
			_, err := s.rotate()
			_, kind, _ := strings.Cut(env[0], "=")
			_, format, _ := strings.Cut(env[1], "=")
			if err := says(err, "KEYTRAIL_PRIVATE_KEY_FORMAT", kind, format); err != nil {
				t.Error(err)
			}
			if current := s.holder(current); current != "" {
				t.Errorf("version %s is AWSCURRENT", current)
			}
		})
	}
}

func TestThePublicKeySaysWhoseItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.run(keytrail)
	for what, name := range map[string]string{
		"a path":               "team/fleet",
		"all characters":       "a/_+=.@-Z9",
		"as long as it can be": strings.Repeat("n", 512),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := w.in(t).secret(keytrail, name, "")
			version := s.mustRotate()
			want := "keytrail:" + name + ":" + version
			for _, line := range []string{s.key(current).line, lineOf(s.key(current), keyFile(t, w.Hosts()[0], user))} {
				if fields := strings.Fields(line); len(fields) != 3 || fields[2] != want {
					t.Errorf("the key's line is %q, want the comment %s", line, want)
				}
			}
		})
	}
}

// lineOf returns the line of a key file that holds a key.
func lineOf(k key, file string) string {
	for line := range strings.Lines(file) {
		if strings.Contains(line, k.blob()) {
			return line
		}
	}
	return ""
}
