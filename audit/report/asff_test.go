package report

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/audit/evidence"
)

func asASFF(t testing.TB, r Report) []byte {
	return written(t, func(b *bytes.Buffer) error { return r.WriteASFF(b) })
}

func TestASFFReadsAsItWasReviewed(t *testing.T) {
	golden(t, "october.asff.jsonl", asASFF(t, octoberReport(t)))
}

// shape answers each batch by the model that every AWS SDK is made from, and by the enums in it: ok, or what is wrong.
const shape = `
import json, sys
try:
    import botocore.session, botocore.validate
except ImportError:
    sys.exit(77)
model = botocore.session.get_session().get_service_model("securityhub")
shape = model.operation_model("BatchImportFindings").input_shape
finding = shape.members["Findings"].member
def enums(shape, value):
    if shape.type_name == "structure":
        return [e for k, v in value.items() for e in enums(shape.members[k], v)]
    if shape.type_name == "list":
        return [e for v in value for e in enums(shape.member, v)]
    return [value] if value not in (getattr(shape, "enum", None) or [value]) else []
for line in sys.stdin:
    batch = json.loads(line)
    report = botocore.validate.ParamValidator().validate(batch, shape)
    if report.has_errors():
        print(report.generate_report().replace("\n", " "))
        continue
    wrong = enums(shape, batch) + [k for f in batch["Findings"] for k in finding.required_members if not f[k]]
    print(wrong or "ok")
`

func TestBotocoreTakesEveryBatch(t *testing.T) {
	t.Parallel()
	good := append(asASFF(t, octoberReport(t)), asASFF(t, hostileReport(t))...)
	n := bytes.Count(good, []byte("\n"))
	first, _, _ := bytes.Cut(good, []byte("\n"))
	in := good
	for spoil, with := range map[string]string{`"RecordState":"ACTIVE"`: `"RecordState":"OPEN"`, `"Title":`: `"Headline":`, `"Id":"keytrail`: `"Id":"","x":"`} {
		bad := bytes.Replace(first, []byte(spoil), []byte(with), 1)
		if bytes.Equal(bad, first) {
			t.Fatalf("no finding has %s", spoil)
		}
		in = append(append(in, bad...), '\n')
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", shape)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if missing := cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 77; missing && os.Getenv("CI") == "" {
		t.Skip("python3 has no botocore")
	}
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != n+3 {
		t.Fatalf("%d answers to %d batches", len(answers), n+3)
	}
	for i, answer := range answers {
		if (answer == "ok") != (i < n) {
			t.Errorf("batch %d: %s", i+1, answer)
		}
	}
}

func TestASFFBatchesAndLimits(t *testing.T) {
	t.Parallel()
	r := Build(spoil(quiet(t, fleet(250)...), false, func(v *evidence.Verification) {
		for i := range v.Hosts {
			v.Hosts[i].Users = []evidence.User{{Name: "deploy", State: "refused", Reason: strings.Repeat("é \u202e", 9000),
				Foreign: []evidence.Foreign{{Comment: strings.Repeat("🔑", 9000), Fingerprint: vendor, Path: "/k", Type: "RSA"}}}}
		}
	}), october31)
	var sizes []int
	ids := map[string]bool{}
	for _, batch := range r.ASFF() {
		sizes = append(sizes, len(batch))
		for _, f := range batch {
			ids[f.ID] = true
			body, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(body) > 240<<10 {
				t.Errorf("a finding of %d bytes", len(body))
			}
			if len(f.Title) > 256 || len(f.Description) > 1024 || len(f.Resources) > 32 || len(f.Recommendation) > 512 || len(f.ID) > 512 {
				t.Errorf("%+v", f)
			}
			for _, text := range f.RelatedRequirements {
				if len(text) > 64 {
					t.Errorf("%q", text)
				}
			}
		}
	}
	if len(sizes) != 3 || sizes[0] != 100 || sizes[1] != 100 || len(ids) != 251 {
		t.Errorf("batches of %v, %d ids", sizes, len(ids))
	}
}

func TestASFFArchivesWhatIsGoneOrMended(t *testing.T) {
	t.Parallel()
	bad := Build(spoil(quiet(t, fleet(2)...), false, users(state("refused", ""))), october31)
	open := bad.ASFF()[0][0]
	if open.RecordState != "ACTIVE" || open.Status != "FAILED" {
		t.Errorf("open: %s %s", open.RecordState, open.Status)
	}
	o := october31
	o.Before, o.Now = &bad, now.AddDate(0, 0, 1)
	gone := Build(quiet(t, fleet(2)...), o).ASFF()[0][0]
	if gone.ID != open.ID || gone.RecordState != "ARCHIVED" || gone.Status != "NOT_AVAILABLE" || !gone.UpdatedAt.After(open.UpdatedAt) {
		t.Errorf("gone: %+v", gone)
	}
	mended := 0
	for _, f := range octoberReport(t).ASFF()[0] {
		if f.RecordState == "ARCHIVED" && f.Status == "PASSED" && f.ProductFields["keytrail/mended"] != "" {
			mended++
		}
	}
	if mended != 2 {
		t.Errorf("%d findings are archived as mended", mended)
	}
	if n := len(Build(quiet(t, fleet(2)...), october31).ASFF()); n != 0 {
		t.Errorf("nothing to say, in %d batches", n)
	}
}
