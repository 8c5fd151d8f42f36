package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClaimsThatAreTrueAreCountedAndSaid(t *testing.T) {
	t.Parallel()
	s, b := paper(80)
	c := claims{screen: s}
	if !c.claim("the sun rises") || !c.claim("and sets") {
		t.Error("a claim without problems is not true")
	}
	if err := c.verdict(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff("   ok  the sun rises\n   ok  and sets\n", b.String()); diff != "" {
		t.Error(diff)
	}
	if got, want := c.summary(), "2 claims checked, all true"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAClaimThatIsNotTrueIsNamedWithItsProblems(t *testing.T) {
	t.Parallel()
	s, b := paper(80)
	c := claims{screen: s}
	c.claim("the sun rises")
	if c.claim("all hosts agree", "web-1 says\x1b[2J no", "2", "3", "4", "5", "6") {
		t.Error("a claim with problems is true")
	}
	err := c.verdict()
	if err == nil {
		t.Fatal("the verdict is good")
	}
	if got, want := err.Error(), "1 of 2 claims not true:\n  all hosts agree"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	want := "" +
		"   ok  the sun rises\n" +
		"   NO  all hosts agree\n" +
		`       web-1 says\x1b[2J no` + "\n" +
		"       2\n       3\n       4\n       and 2 more\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("an escape sequence came through")
	}
}
