package fleet

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func wholeAnswer(o Order) string {
	return `{"keytrail":1,"nonce":"` + o.Nonce + `","host":"i-1","action":"apply","generation":1,"code":"ok","listen":["0.0.0.0:22","$(id):1"],` +
		`"hostKeys":["` + strings.Repeat("A", 43) + `","x"],"users":[{"user":"ec2-user","code":"ok","reason":"","present":"y","remaining":"",` +
		`"added":1,"removed":0,"foreign":2,"forged":0,"ways":"k"},{"user":"admin","code":"nouser","reason":"","present":"","remaining":"",` +
		`"added":0,"removed":0,"foreign":0,"forged":0,"ways":""}],"more":false,"detail":false,"end":"` + o.Nonce + `"}` + "\n"
}

func TestAWholeAnswerIsRead(t *testing.T) {
	t.Parallel()
	o := plainOrder(t)
	a, err := Decode(wholeAnswer(o)+"{}\n", o, "i-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Listen) != 1 || len(a.HostKeys) != 1 || len(a.Users) != 2 {
		t.Errorf("got %+v: hostile sockets and fingerprints are dropped", a)
	}
	if u := a.Users[0]; u.Present[0] != Honoured || u.Added != 1 || u.Foreign != 2 || u.Ways != "k" {
		t.Errorf("got %+v", u)
	}
	for i, want := range []State{OK, NoUser} {
		if got := judge(a.Users[i]).State; got != want {
			t.Errorf("%s is %s, want %s", a.Users[i].User, got, want)
		}
	}
}

