package alert

import (
	"context"
	"slices"
	"sync"

	"github.com/keytrail/keytrail/audit/evidence"
)

// Unsent are the messages of a desk that tells nobody, in their order.
type Unsent struct {
	mu       sync.Mutex
	messages []Message
}

// NewUnsent returns a desk that decides as any other does, and the messages that it would have published. Its
// state is kept in the bucket: give it a draft.
func NewUnsent(bucket evidence.Bucket, rules Rules) (*Desk, *Unsent) {
	u := &Unsent{}
	return newDesk(bucket, u, rules), u
}

// Publish keeps a message, once for all topics.
func (u *Unsent) Publish(_ context.Context, _ Topic, m Message) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !slices.ContainsFunc(u.messages, func(other Message) bool { return other.ID == m.ID }) {
		u.messages = append(u.messages, m)
	}
	return nil
}

// Messages returns what nobody was told.
func (u *Unsent) Messages() []Message {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.messages)
}
