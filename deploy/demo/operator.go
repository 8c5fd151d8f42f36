package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// The staging labels of Secrets Manager.
const (
	current  = "AWSCURRENT"
	pending  = "AWSPENDING"
	previous = "AWSPREVIOUS"
)

// secretName is the secret of the demo.
const secretName = "fleet/ssh"

// operator does what a person with the AWS CLI would do, through the AWS SDK,
// about one secret.
type operator struct {
	secret    string // its name
	secrets   *secretsmanager.Client
	systems   *ssm.Client
	functions *lambda.Client
	bus       *eventbridge.Client
	queues    *sqs.Client
}

// newOperator returns an operator who speaks to the lab at a URL about a
// secret. The user's own AWS settings have no say in it. The lab takes any access key that no
// function has for an operator's; this one is from AWS's documentation.
func newOperator(url, secret string) operator {
	const region = "us-east-1"
	keys := credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
	return operator{
		secret:    secret,
		secrets:   secretsmanager.New(secretsmanager.Options{BaseEndpoint: &url, Region: region, Credentials: keys}),
		systems:   ssm.New(ssm.Options{BaseEndpoint: &url, Region: region, Credentials: keys}),
		functions: lambda.New(lambda.Options{BaseEndpoint: &url, Region: region, Credentials: keys}),
		bus:       eventbridge.New(eventbridge.Options{BaseEndpoint: &url, Region: region, Credentials: keys}),
		queues:    sqs.New(sqs.Options{BaseEndpoint: &url, Region: region, Credentials: keys}),
	}
}

// create stores a secret with two empty values.
func (o operator) create(ctx context.Context) error {
	_, err := o.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name:         &o.secret,
		SecretString: aws.String(`{"PublicKey":"","PrivateKey":""}`),
	})
	return err
}

// turnOn makes a function the secret's rotation function. That starts its
// first rotation, whose version is returned.
func (o operator) turnOn(ctx context.Context, function string) (version string, err error) {
	return o.rotate(ctx, &secretsmanager.RotateSecretInput{
		SecretId:          &o.secret,
		RotationLambdaARN: &function,
		RotationRules:     &smtypes.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)},
	})
}

// rotateNow starts a rotation.
func (o operator) rotateNow(ctx context.Context) (version string, err error) {
	return o.rotate(ctx, &secretsmanager.RotateSecretInput{SecretId: &o.secret})
}

func (o operator) rotate(ctx context.Context, in *secretsmanager.RotateSecretInput) (version string, err error) {
	out, err := o.secrets.RotateSecret(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

// refusal returns the message of a request that Secrets Manager did not take
// as things stand.
func refusal(err error) (message string, ok bool) {
	e, ok := errors.AsType[*smtypes.InvalidRequestException](err)
	if !ok {
		return "", false
	}
	return e.ErrorMessage(), true
}

// arn returns the ARN of the secret.
func (o operator) arn(ctx context.Context) (string, error) {
	out, err := o.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &o.secret})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ARN), nil
}

// labels returns the version that has each staging label.
func (o operator) labels(ctx context.Context) (map[string]string, error) {
	out, err := o.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &o.secret})
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	for version, stages := range out.VersionIdsToStages {
		for _, s := range stages {
			labels[s] = version
		}
	}
	return labels, nil
}

// key reads the key pair of the version that has a label. The two halves
// belong together.
func (o operator) key(ctx context.Context, label string) (*sshkey.PrivateKey, error) {
	out, err := o.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &o.secret, VersionStage: &label,
	})
	if err != nil {
		return nil, err
	}
	var pair struct{ PublicKey, PrivateKey string }
	if json.Unmarshal([]byte(aws.ToString(out.SecretString)), &pair) != nil {
		return nil, fmt.Errorf("the value of %s is not a key pair", label)
	}
	private, err := sshkey.ParsePrivate([]byte(pair.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("private key of %s: %w", label, err)
	}
	public, err := sshkey.ParsePublic(pair.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("public key of %s: %w", label, err)
	}
	if !public.Equal(private.Public()) {
		return nil, fmt.Errorf("the two halves of %s do not belong together", label)
	}
	return private, nil
}

// put stores a key pair in the secret.
func (o operator) put(ctx context.Context, key *sshkey.PrivateKey) error {
	value, err := json.Marshal(map[string]string{"PublicKey": key.Public().String(), "PrivateKey": string(key.PEM())})
	if err != nil {
		return err
	}
	_, err = o.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &o.secret, SecretString: aws.String(string(value))})
	return err
}

// waiting counts the messages that are in a queue or being worked on.
func (o operator) waiting(ctx context.Context, queue string) (int, error) {
	names := []sqstypes.QueueAttributeName{
		sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	}
	out, err := o.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: names})
	if err != nil {
		return 0, err
	}
	all := 0
	for _, name := range names {
		n := 0
		if _, err := fmt.Sscan(out.Attributes[string(name)], &n); err != nil {
			return 0, fmt.Errorf("%s of %s: %w", name, queue, err)
		}
		all += n
	}
	return all, nil
}

// nodes returns the ids of all hosts that Systems Manager shows online, and
// how many of them are hybrid.
func (o operator) nodes(ctx context.Context) (online []string, hybrid int, err error) {
	pages := ssm.NewDescribeInstanceInformationPaginator(o.systems, &ssm.DescribeInstanceInformationInput{MaxResults: aws.Int32(50)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, 0, err
		}
		for _, i := range page.InstanceInformationList {
			if i.PingStatus == "Online" {
				online = append(online, aws.ToString(i.InstanceId))
			}
			if i.ResourceType == "ManagedInstance" {
				hybrid++
			}
		}
	}
	return online, hybrid, nil
}

// progress is how many commands were ever sent, and how many hosts have
// answered the last one.
type progress struct{ commands, done int }

// progress asks Systems Manager, which lists the newest command first.
func (o operator) progress(ctx context.Context) (progress, error) {
	var p progress
	pages := ssm.NewListCommandsPaginator(o.systems, &ssm.ListCommandsInput{MaxResults: aws.Int32(50)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return p, err
		}
		if p.commands == 0 && len(page.Commands) > 0 {
			p.done = int(page.Commands[0].CompletedCount)
		}
		p.commands += len(page.Commands)
	}
	return p, nil
}
