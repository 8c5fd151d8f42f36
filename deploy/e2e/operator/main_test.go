package operator

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs, as paths.
var rotateProgram, eventsProgram, toolsProgram, keytrailProgram string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keytrail-operator-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for program, source := range map[*string]string{
		&rotateProgram: "rotate/lambda", &eventsProgram: "events/lambda", &toolsProgram: "deploy/lab/host/tools", &keytrailProgram: "deploy/cmd/keytrail",
	} {
		*program = filepath.Join(dir, filepath.Base(filepath.Dir(source))+"-"+filepath.Base(source))
		c := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", *program, "../../../"+source)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", source, err, out)
			return 1
		}
	}
	return m.Run()
}
