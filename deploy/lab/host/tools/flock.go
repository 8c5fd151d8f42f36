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
	o, args, problem := lockOptionsOf(args)
	if problem == "" && len(args) == 0 {
		problem = "not enough arguments"
	}
	if problem != "" {
		return fail(64, "flock: "+problem)
	}
	fd, err := lockFile(args[0], len(args) > 1)
	if err != nil {
		return fail(66, "flock: cannot open lock file "+args[0]+": "+err.Error())
	}
	command := args[1:]
	switch err := lock(fd, o.how, o.wait); {
	case err == syscall.EWOULDBLOCK:
		return o.conflict
	case err != nil:
		return fail(65, "flock: "+args[0]+": "+err.Error())
	case len(command) == 0:
		return 0
	case command[0] == "-c" && len(command) == 2:
		command = []string{"sh", "-c", command[1]}
	}
	return run("flock", command)
}

type lockOptions struct {
	how      int
	wait     time.Duration // negative: for ever
	conflict int           // the status if the lock cannot be had
}

func lockOptionsOf(args []string) (o lockOptions, rest []string, problem string) {
	o = lockOptions{how: syscall.LOCK_EX, wait: -1, conflict: 1}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		option := args[0]
		args = args[1:]
		switch option {
		case "-n", "--nb", "--nonblock":
			o.wait = 0
		case "-x", "-e", "--exclusive":
			o.how = syscall.LOCK_EX
		case "-s", "--shared":
			o.how = syscall.LOCK_SH
		case "-u", "--unlock":
			o.how = syscall.LOCK_UN
		case "-w", "--wait", "--timeout", "-E", "--conflict-exit-code":
			if len(args) == 0 {
				return o, nil, "option requires an argument -- '" + strings.TrimLeft(option, "-") + "'"
			}
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 0 {
				return o, nil, "invalid number: " + args[0]
			}
			args = args[1:]
			if option == "-E" || option == "--conflict-exit-code" {
				o.conflict = n
			} else {
				o.wait = time.Duration(n) * time.Second
			}
		default:
			return o, nil, "invalid option " + option
		}
	}
	return o, args, ""
}

// lockFile returns the descriptor to lock. One that is opened here is not
// closed on exec: the lock lives as long as the command.
func lockFile(name string, open bool) (fd int, err error) {
	if !open {
		return strconv.Atoi(name)
	}
	fd, err = syscall.Open(name, os.O_RDONLY|os.O_CREATE, 0o666)
	if err == syscall.EISDIR {
		fd, err = syscall.Open(name, os.O_RDONLY, 0)
	}
	return fd, err
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
