package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// publickey is the authentication method (RFC 4252, section 7).
const publickey = "publickey"

// An attempt is one connection.
type attempt struct {
	hostKeys []string // algorithms, in order of preference
	pins     []sshkey.Fingerprint
	key      *sshkey.PrivateKey
	user     string

	known   atomic.Bool // the server showed a pinned host key
	offered int         // how often the library asked for the key
}

// An answer is why a server does not let the key in.
type answer string

func (a answer) Error() string { return string(a) }

// run connects and authenticates. It returns nil when the server said yes to
// something, and closes the connection in any case.
func (t *attempt) run(ctx context.Context, hostport string, limits Limits) error {
	dialer := net.Dialer{Timeout: limits.Dial}
	conn, err := dialer.DialContext(ctx, "tcp", hostport)
	if err != nil {
		return cause(ctx, err, limits.Dial)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limits.Handshake)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	c, channels, requests, err := ssh.NewClientConn(conn, hostport, &ssh.ClientConfig{
		User:              t.user,
		HostKeyAlgorithms: t.hostKeys,
		HostKeyCallback:   t.checkHostKey,
		// The library asks for the keys a second time only if the server
		// answered that the first did not do.
		Auth:         []ssh.AuthMethod{ssh.RetryableAuthMethod(ssh.PublicKeysCallback(t.signers), 2)},
		AuthCallback: t.checkMethods,
	})
	if err != nil {
		return cause(ctx, err, limits.Handshake)
	}
	client := ssh.NewClient(c, channels, requests)
	_ = client.Close() // the proof stands
	_ = client.Wait()
	return nil
}

// cause says what ended a connection.
func cause(ctx context.Context, err error, limit time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Errorf("nothing within %s: %w", limit, err)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("connection dropped: %w", err)
	}
	return err
}

// verdict judges how the connection to a known host ended.
func (t *attempt) verdict(hostport string, err error) error {
	at := t.user + " at " + hostport
	no, answered := errors.AsType[answer](err)
	switch {
	case err == nil && t.offered == 0:
		return fail(ErrOpen, errors.New(at))
	case err == nil:
		return nil
	case answered:
		return fail(ErrRefused, fmt.Errorf("%s: %w", at, no))
	case t.offered > 0 && hungUp(err):
		return fail(ErrRefused, fmt.Errorf("%s: %w", at, err))
	default:
		return fail(ErrUnreachable, fmt.Errorf("%s: %w", at, err))
	}
}

// checkHostKey runs after the server signed with the key that it shows.
func (t *attempt) checkHostKey(_ string, _ net.Addr, key ssh.PublicKey) error {
	f := ssh.FingerprintSHA256(key)
	if !slices.Contains(t.pins, sshkey.Fingerprint(f)) {
		return &stranger{algorithm: key.Type(), fingerprint: f}
	}
	t.known.Store(true)
	return nil
}

func (t *attempt) signers() ([]ssh.Signer, error) {
	t.offered++
	if t.offered > 1 {
		return nil, answer("not accepted")
	}
	return []ssh.Signer{offer{t.key.Signer()}}, nil
}

// checkMethods runs whenever the server asks for a method, or for another one.
func (t *attempt) checkMethods(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	switch {
	case slices.Contains(c.PartialSuccessMethods, publickey):
		return nil, answer("accepted, but not alone: wants " + strings.Join(c.AllowedMethods, ", ") + " as well")
	case t.offered == 0 && len(c.AllowedMethods) > 0 && !slices.Contains(c.AllowedMethods, publickey):
		return nil, answer("takes no public keys, only " + strings.Join(c.AllowedMethods, ", "))
	}
	return nil, nil // go on with Auth
}

// An offer names ssh-rsa last where the key is RSA, so that a server without
// SHA-2 is asked and answers; it never signs so.
type offer struct{ ssh.MultiAlgorithmSigner }

func (o offer) Algorithms() []string {
	all := o.MultiAlgorithmSigner.Algorithms()
	if o.PublicKey().Type() == ssh.KeyAlgoRSA {
		all = append(slices.Clone(all), ssh.KeyAlgoRSA)
	}
	return all
}

func (o offer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if algorithm == ssh.KeyAlgoRSA {
		return nil, answer("takes RSA signatures with SHA-1 only")
	}
	return o.MultiAlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
}
