package sshkey_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"text/template"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// holder is what a careless caller may print.
type holder struct {
	Pointer *sshkey.PrivateKey
	Value   sshkey.PrivateKey
	Any     any
	List    []*sshkey.PrivateKey
	Map     map[string]sshkey.PrivateKey
	Signer  ssh.Signer

	pointer *sshkey.PrivateKey
	value   sshkey.PrivateKey
	any     any
	signer  ssh.Signer
	inner   struct{ deep []sshkey.PrivateKey }
}

func hold(k *sshkey.PrivateKey) holder {
	h := holder{
		Pointer: k, Value: *k, Any: *k, List: []*sshkey.PrivateKey{k},
		Map: map[string]sshkey.PrivateKey{"k": *k}, Signer: k.Signer(),
		pointer: k, value: *k, any: *k, signer: k.Signer(),
	}
	h.inner.deep = []sshkey.PrivateKey{*k}
	return h
}

// verbs are all verbs that print values, with all flags.
var verbs = func() (all []string) {
	for verb := range strings.SplitSeq("vsqxXdobOcUtbeEfFgG", "") {
		for _, flag := range []string{"", "+", "#", " ", "0", "-", "+#", "# ", ".3", "200", "-200.100"} {
			all = append(all, "%"+flag+verb)
		}
	}
	return all
}()

func TestPrivateKeysPrintAsRedacted(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	for _, verb := range verbs {
		for name, v := range map[string]any{"pointer": k, "value": *k, "signer": k.Signer()} {
			if got := fmt.Sprintf(verb, v); got != "[redacted]" {
				t.Errorf("%s of a %s shows something else than [redacted]", verb, name)
			}
		}
	}
	if got := fmt.Sprint(k, *k, []any{k}); got != "[redacted] [redacted] [[redacted]]" {
		t.Error("Sprint shows something else than [redacted]")
	}
	if got := fmt.Errorf("use key: %v", k).Error(); got != "use key: [redacted]" {
		t.Error("an error shows something else than [redacted]")
	}
	var b bytes.Buffer
	log.New(&b, "", 0).Print("key ", k, " ", *k)
	if err := template.Must(template.New("").Parse("{{.}} {{printf `%x` .}}")).Execute(&b, k); err != nil {
		t.Error(err)
	}
	if got := b.String(); got != "key [redacted] [redacted]\n[redacted] [redacted]" {
		t.Error("package log or a template shows something else than [redacted]")
	}
}

func TestNothingPrintsThePrivateHalf(t *testing.T) {
	t.Parallel()
	for _, pair := range pairs() {
		if pair.Type == sshkey.RSA3072 || pair.Type == sshkey.RSA4096 {
			continue
		}
		t.Run(string(pair.Type)+" as "+string(pair.Format), func(t *testing.T) {
			t.Parallel()
			k, err := sshkey.Generate(pair.Type, pair.Format, "")
			if err != nil {
				t.Fatal(err)
			}
			h := hold(k)
			for _, v := range []any{k, *k, h, &h, []holder{h}, k.Signer(), reflect.ValueOf(k), reflect.ValueOf(h), struct{ error }{errors.New("x")}} {
				var out strings.Builder
				for _, verb := range slices.Concat(verbs, []string{"%p", "%T", "%w", "%z", "%!"}) {
					fmt.Fprintf(&out, verb+"\n", v)
				}
				keepsSecret(t, k, fmt.Sprintf("printing a %T", v), out.String())
			}
			keepsSecret(t, k, "fmt.Sprintln", fmt.Sprintln(h, &h))
			for _, v := range []any{k, *k, h, &h, map[string]any{"k": k}} {
				keepsSecret(t, k, "JSON", encoded(json.Marshal(v)))
				keepsSecret(t, k, "XML", encoded(xml.Marshal(v)))
			}
		})
	}
}

