package alert

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"
)

// rule is a JSON Schema, as far as schema.json goes.
type rule struct {
	Schema      string          `json:"$schema"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Type        string          `json:"type"`
	Const       any             `json:"const"`
	Enum        []any           `json:"enum"`
	Pattern     string          `json:"pattern"`
	Format      string          `json:"format"`
	Required    []string        `json:"required"`
	Properties  map[string]rule `json:"properties"`
	Additional  *bool           `json:"additionalProperties"`
	Items       *rule           `json:"items"`
}

func (r rule) check(path string, v any) error {
	if r.Const != nil && !reflect.DeepEqual(v, r.Const) || r.Enum != nil && !slices.Contains(r.Enum, v) {
		return fmt.Errorf("%s: %v is not allowed", path, v)
	}
	switch v := v.(type) {
	case map[string]any:
		if r.Type != "object" {
			return fmt.Errorf("%s is an object", path)
		}
		for _, name := range r.Required {
			if _, ok := v[name]; !ok {
				return fmt.Errorf("%s lacks %s", path, name)
			}
		}
		for name, member := range v {
			p, ok := r.Properties[name]
			if !ok {
				return fmt.Errorf("%s has %s", path, name)
			}
			if err := p.check(path+"."+name, member); err != nil {
				return err
			}
		}
	case []any:
		if r.Type != "array" {
			return fmt.Errorf("%s is an array", path)
		}
		for i, item := range v {
			if err := r.Items.check(fmt.Sprintf("%s[%d]", path, i), item); err != nil {
				return err
			}
		}
	case string:
		if r.Type != "string" && r.Const == nil && r.Enum == nil {
			return fmt.Errorf("%s is a string", path)
		}
		if !regexp.MustCompile(r.Pattern).MatchString(v) {
			return fmt.Errorf("%s: %q does not match %s", path, v, r.Pattern)
		}
		if _, err := time.Parse(time.RFC3339, v); r.Format == "date-time" && err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	case float64:
		if r.Type != "integer" || v != float64(int(v)) {
			return fmt.Errorf("%s is a number", path)
		}
	case bool:
		if r.Type != "boolean" {
			return fmt.Errorf("%s is a boolean", path)
		}
	default:
		return fmt.Errorf("%s is %v", path, v)
	}
	return nil
}

func schemaRule(t testing.TB) rule {
	t.Helper()
	f, err := os.Open("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields() // a keyword that this test does not know would check nothing
	var r rule
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryDocumentIsAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	schema := schemaRule(t)
	for _, c := range Conditions() {
		for _, s := range []Status{Opened, Updated, Repeated, Unstable, Resolved} {
			m := message(c.ID, s)
			m.Problem.Places = append(m.Problem.Places, many(600)...)
			m.Problem = bounded(m.Problem)
			var v any
			if err := json.Unmarshal(must(t, func() ([]byte, error) { return render(t, m).document(10) }), &v); err != nil {
				t.Fatal(err)
			}
			if err := schema.check("", v); err != nil {
				t.Errorf("%s, %s: %v", c.ID, s, err)
			}
			d := v.(map[string]any)
			if (d["action"] == "resolve") != (s == Resolved) || d["dedupKey"] != m.Alert {
				t.Errorf("%s, %s: %v %v", c.ID, s, d["action"], d["dedupKey"])
			}
		}
	}
}

func TestTheSchemaRefusesWhatIsNoDocument(t *testing.T) {
	t.Parallel()
	schema := schemaRule(t)
	for name, spoil := range map[string]func(map[string]any){
		"a member is gone":     func(d map[string]any) { delete(d, "dedupKey") },
		"a member is new":      func(d map[string]any) { d["new"] = 1.0 },
		"another form":         func(d map[string]any) { d["form"] = "keytrail-alert-2" },
		"an unknown status":    func(d map[string]any) { d["status"] = "closed" },
		"a key that is none":   func(d map[string]any) { d["dedupKey"] = "kt-1" },
		"a time that is none":  func(d map[string]any) { d["at"] = "today" },
		"a host without an id": func(d map[string]any) { d["problem"].(map[string]any)["places"] = []any{map[string]any{}} },
	} {
		var d map[string]any
		if err := json.Unmarshal(must(t, func() ([]byte, error) { return render(t, message(DriftMissing, Opened)).document(10) }), &d); err != nil {
			t.Fatal(err)
		}
		spoil(d)
		if err := schema.check("", d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
