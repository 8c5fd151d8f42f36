// Command bootstrap is the events function as AWS Lambda runs it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/keytrail/keytrail/events"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	conf, err := events.ParseConfig(os.Getenv)
	if err != nil {
		return err
	}
	// Systems Manager throttles at rates that it does not publish: wait longer than the SDK's three tries.
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 8 })
	}))
	if err != nil {
		return fmt.Errorf("load AWS configuration: %w", err)
	}
	lambda.Start(events.New(conf, cfg, lambdacontext.NewLogger(), os.Stdout).Handle)
	return nil
}
