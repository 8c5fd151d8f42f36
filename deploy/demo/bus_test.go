package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheBusHandsEventsOverTwiceWhenToldTo(t *testing.T) {
	t.Parallel()
	var b bus
	body := []byte(`{"detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"CancelRotateSecret"}}`)
	if n := b.note(body); n != 1 {
		t.Errorf("an event is handed over %d times", n)
	}
	b.repeat(true)
	if n := b.note([]byte(`{"detail-type":"Scheduled Event","detail":{}}`)); n != 2 {
		t.Errorf("an event is handed over %d times, not twice", n)
	}
	var names []string
	for _, e := range b.take() {
		names = append(names, e.name)
	}
	if diff := cmp.Diff([]string{"CancelRotateSecret", "Scheduled Event", "Scheduled Event"}, names); diff != "" {
		t.Error(diff)
	}
	if left := b.take(); len(left) > 0 {
		t.Errorf("events are taken again: %v", left)
	}
}
