package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/rotate/wanted"
)

// The staging labels of Secrets Manager.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version
const (
	labelCurrent = "AWSCURRENT"
	labelPending = "AWSPENDING"
)

// errNoValue: the version, or the label, has no value stored.
var errNoValue = errors.New("no value stored")

// secret is what DescribeSecret tells of one secret.
type secret struct {
	arn      string
	name     string
	disabled bool                // rotation is explicitly off
	stages   map[string][]string // labels by version id
	tags     map[string]string
}

// has reports whether a version carries a label.
func (s secret) has(version, label string) bool { return slices.Contains(s.stages[version], label) }

// version returns the id of the version that carries a label, or "".
func (s secret) version(label string) string {
	for id, labels := range s.stages {
		if slices.Contains(labels, label) {
			return id
		}
	}
	return ""
}

// vault speaks to Secrets Manager in this package's words.
type vault struct{ client *secretsmanager.Client }

func (v vault) describe(ctx context.Context, id string) (secret, error) {
	out, err := v.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return secret{}, permanent(fmt.Errorf("describe secret %s: %w", id, wanted.ErrGone))
	}
	if err != nil {
		return secret{}, fmt.Errorf("describe secret %s: %w", id, err)
	}
	s := secret{
		arn:  aws.ToString(out.ARN),
		name: aws.ToString(out.Name),
		// A secret that was never rotated has no such member at all.
		disabled: out.RotationEnabled != nil && !*out.RotationEnabled,
		stages:   out.VersionIdsToStages,
		tags:     map[string]string{},
	}
	for _, t := range out.Tags {
		s.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return s, nil
}

// value reads one version's value. A label that the version must carry may be given; "" is none.
// errNoValue when nothing is stored.
func (v vault) value(ctx context.Context, arn, version, label string) (value, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionId: &version}
	if label != "" {
		in.VersionStage = &label
	}
	out, err := v.client.GetSecretValue(ctx, in)
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return value{}, fmt.Errorf("version %s: %w", version, errNoValue)
	}
	if err != nil {
		return value{}, fmt.Errorf("get value of version %s: %w", version, err)
	}
	if out.SecretString == nil {
		return value{}, permanent(fmt.Errorf("read version %s: the value is binary: store a JSON object with the members PublicKey and PrivateKey as text", version))
	}
	parsed, err := parseValue(*out.SecretString)
	if err != nil {
		return value{}, permanent(fmt.Errorf("read version %s: %w", version, err))
	}
	return parsed, nil
}

// errTaken: the version already holds another value.
var errTaken = errors.New("the version already holds another value")

// putPending stores the value of the rotation's own version.
func (v vault) putPending(ctx context.Context, s secret, r request, val value) error {
	in := &secretsmanager.PutSecretValueInput{
		SecretId:           &s.arn,
		ClientRequestToken: &r.version,
		SecretString:       aws.String(val.text()),
		VersionStages:      []string{labelPending},
	}
	if r.rotationToken != "" {
		in.RotationToken = &r.rotationToken
	}
	_, err := v.client.PutSecretValue(ctx, in)
	var taken *types.ResourceExistsException
	if errors.As(err, &taken) {
		return errTaken
	}
	return err
}

// promote moves AWSCURRENT to a version. Secrets Manager moves AWSPREVIOUS along, and AWSPENDING is
// left where it is, as it asks of rotation functions.
func (v vault) promote(ctx context.Context, s secret, version string) error {
	in := &secretsmanager.UpdateSecretVersionStageInput{
		SecretId:        &s.arn,
		VersionStage:    aws.String(labelCurrent),
		MoveToVersionId: &version,
	}
	if current := s.version(labelCurrent); current != "" {
		in.RemoveFromVersionId = &current
	}
	_, err := v.client.UpdateSecretVersionStage(ctx, in)
	return err
}
