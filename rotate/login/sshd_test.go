package login_test

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keytrail/keytrail/rotate/login"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// OpenSSH's own server is the judge of what is a refusal and what is not.
func TestOpenSSHAgrees(t *testing.T) {
	t.Parallel()
	sshd := lookSSHD(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	ed, rsa := newKey(t, sshkey.Ed25519), newKey(t, sshkey.RSA2048)
	p384 := newKey(t, sshkey.ECDSAP384)
	hostEd, hostRSA := newKey(t, sshkey.Ed25519), newKey(t, sshkey.RSA2048)
	all := []*sshkey.PrivateKey{hostEd, hostRSA}
	trusted := []*sshkey.PrivateKey{ed, rsa, p384}
	tests := []struct {
		name    string
		key     *sshkey.PrivateKey
		trusted []*sshkey.PrivateKey
		pinned  []*sshkey.PrivateKey
		user    string
		setting string
		want    error
		words   string
	}{
		{"ed25519", ed, trusted, all, me.Username, "", nil, ""},
		{"ecdsa", p384, trusted, all, me.Username, "", nil, ""},
		{"rsa", rsa, trusted, all, me.Username, "", nil, ""},
		{"rsa with the larger hash only", rsa, trusted, all, me.Username, "PubkeyAcceptedAlgorithms rsa-sha2-512", nil, ""},
		{"a forced command", ed, trusted, all, me.Username, "ForceCommand false", nil, ""},
		{"only the rsa host key is pinned", ed, trusted, []*sshkey.PrivateKey{hostRSA}, me.Username, "", nil, ""},
		{"another host", ed, trusted, []*sshkey.PrivateKey{ed}, me.Username, "", login.ErrHostKey, string(hostRSA.Public().Fingerprint())},
		{"a key that is not trusted", ed, []*sshkey.PrivateKey{rsa}, all, me.Username, "", login.ErrRefused, "not accepted"},
		{"a user that does not exist", ed, trusted, all, "nobody-of-that-name", "", login.ErrRefused, "not accepted"},
		{"one failure allowed", ed, nil, all, me.Username, "MaxAuthTries 1", login.ErrRefused, "oo many authentication failures"},
		{"a type that is not accepted", rsa, trusted, all, me.Username, "PubkeyAcceptedAlgorithms ssh-ed25519", login.ErrRefused, "not accepted"},
		{"no public keys", ed, trusted, all, me.Username, "PubkeyAuthentication no\nPasswordAuthentication yes", login.ErrRefused, "takes no public keys"},
		{"two methods", ed, trusted, all, me.Username, "PasswordAuthentication yes\nAuthenticationMethods publickey,password", login.ErrRefused, "not alone: wants password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := openSSH(t, sshd, tt.trusted, all, tt.setting)
			to := login.Target{Host: "i-0a", Addresses: []string{address}, User: tt.user, HostKeys: pins(tt.pinned...)}
			wantReason(t, proveOne(t, tt.key, to), tt.want, tt.words)
		})
	}
}

// openSSH serves connections with sshd -i and returns the address.
func openSSH(t *testing.T, sshd string, trusted, hostKeys []*sshkey.PrivateKey, setting string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var lines strings.Builder
	for _, k := range trusted {
		lines.WriteString(k.Public().String() + "\n")
	}
	settings := []string{
		setting, // sshd takes the first of each
		"AuthorizedKeysFile " + write("authorized_keys", lines.String()),
		"StrictModes no", "UsePAM no", "PermitRootLogin yes", "PidFile none", "LogLevel QUIET",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no",
	}
	for _, k := range hostKeys {
		settings = append(settings, "HostKey "+write(k.Public().Algorithm(), string(k.PEM())))
	}
	config := write("sshd_config", strings.Join(settings, "\n")+"\n")
	if out, err := exec.CommandContext(t.Context(), sshd, "-t", "-f", config).CombinedOutput(); err != nil {
		missing(t, "sshd does not run here: %v: %s", err, out)
	}

	l := listen(t, "127.0.0.1:0")
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { inetd(t, conn.(*net.TCPConn), sshd, config) })
		}
	})
	return l.Addr().String()
}

// inetd runs one sshd on a connection, as inetd does.
func inetd(t *testing.T, conn *net.TCPConn, sshd, config string) {
	file, err := conn.File()
	conn.Close()
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	cmd := exec.Command(sshd, "-i", "-f", config)
	cmd.Stdin, cmd.Stdout = file, file
	_ = cmd.Run() // how a connection ends is the test's to judge
}

// lookSSHD finds sshd, which wants to be called by its whole path.
func lookSSHD(t *testing.T) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, "sshd")); err == nil && filepath.IsAbs(path) {
			return path
		}
	}
	missing(t, "no sshd on this machine")
	return ""
}

// missing skips a test without its judge, unless the machine is to have it.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI needs this: "+format, args...)
	}
	t.Skipf(format, args...)
}
