package alert

import (
	"regexp"
	"strings"
	"sync"

	"github.com/keytrail/keytrail/audit/line"
)

// lazily compiles a pattern when it is first needed.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// plain makes text from outside fit for one line, see [line.Plain].
func plain(text string, most int) string { return line.Plain(text, most) }

// cut shortens text, see [line.Cut].
func cut(text string, most int) string { return line.Cut(text, most) }

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
