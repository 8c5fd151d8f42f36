package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// leftRows are about users who no longer belong to a secret: nothing is installed for them, and a
// retired key goes only while another one stays that opens the account.
var leftRows = []row{
	{
		name:  "a user who left and has a key of his own",
		setup: []step{write(aliceKeys, "{other}\n{old}\n")},
		order: left,
		want:  []string{"ok /-, 1 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "{other}\n"},
		in:    "other", out: "old new",
	},
	{
		name:  "a user who left and has a key that is known",
		setup: []step{write(aliceKeys, "{old}\n{second}\n")},
		order: func(o *fleet.Order, keys *keyring) { o.Install, o.Known = nil, keys.prints("second") },
		want:  []string{"ok /-, 1 removed"},
		after: map[string]string{aliceKeys: "{second}\n"},
		in:    "second", out: "old new",
	},
	{
		name:  "a user who left and has no other key",
		order: left,
		want:  []string{"failed last /y"},
		state: "stale",
		in:    "old", out: "new",
	},
	{
		name:  "a user who left and has nothing but retired keys",
		setup: []step{write(aliceKeys, "{old}\n{second}\n{old}\n")},
		order: func(o *fleet.Order, keys *keyring) { o.Install, o.Retire = nil, keys.prints("second old") },
		want:  []string{"failed last /yy"},
		state: "stale",
		in:    "old second", out: "new",
	},
	{
		name:  "a user who left and has nothing of ours",
		setup: []step{write(aliceKeys, "{other}\n")},
		order: left,
		want:  []string{"ok /-, 1 foreign"},
		in:    "other", out: "old new",
	},
	{
		name:  "a user who left and has no .ssh",
		setup: []step{remove("/home/alice/.ssh")},
		order: left,
		want:  []string{"ok /-"},
		out:   "old new",
	},
	{
		name: "an inspection of a user who left",
		order: func(o *fleet.Order, _ *keyring) {
			o.Action, o.Install = fleet.Inspect, nil
		},
		want:  []string{"ok /y"},
		state: "stale",
		in:    "old", out: "new",
	},
	{
		name:  "two users who left, one of them with a key of his own",
		setup: []step{write("/home/bob/.ssh/authorized_keys", "{other}\n{old}\n")},
		order: func(o *fleet.Order, _ *keyring) { o.Users, o.Install = []string{"alice", "bob"}, nil },
		want:  []string{"failed last /y", "ok /-, 1 removed, 1 foreign"},
		state: "stale ok",
		after: map[string]string{"/home/bob/.ssh/authorized_keys": "{other}\n"},
		in:    "old bob/other", out: "new bob/old",
	},

	// Keys that do not count.
	{
		name:  "a user who left, and a key that runs one command",
		setup: []step{write(aliceKeys, "{old}\ncommand=\"date\" {other}\n")},
		order: left,
		want:  []string{"failed last /y, 1 foreign"},
		state: "stale",
		in:    "old other", out: "new",
	},
	{
		name:  "a user who left, and a key under options that leave him a shell",
		setup: []step{write(aliceKeys, "{old}\nno-pty,environment=\"A=command\" {other}\n")},
		order: left,
		want:  []string{"ok /-, 1 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "no-pty,environment=\"A=command\" {other}\n"},
		in:    "other", out: "old new",
	},
	{
		name:  "a user who left, and a key for one address alone",
		setup: []step{write(aliceKeys, "{old}\nfrom=\"10.0.0.0/8\" {other}\n")},
		order: left,
		want:  []string{"failed last /y, 1 foreign"},
		state: "stale",
		in:    "old", out: "other new",
	},
	{
		name:  "a user who left, and a key after its expiry",
		setup: []step{write(aliceKeys, "{old}\nexpiry-time=\"20200101\" {other}\n")},
		order: left,
		want:  []string{"failed last /y, 1 foreign"},
		state: "stale",
		in:    "old", out: "other new",
	},
	{
		name:  "a user who left, and an authority",
		setup: []step{write(aliceKeys, "{old}\ncert-authority {other}\n")},
		order: left,
		want:  []string{"failed last /y, 1 foreign, ways l"},
		state: "stale",
		in:    "old", out: "other new",
	},
	{
		name:  "a user who left, and a key that is commented out",
		setup: []step{write(aliceKeys, "{old}\n# {other}\n")},
		order: left,
		want:  []string{"failed last /y"},
		state: "stale",
		in:    "old", out: "other new",
	},
	{
		name:  "a user who left, and a key that is revoked",
		setup: []step{sshd(oneFile + "RevokedKeys /etc/ssh/revoked\n"), write("/etc/ssh/revoked", "{other}\n"), write(aliceKeys, "{old}\n{other}\n")},
		order: left,
		want:  []string{"failed last /y, 1 foreign"},
		state: "stale",
		in:    "old", out: "other new",
	},
	{
		name: "a user who left, and a key beside one that is revoked",
		setup: []step{sshd(oneFile + "RevokedKeys /etc/ssh/revoked\n"), write("/etc/ssh/revoked", "{other}\n"),
			write(aliceKeys, "{old}\n{other}\n{rsa}\n")},
		order: left,
		want:  []string{"ok /-, 1 removed, 2 foreign, 1 forged"},
		after: map[string]string{aliceKeys: "{other}\n{rsa}\n"},
		in:    "rsa", out: "old other new",
	},
	{
		name:  "a user who left, and a key whose type is not accepted",
		setup: []step{sshd(oneFile + "PubkeyAcceptedAlgorithms ssh-ed25519\n"), write(aliceKeys, "{old}\n{second}\n")},
		order: left,
		want:  []string{"failed last /y, 1 foreign, 1 forged"},
		state: "stale",
		in:    "old", out: "second new",
	},
	{
		name:  "a user who left, and an RSA key that is too short",
		setup: []step{sshd(oneFile + "RequiredRSASize 3072\n"), write(aliceKeys, "{old}\n{rsa}\n")},
		order: left,
		want:  []string{"failed last /y, 1 foreign, 1 forged"},
		state: "stale",
		in:    "old", out: "rsa new",
	},
	{
		name:  "a user who left, whom sshd does not let in",
		setup: []step{sshd(oneFile + "DenyUsers al*\n"), write(aliceKeys, "{old}\n{other}\n")},
		order: left,
		want:  []string{"refused users /y, 1 foreign"},
		state: "refused",
		out:   "old other new",
	},
	{
		name:  "a user who left, whose file cannot be read whole",
		setup: []step{write(aliceKeys, "{old}\n{other}\n\x00\n")},
		order: left,
		want:  []string{"refused nul /?"},
		state: "refused",
		in:    "old other", out: "new",
	},

	// More files than one.
	{
		name:  "a user who left, and a key in a second file",
		setup: []step{sshd(twoFiles), write(secondKeys, "{other}\n")},
		order: left,
		want:  []string{"ok /-, 1 removed, 1 foreign"},
		after: map[string]string{aliceKeys: ""},
		in:    "other", out: "old new",
	},
	{
		name:  "a user who left, and a key in a file that sshd does not read",
		setup: []step{write(secondKeys, "{other}\n")},
		order: left,
		want:  []string{"failed last /y"},
		state: "stale",
		in:    "old", out: "other new",
	},
	{
		name:  "a user who left, and a key in a file that sshd does not trust",
		setup: []step{sshd(twoFiles), write(secondKeys, "{other}\n"), chmod(secondKeys, 0o666)},
		order: left,
		want:  []string{"failed last /y, 1 foreign"},
		state: "stale",
		in:    "old", out: "other new",
	},
	{
		name:  "a user who left, with the old key in two files",
		setup: []step{sshd(twoFiles), write(secondKeys, "{old}\n{other}\n{old}\n")},
		order: left,
		want:  []string{"ok /-, 3 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "", secondKeys: "{other}\n"},
		in:    "other", out: "old new",
	},
	{
		name:  "a user who left, with the old key alone in two files",
		setup: []step{sshd(twoFiles), write(secondKeys, "no-pty {old}\n")},
		order: left,
		want:  []string{"failed last /y"},
		state: "stale",
		in:    "old", out: "new",
	},
	{
		name:  "a user who left, with the old key in a file of root",
		setup: []step{rooted, write("/etc/ssh/keys/alice", "{old}\n"), chmod("/etc/ssh/keys/alice", 0o644), write(aliceKeys, "{old}\n{other}\n")},
		order: left,
		want:  []string{"ok /-, 2 removed, 1 foreign"},
		after: map[string]string{"/etc/ssh/keys/alice": "", aliceKeys: "{other}\n"},
		in:    "other", out: "old new",
	},
	{
		name:  "a user who left, with another key in a file of root",
		setup: []step{rooted, write("/etc/ssh/keys/alice", "{old}\n{other}\n"), chmod("/etc/ssh/keys/alice", 0o644)},
		order: left,
		want:  []string{"ok /-, 2 removed, 1 foreign"},
		after: map[string]string{"/etc/ssh/keys/alice": "{other}\n", aliceKeys: ""},
		in:    "other", out: "old new",
	},
	{
		name:  "a user who left, with the old key alone in a file of root",
		setup: []step{rooted, write("/etc/ssh/keys/alice", "{old}\n"), chmod("/etc/ssh/keys/alice", 0o644), write(aliceKeys, "")},
		order: left,
		want:  []string{"failed last /y"},
		state: "stale",
		in:    "old", out: "new",
	},
	{name: "two secrets leave a user at the same time", race: leaveTogether},
}

const (
	secondKeys = "/home/alice/.ssh/authorized_keys2"
	twoFiles   = "AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\n"
)

func left(o *fleet.Order, _ *keyring) { o.Install = nil }

// rooted has sshd read a file of root before the user's own.
func rooted(t *testing.T, s *system, keys *keyring) {
	t.Helper()
	sshd("AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys\n")(t, s, keys)
	mkdir("/etc/ssh/keys", 0o755)(t, s, keys)
}

// leaveTogether has two secrets leave alice at once, each of which sees nothing but the key of the
// other beside its own, in a file of root and in hers: one key has to stay.
func leaveTogether(t *testing.T, s *system, keys *keyring) {
	const file = "/etc/ssh/keys/alice"
	rooted(t, s, keys)
	web, db := newOrder(keys), newOrder(keys)
	db.Scope, db.Nonce, db.Retire = fleet.Scope("db"), "another-nonce", keys.prints("second")
	web.Install, db.Install = nil, nil
	for range max(1, s.races/20) {
		write(file, "{old}\n")(t, s, keys)
		chmod(file, 0o644)(t, s, keys)
		write(aliceKeys, "{second}\n")(t, s, keys)
		web.Generation++
		db.Generation++
		var words []string
		for _, got := range s.run(t, web, db) {
			words = append(words, got.words...)
		}
		slices.Sort(words)
		// Whoever comes second sees no foreign key any more.
		if diff := cmp.Diff([]string{"failed last /y", "ok /-, 1 removed, 1 foreign"}, forgiven(words)); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		var text strings.Builder
		for _, name := range []string{file, aliceKeys} {
			part, err := os.ReadFile(s.path(name))
			must(t, err)
			text.Write(part)
		}
		if got := text.String(); got != keys.expand("{old}\n") && got != keys.expand("{second}\n") {
			t.Errorf("the files hold\n%s", got)
		}
	}
}

// forgiven leaves the count of forged keys out: it says which of the two secrets went first.
func forgiven(words []string) []string {
	for i := range words {
		words[i] = strings.TrimSuffix(words[i], ", 1 forged")
	}
	return words
}
