package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// openSSH is the machine's own client.
type openSSH struct{ path, version, folder string }

func (c openSSH) String() string { return c.version }

func (c openSSH) logIn(ctx context.Context, key ssh.Signer, accounts []account, done func(attempt)) (tried []attempt, err error) {
	ring, err := newKeyring(key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ring.close()) }()
	if err := writeKnownHosts(c.knownHosts(), accounts); err != nil {
		return nil, err
	}
	return inParallel(accounts, done, func(a account) attempt {
		return c.try(ctx, ring.socket(), a)
	}), ctx.Err()
}

func (c openSSH) knownHosts() string { return filepath.Join(c.folder, "known_hosts") }

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

// arguments are those of ssh, up to the host. Nothing of the user's own
// settings counts, and nothing is asked or written.
func (c openSSH) arguments(agent string, a account, port string) []string {
	arguments := []string{"-F", "none", "-T", "-a", "-x", "-p", port, "-l", a.user}
	for _, option := range []string{
		"BatchMode=yes",
		"ConnectTimeout=" + strconv.Itoa(int(loginTimeout/time.Second)),
		"ControlMaster=no", "ControlPath=none",
		"GlobalKnownHostsFile=/dev/null", "UserKnownHostsFile=" + quote(c.knownHosts()),
		"HostKeyAlias=" + a.host, "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "CheckHostIP=no",
		"IdentityAgent=" + quote(agent), "IdentityFile=none",
		"PreferredAuthentications=publickey",
		"LogLevel=ERROR",
	} {
		arguments = append(arguments, "-o", option)
	}
	return arguments
}

func (c openSSH) try(ctx context.Context, agent string, a account) attempt {
	host, port, err := net.SplitHostPort(a.address)
	if err != nil {
		return attempt{a, broken, err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, append(c.arguments(agent, a, port), host, question)...)
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
