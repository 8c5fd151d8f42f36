package host_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

func TestNewHostLooksLikeASystem(t *testing.T) {
	t.Parallel()
	_, line := newKey(t)
	h := newHost(t, func(s *host.Spec) { s.Users[0].Keys = []string{line} })
	port := h.Address()[strings.LastIndex(h.Address(), ":")+1:]
	for path, want := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
			"alice:x:1000:1000::/home/alice:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/bash\n",
		"/etc/group":                        "root:x:0:\nwheel:x:10:\nnobody:x:65534:\nalice:x:1000:\nbob:x:1001:\nstaff:x:100:bob\n",
		"/home/alice/.ssh/authorized_keys":  line + "\n",
		"/etc/ssh/ssh_host_ed25519_key.pub": hostKeyLine(t, h) + " root@web-1\n",
		"/etc/ssh/sshd_config":              "Port " + port + "\nListenAddress 127.0.0.1\nInclude /etc/ssh/sshd_config.d/*.conf\nAuthorizedKeysFile .ssh/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\nSubsystem sftp /usr/libexec/openssh/sftp-server\n",
	} {
		if diff := cmp.Diff(want, readFile(t, h.Path(path))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for path, want := range map[string]fs.FileMode{
		"/home/alice":                      fs.ModeDir | 0o700,
		"/home/alice/.ssh":                 fs.ModeDir | 0o700,
		"/home/alice/.ssh/authorized_keys": 0o600,
		"/root":                            fs.ModeDir | 0o700,
		"/etc/shadow":                      0o600,
		"/etc/ssh/ssh_host_ed25519_key":    0o600,
		"/bin/getent":                      fs.ModeSymlink | 0o777,
	} {
		info, err := os.Lstat(h.Path(path))
		must(t, err)
		mode := info.Mode()
		if mode&fs.ModeSymlink != 0 {
			mode |= 0o777
		}
		if mode != want {
			t.Errorf("%s has mode %v, want %v", path, mode, want)
		}
	}
	want := host.Info{
		ID: "i-0123456789abcdef0", Name: "web-1", ComputerName: "web-1", ResourceType: host.EC2Instance,
		PlatformType: "Linux", PlatformName: "Amazon Linux", PlatformVersion: "2023", AgentVersion: "3.3.2746.0",
		IPAddress: "10.0.0.7", Tags: map[string]string{"role": "web"}, Switches: host.Switches{State: host.Online},
	}
	if diff := cmp.Diff(want, h.Info()); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
}

func TestHybridNodeIsAManagedInstance(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(s *host.Spec) { s.ID = "mi-0123456789abcdef0" })
	if got := h.Info().ResourceType; got != host.ManagedInstance {
		t.Errorf("resource type %q", got)
	}
}

func TestFailedNewLeavesNothing(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "h")
	for _, edit := range []func(*host.Spec){
		func(s *host.Spec) { s.Users = []host.User{{Name: "Robert'); --"}} },
		func(s *host.Spec) { s.Users = []host.User{{Name: "a"}, {Name: "a"}} },
		func(s *host.Spec) { s.HostKeys = []string{"dsa"} },
		func(s *host.Spec) { s.Switches.State = "asleep" },
	} {
		s := host.Spec{ID: "i-0123456789abcdef0"}
		edit(&s)
		if _, err := host.New(folder, s, machine()); err == nil {
			t.Error("New succeeded")
		}
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder is still there: %v", err)
		}
	}
}

