package judge_test

import (
	"archive/zip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab"
)

// TestCloudFormation has awscli package a template with a function, deploy it,
// and run the code that it uploaded.
func TestCloudFormation(t *testing.T) {
	t.Parallel()
	needPython(t)
	dir := t.TempDir()
	binary := filepath.Join(dir, "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, "../lambda/testdata/empty")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pack(t, filepath.Join(dir, "function.zip"), binary)
	template, err := os.ReadFile("testdata/stack.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "template.yaml"), template, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c := exec.CommandContext(t.Context(), "python3", "cloudformation.py", dir)
	c.Env = environment(l.URL())
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// pack zips a program as bootstrap.
func pack(t *testing.T, archive, program string) {
	t.Helper()
	in, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	entry, err := z.Create("bootstrap")
	if err == nil {
		_, err = io.Copy(entry, in)
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
