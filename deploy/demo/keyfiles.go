package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyFile is a file that sshd reads for an account, as it stands on this
// machine. The demo reads it itself and takes nobody's word for it.
type keyFile struct {
	host    string // node id
	name    string // of the host
	user    string
	path    string // on the host
	link    string // where it leads, if it is a symbolic link
	mode    fs.FileMode
	exists  bool
	content []byte
}

func (f keyFile) String() string { return f.name + ":" + f.path }

// readKeyFile reads what stands at a path of this machine. That nothing stands
// there is no error.
func readKeyFile(f keyFile, path string) (keyFile, error) {
	entry, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	if entry.Mode()&fs.ModeSymlink != 0 {
		if f.link, err = os.Readlink(path); err != nil {
			return f, err
		}
	}
	target, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	f.exists, f.mode = true, target.Mode().Perm()
	f.content, err = os.ReadFile(path)
	return f, err
}

// lines splits the content after each line feed; the last one may have none.
func (f keyFile) lines() [][]byte {
	lines := bytes.SplitAfter(f.content, []byte("\n"))
	if n := len(lines); len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	return lines
}

// keyOf returns the fingerprint of the key on a line, or "" if there is none.
func keyOf(line []byte) string {
	key, _, _, _, err := ssh.ParseAuthorizedKey(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(key)
}

// keys returns the fingerprints of all keys in the file, in order.
func (f keyFile) keys() []string {
	var keys []string
	for _, l := range f.lines() {
		if k := keyOf(l); k != "" {
			keys = append(keys, k)
		}
	}
	return keys
}

// without returns the content with all lines left out that hold one of these
// keys.
func (f keyFile) without(ours map[string]bool) []byte {
	var rest []byte
	for _, l := range f.lines() {
		if !ours[keyOf(l)] {
			rest = append(rest, l...)
		}
	}
	return rest
}

// untouched returns what the file has lost or gained since before, beside our
// keys and a line end that its last line lacked. "" is nothing.
func (f keyFile) untouched(before keyFile, ours map[string]bool) string {
	want := before.without(ours)
	if n := len(want); n > 0 && want[n-1] != '\n' {
		want = append(want, '\n')
	}
	switch got := f.without(ours); {
	case f.link != before.link:
		return fmt.Sprintf("%s: the link led to %q and now to %q", f, before.link, f.link)
	case before.exists && f.mode != before.mode:
		return fmt.Sprintf("%s: mode %o became %o", f, before.mode, f.mode)
	case !bytes.Equal(got, want):
		return fmt.Sprintf("%s, beside our keys: %s", f, difference(want, got))
	}
	return ""
}

// difference tells of the first line in which two contents differ.
func difference(before, after []byte) string {
	was, is := bytes.SplitAfter(before, []byte("\n")), bytes.SplitAfter(after, []byte("\n"))
	n := 0
	for n < len(was) && n < len(is) && bytes.Equal(was[n], is[n]) {
		n++
	}
	line := func(lines [][]byte) string {
		if n < len(lines) {
			return string(lines[n])
		}
		return ""
	}
	return fmt.Sprintf("line %d, %q became %q", n+1, line(was), line(is))
}

// brief is the beginning of a fingerprint: enough to tell keys apart by eye.
func brief(fingerprint string) string {
	const most = 8
	short := strings.TrimPrefix(fingerprint, "SHA256:")
	return short[:min(most, len(short))]
}
