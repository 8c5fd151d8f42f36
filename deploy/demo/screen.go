package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Widths in columns. Prose wider than readable tires the eye; a table narrower
// than narrowest says nothing.
const (
	narrowest = 60
	usual     = 80
	readable  = 92
	margin    = 3
)

// style is an SGR parameter of ECMA-48. Only the eight basic colours are used,
// which every theme keeps legible.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// screen writes to a terminal, where it has colours and one line that changes
// in place, or to anything else, where it has neither. It is not safe for
// concurrent use. The first error of the writer ends all further output.
type screen struct {
	out     io.Writer
	live    bool
	columns func() int
	open    bool        // the last line is a status that the next write replaces
	broken  func(error) // is told of the first error, unless nil
	err     error
}

// newScreen returns a screen on f. It is live if f is a terminal that can move
// its cursor and NO_COLOR is not set.
func newScreen(f *os.File, getenv func(string) string) *screen {
	fd := int(f.Fd())
	live := term.IsTerminal(fd) && getenv("TERM") != "dumb" && getenv("NO_COLOR") == ""
	columns := func() int {
		if n, _, err := term.GetSize(fd); err == nil && n > 0 {
			return n
		}
		if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 {
			return n
		}
		return usual
	}
	return &screen{out: f, live: live, columns: columns}
}

// width returns how many columns a line may have.
func (s *screen) width() int { return max(narrowest, s.columns()) }

// paint gives text a style where there are colours.
func (s *screen) paint(c style, text string) string {
	if !s.live || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[m"
}

// line writes one line as it is.
func (s *screen) line(text string) { s.write(text + "\n") }

// blank writes an empty line.
func (s *screen) blank() { s.line("") }

// status shows text on the line that changes in place; nothing where there is
// none. The next write of any kind replaces it.
func (s *screen) status(text string) {
	if !s.live {
		return
	}
	// The last column stays free: a terminal would wrap there.
	s.write(strings.Repeat(" ", margin) + cut(text, s.width()-margin-1))
	s.open = true
}

// clear removes the status.
func (s *screen) clear() { s.write("") }

func (s *screen) write(text string) {
	if s.open {
		text = "\r\x1b[K" + text
		s.open = false
	}
	if s.err != nil || text == "" {
		return
	}
	if _, s.err = io.WriteString(s.out, text); s.err != nil && s.broken != nil {
		s.broken(s.err)
	}
}

// heading begins an act.
func (s *screen) heading(number int, title string) {
	s.blank()
	s.line(s.paint(bold, fmt.Sprintf("%-*d%s", margin, number, title)))
}

// say writes a paragraph below a heading.
func (s *screen) say(text string) { s.item("", plain, text) }

// item writes a paragraph with a short mark before its first line.
func (s *screen) item(mark string, c style, text string) {
	indent := margin
	if mark != "" {
		indent += utf8.RuneCountInString(mark) + 2
	}
	for i, l := range wrap(text, min(s.width(), readable)-indent) {
		if i == 0 && mark != "" {
			s.line(strings.Repeat(" ", margin) + s.paint(c, mark) + "  " + l)
			continue
		}
		s.line(strings.Repeat(" ", indent) + l)
	}
}

// wrap breaks text at spaces into lines of at most width columns. A word that
// is longer stands on a line of its own.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	return append(lines, line)
}

// cut shortens text to width columns and shows that it did.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	return string([]rune(text)[:width-1]) + "…"
}

// quote writes a text from outside as it stands, cleaned, behind a bar in the
// margin: a mail's 76 columns fit a screen of 80. Lines
// that are too long go on in the next one at spaces, below where they began; a
// word that fits no line is cut.
func (s *screen) quote(text string) {
	bar := " " + s.paint(dim, "|")
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		for _, part := range fold(legible(strings.TrimRight(line, " \n")), min(s.width(), readable)-margin) {
			s.line(strings.TrimRight(bar+" "+part, " "))
		}
	}
}

// fold breaks a line whose indentation means something at spaces, and cuts
// words that are too long for a line.
func fold(line string, width int) []string {
	body := strings.TrimLeft(line, " |")
	indent := line[:len(line)-len(body)]
	room := width - len(indent)
	if utf8.RuneCountInString(body) <= room {
		return []string{line}
	}
	var lines []string
	text, used := "", 0
	for _, word := range strings.Split(body, " ") {
		n := utf8.RuneCountInString(word)
		// A word that is to be cut anyway begins where there is some room.
		if used > 0 && used+1+min(n, room/2) > room {
			lines = append(lines, indent+strings.TrimRight(text, " "))
			text, used = "", 0
		} else if used > 0 {
			text, used = text+" ", used+1
		}
		text = cut(text+word, room)
		used = min(used+n, room)
	}
	return append(lines, indent+text)
}

// marks are the characters beyond ASCII that alerts are made of. None of them
// moves the cursor, or hides or reorders what stands beside it.
const marks = "🔴🟠🟡🔵✅•·…‹›"

// legible is clean for a line that may have marks.
func legible(text string) string {
	var b strings.Builder
	for text != "" {
		i := strings.IndexAny(text, marks)
		if i < 0 {
			i = len(text)
		}
		b.WriteString(clean(text[:i]))
		_, n := utf8.DecodeRuneInString(text[i:])
		b.WriteString(text[i : i+n])
		text = text[i+n:]
	}
	return b.String()
}

// clean makes text from a host, a log or a program fit to print: whatever is
// not a visible ASCII character or a space becomes an escape that shows what
// it was, so that it can neither move the cursor nor hide or reorder what
// stands beside it. It is one line, and each of its runes is one column.
func clean(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case ' ' <= r && r <= '~':
			b.WriteRune(r)
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		text = text[n:]
	}
	return b.String()
}
