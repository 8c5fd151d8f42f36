package secretsmanager

import "github.com/aws/aws-sdk-go-v2/aws"

// Look is what others need to know of a secret to decide who may do what with
// it.
type Look struct {
	ARN      string
	Tags     map[string]string
	Function string // ARN of its rotation function, "" for none
	Key      string // KmsKeyId as it was given, "" for the service's own key
}

// Look finds a secret by its ARN, partial ARN or name, deleted ones included.
func (s *Service) Look(id string) (Look, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(&id)
	if err != nil {
		return Look{}, false
	}
	l := Look{ARN: sec.ARN, Tags: map[string]string{}, Key: aws.ToString(sec.KmsKeyID)}
	for _, t := range sec.Tags {
		l.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	if sec.Rotation != nil {
		l.Function = sec.Rotation.Function
	}
	return l, true
}
