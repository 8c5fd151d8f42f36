package clock_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/clock"
)

func TestUntilOfARunningClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clock.New(time.Now)
		begun := time.Now()
		if err := c.Until(t.Context(), begun.Add(time.Hour)); err != nil || time.Since(begun) != time.Hour {
			t.Errorf("waited %v (%v), want an hour", time.Since(begun), err)
		}
	})
}

func TestUntilOfAClockThatIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
		var passed atomic.Int64
		c := clock.New(func() time.Time { return start.Add(time.Duration(passed.Load())) })
		done := make(chan error)
		go func() { done <- c.Until(t.Context(), start.Add(time.Hour)) }()
		synctest.Wait()
		passed.Store(int64(time.Hour))
		begun := time.Now()
		c.Wake()
		if err := <-done; err != nil || time.Since(begun) != 0 {
			t.Errorf("waited %v more (%v), want to be woken at once", time.Since(begun), err)
		}
	})
}

func TestUntilOfAClockThatStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := clock.New(func() time.Time { return start })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Until(ctx, start.Add(time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}
