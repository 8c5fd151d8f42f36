package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// sbin is where sshd and the commands of a host are, as the agent's PATH has it.
const sbin = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// realShells returns the shells of the machine that rows run under, each as what its sh is a link to,
// or why rows cannot run on the machine.
func realShells(t *testing.T) (shells map[string]string, why string) {
	t.Helper()
	if os.Getuid() != 0 {
		return nil, "needs root"
	}
	shells = map[string]string{}
	for _, name := range []string{"dash", "bash", "busybox", "sshd"} {
		path := find(name)
		if path == "" {
			return nil, "needs " + name
		}
		if name != "sshd" {
			shells[name] = path
		}
	}
	return shells, ""
}

func find(name string) string {
	for _, dir := range filepath.SplitList(sbin) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// private are the folders that are each row's own. sshd keeps the logins that failed in /var/log.
var private = []string{"/home", "/root", "/run", "/etc/ssh", "/var/log"}

var accountFiles = []string{"/etc/passwd", "/etc/shadow", "/etc/group"}

// newRealSystem turns the machine into the host of one row, for the calling goroutine and the
// processes that it starts: its thread gets a mount namespace, and everything that rows change gets a
// file system in memory. The thread ends with the goroutine, and with it the namespace.
func newRealSystem(t *testing.T, shell string, keys *keyring) *system {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the runtime then ends the thread with the goroutine
	must(t, syscall.Unshare(syscall.CLONE_NEWNS))
	must(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	// What the row does not expect to be changed cannot be, on no file system of the machine.
	must(t, unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}))
	for _, dir := range private {
		must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"))
	}
	for _, dir := range []string{"/run/sshd", "/run/etc", "/run/bin"} {
		must(t, os.Mkdir(dir, 0o755))
	}
	for _, file := range accountFiles {
		must(t, os.WriteFile("/run"+file, nil, 0o600))
		must(t, syscall.Mount("/run"+file, file, "", syscall.MS_BIND, ""))
	}
	if _, err := os.Stat("/etc/update-motd.d"); err == nil {
		// What Debian prints to people after a login: programs that take longer than all the rest of it.
		must(t, syscall.Mount("tmpfs", "/etc/update-motd.d", "tmpfs", syscall.MS_RDONLY, ""))
	}
	must(t, os.Symlink(shell, "/run/bin/sh"))
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	key := keys.keys["host"]
	const file = "/etc/ssh/ssh_host_ed25519_key"
	must(t, os.WriteFile(file, key.PEM(), 0o600))
	must(t, os.WriteFile(file+".pub", []byte(key.Public().String()+"\n"), 0o644))
	r := &daemon{path: find("sshd"), listener: listener, key: key.Signer().PublicKey()}
	return &system{
		id: hostID, port: listener.Addr().(*net.TCPAddr).Port, races: realRounds, login: r.login, start: start,
		owner: func(path string) (uid, gid int, err error) {
			info, err := os.Lstat(path)
			if err != nil {
				return 0, 0, err
			}
			stat := info.Sys().(*syscall.Stat_t)
			return int(stat.Uid), int(stat.Gid), nil
		},
		chown: os.Lchown,
	}
}

// start runs a script as the agent does.
func start(ctx context.Context, script string) func() (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "/run/bin/sh", "-c", script)
	cmd.Env = []string{"PATH=/run/bin:" + sbin, "AWS_SSM_INSTANCE_ID=" + hostID}
	cmd.Dir = "/root"
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Start()
	return func() (string, error) {
		if err == nil {
			err = cmd.Wait()
			_ = kill() // what it left behind; there may be nothing
		}
		if err != nil {
			err = fmt.Errorf("%w: %s", err, stderr.String())
		}
		return stdout.String(), err
	}
}

// daemon is the real sshd, started for each connection as inetd would.
type daemon struct {
	path     string
	listener *net.TCPListener
	key      ssh.PublicKey
}

