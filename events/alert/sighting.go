package alert

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Secret is what an alert is about.
type Secret struct {
	ARN  string `json:"arn"`
	Name string `json:"name"`
}

// place returns what stands in the ARN: partition, Region, account.
func (s Secret) place() (partition, region, account string) {
	part := strings.SplitN(s.ARN, ":", 6)
	if len(part) < 6 {
		return "aws", "", ""
	}
	return part[1], part[3], part[4]
}

// Sighting is what one look at a secret, or one event about it, brought to light.
type Sighting struct {
	Secret Secret
	// At is when the hosts were asked, or when the event happened. What is older than another sighting of
	// the same condition changes nothing.
	At time.Time
	// Looked are the conditions that this look would have seen if they held at that time: their open alerts
	// that no Problem names are over, and news of them from before it are dropped. An event that tells of one
	// problem alone looks at nothing; a sweep does not look at what only events tell.
	Looked   []ID
	Problems []Problem
}

// check refuses what nobody could be told of.
func (s Sighting) check() error {
	var errs []error
	if s.Secret.ARN == "" || s.Secret.Name == "" || s.At.IsZero() {
		errs = append(errs, errors.New("it lacks the secret's ARN or name, or its time"))
	}
	named := slices.Clone(s.Looked)
	for _, p := range s.Problems {
		named = append(named, p.Condition)
		if p.About != "" {
			named = append(named, p.About)
		}
	}
	for _, id := range named {
		if _, ok := Lookup(id); !ok {
			errs = append(errs, fmt.Errorf("no condition is named %q", id))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrSighting, err)
	}
	return nil
}

// Problem is one condition that holds. Every text may come from outside and is cleaned where it is shown.
type Problem struct {
	Condition ID `json:"condition"`
	// Scope parts problems of one condition that come and go by themselves, such as two principals that
	// read a key; mostly empty. It is a part of the alert's identity and is not shown.
	Scope string `json:"scope,omitempty"`
	// About is the condition whose alert, the one without a scope, this tells more of: what was healed
	// stands in the thread of the drift.
	About   ID     `json:"about,omitempty"`
	Version string `json:"version,omitempty"`
	// Places are the hosts and users, without those that are fine.
	Places []Place `json:"places,omitempty"`
	// Left is what was left out of Places. The alert's keeper writes it.
	Left Left `json:"left,omitzero"`
	// Seen of Expected hosts gave a definite answer.
	Seen     int `json:"seen,omitempty"`
	Expected int `json:"expected,omitempty"`

	Reason      string `json:"reason,omitempty"` // in one sentence, where the condition's own words are not enough
	Step        string `json:"step,omitempty"`
	Function    string `json:"function,omitempty"` // ARN or name
	Fingerprint string `json:"fingerprint,omitempty"`

	EventID   string    `json:"eventId,omitempty"`   // CloudTrail's
	EventName string    `json:"eventName,omitempty"` // such as PutSecretValue
	EventTime time.Time `json:"eventTime,omitzero"`
	Who       Who       `json:"who,omitzero"`
}

// Left tells of places that a message does not list.
type Left struct {
	Places int `json:"places"`
	Hosts  int `json:"hosts"` // of all, listed or not
}

// Who is the principal that did it.
type Who struct {
	Principal string `json:"principal,omitempty"` // ARN; of the role, for a role's session
	Session   string `json:"session,omitempty"`
	Address   string `json:"address,omitempty"`
}

// Place is one user on one host.
type Place struct {
	Host         string   `json:"host"`
	User         string   `json:"user,omitempty"`
	State        string   `json:"state,omitempty"`
	Reason       string   `json:"reason,omitempty"`
	Fingerprints []string `json:"fingerprints,omitempty"`
	CommandID    string   `json:"commandId,omitempty"`
}

// identify is the stable id of an alert: the same problem has the same one for ever.
func identify(secretARN string, condition ID, scope string) string {
	return "kt-" + digest(secretARN, string(condition), scope)
}

func digest(texts ...string) string {
	sum := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(sum, "%d:%s", len(t), t)
	}
	return hex.EncodeToString(sum.Sum(nil)[:10])
}

// normal returns the problem with its places in order.
func (p Problem) normal() Problem {
	p.Places = slices.SortedStableFunc(slices.Values(p.Places), func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.User, b.User), cmp.Compare(a.State, b.State))
	})
	return p
}

// digest tells whether people have to hear of a change: other hosts, users, states, keys or versions. A
// command id is another one at each look, and a reason may hold a time.
func (p Problem) digest() string {
	texts := []string{p.Version, p.Fingerprint}
	for _, pl := range p.Places {
		texts = append(texts, pl.Host, pl.User, pl.State, strings.Join(slices.Sorted(slices.Values(pl.Fingerprints)), " "))
	}
	return digest(texts...)
}

// knowing returns the problem with what an event told of it while the alert has been open: who did it.
func (p Problem) knowing(l life) Problem {
	if l.Open && p.EventID == "" && p.Who == (Who{}) {
		p.EventID, p.EventName, p.EventTime, p.Who = l.Problem.EventID, l.Problem.EventName, l.Problem.EventTime, l.Problem.Who
	}
	return p
}

// Hosts counts the hosts that it is about.
func (p Problem) Hosts() int {
	seen := map[string]bool{}
	for _, pl := range p.Places {
		seen[pl.Host] = true
	}
	return max(len(seen), p.Left.Hosts)
}
