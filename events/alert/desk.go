package alert

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
)

// Rules are what a deployment may choose.
type Rules struct {
	Repeat time.Duration // how long an open alert is silent before it is said again; more than 0
	Mute   []ID          // conditions that nobody is told of
	Topics []Topic       // where messages go
}

// ErrSighting: the sighting is not whole, or names a condition that is none. No retry mends it.
var ErrSighting = errors.New("nobody can be told of this sighting")

// ErrDamaged: what is kept of a secret's alerts cannot be read. It is left as it is.
var ErrDamaged = errors.New("the alert state is damaged")

// store keeps objects. A write demands the tag that was read, or with an empty tag that there is none;
// evidence.ErrChanged says that this is not so.
type store interface {
	Read(ctx context.Context, key string) (body []byte, tag string, err error)
	Write(ctx context.Context, key string, body []byte, tag string) (string, error)
}

// publisher says a message to one topic.
type publisher interface {
	Publish(context.Context, Topic, Message) error
}

// Desk keeps alerts, and tells people of them. Any number of processes may do so at once.
type Desk struct {
	store     store
	publisher publisher
	rules     Rules
}

// New returns a desk that keeps its state in a bucket, below alerts/.
func New(bucket evidence.Bucket, topics Topics, rules Rules) *Desk {
	return newDesk(bucket, topics, rules)
}

func newDesk(s store, p publisher, rules Rules) *Desk { return &Desk{s, p, rules} }

// Rules returns what the desk goes by.
func (d *Desk) Rules() Rules { return d.rules }

// Result is what a sighting came to.
type Result struct {
	Open int       // alerts of the secret that are open now
	Said []Message // what this call published
}

const (
	// A claim outlives one attempt to publish by as much, so that a live process keeps it, and the messages
	// of a dead one are published by the next that looks.
	claimTime   = 30 * time.Second
	publishTime = claimTime / 2
	// Pauses while another process has the claim, or won a write.
	minPause = 20 * time.Millisecond
	maxPause = time.Second
)

// Tell takes a sighting in, and returns when every message that follows from it was published, by this
// process or by another. After an error it is to be told again: what was decided is kept, and messages
// that wait are published first. A message is published at least once, and again only if a process ended,
// or lost its claim, between the publishing and the commit; it has the same id then.
func (d *Desk) Tell(ctx context.Context, s Sighting) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	t := turn{desk: d, key: keyOf(s.Secret.ARN), holder: rand.Text(), sighting: s}
	result, err := t.run(ctx)
	if err != nil {
		return result, fmt.Errorf("tell of %s: %w", s.Secret.Name, err)
	}
	return result, nil
}

func keyOf(secretARN string) string { return "alerts/" + digest(secretARN) + ".json" }

// turn is one call of Tell.
type turn struct {
	desk     *Desk
	key      string
	holder   string
	sighting Sighting

	stands record // as read or written last
	tag    string
	loaded bool
	said   map[string][]Topic // published, and not yet written down
	result Result
}

// run reads, decides and writes until nothing is left to say: first what was decided is written with a
// claim, then it is published, then that is written.
func (t *turn) run(ctx context.Context) (Result, error) {
	t.said = map[string][]Topic{}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		if err := t.load(ctx); err != nil {
			return t.result, err
		}
		now := time.Now()
		next := t.stands.observe(t.sighting, now, t.desk.rules)
		next.Unsaid = t.unsaid(next.Unsaid)
		busy := len(next.Unsaid) > 0 && next.Claim.other(t.holder, now)
		switch {
		case len(next.Unsaid) == 0:
			next.Claim = claim{}
		case !busy:
			next.Claim = claim{t.holder, now.Add(claimTime)}
		}
		err := t.save(ctx, next)
		switch {
		case errors.Is(err, evidence.ErrChanged):
			t.loaded = false
		case err != nil:
			return t.result, err
		case len(next.Unsaid) == 0:
			t.result.Open = next.open()
			return t.result, nil
		case !busy:
			if err := t.publish(ctx, next.Unsaid); err != nil {
				return t.result, errors.Join(err, t.give(ctx))
			}
			continue // without a pause: what was said is written at once
		default:
			t.loaded = false
		}
		select {
		case <-ctx.Done():
			return t.result, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (t *turn) load(ctx context.Context) error {
	if t.loaded {
		return nil
	}
	body, tag, err := t.desk.store.Read(ctx, t.key)
	switch {
	case errors.Is(err, evidence.ErrAbsent):
		t.stands, t.tag = record{}, ""
	case err != nil:
		return err
	default:
		if t.stands, err = decode(body); err != nil {
			return fmt.Errorf("read %s: %w", t.key, err)
		}
		t.tag = tag
	}
	t.loaded = true
	return nil
}

// save writes what is not written yet.
func (t *turn) save(ctx context.Context, next record) error {
	body, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode %s: %w", t.key, err)
	}
	if before, err := json.Marshal(t.stands); err == nil && t.tag != "" && string(before) == string(body) {
		return nil
	}
	tag, err := t.desk.store.Write(ctx, t.key, body, t.tag)
	if err != nil {
		return err
	}
	t.stands, t.tag = next, tag
	return nil
}

// unsaid drops what this turn has published.
func (t *turn) unsaid(all []Message) []Message {
	var left []Message
	for _, m := range all {
		m.Left = slices.DeleteFunc(slices.Clone(m.Left), func(topic Topic) bool { return slices.Contains(t.said[m.ID], topic) })
		if len(m.Left) > 0 {
			left = append(left, m)
		}
	}
	return left
}

// publish says messages to each topic that has not heard them, and goes on after an error: one topic must
// not keep a message from another.
func (t *turn) publish(ctx context.Context, messages []Message) error {
	ctx, cancel := context.WithTimeoutCause(ctx, publishTime, errors.New("publishing took too long"))
	defer cancel()
	var errs []error
	for _, m := range messages {
		for _, topic := range m.Left {
			if err := t.desk.publisher.Publish(ctx, topic, m); err != nil {
				errs = append(errs, fmt.Errorf("publish %s to %s: %w", m.ID, topic, err))
				continue
			}
			t.said[m.ID] = append(t.said[m.ID], topic)
			if !slices.ContainsFunc(t.result.Said, func(said Message) bool { return said.ID == m.ID }) {
				t.result.Said = append(t.result.Said, m)
			}
		}
	}
	return errors.Join(errs...)
}

// give writes what was published in spite of an error, and lets the next process publish the rest.
func (t *turn) give(ctx context.Context) error {
	const most = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	for {
		if err := t.load(ctx); err != nil {
			return err
		}
		next := t.stands
		if next.Unsaid = t.unsaid(next.Unsaid); next.Claim.Holder == t.holder {
			next.Claim = claim{}
		}
		err := t.save(ctx, next)
		if !errors.Is(err, evidence.ErrChanged) {
			return err
		}
		t.loaded = false
	}
}
