// Package wanted joins what Secrets Manager and the register say of a secret into what its hosts are
// wanted to trust: which users and hosts a secret is for, and which keys each of them is told to have,
// to drop and to leave. It decides nothing itself, that is done in rotate/trust, and sends nothing, that
// is done in rotate/fleet.
package wanted

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/trust"
)

// The staging labels that matter here.
const (
	labelCurrent  = "AWSCURRENT"
	labelPrevious = "AWSPREVIOUS"
)

// Knowledge is what the register and Secrets Manager say of one secret. Read makes it.
type Knowledge struct {
	Subject  Subject
	At       time.Time // before anything of it was read
	Versions []trust.Version
	History  register.History
}

// facts is the register. A *register.View answers from one list.
type facts interface {
	Read(ctx context.Context, secretARN string) (register.History, error)
	Sharing(ctx context.Context, h register.History) ([]register.History, error)
}

var (
	_ facts = (*register.Register)(nil)
	_ facts = (*register.View)(nil)
)

// Read reads what is known of a secret. The error may be ErrGone, or that of register.Read: then the
// history is not whole.
func Read(ctx context.Context, secrets secretsmanager.ListSecretVersionIdsAPIClient, reg facts, s Subject) (Knowledge, error) {
	k := Knowledge{Subject: s, At: time.Now()}
	var err error
	if k.Versions, err = Versions(ctx, secrets, s.ARN); err != nil {
		return Knowledge{}, err
	}
	k.History, err = reg.Read(ctx, s.ARN)
	return k, err
}

// ErrGone: Secrets Manager has no such secret.
var ErrGone = errors.New("it does not exist in this account and Region")

// Versions lists all versions of a secret that may hold a value, also those without any label, by id.
// ErrGone when there is no such secret.
func Versions(ctx context.Context, secrets secretsmanager.ListSecretVersionIdsAPIClient, arn string) ([]trust.Version, error) {
	in := &secretsmanager.ListSecretVersionIdsInput{
		SecretId: &arn, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(100),
	}
	var versions []trust.Version
	for pages := secretsmanager.NewListSecretVersionIdsPaginator(secrets, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
			err = ErrGone
		}
		if err != nil {
			return nil, fmt.Errorf("list versions of %s: %w", arn, err)
		}
		for _, e := range page.Versions {
			versions = append(versions, trust.Version{ID: aws.ToString(e.VersionId), Labels: e.VersionStages, Created: aws.ToTime(e.CreatedDate)})
		}
	}
	slices.SortFunc(versions, func(a, b trust.Version) int { return strings.Compare(a.ID, b.ID) })
	return versions, nil
}

// Current returns the version with AWSCURRENT, or "".
func (k Knowledge) Current() string {
	for _, v := range k.Versions {
		if slices.Contains(v.Labels, labelCurrent) {
			return v.ID
		}
	}
	return ""
}

// Promoted returns what is known once a version has AWSCURRENT, which lists may show a moment later.
func (k Knowledge) Promoted(version string) Knowledge {
	before := k.Current()
	if before == version {
		return k
	}
	k.Versions = slices.Clone(k.Versions)
	for i, v := range k.Versions {
		labels := slices.DeleteFunc(slices.Clone(v.Labels), func(l string) bool { return l == labelCurrent || l == labelPrevious })
		switch v.ID {
		case version:
			labels = append(labels, labelCurrent)
		case before:
			labels = append(labels, labelPrevious)
		}
		k.Versions[i].Labels = labels
	}
	return k
}

// Registered reports whether a version's keys may be rolled out: they were made by rotate, or adopted.
func (k Knowledge) Registered(version string) bool { return k.History.Has(register.Created, version) }

// Question returns what to ask of trust.Decide about all hosts. Other secrets that share a key are read
// as well; what Secrets Manager says of one that the caller may not read is not known, so that nothing
// shared with it is retired.
func (k Knowledge) Question(ctx context.Context, secrets secretsmanager.ListSecretVersionIdsAPIClient, reg facts, grace time.Duration) (trust.Question, error) {
	q := trust.Question{Secret: k.History.Trust(), Grace: grace, Now: k.At}
	q.Secret.Versions = k.Versions
	sharing, err := reg.Sharing(ctx, k.History)
	if err != nil {
		return trust.Question{}, err
	}
	for _, h := range sharing {
		other := h.Trust()
		other.Versions, err = Versions(ctx, secrets, h.Secret)
		other.Gone = errors.Is(err, ErrGone)
		other.Unread = err != nil && !other.Gone
		q.Others = append(q.Others, other)
	}
	return q, nil
}
