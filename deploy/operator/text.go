package operator

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/keytrail/keytrail/audit/line"
)

// clean makes text from outside fit for a line of a terminal: nothing in it moves the cursor, colours, reorders
// or hides anything.
func clean(text string) string {
	const most = 100_000 // bytes, which no message of AWS has
	return line.Plain(text, most)
}

// harmless escapes what a terminal would obey or not show in a JSON text, which stays the same JSON.
func harmless(text []byte) []byte {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r == '\n', unicode.IsGraphic(r) && !unicode.Is(unicode.Variation_Selector, r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}

// span says how long in the one unit that matters.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d/time.Hour))
	}
	return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
}

// ago says how long before now a time was, "-" when it is not known.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t)) + " ago"
}

// moment is a time as people read it, in UTC.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// plural counts things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// short is the start of an id that people tell apart by it.
func short(id string) string { return id[:min(8, len(id))] }
