package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// paper returns a screen of a width that is no terminal, and what it shows.
func paper(columns int) (*screen, *bytes.Buffer) {
	var b bytes.Buffer
	return &screen{out: &b, columns: func() int { return columns }}, &b
}

// glass returns a screen like a terminal.
func glass(columns int) (*screen, *bytes.Buffer) {
	s, b := paper(columns)
	s.live = true
	return s, b
}

func TestWithoutATerminalThereIsNeitherColourNorStatus(t *testing.T) {
	t.Parallel()
	s, b := paper(80)
	s.heading(1, "The fleet")
	s.status("3 of 12 hosts")
	s.item("ok", green, "done")
	want := "\n1  The fleet\n   ok  done\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAStatusIsReplacedByWhatComesNext(t *testing.T) {
	t.Parallel()
	s, b := glass(80)
	s.status("3 of 12 hosts")
	s.status("12 of 12 hosts")
	s.line("done")
	s.line("more")
	want := "   3 of 12 hosts\r\x1b[K   12 of 12 hosts\r\x1b[Kdone\nmore\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAStatusNeverReachesTheLastColumn(t *testing.T) {
	t.Parallel()
	s, b := glass(narrowest)
	s.status(strings.Repeat("x", 200))
	if got := len([]rune(b.String())); got != narrowest-1 {
		t.Errorf("%d columns of %d", got, narrowest)
	}
}

func TestParagraphsKeepToTheScreenAndToWhatIsReadable(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("words of some length and others ", 12)
	for _, row := range []struct{ columns, want int }{{60, 60}, {80, 80}, {200, readable}, {10, narrowest}} {
		s, b := paper(row.columns)
		s.item("ok", green, text)
		longest := 0
		for i, l := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
			longest = max(longest, len(l))
			if indent := "       "; i > 0 && (!strings.HasPrefix(l, indent) || l[len(indent)] == ' ') {
				t.Errorf("at %d columns, line %d is not below the text: %q", row.columns, i, l)
			}
		}
		if longest > row.want || longest < row.want-10 {
			t.Errorf("at %d columns the longest line has %d", row.columns, longest)
		}
	}
}

func TestWordsThatAreTooLongStandAlone(t *testing.T) {
	t.Parallel()
	got := wrap("a bb cccccccc d", 4)
	if diff := cmp.Diff([]string{"a bb", "cccccccc", "d"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCleanTextCannotMoveTheCursorNorHide(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, in, want string }{
		{"plain text stays", `deploy@web-1: "no"`, `deploy@web-1: "no"`},
		{"escape sequences are shown", "\x1b[31mred\x1b[m", `\x1b[31mred\x1b[m`},
		{"line ends and tabs are shown", "a\r\nb\tc", `a\r\nb\tc`},
		{"text that would reorder is shown", "user\u202eecila", `user\u202eecila`},
		{"letters beyond ASCII are shown", "é\U0001f600", `\u00e9\U0001f600`},
		{"bytes that are no text are shown", "\xff\xc3(", `\xff\xc3(`},
		{"control characters of the second set are shown", "\u009b2J", `\u009b2J`},
		{"a replacement character is not taken for a bad byte", "\ufffd", `\ufffd`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := clean(row.in); got != row.want {
				t.Errorf("clean(%q) = %s, want %s", row.in, got, row.want)
			}
		})
	}
}

func TestMarksOfAlertsStayLegible(t *testing.T) {
	t.Parallel()
	in := "🔴 CRITICAL: live key missing · \x1b[2J‹x› é•"
	want := `🔴 CRITICAL: live key missing · \x1b[2J‹x› \u00e9•`
	if got := legible(in); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAQuoteKeepsItsLinesAndItsIndentation(t *testing.T) {
	t.Parallel()
	s, b := paper(60)
	s.quote("Where\n  deploy on i-1: missing, the key is in no file that sshd of this host reads\n\n" +
		"  Log      https://example.com/" + strings.Repeat("x", 80) + "\n" +
		"    | a reply \x1b[2J that is said at some length, so that it goes on below\n\n")
	want := "" +
		" | Where\n" +
		" |   deploy on i-1: missing, the key is in no file that sshd\n" +
		" |   of this host reads\n" +
		" |\n" +
		" |   Log      https://example.com/xxxxxxxxxxxxxxxxxxxxxxxxx…\n" +
		" |     | a reply \\x1b[2J that is said at some length, so\n" +
		" |     | that it goes on below\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAMailFitsAScreenAsItIs(t *testing.T) {
	t.Parallel()
	s, b := paper(usual)
	line := strings.Repeat("x", 37) + " " + strings.Repeat("y", 38) // 76 columns
	s.quote(line)
	if got := b.String(); got != " | "+line+"\n" {
		t.Errorf("%q", got)
	}
}

func TestAWordThatIsCutBeginsWhereThereIsRoom(t *testing.T) {
	t.Parallel()
	got := fold("  run this --payload "+strings.Repeat("x", 40)+" now", 22)
	if diff := cmp.Diff([]string{"  run this --payload", "  xxxxxxxxxxxxxxxxxxx…", "  now"}, got); diff != "" {
		t.Error(diff)
	}
}

type closedPipe struct{ writes int }

func (p *closedPipe) Write([]byte) (int, error) {
	p.writes++
	return 0, errors.New("broken pipe")
}

func TestAfterAWriteErrorNothingMoreIsWritten(t *testing.T) {
	t.Parallel()
	var p closedPipe
	s := &screen{out: &p, columns: func() int { return 80 }}
	s.line("one")
	s.line("two")
	if p.writes != 1 || s.err == nil {
		t.Errorf("%d writes, error %v", p.writes, s.err)
	}
}