// login returns nil if sshd let the key in.
func (d *daemon) login(user string, key ssh.Signer) error {
	client, err := net.Dial("tcp4", d.listener.Addr().String())
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	accepted, err := d.listener.AcceptTCP()
	if err != nil {
		return err
	}
	server, err := accepted.File()
	_ = accepted.Close()
	if err != nil {
		return err
	}
	var log bytes.Buffer
	cmd := exec.Command(d.path, "-i", "-e")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = server, server, &log
	cmd.Env = []string{"PATH=" + sbin}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Start()
	_ = server.Close()
	if err != nil {
		return err
	}
	// What bounds a daemon that hangs; no verdict depends on it.
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	conn, channels, requests, err := ssh.NewClientConn(client, "", &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(d.key),
	})
	if err == nil {
		go ssh.DiscardRequests(requests)
		go func() {
			for c := range channels {
				_ = c.Reject(ssh.Prohibited, "")
			}
		}()
		_ = conn.Close()
	}
	_ = client.Close()
	_ = cmd.Wait() // its status says only that the connection ended
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("%w; sshd says: %s", err, log.String())
	}
	return nil
}

// settle has sshd's settings stay what they are now, and alice's rights be had without PAM: hundreds of
// runs are about her files, and those two cost more than all the rest.
func settle() step {
	return func(t *testing.T, s *system, _ *keyring) {
		t.Helper()
		if s.root != "" {
			return // a host of the lab is quick to tell
		}
		client := fmt.Sprintf("user=alice,host=192.0.2.1,addr=192.0.2.1,laddr=127.0.0.1,lport=%d", s.port)
		settings, err := exec.Command(find("sshd"), "-T", "-C", client).Output()
		must(t, err)
		must(t, os.WriteFile("/run/settings", settings, 0o600))
		for name, line := range map[string]string{
			"sshd":    "exec cat /run/settings",
			"runuser": fmt.Sprintf(`shift 3 && exec setpriv --reuid %d --regid %[1]d --clear-groups "$@"`, aliceID),
		} {
			must(t, os.WriteFile("/run/bin/"+name, []byte("#!/bin/sh\n"+line+"\n"), 0o700))
		}
	}
}

// TestARowCannotChangeTheMachine: every file system that rows do not bring themselves is read-only to them.
func TestARowCannotChangeTheMachine(t *testing.T) {
	t.Parallel()
	shells, why := realShells(t)
	if why != "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("rows cannot run on a real system: this %s", why)
		}
		t.Skip(why)
	}
	newRealSystem(t, shells["dash"], newKeyring(t))
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	must(t, err)
	found := 0
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // proc_pid_mountinfo(5): where it is mounted, and how
		if slices.Contains(private, fields[4]) || slices.Contains(accountFiles, fields[4]) {
			found++
		} else if !slices.Contains(strings.Split(fields[5], ","), "ro") {
			t.Errorf("%s can be written: %s", fields[4], fields[5])
		}
	}
	if found < len(private)+len(accountFiles) {
		t.Errorf("%d of the row's own mounts are there, want %d", found, len(private)+len(accountFiles))
	}
	for _, dir := range []string{"/", "/tmp", "/var/tmp", "/dev/shm"} {
		if err := os.WriteFile(filepath.Join(dir, "keytrail-probe"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
			t.Errorf("a file in %s: %v, want %v", dir, err, syscall.EROFS)
		}
	}
}

// smallDisk moves a directory to a file system of its own, of 64 KiB.
func smallDisk(path string) step {
	return func(t *testing.T, s *system, keys *keyring) {
		t.Helper()
		must(t, syscall.Mount("tmpfs", path, "tmpfs", 0, "size=64k,mode=0755"))
		s.populate(t, keys)
	}
}

// fill writes a file until its disk is full.
func fill(path string) step {
	return func(t *testing.T, _ *system, _ *keyring) {
		t.Helper()
		f, err := os.Create(path)
		must(t, err)
		defer func() { _ = f.Close() }()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

func readOnly(path string) step {
	return func(t *testing.T, _ *system, _ *keyring) {
		t.Helper()
		must(t, syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	}
}

// immutable keeps even root from changing a path. Some file systems cannot.
func immutable(path string) step {
	return func(t *testing.T, _ *system, _ *keyring) {
		t.Helper()
		if out, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("CI needs a chattr +i that works: %v %s", err, out)
			}
			t.Skipf("NOT TESTED: chattr +i does not work on this machine: %v %s", err, out)
		}
	}
}
