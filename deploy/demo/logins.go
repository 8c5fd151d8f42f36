package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// account is one user of one host, and the way in.
type account struct {
	host    string // node id
	name    string // of the host
	user    string
	address string // host:port of the SSH server
	hostKey ssh.PublicKey
}

func (a account) String() string { return a.user + "@" + a.name }

// outcome is what became of one login.
type outcome string

// The outcomes. A host that shows another key than the known one is not asked
// for anything further, so nothing is known of the account.
const (
	accepted   outcome = "accepted"
	refused    outcome = "refused"
	strangeKey outcome = "strange host key"
	broken     outcome = "broken"
)

// attempt is a login and what became of it.
type attempt struct {
	account account
	outcome outcome
	detail  string // why it was not accepted, not cleaned
}

// client is a program that logs in with a key and leaves at once.
type client interface {
	// String names the program and its version.
	String() string
	// logIn tries the key on every account: a login is accepted if the account
	// answers a question. It calls done after each, one at a time. The attempts
	// are in the order of the accounts.
	logIn(ctx context.Context, key ssh.Signer, accounts []account, done func(attempt)) ([]attempt, error)
}

// loginTimeout bounds one login; on loopback it takes milliseconds.
const loginTimeout = 10 * time.Second

// newClient returns the machine's own ssh where there is one, and otherwise
// the one of golang.org/x/crypto. Files of the first stand in folder.
func newClient(ctx context.Context, folder string) client {
	path, err := exec.LookPath("ssh")
	if err != nil {
		return library{}
	}
	version, err := exec.CommandContext(ctx, path, "-V").CombinedOutput()
	if err != nil {
		return library{}
	}
	// OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19
	name, _, _ := strings.Cut(strings.TrimSpace(string(version)), " ")
	return openSSH{path: path, version: clean(strings.TrimSuffix(name, ",")), folder: folder}
}

// question is the command that a client runs to see where it is.
const question = "whoami"

// answered is a login that got as far as an answer to the question.
func answered(a account, answer []byte) attempt {
	if got := strings.TrimSpace(string(answer)); got != a.user {
		return attempt{a, broken, fmt.Sprintf("%s says %q", question, got)}
	}
	return attempt{account: a, outcome: accepted}
}

// inParallel runs try on every account, a few at a time.
func inParallel(accounts []account, done func(attempt), try func(account) attempt) []attempt {
	attempts := make([]attempt, len(accounts))
	slots := make(chan struct{}, 2*runtime.NumCPU()) // a client mostly waits for the server
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, a := range accounts {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			t := try(a)
			attempts[i] = t
			mu.Lock()
			defer mu.Unlock()
			done(t)
		})
	}
	all.Wait()
	return attempts
}

// openSSH is the machine's own client.
type openSSH struct{ path, version, folder string }

func (c openSSH) String() string { return c.version }

func (c openSSH) logIn(ctx context.Context, key ssh.Signer, accounts []account, done func(attempt)) (tried []attempt, err error) {
	ring, err := newKeyring(key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ring.close()) }()
	known := filepath.Join(c.folder, "known_hosts")
	if err := writeKnownHosts(known, accounts); err != nil {
		return nil, err
	}
	return inParallel(accounts, done, func(a account) attempt {
		return c.try(ctx, ring.socket(), known, a)
	}), ctx.Err()
}

// writeKnownHosts writes the host keys by node id, as sshd(8) describes the
// file under SSH_KNOWN_HOSTS FILE FORMAT.
func writeKnownHosts(path string, accounts []account) error {
	var b bytes.Buffer
	seen := map[string]bool{}
	for _, a := range accounts {
		if !seen[a.host] {
			seen[a.host] = true
			fmt.Fprintf(&b, "%s %s", a.host, ssh.MarshalAuthorizedKey(a.hostKey))
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

func (c openSSH) try(ctx context.Context, agent, known string, a account) attempt {
	host, port, err := net.SplitHostPort(a.address)
	if err != nil {
		return attempt{a, broken, err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	// -F none: nothing of the user's own settings, and no ~/.ssh is made.
	args := []string{"-F", "none", "-T", "-a", "-x", "-p", port, "-l", a.user}
	for _, option := range []string{
		"BatchMode=yes",
		"ConnectTimeout=" + strconv.Itoa(int(loginTimeout/time.Second)),
		"ControlMaster=no", "ControlPath=none",
		"GlobalKnownHostsFile=/dev/null", "UserKnownHostsFile=" + quote(known),
		"HostKeyAlias=" + a.host, "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "CheckHostIP=no",
		"IdentityAgent=" + quote(agent), "IdentityFile=none",
		"PreferredAuthentications=publickey",
		"LogLevel=ERROR",
	} {
		args = append(args, "-o", option)
	}
	cmd := exec.CommandContext(ctx, c.path, append(args, host, question)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	answer, err := cmd.Output()
	if err == nil {
		return answered(a, answer)
	}
	return attempt{a, judge(said.String()), cmp.Or(said.String(), err.Error())}
}

// quote protects a path in an option from being taken for several words.
func quote(path string) string { return `"` + path + `"` }

// judge reads ssh's messages, which it does not translate.
func judge(said string) outcome {
	switch {
	case strings.Contains(said, "Host key verification failed"):
		return strangeKey
	case strings.Contains(said, "Permission denied"):
		return refused
	}
	return broken
}

// library is the client of golang.org/x/crypto.
type library struct{}

func (library) String() string { return "golang.org/x/crypto/ssh" }

func (library) logIn(ctx context.Context, key ssh.Signer, accounts []account, done func(attempt)) ([]attempt, error) {
	return inParallel(accounts, done, func(a account) attempt { return dial(ctx, key, a) }), ctx.Err()
}

func dial(ctx context.Context, key ssh.Signer, a account) attempt {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", a.address)
	if err != nil {
		return attempt{a, broken, err.Error()}
	}
	defer func() { _ = connection.Close() }()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	// Which of the two made the handshake fail is known from the callbacks,
	// not from the error's text.
	strange, asked := false, false
	conn, channels, requests, err := ssh.NewClientConn(connection, a.address, &ssh.ClientConfig{
		User: a.user,
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			asked = true
			return []ssh.Signer{key}, nil
		})},
		HostKeyAlgorithms: []string{a.hostKey.Type()},
		HostKeyCallback: func(_ string, _ net.Addr, shown ssh.PublicKey) error {
			if !bytes.Equal(shown.Marshal(), a.hostKey.Marshal()) {
				strange = true
				return errors.New("the host key is not the known one")
			}
			return nil
		},
	})
	if err == nil {
		return ask(ssh.NewClient(conn, channels, requests), a)
	}
	switch {
	case strange:
		return attempt{a, strangeKey, err.Error()}
	case asked && !dropped(err):
		return attempt{a, refused, err.Error()}
	}
	return attempt{a, broken, err.Error()}
}

// ask asks the question in a session.
func ask(c *ssh.Client, a account) attempt {
	defer func() { _ = c.Close() }()
	session, err := c.NewSession()
	if err != nil {
		return attempt{a, broken, err.Error()}
	}
	answer, err := session.Output(question)
	if err != nil {
		return attempt{a, broken, err.Error()}
	}
	return answered(a, answer)
}

// dropped tells a connection that ended from a server that said no.
func dropped(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

// expect returns a problem for each attempt that did not come out as want.
func expect(want outcome, attempts []attempt) []string {
	var problems []string
	for _, t := range attempts {
		if t.outcome != want {
			problems = append(problems, fmt.Sprintf("%s: %s: %s", t.account, t.outcome, strings.TrimSpace(t.detail)))
		}
	}
	return problems
}
