package alert

import (
	"slices"
	"time"
)

// Status is what a message says of its alert.
type Status string

const (
	Opened   Status = "opened"
	Updated  Status = "updated"  // its hosts, or what is wrong there, changed
	Repeated Status = "repeated" // it still stands, and was last said a while ago
	Unstable Status = "unstable" // it comes and goes; said once, until it settles
	Resolved Status = "resolved"
	silent   Status = ""
)

const (
	// An alert that opens more than maxOpenings times within flapping is unstable until it has stayed as it
	// is for as long.
	maxOpenings = 3
	flapping    = time.Hour
	// Events about a closed alert are recognised as old for so long: EventBridge tries for a day, and a
	// queue keeps for 14 at most.
	remember = 14 * 24 * time.Hour
	// The ids of so many events are kept to recognise one that is delivered again.
	maxEvents = 50
)

// life is one alert as it stands.
type life struct {
	Condition ID     `json:"condition"`
	Scope     string `json:"scope,omitempty"`
	Open      bool   `json:"open"`
	// Since is when it opened, Changed when it last opened or closed, Last the newest sighting of it: all
	// by the sightings' times. Said is when a message was last decided on.
	Since   time.Time `json:"since"`
	Changed time.Time `json:"changed"`
	Last    time.Time `json:"last"`
	Said    time.Time `json:"said"`

	Openings []time.Time `json:"openings,omitempty"` // those within flapping
	Unstable bool        `json:"unstable,omitempty"`
	Times    int         `json:"times"` // sightings of an occurrence since the last message
	Events   []string    `json:"events,omitempty"`
	Digest   string      `json:"digest"`
	// Problem is the newest, for the message that says it is over.
	Problem Problem `json:"problem"`
}

// next returns the alert after a sighting, and what is to be said of it: of a problem, or with nil of its
// absence. It changes nothing that l shares.
func (l life) next(c Condition, p *Problem, at, now time.Time, repeat time.Duration) (life, Status) {
	if c.Once {
		return l.happened(p, at, now, repeat)
	}
	if !at.After(l.Last) {
		return l, silent
	}
	l.Last = at
	changed := false
	if p != nil {
		changed = p.digest() != l.Digest
		l.Digest, l.Problem = p.digest(), p.knowing(l)
	}
	status := silent
	switch {
	case p != nil && !l.Open:
		status = l.open(at)
	case p == nil && l.Open:
		l.Open, l.Changed = false, at
		if !l.Unstable {
			status = Resolved
		}
	case l.Unstable && at.Sub(l.Changed) >= flapping:
		l.Unstable, l.Openings = false, nil
		if status = Updated; p == nil {
			status = Resolved
		}
	case p == nil, l.Unstable && now.Sub(l.Said) < repeat:
	case l.Unstable:
		status = Unstable
	case changed:
		status = Updated
	case now.Sub(l.Said) >= repeat:
		status = Repeated
	}
	if status != silent {
		l.Said = now
	}
	return l, status
}

func (l *life) open(at time.Time) Status {
	was := l.Unstable
	if !was {
		l.Since = at
	}
	l.Open, l.Changed = true, at
	recent := slices.DeleteFunc(slices.Clone(l.Openings), func(o time.Time) bool { return at.Sub(o) >= flapping })
	l.Openings = append(recent, at)
	switch {
	case was:
		return silent
	case len(l.Openings) > maxOpenings:
		l.Unstable = true
		return Unstable
	}
	return Opened
}

// happened is next for occurrences: each event counts once, in whatever order they come, and is said
// unless the last message is younger than the repeat interval.
func (l life) happened(p *Problem, at, now time.Time, repeat time.Duration) (life, Status) {
	if p == nil || slices.Contains(l.Events, p.EventID) || p.EventID == "" && !at.After(l.Last) {
		return l, silent
	}
	if p.EventID != "" {
		l.Events = append(slices.Clone(l.Events), p.EventID)
		l.Events = l.Events[max(0, len(l.Events)-maxEvents):]
	}
	l.Times++
	first, news := l.Since.IsZero(), at.After(l.Last)
	if first {
		l.Since, l.Open = at, true
	}
	if news {
		l.Last, l.Changed, l.Problem = at, at, *p
	}
	switch {
	case first:
		l.Said = now
		return l, Opened
	case news && now.Sub(l.Said) >= repeat:
		l.Said = now
		return l, Repeated
	}
	return l, silent
}

// over says that nothing will be said of the alert any more unless it opens anew.
func (l life) over(now time.Time) bool {
	once := false
	if c, ok := Lookup(l.Condition); ok {
		once = c.Once
	}
	return (once || !l.Open && !l.Unstable) && now.Sub(l.Changed) > remember && now.Sub(l.Said) > remember
}
