package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
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

// newClient returns the machine's own ssh where there is one that works, and
// otherwise the client of golang.org/x/crypto. Files of the first stand in
// folder.
func newClient(ctx context.Context, folder string) client {
	path, err := exec.LookPath("ssh")
	if err != nil {
		return library{}
	}
	c := openSSH{path: path, folder: folder}
	// -G reads all options and connects to nobody. It fails where ssh is too
	// old for one of them, and for a user whom the machine does not know.
	arguments := c.arguments("agent", account{host: "i-0", user: "nobody"}, "22")
	if exec.CommandContext(ctx, path, append(arguments, "-G", "localhost")...).Run() != nil {
		return library{}
	}
	version, err := exec.CommandContext(ctx, path, "-V").CombinedOutput()
	if err != nil {
		return library{}
	}
	// OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19
	name, _, _ := strings.Cut(strings.TrimSpace(string(version)), " ")
	c.version = clean(strings.TrimSuffix(name, ","))
	return c
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
	slots := make(chan struct{}, 4*runtime.NumCPU()) // a client mostly waits for the server
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
