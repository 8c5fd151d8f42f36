package report

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keytrail/keytrail/audit/evidence"
)

func asJSON(t testing.TB, r Report) []byte {
	return written(t, func(b *bytes.Buffer) error { return r.WriteJSON(b) })
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(JSONSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJSONReadsAsItWasReviewed(t *testing.T) {
	golden(t, "october.json", asJSON(t, octoberReport(t)))
}

func TestEveryReportIsAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for name, r := range map[string]Report{
		"some of everything": octoberReport(t),
		"all well":           Build(quiet(t, fleet(3)...), Options{From: from, To: to, Now: now, MaxAge: time.Hour}),
		"no data":            Build(evidence.Archive{}, Options{From: from, To: to, Now: now}),
	} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON(t, r)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSchemaRefusesWhatIsNoReport(t *testing.T) {
	t.Parallel()
	s := schema(t)
	body := asJSON(t, octoberReport(t))
	for name, spoil := range map[string]func(map[string]any){
		"another form":         func(d map[string]any) { d["form"] = "keytrail-report-2" },
		"a member is gone":     func(d map[string]any) { delete(d, "method") },
		"a member is new":      func(d map[string]any) { d["new"] = 1 },
		"a time that is none":  func(d map[string]any) { d["from"] = "today" },
		"an unknown status":    func(d map[string]any) { d["summary"].(map[string]any)["status"] = "ok" },
		"a finding without id": func(d map[string]any) { delete(d["findings"].([]any)[0].(map[string]any), "id") },
	} {
		var d map[string]any
		if err := json.Unmarshal(body, &d); err != nil {
			t.Fatal(err)
		}
		spoil(d)
		if s.Validate(d) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAReportIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	body := asJSON(t, octoberReport(t))
	r, err := ReadJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(body), string(asJSON(t, *r))); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "{}", `{"form":"keytrail-report-2"}`} {
		if _, err := ReadJSON(bytes.NewReader([]byte(bad))); err == nil {
			t.Errorf("%q was read as a report", bad)
		}
	}
}
