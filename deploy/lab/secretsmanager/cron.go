package secretsmanager

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/cron"
)

// calendar is a cron() schedule of windows: they open on the hour, in every
// year.
type calendar struct{ expression *cron.Expression }

func newCalendar(fields string) (*calendar, error) {
	e, err := cron.Parse(fields)
	if err != nil {
		return nil, err
	}
	f := strings.Fields(fields)
	switch {
	case f[0] != "0":
		return nil, errors.New("windows open on the hour: minutes must be 0")
	case f[5] != "*":
		return nil, errors.New("the year must be *")
	case !anyDay(f[2]) && !anyDay(f[4]):
		return nil, errors.New("one of day of month and day of week must be ? or *")
	}
	c := &calendar{e}
	if c.many() && c.gap() < minHours {
		return nil, fmt.Errorf("rotations must be at least %d hours apart", minHours)
	}
	if c.next(time.Unix(0, 0)).IsZero() {
		return nil, errors.New("no day matches")
	}
	return c, nil
}

func anyDay(field string) bool { return field == "?" || field == "*" }

// many reports whether there are several windows a day.
func (c *calendar) many() bool { return c.expression.Hours.Len() > 1 }

// gap returns the hours between the two windows that are nearest, the first of
// the next day included.
func (c *calendar) gap() int {
	hours := c.expression.Hours
	least, before := 24, hours.Last()-24
	for h := range 24 {
		if hours.Has(h) {
			least = min(least, h-before)
			before = h
		}
	}
	return least
}

// longest returns the hours that a window may stay open.
func (c *calendar) longest() int {
	if c.many() {
		return min(c.gap(), 24-c.expression.Hours.Last())
	}
	return 24 - c.expression.Hours.First()
}

// next returns the first opening after a time; the zero time if there is none.
func (c *calendar) next(after time.Time) time.Time { return c.expression.Next(after) }
