package alert

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// lazily compiles a pattern when it is first needed.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// terminal is a control sequence of a terminal, whole, so that no half of it is left as text.
var terminal = lazily("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|.)|\u009b[0-?]*[ -/]*[@-~]")

// plain makes text from outside fit for one line: control characters and line ends become spaces; bidi
// overrides and whatever else has no shape of its own are dropped; a cut says how much is missing.
func plain(text string, most int) string {
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
	return cut(strings.Join(strings.Fields(text), " "), most)
}

// cut shortens text to at most so many bytes, between characters, and says how many characters it left out.
func cut(text string, most int) string {
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

// ascii makes text fit for a subject.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// chatWords take the meaning from what Slack and Teams read as mentions, links and markup.
var chatWords = strings.NewReplacer(
	"<", "‹", ">", "›", "&", "＆", "`", "'", "://", ": //", "](", "] (",
	"@here", "@ here", "@channel", "@ channel", "@everyone", "@ everyone",
)

// code makes text from outside fit for chat: a span of code, in which nothing is a mention, a link or markup.
func code(text string) string {
	if text = chatWords.Replace(text); text == "" {
		return ""
	}
	return "`" + text + "`"
}

// safe are texts that mean themselves in any shell, between single quotes, and in a JSON string.
var safe = lazily(`^[A-Za-z0-9_./:@=+,-]{1,1000}$`)
