package secretsmanager

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// cron is a cron() schedule: Minutes Hours Day-of-month Month Day-of-week
// Year, with minutes 0 and every year.
type cron struct {
	hours  set
	months set
	date   func(time.Time) bool // day of the month
	week   func(time.Time) bool // day of the week
}

// set is a set of small numbers, a bit each.
type set uint32

func (s set) has(n int) bool { return s>>n&1 == 1 }

func newCron(fields string) (*cron, error) {
	f := strings.Fields(fields)
	switch {
	case len(f) != 6:
		return nil, fmt.Errorf("cron needs 6 fields, not %d", len(f))
	case f[0] != "0":
		return nil, errors.New("windows open on the hour: minutes must be 0")
	case f[5] != "*":
		return nil, errors.New("the year must be *")
	case !anyDay(f[2]) && !anyDay(f[4]):
		return nil, errors.New("one of day of month and day of week must be ? or *")
	}
	c := &cron{}
	var err error
	if c.hours, err = parseSet(f[1], 0, 23, nil); err != nil {
		return nil, err
	}
	if c.many() && c.gap() < minHours {
		return nil, fmt.Errorf("rotations must be at least %d hours apart", minHours)
	}
	if c.date, err = parseDate(f[2]); err != nil {
		return nil, err
	}
	if c.months, err = parseSet(f[3], 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}); err != nil {
		return nil, err
	}
	if c.week, err = parseWeek(f[4]); err != nil {
		return nil, err
	}
	if c.next(time.Unix(0, 0)).IsZero() {
		return nil, errors.New("no day matches")
	}
	return c, nil
}

func anyDay(field string) bool { return field == "?" || field == "*" }

// many reports whether there are several windows a day.
func (c *cron) many() bool { return bits.OnesCount32(uint32(c.hours)) > 1 }

func (c *cron) first() int { return bits.TrailingZeros32(uint32(c.hours)) }

func (c *cron) last() int { return 31 - bits.LeadingZeros32(uint32(c.hours)) }

// gap returns the hours between the two windows that are nearest, the first of
// the next day included.
func (c *cron) gap() int {
	least, before := 24, c.last()-24
	for h := range 24 {
		if c.hours.has(h) {
			least = min(least, h-before)
			before = h
		}
	}
	return least
}

// longest returns the hours that a window may stay open.
func (c *cron) longest() int {
	if c.many() {
		return min(c.gap(), 24-c.last())
	}
	return 24 - c.first()
}

// next returns the first opening after a time; the zero time if there is none
// within the eight years that February 29 can be away.
func (c *cron) next(after time.Time) time.Time {
	d := day(after)
	for range 8*366 + 1 {
		if c.months.has(int(d.Month())) && c.date(d) && c.week(d) {
			for h := range 24 {
				if t := d.Add(time.Duration(h) * time.Hour); c.hours.has(h) && t.After(after) {
					return t
				}
			}
		}
		d = d.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// parseSet reads lists, ranges and steps: 1,3-5,8/2,*/4,/4.
func parseSet(field string, least, most int, names []string) (set, error) {
	var s set
	for part := range strings.SplitSeq(strings.ToUpper(field), ",") {
		span, step, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			n, err := strconv.Atoi(step)
			if err != nil || n < 1 {
				return 0, fmt.Errorf("%q has no step", field)
			}
			by = n
		}
		from, to := least, most
		if span != "*" && (span != "" || !stepped) {
			low, high, ranged := strings.Cut(span, "-")
			var err error
			if from, err = number(low, least, most, names); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if to, err = number(high, least, most, names); err != nil {
					return 0, err
				}
			case !stepped:
				to = from
			}
		}
		if from > to {
			return 0, fmt.Errorf("%q runs backwards", field)
		}
		for n := from; n <= to; n += by {
			s |= 1 << n
		}
	}
	return s, nil
}

func number(text string, least, most int, names []string) (int, error) {
	for i, name := range names {
		if text == name {
			return least + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not between %d and %d", text, least, most)
	}
	return n, nil
}

// parseDate reads the day of the month; L is the last one.
func parseDate(field string) (func(time.Time) bool, error) {
	if anyDay(field) {
		return func(time.Time) bool { return true }, nil
	}
	if field == "L" {
		return func(d time.Time) bool { return d.AddDate(0, 0, 1).Day() == 1 }, nil
	}
	s, err := parseSet(field, 1, 31, nil)
	return func(d time.Time) bool { return s.has(d.Day()) }, err
}

var weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

// parseWeek reads the day of the week, 1 or SUN to 7 or SAT: 6L is the last
// Friday of the month, 2#1 its first Monday, and L alone Saturday.
func parseWeek(field string) (func(time.Time) bool, error) {
	field = strings.ToUpper(field)
	if anyDay(field) {
		return func(time.Time) bool { return true }, nil
	}
	if nth, which, ok := strings.Cut(field, "#"); ok {
		w, err := number(nth, 1, 7, weekdays)
		if err != nil {
			return nil, err
		}
		n, err := number(which, 1, 5, nil)
		return func(d time.Time) bool { return int(d.Weekday())+1 == w && (d.Day()-1)/7+1 == n }, err
	}
	if text, ok := strings.CutSuffix(field, "L"); ok && text != "" {
		w, err := number(text, 1, 7, weekdays)
		return func(d time.Time) bool { return int(d.Weekday())+1 == w && d.AddDate(0, 0, 7).Month() != d.Month() }, err
	}
	if field == "L" {
		field = "7"
	}
	s, err := parseSet(field, 1, 7, weekdays)
	return func(d time.Time) bool { return s.has(int(d.Weekday()) + 1) }, err
}
