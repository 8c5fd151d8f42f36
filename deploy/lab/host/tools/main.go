// Command tools is the one program behind the commands of a lab host that a
// real machine would answer from its own accounts and its own sshd: getent, id,
// runuser, sshd, ssh-keygen, ls, chown and flock. It answers from the host's
// folder instead, which it finds as the parent of the first entry of PATH. On a
// host that the lab watches it also stands before the commands that change files.
//
// It knows the options that a key management script uses, fails on others, and
// prints what the usual Linux tools print. A rotation starts it thousands of
// times, so it imports little and does nothing before it knows its name.
package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// commands by name. Each gets the host and its arguments and returns its status.
var commands = map[string]func(rootfs.Root, []string) int{
	"chown":      chown,
	"flock":      flock,
	"getent":     getent,
	"id":         id,
	"ls":         ls,
	"runuser":    runuser,
	"ssh-keygen": sshKeygen,
	"sshd":       sshd,

	// These are the machine's own, but for a host that is watched.
	"chmod": watched("chmod"),
	"cp":    watched("cp"),
	"dd":    watched("dd"),
	"ln":    watched("ln"),
	"mkdir": watched("mkdir"),
	"mv":    watched("mv"),
	"rm":    watched("rm"),
}

func main() {
	name := filepath.Base(os.Args[0])
	command := commands[name]
	bin, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	if command == nil || !filepath.IsAbs(bin) || filepath.Base(bin) != "bin" {
		os.Exit(fail(127, name+": no such command of a lab host, or PATH does not begin with its bin"))
	}
	os.Exit(command(rootfs.Root(filepath.Dir(bin)), os.Args[1:]))
}

// fail prints a complaint and returns status.
func fail(status int, text string) int {
	os.Stderr.WriteString(text + "\n")
	return status
}

// write writes text to standard output and returns 0, or 1 if nobody takes it.
func write(text string) int {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return 1
	}
	return 0
}
