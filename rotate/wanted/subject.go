package wanted

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// The tags of a secret. Users and target narrow what the stack allows and never widen it; hold stops
// every change, whatever its value says.
const (
	TagTarget = "keytrail:target"
	TagUsers  = "keytrail:users"
	TagHold   = "keytrail:hold"
)

// Limits are what a stack allows for any secret.
type Limits struct {
	Users    []string  // accounts that may be managed
	Boundary fleet.Tag // of the hosts that may be touched
}

// Subject is one secret with the users and hosts that it is for. Make it with [Limits.Subject].
type Subject struct {
	ARN, Name string
	Users     []string
	Target    fleet.Target // the boundary, and the secret's own narrowing
}

// Subject reads a secret's tags. A tag that cannot be read, or that would widen the limits, is an error
// that names it.
func (l Limits) Subject(arn, name string, tags map[string]string) (Subject, error) {
	s := Subject{ARN: arn, Name: name, Users: l.Users, Target: fleet.Target{l.Boundary}}
	if text, ok := tags[TagUsers]; ok {
		narrowed, err := ParseUsers(text)
		if err != nil {
			return Subject{}, fmt.Errorf("tag %s: %w", TagUsers, err)
		}
		for _, u := range narrowed {
			if !slices.Contains(l.Users, u) {
				return Subject{}, fmt.Errorf("tag %s names %s, which USERNAME does not allow (%s)", TagUsers, u, strings.Join(l.Users, " "))
			}
		}
		s.Users = narrowed
	}
	if text, ok := tags[TagTarget]; ok {
		narrowed, err := fleet.ParseTarget(text)
		if err != nil {
			return Subject{}, fmt.Errorf("tag %s: want Key=Value pairs: %w", TagTarget, err)
		}
		if len(narrowed) == 0 {
			return Subject{}, fmt.Errorf("tag %s is empty: want Key=Value pairs, or no such tag", TagTarget)
		}
		s.Target = append(s.Target, narrowed...)
	}
	return s, nil
}

// ErrHeld: people asked that nothing be changed.
var ErrHeld = errors.New("the secret is held")

// CheckHold returns ErrHeld, with what the tag says, for a secret that has it.
func CheckHold(tags map[string]string) error {
	why, ok := tags[TagHold]
	if !ok {
		return nil
	}
	return fmt.Errorf("%w: tag %s says %q: nothing is changed until the tag is removed", ErrHeld, TagHold, why)
}

// ParseUsers splits account names at white space. At least one is needed, and each must be a name
// that fleet.CheckUser accepts.
func ParseUsers(text string) ([]string, error) {
	var users []string
	var errs []error
	for _, u := range strings.Fields(text) {
		if err := fleet.CheckUser(u); err != nil {
			errs = append(errs, err)
			continue
		}
		if !slices.Contains(users, u) {
			users = append(users, u)
		}
	}
	if len(users) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("is required: at least one account name"))
	}
	return users, errors.Join(errs...)
}
