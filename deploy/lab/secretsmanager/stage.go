package secretsmanager

import (
	"fmt"

	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// updateSecretVersionStage moves a label, or takes it away. The version that
// has the label must be named to take it from it, and AWSCURRENT can only be
// moved.
func (s *Service) updateSecretVersionStage(in *api.UpdateSecretVersionStageInput) (*api.UpdateSecretVersionStageOutput, error) {
	if err := required("versionStage", in.VersionStage, 1, 256); err != nil {
		return nil, err
	}
	if err := length("moveToVersionId", in.MoveToVersionId, 32, 64); err != nil {
		return nil, err
	}
	if err := length("removeFromVersionId", in.RemoveFromVersionId, 32, 64); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.UpdateSecretVersionStageOutput, error) {
		out := &api.UpdateSecretVersionStageOutput{ARN: &sec.ARN, Name: &sec.Name}
		return out, s.restage(sec, *in.VersionStage, in.MoveToVersionId, in.RemoveFromVersionId)
	})
}

func (s *Service) restage(sec *secret, label string, to, from *string) error {
	if to == nil && from == nil {
		return badParameter("You must specify MoveToVersionId or RemoveFromVersionId.") // our words
	}
	for _, id := range []*string{to, from} {
		if id != nil && sec.version(*id) == nil {
			return noValue("VersionId: " + *id)
		}
	}
	holder := sec.holder(label)
	switch {
	case from != nil && (holder == nil || holder.ID != *from):
		return badParameter(fmt.Sprintf("When you move staging label %s, if you specify RemoveFromVersionId, it must be set to the version that currently has the staging label %s.", label, label))
	case from == nil && holder != nil && holder.ID != *to:
		return badParameter(fmt.Sprintf("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", label, holder.ID))
	case to == nil && label == current:
		return badParameter("You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed.")
	case to == nil:
		sec.detach(label)
		return nil
	}
	s.move(sec, label, sec.version(*to))
	return s.withinQuotas(sec)
}
