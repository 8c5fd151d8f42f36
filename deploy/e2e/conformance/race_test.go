package conformance

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// Rounds of one system; together the four systems append 300 times.
const (
	appendRounds  = 75
	secretRounds  = 6
	hostileRounds = 8
)

// raceRows are about what others do to a key file while it is edited.
var raceRows = []row{
	{name: "another writer appends at the same time", race: appendMeanwhile},
	{name: "two secrets change at the same time", race: changeTogether},
	{
		name: "a hostile user swaps files and links meanwhile", race: swapMeanwhile,
		notInLab: "inside a script it knows no rights between users",
	},
}

// poll is how often a racer looks whether its moment has come. No verdict depends on it.
const poll = 100 * time.Microsecond

// moments of an edit, by what stands beside the key file.
var moments = []struct {
	name string
	here func(dir *os.Root, was os.FileInfo) bool
}{
	{"before anything is done", func(*os.Root, os.FileInfo) bool { return true }},
	{"when the old file is held", func(dir *os.Root, _ os.FileInfo) bool { return there(dir, ".old") }},
	{"when the new file is begun", func(dir *os.Root, _ os.FileInfo) bool { return there(dir, ".new") }},
	{"when the new file is whole", func(dir *os.Root, was os.FileInfo) bool {
		info, err := dir.Lstat(asideName + ".new")
		return err == nil && info.Size() >= was.Size()/2
	}},
	{"when the file has been replaced", func(dir *os.Root, was os.FileInfo) bool {
		info, err := dir.Lstat("authorized_keys")
		return err == nil && !os.SameFile(info, was)
	}},
}

func there(dir *os.Root, suffix string) bool {
	_, err := dir.Lstat(asideName + suffix)
	return err == nil
}

// appendMeanwhile has a writer that takes no lock append a line at one moment of each edit.
func appendMeanwhile(t *testing.T, s *system, keys *keyring) {
	dir, err := os.OpenRoot(s.path("/home/alice/.ssh"))
	must(t, err)
	defer func() { _ = dir.Close() }()
	o := newOrder(keys)
	var lines strings.Builder
	for round := range appendRounds {
		moment := moments[round%len(moments)]
		line := fmt.Sprintf("# line %d, %s\n", round, moment.name)
		lines.WriteString(line)
		o.Generation++
		o.Install, o.Retire = keys.public("old new"), nil
		if round%2 == 1 {
			o.Install, o.Retire = keys.public("old"), keys.prints("new")
		}
		was, err := dir.Lstat("authorized_keys")
		must(t, err)
		over := make(chan struct{})
		written := make(chan error, 1)
		go func() {
			until(over, func() bool { return moment.here(dir, was) })
			written <- appendLine(dir, line)
		}()
		got := s.says(t, o)
		close(over)
		must(t, <-written)
		if want := []string{"ok yy/, 1 added", "ok y/-, 1 removed"}[round%2]; got[0] != want {
			t.Fatalf("round %d, a line %s: the host says %q, want %q", round, moment.name, got, want)
		}
	}
	text, err := dir.ReadFile("authorized_keys")
	must(t, err)
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			kept.WriteString(line)
		}
	}
	if diff := cmp.Diff(lines.String(), kept.String()); diff != "" {
		t.Errorf("lines of the other writer (-written +there):\n%s", diff)
	}
}

// turn makes an order take back what the one before gave.
func turn(o *fleet.Order, keys *keyring, round int, install, retire string) {
	o.Generation++
	if round%2 == 1 {
		install, retire = retire, install
	}
	o.Install, o.Retire = keys.public(install), keys.prints(retire)
}

