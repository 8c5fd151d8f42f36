package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// program is the built multi-call program.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tools")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "tools")
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// host is a folder with two accounts and no more.
type host struct {
	t    testing.TB
	root string
}

func newHost(t testing.TB) host {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := host{t, root}
	h.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\nbroken line\nbob:x:1001:100::/home/bob:\n")
	h.write("etc/group", "root:x:0:\nwheel:x:10:alice,bob\nusers:x:100:\nalice:x:1000:\n")
	h.write("etc/shadow", "root:*:20000::::::\nalice:!:20000::::::\n")
	h.write("etc/ssh/sshd_config", "Port 2222\nAuthorizedKeysFile .ssh/authorized_keys /etc/keys/%u\nMatch Group wheel\nMaxAuthTries 3\n")
	h.write("etc/ssh/ssh_host_ed25519_key", "")
	h.write("home/alice/.ssh/authorized_keys", "")
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name := range commands {
		if err := os.Symlink(program, filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/bin/sh", filepath.Join(root, "bin", "sh")); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// run runs a command of the host; the folder is shown as HOST.
func (h host) run(stdin string, args ...string) (stdout, stderr string, status int) {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(h.root, "bin", args[0]), args[1:]...)
	cmd.Env = []string{"PATH=" + filepath.Join(h.root, "bin")}
	cmd.Dir = h.root
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	show := func(b bytes.Buffer) string { return strings.ReplaceAll(b.String(), h.root, "HOST") }
	return show(out), show(errs), cmd.ProcessState.ExitCode()
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	const root, alice, bob = "root:x:0:0:root:HOST/root:HOST/bin/bash\n", "alice:x:1000:1000::HOST/home/alice:HOST/bin/bash\n", "bob:x:1001:100::HOST/home/bob:\n"
	for _, tt := range []struct {
		name    string
		command string
		stdout  string
		status  int
	}{
		{"all accounts", "getent passwd", root + alice + bob, 0},
		{"accounts by name and number", "getent passwd 0 bob", root + bob, 0},
		{"an account that is missing among others", "getent passwd alice carol bob", alice + bob, 2},
		{"a group by name", "getent group wheel", "wheel:x:10:alice,bob\n", 0},
		{"a group by number", "getent group 100", "users:x:100:\n", 0},
		{"a group that is missing", "getent group staff", "", 2},
		{"all groups", "getent group", "root:x:0:\nwheel:x:10:alice,bob\nusers:x:100:\nalice:x:1000:\n", 0},
		{"the shadow of those who have one", "getent shadow alice bob", "alice:!:20000::::::\n", 2},
		{"an unknown database", "getent hosts", "", 1},
		{"names of groups, the primary one first", "id -Gn alice", "alice wheel\n", 0},
		{"numbers of groups", "id -G bob", "100 10\n", 0},
		{"the number of a user", "id -u alice", "1000\n", 0},
		{"the primary group of a user", "id -gn bob", "users\n", 0},
		{"everything about a user", "id alice", "uid=1000(alice) gid=1000(alice) groups=1000(alice),10(wheel)\n", 0},
		{"oneself", "id -u", "0\n", 0},
		{"a user who is missing", "id -u carol", "", 1},
		{"a command as a user", "runuser -u alice -- id -un alice", "alice\n", 0},
		{"a command as a user who is missing", "runuser -u carol -- id", "", 1},
		{"a command that is missing", "runuser -u alice -- nonesuch", "", 127},
		{"a command whose status is not 0", "runuser -u alice sh -c false", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := h.run("", strings.Fields(tt.command)...)
			if diff := cmp.Diff(tt.stdout, stdout); diff != "" || status != tt.status {
				t.Errorf("%s: status %d, want %d; stdout (-want +got):\n%s\nstderr: %s", tt.command, status, tt.status, diff, stderr)
			}
		})
	}
}

func TestSshdPrintsSettings(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.write("etc/ssh/other", "HostKey /none\n")
	h.write("etc/ssh/wrong", "Port 1\nNonsense yes\n")
	const conn = "-C host=h,addr=192.0.2.1,laddr=192.0.2.2,lport=22 -C user="
	for _, tt := range []struct {
		name, command string
		want          string // a line of the output, or of the complaint
		status        int
	}{
		{"paths of the host become paths of this machine", "sshd -T", "authorizedkeysfile .ssh/authorized_keys HOST/etc/keys/%u", 0},
		{"a block for a user's group holds", "sshd -T " + conn + "alice", "maxauthtries 3", 0},
		{"a block for another group does not", "sshd -T " + conn + "root", "maxauthtries 6", 0},
		{"a user who is missing is in no group", "sshd -G " + conn + "carol", "maxauthtries 6", 0},
		{"a connection that cannot be read", "sshd -T -C usr=x", "Invalid test mode specification usr=x", 1},
		{"an option of a daemon", "sshd -D", "unknown option -- D", 1},
		{"another file, and no host key in it", "sshd -T -f /etc/ssh/other", "sshd: no hostkeys available -- exiting.", 1},
		{"another file without checks", "sshd -G -f /etc/ssh/other", "hostkey HOST/none", 0},
		{"a file with a mistake", "sshd -T -f /etc/ssh/wrong", "etc/ssh/wrong line 2: Bad configuration option: Nonsense", 255},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := h.run("", strings.Fields(tt.command)...)
			if !strings.Contains("\n"+stdout+stderr, "\n"+tt.want+"\n") || status != tt.status {
				t.Errorf("%s: status %d, want %d and the line %q in:\n%s%s", tt.command, status, tt.status, tt.want, stdout, stderr)
			}
		})
	}
}

