package sshkey

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted hides the struct that embeds it: fmt with every verb, slog, JSON
// and every encoder of text see the one word. The other fields of that struct
// must be functions: fmt calls no methods on a value that it reaches through
// an unexported field but prints it, and under a verb that does not fit, such
// as %z, it prints even what a pointer points to.
type Redacted struct{}

const redaction = "[redacted]"

// Format writes "[redacted]" for every verb and flag.
func (Redacted) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redaction) }

// LogValue logs "[redacted]".
func (Redacted) LogValue() slog.Value { return slog.StringValue(redaction) }

// MarshalJSON encodes "[redacted]".
func (Redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redaction + `"`), nil }

// MarshalText encodes "[redacted]".
func (Redacted) MarshalText() ([]byte, error) { return []byte(redaction), nil }
