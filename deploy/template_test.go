// Package deploy_test holds the template and the scripts that deploy it against what ships, and has
// them judged by cfn-lint, SAM, moto and awscli. There is no Go code beside the tests.
package deploy_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/fleet"
)

const (
	templateFile = "template.yaml"
	rewriteName  = "KEYTRAIL_REWRITE"
	marker       = "  # What follows is written by `KEYTRAIL_REWRITE=1 go test ./deploy`.\n"
)

// The documents of the template are those that the function was built with, byte for byte, and the
// hashes that pin them are theirs.
func TestDocumentsInStep(t *testing.T) {
	t.Parallel()
	have, err := os.ReadFile(templateFile)
	if err != nil {
		t.Fatal(err)
	}
	byHand, _, found := bytes.Cut(have, []byte(marker))
	if !found {
		t.Fatalf("%s lacks the line %q", templateFile, marker)
	}
	want := string(byHand) + marker + documents()
	if os.Getenv(rewriteName) != "" && want != string(have) {
		if err := os.WriteFile(templateFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(have), "\n")); diff != "" {
		t.Errorf("run %s=1 go test ./deploy:\n%s", rewriteName, diff)
	}
}

// documents writes the resources of both documents and the mapping of their hashes. A literal block
// keeps the bytes of the JSON, which has one line and begins with no space.
func documents() string {
	var resources, hashes strings.Builder
	for _, d := range []struct {
		name   string
		action fleet.Action
	}{{"Apply", fleet.Apply}, {"Inspect", fleet.Inspect}} {
		content := fleet.Document(d.action)
		fmt.Fprintf(&resources, `
  %sDocument:
    Type: AWS::SSM::Document
    Properties:
      Name: !Sub keytrail-${AWS::StackName}-%s
      DocumentType: Command
      DocumentFormat: JSON
      UpdateMethod: NewVersion
      Content: |-
        %s
`, d.name, d.action, content)
		fmt.Fprintf(&hashes, "    %s:\n      Sha256: %s\n", d.name, fleet.Hash(content))
	}
	return resources.String() + "\nMappings:\n  Documents:\n" + hashes.String()
}
