package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// sieve finds in texts what must stay secret, in any spelling that a program could give it. It takes
// one look at each byte however many secrets there are.
type sieve struct {
	needles map[uint64][]needle // by their first eight bytes
	maybe   [1 << 16]bool       // whether first eight bytes with this hash are among them
}

// needle is one spelling of a part of a secret.
type needle struct{ spelling, secret string }

const window = 8

// hashed spreads the first eight bytes of a needle over sieve.maybe.
func hashed(head uint64) uint16 { return uint16(head * 0x9e3779b97f4a7c15 >> 48) }

// add makes a spelling findable under the name of the secret. Shorter ones than a window prove nothing.
func (s *sieve) add(secret, spelling string) {
	if len(spelling) < window {
		return
	}
	if s.needles == nil {
		s.needles = map[uint64][]needle{}
	}
	head := binary.LittleEndian.Uint64([]byte(spelling))
	s.needles[head] = append(s.needles[head], needle{spelling, secret})
	s.maybe[hashed(head)] = true
}

// addKey makes a private key findable: the first and last 32 bytes of each of its secret numbers, in
// halves, so that a cut or a line end leaves one of them whole.
func (s *sieve) addKey(secret, private string) {
	numbers := secretNumbers(private)
	if numbers == nil {
		s.add(secret, private) // what a test took for a key
	}
	for _, n := range numbers {
		ends := [][]byte{n[:min(len(n), 32)], n[max(0, len(n)-32):]}
		for _, end := range ends {
			for half := range slices.Chunk(end, 16) {
				for _, spelling := range spellings(half) {
					s.add(secret, spelling)
				}
			}
		}
	}
}

// find returns the secrets that a text gives away, each once.
func (s *sieve) find(text string) []string {
	found := s.findAsIs(text, nil)
	if strings.ContainsAny(text, `\%&=`) {
		found = s.findAsIs(unescaped.Replace(text), found)
	}
	return found
}

func (s *sieve) findAsIs(text string, found []string) []string {
	if len(text) < window {
		return found
	}
	head := binary.LittleEndian.Uint64([]byte(text[:window]))
	for i := 0; ; i++ {
		if s.maybe[hashed(head)] {
			for _, n := range s.needles[head] {
				if strings.HasPrefix(text[i:], n.spelling) && !slices.Contains(found, n.secret) {
					found = append(found, n.secret)
				}
			}
		}
		if i+window == len(text) {
			return found
		}
		head = head>>8 | uint64(text[i+window])<<56
	}
}