func TestNoLogShowsThePrivateHalf(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	h := hold(k)
	handlers := []struct {
		name string
		new  func(*bytes.Buffer) slog.Handler
		want string
	}{
		{"text", func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }, "k=[redacted]"},
		{"JSON", func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }, `"k":"[redacted]"`},
	}
	for _, handler := range handlers {
		t.Run(handler.name, func(t *testing.T) {
			t.Parallel()
			for _, v := range []any{k, *k, k.Signer()} {
				var b bytes.Buffer
				slog.New(handler.new(&b)).Info("key", "k", v)
				if !strings.Contains(b.String(), handler.want) {
					t.Errorf("%T is not logged as [redacted]", v)
				}
			}
			var b bytes.Buffer
			logger := slog.New(handler.new(&b)).With("k", k).WithGroup("g").With("h", h)
			logger.Info("nested", "h", h, "p", &h, slog.Group("s", "k", k, "list", []any{k, *k}), "err", fmt.Errorf("use %v", h))
			keepsSecret(t, k, "log", b.String())
		})
	}
}

func TestPrivateKeysEncodeAsRedacted(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	text, err := json.Marshal(map[string]any{"pointer": k, "value": *k, "signer": k.Signer()})
	if want := `{"pointer":"[redacted]","signer":"[redacted]","value":"[redacted]"}`; string(text) != want || err != nil {
		t.Errorf("JSON is something else than [redacted], %v", err)
	}
	if text, err := k.MarshalText(); string(text) != "[redacted]" || err != nil {
		t.Errorf("text is something else than [redacted], %v", err)
	}
	var none *sshkey.PrivateKey
	if got := fmt.Sprintf("%v", none); got != "<nil>" {
		t.Errorf("no key prints as %q", got)
	}
}

// The check of this file sees what a careless type would print.
func TestTheCheckForLeaksFindsThem(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	type careless struct{ pem []byte }
	block, _ := pem.Decode(k.PEM())
	for _, verb := range []string{"%v", "%s", "%x", "%X", "%+v", "%#v", "%d"} {
		if !leaks(k, fmt.Sprintf(verb, careless{k.PEM()})) {
			t.Errorf("%s of the text passes as no leak", verb)
		}
		if !leaks(k, fmt.Sprintf(verb, careless{block.Bytes})) {
			t.Errorf("%s of the bytes passes as no leak", verb)
		}
	}
	// A pointer hides its struct from fmt, until a verb does not fit it.
	type hidden struct{ inner *careless }
	verb := "%z"
	if !leaks(k, fmt.Sprintf(verb, hidden{&careless{k.PEM()}})) {
		t.Error("a bad verb of a pointer passes as no leak")
	}
}

func keepsSecret(t *testing.T, k *sshkey.PrivateKey, how, out string) {
	t.Helper()
	if leaks(k, out) {
		t.Errorf("%s shows the private half", how)
	}
}

// leaks reports whether out holds eight bytes in a row of the private form or
// of what it encodes, in one of the spellings that printing gives them.
func leaks(k *sshkey.PrivateKey, out string) bool {
	block, _ := pem.Decode(k.PEM())
	out = strings.ToLower(out)
	for _, secret := range [][]byte{k.PEM(), block.Bytes} {
		for run := range slices.Chunk(secret[:len(secret)/8*8], 8) {
			if distinct := slices.Compact(slices.Sorted(slices.Values(run))); len(distinct) < 5 {
				continue // lengths and zeros, which any address may hold
			}
			for _, spelling := range []string{
				string(run),
				hex.EncodeToString(run),
				fmt.Sprintf("% x", run),
				strings.Trim(fmt.Sprint(run), "[]"),
				strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", run), "[]byte{"), "}"),
			} {
				if strings.Contains(out, strings.ToLower(spelling)) {
					return true
				}
			}
		}
	}
	return false
}

func newKey(t *testing.T) *sshkey.PrivateKey {
	t.Helper()
	k, err := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func encoded(b []byte, err error) string { return fmt.Sprint(string(b), err) }
