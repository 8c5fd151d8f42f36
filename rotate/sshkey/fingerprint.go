package sshkey

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// fingerprintPrefix names the hash, as ssh-keygen prints it.
const fingerprintPrefix = "SHA256:"

// A Fingerprint identifies a public key: "SHA256:" and the 43 characters of
// its blob's hash in unpadded base64, as ssh-keygen -l prints it. It is made
// by [ParseFingerprint] or [PublicKey.Fingerprint].
type Fingerprint string

var errFingerprint = errors.New(`not a key fingerprint: want "SHA256:" and 43 characters of base64`)

// ParseFingerprint reads a fingerprint. It accepts the one canonical spelling.
func ParseFingerprint(s string) (Fingerprint, error) {
	short, ok := strings.CutPrefix(s, fingerprintPrefix)
	if !ok {
		return "", errFingerprint
	}
	sum, err := base64.RawStdEncoding.Strict().DecodeString(short)
	if err != nil || len(sum) != sha256.Size || len(short) != base64.RawStdEncoding.EncodedLen(sha256.Size) {
		return "", errFingerprint
	}
	return Fingerprint(s), nil
}

// Short returns the 43 characters without the name of the hash.
func (f Fingerprint) Short() string { return strings.TrimPrefix(string(f), fingerprintPrefix) }

// UnmarshalText reads what [ParseFingerprint] accepts.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	parsed, err := ParseFingerprint(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

// fingerprintOf hashes the wire form of a public key.
func fingerprintOf(blob []byte) Fingerprint {
	sum := sha256.Sum256(blob)
	return Fingerprint(fingerprintPrefix + base64.RawStdEncoding.EncodeToString(sum[:]))
}