func TestFlockIsARealLock(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, script, want string }{
		{"a free lock on a descriptor is taken", "exec 9<home; flock -n 9; echo $?", "0\n"},
		{"a lock that another process holds is refused", "exec 9<home; flock 9; flock -n home sh -c 'echo taken'; echo $?", "1\n"},
		{"a shared lock leaves room for another", "exec 9<home; flock -s 9; flock -n -s home sh -c 'echo taken'", "taken\n"},
		{"a shared lock leaves no room for an exclusive one", "exec 9<home; flock -s 9; flock -n home sh -c 'echo taken'; echo $?", "1\n"},
		{"an unlocked descriptor is free", "exec 9<home; flock 9; flock -u 9; flock -n home sh -c 'echo taken'", "taken\n"},
		{"a lock lives as long as its command", "flock home sh -c 'flock -n home true; echo $?'; flock -n home -c 'echo free'", "1\nfree\n"},
		{"a lock file that is missing is made", "flock new -c 'echo made'; [ -f new ] && echo yes", "made\nyes\n"},
		{"a status for a conflict can be chosen", "exec 9<home; flock 9; flock -n -E 7 home true; echo $?", "7\n"},
		{"no time to wait is as good as no waiting", "exec 9<home; flock 9; flock -w 0 home true; echo $?", "1\n"},
		{"a descriptor that is not open", "flock -n 9; echo $?", "65\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, _ := newHost(t).run("", "sh", "-c", tt.script)
			if stdout != tt.want {
				t.Errorf("%s\nprinted %q, want %q; stderr: %s", tt.script, stdout, tt.want, stderr)
			}
		})
	}
}

