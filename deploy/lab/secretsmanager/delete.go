package secretsmanager

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// deleteSecret marks a secret for deletion, or deletes it by force. Force is
// no error where there is nothing to delete.
func (s *Service) deleteSecret(in *api.DeleteSecretInput) (*api.DeleteSecretOutput, error) {
	days, force := int64(30), aws.ToBool(in.ForceDeleteWithoutRecovery)
	if in.RecoveryWindowInDays != nil {
		days = *in.RecoveryWindowInDays
		if force {
			return nil, badParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
		}
	}
	if days < 7 || days > 30 {
		return nil, badParameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	sec, err := s.find(in.SecretId)
	switch {
	case err != nil && force && in.SecretId != nil && validName.MatchString(*in.SecretId):
		arn := s.prefix() + *in.SecretId + "-" + s.randomSuffix(*in.SecretId)
		return &api.DeleteSecretOutput{ARN: &arn, Name: in.SecretId, DeletionDate: &now}, nil
	case err != nil:
		return nil, err
	case sec.deleted() && !force:
		return nil, markedForDeletion()
	}
	sec = sec.clone()
	sec.Changed = now
	date := now
	if force {
		sec.Forced, sec.Deletion = true, now.Add(s.options.Linger)
	} else {
		date = now.Add(time.Duration(days) * 24 * time.Hour)
		sec.Deletion = date
	}
	out, err := commit(s, sec, func() (*api.DeleteSecretOutput, error) {
		s.emit(Event{Name: StartSecretVersionDelete}, sec)
		return &api.DeleteSecretOutput{ARN: &sec.ARN, Name: &sec.Name, DeletionDate: &date}, nil
	})
	if err == nil && sec.purgeable(now) {
		s.purge(sec)
	}
	return out, err
}

// purge removes a secret whose time is over. The caller holds mu. A file that
// cannot be removed is found and purged again after a restart.
func (s *Service) purge(sec *secret) {
	s.emit(Event{Name: EndSecretVersionDelete}, sec)
	_ = s.forget(sec)
}

// restoreSecret takes back a deletion. For a secret that is not deleted it
// does nothing.
func (s *Service) restoreSecret(in *api.RestoreSecretInput) (*api.RestoreSecretOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	if sec.Forced {
		return nil, notFound()
	}
	out := &api.RestoreSecretOutput{ARN: &sec.ARN, Name: &sec.Name}
	if !sec.deleted() {
		return out, nil
	}
	sec = sec.clone()
	sec.Deletion, sec.Changed = time.Time{}, s.now()
	return commit(s, sec, func() (*api.RestoreSecretOutput, error) {
		for _, v := range sec.Versions {
			s.emit(Event{Name: CancelSecretVersionDelete, VersionID: v.ID}, sec)
		}
		return out, nil
	})
}
