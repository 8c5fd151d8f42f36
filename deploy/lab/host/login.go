package host

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// loginTimeout bounds Login: a silent host would hold it for ever.
const loginTimeout = 10 * time.Second

// Login logs in over SSH with this key alone and returns nil if the server
// accepted it. The server must present one of the host's own keys.
func (h *Host) Login(user string, key ssh.Signer) error {
	own, err := h.HostKeys()
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("tcp", h.Address(), loginTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(loginTimeout)); err != nil {
		return err
	}
	client, _, _, err := ssh.NewClientConn(conn, h.Address(), &ssh.ClientConfig{
		User: user,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: func(_ string, _ net.Addr, presented ssh.PublicKey) error {
			for _, k := range own {
				if bytes.Equal(k.Marshal(), presented.Marshal()) {
					return nil
				}
			}
			return errors.New("the server presents another host key")
		},
	})
	if err != nil {
		return fmt.Errorf("log in to %s as %s: %w", h.ID(), user, err)
	}
	return client.Close()
}
