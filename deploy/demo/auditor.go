package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/audit/report"
)

// asked is what the command keytrail answered.
type asked struct {
	out  string
	code int
}

// keytrail runs the command as a person would, on the shop or with env nil without AWS, and shows what was typed.
func (s *shop) keytrail(ctx context.Context, env []string, args ...string) (asked, error) {
	s.note("run", "keytrail "+strings.Join(args, " "))
	c := exec.CommandContext(ctx, s.demo.programs.keytrail, args...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.demo.scratch, "NO_PROXY=*"}, env...)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return asked{}, err
	}
	if code := c.ProcessState.ExitCode(); code > 2 {
		return asked{}, fmt.Errorf("keytrail %s: exit code %d: %s", args[0], code, said.String())
	}
	return asked{out.String(), c.ProcessState.ExitCode()}, nil
}

// audited ends the story: the operator asks how things stand, and an auditor, who trusts nobody, takes the evidence
// away, checks it, and reports from it.
func (s *shop) audited(ctx context.Context) error {
	lab := s.demo.lab.Env()
	status, err := s.keytrail(ctx, lab, "status", "--stack", shopStack)
	if err != nil {
		return err
	}
	s.answer(status.out)
	s.find("the operator sees three hosts of three, and no drift", unless(status.code == 0 && strings.Contains(status.out, "3 of 3"), "exit code %d", status.code)...)

	dir := filepath.Join(s.demo.scratch, "audit")
	if _, err := s.keytrail(ctx, lab, "evidence", "export", dir, "--stack", shopStack); err != nil {
		return err
	}
	check, err := s.keytrail(ctx, nil, "evidence", "verify", dir)
	if err != nil {
		return err
	}
	s.answer(check.out)
	s.find("every record is as it was written, and names the one before", unless(check.code == 0, "exit code %d", check.code)...)

	first, err := s.keytrail(ctx, nil, "report", "--from-evidence", dir, "-o", s.demo.report)
	if err != nil {
		return err
	}
	page, err := os.ReadFile(s.demo.report)
	if err != nil {
		return err
	}
	s.note("page", s.demo.report)
	again, err := s.keytrail(ctx, nil, "report", "--from-evidence", dir, "--format", "json")
	if err != nil {
		return err
	}
	r, err := report.ReadJSON(strings.NewReader(again.out))
	if err != nil {
		return err
	}
	s.note("says", clean(r.Summary.Sentence))
	var problems []string
	problems = append(problems, unless(first.code == again.code, "exit codes %d and %d", first.code, again.code)...)
	problems = append(problems, unless(len(r.Faults) == 0, "%d faults", len(r.Faults))...)
	problems = append(problems, unless(bytes.Contains(page, []byte(shopSecret)), "the page does not name the secret")...)
	s.find("the report says the same without AWS", problems...)
	s.find("and tells of each incident, and that it is over", untold(*r)...)
	return nil
}

// answer writes an answer below what was typed.
func (s *shop) answer(text string) {
	s.demo.screen.blank()
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		s.demo.screen.line(strings.TrimRight("   "+strings.TrimSuffix(line, "\n"), " "))
	}
	s.demo.screen.blank()
}

// untold are the incidents of the story that a report does not tell of, or as if they still stood.
func untold(r report.Report) []string {
	var problems []string
	for _, incident := range []struct{ title, control string }{
		{"a key that is gone", "KT-5"}, {"a retired key", "KT-6"}, {"a key that nobody knows", "KT-7"},
		{"a home that others may write", "KT-8"}, {"a rotation that fails", "KT-3"},
	} {
		of := func(f report.Finding) bool { return f.Control == incident.control }
		switch {
		case !slices.ContainsFunc(r.Findings, of):
			problems = append(problems, "no finding tells of "+incident.title)
		case slices.ContainsFunc(r.Findings, func(f report.Finding) bool { return of(f) && f.Status == report.Open }):
			problems = append(problems, incident.title+" still stands")
		}
	}
	return problems
}

// unless is empty if something is so.
func unless(so bool, format string, args ...any) []string {
	if so {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}
