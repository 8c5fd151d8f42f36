package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// many returns places on as many hosts.
func many(n int) []Place {
	var all []Place
	for i := range n {
		all = append(all, Place{Host: fmt.Sprintf("i-%017x", i), User: "deploy", State: "missing", Reason: strings.Repeat("é", 300), Fingerprints: []string{print1}, CommandID: command})
	}
	return all
}

// hostile is a message with the same text in each field that comes from outside.
func hostile(id ID, status Status, text string) Message {
	m := message(id, status)
	m.Secret.Name = text
	m.Problem = Problem{
		Condition: id, Scope: text, Version: text, Reason: text, Step: text, Function: text, Fingerprint: text,
		EventID: text, EventName: text, Who: Who{text, text, text}, Seen: 1, Expected: 2,
		Places: []Place{{text, text, text, text, []string{text, text + "2"}, text}},
	}
	return m
}

var hostileTexts = []string{
	"<!channel> <!here|x> <@U123> @here @channel @everyone",
	"<https://evil.example|the AWS console> [click](https://evil.example) https://evil.example",
	"`code` ```block``` *bold* ~gone~ &lt;!channel&gt;",
	"a\r\nBcc: everyone@example.com\n\nDear all",
	"\x1b[31mred\x1b[0m \x1b]0;title\x07 \u009b2J bell\x07 nul\x00 del\x7f",
	"abc\u202etxt.exe\u202c \u2066x\u2069 \u200b\ufeff\u00ad",
	"not \xff\xfe UTF-8",
	"'; rm -rf / #$(reboot)`reboot`\"&|>x",
	"\",\"severity\":\"info\",\"x\":\"\\",
	"{secret}{hosts}{arn}{region}%s%n",
	strings.Repeat("long ", 1000), strings.Repeat("🔑", 1000), "",
}

// texts returns all strings of a JSON value.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, texts(item)...)
		}
		return all
	case map[string]any:
		var all []string
		for _, member := range v {
			all = append(all, texts(member)...)
		}
		return all
	}
	return nil
}

// unfit tells what no text for people may hold. Our own texts have line ends.
func unfit(text string) string {
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return fmt.Sprintf("%U", r)
		}
	}
	return ""
}

func checkReadable(t *testing.T, m Message) {
	t.Helper()
	p := render(t, m)
	subject := p.subject()
	if len(subject) > 99 || strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r > '~' }) || subject == "" {
		t.Errorf("subject %q", subject)
	}
	body, err := p.structured()
	if err != nil || len(body) > maxMessage || !utf8.ValidString(body) {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	var parts map[string]string
	if err := json.Unmarshal([]byte(body), &parts); err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(parts["default"]), &document); err != nil || document["severity"] != string(p.condition.Severity) {
		t.Fatalf("document: %v", err)
	}
	for _, text := range append(texts(document), subject) {
		if strings.Contains(text, "\n") {
			t.Errorf("more than one line: %.200q", text)
		}
	}
	for _, text := range append(texts(document), parts["email"], parts["sms"]) {
		if bad := unfit(text); bad != "" {
			t.Errorf("%s in %.200q", bad, text)
		}
	}
	checkChat(t, p)
	for _, s := range p.condition.Steps {
		if run := p.command(s.Run); strings.ContainsAny(run, "`$;&|\\\n") || strings.Count(run, "'")%2 != 0 {
			t.Errorf("command %s", run)
		}
	}
}

