package operator

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/report"
)

// stranger is a key that nobody registered, as a line and its fingerprint.
func stranger(t *testing.T) (line, fingerprint string) {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), ssh.FingerprintSHA256(key)
}

// TestAnAuditorChecksAndReportsWithoutAWS downloads the evidence of a secret, checks it, reports from it, and finds
// what somebody changed in it.
func TestAnAuditorChecksAndReportsWithoutAWS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	arn := w.secret("fleet")
	dir := t.TempDir()
	w.keytrail("evidence", "export", dir).want(t, 0, "objects in", "keytrail evidence verify")
	offline := *w
	offline.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	offline.keytrail("evidence", "verify", dir).want(t, 0, "fleet", "every record is as it was written, and every link holds")
	w.sweep()
	w.keytrail("evidence", "export", dir).want(t, 0, "1 of them new")

	page := filepath.Join(t.TempDir(), "report.html")
	first := offline.keytrail("report", "--from-evidence", dir, "-o", page)
	first.want(t, 1) // AWS's own key encrypts the secret
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(html, []byte("<html")) || !bytes.Contains(html, []byte("fleet")) {
		t.Errorf("the page begins with %.200s", html)
	}
	again := offline.keytrail("report", "--from-evidence", dir)
	if again.out != string(html) {
		t.Error("the same evidence gave another page")
	}
	for format, text := range map[string]string{"json": `"form": "keytrail-report-1"`, "controls.csv": "KT-1", "findings.csv": "firstSeen", "hosts.csv": w.Hosts()[1].ID()} {
		offline.keytrail("report", "--from-evidence", dir, "--format", format).want(t, 1, text)
	}
	fromAWS := w.keytrail("report", "--format", "json")
	r, err := report.ReadJSON(strings.NewReader(fromAWS.out))
	if err != nil {
		t.Fatalf("%v\n%s", err, fromAWS.err)
	}
	if r.Summary.Verifications != 2 || r.Summary.Rotations.Succeeded != 1 || r.Summary.Hosts != 2 || len(r.Faults) != 0 {
		t.Errorf("the report says %+v", r.Summary)
	}
	// Of a rotation that no event told of the evidence knows nothing, and CloudTrail does.
	w.deaf(func() { w.rotate(arn) })
	if r, err = report.ReadJSON(strings.NewReader(w.keytrail("report", "--format", "json").out)); err != nil {
		t.Fatal(err)
	}
	if all := r.Secrets[0].Rotations; len(all) != 2 || all[0].EventID != "" || all[1].EventID == "" || all[1].Outcome != "succeeded" {
		t.Errorf("rotations %+v", all)
	}
	offline.keytrail("report", "--from-evidence", dir, "--secret", "none").wantError(t, 66, `no evidence of a secret "none"`)
	offline.keytrail("report", "--from-evidence", dir, "--format", "pdf").wantError(t, 64, "one of")
	offline.keytrail("report", "--from-evidence", t.TempDir()).wantError(t, 66, "no evidence")

	// Somebody makes a host look better than it was.
	files, err := filepath.Glob(filepath.Join(dir, "evidence", "*", "*", "*", "*", "records", "*.json"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d records, %v", len(files), err)
	}
	body, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[1], bytes.Replace(body, []byte(`"state":"ok"`), []byte(`"state":"oK"`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	offline.keytrail("evidence", "verify", dir).want(t, 1, "first: broken", "record 3 follows another record")
	offline.keytrail("report", "--from-evidence", dir, "--format", "json").want(t, 1, `"what": "broken"`)
}

// TestSomebodyAnswersForForeignKeys goes from the keys that the first look found to a list with an owner for each.
func TestSomebodyAnswersForForeignKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	launch, launchPrint := stranger(t)
	_, vendorPrint := stranger(t)
	if err := w.Hosts()[0].WriteKeys(user, launch); err != nil {
		t.Fatal(err)
	}
	arn := w.secret("fleet")
	w.keytrail("exceptions", "list").want(t, 0, "there is no exception")
	w.keytrail("exceptions", "accept-baseline", "--owner", "Ops", "--reason", "launch key").wantError(t, 64, `"expires"`)
	answer := []string{"exceptions", "accept-baseline", "--owner", "Ops", "--reason", "launch key", "--expires", "2099-12-31"}
	w.keytrail(answer...).want(t, 64, launchPrint) // nobody is there to ask
	w.keytrail(append(answer, "--yes")...).want(t, 0, "1 exception in the list")
	w.keytrail(append(answer, "--yes")...).want(t, 0, "1 exception in the list")
	w.sweep()
	if a := w.keytrail("status"); strings.Contains(a.out, "keys that were there before") {
		t.Errorf("the alert is still open:\n%s", a.out)
	}
	w.keytrail("exceptions", "add", vendorPrint, "--owner", "Vendor", "--reason", "support", "--expires", "2026-01-31", "--user", user, "--host", "i-0*").want(t, 0, "2 exceptions")
	w.keytrail("exceptions", "add", "mine", "--owner", "Me", "--reason", "r", "--expires", "2099-12-31").wantError(t, 64, "fingerprint")
	list := w.keytrail("exceptions", "list")
	list.want(t, 0, launchPrint, vendorPrint, "2026-01-31 (over)", "i-0*", "Ops", "support")
	var answered struct{ Exceptions []evidence.Exception }
	w.keytrail("exceptions", "list", "--output", "json").read(t, &answered)
	if len(answered.Exceptions) != 2 {
		t.Errorf("%+v", answered)
	}
	w.keytrail("exceptions", "remove", vendorPrint).want(t, 0, "1 exception in the list")
	w.keytrail("exceptions", "remove", vendorPrint).wantError(t, 66, "no exception is about")

	// The report lists the key with who answers for it, and finds no fault with it.
	w.sweep()
	r, err := report.ReadJSON(strings.NewReader(w.keytrail("report", "--secret", arn, "--format", "json").out))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Exceptions) != 1 || r.Exceptions[0].Owner != "Ops" || r.Exceptions[0].State != "valid" || r.Summary.Excepted != 1 {
		text, _ := json.Marshal(r.Exceptions)
		t.Errorf("exceptions of the report: %s, %d places", text, r.Summary.Excepted)
	}
}
