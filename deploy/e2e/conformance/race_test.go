package conformance

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// Rounds of one race. The real systems, one for each shell, come to 300 together; on a lab host it is
// the same script under the same shell.
const (
	realRounds    = 100
	labRounds     = 5
	hostileRounds = 8
)

// raceRows are about what others do to a key file while it is edited.
var raceRows = []row{
	{name: "two secrets change and another writer appends at the same time", setup: []step{settle()}, race: changeTogether},
	{
		name: "a hostile user swaps files and links meanwhile", race: swapMeanwhile,
		notInLab: "inside a script it knows no rights between users",
	},
}

// poll is how often a racer looks whether its moment has come. No verdict depends on it.
const poll = time.Millisecond

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

// appendLine is what `echo line >>authorized_keys` does, but that it does not write to a file that was
// given up since it was opened: what comes that late, nobody can keep.
func appendLine(dir *os.Root, line string) error {
	for {
		f, err := dir.OpenFile("authorized_keys", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil && info.Sys().(*syscall.Stat_t).Nlink > 0 {
			_, err = f.WriteString(line)
			return errors.Join(err, f.Close())
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

// changeTogether has the orders of two secrets arrive at once, round for round, while a writer that
// takes no lock appends a line at one moment of an edit.
func changeTogether(t *testing.T, s *system, keys *keyring) {
	const mine = "# mine\n{other}\n"
	write(aliceKeys, mine+"{old}\n{second}\n")(t, s, keys)
	dir, err := os.OpenRoot(s.path("/home/alice/.ssh"))
	must(t, err)
	defer func() { _ = dir.Close() }()
	web, db := newOrder(keys), newOrder(keys)
	db.Scope, db.Nonce = fleet.Scope("db"), "another-nonce"
	foreign := keys.expand(mine)
	for round := range s.races {
		turn(&web, keys, round, "new", "old")
		turn(&db, keys, round, "rsa", "second")
		moment := moments[round%len(moments)]
		line := fmt.Sprintf("# line %d, %s\n", round, moment.name)
		foreign += line
		was, err := dir.Lstat("authorized_keys")
		must(t, err)
		over, written := make(chan struct{}), make(chan error, 1)
		go func() {
			until(over, func() bool { return moment.here(dir, was) })
			written <- appendLine(dir, line)
		}()
		all := s.run(t, web, db)
		close(over)
		must(t, <-written)
		for _, got := range all {
			if words, _, _ := strings.Cut(got.words[0], ","); words != "ok y/-" {
				t.Fatalf("round %d, a line %s: the host says %q", round, moment.name, got.words)
			}
		}
		text, err := dir.ReadFile("authorized_keys")
		must(t, err)
		var kept, ours []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "keytrail:") {
				ours = append(ours, line)
			} else {
				kept = append(kept, line)
			}
		}
		if diff := cmp.Diff(foreign, strings.Join(kept, "")); diff != "" {
			t.Fatalf("round %d, a line %s: lines of others (-written +there):\n%s", round, moment.name, diff)
		}
		want := []string{lineOf(web.Install), lineOf(db.Install)}
		slices.Sort(want)
		slices.Sort(ours)
		if diff := cmp.Diff(want, ours); diff != "" {
			t.Fatalf("round %d, a line %s: lines of the secrets (-want +there):\n%s", round, moment.name, diff)
		}
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
		got := s.run(t, o)[0].words
		close(over)
		<-calm
		if len(got) != 2 || !strings.HasPrefix(got[1], "ok y/-") {
			t.Fatalf("round %d: the host says %q", round, got)
		}
	}
	o.Generation++
	if got := s.run(t, o)[0].words; !strings.HasPrefix(got[0], "ok y/-") {
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
