package pattern_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/events/pattern"
)

// row is one line of testdata/table.json, which moto is judged by as well.
type row struct {
	Name           string
	Pattern, Event json.RawMessage
	Match          bool
	Error          string // why AWS refuses the pattern
}

func table(t *testing.T) []row {
	t.Helper()
	b, err := os.ReadFile("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, tt := range table(t) {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			p, err := pattern.Parse(string(tt.Pattern))
			if got := reason(err); got != tt.Error {
				t.Fatalf("error %q, want %q", got, tt.Error)
			}
			if got := p.Match(tt.Event); got != tt.Match {
				t.Errorf("%s matches %s: %t, want %t", tt.Pattern, tt.Event, got, tt.Match)
			}
		})
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A second opinion: moto says the same of each row, or differs as the row
// says. A row that says so without need is wrong, too.
func TestMotoAgrees(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "python3", "testdata/moto_judge.py", "testdata/table.json").CombinedOutput()
	if strings.Contains(string(out), "No module named") && os.Getenv("CI") == "" {
		t.Skip("needs python3 with moto")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"a":[1]} x`, `{"a":[1],}`, `{'a':[1]}`, `{"a":[`, `{"a":[{`, `{"a":[{"prefix":`} {
		if p, err := pattern.Parse(text); err == nil {
			t.Errorf("%q is a pattern: %v", text, p)
		}
	}
	p, err := pattern.Parse(`{"a":[1]}`)
	if err != nil {
		t.Fatal(err)
	}
	if p.Match([]byte(`{"a":1`)) || (pattern.Pattern{}).Match([]byte(`{"a":1}`)) {
		t.Error("half an event, or no pattern, matches")
	}
}

func TestCombinationsAreBounded(t *testing.T) {
	t.Parallel()
	or := func(n int) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = `{"a":[1]}`
		}
		return `{"$or":[` + strings.Join(parts, ",") + `]}`
	}
	if _, err := pattern.Parse(or(1000)); err != nil {
		t.Errorf("1,000 combinations: %v", err)
	}
	if _, err := pattern.Parse(`{"x":` + or(32) + `,"y":` + or(32) + `}`); err == nil {
		t.Error("1,024 combinations are taken")
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(`{"a":[{"prefix":"x"}]}`, `{"a":"xy"}`)
	f.Add(`{"$or":[{"a":[{"numeric":[">",0]}]},{"b":[{"exists":false}]}]}`, `{"a":[[1],{"b":2}]}`)
	f.Add(`{"a":[{"wildcard":"*a\\*"}]}`, `{"a.b":{"":null}}`)
	f.Fuzz(func(t *testing.T, text, event string) {
		p, err := pattern.Parse(text)
		if err != nil && p.Match([]byte(event)) {
			t.Error("a pattern that is refused matches")
		}
	})
}
