package sshkey_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// pairs lists every type and form that exists together. The two larger RSA
// sizes differ from the smallest in time only, and come once each.
func pairs() (all []struct {
	Type   sshkey.Type
	Format sshkey.Format
}) {
	for _, typ := range sshkey.Types() {
		for _, f := range sshkey.Formats() {
			slow := typ == sshkey.RSA3072 || typ == sshkey.RSA4096
			if sshkey.Check(typ, f) == nil && (!slow || f == sshkey.OpenSSH) {
				all = append(all, struct {
					Type   sshkey.Type
					Format sshkey.Format
				}{typ, f})
			}
		}
	}
	return all
}

func TestGeneratedPairsCanBeReadAndSign(t *testing.T) {
	t.Parallel()
	algorithm := map[sshkey.Type]string{
		sshkey.Ed25519:   "ssh-ed25519",
		sshkey.ECDSAP256: "ecdsa-sha2-nistp256",
		sshkey.ECDSAP384: "ecdsa-sha2-nistp384",
		sshkey.ECDSAP521: "ecdsa-sha2-nistp521",
		sshkey.RSA2048:   "ssh-rsa",
		sshkey.RSA3072:   "ssh-rsa",
		sshkey.RSA4096:   "ssh-rsa",
	}
	bits := map[sshkey.Type]int{
		sshkey.Ed25519: 256, sshkey.ECDSAP256: 256, sshkey.ECDSAP384: 384, sshkey.ECDSAP521: 521,
		sshkey.RSA2048: 2048, sshkey.RSA3072: 3072, sshkey.RSA4096: 4096,
	}
	first := map[sshkey.Format]string{
		sshkey.OpenSSH: "-----BEGIN OPENSSH PRIVATE KEY-----",
		sshkey.PKCS8:   "-----BEGIN PRIVATE KEY-----",
		sshkey.PKCS1:   "-----BEGIN RSA PRIVATE KEY-----",
		sshkey.SEC1:    "-----BEGIN EC PRIVATE KEY-----",
	}
	for _, pair := range pairs() {
		t.Run(string(pair.Type)+" as "+string(pair.Format), func(t *testing.T) {
			t.Parallel()
			k, err := sshkey.Generate(pair.Type, pair.Format, "keytrail:a b:1")
			if err != nil {
				t.Fatal(err)
			}
			pub := k.Public()
			if pub.Algorithm() != algorithm[pair.Type] || pub.Bits() != bits[pair.Type] || pub.Comment() != "keytrail:a_b:1" {
				t.Errorf("public half is %q of %d bits", pub, pub.Bits())
			}
			text := string(k.PEM())
			if !strings.HasPrefix(text, first[pair.Format]+"\n") || !strings.HasSuffix(text, "-----\n") {
				t.Errorf("private half starts and ends otherwise than %s", first[pair.Format])
			}
			again, err := sshkey.ParsePrivate(k.PEM())
			if err != nil {
				t.Fatal(err)
			}
			if !again.Public().Equal(pub) || !bytes.Equal(again.PEM(), k.PEM()) {
				t.Error("another key came back")
			}
			signs(t, again.Signer(), pub)
		})
	}
}

// signs checks that s signs for pub, with SHA-2 where there is a choice.
func signs(t *testing.T, s ssh.MultiAlgorithmSigner, pub sshkey.PublicKey) {
	t.Helper()
	data := []byte("data")
	sig, err := s.Sign(rand.Reader, data)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pub.String()))
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify(data, sig); err != nil {
		t.Errorf("signature: %v", err)
	}
	if slices.Contains(s.Algorithms(), ssh.KeyAlgoRSA) || sig.Format == ssh.KeyAlgoRSA {
		t.Error("signer may sign with SHA-1")
	}
	if _, err := s.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSA); err == nil {
		t.Error("signer signed with SHA-1")
	}
}

func TestEveryGeneratedKeyIsAnother(t *testing.T) {
	t.Parallel()
	a, errA := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, "")
	b, errB := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, "")
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.Public().Equal(b.Public()) {
		t.Error("the same key twice")
	}
}

func TestThePrivateHalfIsTheCallersOwnCopy(t *testing.T) {
	t.Parallel()
	k, err := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, "")
	if err != nil {
		t.Fatal(err)
	}
	clear(k.PEM())
	if _, err := sshkey.ParsePrivate(k.PEM()); err != nil {
		t.Errorf("after the caller cleared its copy: %v", err)
	}
}

func TestPrivateKeysOfOthersAreRead(t *testing.T) {
	t.Parallel()
	k, err := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, "")
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	text := string(k.PEM())
	tests := []struct {
		name string
		text string
	}{
		{"without a final line end", strings.TrimSuffix(text, "\n")},
		{"with the line ends of Windows", strings.ReplaceAll(text, "\n", "\r\n")},
		{"with space around it", "\n \t" + text + "\n\n"},
		{"an RSA key too small to make", string(pem.EncodeToMemory(&pem.Block{
			Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)}))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := sshkey.ParsePrivate([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimSpace(strings.ReplaceAll(tt.text, "\r", "")) + "\n"
			if got := string(k.PEM()); got != want {
				t.Error("the key does not come out in its plain form")
			}
		})
	}
}