func TestOpenFindsTheHostAsItWas(t *testing.T) {
	t.Parallel()
	key, line := newKey(t)
	folder := filepath.Join(t.TempDir(), "h")
	h, err := host.New(folder, host.Spec{ID: "i-0123456789abcdef0", Users: []host.User{{Name: "alice", Keys: []string{line}}}}, machine())
	must(t, err)
	info, address := h.Info(), h.Address()
	must(t, h.Close())
	must(t, h.Close())

	h, err = host.Open(folder, machine())
	must(t, err)
	if diff := cmp.Diff(info, h.Info()); diff != "" {
		t.Errorf("info (-before +after):\n%s", diff)
	}
	if h.Address() != address {
		t.Errorf("address %s, was %s", h.Address(), address)
	}
	if err := h.Login("alice", key); err != nil {
		t.Error(err)
	}
	must(t, h.Close())

	t.Run("and takes another port where its own is taken", func(t *testing.T) {
		taken, err := net.Listen("tcp4", address)
		must(t, err)
		defer taken.Close()
		h, err := host.Open(folder, machine())
		must(t, err)
		defer h.Close()
		if h.Address() == address {
			t.Fatalf("address is still %s", address)
		}
		if err := h.Login("alice", key); err != nil {
			t.Error(err)
		}
		if got := do(t, h, "sshd -T").Stdout; !strings.Contains(got, "listenaddress "+h.Address()+"\n") {
			t.Errorf("sshd -T does not name %s:\n%s", h.Address(), got)
		}
	})
}

func TestHostFileIsReadAtEveryUse(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	edit := func(old, new string) {
		path := filepath.Join(h.Folder(), "host.json")
		must(t, os.WriteFile(path, []byte(strings.Replace(readFile(t, path), old, new, 1)), 0o600))
	}
	edit(`"state": "online"`, `"state": "stopped"`)
	if got := h.Info().State; got != host.Stopped {
		t.Errorf("state %q after an edit, want stopped", got)
	}
	edit(`"state": "stopped"`, `"state": "asleep"`)
	if got := h.Info().State; got != host.Stopped {
		t.Errorf("state %q after a mistake, want it as it was", got)
	}
	if err := h.SetState(host.Online); err == nil {
		t.Error("a file with a mistake was overwritten")
	}
	edit(`"state": "asleep"`, `"state": "offline"`)
	must(t, h.SetTag("role", "db"))
	must(t, h.SetTag("env", "prod"))
	must(t, h.RemoveTag("role"))
	must(t, h.Change(func(s *host.Switches) { s.DiskFull = true }))
	got := h.Info()
	if diff := cmp.Diff(map[string]string{"env": "prod"}, got.Tags); diff != "" || got.State != host.Offline || !got.DiskFull {
		t.Errorf("tags (-want +got):\n%s\nswitches %+v", diff, got.Switches)
	}
	if err := h.SetState("asleep"); err == nil {
		t.Error("an unknown state was taken")
	}
}

func TestUsersComeAndGo(t *testing.T) {
	t.Parallel()
	key, line := newKey(t)
	h := newHost(t, nil)
	must(t, h.AddUser(host.User{Name: "carol", Shell: "/usr/bin/zsh", Keys: []string{line}, Groups: []string{"wheel"}}))
	if err := h.Login("carol", key); err != nil {
		t.Error(err)
	}
	if got, want := do(t, h, "id -Gn carol; getent passwd carol").Stdout, "carol wheel\ncarol:x:1002:1002::"+h.Path("/home/carol")+":"+h.Path("/usr/bin/zsh")+"\n"; got != want {
		t.Errorf("carol is %q, want %q", got, want)
	}
	must(t, h.RemoveUser("carol"))
	if err := h.Login("carol", key); err == nil {
		t.Error("a user who is gone logged in")
	}
	if out := do(t, h, "getent passwd carol"); out.ExitCode != 2 {
		t.Errorf("getent of a user who is gone: %+v", out)
	}
	if _, err := os.Stat(h.Path("/home/carol/.ssh/authorized_keys")); err != nil {
		t.Errorf("the home of a user who is gone: %v", err)
	}
	if err := h.RemoveUser("carol"); err == nil {
		t.Error("a user who is gone was removed again")
	}
	if err := h.WriteKeys("carol", line); err == nil {
		t.Error("keys of a user who is gone were written")
	}
}

func hostKeyLine(t *testing.T, h *host.Host) string {
	t.Helper()
	keys, err := h.HostKeys()
	must(t, err)
	return lineOf(keys[0])
}
