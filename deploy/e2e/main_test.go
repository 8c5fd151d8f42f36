package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs that run in the lab, as paths.
var (
	rotateProgram   string // the product, as make package builds it
	ancestorProgram string // the negative control
	toolsProgram    string // the commands of a lab host
)

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keytrail-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rotateProgram, ancestorProgram, toolsProgram = filepath.Join(dir, "bootstrap"), filepath.Join(dir, "ancestor"), filepath.Join(dir, "tools")
	for program, source := range map[string]string{
		rotateProgram: "../../rotate/lambda", ancestorProgram: "./ancestor", toolsProgram: "../lab/host/tools",
	} {
		if err := build(program, source); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// build builds a program as make package does.
func build(program, source string, env ...string) error {
	c := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid=", "-o", program, source)
	c.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", source, err, out)
	}
	return nil
}
