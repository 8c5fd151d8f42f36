package wire

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// keepBodies bounds the memory of recorded request bodies; those of the
// oldest calls are let go first.
const keepBodies = 64 << 20

// Call is one recorded call.
type Call struct {
	Request
	Time      time.Time
	Status    int      // 0: the reply was dropped
	ErrorCode string   // "" when it was served
	Unknown   []string // members of the request that the service does not know, as paths
}

// Calls returns the recorded calls in the order in which they were answered.
func (f *Front) Calls() []Call { return f.calls.list() }

// Counts returns how often each "service:Action" was called since the last
// reset, dropped records included.
func (f *Front) Counts() map[string]int {
	f.calls.mu.Lock()
	defer f.calls.mu.Unlock()
	return maps.Clone(f.calls.counts)
}

// ResetCalls forgets the recorded calls and their counts.
func (f *Front) ResetCalls() {
	f.calls.mu.Lock()
	defer f.calls.mu.Unlock()
	f.calls.ring, f.calls.first, f.calls.bytes, f.calls.bare = nil, 0, 0, 0
	clear(f.calls.counts)
}

// recorder is a ring of the newest calls.
type recorder struct {
	keep int

	mu     sync.Mutex
	ring   []Call
	first  int // index of the oldest once the ring is full
	bare   int // how many of the oldest have lost their body
	bytes  int
	counts map[string]int
}

func (c *recorder) add(call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[call.Service+":"+call.Action]++
	c.bytes += len(call.Body)
	if len(c.ring) < c.keep {
		c.ring = append(c.ring, call)
	} else {
		c.bytes -= len(c.ring[c.first].Body)
		c.ring[c.first] = call
		c.first = (c.first + 1) % c.keep
		c.bare = max(c.bare-1, 0)
	}
	for c.bytes > keepBodies {
		oldest := &c.ring[(c.first+c.bare)%len(c.ring)]
		c.bytes -= len(oldest.Body)
		oldest.Body = nil
		c.bare++
	}
}

func (c *recorder) list() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.ring[c.first:], c.ring[:c.first])
}
