package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

// Login is one attempt to log in over SSH.
type Login struct {
	Time        time.Time
	User        string
	Fingerprint string // SHA256:… of the key that was offered
	Accepted    bool
	Reason      string // why it was refused
}

const (
	// maxLogins is how many attempts a host remembers.
	maxLogins = 1000
	// loginGrace bounds a connection until its user is logged in, as sshd's
	// LoginGraceTime does.
	loginGrace = 2 * time.Minute
	// serverVersion has no release in it: the judge is not that release.
	serverVersion = "SSH-2.0-OpenSSH_lab"
)

// Address returns where the SSH server listens, as 127.0.0.1:PORT.
func (h *Host) Address() string { return h.listener.Addr().String() }

// Logins returns the latest attempts to log in, oldest first.
func (h *Host) Logins() []Login {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Login(nil), h.logins...)
}

func (h *Host) record(user string, key ssh.PublicKey, err error) {
	l := Login{Time: h.machine.Now(), User: user, Fingerprint: ssh.FingerprintSHA256(key), Accepted: err == nil}
	if err != nil {
		l.Reason = err.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.logins) == maxLogins {
		h.logins = append(h.logins[:0], h.logins[maxLogins/10:]...)
	}
	h.logins = append(h.logins, l)
}

// HostKeys returns the public host keys, in the order of sshd_config. Under
// the switch WrongHostKey the SSH server presents another one.
func (h *Host) HostKeys() ([]ssh.PublicKey, error) {
	signers, err := h.hostSigners()
	var keys []ssh.PublicKey
	for _, s := range signers {
		keys = append(keys, s.PublicKey())
	}
	return keys, err
}

// hostSigners reads the host keys that sshd_config names and that exist.
func (h *Host) hostSigners() ([]ssh.Signer, error) {
	config, err := sshdconf.Load(os.DirFS(string(h.root)), strings.TrimPrefix(configFile, "/"))
	if err != nil {
		return nil, err
	}
	settings, err := config.Settings(sshdconf.Connection{LocalPort: h.listener.Addr().(*net.TCPAddr).Port})
	if err != nil {
		return nil, err
	}
	var signers []ssh.Signer
	for _, name := range settings.All("hostkey") {
		text, err := os.ReadFile(h.root.Path(name))
		if err != nil {
			continue
		}
		if s, err := ssh.ParsePrivateKey(text); err == nil {
			signers = append(signers, s)
		}
	}
	if len(signers) == 0 {
		return nil, errors.New("no hostkeys available")
	}
	return signers, nil
}

// wrongSigner returns the key of somebody who is not this host.
func (h *Host) wrongSigner() (ssh.Signer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wrongKey != nil {
		return h.wrongKey, nil
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	h.wrongKey, err = ssh.NewSignerFromKey(key)
	return h.wrongKey, err
}

// serve takes connections until the listener is closed.
func (h *Host) serve() {
	for {
		c, err := h.listener.Accept()
		if err != nil {
			return
		}
		if !h.keep(c) {
			c.Close()
			return
		}
		h.work.Go(func() {
			defer h.drop(c)
			h.connection(c)
		})
	}
}

// keep remembers a connection for Close.
func (h *Host) keep(c net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
		return false
	default:
		h.conns[c] = true
		return true
	}
}

func (h *Host) drop(c net.Conn) {
	c.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

func (h *Host) connection(c net.Conn) {
	info := h.Info()
	switch {
	case info.State != Online:
		// A host that is not there: the client sees its connection reset.
		c.(*net.TCPConn).SetLinger(0)
		return
	case info.Silent:
		io.Copy(io.Discard, c)
		return
	}
	a := &attempt{host: h, conn: connectionOf(c)}
	config, err := a.config(info.WrongHostKey)
	if err != nil {
		return
	}
	c.SetDeadline(time.Now().Add(loginGrace))
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	c.SetDeadline(time.Time{})
	go ssh.DiscardRequests(requests)
	s := session{user: conn.User(), shell: a.shell, forced: a.forced, hostname: info.ComputerName}
	for ch := range channels {
		if ch.ChannelType() != "session" {
			ch.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		channel, requests, err := ch.Accept()
		if err != nil {
			return
		}
		go s.serve(channel, requests)
	}
}

// connectionOf describes a client: sshd looks up no names by default, and then
// the address stands for the name.
func connectionOf(c net.Conn) sshdconf.Connection {
	local, remote := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
	return sshdconf.Connection{
		Host: remote.IP.String(), Address: remote.IP.String(),
		LocalAddress: local.IP.String(), LocalPort: local.Port,
	}
}

// attempt is one connection until its user is logged in.
type attempt struct {
	host   *Host
	conn   sshdconf.Connection
	judge  *judge // of the key that was offered last
	shell  string
	forced string
}

// maxTries is sshd's default. MaxAuthTries may stand in a block that depends on
// the user, who is not known when the limit is needed.
const maxTries = 6

func (a *attempt) config(wrongHostKey bool) (*ssh.ServerConfig, error) {
	config := &ssh.ServerConfig{
		ServerVersion:             serverVersion,
		MaxAuthTries:              maxTries,
		PublicKeyAuthAlgorithms:   allSignatures,
		PublicKeyCallback:         a.offered,
		VerifiedPublicKeyCallback: a.verified,
	}
	if wrongHostKey {
		s, err := a.host.wrongSigner()
		if err != nil {
			return nil, err
		}
		config.AddHostKey(s)
		return config, nil
	}
	signers, err := a.host.hostSigners()
	for _, s := range signers {
		config.AddHostKey(s)
	}
	return config, err
}

// allSignatures are those that can be verified; which are accepted depends on
// the user.
var allSignatures = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA,
}

// offered is asked about each key, before and with its signature.
func (a *attempt) offered(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	conn := a.conn
	conn.User = meta.User()
	j, err := newJudge(a.host.root, conn, a.host.machine.Now())
	var forced string
	if err == nil {
		forced, err = j.offered(key)
	}
	if err != nil {
		a.host.record(meta.User(), key, err)
		return nil, err
	}
	a.judge, a.forced = j, forced
	return &ssh.Permissions{}, nil
}

// verified is asked after the signature was found right.
func (a *attempt) verified(meta ssh.ConnMetadata, key ssh.PublicKey, p *ssh.Permissions, algorithm string) (*ssh.Permissions, error) {
	err := a.judge.signed(key, algorithm)
	if err == nil && !a.judge.enough() {
		err = errors.New("AuthenticationMethods asks for more than a key")
		a.host.record(meta.User(), key, err)
		refuse := func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, err }
		return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{PasswordCallback: refuse}}
	}
	if err != nil {
		a.host.record(meta.User(), key, err)
		return nil, err
	}
	a.host.record(meta.User(), key, nil)
	a.shell = filepath.Base(a.judge.account.Shell)
	return p, nil
}
