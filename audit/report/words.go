package report

import (
	"strconv"
	"strings"
	"time"
)

// number writes 12345 as 12,345.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number and its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// span writes a length of time as people say it: its largest two units.
func span(d time.Duration) string {
	if d < time.Minute {
		return count(int(d/time.Second), "second", "seconds")
	}
	units := [...]struct {
		of        time.Duration
		one, many string
	}{{24 * time.Hour, "day", "days"}, {time.Hour, "hour", "hours"}, {time.Minute, "minute", "minutes"}}
	var parts []string
	for _, u := range units {
		if n := int(d / u.of); n > 0 && len(parts) < 2 {
			parts = append(parts, count(n, u.one, u.many))
			d -= time.Duration(n) * u.of
		} else if len(parts) > 0 {
			break
		}
	}
	return strings.Join(parts, " ")
}

// minute writes a time for people, in UTC.
func minute(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
