package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun ends the lab as soon as it has said where it is.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := parse([]string{"--hosts", "0", "--folder", dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out writer = func(b []byte) (int, error) {
		cancel()
		return len(b), os.WriteFile(filepath.Join(dir, "printed"), b, 0o600)
	}
	var people strings.Builder
	if err := run(ctx, s, out, &people); err != nil {
		t.Fatal(err)
	}
	printed, err := os.ReadFile(filepath.Join(dir, "printed"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	if string(printed) != string(kept) {
		t.Errorf("printed %s, kept %s, want the same", printed, kept)
	}
	for line := range strings.Lines(string(printed)) {
		if !strings.HasPrefix(line, "export AWS_") {
			t.Errorf("%q is on standard output, want export commands only", line)
		}
	}
	sh := exec.Command("/bin/sh", "-c", `. "$1" && printf %s "$AWS_ENDPOINT_URL"`, "sh", filepath.Join(dir, "env"))
	url, err := sh.Output()
	if err != nil || !strings.Contains(people.String(), string(url)) {
		t.Errorf("endpoint %s (%v), want the one that people are told: %s", url, err, people.String())
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
