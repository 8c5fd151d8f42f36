package main

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/events"
)

// bus stands between EventBridge and the functions, and keeps a copy of each
// event that a rule hands over. It can be told to hand them over twice, which
// EventBridge may do: it promises at least once.
type bus struct {
	mu    sync.Mutex
	twice bool
	taken []event
}

// event is one that was handed to a function.
type event struct {
	name string // of what happened
	body []byte
}

// target is what rules hand events for the functions of a lab to. The lab runs
// once there are rules.
func (b *bus) target(l func() *lab.Lab) events.Target {
	return func(ctx context.Context, arn, _ string, body []byte) error {
		for range b.note(body) {
			if err := l().Lambda().InvokeEvent(ctx, arn, body); err != nil {
				return err
			}
		}
		return nil
	}
}

// note keeps an event, and returns how often it is to be handed over.
func (b *bus) note(body []byte) (times int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	times = 1
	if b.twice {
		times = 2
	}
	for range times {
		b.taken = append(b.taken, event{nameOf(body), slices.Clone(body)})
	}
	return times
}

// nameOf is what people call an event.
func nameOf(body []byte) string {
	var e struct {
		Type   string `json:"detail-type"`
		Detail struct {
			Name string `json:"eventName"`
		} `json:"detail"`
	}
	if json.Unmarshal(body, &e) != nil {
		return "no event"
	}
	if e.Detail.Name != "" {
		return e.Detail.Name
	}
	return e.Type
}

// repeat says whether events are handed over twice from now on.
func (b *bus) repeat(twice bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.twice = twice
}

// take returns the events since it was called last.
func (b *bus) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.taken
	b.taken = nil
	return taken
}

// peek returns what take would.
func (b *bus) peek() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.taken)
}