func checkChat(t *testing.T, p page) {
	t.Helper()
	var n notification
	if err := json.Unmarshal(must(t, p.chat), &n); err != nil {
		t.Fatal(err)
	}
	c := n.Content
	long := func(s string, most int) bool {
		return utf8.RuneCountInString(s) > most || !utf8.ValidString(s) || s == ""
	}
	if long(c.Title, maxTitle) || long(c.Description, maxDescription) || n.Version != "1.0" || n.Source != "custom" || n.Metadata.ThreadID != p.Alert {
		t.Errorf("%d and %d characters, %+v", len(c.Title), len(c.Description), n.Metadata)
	}
	for _, s := range c.NextSteps {
		if long(s, maxStep) {
			t.Errorf("step of %d characters: %s", len(s), s)
		}
	}
	for _, k := range c.Keywords {
		if utf8.RuneCountInString(k) > maxKeyword || !utf8.ValidString(k) {
			t.Errorf("keyword %q", k)
		}
	}
	for _, text := range append(append([]string{c.Title, c.Description, n.Metadata.Summary}, c.NextSteps...), c.Keywords...) {
		if bad := unfit(text); bad != "" {
			t.Errorf("%s in %.200q", bad, text)
		}
		for _, bad := range []string{"<!", "<@", "@here", "@channel", "@everyone", "https://evil", "](", "&lt;"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s in %.300q", bad, text)
			}
		}
		if strings.Count(text, "`")%2 != 0 {
			t.Errorf("a span of code is open in %.300q", text)
		}
	}
}

func TestHostileTextsAreHarmlessWhereverTheyAreShown(t *testing.T) {
	t.Parallel()
	for i, text := range hostileTexts {
		t.Run(fmt.Sprintf("%d %.20q", i, text), func(t *testing.T) {
			t.Parallel()
			for _, c := range Conditions() {
				for _, s := range []Status{Opened, Repeated, Resolved} {
					checkReadable(t, hostile(c.ID, s, text))
				}
			}
		})
	}
}

func FuzzReadable(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkReadable(t, hostile(RotationFailed, Opened, text))
		checkReadable(t, hostile(PrivateKeyRead, Repeated, text))
	})
}

func TestTenThousandHostsAreOneMessageThatSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	s := Sighting{Secret: fleetKey, At: noon, Looked: []ID{DriftMissing}, Problems: []Problem{{Condition: DriftMissing, Places: many(10_000)}}}
	r := record{}.observe(s, noon, rules)
	if len(r.Unsaid) != 1 {
		t.Fatalf("%d messages", len(r.Unsaid))
	}
	m := r.Unsaid[0]
	checkReadable(t, m)
	p := render(t, m)
	if want := "and 9975 more accounts; 10000 hosts in all"; !strings.Contains(p.mail(), want) {
		t.Errorf("the mail does not say %q:\n%s", want, p.mail())
	}
	if want := "and 9990 more accounts; 10000 hosts in all"; !strings.Contains(p.description(), want) {
		t.Errorf("the chat does not say %q", want)
	}
	body, err := p.structured()
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]string
	var d Document
	if json.Unmarshal([]byte(body), &parts) != nil || json.Unmarshal([]byte(parts["default"]), &d) != nil {
		t.Fatal("no JSON")
	}
	if d.Hosts != 10_000 || len(d.Problem.Places) < 50 || len(d.Problem.Places)+d.Problem.Left.Places != 10_000 {
		t.Errorf("%d hosts, %d listed, %+v", d.Hosts, len(d.Problem.Places), d.Problem.Left)
	}
}

func TestACutIsBetweenCharactersAndSaysHowManyAreMissing(t *testing.T) {
	t.Parallel()
	for most := 40; most < 60; most++ {
		got := cut(strings.Repeat("🔑é", 100), most)
		if !utf8.ValidString(got) || len(got) > most || !strings.Contains(got, " more characters)") {
			t.Errorf("%d: %q has %d bytes", most, got, len(got))
		}
		var left int
		kept, tail, _ := strings.Cut(got, " … (")
		if _, err := fmt.Sscanf(tail, "%d more", &left); err != nil || utf8.RuneCountInString(kept)+left != 200 {
			t.Errorf("%q", got)
		}
	}
}

func TestPlainTextIsOneLineThatShowsAllItHolds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\r\n\tb\u2028c": "a b c",
		"\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1bc": "red x",
		"\u009b2Jx":                          "x",
		"abc\u202etxt.exe\u2066\u200b\ufeff": "abctxt.exe",
		"not \xff UTF-8":                     "not \ufffd UTF-8",
		" Zoë 名前 ":                           "Zoë 名前",
	} {
		if got := plain(text, 100); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
