package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// The programs that run in the lab, as paths.
var (
	rotateProgram   string // the product, as make package builds it
	eventsProgram   string
	ancestorProgram string // the negative control
	toolsProgram    string // the commands of a lab host
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == careless {
		runCareless()
		return
	}
	os.Exit(buildAndRun(m))
}

// spread lets twice as many tests run side by side as there are processors: half the time of a rotation
// is waiting. A number on the command line stands.
func spread() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))) // always a number
	}
}

func buildAndRun(m *testing.M) int {
	spread()
	dir, err := os.MkdirTemp("", "keytrail-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rotateProgram, ancestorProgram, toolsProgram = filepath.Join(dir, "bootstrap"), filepath.Join(dir, "ancestor"), filepath.Join(dir, "tools")
	eventsProgram = filepath.Join(dir, "events")
	for program, source := range map[string]string{
		rotateProgram: "../../rotate/lambda", eventsProgram: "../../events/lambda", ancestorProgram: "./ancestor", toolsProgram: "../lab/host/tools",
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

// long marks a test that tries every point at which something may fail. `make test` leaves it to
// `make conformance`.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("make conformance runs it")
	}
	t.Parallel()
}
