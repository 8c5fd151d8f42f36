package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve runs an SSH server that accepts one key, and answers any command with
// the user's name, until the test ends.
func serve(t *testing.T, hostKey ssh.Signer, trusted ssh.PublicKey) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), trusted.Marshal()) {
			return nil, errors.New("not trusted")
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c, config)
		}
	}()
	return l.Addr().String()
}

func answer(c net.Conn, config *ssh.ServerConfig) {
	defer func() { _ = c.Close() }()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			_ = r.Reply(r.Type == "exec", nil)
			if r.Type == "exec" {
				_, _ = channel.Write([]byte(conn.User() + "\n"))
				_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
				_ = channel.Close()
			}
		}
	}
}

func TestBothClientsTellTheOutcomesApart(t *testing.T) {
	t.Parallel()
	key, other, hostKey := newSigner(t), newSigner(t), newSigner(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, nobody := serve(t, hostKey, key.PublicKey()), silent.Addr().String()
	_ = silent.Close()
	accounts := []account{
		{host: "i-1", name: "good", user: "deploy", address: address, hostKey: hostKey.PublicKey()},
		{host: "i-2", name: "strange", user: "deploy", address: address, hostKey: other.PublicKey()},
		{host: "i-3", name: "gone", user: "deploy", address: nobody, hostKey: hostKey.PublicKey()},
	}
	clients := []client{library{}}
	if path, err := exec.LookPath("ssh"); err == nil {
		clients = append(clients, openSSH{path: path, folder: t.TempDir()})
	} else if os.Getenv("CI") != "" {
		t.Error("CI has no ssh to judge")
	}
	for _, c := range clients {
		for _, row := range []struct {
			name string
			key  ssh.Signer
			want []outcome
		}{
			{"a trusted key", key, []outcome{accepted, strangeKey, broken}},
			{"a key that is not trusted", other, []outcome{refused, strangeKey, broken}},
		} {
			done := 0
			tried, err := c.logIn(t.Context(), row.key, accounts, func(attempt) { done++ })
			if err != nil {
				t.Fatal(err)
			}
			var got []outcome
			for _, a := range tried {
				got = append(got, a.outcome)
			}
			if diff := cmp.Diff(row.want, got); diff != "" || done != len(accounts) {
				t.Errorf("%T with %s, %d done: %s\n%v", c, row.name, done, diff, tried)
			}
		}
	}
}

func TestTheAgentSignsWithItsOneKeyOnly(t *testing.T) {
	t.Parallel()
	key := oneKey{newSigner(t)}
	if _, err := key.Sign(newSigner(t).PublicKey(), []byte("data")); err == nil {
		t.Error("it signed with another key")
	}
	s, err := key.Sign(key.signer.PublicKey(), []byte("data"))
	if err != nil || key.signer.PublicKey().Verify([]byte("data"), s) != nil {
		t.Errorf("its signature is not good: %v", err)
	}
}

func TestTheAgentLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	k, err := newKeyring(newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(k.folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is open to others: %v, %v", info, err)
	}
	if err := k.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(k.folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}
