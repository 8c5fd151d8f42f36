package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A step of a rotation, as people are told of it.
type step struct {
	name  string
	doing string // while it runs
	done  string // when it ended well
	asks  bool   // whether hosts are asked
}

var steps = []step{
	{"createSecret", "making a key pair", "a new key pair waits as " + pending, false},
	{"setSecret", "adding the public key", "the public key is on every host", true},
	{"testSecret", "logging in with the new key", "the function logged in everywhere", true},
	{"finishSecret", "moving " + current + ", removing older keys", current + " moved, older keys gone", true},
}

// A rotation is one rotation, watched to its end.
type rotation struct {
	version string
	ended   []entry // the steps that ended, in order; the last one may have failed
	failed  []entry // the hosts that were not ok in the failed step
}

// succeeded returns the steps that ended well.
func (r rotation) succeeded() []string {
	var names []string
	for _, e := range r.ended {
		if e.Message == stepDone {
			names = append(names, e.Step)
		}
	}
	return names
}

// problems is empty if all four steps ended well, in order.
func (r rotation) problems() []string {
	var want []string
	for _, s := range steps {
		want = append(want, s.name)
	}
	if got := r.succeeded(); !slices.Equal(got, want) {
		p := []string{fmt.Sprintf("steps that ended well: %v", got)}
		for _, e := range r.ended {
			if e.Message == stepFailed {
				p = append(p, e.Step+": "+e.Error)
			}
		}
		return p
	}
	return nil
}

// pollEvery is how often a running rotation is looked at. What is polled is
// in this process, so it costs little.
const pollEvery = 25 * time.Millisecond

// rotationLimit bounds a rotation; one takes seconds, and more where the machine
// has other things to do.
const rotationLimit = 3 * time.Minute

// rotate starts a rotation and watches it.
func (d *demo) rotate(ctx context.Context, start func() (version string, err error)) (rotation, error) {
	p, err := d.aws.progress(ctx)
	if err != nil {
		return rotation{}, err
	}
	since := time.Now()
	version, err := start()
	if err != nil {
		return rotation{}, err
	}
	r, err := d.watch(ctx, version, since, p.commands)
	d.screen.clear()
	d.screen.blank()
	return r, err
}

// watch follows the rotation of a version that began at a moment, after a
// number of commands, and writes a line for each step.
func (d *demo) watch(ctx context.Context, version string, since time.Time, before int) (rotation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, rotationLimit, fmt.Errorf("the rotation did not end within %s", rotationLimit))
	defer cancel()
	over := make(chan struct{})
	go func() {
		d.lab.Secrets().Wait() // ends with the lab at the latest
		close(over)
	}()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	r := rotation{version: version}
	for {
		select {
		case <-over:
			return r, d.follow(&r, since)
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-tick.C:
		}
		if err := d.follow(&r, since); err != nil {
			return r, err
		}
		if err := d.showProgress(ctx, r, before); err != nil {
			return r, err
		}
	}
}

// follow reads the function's log and shows the steps that have ended since
// it was read last.
func (d *demo) follow(r *rotation, since time.Time) error {
	text, err := d.lab.Lambda().Logs(functionName)
	if err != nil {
		return err
	}
	entries := parseLog(text, r.version, since)
	r.failed = filter(entries, hostNotOK)
	ended := filter(entries, stepDone, stepFailed)
	for _, e := range ended[len(r.ended):] {
		d.showEnd(e)
	}
	r.ended = ended
	return nil
}

// filter returns the entries with one of these messages.
func filter(entries []entry, messages ...string) []entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return !slices.Contains(messages, e.Message) })
}

// showEnd writes the line of a step that ended.
func (d *demo) showEnd(e entry) {
	i := slices.IndexFunc(steps, func(s step) bool { return s.name == e.Step })
	if i < 0 {
		d.screen.say(clean(e.Step))
		return
	}
	s := steps[i]
	text, style := s.done, plain
	switch {
	case e.Message != stepDone:
		text, style = "failed", red
	case e.Step == steps[0].name && e.Note != "":
		text = "the pending key pair is taken up"
	}
	count := ""
	if s.asks {
		ok, all := e.accounts()
		count = fmt.Sprintf("%d of %d accounts", ok, all)
	}
	d.screen.line(fmt.Sprintf("%*s%-12s  %s  %17s  %s", margin, "", s.name,
		d.screen.paint(dim, fmt.Sprintf("%5.2f s", e.Seconds)), count, d.screen.paint(style, text)))
}

// showProgress shows the step that runs and how many hosts have answered.
// Each step that asks hosts sends one command to all of them.
func (d *demo) showProgress(ctx context.Context, r rotation, before int) error {
	ended := len(r.succeeded())
	if !d.screen.live || ended == len(steps) || ended < len(r.ended) {
		return nil
	}
	s := steps[ended]
	text := fmt.Sprintf("%-12s  %s", s.name, s.doing)
	if s.asks {
		p, err := d.aws.progress(ctx)
		if err != nil {
			return err
		}
		if p.commands-before < ended { // its own command is not sent yet
			p.done = 0
		}
		all := len(d.fleet)
		text = fmt.Sprintf("%-12s  %s  %2d of %d hosts  %s", s.name, bar(p.done, all), p.done, all, s.doing)
	}
	d.screen.status(text)
	return nil
}

// bar draws one mark for each of all, filled for those that are done.
func bar(done, all int) string {
	done = min(done, all)
	return strings.Repeat("■", done) + strings.Repeat("·", all-done)
}
