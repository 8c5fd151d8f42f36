package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// flock takes a real lock: flock [-n] [-s|-x|-u] [-w SECONDS] [-E STATUS] on
// an inherited descriptor, or on FILE while COMMAND runs. Status 1: another
// process holds it.
func flock(_ rootfs.Root, args []string) int {
	how, wait, conflict := syscall.LOCK_EX, time.Duration(-1), 1
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		option := args[0]
		args = args[1:]
		switch option {
		case "-n", "--nb", "--nonblock":
			wait = 0
		case "-x", "-e", "--exclusive":
			how = syscall.LOCK_EX
		case "-s", "--shared":
			how = syscall.LOCK_SH
		case "-u", "--unlock":
			how = syscall.LOCK_UN
		case "-w", "--wait", "--timeout", "-E", "--conflict-exit-code":
			if len(args) == 0 {
				return fail(64, "flock: option requires an argument -- '"+strings.TrimLeft(option, "-")+"'")
			}
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 0 {
				return fail(64, "flock: invalid number: "+args[0])
			}
			args = args[1:]
			if strings.HasPrefix(option, "-E") || option == "--conflict-exit-code" {
				conflict = n
			} else {
				wait = time.Duration(n) * time.Second
			}
		default:
			return fail(64, "flock: invalid option "+option)
		}
	}
	if len(args) == 0 {
		return fail(64, "flock: not enough arguments")
	}
	fd, command := -1, args[1:]
	if len(command) == 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return fail(64, "flock: bad file descriptor: "+args[0])
		}
		fd = n
	} else {
		var err error
		// Not closed on exec: the lock lives as long as the command.
		fd, err = syscall.Open(args[0], os.O_RDONLY|os.O_CREATE, 0o666)
		if err == syscall.EISDIR {
			fd, err = syscall.Open(args[0], os.O_RDONLY, 0)
		}
		if err != nil {
			return fail(66, "flock: cannot open lock file "+args[0]+": "+err.Error())
		}
	}
	switch err := lock(fd, how, wait); {
	case err == syscall.EWOULDBLOCK:
		return conflict
	case err != nil:
		return fail(65, "flock: "+args[0]+": "+err.Error())
	case len(command) == 0:
		return 0
	case command[0] == "-c" && len(command) == 2:
		command = []string{"sh", "-c", command[1]}
	}
	return run("flock", command)
}

// lock waits for a lock: not at all if wait is 0, for ever if it is negative.
func lock(fd, how int, wait time.Duration) error {
	if wait == 0 {
		how |= syscall.LOCK_NB
	}
	if wait <= 0 {
		return flockRetry(fd, how)
	}
	taken := make(chan error, 1)
	go func() { taken <- flockRetry(fd, how) }()
	select {
	case err := <-taken:
		return err
	case <-time.After(wait):
		return syscall.EWOULDBLOCK
	}
}

func flockRetry(fd, how int) error {
	for {
		if err := syscall.Flock(fd, how); err != syscall.EINTR {
			return err
		}
	}
}