func TestListingShowsVirtualOwners(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if err := os.Chmod(filepath.Join(h.root, "home/alice"), 0o711|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("alice", filepath.Join(h.root, "home/link")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		path string
		want string // mode, owner, group, name
	}{
		{"a home is its user's", "home/alice", "drwx--x--t 1000 1000 home/alice"},
		{"what is in a home is its user's", "home/alice/.ssh/authorized_keys", "-rw-r--r-- 1000 1000 home/alice/.ssh/authorized_keys"},
		{"the directory of all homes is root's", "home", "drwxr-xr-x 0 0 home"},
		{"a configuration is root's", "etc/ssh/sshd_config", "-rw-r--r-- 0 0 etc/ssh/sshd_config"},
		{"a link shows where it leads", "home/link", "lrwxrwxrwx 0 0 home/link -> alice"},
		{"a file behind a link belongs to whom it would without", "home/link/.ssh", "drwxr-xr-x 1000 1000 home/link/.ssh"},
		{"what is above the host is root's and nobody else's to write", "/tmp", "drwxr-xr-x 0 0 /tmp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := h.run("", "ls", "-ldn", tt.path)
			f := strings.Fields(stdout)
			if status != 0 || len(f) < 9 {
				t.Fatalf("status %d, %q %q", status, stdout, stderr)
			}
			got := strings.Join(append([]string{f[0], f[2], f[3]}, f[8:]...), " ")
			if tt.path == "/tmp" {
				got = strings.Join([]string{f[0], f[2], f[3], f[8]}, " ")
			}
			if strings.HasPrefix(tt.want, "l") {
				got = "lrwxrwxrwx" + got[10:] // links have another mode on macOS
			}
			if got != tt.want {
				t.Errorf("ls -ldn %s: %q, want %q", tt.path, got, tt.want)
			}
		})
	}
	t.Run("a path that is missing", func(t *testing.T) {
		t.Parallel()
		stdout, stderr, status := h.run("", "ls", "-ldn", "nonesuch", "etc")
		if status != 2 || !strings.HasSuffix(stdout, " etc\n") || stderr != "ls: cannot access 'nonesuch': No such file or directory\n" {
			t.Errorf("status %d, %q, %q", status, stdout, stderr)
		}
	})
}

func TestChown(t *testing.T) {
	t.Parallel()
	const keys = "home/alice/.ssh/authorized_keys"
	for _, tt := range []struct {
		name     string
		commands string
		want     string // owner and group
		owners   string // the file named owners
	}{
		{"to another user and group", "chown bob:wheel " + keys, "1001 10", "1001:10 /" + keys + "\n"},
		{"to a number", "chown 4711 " + keys, "4711 1000", "4711:1000 /" + keys + "\n"},
		{"to a group alone", "chown :users " + keys, "1000 100", "1000:100 /" + keys + "\n"},
		{"to a user with the group of the user", "chown bob: " + keys, "1001 100", "1001:100 /" + keys + "\n"},
		{"and back, which leaves nothing", "chown root:root " + keys + "; chown alice:alice " + keys, "1000 1000", ""},
		{"a whole tree", "chown -R root:root home/alice", "0 0", "0:0 /home/alice\n0:0 /home/alice/.ssh\n0:0 /" + keys + "\n"},
		{"as another file", "chown --reference=etc/passwd " + keys, "0 0", "0:0 /" + keys + "\n"},
		{"to a user who is missing", "chown carol " + keys, "1000 1000", ""},
		{"a file outside the host", "chown root /tmp", "1000 1000", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.run("", "sh", "-c", tt.commands)
			stdout, _, _ := h.run("", "ls", "-ldn", keys)
			f := strings.Fields(stdout)
			if got := f[2] + " " + f[3]; got != tt.want {
				t.Errorf("owner %s, want %s", got, tt.want)
			}
			owners, err := os.ReadFile(filepath.Join(h.root, "owners"))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.owners, string(owners)); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutsideOfAHost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	cmd := exec.Command(filepath.Join(h.root, "bin/getent"), "passwd")
	cmd.Env = []string{"PATH=/usr/sbin"}
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 127 {
		t.Errorf("getent without a host: %v", err)
	}
}

// BenchmarkStart is the time from nothing to the answer of a getent.
func BenchmarkStart(b *testing.B) {
	h := newHost(b)
	for b.Loop() {
		h.run("", "getent", "passwd", "alice")
	}
}
