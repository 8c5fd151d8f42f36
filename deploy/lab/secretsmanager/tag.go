package secretsmanager

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// maxTags is the most tags that a secret can have.
const maxTags = 50

// tag sets tags, each in the place of one with its key.
func (sec *secret) tag(tags []types.Tag) error {
	if sec.Tags == nil {
		sec.Tags = []types.Tag{}
	}
	for i, t := range tags {
		at := "tags." + strconv.Itoa(i+1) + ".member."
		if err := required(at+"key", t.Key, 1, 128); err != nil {
			return err
		}
		if err := length(at+"value", t.Value, 0, 256); err != nil {
			return err
		}
		if strings.HasPrefix(strings.ToLower(*t.Key), "aws:") {
			return badParameter("Tag keys can't begin with aws:.") // our words
		}
		t.Value = aws.String(aws.ToString(t.Value))
		if j := slices.IndexFunc(sec.Tags, func(u types.Tag) bool { return *u.Key == *t.Key }); j >= 0 {
			sec.Tags[j] = t
		} else {
			sec.Tags = append(sec.Tags, t)
		}
	}
	if len(sec.Tags) > maxTags {
		return badParameter("You can't attach more than 50 tags to a secret.") // our words
	}
	return nil
}

func (s *Service) tagResource(in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.TagResourceOutput, error) {
		return &api.TagResourceOutput{}, sec.tag(in.Tags)
	})
}

func (s *Service) untagResource(in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.UntagResourceOutput, error) {
		sec.Tags = slices.DeleteFunc(sec.Tags, func(t types.Tag) bool { return slices.Contains(in.TagKeys, *t.Key) })
		return &api.UntagResourceOutput{}, nil
	})
}
