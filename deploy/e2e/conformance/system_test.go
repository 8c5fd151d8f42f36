package conformance

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// system is one host that a row runs on: a lab host or the machine itself.
type system struct {
	id    string
	root  string // where the host's / stands on this machine; empty on the real system
	port  int    // where sshd listens, on 127.0.0.1
	races int    // how many rounds of a race it stands
	owner func(path string) (uid, gid int, err error)
	chown func(path string, uid, gid int) error
	// start runs a script as the agent would; wait, which may be called anywhere, returns what it said.
	start func(ctx context.Context, script string) (wait func() (stdout string, err error))
	login func(user string, key ssh.Signer) error
}

// path returns where a path of the host stands on this machine.
func (s *system) path(hostPath string) string { return s.root + hostPath }

// Accounts of every system. alice is who most rows are about.
const (
	aliceID = 1000
	bobID   = 1001
	staffID = 50 // a group that alice and bob share

	passwd = `root:x:0:0:root:/root:/bin/sh
sshd:x:102:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
alice:x:1000:1000::/home/alice:/bin/sh
bob:x:1001:1001::/home/bob:/bin/sh
`
	shadow = `root:*:20000:0:99999:7:::
sshd:*:20000:0:99999:7:::
nobody:*:20000:0:99999:7:::
alice:*:20000:0:99999:7:::
bob:*:20000:0:99999:7:::
`
	group = `root:x:0:
staff:x:50:alice,bob
nogroup:x:65534:
alice:x:1000:
bob:x:1001:
`
)

const aliceKeys = "/home/alice/.ssh/authorized_keys"

// populate gives a bare system its accounts. alice has her old key, which is about to be replaced,
// and bob has one that is nobody's business.
func (s *system) populate(t *testing.T, keys *keyring) {
	t.Helper()
	for file, text := range map[string]string{"/etc/passwd": passwd, "/etc/shadow": shadow, "/etc/group": group} {
		must(t, os.WriteFile(s.path(file), []byte(text), 0o600))
		must(t, os.Chmod(s.path(file), 0o644))
	}
	must(t, os.Chmod(s.path("/etc/shadow"), 0o600))
	for _, home := range []struct {
		path string
		uid  int
		text string
	}{
		{"/home/alice", aliceID, "{old}\n"},
		{"/home/bob", bobID, "{other}\n"},
	} {
		dir := home.path + "/.ssh"
		file := dir + "/authorized_keys"
		must(t, os.MkdirAll(s.path(dir), 0o700))
		must(t, os.WriteFile(s.path(file), []byte(keys.expand(home.text)), 0o600))
		for path, mode := range map[string]fs.FileMode{home.path: 0o755, dir: 0o700, file: 0o600} {
			must(t, os.Chmod(s.path(path), mode))
			must(t, s.chown(path, home.uid, home.uid))
		}
	}
	s.configure(t, oneFile)
}

// oneFile is sshd_config as Amazon Linux has it, as far as keys go.
const (
	oneFile     = "UsePAM yes\n" + oneKeysFile
	oneKeysFile = "AuthorizedKeysFile .ssh/authorized_keys\n"
)

// configure writes sshd_config below the lines for what sshd listens on.
func (s *system) configure(t *testing.T, text string) {
	t.Helper()
	text = fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\n%s", s.port, text)
	must(t, os.WriteFile(s.path("/etc/ssh/sshd_config"), []byte(text), 0o600))
}

// run has the host follow orders at the same time and returns what it said in the order of those.
func (s *system) run(t *testing.T, orders ...fleet.Order) (all []said) {
	t.Helper()
	// A run that takes longer than this is a hang. No verdict depends on how long one takes.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var waits []func() (string, error)
	for _, o := range orders {
		commands, err := o.Commands()
		must(t, err)
		waits = append(waits, s.start(ctx, strings.Join(commands, "\n")))
	}
	for i, wait := range waits {
		out, err := wait()
		if err != nil {
			t.Fatalf("the script ended with %v and said %q", err, out)
		}
		all = append(all, understand(s.id, orders[i], out))
	}
	return all
}

// entry is what the file system tells of one path.
type entry struct {
	Mode     fs.FileMode
	UID, GID int
	Text     string // of a file, or where a link leads
}

// watched are the places whose every byte, mode and owner a row answers for. The script's own state
// in root's home is not among them.
var watched = []string{"/home", "/root", "/etc/ssh"}

// entries returns all that stands in the watched places.
func (s *system) entries(t *testing.T) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	for _, place := range watched {
		must(t, filepath.WalkDir(s.path(place), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			path := strings.TrimPrefix(name, s.root)
			switch path {
			case "/root/.keytrail":
				return filepath.SkipDir
			case "/root":
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			e := entry{Mode: info.Mode()}
			if e.UID, e.GID, err = s.owner(path); err != nil {
				return err
			}
			switch {
			case info.Mode()&fs.ModeSymlink != 0:
				e.Mode = fs.ModeSymlink // systems differ in the mode of links, which means nothing
				e.Text, err = os.Readlink(name)
			case info.Mode().IsRegular():
				var text []byte
				text, err = os.ReadFile(name)
				e.Text = string(text)
			}
			all[path] = e
			return err
		}))
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
