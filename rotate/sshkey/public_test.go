package sshkey_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// GitHub publishes its host keys with their fingerprints.
// https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints
const (
	githubBlob        = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
	githubLine        = "ssh-ed25519 " + githubBlob
	githubFingerprint = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
)

func TestPublicKeyIsReadFromItsLine(t *testing.T) {
	t.Parallel()
	k, err := sshkey.ParsePublic(githubLine + " keytrail:prod/web:6cd2")
	if err != nil {
		t.Fatal(err)
	}
	type parts struct {
		Algorithm, Blob, Comment, Line string
		Fingerprint                    sshkey.Fingerprint
		Bits                           int
	}
	got := parts{k.Algorithm(), k.Blob(), k.Comment(), k.String(), k.Fingerprint(), k.Bits()}
	want := parts{
		Algorithm:   "ssh-ed25519",
		Blob:        githubBlob,
		Comment:     "keytrail:prod/web:6cd2",
		Line:        githubLine + " keytrail:prod/web:6cd2",
		Fingerprint: githubFingerprint,
		Bits:        256,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts of the key (-want +got):\n%s", diff)
	}
	if got := k.WithComment("").String(); got != githubLine {
		t.Errorf("line without comment = %q", got)
	}
}

func TestEveryAlgorithmOfAuthorizedKeysIsAccepted(t *testing.T) {
	t.Parallel()
	point := elliptic256(t)
	tests := []struct {
		name string
		line string
		bits int
	}{
		{"ed25519", lineOf(t, sshkey.Ed25519), 256},
		{"ecdsa on P-256", lineOf(t, sshkey.ECDSAP256), 256},
		{"ecdsa on P-384", lineOf(t, sshkey.ECDSAP384), 384},
		{"ecdsa on P-521", lineOf(t, sshkey.ECDSAP521), 521},
		{"rsa", lineOf(t, sshkey.RSA2048), 2048},
		{"ed25519 on a security key", wire(ssh.KeyAlgoSKED25519, ssh.Marshal(struct {
			Name, Key, Application string
		}{ssh.KeyAlgoSKED25519, strings.Repeat("k", ed25519.PublicKeySize), "ssh:"})), 256},
		{"ecdsa on a security key", wire(ssh.KeyAlgoSKECDSA256, ssh.Marshal(struct {
			Name, Curve string
			Point       []byte
			Application string
		}{ssh.KeyAlgoSKECDSA256, "nistp256", point, "ssh:"})), 256},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := sshkey.ParsePublic(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			if k.String() != tt.line || k.Bits() != tt.bits {
				t.Errorf("got %q of %d bits, want %q of %d", k, k.Bits(), tt.line, tt.bits)
			}
			other, _, _, _, err := ssh.ParseAuthorizedKey([]byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if want := ssh.FingerprintSHA256(other); string(k.Fingerprint()) != want {
				t.Errorf("fingerprint = %s, want %s", k.Fingerprint(), want)
			}
		})
	}
}

