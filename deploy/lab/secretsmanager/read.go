package secretsmanager

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func (s *Service) getSecretValue(in *api.GetSecretValueInput) (*api.GetSecretValueOutput, error) {
	if err := length("versionId", in.VersionId, 32, 64); err != nil {
		return nil, err
	}
	if err := length("versionStage", in.VersionStage, 1, 256); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(in.SecretId, in.VersionId, in.VersionStage)
}

// read returns a version's value and notes the day. The caller holds mu.
func (s *Service) read(id, versionID, stage *string) (*api.GetSecretValueOutput, error) {
	sec, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if sec.Forced {
		return nil, notFound()
	}
	if sec.deleted() {
		return nil, markedForDeletion()
	}
	v, err := sec.lookup(versionID, stage)
	if err != nil {
		return nil, err
	}
	if today := day(s.now()); v.Accessed != today || sec.Accessed != today {
		sec = sec.clone()
		v = sec.version(v.ID)
		sec.Accessed, v.Accessed = today, today
		if err := s.put(sec); err != nil {
			return nil, err
		}
	}
	return &api.GetSecretValueOutput{
		ARN: &sec.ARN, Name: &sec.Name, CreatedDate: &v.Created, VersionId: &v.ID, VersionStages: noneIfEmpty(v.Stages),
		SecretString: v.Text, SecretBinary: v.Binary,
	}, nil
}

// lookup returns the version, with a value, that an id, a label or both mean;
// AWSCURRENT by default.
func (sec *secret) lookup(id, stage *string) (*version, error) {
	if id == nil {
		label := current
		if stage != nil {
			label = *stage
		}
		if v := sec.holder(label); v != nil && v.valued() {
			return v, nil
		}
		return nil, noValue("staging label: " + label)
	}
	v := sec.version(*id)
	switch {
	case v == nil:
		return nil, noValue("VersionId: " + *id)
	case stage != nil && !v.has(*stage):
		return nil, badRequest("You provided a VersionStage that is not associated to the provided VersionId.")
	case !v.valued():
		return nil, noValue("VersionId: " + *id)
	default:
		return v, nil
	}
}

func noValue(what string) error {
	return &wire.Error{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find the specified secret value for " + what}
}

func (s *Service) batchGetSecretValue(in *api.BatchGetSecretValueInput) (*api.BatchGetSecretValueOutput, error) {
	switch {
	case (len(in.SecretIdList) == 0) == (len(in.Filters) == 0):
		return nil, badParameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	case in.MaxResults != nil && len(in.Filters) == 0:
		return nil, badParameter("'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.")
	}
	if err := within("secretIdList", fmt.Sprintf("'%v'", in.SecretIdList), len(in.SecretIdList), 0, 20); err != nil {
		return nil, err
	}
	if err := between("maxResults", in.MaxResults, 1, 20); err != nil {
		return nil, err
	}
	match, err := newFilter(in.Filters)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &api.BatchGetSecretValueOutput{SecretValues: []types.SecretValueEntry{}, Errors: []types.APIErrorType{}}
	ids := in.SecretIdList
	if len(in.Filters) > 0 {
		found := slices.DeleteFunc(s.sorted(), func(sec *secret) bool { return sec.deleted() || !match(sec) })
		found, out.NextToken, err = page(found, in.NextToken, int(aws.ToInt32(in.MaxResults)), 20, func(sec *secret) string { return sec.ARN })
		if err != nil {
			return nil, err
		}
		for _, sec := range found {
			ids = append(ids, sec.ARN)
		}
	}
	for _, id := range ids {
		v, err := s.read(&id, nil, nil)
		if err != nil {
			out.Errors = append(out.Errors, entryError(id, err))
			continue
		}
		out.SecretValues = append(out.SecretValues, types.SecretValueEntry{
			ARN: v.ARN, Name: v.Name, CreatedDate: v.CreatedDate, VersionId: v.VersionId, VersionStages: v.VersionStages,
			SecretString: v.SecretString, SecretBinary: v.SecretBinary,
		})
	}
	return out, nil
}

func noneIfEmpty(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}
