package fleet

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"mvdan.cc/sh/v3/syntax"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

func testOrder(t testing.TB) Order {
	t.Helper()
	key, err := sshkey.Generate(sshkey.Ed25519, sshkey.OpenSSH, "keytrail:a/b:1")
	if err != nil {
		t.Fatal(err)
	}
	return Order{
		Action: Apply, Nonce: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Scope: Scope("arn:s"), Users: []string{"ec2-user", "admin"},
		Install: []sshkey.PublicKey{key.Public()}, Retire: []sshkey.Fingerprint{key.Public().Fingerprint()[:50]},
		Generation: 1, Expires: time.Unix(2_000_000_000, 0),
	}
}

func plainOrder(t testing.TB) Order {
	o := testOrder(t)
	o.Retire = nil
	return o
}

// assignments parses shell text and fails unless each line is one assignment of one literal, which is
// what keeps a value from ever being code.
func assignments(t *testing.T, text string) {
	t.Helper()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "")
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, s := range file.Stmts {
		call, ok := s.Cmd.(*syntax.CallExpr)
		if !ok || len(call.Args) != 0 || len(call.Assigns) != 1 || len(s.Redirs) != 0 || s.Background {
			t.Fatalf("not one assignment:\n%s", text)
		}
		parts := call.Assigns[0].Value.Parts
		if quoted, ok := parts[0].(*syntax.SglQuoted); len(parts) != 1 || !ok || quoted.Dollar {
			t.Fatalf("not one literal:\n%s", text)
		}
	}
}

func FuzzNoValueBecomesCode(f *testing.F) {
	for _, evil := range []string{"ec2-user", "$(id)", "a'b", "`id`", "a\nid", "a;id", "a b", "{{ssm:x}}", "a}", "-x", "a\\", "é", ""} {
		f.Add(evil, evil, evil)
	}
	base := plainOrder(f)
	f.Fuzz(func(t *testing.T, user, nonce, scope string) {
		o := base
		o.Users, o.Nonce, o.Scope = []string{user}, nonce, scope
		lines, err := o.Commands()
		if err != nil {
			return // refused: nothing is sent
		}
		assignments(t, strings.Join(lines[:len(lines)-1], "\n"))
	})
}

func TestHostileValuesAreNamedAndNotSent(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Order){
		"a user name with a command":          func(o *Order) { o.Users = []string{"$(id)"} },
		"a user name with a quote":            func(o *Order) { o.Users = []string{"a'b"} },
		"a user name with a line end":         func(o *Order) { o.Users = []string{"a\nid"} },
		"a user name that is a number":        func(o *Order) { o.Users = []string{"0"} },
		"no user at all":                      func(o *Order) { o.Users = nil },
		"a nonce with a Parameter Store name": func(o *Order) { o.Nonce = "{{ssm:secret}}" },
		"a scope that leaves its folder":      func(o *Order) { o.Scope = "../../../../../../../etc/passwd00" },
		"a fingerprint that is none":          func(o *Order) { o.Retire = []sshkey.Fingerprint{"SHA256:';id"} },
		"a key to install and to retire":      func(o *Order) { o.Retire = []sshkey.Fingerprint{o.Install[0].Fingerprint()} },
		"an action that does not exist":       func(o *Order) { o.Action = "destroy" },
	} {
		o := plainOrder(t)
		spoil(&o)
		if _, err := o.Commands(); err == nil {
			t.Errorf("%s: sent by AWS-RunShellScript", name)
		}
		if _, err := o.Parameters(); err == nil {
			t.Errorf("%s: sent by our document", name)
		}
	}
}

func TestTheDocumentsFitAndCheckEveryParameter(t *testing.T) {
	t.Parallel()
	for _, action := range []Action{Apply, Inspect} {
		text := Document(action)
		var d struct {
			SchemaVersion string
			Parameters    map[string]struct{ AllowedPattern, InterpolationType string }
			MainSteps     []struct{ Inputs struct{ RunCommand []string } }
		}
		if err := json.Unmarshal(text, &d); err != nil || d.SchemaVersion != "2.2" {
			t.Fatalf("%s: %v", action, err)
		}
		o := plainOrder(t)
		o.Action = action
		values, err := o.Parameters()
		if err != nil {
			t.Fatal(err)
		}
		size := len(text)
		for name, p := range d.Parameters {
			pattern, err := regexp.Compile(p.AllowedPattern)
			if err != nil || !strings.HasPrefix(p.AllowedPattern, "^") || !strings.HasSuffix(p.AllowedPattern, "$") {
				t.Errorf("%s: pattern %q of %s: %v", action, p.AllowedPattern, name, err)
				continue
			}
			for _, evil := range []string{"'", "a'b", "$(id)", "`id`", "a\nb", "{{x}}", "\\", "a}", ""} {
				if pattern.MatchString(evil) {
					t.Errorf("%s: %s may be %q", action, name, evil)
				}
			}
			if v, ok := values[name]; ok && !pattern.MatchString(v[0]) {
				t.Errorf("%s: %s does not take its own value %q", action, name, v[0])
			} else if !ok && name != "ExecutionTimeout" {
				t.Errorf("%s: no order fills %s", action, name)
			}
		}
		for _, p := range parameters {
			size += p.maxChars
		}
		// https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-creating-content.html
		if size > 64<<10 {
			t.Errorf("%s: document and the longest parameters have %d bytes, more than 64 KB", action, size)
		}
		if lines := d.MainSteps[0].Inputs.RunCommand; lines[0] != "SSM_Action='"+string(action)+"'" || lines[len(lines)-1] != Script() {
			t.Errorf("%s: the document does not carry its action and the script", action)
		}
	}
}
