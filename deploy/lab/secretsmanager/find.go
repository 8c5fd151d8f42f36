package secretsmanager

import (
	"regexp"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

var (
	validName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]+$`)
	// likeSuffix is a name that ends as an ARN does. A partial ARN of such a
	// secret is taken for a complete one and finds nothing.
	likeSuffix = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)
)

// find returns the secret that an ARN, a partial ARN (without its last seven
// characters) or a name means, deleted ones included. The caller holds mu and
// clones before it changes anything.
func (s *Service) find(id *string) (*secret, error) {
	if err := required("secretId", id, 1, 2048); err != nil {
		return nil, err
	}
	if sec, ok := s.secrets[*id]; ok {
		return s.seen(sec)
	}
	name := *id
	if strings.HasPrefix(name, "arn:") {
		rest, ok := strings.CutPrefix(name, s.prefix())
		if !ok || likeSuffix.MatchString(rest) {
			return nil, notFound()
		}
		name = rest
	} else if !validName.MatchString(name) {
		return nil, badName()
	}
	for _, sec := range s.secrets {
		if sec.Name == name && !(sec.Forced && sec.deleted()) {
			return s.seen(sec)
		}
	}
	for _, sec := range s.secrets { // one that was deleted by force and lingers
		if sec.Name == name {
			return s.seen(sec)
		}
	}
	return nil, notFound()
}

// seen purges a secret whose time is over instead of showing it.
func (s *Service) seen(sec *secret) (*secret, error) {
	if sec.purgeable(s.now()) {
		s.purge(sec)
		return nil, notFound()
	}
	return sec, nil
}

// change finds a secret that is not deleted and returns a copy to change.
func (s *Service) change(id *string) (*secret, error) {
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
	c := sec.clone()
	c.Changed = s.now()
	return c, nil
}

func (s *Service) prefix() string {
	return "arn:aws:secretsmanager:" + s.options.Region + ":" + s.options.Account + ":secret:"
}

func notFound() error {
	return &wire.Error{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find the specified secret."}
}

func badName() error {
	return &wire.Error{Code: "ValidationException", Message: "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"}
}

func markedForDeletion() error {
	return badRequest("You can't perform this operation on the secret because it was marked for deletion.")
}

func badRequest(message string) error {
	return &wire.Error{Code: "InvalidRequestException", Message: message}
}

func badParameter(message string) error {
	return &wire.Error{Code: "InvalidParameterException", Message: message}
}

func overLimit(message string) error {
	return &wire.Error{Code: "LimitExceededException", Message: message}
}
