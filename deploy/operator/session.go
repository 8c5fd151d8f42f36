package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
)

// session is one run of the command: its flags, and the screen.
type session struct {
	*screen
	output, profile, region, endpoint, stackName string
	started                                      bool // the command line was understood
}

// configuration returns AWS's, with credentials that were there a moment ago.
func (s *session) configuration(ctx context.Context) (aws.Config, error) {
	// As the functions wait, since Systems Manager throttles at rates that it does not publish.
	options := []func(*config.LoadOptions) error{config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 8
			o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(nobodyThere)}, o.Retryables...)
		})
	})}
	if s.profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.profile))
	}
	if s.region != "" {
		options = append(options, config.WithRegion(s.region))
	}
	if s.endpoint != "" {
		options = append(options, config.WithBaseEndpoint(s.endpoint))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, &failure{code: exitConfig, err: fmt.Errorf("load the configuration of AWS: %w", err), fix: "see ~/.aws/config, AWS_PROFILE and --profile"}
	}
	if cfg.Region == "" {
		return aws.Config{}, &failure{code: exitConfig, err: errors.New("no Region is named"), fix: "name one with --region or AWS_REGION"}
	}
	// Off EC2 nobody answers for a role: that is no reason to wait for long.
	const longest = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, fmt.Errorf("%w: %w", errCredentials, err)
	}
	return cfg, nil
}

// nobodyThere keeps a call from being tried again where nothing listens: a person waits.
func nobodyThere(err error) aws.Ternary {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
