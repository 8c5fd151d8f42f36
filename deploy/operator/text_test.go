package operator

import (
	"encoding/json"
	"testing"
	"time"
	"unicode"
)

// hostile has what would move the cursor, colour, reorder, hide or end a line.
const hostile = "a\x1b[2Jb\x00c\u009b31md\u202ee\u2066f\u200bg\nh\ri\tj\u2028k\ufe0fl\xffm"

func TestNothingFromOutsideSteersATerminal(t *testing.T) {
	t.Parallel()
	for _, r := range clean(hostile) {
		if r != ' ' && !unicode.IsPrint(r) {
			t.Errorf("%U is left in %q", r, clean(hostile))
		}
	}
	if got := clean("naïve 鍵 🔑"); got != "naïve 鍵 🔑" {
		t.Errorf("%q", got)
	}
}

func TestJSONStaysTheSameAndSteersNoTerminal(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(hostile + "\U000e0041")
	if err != nil {
		t.Fatal(err)
	}
	var before, after string
	if err := json.Unmarshal(text, &before); err != nil {
		t.Fatal(err)
	}
	escaped := harmless(text)
	if err := json.Unmarshal(escaped, &after); err != nil || before != after {
		t.Errorf("%q became %q (%v)", before, after, err)
	}
	for _, r := range string(escaped) {
		if r > '~' && r != unicode.ReplacementChar {
			t.Errorf("%U is left in %s", r, escaped)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 47 * time.Hour: "47h", 48 * time.Hour: "2d", -90 * time.Minute: "-1h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}
