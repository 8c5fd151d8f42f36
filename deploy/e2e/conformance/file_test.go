package conformance

// aside is where the script keeps the two sides of an edit of alice's file.
const (
	aside     = "/home/alice/.ssh/" + asideName
	asideName = ".authorized_keys.keytrail-" + hostID
)

// fileRows are about where a key file stands, what it is and whose.
var fileRows = []row{
	// What is not there.
	{
		name:  "no .ssh",
		setup: []step{remove("/home/alice/.ssh")},
		want:  []string{"ok y/-, 1 added"},
		after: map[string]string{"/home/alice/.ssh/": "", aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "no key file",
		setup: []step{remove(aliceKeys)},
		want:  []string{"ok y/-, 1 added"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "no home",
		setup: []step{remove("/home/alice")},
		want:  []string{"refused home -/-"},
		out:   "new old",
	},

	// Owners and modes, from the file up.
	{
		name:  "a file that a group may write",
		setup: []step{chown(aliceKeys, aliceID, staffID), chmod(aliceKeys, 0o660)},
		want:  []string{"refused modes n/y, 1 added"},
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name:  "a file that everybody may write",
		setup: []step{chmod(aliceKeys, 0o666)},
		want:  []string{"refused modes n/y, 1 added"},
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name:  "a file that everybody may read",
		setup: []step{chmod(aliceKeys, 0o644)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a file that nobody may write",
		setup: []step{chmod(aliceKeys, 0o400)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a .ssh that a group may write",
		setup: []step{chown("/home/alice/.ssh", aliceID, staffID), chmod("/home/alice/.ssh", 0o770)},
		want:  []string{"refused modes -/y"},
		out:   "new old",
	},
	{
		name:  "a home that everybody may write",
		setup: []step{chmod("/home/alice", 0o777)},
		want:  []string{"refused modes n/y, 1 added"},
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name:  "a place of homes that everybody may write",
		setup: []step{chmod("/home", 0o777)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a bad mode without strict modes",
		setup: []step{sshd(oneFile + "StrictModes no\n"), chmod(aliceKeys, 0o666)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a file of root below the home",
		setup: []step{chown(aliceKeys, 0, 0), chmod(aliceKeys, 0o644)},
		want:  []string{"refused mixed -/y"},
		in:    "old", out: "new",
	},
	{
		name:     "a file of root that only root may read",
		setup:    []step{chown(aliceKeys, 0, 0)},
		want:     []string{"refused unreadable -/-"},
		out:      "new old",
		notInLab: "its commands run with the rights of whoever started the lab, so all of them can read",
	},
	{
		name:  "a file of another user",
		setup: []step{chown(aliceKeys, bobID, bobID), chmod(aliceKeys, 0o644)},
		want:  []string{"refused mixed -/y"},
		out:   "new old",
	},
	{
		name:  "a .ssh of root",
		setup: []step{chown("/home/alice/.ssh", 0, 0), chmod("/home/alice/.ssh", 0o755)},
		want:  []string{"refused mixed -/y"},
		in:    "old", out: "new",
	},
	{
		name:  "a home of another user",
		setup: []step{chown("/home/alice", bobID, bobID)},
		want:  []string{"refused modes n/y, 1 added"},
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name:  "a home of root",
		setup: []step{chown("/home/alice", 0, 0)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},

	// Where sshd looks.
	{
		name: "key files of root for each user",
		setup: []step{sshd("AuthorizedKeysFile /etc/ssh/keys/%u\n"), mkdir("/etc/ssh/keys", 0o755),
			write("/etc/ssh/keys/alice", "{other}\n{old}\n"), chmod("/etc/ssh/keys/alice", 0o644)},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign"},
		after: map[string]string{"/etc/ssh/keys/alice": "{other}\n{new}\n"},
		in:    "new other", out: "old",
	},
	{
		name:  "a new key file of root",
		setup: []step{sshd("AuthorizedKeysFile /etc/ssh/keys/%u\n"), mkdir("/etc/ssh/keys", 0o755)},
		want:  []string{"ok y/-, 1 added"},
		after: map[string]string{"/etc/ssh/keys/alice": "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "no directory of root for the files",
		setup: []step{sshd("AuthorizedKeysFile /etc/ssh/keys/%u\n")},
		want:  []string{"refused mixed -/-"},
		out:   "new old",
	},
	{
		name: "files by number and by home",
		setup: []step{sshd("AuthorizedKeysFile /etc/ssh/keys/%U%% %h/%u.keys\n"), mkdir("/etc/ssh/keys", 0o755),
			write("/etc/ssh/keys/1000%", "{old}\n"), chmod("/etc/ssh/keys/1000%", 0o644), write("/home/alice/alice.keys", "{old}\n")},
		want:  []string{"ok y/-, 1 added, 2 removed"},
		after: map[string]string{"/etc/ssh/keys/1000%": "{new}\n", "/home/alice/alice.keys": ""},
		in:    "new", out: "old",
	},
	{
		name: "two files with the old key in both",
		setup: []step{sshd("AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\n"),
			write("/home/alice/.ssh/authorized_keys2", "{other}\n{old}\n")},
		want:  []string{"ok y/-, 1 added, 2 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "{new}\n", "/home/alice/.ssh/authorized_keys2": "{other}\n"},
		in:    "new other", out: "old",
	},
	{
		name: "two files and the new key in the second",
		setup: []step{sshd("AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\n"),
			write("/home/alice/.ssh/authorized_keys2", "{new}\n")},
		want:  []string{"ok y/-, 1 removed"},
		after: map[string]string{aliceKeys: ""},
		in:    "new", out: "old",
	},
	{
		name: "three files in three places",
		setup: []step{sshd("AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys .ssh/more/keys\n"), mkdir("/etc/ssh/keys", 0o755),
			write("/etc/ssh/keys/alice", "{old}\n"), chmod("/etc/ssh/keys/alice", 0o644),
			mkdir("/home/alice/.ssh/more", 0o700), write("/home/alice/.ssh/more/keys", "{other}\n{old}\n")},
		want: []string{"ok y/-, 1 added, 3 removed, 1 foreign"},
		after: map[string]string{"/etc/ssh/keys/alice": "{new}\n", aliceKeys: "",
			"/home/alice/.ssh/more/keys": "{other}\n"},
		in: "new other", out: "old",
	},
	{
		name:  "a file that sshd does not read is left alone",
		setup: []step{write("/home/alice/.ssh/authorized_keys2", "{old}\n{other}\n")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old other",
	},
	{
		name:  "no file at all",
		setup: []step{sshd("AuthorizedKeysFile none\n")},
		want:  []string{"refused nofile"},
		out:   "new old",
	},

	// Links and what is no file.
	{
		name:  "a link to a file beside it",
		setup: []step{move(aliceKeys, "/home/alice/.ssh/real"), symlink("real", aliceKeys)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{"/home/alice/.ssh/real": "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a link to a directory of the user",
		setup: []step{move("/home/alice/.ssh", "/home/alice/dot-ssh"), symlink("dot-ssh", "/home/alice/.ssh")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{"/home/alice/dot-ssh/authorized_keys": "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a link to where nothing is",
		setup: []step{remove(aliceKeys), symlink("nowhere", aliceKeys)},
		want:  []string{"ok y/-, 1 added"},
		after: map[string]string{"/home/alice/.ssh/nowhere": "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a link to the file of another user",
		setup: []step{remove(aliceKeys), symlink("../../bob/.ssh/authorized_keys", aliceKeys), chmod("/home/bob/.ssh", 0o755), chmod("/home/bob/.ssh/authorized_keys", 0o644)},
		want:  []string{"refused mixed -/-, 1 foreign"},
		in:    "bob/other", out: "new old other",
	},
	{
		name:  "a link to a file of root",
		setup: []step{remove(aliceKeys), write("/etc/ssh/shared", "{old}\n"), chmod("/etc/ssh/shared", 0o644), symlink("../../../etc/ssh/shared", aliceKeys)},
		want:  []string{"refused mixed -/y"},
		in:    "old", out: "new",
	},
	{
		name:  "a link that leads round in a circle",
		setup: []step{remove(aliceKeys), symlink("authorized_keys", aliceKeys)},
		want:  []string{"unverifiable path"},
		out:   "new old",
	},
	{
		name:  "a file with a second name",
		setup: []step{hardlink(aliceKeys, "/home/alice/backup")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a directory in the place of the file",
		setup: []step{remove(aliceKeys), mkdir(aliceKeys, 0o700)},
		want:  []string{"refused type -/-"},
		out:   "new old",
	},
	{
		name:  "a pipe in the place of the file",
		setup: []step{remove(aliceKeys), fifo(aliceKeys)},
		want:  []string{"refused type -/-"},
		out:   "new old",
	},
	{
		name:  "a file in the place of .ssh",
		setup: []step{remove("/home/alice/.ssh"), write("/home/alice/.ssh", "no directory\n")},
		want:  []string{"failed write -/-"},
		out:   "new old",
	},
	{
		name:  "a pipe as the first of two files",
		setup: []step{sshd("AuthorizedKeysFile .ssh/pipe .ssh/authorized_keys\n"), fifo("/home/alice/.ssh/pipe")},
		want:  []string{"refused type y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "what a killed run left",
		setup: []step{write(aside+".new", "half a fi"), hardlink(aliceKeys, aside+".old")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n", aside + ".new": gone, aside + ".old": gone},
		in:    "new", out: "old",
	},

	{
		name: "links to the file of another user where an edit is kept",
		setup: []step{chmod("/home/bob/.ssh", 0o755), symlink("../../bob/.ssh/authorized_keys", aside+".new"),
			symlink("../../bob/.ssh/authorized_keys", aside+".old")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n", aside + ".new": gone, aside + ".old": gone},
		in:    "new bob/other", out: "old",
	},
	{
		name:  "a pipe where an edit is kept",
		setup: []step{fifo(aside + ".new")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n", aside + ".new": gone},
		in:    "new", out: "old",
	},
	{
		name:  "a directory where an edit is kept",
		setup: []step{mkdir(aside+".new", 0o700)},
		want:  []string{"failed write -/y"},
		in:    "old", out: "new",
	},

	// File systems.
	{
		name:     "a home on a full disk",
		setup:    []step{smallDisk("/home/alice"), fill("/home/alice/fill")},
		want:     []string{"failed write -/y"},
		in:       "old",
		out:      "new",
		notInLab: "its switch for a full disk fills root's home as well",
	},
	{
		name:     "a home on a disk that is read-only",
		setup:    []step{smallDisk("/home/alice"), readOnly("/home/alice")},
		want:     []string{"failed write -/y"},
		in:       "old",
		out:      "new",
		notInLab: "it has no mounts",
	},
	{
		name:     "a file that is immutable",
		setup:    []step{immutable(aliceKeys)},
		want:     []string{"failed write -/y"},
		in:       "old",
		out:      "new",
		notInLab: "chattr needs root",
	},
	{
		name:     "a directory that is immutable",
		setup:    []step{immutable("/home/alice/.ssh")},
		want:     []string{"failed write -/y"},
		in:       "old",
		out:      "new",
		notInLab: "chattr needs root",
	},
}