func TestWhatIsNotExactlyOneKeyLineIsRefused(t *testing.T) {
	t.Parallel()
	raw, err := base64.StdEncoding.DecodeString(githubBlob)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := lineOf(t, sshkey.RSA2048)
	tests := []struct {
		name string
		line string
		want string
	}{
		{"nothing", "", "start with a key algorithm"},
		{"a comment line", "# " + githubLine, "start with a key algorithm"},
		{"an option before the key", "no-pty " + githubLine, "options are not allowed"},
		{"a forced command before the key", `command="/bin/sh" ` + githubLine, "options are not allowed"},
		{"a certificate authority", "cert-authority " + githubLine, "options are not allowed"},
		{"space before the key", " " + githubLine, "start with a key algorithm"},
		{"a final line feed", githubLine + "\n", "line end or control character"},
		{"a second line", githubLine + "\n" + githubLine, "line end or control character"},
		{"a carriage return", githubLine + "\r", "line end or control character"},
		{"a tab between the fields", "ssh-ed25519\t" + githubBlob, "line end or control character"},
		{"a NUL byte in the comment", githubLine + " a\x00b", "line end or control character"},
		{"an escape sequence in the comment", githubLine + " \x1b[2J", "line end or control character"},
		{"an algorithm alone", "ssh-ed25519", "key cannot be read"},
		{"two spaces between the fields", "ssh-ed25519  " + githubBlob, "key cannot be read"},
		{"a key without its algorithm", githubBlob, "start with a key algorithm"},
		{"an algorithm in capitals", "SSH-ED25519 " + githubBlob, "start with a key algorithm"},
		{"another key's algorithm", "ssh-rsa " + githubBlob, "algorithm of the line"},
		{"a signature algorithm as the key's", "rsa-sha2-512 " + strings.Fields(rsaKey)[1], "start with a key algorithm"},
		{"a certificate", certificate(t), "certificate: want a plain key"},
		{"a certificate under a key's name", "ssh-ed25519 " + strings.Fields(certificate(t))[1], "algorithm of the line"},
		{"a dsa key", "ssh-dss AAAAB3NzaC1kc3MAAAABAAAAAQA=", "start with a key algorithm"},
		{"base64 without its padding", strings.TrimRight(wire("ssh-ed25519", raw[:50]), "="), "not canonical base64"},
		{"base64 for URLs", strings.ReplaceAll(githubLine, "/", "_") + "_-", "not canonical base64"},
		{"bits behind the last byte", looseBits(wire("ssh-ed25519", raw[:50])), "not canonical base64"},
		{"half a key", wire("ssh-ed25519", raw[:40]), "key cannot be read"},
		{"bytes after the key", wire("ssh-ed25519", append(slices.Clone(raw), 0)), "key cannot be read"},
		{"a number with a needless zero", wire("ssh-rsa", paddedRSA(t, rsaKey)), "not in its canonical form"},
		{"a point off its curve", wire("ecdsa-sha2-nistp256", ssh.Marshal(struct {
			Name, Curve string
			Point       []byte
		}{"ecdsa-sha2-nistp256", "nistp256", append([]byte{4}, make([]byte, 64)...)})), "key cannot be read"},
		{"a private key", "-----BEGIN PRIVATE KEY-----", "start with a key algorithm"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := sshkey.ParsePublic(tt.line)
			if err == nil {
				t.Fatalf("accepted as %q", k)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %q, want %q", err, tt.want)
			}
			if !k.IsZero() {
				t.Errorf("error came with key %q", k)
			}
		})
	}
}

func TestCommentsKeepOnlyPlainCharacters(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	tests := []struct {
		name    string
		comment string
		want    string
	}{
		{"a comment of ours", "keytrail:prod/web_1+a=b.c@d-e:6cd2", "keytrail:prod/web_1+a=b.c@d-e:6cd2"},
		{"words", " My old  laptop (2019) ", "My_old_laptop_2019_"},
		{"shell code", "a'$(reboot)`x`\\;\n", "a_reboot_x_"},
		{"a template", "{{ Users }}", "_Users_"},
		{"letters beyond ASCII", "żółw@dom", "_w@dom"},
		{"bytes that are no text", "a\xff\xfeb", "a_b"},
		{"only space", "   ", ""},
		{"too long", long + "y", long},
	}
	k, err := sshkey.ParsePublic(githubLine)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := k.WithComment(tt.comment).Comment(); got != tt.want {
				t.Errorf("comment = %q, want %q", got, tt.want)
			}
		})
	}
	parsed, err := sshkey.ParsePublic(githubLine + " My old laptop")
	if err != nil || parsed.Comment() != "My_old_laptop" {
		t.Errorf("parsed comment = %q, %v", parsed.Comment(), err)
	}
}

func TestKeysAreEqualByBlobAlone(t *testing.T) {
	t.Parallel()
	a, errA := sshkey.ParsePublic(githubLine + " one")
	b, errB := sshkey.ParsePublic(githubLine + " two")
	c, errC := sshkey.ParsePublic(lineOf(t, sshkey.Ed25519))
	if errA != nil || errB != nil || errC != nil {
		t.Fatal(errA, errB, errC)
	}
	var none sshkey.PublicKey
	if !a.Equal(b) || a.Equal(c) || a.Equal(none) {
		t.Error("equality is not that of the blobs")
	}
	if !none.IsZero() || none.String() != "" || none.Fingerprint() != "" || none.Bits() != 0 || a.IsZero() {
		t.Error("the zero value is not no key")
	}
}

