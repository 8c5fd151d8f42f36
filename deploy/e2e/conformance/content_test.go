package conformance

import (
	"strings"
)

// contentRows are about what stands in a key file.
var contentRows = []row{
	{
		name:  "the old key is replaced",
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new bob/other", out: "old other",
	},
	{
		name:  "an empty file",
		setup: []step{write(aliceKeys, "")},
		want:  []string{"ok y/-, 1 added"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "no newline at the end of a line that stays",
		setup: []step{write(aliceKeys, "{old}\n{other}")},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "{other}\n{new}\n"},
		in:    "new other", out: "old",
	},
	{
		name:  "no newline at the end of a line that goes",
		setup: []step{write(aliceKeys, "{other}\n{old}")},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "{other}\n{new}\n"},
		in:    "new other", out: "old",
	},
	{
		name:  "lines that end in CR and LF",
		setup: []step{write(aliceKeys, "{other}\r\n{old}\r\n# c\r\n")},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "{other}\r\n# c\r\n{new}\n"},
		in:    "new other", out: "old",
	},
	{
		name:  "comments, blank lines and a key that is commented out",
		setup: []step{write(aliceKeys, "# {old}\n\n \t\n{old}\n#{other}\n\n")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "# {old}\n\n \t\n#{other}\n\n{new}\n"},
		in:    "new", out: "old other",
	},
	{
		name: "options with quotes and commas",
		setup: []step{write(aliceKeys, `command="echo \"a, b\" ssh-ed25519 {old.blob}",no-pty {other}`+"\n"+
			`restrict,environment="A=b, c",permitopen="h:1" {old}`+"\n")},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign"},
		after: map[string]string{aliceKeys: `command="echo \"a, b\" ssh-ed25519 {old.blob}",no-pty {other}` + "\n{new}\n"},
		in:    "new other", out: "old",
	},
	{
		name:  "the old key twice, with and without options",
		setup: []step{write(aliceKeys, "{old}\n{other}\nno-pty,no-user-rc {old}\n")},
		want:  []string{"ok y/-, 1 added, 2 removed, 1 foreign"},
		after: map[string]string{aliceKeys: "{other}\n{new}\n"},
		in:    "new other", out: "old",
	},
	{
		name:  "the old key under another comment",
		setup: []step{write(aliceKeys, "ssh-ed25519 {old.blob} a holiday snap\n\tssh-ed25519 \t{old.blob}\n")},
		want:  []string{"ok y/-, 1 added, 2 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "the new key is there already",
		setup: []step{write(aliceKeys, "ssh-ed25519 {new.blob} put here by hand\n{old}\n")},
		want:  []string{"ok y/-, 1 removed"},
		after: map[string]string{aliceKeys: "ssh-ed25519 {new.blob} put here by hand\n"},
		in:    "new", out: "old",
	},
	{
		name:  "nothing is left to do",
		setup: []step{write(aliceKeys, "{new}\n")},
		want:  []string{"ok y/-"},
		in:    "new", out: "old",
	},
	{
		name:  "the new key under options that sshd takes from anybody",
		setup: []step{write(aliceKeys, "no-pty {new}\n{old}\n")},
		want:  []string{"ok y/-, 1 removed"},
		after: map[string]string{aliceKeys: "no-pty {new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "the new key for one address alone is no login for all",
		setup: []step{write(aliceKeys, `from="10.0.0.0/8" {new}`+"\n{old}\n")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: `from="10.0.0.0/8" {new}` + "\n{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "the new key after its expiry",
		setup: []step{write(aliceKeys, `expiry-time="20200101" {new}`+"\n{old}\n")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: `expiry-time="20200101" {new}` + "\n{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "the new key as an authority",
		setup: []step{write(aliceKeys, "cert-authority {new}\n{old}\n")},
		want:  []string{"ok y/-, 1 added, 1 removed, ways l"},
		after: map[string]string{aliceKeys: "cert-authority {new}\n{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "the old key as an authority",
		setup: []step{write(aliceKeys, "{old}\ncert-authority,principals=\"ops\" {old}\n")},
		want:  []string{"ok y/-, 1 added, 2 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "somebody's authority",
		setup: []step{write(aliceKeys, "cert-authority {other}\n{old}\n")},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign, ways l"},
		after: map[string]string{aliceKeys: "cert-authority {other}\n{new}\n"},
		in:    "new", out: "old other",
	},
	{
		name: "garbage lines with control characters",
		setup: []step{write(aliceKeys, "\xff\xfe not text \x1b[2J\nssh-rsa AAAAB3NzaC1yc2 cut\n<<<<<<< HEAD\n{old}\n"+
			"ssh-ed25519 !!!\ncommand=\"open {other}\nssh-rsa {other.blob} wrong type\n\x01\x02\n")},
		want:  []string{"refused nul -/?"},
		state: "refused",
		in:    "old", out: "new",
	},
	{
		name: "garbage lines",
		setup: []step{write(aliceKeys, "\xff\xfe not text \x1b[2J\nssh-rsa AAAAB3NzaC1yc2 cut\n<<<<<<< HEAD\n{old}\n"+
			"ssh-ed25519 !!!\ncommand=\"open {other}\nssh-rsa {other.blob} wrong type\n")},
		want: []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "\xff\xfe not text \x1b[2J\nssh-rsa AAAAB3NzaC1yc2 cut\n<<<<<<< HEAD\n" +
			"ssh-ed25519 !!!\ncommand=\"open {other}\nssh-rsa {other.blob} wrong type\n{new}\n"},
		in: "new", out: "old other",
	},
	{
		name:  "an unknown option does not hide the old key",
		setup: []step{write(aliceKeys, "{old}\nno-nonsense {old}\n")},
		want:  []string{"ok y/-, 1 added, 2 removed"},
		after: map[string]string{aliceKeys: "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a NUL byte",
		setup: []step{write(aliceKeys, "{old}\n{other}\n\x00\n")},
		want:  []string{"refused nul -/?"},
		state: "refused",
		in:    "old other", out: "new",
	},
	{
		name:  "more than a mebibyte",
		setup: []step{write(aliceKeys, "{old}\n"+strings.Repeat("# "+strings.Repeat("x", 1021)+"\n", 1024))},
		want:  []string{"refused size -/?"},
		state: "refused",
		in:    "old", out: "new",
	},
	{
		name:  "almost a mebibyte",
		setup: []step{write(aliceKeys, strings.Repeat("# "+strings.Repeat("x", 1021)+"\n", 1020)+"{old}\n")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: strings.Repeat("# "+strings.Repeat("x", 1021)+"\n", 1020) + "{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a line of 7,000 characters before the key",
		setup: []step{write(aliceKeys, "# "+strings.Repeat("x", 7000)+"\n{old}\n")},
		want:  []string{"ok y/-, 1 added, 1 removed"},
		after: map[string]string{aliceKeys: "# " + strings.Repeat("x", 7000) + "\n{new}\n"},
		in:    "new", out: "old",
	},
	{
		name:  "a forged marker",
		setup: []step{write(aliceKeys, "{old}\nssh-ed25519 {other.blob} keytrail:web:v0\n")},
		want:  []string{"ok y/-, 1 added, 1 removed, 1 foreign, 1 forged"},
		after: map[string]string{aliceKeys: "ssh-ed25519 {other.blob} keytrail:web:v0\n{new}\n"},
		in:    "new other", out: "old",
	},
}
