package audit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
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
	// Days is the rule's AutomaticallyAfterDays, and Schedule its ScheduleExpression: a rule has one of them.
	Days     int64
	Schedule string
	// KMSKey is the key that encrypts the secret, "" for the account's default.
	KMSKey string
}

// Version returns the version that carries a label, or "".
func (s Secret) Version(label string) string {
	for id, labels := range s.Stages {
		if slices.Contains(labels, label) {
			return id
		}
	}
	return ""
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
	d := Secret{
		ARN: aws.ToString(out.ARN), Name: aws.ToString(out.Name), Tags: tagsOf(out.Tags), Stages: out.VersionIdsToStages,
		Function: aws.ToString(out.RotationLambdaARN), Rotates: aws.ToBool(out.RotationEnabled),
		Rotated: aws.ToTime(out.LastRotatedDate), Next: aws.ToTime(out.NextRotationDate), Deleted: aws.ToTime(out.DeletedDate),
		KMSKey: aws.ToString(out.KmsKeyId),
	}
	if r := out.RotationRules; r != nil {
		d.Days, d.Schedule = aws.ToInt64(r.AutomaticallyAfterDays), aws.ToString(r.ScheduleExpression)
	}
	return d, nil
}

// list reads all secrets, by ARN.
func (s secrets) list(ctx context.Context) ([]Secret, error) {
	// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html: at most 100 a page.
	in := &secretsmanager.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true), MaxResults: aws.Int32(100)}
	var all []Secret
	for pages := secretsmanager.NewListSecretsPaginator(s.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list secrets: %w", err)
		}
		for _, e := range page.SecretList {
			one := Secret{
				ARN: aws.ToString(e.ARN), Name: aws.ToString(e.Name), Tags: tagsOf(e.Tags), Stages: e.SecretVersionsToStages,
				Function: aws.ToString(e.RotationLambdaARN), Rotates: aws.ToBool(e.RotationEnabled),
				Rotated: aws.ToTime(e.LastRotatedDate), Next: aws.ToTime(e.NextRotationDate), Deleted: aws.ToTime(e.DeletedDate),
				KMSKey: aws.ToString(e.KmsKeyId),
			}
			if r := e.RotationRules; r != nil {
				one.Days, one.Schedule = aws.ToInt64(r.AutomaticallyAfterDays), aws.ToString(r.ScheduleExpression)
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(x, y Secret) int { return strings.Compare(x.ARN, y.ARN) })
	return all, nil
}

func tagsOf(list []types.Tag) map[string]string {
	tags := map[string]string{}
	for _, t := range list {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags
}

// Secrets Manager adds a hyphen and six characters to a name.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
var nameInARN = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`:secret:(.*)-[A-Za-z0-9]{6}$`) })

// NameOf returns the name in a secret's ARN, or the ARN.
func NameOf(arn string) string {
	if m := nameInARN().FindStringSubmatch(arn); m != nil {
		return m[1]
	}
	return arn
}
