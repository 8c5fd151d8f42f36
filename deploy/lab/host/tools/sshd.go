package main

import (
	"os"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

// sshd prints the effective settings: -T after the checks of a starting
// daemon, -G without them; -C gives the connection, -f another file. File
// names are printed as paths of this machine.
func sshd(root rootfs.Root, args []string) int {
	file := "/etc/ssh/sshd_config"
	mode := byte(0)
	var conn sshdconf.Connection
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-T", "-G":
			mode = args[i][1]
		case "-C", "-f":
			if i+1 == len(args) {
				return fail(1, "option requires an argument -- "+args[i][1:])
			}
			i++
			if args[i-1] == "-f" {
				file = args[i]
			} else if err := conn.Add(args[i]); err != nil {
				return fail(1, err.Error())
			}
		default:
			return fail(1, "unknown option -- "+strings.TrimPrefix(args[i], "-"))
		}
	}
	if mode == 0 {
		return fail(1, "sshd: this host's daemon is part of the lab; only -T and -G are known here")
	}
	if err := addGroups(root, &conn); err != nil {
		return fail(255, err.Error())
	}
	c, err := sshdconf.Load(os.DirFS(string(root)), strings.TrimPrefix(root.HostPath(root.Path(file)), "/"))
	if err != nil {
		return fail(255, err.Error())
	}
	s, err := c.Settings(conn)
	if err != nil {
		return fail(255, err.Error())
	}
	if mode == 'T' && !anyExists(root, s.All("hostkey")) {
		return fail(1, "sshd: no hostkeys available -- exiting.")
	}
	return write(s.Text(root.Path))
}

// addGroups says which groups the user of a connection is in.
func addGroups(root rootfs.Root, conn *sshdconf.Connection) error {
	a, ok, err := root.Account(conn.User)
	if err != nil || !ok {
		return err
	}
	groups, err := root.GroupsOf(a)
	for _, g := range groups {
		conn.Groups = append(conn.Groups, g.Name)
	}
	return err
}

func anyExists(root rootfs.Root, hostPaths []string) bool {
	for _, p := range hostPaths {
		if _, err := os.Stat(root.Path(p)); err == nil {
			return true
		}
	}
	return false
}
