package rotate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

func newKey(t *testing.T) *sshkey.PrivateKey {
	t.Helper()
	key, err := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, "keytrail:test:1")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestOtherMembersOfTheValueSurviveExactly(t *testing.T) {
	t.Parallel()
	const others = `"big":12345678901234567890,"exact":1.10,"html":"<a&b>","list":[1, 2],"null":null,"text":"\u00e4"`
	v, err := parseValue(`{"PublicKey":"","PrivateKey":"",` + others + `}`)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	stored, err := parseValue(v.withPair(key).text())
	if err != nil {
		t.Fatal(err)
	}
	want := `{` + strings.ReplaceAll(others, "[1, 2]", "[1,2]") + `}`
	if diff := cmp.Diff(want, stored.others()); diff != "" {
		t.Errorf("members beside the key pair (-want +got):\n%s", diff)
	}
	pair, err := stored.pair()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pair.Public().Fingerprint(), key.Public().Fingerprint(); got != want {
		t.Errorf("stored key is %s, want %s", got, want)
	}
	if !v.empty() || stored.empty() {
		t.Errorf("empty: before %t, after %t; want true, false", v.empty(), stored.empty())
	}
}

func TestValuesThatAreNoObjectAreNamed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a bare PEM":   "\n-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n",
		"a JSON array": `["c2VjcmV0"]`,
		"a string":     `"c2VjcmV0"`,
		"null":         `null`,
		"cut JSON":     `{"PrivateKey":"c2VjcmV0`,
		"no text":      ``,
	} {
		_, err := parseValue(text)
		if err == nil {
			t.Errorf("%s was accepted", name)
		} else if strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: the error repeats the value: %v", name, err)
		}
	}
}

func TestHalvesThatDoNotBelongTogetherAreRefused(t *testing.T) {
	t.Parallel()
	a, b := newKey(t), newKey(t)
	text, _ := json.Marshal(map[string]string{"PublicKey": a.Public().String(), "PrivateKey": string(b.PEM())})
	v, err := parseValue(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.pair(); err == nil {
		t.Error("a pair of two different keys was accepted")
	}
	// Either may have been rolled out by whoever made this value: both are to be retired.
	if n := len(v.publicKeys()); n != 2 {
		t.Errorf("publicKeys found %d keys, want 2", n)
	}
}

func TestAValuePrintsAsRedacted(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	v := emptyValue().withPair(key)
	for verb := range strings.SplitSeq("vsqxXdobOcUtbeEfFgG", "") {
		for _, flag := range []string{"", "+", "#", " ", "0", "-", ".3", "200"} {
			if got := fmt.Sprintf("%"+flag+verb, v); got != "[redacted]" {
				t.Errorf("%%%s%s shows something else than [redacted]", flag, verb)
			}
		}
	}
	text, err := json.Marshal(map[string]any{"v": v, "pointer": &v})
	if want := `{"pointer":"[redacted]","v":"[redacted]"}`; string(text) != want || err != nil {
		t.Errorf("JSON: %s, %v", text, err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("value", "v", v)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("value", "v", v)
	if log := logged.String(); !strings.Contains(log, "v=[redacted]") || !strings.Contains(log, `"v":"[redacted]"`) {
		t.Errorf("logged as %s", log)
	}
	// Where no method is asked, there is still nothing to see.
	all := fmt.Errorf("read %v", v).Error() + fmt.Sprintf(strings.Repeat("%z", 2)+"%w", v, struct{ inner *value }{&v}, v)
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).With("v", v).WithGroup("g").Info("value", "pointer", &v, "nested", struct{ V, v value }{v, v})
	}
	all += logged.String()
	for line := range strings.Lines(string(key.PEM())) {
		line = strings.TrimSpace(line)
		if strings.Contains(all, line) || strings.Contains(all, fmt.Sprintf("%x", line)) {
			t.Errorf("a line of the private key was printed")
		}
	}
}