func TestWhatIsNoUsablePrivateKeyIsRefused(t *testing.T) {
	t.Parallel()
	_, a, errA := ed25519.GenerateKey(rand.Reader)
	_, b, errB := ed25519.GenerateKey(rand.Reader)
	p224, errC := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	x25519, errD := ecdh.X25519().GenerateKey(rand.Reader)
	if errA != nil || errB != nil || errC != nil || errD != nil {
		t.Fatal(errA, errB, errC, errD)
	}
	good := text(t)(ssh.MarshalPrivateKey(a, ""))
	encrypted := text(t)(ssh.MarshalPrivateKeyWithPassphrase(a, "", []byte("pass")))
	mixed := text(t)(ssh.MarshalPrivateKey(ed25519.PrivateKey(slices.Concat(a.Seed(), b.Public().(ed25519.PublicKey))), ""))
	block := func(name string, headers map[string]string, body []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: name, Headers: headers, Bytes: body}))
	}
	pkcs8 := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return block("PRIVATE KEY", nil, der)
	}
	const secret = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtYmUtc2hvd24"
	tests := []struct {
		name string
		text string
		want string
	}{
		{"nothing", "", "does not start with a PEM block"},
		{"words", "swordfish", "does not start with a PEM block"},
		{"text before the block", secret + "\n" + good, "does not start with a PEM block"},
		{"text after the block", good + secret, "text after the PEM block"},
		{"two keys", good + good, "text after the PEM block"},
		{"a block without its end", good[:len(good)/2], "PEM block is broken"},
		{"a block of another kind", block("CERTIFICATE", nil, []byte(secret)), "unknown PEM block"},
		{"a block whose name is the secret", block(secret, nil, []byte(secret)), "unknown PEM block"},
		{"a public key", githubLine, "does not start with a PEM block"},
		{"a passphrase in the openssh form", encrypted, "protected by a passphrase"},
		{"a passphrase in PKCS #8", block("ENCRYPTED PRIVATE KEY", nil, []byte(secret)), "protected by a passphrase"},
		{"a passphrase in the older forms", block("RSA PRIVATE KEY", map[string]string{
			"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, []byte(secret)), "protected by a passphrase"},
		{"headers", block("PRIVATE KEY", map[string]string{"Comment": secret}, []byte(secret)), "PEM block has headers"},
		{"noise as openssh", block("OPENSSH PRIVATE KEY", nil, []byte(secret)), "OPENSSH PRIVATE KEY cannot be read"},
		{"noise as PKCS #8", block("PRIVATE KEY", nil, []byte(secret)), "PRIVATE KEY cannot be read"},
		{"noise as PKCS #1", block("RSA PRIVATE KEY", nil, []byte(secret)), "RSA PRIVATE KEY cannot be read"},
		{"noise as SEC 1", block("EC PRIVATE KEY", nil, []byte(secret)), "EC PRIVATE KEY cannot be read"},
		{"an empty block", block("PRIVATE KEY", nil, nil), "PRIVATE KEY cannot be read"},
		{"another key's public half", mixed, "do not belong together"},
		{"a curve that SSH lacks", pkcs8(p224), "only P-256, P-384 and P-521"},
		{"a key that cannot sign", pkcs8(x25519), "does not exist in SSH"},
		{"a dsa key", block("DSA PRIVATE KEY", nil, []byte(secret)), "unknown PEM block"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := sshkey.ParsePrivate([]byte(tt.text))
			if err == nil || k != nil {
				t.Fatalf("accepted as %s", k.Public().Fingerprint())
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %q, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Error("error repeats the input")
			}
		})
	}
}

// text returns a function that encodes a marshalled block.
func text(t *testing.T) func(*pem.Block, error) string {
	return func(b *pem.Block, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(b))
	}
}

func FuzzParsePrivate(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"))
	for _, pair := range pairs() {
		if pair.Type == sshkey.RSA3072 || pair.Type == sshkey.RSA4096 {
			continue
		}
		k, err := sshkey.Generate(pair.Type, pair.Format, "seed")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(k.PEM())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := sshkey.ParsePrivate(text)
		if err != nil {
			return
		}
		again, err := sshkey.ParsePrivate(k.PEM())
		if err != nil || !again.Public().Equal(k.Public()) {
			t.Fatalf("key %s came back otherwise: %v", k.Public().Fingerprint(), err)
		}
		if _, err := sshkey.ParsePublic(k.Public().String()); err != nil {
			t.Fatalf("public half %q: %v", k.Public(), err)
		}
	})
}

func BenchmarkGenerate(b *testing.B) {
	for _, typ := range sshkey.Types() {
		b.Run(string(typ), func(b *testing.B) {
			for b.Loop() {
				if _, err := sshkey.Generate(typ, sshkey.OpenSSH, "keytrail:a:1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
