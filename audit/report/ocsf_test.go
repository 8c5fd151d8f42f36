package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func asOCSF(t testing.TB, r Report) []byte {
	return written(t, func(b *bytes.Buffer) error { return r.WriteOCSF(b) })
}

// ocsfObjects are what OCSF 1.7.0 calls the attributes that an event may have; ! marks those that it must.
// https://github.com/ocsf/ocsf-schema at dc6359b4
var ocsfObjects = map[string]string{
	"": "activity_id! activity_name category_name category_uid! class_name class_uid! cloud! compliance! end_time finding_info! message metadata! remediation " +
		"resources severity severity_id! start_time status status_id time! time_dt type_name type_uid! unmapped",
	"cloud":             "account cloud_partition provider! region zone",
	"cloud.account":     "type type_id uid name",
	"compliance":        "checks control desc requirements standards status status_details status_id",
	"compliance.checks": "desc name standards status status_id uid",
	"finding_info":      "desc first_seen_time last_seen_time title uid!",
	"metadata":          "event_code product! profiles version!",
	"metadata.product":  "name vendor_name version",
	"remediation":       "desc! references",
	"resources":         "cloud_partition name region type uid",
}

func checkOCSF(t *testing.T, path string, object map[string]any) {
	t.Helper()
	known, ok := ocsfObjects[path]
	if !ok {
		t.Fatalf("nothing is known of %s", path)
	}
	for name := range strings.FieldsSeq(known) {
		bare, required := strings.CutSuffix(name, "!")
		if v := object[bare]; required && (v == nil || v == "") {
			t.Errorf("%s lacks %s", path, bare)
		}
	}
	for name, v := range object {
		if !slices.Contains(strings.Fields(strings.ReplaceAll(known, "!", "")), name) {
			t.Errorf("%s has %s, which OCSF does not", path, name)
		}
		inner := strings.TrimPrefix(path+"."+name, ".")
		switch v := v.(type) {
		case map[string]any:
			if name != "unmapped" {
				checkOCSF(t, inner, v)
			}
		case []any:
			for _, item := range v {
				if o, ok := item.(map[string]any); ok {
					checkOCSF(t, inner, o)
				}
			}
		}
	}
}

func TestOCSFReadsAsItWasReviewed(t *testing.T) {
	r := octoberReport(t)
	r.Controls = r.Controls[keyAge : lastRotation+1] // one that fails, one that cannot be tested
	golden(t, "october.ocsf.json", asOCSF(t, r))
}

func TestEveryOCSFEventHasWhatItMust(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Report{"some of everything": octoberReport(t), "hostile": hostileReport(t), "all well": Build(quiet(t, fleet(2)...), october31)} {
		var events []map[string]any
		if err := json.Unmarshal(asOCSF(t, r), &events); err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, c := range r.Controls {
			want += len(c.Tests)
		}
		if len(events) != want || want == 0 {
			t.Errorf("%s: %d events, not %d", name, len(events), want)
		}
		uids := map[any]bool{}
		for _, e := range events {
			checkOCSF(t, "", e)
			if e["class_uid"] != 2003.0 || e["category_uid"] != 2.0 || e["type_uid"] != 200300+e["activity_id"].(float64) {
				t.Errorf("%s: %v %v %v", name, e["class_uid"], e["category_uid"], e["type_uid"])
			}
			outcome := e["compliance"].(map[string]any)["status_id"].(float64)
			if (outcome == 3) != (e["severity_id"].(float64) > 1) {
				t.Errorf("%s: outcome %v has severity %v: %s", name, outcome, e["severity_id"], e["message"])
			}
			uids[e["finding_info"].(map[string]any)["uid"]] = true
		}
		if len(uids) != want {
			t.Errorf("%s: %d events have %d ids", name, want, len(uids))
		}
	}
}
