// Command function is a function that does what its event, or its first
// argument, asks for.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string
	Code int
	Size int
	URL  string
}

func main() {
	if len(os.Args) > 1 {
		begin(os.Args[1:])
	}
	lambda.Start(handle)
}

// begin misbehaves before the first invocation.
func begin(args []string) {
	switch args[0] {
	case "exit":
		fmt.Println("cannot start")
		os.Exit(7)
	case "exit-once": // leaves a file behind, and starts when it is there
		if f, err := os.OpenFile(args[1], os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_ = f.Close()
			os.Exit(7)
		}
	case "refuse":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		r, err := http.Post(url, "application/json", strings.NewReader(`{"errorType":"Config.Missing","errorMessage":"no USERNAME"}`))
		if err == nil {
			fmt.Println("refused:", r.StatusCode)
		}
		os.Exit(1)
	case "call": // not as a function
		_, _ = http.Get(args[1])
		os.Exit(0)
	}
}

func handle(ctx context.Context, raw json.RawMessage) (any, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	switch e.Do {
	case "error":
		return nil, errors.New("no such host")
	case "panic":
		panic("out of order")
	case "exit":
		os.Exit(e.Code)
	case "sleep":
		time.Sleep(time.Hour)
	case "big":
		return strings.Repeat("x", e.Size), nil
	case "pid":
		return os.Getpid(), nil
	case "environment":
		return os.Environ(), nil
	case "context":
		c, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{"id": c.AwsRequestID, "arn": c.InvokedFunctionArn, "deadline": deadline}, nil
	case "log":
		fmt.Println("to standard output")
		fmt.Fprintln(os.Stderr, "to standard error")
	case "call":
		_, err := http.Get(e.URL)
		return "called", err
	case "child": // a process of the same group calls and keeps the call open
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return nil, exec.Command(program, "call", e.URL).Run()
	}
	return raw, nil
}