func TestPublicKeysAndFingerprintsSurviveJSON(t *testing.T) {
	t.Parallel()
	type entry struct {
		Key  sshkey.PublicKey
		None sshkey.PublicKey
		By   map[sshkey.Fingerprint]sshkey.PublicKey
	}
	k, err := sshkey.ParsePublic(githubLine + " c")
	if err != nil {
		t.Fatal(err)
	}
	want := entry{Key: k, By: map[sshkey.Fingerprint]sshkey.PublicKey{githubFingerprint: k}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	wantText := `{"Key":"` + githubLine + ` c","None":"","By":{"` + githubFingerprint + `":"` + githubLine + ` c"}}`
	if string(text) != wantText {
		t.Errorf("JSON = %s, want %s", text, wantText)
	}
	var got entry
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || got.Key.Comment() != "c" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}
	for _, bad := range []string{`{"Key":"ssh-ed25519 x"}`, `{"By":{"SHA256:x":""}}`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestFingerprintsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	f, err := sshkey.ParseFingerprint(githubFingerprint)
	if err != nil || string(f) != githubFingerprint || "SHA256:"+f.Short() != githubFingerprint {
		t.Fatalf("ParseFingerprint = %q, %v", f, err)
	}
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"no hash name", f.Short()},
		{"the hash name in lower case", "sha256:" + f.Short()},
		{"padding", githubFingerprint + "="},
		{"too short", githubFingerprint[:len(githubFingerprint)-1]},
		{"too long", githubFingerprint + "A"},
		{"bits behind the last byte", githubFingerprint[:len(githubFingerprint)-1] + "V"},
		{"a line end inside", githubFingerprint[:20] + "\n" + githubFingerprint[20:]},
		{"a line end behind", githubFingerprint + "\n"},
		{"the older hash", "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if f, err := sshkey.ParseFingerprint(tt.text); err == nil {
				t.Errorf("accepted as %q", f)
			}
		})
	}
}

func FuzzParsePublic(f *testing.F) {
	for _, seed := range []string{
		"", githubLine, githubLine + " a comment", githubLine + "\n", "no-pty " + githubLine,
		"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQA=", "ssh-ed25519 " + strings.Repeat("A", 68),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		k, err := sshkey.ParsePublic(line)
		if err != nil {
			return
		}
		again, err := sshkey.ParsePublic(k.String())
		if err != nil || again != k {
			t.Fatalf("%q came back as %q, %v", k, again, err)
		}
		other, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(k.String()))
		if err != nil || len(options) > 0 || len(rest) > 0 {
			t.Fatalf("%q is not one plain line: %v", k, err)
		}
		if ssh.FingerprintSHA256(other) != string(k.Fingerprint()) {
			t.Fatalf("%q has another fingerprint elsewhere", k)
		}
		if _, err := sshkey.ParseFingerprint(string(k.Fingerprint())); err != nil {
			t.Fatalf("fingerprint %q: %v", k.Fingerprint(), err)
		}
	})
}

func BenchmarkParsePublic(b *testing.B) {
	for b.Loop() {
		if _, err := sshkey.ParsePublic(githubLine + " keytrail:prod/web:6cd2"); err != nil {
			b.Fatal(err)
		}
	}
}

// lineOf returns a new key's line without a comment.
func lineOf(t *testing.T, typ sshkey.Type) string {
	t.Helper()
	k, err := sshkey.Generate(typ, sshkey.OpenSSH, "")
	if err != nil {
		t.Fatal(err)
	}
	return k.Public().String()
}

func wire(algorithm string, blob []byte) string {
	return algorithm + " " + base64.StdEncoding.EncodeToString(blob)
}

// looseBits sets a bit that belongs to no byte in a text that ends in one "=".
func looseBits(encoded string) string {
	b := []byte(encoded)
	b[len(b)-2]++ // the two low bits of this character are zero
	return string(b)
}

// elliptic256 returns some point of P-256 as SSH writes it.
func elliptic256(t *testing.T) []byte {
	t.Helper()
	blob, err := base64.StdEncoding.DecodeString(strings.Fields(lineOf(t, sshkey.ECDSAP256))[1])
	if err != nil {
		t.Fatal(err)
	}
	var parts struct {
		Name, Curve string
		Point       []byte
	}
	if err := ssh.Unmarshal(blob, &parts); err != nil {
		t.Fatal(err)
	}
	return parts.Point
}

// paddedRSA returns the blob of an RSA key whose exponent has a needless zero
// byte: the same key to whoever reads it, with another hash.
func paddedRSA(t *testing.T, line string) []byte {
	t.Helper()
	blob, err := base64.StdEncoding.DecodeString(strings.Fields(line)[1])
	if err != nil {
		t.Fatal(err)
	}
	var parts struct {
		Name string
		E, N []byte
	}
	if err := ssh.Unmarshal(blob, &parts); err != nil {
		t.Fatal(err)
	}
	parts.E = append([]byte{0}, parts.E...)
	return ssh.Marshal(parts)
}

// certificate returns the line of a signed user certificate.
func certificate(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(cert)))
}
