package ssm

import (
	"strings"
	"unicode/utf8"
)

// Limits of output, in bytes, and the agent's marks of a cut. The agent counts
// bytes; what it cuts through becomes U+FFFD on its way.
const (
	listingLimit = 2500  // CommandPlugin.Output: both streams together
	stdoutLimit  = 24000 // GetCommandInvocation
	stderrLimit  = 8000

	cutMark       = "--output truncated--"
	listingError  = "\n----------ERROR-------\n"
	listingOutCut = "\n---Output truncated---"
	listingErrCut = "\n---Error truncated----"
)

// cut shortens what GetCommandInvocation returns of a stream. A text that is
// exactly as long as the limit counts as too long, as with the agent.
func cut(text string, limit int) string {
	if len(text) < limit {
		return strings.ToValidUTF8(text, string(utf8.RuneError))
	}
	return strings.ToValidUTF8(text[:limit-len(cutMark)], string(utf8.RuneError)) + cutMark
}

// listing is what ListCommandInvocations returns of both streams. Whatever is
// written to stderr takes room from stdout.
func listing(stdout, stderr string) string {
	title := ""
	if stderr != "" {
		title = listingError
	}
	room := listingLimit - len(title)
	var text string
	switch {
	case len(stdout)+len(stderr) < room:
		text = stdout + title + stderr
	case len(stdout) > room/2 && len(stderr) > room/2:
		half := (room - len(listingOutCut) - len(listingErrCut)) / 2
		text = stdout[:half] + listingOutCut + title + stderr[:half] + listingErrCut
	case len(stdout) <= room/2:
		text = stdout + title + stderr[:room-len(listingErrCut)-len(stdout)] + listingErrCut
	default:
		text = stdout[:room-len(listingOutCut)-len(stderr)] + listingOutCut + title + stderr
	}
	return strings.ToValidUTF8(text, string(utf8.RuneError))
}
