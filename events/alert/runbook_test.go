package alert

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheRunbookHasAnEntryForEveryCondition holds the anchors that messages link to, their order and the
// severities to the table.
func TestTheRunbookHasAnEntryForEveryCondition(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, runbook, ok := strings.Cut(string(text), "\n## Runbook\n")
	if !ok {
		t.Fatal("there is no runbook")
	}
	runbook, _, _ = strings.Cut(runbook, "\n## ")
	var got, want []string
	for _, entry := range strings.Split(runbook, "\n### ")[1:] {
		name, body, _ := strings.Cut(entry, "\n")
		severity, rest, _ := strings.Cut(strings.TrimSpace(body), ". ")
		got = append(got, name+": "+strings.ToLower(severity))
		if len(strings.Fields(rest)) < 10 {
			t.Errorf("the entry of %s says nothing", name)
		}
	}
	for _, c := range Conditions() {
		line := string(c.ID) + ": " + string(c.Severity)
		if c.Once {
			line += ", once"
		}
		want = append(want, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}
