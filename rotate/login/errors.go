package login

import (
	"errors"
	"strings"
	"unicode"
)

// The reasons why a login proves nothing. They exclude one another.
var (
	// ErrRefused: a pinned host said no to the key, or wants more than the key.
	ErrRefused = errors.New("server refused the key")
	// ErrHostKey: an address answers, but shows no pinned host key.
	ErrHostKey = errors.New("host key is not pinned")
	// ErrUnreachable: no address answered whether the key is accepted. A
	// connection that was dropped is no refusal.
	ErrUnreachable = errors.New("no answer from the host")
	// ErrOpen: the server lets the user in without any key, so that a login
	// says nothing about this one.
	ErrOpen = errors.New("server asked for no key")
)

// failure is one reason, and what is behind it at each address.
type failure struct {
	reason error
	causes []error
}

func fail(reason, cause error) *failure {
	return &failure{reason: reason, causes: []error{cause}}
}

// join makes one failure of those of all addresses. A host key that is not
// pinned outweighs the silence of another address.
func join(all []*failure) *failure {
	joined := &failure{reason: ErrUnreachable}
	for _, f := range all {
		joined.causes = append(joined.causes, f.causes...)
		if f.reason == ErrHostKey {
			joined.reason = ErrHostKey
		}
	}
	return joined
}

// Error is one line: servers have their word in it.
func (f *failure) Error() string {
	texts := make([]string, len(f.causes))
	for i, c := range f.causes {
		texts[i] = printable(c.Error())
	}
	return f.reason.Error() + ": " + strings.Join(texts, "; ")
}

func (f *failure) Unwrap() []error { return append([]error{f.reason}, f.causes...) }

// maxCause keeps a talkative server from filling a log: 300 characters hold
// two fingerprints and the longest error of package net.
const maxCause = 300

// printable replaces what a terminal or a log would take for more than text.
func printable(s string) string {
	r := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s))
	if len(r) > maxCause {
		r = append(r[:maxCause-1], '…')
	}
	return string(r)
}
