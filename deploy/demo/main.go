// Command demo rotates the SSH keys of twelve hosts on this machine, watches
// those of three more, and checks everything that it says about it.
//
// It starts a lab, which plays AWS and the hosts, runs the real functions in
// it, and acts as an operator would, through the AWS SDK. What stands on the
// hosts it reads itself, and so it does the mails and the chat. The story is in
// story.go and, for what is watched, in incidents.go; its hosts are in fleet.go
// and shop.go; how the lab behaves is the business of package lab.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is the exit code of a program that SIGINT ended, as shells say.
const interrupted = 130

func main() {
	// Whoever closes the terminal must not leave a lab behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	// Nor whoever ends the pipe: with a handler that nobody listens to, a
	// write to it is an error and not the end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil:
		return
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted")
		os.Exit(interrupted)
	}
	fmt.Fprintln(os.Stderr, "demo: "+err.Error())
	os.Exit(1)
}
