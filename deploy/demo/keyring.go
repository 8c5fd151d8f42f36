package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring is an ssh-agent in this process that holds one key. The ssh client
// asks it for signatures over a socket in a folder that only this user may
// enter, so that the private key is never written anywhere and never leaves
// the process. It is the same on Linux and macOS.
type keyring struct {
	signer   ssh.Signer
	folder   string
	listener net.Listener
	serving  sync.WaitGroup
}

// newKeyring starts an agent for a key.
func newKeyring(key ssh.Signer) (*keyring, error) {
	// A socket's path may have 104 bytes on macOS, so not below a folder of
	// the user's choice.
	folder, err := os.MkdirTemp("", "keytrail-agent-") // made with mode 0700
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", filepath.Join(folder, "socket"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	k := &keyring{signer: key, folder: folder, listener: l}
	k.serving.Go(k.serve)
	return k, nil
}

// socket is the value for ssh's option IdentityAgent.
func (k *keyring) socket() string { return k.listener.Addr().String() }

// close ends the agent and removes its folder. The clients must have ended.
func (k *keyring) close() error {
	err := k.listener.Close()
	k.serving.Wait()
	return errors.Join(err, os.RemoveAll(k.folder))
}

func (k *keyring) serve() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return // closed
		}
		k.serving.Go(func() {
			_ = agent.ServeAgent(oneKey{k.signer}, c) // ends with the client
			_ = c.Close()
		})
	}
}

// oneKey implements agent.Agent with one Ed25519 key, which can be listed and
// used. Nothing else can be done with it.
type oneKey struct{ signer ssh.Signer }

var errReadOnly = errors.New("this agent holds one key and cannot be changed")

func (k oneKey) List() ([]*agent.Key, error) {
	p := k.signer.PublicKey()
	return []*agent.Key{{Format: p.Type(), Blob: p.Marshal(), Comment: "keytrail demo"}}, nil
}

func (k oneKey) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	if !bytes.Equal(key.Marshal(), k.signer.PublicKey().Marshal()) {
		return nil, errors.New("not the key of this agent")
	}
	return k.signer.Sign(rand.Reader, data)
}

func (k oneKey) Signers() ([]ssh.Signer, error) { return nil, errReadOnly }
func (k oneKey) Add(agent.AddedKey) error       { return errReadOnly }
func (k oneKey) Remove(ssh.PublicKey) error     { return errReadOnly }
func (k oneKey) RemoveAll() error               { return errReadOnly }
func (k oneKey) Lock([]byte) error              { return errReadOnly }
func (k oneKey) Unlock([]byte) error            { return errReadOnly }
