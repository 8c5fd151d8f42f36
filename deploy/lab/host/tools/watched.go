package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
)

// watched stands in the place of a command of the machine while the lab
// watches the host. It tells the lab of the command before and after its work,
// and goes on when the lab says so, if it lives to hear it.
func watched(name string) func(rootfs.Root, []string) int {
	return func(root rootfs.Root, args []string) int {
		lab, err := callLab(root)
		if err != nil {
			return fail(126, name+": tell the lab: "+err.Error())
		}
		line := strconv.Itoa(syscall.Getpgrp()) + " " + strconv.Quote(name)
		for _, a := range args {
			line += " " + strconv.Quote(a)
		}
		if err := tell(lab, line+"\n"); err != nil {
			return fail(126, name+": tell the lab: "+err.Error())
		}
		c := exec.Command(root.Path("/watch/"+name), args...)
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
		err = c.Run()
		if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
			return fail(126, name+": "+err.Error())
		}
		if err := tell(lab, "\n"); err != nil {
			return fail(126, name+": tell the lab: "+err.Error())
		}
		return c.ProcessState.ExitCode()
	}
}

// callLab connects to the lab. Package net would cost every other command of
// the host its start.
func callLab(root rootfs.Root) (*os.File, error) {
	text, err := os.ReadFile(filepath.Join(root.Path("/watch"), "port"))
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "lab"), nil
}

// tell says something to the lab and waits until it answers.
func tell(lab *os.File, text string) error {
	if _, err := lab.WriteString(text); err != nil {
		return err
	}
	_, err := lab.Read(make([]byte, 1))
	return err
}
