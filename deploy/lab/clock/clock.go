// Package clock lets the lab's services wait on the lab's clock, which may run
// with the time of day, stand still, or be set.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock is a clock that can be waited on. Make it with [New].
type Clock struct {
	now func() time.Time

	mu    sync.Mutex
	woken chan struct{} // closed and replaced by Wake
}

// New returns a clock that reads what now tells.
func New(now func() time.Time) *Clock {
	return &Clock{now: now, woken: make(chan struct{})}
}

// Now reads the clock.
func (c *Clock) Now() time.Time { return c.now() }

// Wake has everything that waits look again. Whoever sets the clock calls it,
// and whoever changes what others may wait for.
func (c *Clock) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.woken)
	c.woken = make(chan struct{})
}

// Woken returns a channel that the next Wake closes. Taken before a look at
// what is waited for, it loses no change.
func (c *Clock) Woken() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.woken
}

// Wait returns when woken is closed, when as much time passed as the clock
// lacks until t, or when the context ends. The zero t is never.
func (c *Clock) Wait(ctx context.Context, woken <-chan struct{}, t time.Time) {
	var due <-chan time.Time
	if !t.IsZero() {
		timer := time.NewTimer(t.Sub(c.now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-woken:
	case <-due:
	case <-ctx.Done():
	}
}

// Until waits until the clock reads t. Its error is the context's, if that
// ended first.
func (c *Clock) Until(ctx context.Context, t time.Time) error {
	for {
		woken := c.Woken()
		if err := ctx.Err(); err != nil {
			return err
		}
		if !c.now().Before(t) {
			return nil
		}
		c.Wait(ctx, woken, t)
	}
}
