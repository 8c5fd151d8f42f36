package sshkey

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// The names of the PEM blocks of the private forms.
const (
	pemOpenSSH = "OPENSSH PRIVATE KEY"
	pemPKCS8   = "PRIVATE KEY"
	pemPKCS1   = "RSA PRIVATE KEY"
	pemSEC1    = "EC PRIVATE KEY"
)

var errEncrypted = errors.New("key is protected by a passphrase: store it without one")

// ParsePrivate reads a key pair in any of the private forms: one PEM block
// with nothing but white space around it. Unlike Generate it takes RSA keys of
// any size that Go supports (1,024 bits and more), since it reads what others
// made. It refuses keys with a passphrase and pairs whose halves do not
// belong together. The comment of the openssh form is not read. No error
// repeats any of the input.
func ParsePrivate(text []byte) (*PrivateKey, error) {
	k, err := parsePrivate(text)
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	return k, nil
}

func parsePrivate(text []byte) (*PrivateKey, error) {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return nil, errors.New("text does not start with a PEM block")
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("PEM block is broken")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errEncrypted
	}
	if len(block.Headers) > 0 {
		return nil, errors.New("PEM block has headers")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("text after the PEM block")
	}
	switch block.Type {
	case pemOpenSSH, pemPKCS8, pemPKCS1, pemSEC1:
	default:
		return nil, fmt.Errorf("unknown PEM block: want %s, %s, %s or %s", pemOpenSSH, pemPKCS8, pemPKCS1, pemSEC1)
	}
	raw, err := ssh.ParseRawPrivateKey(pem.EncodeToMemory(block))
	if err != nil {
		if _, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
			return nil, errEncrypted
		}
		// The library's reason may quote bytes of the key.
		return nil, fmt.Errorf("%s cannot be read", block.Type)
	}
	key, err := signerOf(raw)
	if err != nil {
		return nil, err
	}
	return newPrivate(key, block, "")
}

// signerOf checks what the parsers leave open: an ed25519 private half that
// carries another key's public half signs in that key's name and gives its
// own secret away by doing so.
func signerOf(raw any) (crypto.Signer, error) {
	if p, ok := raw.(*ed25519.PrivateKey); ok {
		raw = *p
	}
	if k, ok := raw.(ed25519.PrivateKey); ok && !k.Equal(ed25519.NewKeyFromSeed(k.Seed())) {
		return nil, errors.New("private and public half do not belong together")
	}
	if s, ok := raw.(crypto.Signer); ok {
		return s, nil
	}
	return nil, errors.New("key type does not exist in SSH")
}
