package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
)

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
