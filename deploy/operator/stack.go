package operator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/environ"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// stack is a set-up as its functions were told of it, and the clients to ask.
type stack struct {
	aws    aws.Config
	name   string
	rotate rotate.Config
	events *events.Config // nil where nothing watches
	// function is the ARN of the function that rotates, and log the name of its log group.
	function, log string
	sweep         time.Duration
	secrets       *secretsmanager.Client
	systems       *ssm.Client
	objects       *s3.Client
}

// open finds the stack by the environments of its functions, which have its name.
func (s *session) open(ctx context.Context) (*stack, error) {
	cfg, err := s.configuration(ctx)
	if err != nil {
		return nil, err
	}
	client := lambda.NewFromConfig(cfg)
	var found [2]*lambda.GetFunctionConfigurationOutput
	var errs [2]error
	var group sync.WaitGroup
	for i, suffix := range []string{"-rotate", "-events"} {
		group.Go(func() {
			found[i], errs[i] = client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(s.stackName + suffix)})
		})
	}
	group.Wait()
	if _, missing := errors.AsType[*types.ResourceNotFoundException](errs[0]); missing {
		return nil, &failure{
			code: exitConfig, err: fmt.Errorf("there is no function %s-rotate in %s: %w", s.stackName, cfg.Region, errs[0]),
			fix: "name the stack with --stack and its Region with --region; make deploy makes one",
		}
	}
	if errs[0] != nil {
		return nil, fmt.Errorf("read the configuration of %s-rotate: %w", s.stackName, errs[0])
	}
	k := &stack{
		aws: cfg, name: s.stackName, function: aws.ToString(found[0].FunctionArn), log: logGroup(found[0]),
		secrets: secretsmanager.NewFromConfig(cfg), systems: ssm.NewFromConfig(cfg), objects: s3.NewFromConfig(cfg),
	}
	env := variables(found[0])
	if k.rotate, err = rotate.ParseConfig(env); err != nil {
		return nil, misconfigured(s.stackName+"-rotate", err)
	}
	k.sweep = environ.Parse(environ.New(env), "KEYTRAIL_SWEEP", "0s", environ.Duration)
	if _, missing := errors.AsType[*types.ResourceNotFoundException](errs[1]); missing {
		return k, nil
	}
	if errs[1] != nil {
		return nil, fmt.Errorf("read the configuration of %s-events: %w", s.stackName, errs[1])
	}
	watching, err := events.ParseConfig(variables(found[1]))
	if err != nil {
		return nil, misconfigured(s.stackName+"-events", err)
	}
	k.events = &watching
	return k, nil
}

func misconfigured(function string, err error) error {
	return &failure{code: exitConfig, err: fmt.Errorf("the function %s is not configured: %w", function, err), fix: "mend its environment, or deploy the stack again; keytrail doctor has the whole list"}
}

// variables is the environment of a function.
func variables(f *lambda.GetFunctionConfigurationOutput) func(string) string {
	return func(name string) string {
		if f.Environment == nil {
			return ""
		}
		return f.Environment.Variables[name]
	}
}

func logGroup(f *lambda.GetFunctionConfigurationOutput) string {
	if f.LoggingConfig != nil && aws.ToString(f.LoggingConfig.LogGroup) != "" {
		return *f.LoggingConfig.LogGroup
	}
	return "/aws/lambda/" + aws.ToString(f.FunctionName)
}

// bucket is where the functions keep what they know.
func (k *stack) bucket() (evidence.Bucket, error) {
	if k.rotate.Bucket == "" {
		return evidence.Bucket{}, &failure{code: exitConfig, err: errors.New("the stack has no bucket, so that nobody knows which keys were trusted"),
			fix: "set KEYTRAIL_BUCKET of " + k.name + "-rotate, or deploy the template"}
	}
	return evidence.NewBucket(k.objects, k.rotate.Bucket), nil
}

// auditor asks hosts with the rights of whoever runs the command, about what the functions were told.
func (k *stack) auditor() (*audit.Auditor, error) {
	if _, err := k.bucket(); err != nil {
		return nil, err
	}
	limits := wanted.Limits{Users: k.rotate.Users, Boundary: k.rotate.Boundary}
	return audit.New(audit.Config{Limits: limits, AllowRoot: k.rotate.AllowRoot, Grace: k.rotate.Grace},
		k.secrets, register.New(k.objects, k.rotate.Bucket, register.Retention{}), fleet.New(k.rotate.Fleet, k.systems), audit.NewEC2(k.aws)), nil
}
