package audit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/rotate/wanted"
)

// Secret is what Secrets Manager says of one secret, without any value.
type Secret struct {
	ARN, Name string
	Tags      map[string]string
	Stages    map[string][]string // labels by version id
	// Function is the ARN of the rotation function, "" when there is none; Rotates whether rotation is on.
	Function string
	Rotates  bool
	// Zero times are not known, or not to come.
	Rotated, Next, Deleted time.Time
	// KMSKey is the key that encrypts the secret, "" for the account's default.
	KMSKey string
}

// secrets speaks to Secrets Manager in this package's words. It asks for no value.
type secrets struct{ client *secretsmanager.Client }

// describe reads one secret. wanted.ErrGone when there is none.
func (s secrets) describe(ctx context.Context, id string) (Secret, error) {
	out, err := s.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		err = wanted.ErrGone
	}
	if err != nil {
		return Secret{}, fmt.Errorf("describe secret %s: %w", id, err)
	}
	secret := Secret{
		ARN: aws.ToString(out.ARN), Name: aws.ToString(out.Name), Tags: map[string]string{}, Stages: out.VersionIdsToStages,
		Function: aws.ToString(out.RotationLambdaARN), Rotates: aws.ToBool(out.RotationEnabled),
		Rotated: aws.ToTime(out.LastRotatedDate), Next: aws.ToTime(out.NextRotationDate), Deleted: aws.ToTime(out.DeletedDate),
		KMSKey: aws.ToString(out.KmsKeyId),
	}
	for _, t := range out.Tags {
		secret.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return secret, nil
}

// Secrets Manager adds a hyphen and six characters to a name.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
var nameInARN = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`:secret:(.*)-[A-Za-z0-9]{6}$`) })

// nameOf returns the name in a secret's ARN, or the ARN.
func nameOf(arn string) string {
	if m := nameInARN().FindStringSubmatch(arn); m != nil {
		return m[1]
	}
	return arn
}
