package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
)

// release runs over this test's own binary, which knows its modules as a function's does.
func runRelease(t *testing.T) map[string][]byte {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "rotate-arm64.zip"), []byte("a zip"), 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := release(folder, "../../template.yaml", []string{self, self}); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range []string{"rotate-arm64.zip", "template.yaml", "keytrail.cdx.json", sumsName} {
		if files[name], err = os.ReadFile(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestReleaseIsTheSameEachTime(t *testing.T) {
	first, second := runRelease(t), runRelease(t)
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s has other bytes the second time", name)
		}
	}
}

func TestSumsCoverEveryOtherFile(t *testing.T) {
	files := runRelease(t)
	listed := map[string]string{}
	for line := range strings.Lines(string(files[sumsName])) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		listed[name] = sum
	}
	for name, content := range files {
		sum := sha256.Sum256(content)
		if name != sumsName && listed[name] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is listed as %q", name, listed[name])
		}
	}
	if len(listed) != len(files)-1 {
		t.Errorf("%d files are listed, want %d", len(listed), len(files)-1)
	}
}

func TestMaterialsNameTheModules(t *testing.T) {
	var b bom
	if err := json.Unmarshal(runRelease(t)["keytrail.cdx.json"], &b); err != nil {
		t.Fatal(err)
	}
	if b.Metadata.Component.Name != "github.com/keytrail/keytrail" {
		t.Errorf("the product is %q", b.Metadata.Component.Name)
	}
	seen := map[string]int{}
	for _, c := range b.Components {
		seen[c.Name]++
		if c.Version == "" || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("%s: version %q, purl %q", c.Name, c.Version, c.PURL)
		}
	}
	if seen["std"] != 1 {
		t.Errorf("the standard library is there %d times", seen["std"])
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	}
}

// Whoever watches names both zips; whoever does not, names one.
func TestTemplateNamesTheZips(t *testing.T) {
	standing, err := template.Parse(runRelease(t)["template.yaml"])
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		parameters map[string]string
		say        string
		want       map[string]string
	}{
		"both":             {map[string]string{"EventsCodeKey": "1/events.zip"}, "", map[string]string{"Rotate": "1/rotate.zip", "Events": "1/events.zip"}},
		"one, and watches": {nil, "Watch needs EventsCodeKey", nil},
		"one":              {map[string]string{"Watch": "false"}, "", map[string]string{"Rotate": "1/rotate.zip"}},
	} {
		all := map[string]string{"TagName": "Fleet", "TagValue": "prod", "Users": "ec2-user", "CodeBucket": "zips", "CodeKey": "1/rotate.zip"}
		maps.Copy(all, row.parameters)
		p, err := standing.Bind(all, template.Pseudo{Account: "111122223333", Region: "eu-central-1", StackName: "keytrail"})
		if row.say != "" {
			if err == nil || !strings.Contains(err.Error(), row.say) {
				t.Errorf("%s: %v, and not %q", name, err, row.say)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		have := map[string]string{}
		for _, r := range p.Resources() {
			if r.Type != "AWS::Lambda::Function" {
				continue
			}
			properties, err := p.Properties(r.ID, func(id, _ string) (string, error) { return id, nil })
			if err != nil {
				t.Fatal(err)
			}
			code, _ := properties["Code"].(map[string]any)
			have[r.ID] = fmt.Sprint(code["S3Key"])
			if code["S3Bucket"] != "zips" {
				t.Errorf("%s: the code of %s is %v", name, r.ID, code)
			}
		}
		if !maps.Equal(have, row.want) {
			t.Errorf("%s: the zips are %v, want %v", name, have, row.want)
		}
	}
}

// The template of a release stands alone: cfn-lint takes it, local path or not.
func TestTemplateStandsAlone(t *testing.T) {
	text := string(runRelease(t)["template.yaml"])
	if strings.Contains(text, "../build") {
		t.Error("it names a file of the repository")
	}
	if _, err := standAlone(text); err == nil {
		t.Error("a template that lacks what is replaced was taken")
	}
	if _, err := exec.LookPath("cfn-lint"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs cfn-lint")
	}
	file := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cfn-lint", file, "--mandatory-checks", "W3002").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
