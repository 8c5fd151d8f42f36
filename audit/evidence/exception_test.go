package evidence

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestOnlyAWholeListCounts reads lists by the parser and by the published schema: both must say the same.
func TestOnlyAWholeListCounts(t *testing.T) {
	t.Parallel()
	schema := compiled(t, "exceptions.schema.json")
	print := "SHA256:" + strings.Repeat("A", 43)
	good := `{"expires":"2027-01-31","fingerprint":"` + print + `","owner":"Ops","reason":"launch key"}`
	for _, row := range []struct{ name, list, want string }{
		{"none", `{"schema":1,"exceptions":[]}`, ""},
		{"one", `{"schema":1,"exceptions":[` + good + `]}`, ""},
		{"one with hosts and an account", `{"schema":1,"exceptions":[{"user":"deploy","hosts":["i-1","mi-*"],` + good[1:] + `]}`, ""},
		{"half a list", `{"schema":1,"exceptions":[`, "unexpected EOF"},
		{"a list of a later release", `{"schema":2,"exceptions":[]}`, "its schema is 2"},
		{"no owner", `{"schema":1,"exceptions":[` + strings.Replace(good, `"Ops"`, `" "`, 1) + `]}`, "exception 1: it needs owner"},
		{"no end", `{"schema":1,"exceptions":[` + good + "," + strings.Replace(good, `"2027-01-31"`, `"never"`, 1) + `]}`, `exception 2: expires "never"`},
		{"no key", `{"schema":1,"exceptions":[` + strings.Replace(good, print, "mine", 1) + `]}`, "exception 1"},
		{"a word that nobody knows", `{"schema":1,"exceptions":[{"host":"i-1",` + good[1:] + `]}`, "unknown field"},
		{"no account", `{"schema":1,"exceptions":[{"user":"1000",` + good[1:] + `]}`, "is not a user name"},
	} {
		list, err := ParseExceptions([]byte(row.list))
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v", row.name, err)
		}
		if object, failure := jsonschema.UnmarshalJSON(strings.NewReader(row.list)); failure == nil {
			if bySchema := schema.Validate(object); (bySchema == nil) != (err == nil) {
				t.Errorf("%s: the schema says %v, the parser %v", row.name, bySchema, err)
			}
		}
		if err != nil {
			continue
		}
		body, err := FormatExceptions(list)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseExceptions(body); err != nil || !cmp.Equal(list, again) {
			t.Errorf("%s: written and read again it is %v, %v", row.name, again, err)
		}
	}
}

func TestAnExceptionCoversWhatItNamesUntilItsLastDayIsOver(t *testing.T) {
	t.Parallel()
	a, b := "SHA256:"+strings.Repeat("A", 43), "SHA256:"+strings.Repeat("B", 42)+"A"
	list := []Exception{
		{Expires: "2027-01-31", Fingerprint: a, Owner: "Ops", Reason: "launch key", Hosts: []string{"i-0a*", "mi-1"}, User: "deploy"},
		{Expires: "2027-01-31", Fingerprint: b, Owner: "Ops", Reason: "break glass"},
	}
	last := time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC)
	for _, row := range []struct {
		host, user, print string
		at                time.Time
		want              bool
	}{
		{"i-0abc", "deploy", a, last, true}, {"mi-1", "deploy", a, last, true}, {"i-0bbc", "deploy", a, last, false},
		{"i-0abc", "root", a, last, false}, {"i-0abc", "deploy", a, last.Add(time.Second), false},
		{"i-9", "anyone", b, last, true}, {"i-9", "anyone", b, last.Add(time.Second), false},
	} {
		if got := Answered(list, row.host, row.user, row.print, row.at); got != row.want {
			t.Errorf("%+v: %t", row, got)
		}
	}
}
