package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// tools is the program behind the commands of a lab host.
var tools string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// spread lets twice as many rows run side by side as there are processors: a part of each is waiting. A number
// on the command line stands.
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
	dir, err := os.MkdirTemp("", "keytrail-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tools = filepath.Join(dir, "tools")
	if err := host.Build(context.Background(), tools); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
