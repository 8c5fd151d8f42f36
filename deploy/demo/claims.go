package main

import (
	"fmt"
	"strings"
)

// claims counts what the demo says and keeps what is not so.
type claims struct {
	screen  *screen
	checked int
	untrue  []string
}

// most problems that one claim shows; more say the same.
const mostProblems = 4

// claim says a sentence and whether it is true: it is if there is no problem.
// The problems are printed below it, cleaned.
func (c *claims) claim(sentence string, problems ...string) bool {
	c.checked++
	if len(problems) == 0 {
		c.screen.item("ok", green, sentence)
		return true
	}
	c.untrue = append(c.untrue, sentence)
	c.screen.item("NO", red, sentence)
	for i, p := range problems {
		if i == mostProblems {
			c.screen.item("  ", plain, fmt.Sprintf("and %d more", len(problems)-i))
			break
		}
		c.screen.item("  ", plain, clean(p))
	}
	return false
}

// verdict returns an error that names every claim that is not true, or nil.
func (c *claims) verdict() error {
	if len(c.untrue) == 0 {
		return nil
	}
	return untrueError{c.checked, c.untrue}
}

// summary is the last line of a demo that went through.
func (c *claims) summary() string {
	return fmt.Sprintf("%d claims checked, all true", c.checked)
}

// untrueError says which claims are not true.
type untrueError struct {
	checked int
	untrue  []string
}

func (e untrueError) Error() string {
	return fmt.Sprintf("%d of %d claims not true:\n  %s", len(e.untrue), e.checked, strings.Join(e.untrue, "\n  "))
}
