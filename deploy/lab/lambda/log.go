package lambda

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tailSize is how much of an invocation's log its caller may have.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
const tailSize = 4 << 10

// stream is the log of one sandbox, as a file. The sandbox's processes have
// the file as their standard output and error, so that the order of their
// lines and Lambda's own is the order in which they were written.
type stream struct {
	name  string // as CloudWatch would name it: 2026/11/01/[$LATEST]0123…
	path  string
	begun time.Time
}

// newStream creates a stream below a folder.
func newStream(folder string, now time.Time) (stream, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return stream{}, err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	s := stream{
		begun: now,
		name:  now.UTC().Format("2006/01/02/") + "[" + latest + "]" + hex.EncodeToString(id),
		// Without the characters that a shell would take for its own.
		path: filepath.Join(folder, now.UTC().Format("20060102T150405.000000Z-")+hex.EncodeToString(id[:4])+".log"),
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return stream{}, err
	}
	return s, f.Close()
}

// open returns the file for appending.
func (s stream) open() (*os.File, error) {
	return os.OpenFile(s.path, os.O_APPEND|os.O_WRONLY, 0)
}

// printf adds a line of Lambda's own. A log that cannot be written, on a full
// disk say, does not fail the function.
func (s stream) printf(format string, a ...any) {
	f, err := s.open()
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	_, _ = fmt.Fprintf(f, format+"\n", a...)
}

// size returns where the next line will be.
func (s stream) size() int64 {
	fi, err := os.Stat(s.path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// tail returns the last 4 KB of what was written since an offset.
func (s stream) tail(since int64) []byte {
	f, err := os.Open(s.path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	since = max(since, s.size()-tailSize)
	b, err := io.ReadAll(io.NewSectionReader(f, since, tailSize))
	if err != nil {
		return nil
	}
	return b
}

// readAll joins streams in the order given.
func readAll(streams []stream) (string, error) {
	var text strings.Builder
	var errs []error
	for _, s := range streams {
		b, err := os.ReadFile(s.path)
		errs = append(errs, err)
		text.Write(b)
	}
	return text.String(), errors.Join(errs...)
}
