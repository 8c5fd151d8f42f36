package host

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// keyLine is a line of an authorized_keys file, as sshd reads it.
type keyLine struct {
	key     ssh.PublicKey
	options string
}

// keyLines returns the keys of a file. Lines that hold none are skipped.
func keyLines(text []byte) []keyLine {
	var all []keyLine
	for line := range bytes.Lines(text) {
		// sshd reads C strings: a NUL ends the line.
		line, _, _ = bytes.Cut(line, []byte{0})
		s := strings.TrimLeft(string(line), " \t")
		if strings.Trim(s, "\n") == "" || s[0] == '#' {
			continue
		}
		if key, ok := bareKey(s); ok {
			all = append(all, keyLine{key: key})
			continue
		}
		end, balanced := optionsEnd(s)
		if !balanced {
			continue
		}
		if key, ok := bareKey(strings.TrimLeft(s[end:], " \t")); ok {
			all = append(all, keyLine{key: key, options: s[:end]})
		}
	}
	return all
}

// bareKey reads "TYPE BASE64" at the start of a line.
func bareKey(s string) (ssh.PublicKey, bool) {
	kind, rest, ok := cutBlank(s)
	if !ok {
		return nil, false
	}
	encoded, _, _ := cutBlank(strings.TrimLeft(rest, " \t"))
	blob, err := base64.StdEncoding.DecodeString(strings.TrimRight(encoded, "\r\n\v\f"))
	if err != nil {
		return nil, false
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil || key.Type() != kind {
		return nil, false
	}
	return key, true
}

func cutBlank(s string) (before, after string, found bool) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// optionsEnd returns where the options of a line end: at the first blank
// outside quotes.
func optionsEnd(s string) (end int, balanced bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			return i, true
		}
	}
	return len(s), !quoted
}

// keyOptions are the options of a key that decide a login.
type keyOptions struct {
	certAuthority bool
	from          string
	principals    string
	command       string
	expires       time.Time
}

// parseOptions reads options as sshauthopt_parse does: names in any case,
// values in double quotes, and any mistake disables the line.
func parseOptions(s string) (o keyOptions, err error) {
	seen := map[string]bool{}
	for s != "" {
		i := strings.IndexAny(s, `=,`)
		if i < 0 {
			i = len(s)
		}
		name := strings.ToLower(s[:i])
		s = s[i:]
		value, quoted := "", strings.HasPrefix(s, "=")
		if quoted {
			if value, s, err = dequote(s[1:]); err != nil {
				return o, err
			}
		}
		if err := o.set(name, value, quoted, seen); err != nil {
			return o, err
		}
		if s == "" {
			break
		}
		if s[0] != ',' {
			return o, errors.New("unknown key option")
		}
		if s = s[1:]; s == "" {
			return o, errors.New("unexpected end-of-options")
		}
	}
	return o, nil
}

func (o *keyOptions) set(name, value string, quoted bool, seen map[string]bool) error {
	if quoted {
		if once := name == "command" || name == "principals" || name == "from"; once && seen[name] {
			return errors.New("multiple " + name + " clauses")
		}
		seen[name] = true
		switch name {
		case "command":
			o.command = value
		case "principals":
			o.principals = value
		case "from":
			o.from = value
		case "expiry-time":
			at, err := parseTime(value)
			if err != nil {
				return errors.New("invalid expires time")
			}
			if o.expires.IsZero() || at.Before(o.expires) {
				o.expires = at
			}
		case "environment":
			if !strings.Contains(value, "=") {
				return errors.New("invalid environment string")
			}
		case "permitopen", "permitlisten", "tunnel":
		default:
			return errors.New("unknown key option")
		}
		return nil
	}
	switch name {
	case "cert-authority":
		o.certAuthority = true
		return nil
	case "restrict":
		return nil
	}
	switch strings.TrimPrefix(name, "no-") {
	case "port-forwarding", "agent-forwarding", "x11-forwarding", "touch-required", "verify-required", "pty", "user-rc":
		return nil
	}
	return errors.New("unknown key option")
}

// dequote reads a value in double quotes, in which \" is a quote.
func dequote(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", errors.New("missing start quote")
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
			b.WriteByte('"')
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("missing end quote")
}

// parseTime reads YYYYMMDD[HHMM[SS]], with a Z behind it or not: the lab's
// hosts keep UTC.
func parseTime(s string) (time.Time, error) {
	s = strings.TrimSuffix(s, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(s) == len(layout) {
			return time.Parse(layout, s)
		}
	}
	return time.Time{}, errors.New("no time")
}
