package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

func newKey(t *testing.T) (line, fingerprint string) {
	t.Helper()
	key, err := sshkey.Generate("ed25519", "openssh", "test")
	if err != nil {
		t.Fatal(err)
	}
	return key.Public().String(), string(key.Public().Fingerprint())
}

func TestOnlyOurLinesMayComeAndGo(t *testing.T) {
	t.Parallel()
	ours, fingerprint := newKey(t)
	foreign, _ := newKey(t)
	mine := map[string]bool{fingerprint: true}
	file := func(content string) keyFile {
		return keyFile{name: "web-1", path: "/k", exists: true, mode: 0o600, content: []byte(content)}
	}
	link := file(foreign + "\n")
	link.link = "elsewhere"
	open := file(foreign + "\n")
	open.mode = 0o644
	for _, row := range []struct {
		name          string
		before, after keyFile
		want          string // part of the complaint
	}{
		{"a key added at the end", file(foreign + "\n"), file(foreign + "\n" + ours + "\n"), ""},
		{"a key added after a line without an end", file(foreign), file(foreign + "\n" + ours + "\n"), ""},
		{"a key removed", file("# x\n" + ours + "\n" + foreign + "\n"), file("# x\n" + foreign + "\n"), ""},
		{"a file made", keyFile{name: "web-1", path: "/k"}, file(ours + "\n"), ""},
		{"a foreign key lost", file(foreign + "\n"), file(ours + "\n"), `became ""`},
		{"a line end changed", file("\xff\r\n"), file("\xff\n"), `"\xff\r\n" became "\xff\n"`},
		{"a link made a file", link, file(foreign + "\n"), `the link led to "elsewhere" and now to ""`},
		{"a mode changed", file(foreign + "\n"), open, "mode 600 became 644"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := row.after.untouched(row.before, mine)
			if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
				t.Errorf("untouched: %q, want %q", got, row.want)
			}
		})
	}
}

func TestKeysAreReadAroundGarbage(t *testing.T) {
	t.Parallel()
	line, fingerprint := newKey(t)
	f := keyFile{content: []byte("# " + line + "\nssh-ed25519 AAAA\n\xff\n\nno-pty " + line + "\r\n" + line)}
	if diff := cmp.Diff([]string{fingerprint, fingerprint}, f.keys()); diff != "" {
		t.Error(diff)
	}
}

func TestAKeyFileThatDoesNotExistIsNoError(t *testing.T) {
	t.Parallel()
	f, err := readKeyFile(keyFile{}, filepath.Join(t.TempDir(), "none"))
	if err != nil || f.exists {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestALinkedKeyFileIsReadThroughTheLink(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "real"), []byte("x\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	f, err := readKeyFile(keyFile{}, filepath.Join(folder, "link"))
	if err != nil || f.link != "real" || f.mode != 0o640 || string(f.content) != "x\n" {
		t.Errorf("%+v, %v", f, err)
	}
}