func TestWhatIsNoAnswerIsNeverTakenForOne(t *testing.T) {
	t.Parallel()
	o := plainOrder(t)
	whole := wholeAnswer(o)
	for name, row := range map[string]struct {
		text string
		want error
	}{
		"nothing":                     {"", ErrGarbage},
		"a shell's complaint":         {"sh: 1: sshd: not found\n", ErrGarbage},
		"bytes":                       {"\xff\xfe\x00", ErrGarbage},
		"ten megabytes":               {strings.Repeat("A", 10<<20), ErrGarbage},
		"a cut answer":                {whole[:len(whole)/2], ErrCut},
		"another command's answer":    {strings.ReplaceAll(whole, o.Nonce, "ANOTHERNONCE"), ErrOther},
		"another host's answer":       {strings.Replace(whole, `"i-1"`, `"i-2"`, 1), ErrOther},
		"an answer without its end":   {strings.Replace(whole, `,"end":"`+o.Nonce+`"`, "", 1), ErrGarbage},
		"an answer about one user":    {whole[:strings.Index(whole, `,{"user":"admin"`)] + whole[strings.Index(whole, `],"more"`):], ErrGarbage},
		"an answer about a stranger":  {strings.Replace(whole, "admin", "root", 1), ErrGarbage},
		"too many marks":              {strings.Replace(whole, `"present":"y"`, `"present":"yy"`, 1), ErrGarbage},
		"a mark that does not exist":  {strings.Replace(whole, `"present":"y"`, `"present":"?"`, 1), ErrGarbage},
		"a code that does not exist":  {strings.Replace(whole, `"code":"nouser"`, `"code":"fine"`, 1), ErrGarbage},
		"ok with a reason":            {strings.Replace(whole, `"reason":""`, `"reason":"root"`, 1), ErrGarbage},
		"a reason that is no word":    {strings.Replace(whole, `"code":"ok","reason":""`, `"code":"refused","reason":"<!channel>"`, 1), ErrGarbage},
		"a summary without its users": {strings.Replace(whole, `"more":false`, `"more":true`, 1), ErrDetail},
	} {
		if _, err := Decode(row.text, o, "i-1"); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
}

// inspection is an order to which a host may say something of other accounts.
func inspection(t *testing.T) Order {
	o := testOrder(t)
	o.Action, o.Users, o.Retire = Inspect, []string{"alice"}, append(o.Retire, "SHA256:another")
	return o
}

// inspected is an answer to it, with what stands in its summary beside the users.
func inspected(o Order, beside string) string {
	return `{"keytrail":1,"nonce":"` + o.Nonce + `","host":"i-1","action":"` + string(o.Action) + `","code":"ok","users":[` +
		`{"user":"alice","code":"ok","present":"y","remaining":"` + strings.Repeat("-", len(o.Retire)) + `"}]` + beside +
		`,"more":false,"detail":false,"end":"` + o.Nonce + `"}` + "\n"
}

func TestAccountsThatWereNotOrderedAreToldApart(t *testing.T) {
	t.Parallel()
	o := inspection(t)
	text := inspected(o, `,"others":[{"user":"bob","code":"ok","present":"-","remaining":"-y"},`+
		`{"user":"carol","code":"refused","reason":"nul","present":"n","remaining":"?y"},`+
		`{"user":"dave","code":"refused","reason":"unreadable","present":"-","remaining":"-?"},`+
		`{"user":"erin","code":"unverifiable","reason":"worker","present":"","remaining":""}],"skipped":7`)
	told, err := Observe(Node{ID: "i-1"}, o, text)
	if err != nil {
		t.Fatal(err)
	}
	const trusts, may = "the account was not asked about, and trusts a retired key", "the account was not asked about, and may trust a retired key: "
	want := Observations{
		{Host: "i-1", User: "alice", State: OK, Clean: true, Skipped: 7},
		{Host: "i-1", User: "bob", State: Stale, Reason: trusts, Elsewhere: true, Remaining: o.Retire[1:]},
		{Host: "i-1", User: "carol", State: Stale, Reason: trusts, Elsewhere: true, Remaining: o.Retire},
		{Host: "i-1", User: "dave", State: Unverifiable, Reason: may + reasons["unreadable"], Elsewhere: true, Remaining: o.Retire[1:]},
		{Host: "i-1", User: "erin", State: Unverifiable, Reason: may + reasons["worker"], Elsewhere: true, Remaining: o.Retire},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
	first, _, _ := strings.Cut(text, "\n")
	second := strings.Replace(strings.Replace(first, `"keytrail":1,`, "", 1), `"more":false,`, "", 1)
	if told, err = Observe(Node{ID: "i-1"}, o, strings.Replace(inspected(o, ""), `"more":false`, `"more":true`, 1)+second+"\n"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("of an answer in two lines (-want +got):\n%s", diff)
	}
}

func TestWhatMayNotBeSaidOfOtherAccounts(t *testing.T) {
	t.Parallel()
	bob := `,"others":[{"user":"bob","code":"ok","present":"-","remaining":"-y"}]`
	o := inspection(t)
	if _, err := Decode(inspected(o, bob), o, "i-1"); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		was, is string
		order   func(*Order)
	}{
		"to an order to apply":             {"", "", func(o *Order) { o.Action = Apply }},
		"to an order that retires nothing": {`"-y"`, `""`, func(o *Order) { o.Retire = nil }},
		"of a user of the order":           {`"bob"`, `"alice"`, nil},
		"twice of one account":             {`]`, `,{"user":"bob","code":"ok","present":"-","remaining":"-y"}]`, nil},
		"of a name with a command":         {`"bob"`, `"$(id)"`, nil},
		"of a number":                      {`"bob"`, `"0"`, nil},
		"of nobody":                        {`"bob"`, `""`, nil},
		"with a mark too many":             {`"-y"`, `"-yy"`, nil},
		"with a mark too few":              {`"-y"`, `"y"`, nil},
		"with a mark that does not exist":  {`"-y"`, `"ny"`, nil},
		"that nothing is there":            {`"-y"`, `"--"`, nil},
		"that it was not looked at":        {`"present":"-","remaining":"-y"`, `"present":"","remaining":""`, nil},
		"that there is no such account":    {`"ok","present":"-","remaining":"-y"`, `"nouser","present":"","remaining":""`, nil},
		"that it was refused for nothing":  {`"ok","present":"-","remaining":"-y"`, `"refused","reason":"root","present":"","remaining":""`, nil},
		"with a reason that is no word":    {`"ok"`, `"refused","reason":"<!channel>"`, nil},
		"that fewer than none are skipped": {`]`, `],"skipped":-1`, nil},
		"as a number of them":              {bob, `,"others":3`, nil},
	} {
		o := inspection(t)
		if row.order != nil {
			row.order(&o)
		}
		text := inspected(o, strings.Replace(bob, row.was, row.is, 1))
		if _, err := Decode(text, o, "i-1"); !errors.Is(err, ErrGarbage) {
			t.Errorf("%s: %v, want %v", name, err, ErrGarbage)
		}
		if told, _ := Observe(Node{ID: "i-1"}, o, text); len(told) != 1 || told[0].State != Unverifiable || told[0].Elsewhere {
			t.Errorf("%s: %+v", name, told)
		}
	}
	o = plainOrder(t)
	if _, err := Decode(strings.Replace(wholeAnswer(o), `"more"`, `"skipped":1,"more"`, 1), o, "i-1"); !errors.Is(err, ErrGarbage) {
		t.Errorf("accounts that an order to apply skipped: %v, want %v", err, ErrGarbage)
	}
}

func TestARefusalOfTheOrderIsSaidInWords(t *testing.T) {
	t.Parallel()
	o := plainOrder(t)
	for code, words := range refusals {
		text := strings.Replace(wholeAnswer(o), `"generation":1,"code":"ok"`, `"generation":1,"code":"`+code+`"`, 1)
		if _, err := Decode(text, o, "i-1"); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// Every word that the script can say has its text here, and the other way round.
func TestTheScriptAndTheTablesKnowTheSameWords(t *testing.T) {
	t.Parallel()
	for reason := range reasons {
		if reason != "" && !strings.Contains(script, string(reason)) {
			t.Errorf("the script never says %q", reason)
		}
	}
	for code := range refusals {
		if !strings.Contains(script, "answer "+code) {
			t.Errorf("the script never answers %q", code)
		}
	}
	for _, line := range strings.Split(script, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, call := range []string{"refuse ", "say refused ", "say unverifiable ", "trouble=", "tell(\""} {
			_, rest, ok := strings.Cut(strings.TrimSpace(line), call)
			word := strings.FieldsFunc(rest+" ", func(r rune) bool { return r < 'a' || r > 'z' })
			if !ok || len(word) == 0 || rest[0] < 'a' || rest[0] > 'z' {
				continue
			}
			if _, known := reasons[Reason(word[0])]; !known {
				t.Errorf("the script says %q, which the table does not know: %s", word[0], line)
			}
		}
	}
}
