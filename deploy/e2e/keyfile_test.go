package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// TestEveryLineThatIsNotOursStaysAsItWas rotates twice over hosts whose key files are as odd as real
// ones, for two accounts.
func TestEveryLineThatIsNotOursStaysAsItWas(t *testing.T) {
	t.Parallel()
	old, friend := newKey(t, "made by hand"), newKey(t, "friend@home")
	garbage := "\xff\xfe not text \x1b[2J\n" +
		"ssh-rsa AAAAB3NzaC1yc2 cut off\r\n" +
		"\t  \n" +
		"# " + friend.line + "\n" +
		`from="10.0.0.0/8,127.0.0.1",command="echo \"a, b\"" ` + friend.line + "\r\n" +
		"<<<<<<< HEAD\n" +
		"\n"
	const extra = ".ssh/authorized_keys2"
	for name, row := range map[string]struct {
		hybrid    bool
		sshd      string
		prepare   func(t *testing.T, h *host.Host)
		file      string // below the home, that the key must be in; "" is .ssh/authorized_keys
		before    string // of that file, what must still stand in front of our line
		untouched map[string]string
	}{
		"with nothing in it": {},
		"with a hybrid node": {hybrid: true},
		"with a friend's key": {
			prepare: func(t *testing.T, h *host.Host) { write(t, h, user, ".ssh/authorized_keys", friend.line+"\n") },
			before:  friend.line + "\n",
		},
		"with a last line that has no end": {
			prepare: func(t *testing.T, h *host.Host) { write(t, h, user, ".ssh/authorized_keys", friend.line) },
			before:  friend.line + "\n",
		},
		"with garbage": {
			prepare: func(t *testing.T, h *host.Host) { write(t, h, user, ".ssh/authorized_keys", garbage) },
			before:  garbage,
		},
		"with our first key between garbage": {
			prepare: func(t *testing.T, h *host.Host) {
				write(t, h, user, ".ssh/authorized_keys", garbage+"no-pty "+old.line+"\r\n"+garbage)
			},
			before: garbage + garbage,
		},
		"with two key files": {
			sshd: "AuthorizedKeysFile .ssh/authorized_keys " + extra + "\n",
			prepare: func(t *testing.T, h *host.Host) {
				write(t, h, user, ".ssh/authorized_keys", friend.line+"\n")
				write(t, h, user, extra, friend.line+"\n"+old.line+"\n")
			},
			before:    friend.line + "\n",
			untouched: map[string]string{extra: friend.line + "\n"},
		},
		"with a file that is a link": {
			prepare: func(t *testing.T, h *host.Host) {
				write(t, h, user, "keys/mine", friend.line+"\n"+old.line+"\n")
				link(t, h, "../keys/mine")
			},
			file:   "keys/mine",
			before: friend.line + "\n",
		},
		"with another file in sshd_config": {
			sshd:      "AuthorizedKeysFile %h/.keys/%u\n",
			prepare:   func(t *testing.T, h *host.Host) { write(t, h, user, ".ssh/authorized_keys", old.line+"\n") },
			file:      ".keys/" + user,
			untouched: map[string]string{".ssh/authorized_keys": old.line + "\n"}, // sshd does not read it
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := node(1)
			if row.hybrid {
				spec.ID = strings.Replace(spec.ID, "i-", "mi-", 1)
			}
			spec.Users = append(spec.Users, host.User{Name: "backup"})
			spec.SSHDConfig = row.sshd
			w := newWorld(t, []host.Spec{spec})
			w.run(keytrail, "USERNAME=deploy backup")
			h := w.Hosts()[0]
			if row.prepare != nil {
				row.prepare(t, h)
			}
			s := w.secret(keytrail, "fleet", old.value())
			s.mustRotate()
			first := s.key(current)
			s.mustRotate()
			now := s.key(current)

			file := row.file
			if file == "" {
				file = ".ssh/authorized_keys"
			}
			want := map[string]string{file: row.before + now.line + "\n"}
			for name, content := range row.untouched {
				want[name] = content
			}
			got := map[string]string{}
			for name := range want {
				b, err := os.ReadFile(h.Path("/home/" + user + "/" + name))
				if err != nil {
					t.Error(err)
				}
				got[name] = string(b)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			for _, u := range []string{user, "backup"} {
				if err := logsIn(now, u, h); err != nil {
					t.Error(err)
				}
				for _, k := range []key{old, first} {
					if err := refused(k, u, h); err != nil {
						t.Error(err)
					}
				}
			}
			if row.file == "keys/mine" {
				if target, err := os.Readlink(h.AuthorizedKeys(user)); err != nil || target != "../keys/mine" {
					t.Errorf("the link leads to %q, %v", target, err)
				}
			}
			// Nothing of the work stays behind.
			left, err := filepath.Glob(h.Path("/home/"+user) + "/.ssh/.*")
			if err != nil || len(left) > 0 {
				t.Errorf("left in .ssh: %q, %v", left, err)
			}
		})
	}
}

// link makes the account's authorized_keys a symbolic link.
func link(t *testing.T, h *host.Host, target string) {
	t.Helper()
	path := h.AuthorizedKeys(user)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
