package alert

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// schema is the version of the record's form.
const schema = 1

// record is all that is kept of one secret's alerts: one S3 object.
type record struct {
	Schema int    `json:"schema"`
	Secret Secret `json:"secret"`
	// Sequence numbers the messages about the secret.
	Sequence int `json:"sequence"`
	// Looked is the newest look at each condition: what is older opens nothing.
	Looked map[ID]time.Time `json:"looked"`
	Alerts map[string]life  `json:"alerts"`
	// Unsaid are the messages that were decided on and are not known to be published, oldest first.
	Unsaid []Message `json:"unsaid,omitempty"`
	// Claim is who publishes them.
	Claim claim `json:"claim,omitzero"`
}

// claim is one process's right to publish, until it ends.
type claim struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// other says that somebody else has the claim.
func (c claim) other(holder string, now time.Time) bool {
	return c.Holder != "" && c.Holder != holder && now.Before(c.Until)
}

// observe returns the record after a sighting, with the messages that follow from it among Unsaid. The
// same sighting again changes nothing. r is not changed.
func (r record) observe(s Sighting, now time.Time, rules Rules) record {
	if s.At.After(now) { // a clock that is ahead must not make later news look old
		s.At = now
	}
	r.Schema, r.Secret = schema, s.Secret
	r.Looked, r.Alerts, r.Unsaid = cloned(r.Looked), cloned(r.Alerts), slices.Clone(r.Unsaid)
	present := map[string]bool{}
	for _, p := range s.Problems {
		c, _ := Lookup(p.Condition)
		id := identify(s.Secret.ARN, p.Condition, p.Scope)
		present[id] = true
		if !c.Once && !s.At.After(r.Looked[p.Condition]) {
			continue
		}
		p = p.normal()
		l, known := r.Alerts[id]
		if !known {
			l = life{Condition: p.Condition, Scope: p.Scope}
		}
		r.step(id, l, c, &p, s.At, now, rules)
	}
	for _, condition := range s.Looked {
		c, _ := Lookup(condition)
		if c.Once || !s.At.After(r.Looked[condition]) {
			continue
		}
		r.Looked[condition] = s.At
		for _, id := range slices.Sorted(maps.Keys(r.Alerts)) {
			if l := r.Alerts[id]; l.Condition == condition && !present[id] {
				r.step(id, l, c, nil, s.At, now, rules)
			}
		}
	}
	maps.DeleteFunc(r.Alerts, func(_ string, l life) bool { return l.over(now) })
	return r
}

func (r *record) step(id string, l life, c Condition, p *Problem, at, now time.Time, rules Rules) {
	l, status := l.next(c, p, at, now, rules.Repeat)
	if status != silent && !slices.Contains(rules.Mute, c.ID) {
		r.Sequence++
		r.Unsaid = append(r.Unsaid, Message{
			ID: fmt.Sprintf("%s-%d", id, r.Sequence), Alert: id, Status: status, Condition: c.ID,
			Secret: r.Secret, At: at, Since: l.Since, Times: l.Times, Problem: bounded(l.Problem),
			Left: slices.Clone(rules.Topics),
		})
		l.Times = 0
	}
	l.Problem = bounded(l.Problem)
	r.Alerts[id] = l
}

// maxPlaces bounds what is kept and told of an alert's places: 10,000 hosts are one message of 256 KB.
const maxPlaces = 500

// bounded leaves places out and says how many.
func bounded(p Problem) Problem {
	if n := len(p.Places) - maxPlaces; n > 0 {
		p.Left.Hosts = max(p.Left.Hosts, p.Hosts())
		p.Left.Places += n
		p.Places = p.Places[:maxPlaces:maxPlaces]
	}
	return p
}

// open counts the alerts that are open.
func (r record) open() int {
	n := 0
	for _, l := range r.Alerts {
		if c, _ := Lookup(l.Condition); l.Open && !c.Once {
			n++
		}
	}
	return n
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

func decode(body []byte) (record, error) {
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if r.Schema != schema {
		return record{}, fmt.Errorf("%w: its schema is %d, this release writes %d", ErrDamaged, r.Schema, schema)
	}
	return r, nil
}
