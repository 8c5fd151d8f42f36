package lambda_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
)

// programs is where TestMain puts the functions of testdata.
var programs string

func TestMain(m *testing.M) {
	if dir := os.Getenv("LAB_TO_KILL"); dir != "" {
		liveUntilKilled(dir)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "functions")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs = dir
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", dir+"/", "./testdata/function", "./testdata/empty")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the functions:", err)
		return 1
	}
	// Written before any test starts a process: a child between fork and exec
	// would have the file open for writing, and it could not be executed.
	if err := os.WriteFile(filepath.Join(dir, "garbage"), []byte{0, 1, 2}, 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// function returns the configuration of the Go function of testdata.
func function(args ...string) lambda.Function {
	return lambda.Function{
		Name:    "sample",
		Command: append([]string{filepath.Join(programs, "function")}, args...),
		Timeout: time.Minute,
	}
}

// newService returns a service with one function.
func newService(t testing.TB, o lambda.Options, f lambda.Function) *lambda.Service {
	t.Helper()
	o.Dir = t.TempDir()
	o.Endpoint = "http://127.0.0.1:1"
	s := lambda.New(o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := s.AddFunction(f); err != nil {
		t.Fatal(err)
	}
	return s
}

// invoke runs the sample function and expects that it could be run.
func invoke(t testing.TB, s *lambda.Service, event string) lambda.Result {
	t.Helper()
	r, err := s.Invoke(t.Context(), "sample", []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// liveUntilKilled is the lab that TestKilledLab kills: it invokes a function
// that never ends.
func liveUntilKilled(dir string) {
	s := lambda.New(lambda.Options{Dir: dir, Endpoint: "http://127.0.0.1:1"})
	err := s.AddFunction(lambda.Function{Name: "sample", Command: []string{os.Getenv("LAB_FUNCTION")}, Timeout: 15 * time.Minute})
	if err == nil {
		_, err = s.Invoke(context.Background(), "sample", []byte(os.Getenv("LAB_EVENT")))
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	os.Exit(1)
}
