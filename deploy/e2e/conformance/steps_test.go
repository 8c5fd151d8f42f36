package conformance

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// What rows are set up by. Paths are the host's; texts may name keys, as {old}.

// write makes a file with this text and, if it is new, the mode 0600 and the owner of its directory.
func write(path, text string) step {
	return func(t *testing.T, s *system, keys *keyring) {
		t.Helper()
		_, err := os.Lstat(s.path(path))
		must(t, os.WriteFile(s.path(path), []byte(keys.expand(text)), 0o600))
		if os.IsNotExist(err) {
			inherit(t, s, path)
		}
	}
}

// inherit gives a path the owner of its directory.
func inherit(t *testing.T, s *system, path string) {
	t.Helper()
	uid, gid, err := s.owner(filepath.Dir(path))
	must(t, err)
	must(t, s.chown(path, uid, gid))
}

// mkdir makes a directory with the owner of the one above it.
func mkdir(path string, mode fs.FileMode) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		must(t, os.Mkdir(s.path(path), mode))
		must(t, os.Chmod(s.path(path), mode))
		inherit(t, s, path)
	}
}

func remove(path string) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		must(t, os.RemoveAll(s.path(path)))
	}
}

func move(from, to string) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		uid, gid, err := s.owner(from)
		must(t, err)
		must(t, os.Rename(s.path(from), s.path(to)))
		must(t, s.chown(to, uid, gid))
	}
}

// symlink makes a link; target is relative, since a lab host's / is elsewhere.
func symlink(target, path string) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		must(t, os.Symlink(target, s.path(path)))
		inherit(t, s, path)
	}
}

func hardlink(path, other string) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		must(t, os.Link(s.path(path), s.path(other)))
	}
}

func fifo(path string) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		must(t, syscall.Mkfifo(s.path(path), 0o600))
		inherit(t, s, path)
	}
}

func chmod(path string, mode fs.FileMode) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		must(t, os.Chmod(s.path(path), mode))
	}
}

func chown(path string, uid, gid int) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		must(t, s.chown(path, uid, gid))
	}
}

// sshd writes sshd_config below the lines for Port and ListenAddress.
func sshd(text string) step {
	return func(t *testing.T, s *system, keys *keyring) {
		t.Helper()
		s.configure(t, keys.expand(text))
	}
}

// sshdOnPort is sshd for a text with %d in the place of the port that sshd listens on.
func sshdOnPort(format string) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		s.configure(t, fmt.Sprintf(format, s.port))
	}
}

// krl makes a key revocation list of keys, as ssh-keygen -k does.
func krl(path, names string) step {
	return func(t *testing.T, s *system, keys *keyring) {
		t.Helper()
		var list []string
		for _, k := range keys.public(names) {
			list = append(list, k.String())
		}
		file := s.path("/etc/ssh/to-revoke")
		must(t, os.WriteFile(file, []byte(strings.Join(list, "\n")+"\n"), 0o600))
		if out, err := exec.Command("ssh-keygen", "-q", "-k", "-f", s.path(path), file).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen -k: %v: %s", err, out)
		}
		must(t, os.Remove(file))
		inherit(t, s, path)
	}
}

// ordered has the host follow an order that differs from the row's own.
func ordered(change func(*fleet.Order, *keyring)) step {
	return func(t *testing.T, s *system, keys *keyring) {
		t.Helper()
		o := newOrder(keys)
		change(&o, keys)
		if got := s.run(t, o)[0]; !strings.HasPrefix(got.words[0], "ok ") {
			t.Fatalf("the host says %q to an order before the row's own", got.words)
		}
	}
}

// replace changes the text of one of the files of accounts.
func replace(path, from, to string) step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		text, err := os.ReadFile(s.path(path))
		must(t, err)
		if !strings.Contains(string(text), from) {
			t.Fatalf("%s holds no %q", path, from)
		}
		must(t, os.WriteFile(s.path(path), []byte(strings.Replace(string(text), from, to, 1)), 0o600))
	}
}
