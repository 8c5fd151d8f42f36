package fleet

import (
	"errors"
	"strings"
	"testing"
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
