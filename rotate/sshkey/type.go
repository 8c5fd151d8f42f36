package sshkey

import (
	"fmt"
	"slices"
	"strings"
)

// A Type is a kind of key pair that [Generate] can make. It is made by
// [ParseType] or is one of the constants below.
type Type string

// The types of key pairs.
const (
	Ed25519   Type = "ed25519"
	ECDSAP256 Type = "ecdsa-p256"
	ECDSAP384 Type = "ecdsa-p384"
	ECDSAP521 Type = "ecdsa-p521"
	RSA2048   Type = "rsa-2048"
	RSA3072   Type = "rsa-3072"
	RSA4096   Type = "rsa-4096"
)

// Types lists every type.
func Types() []Type {
	return []Type{Ed25519, ECDSAP256, ECDSAP384, ECDSAP521, RSA2048, RSA3072, RSA4096}
}

// ParseType returns the type of that name. Names are exact.
func ParseType(name string) (Type, error) {
	if t := Type(name); slices.Contains(Types(), t) {
		return t, nil
	}
	return "", fmt.Errorf("unknown key type %q: want one of %s", name, list(Types()))
}

// A Format is the form in which a private key is written. It is made by
// [ParseFormat] or is one of the constants below.
type Format string

// The private forms. Every one is a PEM block without a passphrase.
const (
	// OpenSSH is the form that ssh-keygen writes ("OPENSSH PRIVATE KEY").
	OpenSSH Format = "openssh"
	// PKCS8 holds every type ("PRIVATE KEY", RFC 5958). OpenSSH itself reads
	// ed25519 in this form since its release 9.6.
	PKCS8 Format = "pkcs8"
	// PKCS1 holds RSA keys only ("RSA PRIVATE KEY", RFC 8017).
	PKCS1 Format = "pkcs1"
	// SEC1 holds ECDSA keys only ("EC PRIVATE KEY", RFC 5915).
	SEC1 Format = "sec1"
)

// Formats lists every private form.
func Formats() []Format { return []Format{OpenSSH, PKCS8, PKCS1, SEC1} }

// ParseFormat returns the private form of that name. Names are exact.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats(), f) {
		return f, nil
	}
	return "", fmt.Errorf("unknown private key format %q: want one of %s", name, list(Formats()))
}

// Check reports whether keys of type t can be written in form f. The error of
// a pair that does not exist names the forms that do.
func Check(t Type, f Format) error {
	if _, err := ParseType(string(t)); err != nil {
		return err
	}
	if _, err := ParseFormat(string(f)); err != nil {
		return err
	}
	if forms := formatsOf(t); !slices.Contains(forms, f) {
		return fmt.Errorf("%s keys have no %s form: want one of %s", t, f, list(forms))
	}
	return nil
}

// formatsOf returns the forms that a key of type t can take.
func formatsOf(t Type) []Format {
	switch t {
	case RSA2048, RSA3072, RSA4096:
		return []Format{OpenSSH, PKCS8, PKCS1}
	case ECDSAP256, ECDSAP384, ECDSAP521:
		return []Format{OpenSSH, PKCS8, SEC1}
	default:
		return []Format{OpenSSH, PKCS8}
	}
}

func list[S ~string](names []S) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}
