package sshkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// A PrivateKey is a whole key pair. It is made by [Generate] or
// [ParsePrivate], never as a literal, and is safe for concurrent use. However
// it is printed, logged or encoded, it shows as "[redacted]".
type PrivateKey struct {
	Redacted
	pair sealed
}

// pair is what a PrivateKey holds.
type pair struct {
	pem    []byte
	signer ssh.MultiAlgorithmSigner
	public PublicKey
}

// sealed keeps a pair in a closure, where no reflection reaches it.
type sealed func() *pair

// Generate makes a key pair of type t whose private half is written in form
// f. The comment goes into the public half, as [PublicKey.WithComment] says,
// and into the private one where its form has room for it.
func Generate(t Type, f Format, comment string) (*PrivateKey, error) {
	if err := Check(t, f); err != nil {
		return nil, err
	}
	comment = clean(comment)
	key, err := generate(t)
	if err != nil {
		return nil, fmt.Errorf("generate %s key: %w", t, err)
	}
	block, err := marshal(key, f, comment)
	if err != nil {
		return nil, fmt.Errorf("write %s key as %s: %w", t, f, err)
	}
	return newPrivate(key, block, comment)
}

func generate(t Type) (crypto.Signer, error) {
	switch t {
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECDSAP521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	default: // Check let it through, so it is Ed25519
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
}

// marshal writes key in form f, which Check allowed for its type.
func marshal(key crypto.Signer, f Format, comment string) (*pem.Block, error) {
	switch f {
	case PKCS8:
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return &pem.Block{Type: pemPKCS8, Bytes: der}, err
	case PKCS1:
		return &pem.Block{Type: pemPKCS1, Bytes: x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))}, nil
	case SEC1:
		der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
		return &pem.Block{Type: pemSEC1, Bytes: der}, err
	default:
		return ssh.MarshalPrivateKey(key, comment)
	}
}

func newPrivate(key crypto.Signer, block *pem.Block, comment string) (*PrivateKey, error) {
	signer, err := newSigner(key)
	if err != nil {
		return nil, err
	}
	public, err := publicOf(signer.PublicKey().Marshal())
	if err != nil {
		return nil, err
	}
	p := &pair{pem: pem.EncodeToMemory(block), signer: signer, public: public.WithComment(comment)}
	return &PrivateKey{pair: func() *pair { return p }}, nil
}

// newSigner never signs with SHA-1: OpenSSH refuses ssh-rsa since its release 8.8.
func newSigner(key crypto.Signer) (ssh.MultiAlgorithmSigner, error) {
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return nil, err
	}
	as, ok := s.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("key cannot choose its signature algorithm")
	}
	algorithms := []string{s.PublicKey().Type()}
	if algorithms[0] == ssh.KeyAlgoRSA {
		algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return ssh.NewSignerWithAlgorithms(as, algorithms)
}

// PEM returns the private half as a file that ssh reads: one block, with line
// feeds and a final line end. It is the only way out; the caller owns the slice.
func (k PrivateKey) PEM() []byte { return bytes.Clone(k.pair().pem) }

// Public returns the public half.
func (k PrivateKey) Public() PublicKey { return k.pair().public }

// Signer returns the key as SSH authentication uses it. It is redacted as
// the key itself is, and signs for RSA with SHA-2 only.
func (k PrivateKey) Signer() ssh.MultiAlgorithmSigner { return signer{pair: k.pair} }

// signer implements ssh.MultiAlgorithmSigner without showing the key.
type signer struct {
	Redacted
	pair sealed
}

func (s signer) PublicKey() ssh.PublicKey { return s.pair().signer.PublicKey() }

func (s signer) Algorithms() []string { return s.pair().signer.Algorithms() }

// Sign signs with the preferred algorithm: an RSA key's plain Sign would be SHA-1.
func (s signer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, s.Algorithms()[0])
}

func (s signer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	return s.pair().signer.SignWithAlgorithm(rand, data, algorithm)
}