// until returns when it is true or over.
func until(over <-chan struct{}, itIs func() bool) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !itIs() {
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

// appendLine is what `echo line >>authorized_keys` does.
func appendLine(dir *os.Root, line string) error {
	f, err := dir.OpenFile("authorized_keys", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// changeTogether has the orders of two secrets arrive at once, round for round.
func changeTogether(t *testing.T, s *system, keys *keyring) {
	write(aliceKeys, "# mine\n{other}\n{old}\n{second}\n")(t, s, keys)
	web, db := newOrder(keys), newOrder(keys)
	db.Scope, db.Nonce = fleet.Scope("db"), "another-nonce"
	for round := range secretRounds {
		turn(&web, keys, round, "new", "old")
		turn(&db, keys, round, "rsa", "second")
		answers, err := s.run(t, web, db)
		must(t, err)
		for _, a := range answers {
			if got, _, _ := strings.Cut(summary(a.Users[0]), ","); got != "ok y/-" {
				t.Fatalf("round %d: the host says %q", round, summary(a.Users[0]))
			}
		}
		text, err := os.ReadFile(s.path(aliceKeys))
		must(t, err)
		rest, ok := strings.CutPrefix(string(text), keys.expand("# mine\n{other}\n"))
		webLine, dbLine := lineOf(web.Install), lineOf(db.Install)
		if !ok || rest != webLine+dbLine && rest != dbLine+webLine {
			t.Fatalf("round %d: the file holds\n%s", round, text)
		}
	}
}

func lineOf(keys []sshkey.PublicKey) string { return keys[0].String() + "\n" }

// swapMeanwhile has alice put links in the place of her directory or her file, again and again, while
// orders for her and bob are followed. Whatever becomes of her own files, nobody else's may change, bob
// must be served, and when she stops all must be well.
func swapMeanwhile(t *testing.T, s *system, keys *keyring) {
	for _, change := range []step{
		mkdir("/etc/ssh/keys", 0o755), write("/etc/ssh/keys/authorized_keys", "{old}\n{other}\n"), chmod("/etc/ssh/keys/authorized_keys", 0o644),
		chmod("/home/bob/.ssh", 0o755), chmod("/home/bob/.ssh/authorized_keys", 0o644), write("/home/bob/.ssh/authorized_keys", "{old}\n{other}\n"),
		symlink("/etc/ssh/keys/authorized_keys", aside+".new"),
	} {
		change(t, s, keys)
	}
	o := newOrder(keys)
	o.Users = []string{"alice", "bob"}
	want := expected(t, s.entries(t), map[string]string{
		"/home/bob/.ssh/authorized_keys": "{other}\n{new}\n",
	}, keys)
	home, err := os.OpenRoot("/home/alice")
	must(t, err)
	defer func() { _ = home.Close() }()
	dir, err := home.OpenRoot(".ssh")
	must(t, err)
	defer func() { _ = dir.Close() }()
	for round := range hostileRounds {
		o.Generation++
		place, name, target := home, ".ssh", "/etc/ssh/keys"
		if round%2 == 1 {
			place, name, target = dir, "authorized_keys", "/home/bob/.ssh/authorized_keys"
		}
		_ = place.Remove("link") // in the last round it may have become a file
		must(t, place.Symlink(target, "link"))
		over, calm := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(calm)
			swapped := false
			until(over, func() bool {
				swap(place, name, swapped)
				swapped = !swapped
				return false
			})
			if swapped {
				swap(place, name, swapped)
			}
		}()
		got := s.says(t, o)
		close(over)
		<-calm
		if len(got) != 2 || !strings.HasPrefix(got[1], "ok y/-") {
			t.Fatalf("round %d: the host says %q", round, got)
		}
	}
	o.Generation++
	if got := s.says(t, o); !strings.HasPrefix(got[0], "ok y/-") {
		t.Errorf("after it all the host says %q", got)
	}
	got := s.entries(t)
	if text := got[aliceKeys].Text; !strings.Contains(text, keys.expand("{new}\n")) || strings.Contains(text, keys.expand("{old.blob}")) {
		t.Errorf("after it all her file holds\n%s", text)
	}
	for path := range got {
		if strings.Contains(path, ".keytrail-") {
			t.Errorf("%s was left behind", path)
		}
	}
	hers := func(path string, _ entry) bool { return strings.HasPrefix(path, "/home/alice") }
	maps.DeleteFunc(want, hers)
	maps.DeleteFunc(got, hers)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files of others afterwards (-want +got):\n%s", diff)
	}
}

// swap puts the link in the place of what it is about, or back.
func swap(place *os.Root, name string, swapped bool) {
	moves := [][2]string{{name, "true"}, {"link", name}}
	if swapped {
		moves = [][2]string{{name, "link"}, {"true", name}}
	}
	for _, m := range moves {
		_ = place.Rename(m[0], m[1])
	}
}
