package conformance

import "github.com/keytrail/keytrail/rotate/fleet"

// accountRows are about who the users of an order are.
var accountRows = []row{
	{
		name:  "no such user",
		order: users("carol"),
		want:  []string{"nouser"},
		state: "nouser",
		in:    "old", out: "new carol/new",
	},
	{
		name:  "two users, one of whom there is not",
		order: users("alice", "carol"),
		want:  []string{"ok y/-, 1 added, 1 removed", "nouser"},
		state: "ok nouser",
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old carol/new",
	},
	{
		name:  "two users",
		order: users("bob", "alice"),
		want:  []string{"ok y/-, 1 added, 1 foreign", "ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n", "/home/bob/.ssh/authorized_keys": "{other}\n{new}\n"},
		in:    "new bob/new bob/other", out: "old",
	},
	{
		name:  "a user whose shell lets nobody work",
		setup: []step{replace("/etc/passwd", "/home/alice:/bin/sh", "/home/alice:/usr/sbin/nologin")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a user whose shell is missing",
		setup: []step{replace("/etc/passwd", "/home/alice:/bin/sh", "/home/alice:/bin/missing")},
		want:  []string{"refused shell n/y, 1 added"},
		state: "refused",
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name: "a user whose shell is not executable",
		setup: []step{write("/etc/ssh/shell", "#!/bin/sh\n"), chmod("/etc/ssh/shell", 0o644),
			replace("/etc/passwd", "/home/alice:/bin/sh", "/home/alice:/etc/ssh/shell")},
		want:  []string{"refused shell n/y, 1 added"},
		state: "refused",
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name:  "a user without a shell of his own",
		setup: []step{replace("/etc/passwd", "/home/alice:/bin/sh", "/home/alice:")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name: "a user whose shell prints and hangs",
		setup: []step{write("/etc/ssh/shell", "#!/bin/sh\necho noise\nexec sleep 1000\n"), chmod("/etc/ssh/shell", 0o755),
			replace("/etc/passwd", "/home/alice:/bin/sh", "/home/alice:/etc/ssh/shell")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name: "a user whose start-up files print and hang",
		setup: []step{write("/home/alice/.profile", noise), write("/home/alice/.bashrc", noise), write("/home/alice/.bash_profile", noise),
			write("/home/alice/.shrc", noise), write("/home/alice/.ssh/rc", noise), write("/home/alice/.ssh/environment", "ENV=/home/alice/.shrc\nPATH=/home/alice\n"),
			write("/home/alice/.pam_environment", "PATH=/home/alice\n")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name: "programs of the user where he stands",
		setup: []step{write("/home/alice/awk", noise), chmod("/home/alice/awk", 0o755), write("/home/alice/cat", noise), chmod("/home/alice/cat", 0o755),
			write("/home/alice/.ssh/sh", noise), chmod("/home/alice/.ssh/sh", 0o755)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a locked password with PAM",
		setup: []step{replace("/etc/shadow", "alice:*:", "alice:!:")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a locked password without PAM",
		setup: []step{sshd("UsePAM no\n" + oneKeysFile), replace("/etc/shadow", "alice:*:", "alice:!:")},
		want:  []string{"refused locked n/y, 1 added"},
		state: "refused",
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name:  "no password without PAM",
		setup: []step{sshd("UsePAM no\n" + oneKeysFile)},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "an account that has expired",
		setup: []step{replace("/etc/shadow", "alice:*:20000:0:99999:7:::", "alice:*:20000:0:99999:7::20001:")},
		want:  []string{"refused expired n/y, 1 added"},
		state: "refused",
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name: "an account that has expired, without PAM",
		setup: []step{sshd("UsePAM no\n" + oneKeysFile),
			replace("/etc/shadow", "alice:*:20000:0:99999:7:::", "alice:*:20000:0:99999:7::20001:")},
		want:  []string{"refused expired n/y, 1 added"},
		state: "refused",
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},
	{
		name:  "an account that expires one day",
		setup: []step{replace("/etc/shadow", "alice:*:20000:0:99999:7:::", "alice:*:20000:0:99999:7::60000:")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a password that has to be changed",
		setup: []step{replace("/etc/shadow", "alice:*:20000:0:99999:7:::", "alice:*:20000:0:30:7:::")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a password that could have been changed until long ago",
		setup: []step{replace("/etc/shadow", "alice:*:20000:0:99999:7:::", "alice:*:20000:0:30:7:10::")},
		want:  []string{"refused expired n/y, 1 added"},
		state: "refused",
		after: map[string]string{aliceKeys: "{old}\n{new}\n"},
		out:   "new old",
	},

	// uid 0.
	{
		name:  "root without leave",
		order: users("root"),
		want:  []string{"refused root"},
		state: "refused",
		in:    "old", out: "new root/new",
	},
	{
		name:  "root with leave",
		setup: []step{mkdir("/root/.ssh", 0o700), write("/root/.ssh/authorized_keys", "{other}\n{old}\n")},
		order: asRoot("root"),
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign"},
		after: map[string]string{"/root/.ssh/authorized_keys": "{other}\n{new}\n"},
		in:    "old root/new root/other", out: "new root/old",
	},
	{
		name:  "root with leave, whom sshd does not let in",
		setup: []step{sshd(oneFile + "PermitRootLogin no\n"), mkdir("/root/.ssh", 0o700), write("/root/.ssh/authorized_keys", "{old}\n")},
		order: asRoot("root"),
		want:  []string{"refused rootlogin n/y, 1 added"},
		state: "refused",
		after: map[string]string{"/root/.ssh/authorized_keys": "{old}\n{new}\n"},
		in:    "old", out: "new root/new root/old",
	},
	{
		name:  "root with leave, whom sshd lets in for one command",
		setup: []step{sshd(oneFile + "PermitRootLogin forced-commands-only\n"), mkdir("/root/.ssh", 0o700), write("/root/.ssh/authorized_keys", "{old}\n")},
		order: asRoot("root"),
		want:  []string{"refused rootlogin n/y, 1 added"},
		state: "refused",
		after: map[string]string{"/root/.ssh/authorized_keys": "{old}\n{new}\n"},
		in:    "old", out: "new",
	},
	{
		name:  "root by another name without leave",
		setup: []step{replace("/etc/passwd", "bob:x:1001:1001", "bob:x:0:0")},
		order: users("bob", "alice"),
		want:  []string{"refused root", "ok y/-, 1 added, 1 removed"},
		state: "refused ok",
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old bob/new",
	},

	// Orders.
	{
		name:  "an inspection changes nothing",
		order: inspect,
		want:  []string{"ok -/y"},
		state: "missing",
		in:    "old", out: "new",
	},
	{
		name:  "an inspection where another account has the old key",
		setup: []step{write(aliceKeys, "{new}\n"), write("/home/bob/.ssh/authorized_keys", "{other}\nno-pty {old}\n")},
		order: inspect,
		want:  []string{"ok y/-", "elsewhere bob: ok -/y, 1 foreign"},
		state: "ok stale",
		in:    "new bob/old bob/other", out: "old bob/new",
	},
	{
		name: "an inspection where others have their files in other places than the user",
		setup: []step{sshd(oneFile + "Match User alice\nAuthorizedKeysFile /etc/ssh/alice\n"), write("/etc/ssh/alice", "{new}\n"), chmod("/etc/ssh/alice", 0o644),
			write("/home/bob/.ssh/authorized_keys", "{old}\n"), mkdir("/root/.ssh", 0o700), write("/root/.ssh/authorized_keys", "{old}\n")},
		order: inspect,
		want:  []string{"ok y/-", "elsewhere root: ok -/y", "elsewhere bob: ok -/y"},
		state: "ok stale stale",
		in:    "new bob/old root/old", out: "old",
	},
	{
		name:  "an inspection where another account's file cannot be read whole",
		setup: []step{write(aliceKeys, "{new}\n"), write("/home/bob/.ssh/authorized_keys", "{other}\n\x00\n")},
		order: inspect,
		want:  []string{"ok y/-", "elsewhere bob: refused nul -/?"},
		state: "ok unverifiable",
		in:    "new bob/other", out: "old bob/old",
	},
	{
		name: "an inspection where another account links to what only root may read",
		setup: []step{write(aliceKeys, "{new}\n"), mkdir("/root/.ssh", 0o700), write("/root/.ssh/secret", "{old}\n"),
			remove("/home/bob/.ssh/authorized_keys"), symlink("../../../root/.ssh/secret", "/home/bob/.ssh/authorized_keys")},
		order: inspect,
		want:  []string{"ok y/-"},
		in:    "new", out: "old bob/old bob/new",
		notInLab: "all users of a lab host have the rights of the lab",
	},
	{
		name:  "an inspection where another account has no usable home or name",
		setup: []step{write(aliceKeys, "{new}\n"), replace("/etc/passwd", "/home/bob:", "/home/b ob:"), replace("/etc/passwd", "nobody:", "no$body:")},
		order: inspect,
		want:  []string{"ok y/-", "2 skipped"},
		in:    "new", out: "old",
	},
	{
		name:  "an order that came too late",
		order: func(o *fleet.Order, _ *keyring) { o.Expires = o.Expires.AddDate(-1, 0, 0) },
		want:  []string{"the host refused the order: the order arrived after its time"},
		state: "unverifiable",
		in:    "old", out: "new",
	},
	{
		name: "an order that a newer one overtook",
		setup: []step{ordered(func(o *fleet.Order, keys *keyring) {
			o.Generation, o.Install, o.Retire = 2, keys.public("second"), keys.prints("new")
		})},
		want:  []string{"the host refused the order: the host has followed a newer order of this secret"},
		state: "unverifiable",
		in:    "old second", out: "new",
	},
	{
		name: "an order of another secret",
		setup: []step{ordered(func(o *fleet.Order, keys *keyring) {
			o.Generation, o.Scope, o.Install, o.Retire = 2, fleet.Scope("db"), keys.public("second"), nil
		})},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign, 1 forged"},
		after: map[string]string{aliceKeys: "{second}\n{new}\n"},
		in:    "new second", out: "old",
	},
	{
		name:  "an order that repeats another",
		setup: []step{ordered(func(*fleet.Order, *keyring) {})},
		want:  []string{"ok y/-"},
		in:    "new", out: "old",
	},
	{
		name:  "two keys to install and two to retire",
		setup: []step{write(aliceKeys, "{other}\n{old}\n")},
		order: func(o *fleet.Order, keys *keyring) {
			o.Install, o.Retire, o.Known = keys.public("new second"), keys.prints("old rsa"), keys.prints("other")
		},
		want:  []string{"ok yy/--, 2 added, 1 removed"},
		after: map[string]string{aliceKeys: "{other}\n{new}\n{second}\n"},
		in:    "new second other", out: "old",
	},
}

func inspect(o *fleet.Order, _ *keyring) { o.Action = fleet.Inspect }

// noise is a program that nobody wants to run as part of a rotation.
const noise = "#!/bin/sh\necho noise\necho noise >&2\nsleep 1000\n"

func users(names ...string) func(*fleet.Order, *keyring) {
	return func(o *fleet.Order, _ *keyring) { o.Users = names }
}

func asRoot(name string) func(*fleet.Order, *keyring) {
	return func(o *fleet.Order, _ *keyring) { o.Users, o.AllowRoot = []string{name}, true }
}

func install(names string) func(*fleet.Order, *keyring) {
	return func(o *fleet.Order, keys *keyring) { o.Install = keys.public(names) }
}