// unescaped undoes what JSON, forms, HTML and mails do to base64.
var unescaped = strings.NewReplacer(
	"=\r\n", "", "=\n", "", "\r", "", "\n", "",
	`\r`, "", `\n`, "", `\u002b`, "+", `\u002B`, "+", `\u002f`, "/", `\u002F`, "/", `\`, "",
	"%0D", "", "%0d", "", "%0A", "", "%0a", "", "%2B", "+", "%2b", "+", "%2F", "/", "%2f", "/",
	"&#43;", "+", "&#47;", "/", "&#10;", "", "&#13;", "",
)

// secretNumbers returns what makes a private key private, nil for what is none.
func secretNumbers(private string) [][]byte {
	key, err := ssh.ParseRawPrivateKey([]byte(private))
	if err != nil {
		return nil
	}
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return [][]byte{k.Seed()}
	case *ed25519.PrivateKey:
		return [][]byte{k.Seed()}
	case *ecdsa.PrivateKey:
		if d, err := k.Bytes(); err == nil {
			return [][]byte{d}
		}
	case *rsa.PrivateKey:
		return [][]byte{k.D.Bytes(), k.Primes[0].Bytes(), k.Primes[1].Bytes()}
	}
	return nil
}

// spellings returns how bytes could show up in a text: as they are, in hexadecimal, as numbers, and in
// base64 wherever they begin in it, once or twice over.
func spellings(b []byte) []string {
	digits, spaced, numbers := hex.EncodeToString(b), fmt.Sprintf("% x", b), strings.Trim(fmt.Sprint(b), "[]")
	all := []string{
		string(b), digits, strings.ToUpper(digits), spaced, strings.ToUpper(spaced), strings.ReplaceAll(spaced, " ", ":"),
		numbers, strings.ReplaceAll(numbers, " ", ","),
	}
	for _, once := range inBase64(b) {
		all = append(all, once)
		all = append(all, inBase64([]byte(once))...)
	}
	return all
}

// inBase64 returns the digits that bytes make in base64, whatever stands before and after them.
func inBase64(b []byte) []string {
	var all []string
	for shift := range 3 {
		padded := append(make([]byte, shift), b...)
		text := base64.StdEncoding.EncodeToString(padded[:len(padded)/3*3])
		if shift > 0 {
			text = text[4:] // shares a digit with what stands before
		}
		all = append(all, text)
		if strings.ContainsAny(text, "+/") {
			all = append(all, strings.NewReplacer("+", "-", "/", "_").Replace(text))
		}
	}
	return all
}

func TestASecretIsFoundInEverySpelling(t *testing.T) {
	t.Parallel()
	for name, spell := range map[string]func(k key, der []byte) string{
		"as it stands in the secret":   func(k key, _ []byte) string { return k.private },
		"in a value":                   func(k key, _ []byte) string { return k.value() },
		"escaped in JSON twice":        func(k key, _ []byte) string { return quoted(quoted(k.private)) },
		"escaped in a form":            func(k key, _ []byte) string { return url.QueryEscape(k.private) },
		"without line ends":            func(_ key, der []byte) string { return base64.StdEncoding.EncodeToString(der) },
		"indented":                     func(k key, _ []byte) string { return strings.ReplaceAll(k.private, "\n", "\n  ") },
		"cut behind the seed":          func(k key, _ []byte) string { return k.private[:len(k.private)*3/4] },
		"as the bytes of its form":     func(_ key, der []byte) string { return string(der) },
		"in hexadecimal":               func(_ key, der []byte) string { return hex.EncodeToString(der) },
		"in hexadecimal, as openssl":   func(_ key, der []byte) string { return strings.ReplaceAll(fmt.Sprintf("% x", der), " ", ":") },
		"as %v shows bytes":            func(_ key, der []byte) string { return fmt.Sprint(der) },
		"as JSON shows bytes":          func(k key, _ []byte) string { return quoted([]byte(k.private)) },
		"its seed as bytes":            func(k key, _ []byte) string { return string(secretNumbers(k.private)[0]) },
		"its seed in hexadecimal":      func(k key, _ []byte) string { return fmt.Sprintf("%X", secretNumbers(k.private)[0]) },
		"its seed in base64":           func(k key, _ []byte) string { return base64.StdEncoding.EncodeToString(secretNumbers(k.private)[0]) },
		"its seed in base64 for a URL": func(k key, _ []byte) string { return base64.RawURLEncoding.EncodeToString(secretNumbers(k.private)[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for shift := range 4 {
				k := newKey(t, "planted"+strings.Repeat("x", shift))
				block, _ := pem.Decode([]byte(k.private))
				var with, without sieve
				with.addKey("the key", k.private)
				without.addKey("another key", newKey(t, "other").private)
				text := strings.Repeat("=", shift) + spell(k, block.Bytes) + " and after"
				if got := with.find(text); !slices.Equal(got, []string{"the key"}) {
					t.Errorf("found %q in a text with the key", got)
				}
				if got := without.find(text); got != nil {
					t.Errorf("found %q in a text with another key", got)
				}
				if got := with.find(k.line + k.fingerprint() + string(k.signer.PublicKey().Marshal())); got != nil {
					t.Errorf("found %q in the public half", got)
				}
			}
		})
	}
}

// quoted is a value in JSON.
func quoted(v any) string {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // strings and bytes
	}
	return b.String()
}
