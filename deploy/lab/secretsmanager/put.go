package secretsmanager

import (
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func (s *Service) createSecret(in *api.CreateSecretInput) (*api.CreateSecretOutput, error) {
	v, err := newValue(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if err := checkCreate(in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.find(in.Name)
	switch {
	case err != nil: // there is none
	case old.Forced: // it only lingers
	case old.deleted():
		return nil, badRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
	case !v.none() && old.version(*in.ClientRequestToken) != nil && v.sameAs(old.version(*in.ClientRequestToken)):
		return &api.CreateSecretOutput{ARN: &old.ARN, Name: &old.Name, VersionId: in.ClientRequestToken}, nil
	default:
		return nil, &wire.Error{Code: "ResourceExistsException", Message: "The operation failed because the secret " + *in.Name + " already exists."}
	}
	now := s.now()
	sec := &secret{
		ARN: s.prefix() + *in.Name + "-" + s.randomSuffix(*in.Name), Name: *in.Name, Type: aws.ToString(in.Type),
		Description: nonEmpty(in.Description), KmsKeyID: nonEmpty(in.KmsKeyId), Created: now, Changed: now,
	}
	if in.Tags != nil {
		if err := sec.tag(in.Tags); err != nil {
			return nil, err
		}
	}
	return commit(s, sec, func() (*api.CreateSecretOutput, error) {
		out := &api.CreateSecretOutput{ARN: &sec.ARN, Name: &sec.Name}
		if v.none() {
			return out, nil
		}
		out.VersionId = in.ClientRequestToken
		_, err := s.write(sec, *in.ClientRequestToken, v, nil)
		return out, err
	})
}

func checkCreate(in *api.CreateSecretInput) error {
	if err := required("name", in.Name, 1, 512); err != nil {
		return err
	}
	if !validName.MatchString(*in.Name) {
		return badName()
	}
	if err := length("description", in.Description, 0, 2048); err != nil {
		return err
	}
	if in.AddReplicaRegions != nil {
		return badParameter("Invalid replica region.") // the lab is one Region
	}
	return checkToken(in.ClientRequestToken, "InvalidRequestException")
}

// randomSuffix returns the six characters that end an ARN.
func (s *Service) randomSuffix(name string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	sum := s.unique("suffix of " + name)
	b := sum[:6]
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

var validRotationToken = regexp.MustCompile(`^[a-zA-Z0-9-]+$`)

// checkRotationToken checks the token that a rotation function passes on: it
// must be the one of the rotation under way, if there is one. AWS says only
// that it validates the identity of the role; the answer to another is ours.
func checkRotationToken(sec *secret, token *string) error {
	if token == nil {
		return nil
	}
	if err := within("rotationToken", "", utf8.RuneCountInString(*token), 36, 256); err != nil {
		return err
	}
	if !validRotationToken.MatchString(*token) {
		return broken("rotationToken", "", `satisfy regular expression pattern: ^[a-zA-Z0-9\-]+$`)
	}
	if f := sec.rotating(); f != nil && f.RotationToken != *token {
		return badParameter("The RotationToken isn't valid for the rotation of this secret.")
	}
	return nil
}

func (s *Service) putSecretValue(in *api.PutSecretValueInput) (*api.PutSecretValueOutput, error) {
	v, err := newValue(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if v.none() {
		return nil, badRequest("You must provide either SecretString or SecretBinary.")
	}
	if err := checkToken(in.ClientRequestToken, "InvalidRequestException"); err != nil {
		return nil, err
	}
	if err := checkLabels(in.VersionStages); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	if err := checkRotationToken(sec, in.RotationToken); err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.PutSecretValueOutput, error) {
		target, err := s.write(sec, *in.ClientRequestToken, v, in.VersionStages)
		if err != nil {
			return nil, err
		}
		return &api.PutSecretValueOutput{ARN: &sec.ARN, Name: &sec.Name, VersionId: &target.ID, VersionStages: noneIfEmpty(target.Stages)}, nil
	})
}

// checkLabels checks the labels of a request; nil is none given.
func checkLabels(labels []string) error {
	if labels == nil {
		return nil
	}
	if err := within("versionStages", fmt.Sprintf("'%v'", labels), len(labels), 1, maxLabels); err != nil {
		return err
	}
	for i, label := range labels {
		if err := length("versionStages."+strconv.Itoa(i+1)+".member", &label, 1, 256); err != nil {
			return err
		}
	}
	return nil
}

// commit makes a change and stores it, or leaves no trace of it, events
// included. The caller holds mu.
func commit[O any](s *Service, sec *secret, do func() (O, error)) (O, error) {
	events := len(s.queue)
	out, err := do()
	if err == nil {
		err = s.put(sec)
	}
	if err != nil {
		s.queue = s.queue[:events]
	}
	return out, err
}

func (s *Service) updateSecret(in *api.UpdateSecretInput) (*api.UpdateSecretOutput, error) {
	v, err := newValue(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if err := length("description", in.Description, 0, 2048); err != nil {
		return nil, err
	}
	if err := checkToken(in.ClientRequestToken, "InvalidRequestException"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.UpdateSecretOutput, error) {
		if in.Description != nil {
			sec.Description = nonEmpty(in.Description)
		}
		if in.KmsKeyId != nil {
			sec.KmsKeyID = nonEmpty(in.KmsKeyId)
		}
		if in.Type != nil {
			sec.Type = *in.Type
		}
		out := &api.UpdateSecretOutput{ARN: &sec.ARN, Name: &sec.Name}
		if v.none() {
			return out, nil
		}
		target, err := s.write(sec, *in.ClientRequestToken, v, nil)
		if err != nil {
			return nil, err
		}
		out.VersionId = &target.ID
		return out, nil
	})
}

func nonEmpty(s *string) *string {
	if s == nil || *s == "" {
		return nil
	}
	return s
}
