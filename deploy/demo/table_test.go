package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func hosts() table {
	t := table{head: []column{{title: "host", least: 6}, {title: "name"}, {title: "keys", right: true}, {title: "note", least: 8}}}
	t.add(cell{"i-0123456789abcdef0", plain}, cell{"web-1", bold}, cell{"2", plain}, cell{"", plain})
	t.add(cell{"i-0fedcba9876543210", plain}, cell{"db", plain}, cell{"12", plain}, cell{"something that is said at length", yellow})
	return t
}

func TestATableIsAsWideAsItsCells(t *testing.T) {
	t.Parallel()
	s, b := paper(120)
	s.show(hosts())
	want := "" +
		"   host                 name   keys  note\n" +
		"   i-0123456789abcdef0  web-1     2\n" +
		"   i-0fedcba9876543210  db       12  something that is said at length\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOnANarrowScreenTheWidestColumnGivesWay(t *testing.T) {
	t.Parallel()
	s, b := paper(60)
	s.show(hosts())
	want := "" +
		"   host                 name   keys  note\n" +
		"   i-0123456789abcdef0  web-1     2\n" +
		"   i-0fedcba9876543210  db       12  something that is said…\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestColumnsNeverShrinkBelowTheirLeast(t *testing.T) {
	t.Parallel()
	table := hosts()
	if diff := cmp.Diff([]int{6, 5, 4, 8}, table.widths(1)); diff != "" {
		t.Error(diff)
	}
}

func TestColoursDoNotChangeTheColumns(t *testing.T) {
	t.Parallel()
	onPaper, p := paper(70)
	onPaper.show(hosts())
	onGlass, g := glass(70)
	onGlass.show(hosts())
	stripped := g.String()
	for _, c := range []style{dim, bold, yellow} {
		stripped = strings.ReplaceAll(stripped, "\x1b["+string(c)+"m", "")
	}
	stripped = strings.ReplaceAll(stripped, "\x1b[m", "")
	if diff := cmp.Diff(p.String(), stripped); diff != "" {
		t.Error(diff)
	}
	for l := range strings.Lines(p.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 70 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
}
