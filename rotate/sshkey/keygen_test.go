package sshkey_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// ssh-keygen is the judge of everything here.

func TestSSHKeygenReadsWhatIsGenerated(t *testing.T) {
	t.Parallel()
	keygen := lookKeygen(t)
	for _, pair := range pairs() {
		t.Run(string(pair.Type)+" as "+string(pair.Format), func(t *testing.T) {
			t.Parallel()
			k, err := sshkey.Generate(pair.Type, pair.Format, "keytrail:prod/web:1")
			if err != nil {
				t.Fatal(err)
			}
			file := write(t, k.PEM())
			out, err := exec.CommandContext(t.Context(), keygen, "-y", "-P", "", "-f", file).CombinedOutput()
			line := strings.TrimSpace(string(out))
			switch {
			case err != nil && pair.Type == sshkey.Ed25519 && pair.Format == sshkey.PKCS8:
				t.Log("this ssh-keygen is older than 9.6 and does not read ed25519 in PKCS #8")
			case err != nil:
				t.Fatalf("ssh-keygen -y: %v", err)
			case pair.Format == sshkey.OpenSSH && line != k.Public().String():
				t.Errorf("ssh-keygen -y = %q, want %q", line, k.Public())
			case !strings.HasPrefix(line, k.Public().WithComment("").String()):
				t.Errorf("ssh-keygen -y = %q, want %q", line, k.Public())
			}

			file = write(t, []byte(k.Public().String()))
			out, err = exec.CommandContext(t.Context(), keygen, "-l", "-E", "sha256", "-f", file).CombinedOutput()
			if err != nil {
				t.Fatalf("ssh-keygen -l: %v: %s", err, out)
			}
			want := strconv.Itoa(k.Public().Bits()) + " " + string(k.Public().Fingerprint()) + " " + k.Public().Comment() + " "
			if !strings.HasPrefix(string(out), want) {
				t.Errorf("ssh-keygen -l = %q, want %q", out, want)
			}
		})
	}
}

func TestWhatSSHKeygenMakesIsRead(t *testing.T) {
	t.Parallel()
	keygen := lookKeygen(t)
	tests := []struct {
		name      string
		arguments []string
		encrypted bool
	}{
		{"ed25519", []string{"-t", "ed25519", "-N", ""}, false},
		{"ed25519 with a passphrase", []string{"-t", "ed25519", "-N", "swordfish"}, true},
		{"ecdsa in its own form", []string{"-t", "ecdsa", "-b", "521", "-N", ""}, false},
		{"ecdsa as SEC 1", []string{"-t", "ecdsa", "-b", "384", "-m", "PEM", "-N", ""}, false},
		{"ecdsa as PKCS #8", []string{"-t", "ecdsa", "-b", "256", "-m", "PKCS8", "-N", ""}, false},
		{"rsa in its own form", []string{"-t", "rsa", "-b", "2048", "-N", ""}, false},
		{"rsa as PKCS #1", []string{"-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""}, false},
		{"rsa as PKCS #1 with a passphrase", []string{"-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "swordfish"}, true},
		{"rsa as PKCS #8", []string{"-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""}, false},
		{"rsa as PKCS #8 with a passphrase", []string{"-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "swordfish"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "key")
			arguments := append([]string{"-q", "-C", "made elsewhere", "-f", file}, tt.arguments...)
			if out, err := exec.CommandContext(t.Context(), keygen, arguments...).CombinedOutput(); err != nil {
				t.Fatalf("ssh-keygen: %v: %s", err, out)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			k, err := sshkey.ParsePrivate(text)
			if tt.encrypted {
				if err == nil || !strings.Contains(err.Error(), "passphrase") {
					t.Errorf("error = %v, want one about the passphrase", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			line, err := os.ReadFile(file + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			pub, err := sshkey.ParsePublic(string(bytes.TrimSpace(line)))
			if err != nil {
				t.Fatal(err)
			}
			if !pub.Equal(k.Public()) || pub.Comment() != "made_elsewhere" {
				t.Errorf("public half is %q, want %q", k.Public(), pub)
			}
		})
	}
}

// lookKeygen finds ssh-keygen. Only a machine that does not claim to be CI may lack it.
func lookKeygen(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI needs ssh-keygen: ", err)
		}
		t.Skip("no ssh-keygen on this machine")
	}
	return path
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
