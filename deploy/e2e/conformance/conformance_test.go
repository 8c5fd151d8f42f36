package conformance

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// row is one case. Where it says nothing, alice has the key old in her only key file, and the order
// gives her new and takes old away.
type row struct {
	name  string
	setup []step
	order func(*fleet.Order, *keyring)
	// want is what the host says, one line for each user as summary has it, and for each other account
	// that it tells of; or, where the host refuses the order as a whole, what it says of that.
	want []string
	// state is what that means for each of them, in that order; ok for all users where it says nothing.
	state string
	// after are the files whose bytes are others afterwards. A path that was not there before is a new
	// file, or with a slash at its end a directory, and gone says that nothing is there any more.
	// Everything else must be as it was: bytes, owner, mode, and nothing left behind.
	after map[string]string
	// in and out are the keys that let people in as alice afterwards, and those that do not; together
	// they must name both old and new. "root/new" is another user's login.
	in, out string
	// race takes the place of order, answer, files and logins.
	race func(*testing.T, *system, *keyring)
	// notInLab is why no lab host can be in this state.
	notInLab string
}

// gone is the text of a file that must not be there.
const gone = "\x00"

// step is one change to a fresh system.
type step func(*testing.T, *system, *keyring)

func TestConformance(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t)
	shells, why := realShells(t)
	if testing.Short() {
		shells, why = nil, "make conformance runs it"
	} else if why != "" && os.Getenv("CI") != "" {
		t.Fatalf("the rows cannot run on a real system: this %s", why)
	}
	seen := map[string]bool{}
	for _, r := range slices.Concat(contentRows, fileRows, settingRows, accountRows, leftRows, raceRows) {
		if seen[r.name] {
			t.Fatalf("two rows are named %q", r.name)
		}
		seen[r.name] = true
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			t.Run("lab", func(t *testing.T) {
				t.Parallel()
				if r.notInLab != "" {
					t.Skipf("only on a real system: %s", r.notInLab)
				}
				s := newLabHost(t)
				r.check(t, s, keys)
				r.checkLogins(t, s, keys)
			})
			for _, shell := range slices.Sorted(maps.Keys(shells)) {
				t.Run(shell, func(t *testing.T) {
					t.Parallel()
					s := newRealSystem(t, shells[shell], keys)
					r.check(t, s, keys)
					if shell == "dash" { // the files are the same under all shells, and so is what sshd makes of them
						r.checkLogins(t, s, keys)
					}
				})
			}
			if why != "" {
				t.Run("real", func(t *testing.T) { t.Skip(why) })
			}
		})
	}
}

// check runs the row on a bare system.
func (r row) check(t *testing.T, s *system, keys *keyring) {
	t.Helper()
	s.populate(t, keys)
	for _, change := range r.setup {
		change(t, s, keys)
	}
	if r.race != nil {
		r.race(t, s, keys)
		return
	}
	want := expected(t, s.entries(t), r.after, keys)
	o := newOrder(keys)
	if r.order != nil {
		r.order(&o, keys)
	}
	said := s.run(t, o)[0]
	if diff := cmp.Diff(r.want, said.words); diff != "" {
		t.Errorf("the host's answer (-want +got):\n%s", diff)
	}
	state := r.state
	if state == "" {
		state = strings.Repeat(" ok", len(o.Users))[1:]
	}
	if got := strings.Join(said.states, " "); got != state {
		t.Errorf("that means %q, want %q", got, state)
	}
	if diff := cmp.Diff(want, s.entries(t)); diff != "" {
		t.Errorf("files afterwards (-want +got):\n%s", diff)
	}
}

