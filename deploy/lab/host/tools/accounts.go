package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// databases are those that getent knows. Shadow, as elsewhere, is not listed
// as a whole.
var databases = map[string]struct {
	find func(root rootfs.Root, key string) (line string, ok bool, err error)
	all  func(root rootfs.Root) ([]string, error)
}{
	"passwd": {findAccount, allAccounts},
	"group":  {findGroup, allGroups},
	"shadow": {find: findShadow},
}

// getent prints lines of passwd, group and shadow: all, or those of the keys.
// Homes and shells are paths of this machine. Status 2: a key is unknown.
func getent(root rootfs.Root, args []string) int {
	if len(args) == 0 {
		return fail(1, "getent: wrong number of arguments")
	}
	d, ok := databases[args[0]]
	if !ok {
		return fail(1, "Unknown database: "+args[0])
	}
	if len(args) == 1 {
		if d.all == nil {
			return fail(3, "Enumeration not supported on "+args[0])
		}
		lines, err := d.all(root)
		if err != nil {
			return fail(1, "getent: "+err.Error())
		}
		return write(strings.Join(append(lines, ""), "\n"))
	}
	status := 0
	for _, key := range args[1:] {
		line, ok, err := d.find(root, key)
		switch {
		case err != nil:
			return fail(1, "getent: "+err.Error())
		case !ok:
			status = 2
		default:
			write(line + "\n")
		}
	}
	return status
}

func findAccount(root rootfs.Root, key string) (string, bool, error) {
	a, ok, err := root.Account(key)
	return onMachine(root, a), ok, err
}

func allAccounts(root rootfs.Root) ([]string, error) {
	accounts, err := root.Accounts()
	var lines []string
	for _, a := range accounts {
		lines = append(lines, onMachine(root, a))
	}
	return lines, err
}

func allGroups(root rootfs.Root) ([]string, error) {
	groups, err := root.Groups()
	var lines []string
	for _, g := range groups {
		lines = append(lines, g.String())
	}
	return lines, err
}

func findShadow(root rootfs.Root, key string) (string, bool, error) {
	s, ok, err := root.Shadow(key)
	return s.Line, ok, err
}

// onMachine returns an account's line with the paths that a script can open.
func onMachine(root rootfs.Root, a rootfs.Account) string {
	a.Home = root.Path(a.Home)
	if a.Shell != "" {
		a.Shell = root.Path(a.Shell)
	}
	return a.String()
}

func findGroup(root rootfs.Root, key string) (string, bool, error) {
	groups, err := root.Groups()
	for _, g := range groups {
		if g.Name == key || strconv.Itoa(g.GID) == key {
			return g.String(), true, nil
		}
	}
	return "", false, err
}

// id prints numbers and names of a user; without a user those of root, as
// whom everything on a host seems to run.
func id(root rootfs.Root, args []string) int {
	var what byte
	names := false
	user := "root"
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			user = arg
			continue
		}
		for _, c := range []byte(arg[1:]) {
			switch c {
			case 'u', 'g', 'G':
				what = c
			case 'n':
				names = true
			case 'r', '-':
			default:
				return fail(1, "id: invalid option -- '"+string(c)+"'")
			}
		}
	}
	a, ok, err := root.Account(user)
	if err != nil || !ok {
		return fail(1, "id: ‘"+user+"’: no such user")
	}
	groups, err := root.GroupsOf(a)
	if err != nil {
		return fail(1, "id: "+err.Error())
	}
	group := func(g rootfs.Group) string {
		if names {
			return g.Name
		}
		return strconv.Itoa(g.GID)
	}
	switch what {
	case 'u':
		if names {
			return write(a.Name + "\n")
		}
		return write(strconv.Itoa(a.UID) + "\n")
	case 'g':
		if names && len(groups) > 0 && groups[0].GID == a.GID {
			return write(groups[0].Name + "\n")
		}
		return write(strconv.Itoa(a.GID) + "\n")
	case 'G':
		var all []string
		for _, g := range groups {
			all = append(all, group(g))
		}
		return write(strings.Join(all, " ") + "\n")
	}
	var all []string
	for _, g := range groups {
		all = append(all, strconv.Itoa(g.GID)+"("+g.Name+")")
	}
	text := "uid=" + strconv.Itoa(a.UID) + "(" + a.Name + ")"
	if len(all) > 0 {
		text += " gid=" + all[0] + " groups=" + strings.Join(all, ",")
	}
	return write(text + "\n")
}

// runuser runs a command for an account that exists: -u USER [--] COMMAND.
// The command runs with the rights that the lab itself has.
func runuser(root rootfs.Root, args []string) int {
	if len(args) < 2 || args[0] != "-u" {
		return fail(1, "runuser: only -u USER [--] COMMAND is known here")
	}
	user, args := args[1], args[2:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return fail(1, "runuser: no command was specified")
	}
	if _, ok, err := root.Account(user); err != nil || !ok {
		return fail(1, "runuser: user "+user+" does not exist or the user entry does not contain all the required fields")
	}
	return run("runuser", args)
}

// run becomes another command. It returns only if that is impossible.
func run(name string, args []string) int {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fail(127, name+": failed to execute "+args[0]+": No such file or directory")
	}
	err = syscall.Exec(path, args, os.Environ())
	return fail(126, name+": failed to execute "+args[0]+": "+err.Error())
}
