// Package line makes text from outside fit for one line that a person reads. What a page, a cell or a shell needs
// beyond that stands where it is written.
package line

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// terminal is a control sequence of a terminal, whole, so that no half of it is left as text.
var terminal = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|.)|\u009b[0-?]*[ -/]*[@-~]")
})

// Plain makes text from outside fit for one line: control characters and line ends become spaces; bidi
// overrides and whatever else has no shape of its own are dropped; a cut says how much is missing.
func Plain(text string, most int) string {
	if clean(text) {
		return Cut(text, most)
	}
	text = strings.ToValidUTF8(text, "\ufffd")
	if strings.ContainsRune(text, '\x1b') || strings.ContainsRune(text, '\u009b') {
		text = terminal().ReplaceAllString(text, "")
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Variation_Selector, r):
			return -1
		}
		return r
	}, text)
	return Cut(strings.Join(strings.Fields(text), " "), most)
}

// clean reports whether text is of printable ASCII without a space to spare, as nearly all is.
func clean(text string) bool {
	before := byte(' ')
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || c == ' ' && before == ' ' {
			return false
		}
		before = c
	}
	return before != ' ' || text == ""
}

// Cut shortens text to at most so many bytes, between characters, and says how many characters it left out.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const room = len(" … (1234567 more characters)")
	n := max(0, most-room)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return fmt.Sprintf("%s … (%d more characters)", strings.TrimRight(text[:n], " "), utf8.RuneCountInString(text[n:]))
}
