package secretsmanager

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// describeSecret shows a secret, deleted or not. What never was (a value,
// rotation, a tag) is left out and not shown as empty.
func (s *Service) describeSecret(in *api.DescribeSecretInput) (*api.DescribeSecretOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	e := sec.entry()
	return &api.DescribeSecretOutput{
		ARN: e.ARN, Name: e.Name, Type: e.Type, Description: e.Description, KmsKeyId: e.KmsKeyId,
		CreatedDate: e.CreatedDate, LastChangedDate: e.LastChangedDate, LastAccessedDate: e.LastAccessedDate,
		LastRotatedDate: e.LastRotatedDate, NextRotationDate: e.NextRotationDate, DeletedDate: e.DeletedDate,
		RotationEnabled: e.RotationEnabled, RotationLambdaARN: e.RotationLambdaARN, RotationRules: e.RotationRules,
		Tags: e.Tags, VersionIdsToStages: e.SecretVersionsToStages,
	}, nil
}

// entry is a secret as ListSecrets shows it; DescribeSecret shows the same.
func (sec *secret) entry() types.SecretListEntry {
	e := types.SecretListEntry{
		ARN: &sec.ARN, Name: &sec.Name, Type: nonEmpty(&sec.Type), Description: sec.Description, KmsKeyId: sec.KmsKeyID,
		CreatedDate: &sec.Created, LastChangedDate: &sec.Changed, LastAccessedDate: moment(sec.Accessed),
		LastRotatedDate: moment(sec.Rotated), DeletedDate: moment(sec.Deletion), Tags: sec.Tags,
	}
	for _, v := range sec.Versions {
		if len(v.Stages) > 0 {
			if e.SecretVersionsToStages == nil {
				e.SecretVersionsToStages = map[string][]string{}
			}
			e.SecretVersionsToStages[v.ID] = v.Stages
		}
	}
	if r := sec.Rotation; r != nil {
		e.RotationEnabled, e.RotationLambdaARN = &r.Enabled, &r.Function
		if r.Rules != (types.RotationRulesType{}) {
			rules := r.Rules
			e.RotationRules = &rules
		}
		if r.Enabled {
			e.NextRotationDate = moment(r.Closes)
		}
	}
	return e
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Service) listSecrets(in *api.ListSecretsInput) (*api.ListSecretsOutput, error) {
	if err := between("maxResults", in.MaxResults, 1, 100); err != nil {
		return nil, err
	}
	match, err := newFilter(in.Filters)
	if err != nil {
		return nil, err
	}
	order, err := newOrder(in.SortBy, in.SortOrder)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := slices.DeleteFunc(s.sorted(), func(sec *secret) bool {
		return sec.Forced || sec.deleted() && !aws.ToBool(in.IncludePlannedDeletion) || !match(sec)
	})
	slices.SortStableFunc(found, order)
	out := &api.ListSecretsOutput{SecretList: []types.SecretListEntry{}}
	found, out.NextToken, err = page(found, in.NextToken, int(aws.ToInt32(in.MaxResults)), 100, func(sec *secret) string { return sec.ARN })
	for _, sec := range found {
		out.SecretList = append(out.SecretList, sec.entry())
	}
	return out, err
}

func newOrder(by types.SortByType, order types.SortOrderType) (func(a, b *secret) int, error) {
	var compare func(a, b *secret) int
	switch cmp.Or(by, types.SortByTypeCreatedDate) {
	case types.SortByTypeCreatedDate:
		compare = func(a, b *secret) int { return a.Created.Compare(b.Created) }
	case types.SortByTypeLastAccessedDate:
		compare = func(a, b *secret) int { return a.Accessed.Compare(b.Accessed) }
	case types.SortByTypeLastChangedDate:
		compare = func(a, b *secret) int { return a.Changed.Compare(b.Changed) }
	case types.SortByTypeName:
		compare = func(a, b *secret) int { return strings.Compare(a.Name, b.Name) }
	default:
		return nil, broken("sortBy", "'"+string(by)+"'", "satisfy enum value set: [created-date, last-accessed-date, last-changed-date, name]")
	}
	switch cmp.Or(order, types.SortOrderTypeAsc) {
	case types.SortOrderTypeAsc:
		return compare, nil
	case types.SortOrderTypeDesc:
		return func(a, b *secret) int { return compare(b, a) }, nil
	default:
		return nil, broken("sortOrder", "'"+string(order)+"'", "satisfy enum value set: [asc, desc]")
	}
}

// defaultKey is what stands for aws/secretsmanager in a list of versions.
const defaultKey = "DefaultEncryptionKey"

func (s *Service) listSecretVersionIDs(in *api.ListSecretVersionIdsInput) (*api.ListSecretVersionIdsOutput, error) {
	if err := between("maxResults", in.MaxResults, 1, 100); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	if sec.Forced {
		return nil, notFound()
	}
	found := slices.DeleteFunc(slices.Clone(sec.Versions), func(v *version) bool {
		return len(v.Stages) == 0 && !aws.ToBool(in.IncludeDeprecated)
	})
	out := &api.ListSecretVersionIdsOutput{ARN: &sec.ARN, Name: &sec.Name, Versions: []types.SecretVersionsListEntry{}}
	found, out.NextToken, err = page(found, in.NextToken, int(aws.ToInt32(in.MaxResults)), 100, func(v *version) string { return v.ID })
	key := defaultKey
	if sec.KmsKeyID != nil {
		key = *sec.KmsKeyID
	}
	for _, v := range found {
		out.Versions = append(out.Versions, types.SecretVersionsListEntry{
			VersionId: &v.ID, VersionStages: noneIfEmpty(v.Stages), CreatedDate: &v.Created,
			LastAccessedDate: moment(v.Accessed), KmsKeyIds: []string{key},
		})
	}
	return out, err
}
