package conformance

import (
	"os"
	"path/filepath"
	"testing"
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