// checkLogins tries the keys that the row names.
func (r row) checkLogins(t *testing.T, s *system, keys *keyring) {
	t.Helper()
	if r.race != nil {
		return
	}
	for _, name := range []string{"old", "new"} {
		if !slices.Contains(strings.Fields(r.in+" "+r.out), name) {
			t.Errorf("the row does not say whether %s lets people in", name)
		}
	}
	for _, list := range []struct {
		logins string
		enter  bool
	}{{r.in, true}, {r.out, false}} {
		for _, login := range strings.Fields(list.logins) {
			user, name, other := strings.Cut(login, "/")
			if !other {
				user, name = "alice", login
			}
			err := s.login(user, keys.keys[name].Signer())
			if (err == nil) != list.enter {
				t.Errorf("login of %s with the key %s: got in %t, want %t: %v", user, name, err == nil, list.enter, err)
			}
		}
	}
}

// newOrder is what most rows are ordered.
func newOrder(keys *keyring) fleet.Order {
	return fleet.Order{
		Action: fleet.Apply, Nonce: "0b8f7d0c-9f5e-4c55-8b0e-1f5d1a2b3c4d", Scope: fleet.Scope("web"),
		Users: []string{"alice"}, Install: keys.public("new"), Retire: keys.prints("old"),
		Generation: 1, Expires: time.Now().Add(time.Hour),
	}
}

// said is what a host said to one order, in the words of rows.
type said struct {
	words  []string // for each user, as summary has it; or what it said of the order as a whole
	states []string // what that means for each user
}

func understand(id string, o fleet.Order, stdout string) (s said) {
	seen, err := fleet.Observe(fleet.Node{ID: fleet.InstanceID(id)}, o, stdout)
	for _, u := range seen {
		s.states = append(s.states, string(u.State))
	}
	if err != nil {
		s.words = []string{err.Error()}
		return s
	}
	answer, _ := fleet.Decode(stdout, o, id) // as Observe did
	for _, u := range answer.Users {
		s.words = append(s.words, summary(u))
	}
	for _, u := range answer.Others {
		s.words = append(s.words, "elsewhere "+u.User+": "+summary(u))
	}
	if answer.Skipped > 0 {
		s.words = append(s.words, fmt.Sprintf("%d skipped", answer.Skipped))
	}
	return s
}

// summary is an answer about one user in short: the code and the reason, a mark for each key that
// was to be there and for each that was not, and what else is more than nothing.
func summary(u fleet.UserAnswer) string {
	text := strings.TrimSpace(fmt.Sprintf("%s %s", u.Code, u.Reason))
	if len(u.Present)+len(u.Remaining) > 0 {
		text += fmt.Sprintf(" %s/%s", marks(u.Present), marks(u.Remaining))
	}
	for _, n := range []struct {
		name  string
		count int
	}{{"added", u.Added}, {"removed", u.Removed}, {"foreign", u.Foreign}, {"forged", u.Forged}} {
		if n.count != 0 {
			text += fmt.Sprintf(", %d %s", n.count, n.name)
		}
	}
	if u.Ways != "" {
		text += ", ways " + u.Ways
	}
	return text
}

func marks(keys []fleet.Presence) string {
	text := make([]byte, len(keys))
	for i, k := range keys {
		text[i] = byte(k)
	}
	return string(text)
}

// expected is what stands in the watched places after the changes.
func expected(t *testing.T, before map[string]entry, after map[string]string, keys *keyring) map[string]entry {
	t.Helper()
	want := maps.Clone(before)
	for name, text := range after {
		if text == gone {
			delete(want, name)
			continue
		}
		file := strings.TrimSuffix(name, "/")
		e, was := before[file]
		if !was {
			e = fresh(file, name != file)
		}
		e.Text = keys.expand(text)
		want[file] = e
	}
	return want
}

// fresh is what the script may make: private below a home, and below /etc root's, but readable.
func fresh(file string, dir bool) entry {
	e := entry{Mode: 0o600}
	switch {
	case strings.HasPrefix(file, "/home/alice/"):
		e.UID, e.GID = aliceID, aliceID
	case strings.HasPrefix(file, "/home/bob/"):
		e.UID, e.GID = bobID, bobID
	case path.Dir(file) != "/root/.ssh":
		e.Mode = 0o644
	}
	if dir {
		e.Mode = fs.ModeDir | 0o700
	}
	return e
}
