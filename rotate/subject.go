package rotate

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
	tagTarget = "keytrail:target"
	tagUsers  = "keytrail:users"
	tagHold   = "keytrail:hold"
)

// subject is one secret with what may be done for it.
type subject struct {
	secret secret
	order  fleet.Order  // what is the same in every order: users, scope, generation
	target fleet.Target // boundary and the secret's own narrowing
}

// subjectOf reads the secret's tags.
func (r *Rotator) subjectOf(s secret) (subject, error) {
	users := r.config.Users
	if text, ok := s.tags[tagUsers]; ok {
		narrowed, err := ParseUsers(text)
		if err != nil {
			return subject{}, fmt.Errorf("tag %s: %w", tagUsers, err)
		}
		for _, u := range narrowed {
			if !slices.Contains(users, u) {
				return subject{}, fmt.Errorf("tag %s names %s, which USERNAME does not allow (%s)", tagUsers, u, strings.Join(users, " "))
			}
		}
		users = narrowed
	}
	target := fleet.Target{r.config.Boundary}
	if text, ok := s.tags[tagTarget]; ok {
		narrowed, err := fleet.ParseTarget(text)
		if err != nil {
			return subject{}, fmt.Errorf("tag %s: want Key=Value pairs: %w", tagTarget, err)
		}
		if len(narrowed) == 0 {
			return subject{}, fmt.Errorf("tag %s is empty: want Key=Value pairs, or no such tag", tagTarget)
		}
		target = append(target, narrowed...)
	}
	return subject{s, fleet.Order{Scope: fleet.Scope(s.arn), Users: users, AllowRoot: r.config.AllowRoot}, target}, nil
}

// errHeld: people asked that nothing be changed.
var errHeld = errors.New("the secret is held")

// held returns errHeld for a secret with the tag.
func held(s secret) error {
	why, ok := s.tags[tagHold]
	if !ok {
		return nil
	}
	return permanent(fmt.Errorf("%w: tag %s says %q: nothing is changed until the tag is removed", errHeld, tagHold, why))
}
