package rootfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// newRoot makes the folder of a host with these files, by their host paths.
func newRoot(t *testing.T, files map[string]string) rootfs.Root {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root := rootfs.Root(dir)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(root.Path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root.Path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPath(t *testing.T) {
	t.Parallel()
	root := rootfs.Root("/lab/h")
	for _, tt := range []struct{ name, path, want, back string }{
		{"a file of the host", "/etc/passwd", "/lab/h/etc/passwd", "/etc/passwd"},
		{"a file that is below the folder already", "/lab/h/etc/passwd", "/lab/h/etc/passwd", "/etc/passwd"},
		{"the root of the host", "/", "/lab/h", "/"},
		{"a way out", "/../../etc/passwd", "/lab/h/etc/passwd", "/etc/passwd"},
		{"a way out of the folder", "/lab/h/../x", "/lab/h/lab/x", "/lab/x"},
		{"a folder whose name begins the same", "/lab/host", "/lab/h/lab/host", "/lab/host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := root.Path(tt.path)
			if got != tt.want || root.HostPath(got) != tt.back || !root.Has(got) {
				t.Errorf("Path(%q) = %q, want %q; back %q, want %q", tt.path, got, tt.want, root.HostPath(got), tt.back)
			}
		})
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	root := newRoot(t, map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n\n# comment\nalice:x:1000:1000:A B:/home/alice:\nbad:x:one:1::/:\n1000:x:7:7::/seven:",
		"/etc/group":  "root:x:0:\nwheel:x:10:bob,alice\nalice:x:1000:alice\nmalice:x:12:malice\n",
		"/etc/shadow": "alice:!hash:1:2:3:4:5:20000:\nbob:*\n",
	})
	alice := rootfs.Account{Name: "alice", Password: "x", UID: 1000, GID: 1000, Gecos: "A B", Home: "/home/alice"}
	for key, want := range map[string]rootfs.Account{
		"alice": alice,
		"1000":  {Name: "1000", Password: "x", UID: 7, GID: 7, Home: "/seven"}, // a name before a number
		"7":     {Name: "1000", Password: "x", UID: 7, GID: 7, Home: "/seven"},
	} {
		got, ok, err := root.Account(key)
		if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
			t.Errorf("Account(%s): %v, %v (-want +got):\n%s", key, ok, err, diff)
		}
	}
	if got := alice.String(); got != "alice:x:1000:1000:A B:/home/alice:" {
		t.Errorf("line %q", got)
	}
	if _, ok, err := root.Account("bad"); ok || err != nil {
		t.Errorf("an account without a number: %v, %v", ok, err)
	}
	groups, err := root.GroupsOf(alice)
	want := []rootfs.Group{{Name: "alice", GID: 1000, Members: []string{"alice"}}, {Name: "wheel", GID: 10, Members: []string{"bob", "alice"}}}
	if diff := cmp.Diff(want, groups); err != nil || diff != "" {
		t.Errorf("groups: %v (-want +got):\n%s", err, diff)
	}
	for user, want := range map[string]rootfs.Shadow{
		"alice": {Line: "alice:!hash:1:2:3:4:5:20000:", Password: "!hash", Expires: 20000, Lapses: 1 + 3 + 5},
		"bob":   {Line: "bob:*", Password: "*", Expires: -1, Lapses: -1},
	} {
		got, ok, err := root.Shadow(user)
		if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
			t.Errorf("Shadow(%s): %v, %v (-want +got):\n%s", user, ok, err, diff)
		}
	}
	if _, ok, err := newRoot(t, nil).Account("root"); ok || err != nil {
		t.Errorf("an account of a host without passwd: %v, %v", ok, err)
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	root := newRoot(t, map[string]string{
		"/etc/passwd":          "root:x:0:0::/root:\nalice:x:1000:1000::/home/alice:\nnested:x:1001:1001::/home/alice/nested:\nnobody:x:65534:65534::/:\n",
		"/home/alice/x":        "",
		"/home/alice/nested/x": "",
		"/home/alicette/x":     "",
		"/srv/x":               "",
	})
	if err := os.Symlink("../../srv", root.Path("/home/alice/link")); err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, path string, want [2]int) {
		t.Helper()
		owners, err := root.Owners()
		if err != nil {
			t.Fatal(err)
		}
		if uid, gid := owners.Of(root.Path(path)); [2]int{uid, gid} != want {
			t.Errorf("%s belongs to %d:%d, want %v", path, uid, gid, want)
		}
	}
	check(t, "/home/alice", [2]int{1000, 1000})
	check(t, "/home/alice/x", [2]int{1000, 1000})
	check(t, "/home/alice/nested/x", [2]int{1001, 1001})
	check(t, "/home/alicette/x", [2]int{0, 0})
	check(t, "/home", [2]int{0, 0})
	check(t, "/home/alice/link", [2]int{1000, 1000})
	check(t, "/home/alice/link/x", [2]int{0, 0})

	set := func(path string, uid, gid int) {
		t.Helper()
		if err := root.SetOwner(root.Path(path), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	set("/home/alice/x", 0, -1)
	check(t, "/home/alice/x", [2]int{0, 1000})
	set("/home/alice/link/x", 5, 6)
	check(t, "/srv/x", [2]int{5, 6})
	set("/home/alice/x", 1000, -1)
	check(t, "/home/alice/x", [2]int{1000, 1000})
	text, err := os.ReadFile(root.Path("/owners"))
	if err != nil || string(text) != "5:6 /srv/x\n" {
		t.Errorf("owners %q, %v", text, err)
	}
	if err := os.Remove(root.Path("/srv/x")); err != nil {
		t.Fatal(err)
	}
	set("/home/alice/x", 7, 7)
	if text, err := os.ReadFile(root.Path("/owners")); err != nil || string(text) != "7:7 /home/alice/x\n" {
		t.Errorf("owners after a file is gone: %q, %v", text, err)
	}
	if err := root.SetOwner("/etc", 7, 7); err == nil {
		t.Error("the owner of a file outside was set")
	}
}
