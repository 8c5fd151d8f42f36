// Command keytrail is what an operator asks about the keys of a fleet.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/keytrail/keytrail/deploy/operator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends it at once
	code := operator.Run(ctx, os.Args[1:], operator.Terminal())
	stop()
	os.Exit(code)
}
