package sshkey

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A PublicKey is the public half of a key pair with its comment. It is made
// by [ParsePublic], [ParsePrivate] or [Generate]; the zero value is no key.
type PublicKey struct {
	algorithm string // as in the line: "ssh-ed25519"
	blob      string // the wire form, in base64
	comment   string // only what clean lets through
	bits      int
}

// algorithms are the keys that sshd takes from an authorized_keys line.
const algorithms = "ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, " +
	"ssh-rsa, sk-ssh-ed25519@openssh.com, sk-ecdsa-sha2-nistp256@openssh.com"

// ParsePublic reads one authorized_keys line: algorithm, blob and, if there is
// one, a comment, with one space between them. It refuses options, line ends
// and other control characters, certificates, and every spelling of a blob
// but the canonical one, since the fingerprint of the blob is what identifies
// the key. Space around the line is the caller's to trim. The comment is kept
// as [PublicKey.WithComment] says. No error repeats any of the input.
func ParsePublic(line string) (PublicKey, error) {
	k, err := parsePublic(line)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse public key: %w", err)
	}
	return k, nil
}

func parsePublic(line string) (PublicKey, error) {
	if strings.ContainsFunc(line, isControl) {
		return PublicKey{}, errors.New("line end or control character: want exactly one line")
	}
	algorithm, rest, _ := strings.Cut(line, " ")
	if strings.HasSuffix(algorithm, "-cert-v01@openssh.com") {
		return PublicKey{}, errors.New("certificate: want a plain key")
	}
	if !isAlgorithm(algorithm) {
		return PublicKey{}, errors.New("line does not start with a key algorithm (options are not allowed): want one of " + algorithms)
	}
	encoded, comment, _ := strings.Cut(rest, " ")
	blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return PublicKey{}, errors.New("key is not canonical base64")
	}
	k, err := publicOf(blob)
	if err != nil {
		return PublicKey{}, err
	}
	if k.algorithm != algorithm {
		return PublicKey{}, errors.New("algorithm of the line is not that of its key")
	}
	return k.WithComment(comment), nil
}

// publicOf reads the wire form of a key and refuses any but the canonical one.
func publicOf(blob []byte) (PublicKey, error) {
	parsed, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return PublicKey{}, errors.New("key cannot be read")
	}
	if string(parsed.Marshal()) != string(blob) {
		return PublicKey{}, errors.New("key is not in its canonical form")
	}
	return PublicKey{
		algorithm: parsed.Type(),
		blob:      base64.StdEncoding.EncodeToString(blob),
		bits:      bitsOf(parsed),
	}, nil
}

func isAlgorithm(name string) bool {
	switch name {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSA, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return true
	}
	return false
}

// bitsOf counts as ssh-keygen -l does: an RSA modulus, or a curve.
func bitsOf(k ssh.PublicKey) int {
	if c, ok := k.(ssh.CryptoPublicKey); ok {
		switch p := c.CryptoPublicKey().(type) {
		case *rsa.PublicKey:
			return p.N.BitLen()
		case *ecdsa.PublicKey:
			return p.Params().BitSize
		}
	}
	return 256 // ed25519, on a security key or not
}

// Algorithm returns the name that starts the key's line, such as "ssh-ed25519".
func (k PublicKey) Algorithm() string { return k.algorithm }

// Blob returns the key's wire form in base64, as it stands in its line.
func (k PublicKey) Blob() string { return k.blob }

// Bits returns the size that ssh-keygen -l prints; zero for no key.
func (k PublicKey) Bits() int { return k.bits }

// Comment returns the key's comment, or nothing.
func (k PublicKey) Comment() string { return k.comment }

// Fingerprint identifies the key, whatever its comment. No key has no fingerprint.
func (k PublicKey) Fingerprint() Fingerprint {
	if k.IsZero() {
		return ""
	}
	blob, _ := base64.StdEncoding.DecodeString(k.blob) // publicOf encoded it
	return fingerprintOf(blob)
}

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k.blob == "" }

// Equal reports whether both are the same key, whatever their comments.
func (k PublicKey) Equal(other PublicKey) bool { return k.blob == other.blob }

// WithComment returns the same key with another comment. A comment keeps
// letters, digits and /_+=.@:- and has an underscore for each run of anything
// else; what exceeds 600 characters is cut. So it means nothing to a shell, a
// file or a document, whoever wrote it.
func (k PublicKey) WithComment(comment string) PublicKey {
	k.comment = clean(comment)
	return k
}

// String returns the key's authorized_keys line, without a line end; nothing
// for no key.
func (k PublicKey) String() string {
	if k.IsZero() {
		return ""
	}
	line := k.algorithm + " " + k.blob
	if k.comment != "" {
		line += " " + k.comment
	}
	return line
}

// MarshalText returns what String does.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what [ParsePublic] accepts, and nothing as no key.
func (k *PublicKey) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*k = PublicKey{}
		return nil
	}
	parsed, err := ParsePublic(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
