package sshdconf_test

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

const (
	keyOne = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIVaBVsbILqTn3B5Ky3RNuz7BiNRpfkDH6ys29MB0Oyd one"
	keyTwo = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZaBVsbILqTn3B5Ky3RNuz7BiNRpfkDH6ys29MB0Oyd two"
)

func blob(t *testing.T, line string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.Fields(line)[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRevokedTextList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file string
		want       bool
		fails      bool
	}{
		{"an empty list", "", false, false},
		{"a list with the key", "# gone\n\n" + keyTwo + "\n" + keyOne + "\n", true, false},
		{"a list with another key", keyTwo, false, false},
		{"a line that is no key", "garbage", false, true},
		{"a line with a broken key", "ssh-ed25519 !!!", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := sshdconf.Revoked([]byte(tt.file), blob(t, keyOne))
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("Revoked = %v, %v", got, err)
			}
		})
	}
}

func TestRevocationListOfTheRealOne(t *testing.T) {
	t.Parallel()
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs ssh-keygen")
	}
	for _, tt := range []struct{ name, spec string }{
		{"a key", keyOne},
		{"a key by SHA-1", "sha1: " + keyOne},
		{"a key by SHA-256", "sha256: " + keyOne},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			spec, list := filepath.Join(dir, "spec"), filepath.Join(dir, "krl")
			if err := os.WriteFile(spec, []byte(tt.spec+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(keygen, "-q", "-k", "-f", list, spec).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			file, err := os.ReadFile(list)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := sshdconf.Revoked(file, blob(t, keyOne)); !got || err != nil {
				t.Errorf("Revoked(listed) = %v, %v", got, err)
			}
			if got, err := sshdconf.Revoked(file, blob(t, keyTwo)); got || err != nil {
				t.Errorf("Revoked(not listed) = %v, %v", got, err)
			}
			if _, err := sshdconf.Revoked(file[:len(file)-3], blob(t, keyTwo)); err == nil {
				t.Error("Revoked(cut list) succeeded")
			}
		})
	}
}
