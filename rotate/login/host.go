package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// A host is what the users of one host have in common. What one login learns
// of its addresses spares the next the same connections.
type host struct {
	addresses []*address
	pins      []sshkey.Fingerprint
	limits    Limits
}

// An address is one way to a host.
type address struct {
	hostport string
	// algorithms are those of the host keys that may still be pinned ones.
	// Only fingerprints are pinned, and in one connection a server shows one
	// key: that of the first algorithm it shares with the client. So the
	// algorithm of a key that is not pinned is struck off and the server asked
	// again, until it has no other key or shows a pinned one.
	algorithms []string
	strangers  []string // the keys that were not pinned: "ssh-ed25519 SHA256:…"
	lost       *failure // why the address was given up, if it was
}

// hostKeyAlgorithms has the most common first. There are no certificates,
// since a pin is the fingerprint of a plain key, and no signatures with SHA-1.
var hostKeyAlgorithms = [...]string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

func newHost(t Target, limits Limits) *host {
	h := &host{pins: t.HostKeys, limits: limits}
	for _, a := range t.Addresses {
		h.addresses = append(h.addresses, &address{hostport: a, algorithms: hostKeyAlgorithms[:]})
	}
	return h
}

// login asks the first address that proves itself the host; its word is final.
func (h *host) login(ctx context.Context, key *sshkey.PrivateKey, user string) error {
	if len(h.pins) == 0 {
		return fail(ErrHostKey, errors.New("no host key is known"))
	}
	if len(h.addresses) == 0 {
		return fail(ErrUnreachable, errors.New("no address is known"))
	}
	var lost []*failure
	for _, a := range h.addresses {
		for a.lost == nil {
			if ctx.Err() != nil {
				return fail(ErrUnreachable, fmt.Errorf("%s: %w", a.hostport, context.Cause(ctx)))
			}
			t := &attempt{hostKeys: a.algorithms, pins: h.pins, key: key, user: user}
			err := t.run(ctx, a.hostport, h.limits)
			if t.known.Load() {
				return t.verdict(a.hostport, err)
			}
			a.learn(err)
		}
		lost = append(lost, a.lost)
	}
	return join(lost)
}

// learn takes in why a connection ended before a pinned host key was shown.
func (a *address) learn(err error) {
	s, strange := errors.AsType[*stranger](err)
	if strange {
		left := slices.DeleteFunc(slices.Clone(a.algorithms), s.signs)
		again := 0 < len(left) && len(left) < len(a.algorithms)
		a.strangers, a.algorithms = append(a.strangers, s.String()), left
		if again {
			return
		}
	}
	shown := strings.Join(a.strangers, ", ")
	_, exhausted := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	switch {
	case shown == "":
		a.lost = fail(ErrUnreachable, fmt.Errorf("%s: %w", a.hostport, err))
	case strange, exhausted: // it has no other key
		a.lost = fail(ErrHostKey, fmt.Errorf("%s shows %s", a.hostport, shown))
	default:
		a.lost = fail(ErrUnreachable, fmt.Errorf("%s: %w, after it showed %s", a.hostport, err, shown))
	}
}

// A stranger is a host key that is not pinned.
type stranger struct {
	algorithm   string
	fingerprint string
}

func (s *stranger) String() string { return s.algorithm + " " + s.fingerprint }

func (s *stranger) Error() string { return "host key " + s.String() + " is not pinned" }

// signs reports whether an algorithm of host keys is one of this key's. Of a
// certificate shown in place of a plain key none is.
func (s *stranger) signs(algorithm string) bool {
	if s.algorithm == ssh.KeyAlgoRSA {
		return algorithm == ssh.KeyAlgoRSASHA512 || algorithm == ssh.KeyAlgoRSASHA256
	}
	return algorithm == s.algorithm
}
