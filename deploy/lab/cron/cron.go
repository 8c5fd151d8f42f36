// Package cron reads the cron expressions of AWS and finds when they are next
// due, in UTC. Which of them a service takes is the service's business.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html
package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Years that an expression may name.
const (
	firstYear = 1970
	lastYear  = 2199
)

// Set is a set of numbers from 0 to 63, a bit each.
type Set uint64

// Has reports whether a number is in the set.
func (s Set) Has(n int) bool { return s>>n&1 == 1 }

// Len returns how many numbers are in the set.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// First returns the least number of a set that has any.
func (s Set) First() int { return bits.TrailingZeros64(uint64(s)) }

// Last returns the greatest number of a set that has any.
func (s Set) Last() int { return 63 - bits.LeadingZeros64(uint64(s)) }

// Expression is what stands between the brackets of cron(): Minutes Hours
// Day-of-month Month Day-of-week Year. Make it with [Parse].
type Expression struct {
	Minutes, Hours Set

	months Set
	date   func(time.Time) bool // day of the month
	week   func(time.Time) bool // day of the week
	years  func(int) bool
}

// Parse reads an expression.
func Parse(text string) (*Expression, error) {
	f := strings.Fields(text)
	if len(f) != 6 {
		return nil, fmt.Errorf("cron needs 6 fields, not %d", len(f))
	}
	e := &Expression{}
	var err error
	if e.Minutes, err = parseSet(f[0], 0, 59, nil); err != nil {
		return nil, err
	}
	if e.Hours, err = parseSet(f[1], 0, 23, nil); err != nil {
		return nil, err
	}
	if e.date, err = parseDate(f[2]); err != nil {
		return nil, err
	}
	if e.months, err = parseSet(f[3], 1, 12, months); err != nil {
		return nil, err
	}
	if e.week, err = parseWeek(f[4]); err != nil {
		return nil, err
	}
	if e.years, err = parseYears(f[5]); err != nil {
		return nil, err
	}
	return e, nil
}

// Next returns the first minute after a time that the expression names; the
// zero time if there is none.
func (e *Expression) Next(after time.Time) time.Time {
	after = after.UTC()
	day := time.Date(after.Year(), after.Month(), after.Day(), 0, 0, 0, 0, time.UTC)
	for day.Year() <= lastYear {
		switch {
		case !e.years(day.Year()):
			day = time.Date(day.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
			continue
		case e.months.Has(int(day.Month())) && e.date(day) && e.week(day):
			if t := e.within(day, after); !t.IsZero() {
				return t
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// within returns the first minute of a day that comes after a time.
func (e *Expression) within(day, after time.Time) time.Time {
	for h := range 24 {
		for m := range 60 {
			t := day.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
			if e.Hours.Has(h) && e.Minutes.Has(m) && t.After(after) {
				return t
			}
		}
	}
	return time.Time{}
}

var (
	months   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

// parseSet reads a field of numbers below 64.
func parseSet(field string, least, most int, names []string) (Set, error) {
	var s Set
	err := parseList(field, least, most, names, func(n int) { s |= 1 << n })
	return s, err
}

// parseList reads lists, ranges and steps: 1,3-5,8/2,*/4,/4.
func parseList(field string, least, most int, names []string, add func(int)) error {
	for part := range strings.SplitSeq(strings.ToUpper(field), ",") {
		span, step, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			n, err := strconv.Atoi(step)
			if err != nil || n < 1 {
				return fmt.Errorf("%q has no step", field)
			}
			by = n
		}
		from, to := least, most
		if span != "*" && (span != "" || !stepped) {
			low, high, ranged := strings.Cut(span, "-")
			var err error
			if from, err = number(low, least, most, names); err != nil {
				return err
			}
			switch {
			case ranged:
				if to, err = number(high, least, most, names); err != nil {
					return err
				}
			case !stepped:
				to = from
			}
		}
		if from > to {
			return fmt.Errorf("%q runs backwards", field)
		}
		for n := from; n <= to; n += by {
			add(n)
		}
	}
	return nil
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

func anyDay(field string) bool { return field == "?" || field == "*" }

// parseDate reads the day of the month; L is the last one, 3W the weekday that
// is nearest to the third.
func parseDate(field string) (func(time.Time) bool, error) {
	if anyDay(field) {
		return func(time.Time) bool { return true }, nil
	}
	if field == "L" {
		return func(d time.Time) bool { return d.AddDate(0, 0, 1).Day() == 1 }, nil
	}
	if text, ok := strings.CutSuffix(field, "W"); ok {
		n, err := number(text, 1, 31, nil)
		return func(d time.Time) bool { return d.Day() == nearestWeekday(d, n) }, err
	}
	s, err := parseSet(field, 1, 31, nil)
	return func(d time.Time) bool { return s.Has(d.Day()) }, err
}

// nearestWeekday returns the day, in the month of d, from Monday to Friday that
// is nearest to the nth; 0 where the month has no nth.
func nearestWeekday(d time.Time, n int) int {
	last := time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if n > last {
		return 0
	}
	switch time.Date(d.Year(), d.Month(), n, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if n == 1 {
			return 3
		}
		return n - 1
	case time.Sunday:
		if n == last {
			return n - 2
		}
		return n + 1
	default:
		return n
	}
}

// parseWeek reads the day of the week, 1 or SUN to 7 or SAT: 6L is the last
// Friday of the month, 2#1 its first Monday, and L alone Saturday.
func parseWeek(field string) (func(time.Time) bool, error) {
	field = strings.ToUpper(field)
	if anyDay(field) {
		return func(time.Time) bool { return true }, nil
	}
	if day, which, ok := strings.Cut(field, "#"); ok {
		w, err := number(day, 1, 7, weekdays)
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
	return func(d time.Time) bool { return s.Has(int(d.Weekday()) + 1) }, err
}

func parseYears(field string) (func(int) bool, error) {
	if field == "*" {
		return func(int) bool { return true }, nil
	}
	years := map[int]bool{}
	err := parseList(field, firstYear, lastYear, nil, func(n int) { years[n] = true })
	return func(n int) bool { return years[n] }, err
}
