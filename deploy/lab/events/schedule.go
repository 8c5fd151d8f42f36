package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/cron"
)

// schedule is one of a period and a calendar.
type schedule struct {
	every    time.Duration
	calendar *cron.Expression
}

var (
	rate     = regexp.MustCompile(`^rate\(([0-9]+) (minute|hour|day)(s?)\)$`)
	calendar = regexp.MustCompile(`^cron\((.*)\)$`)
	units    = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
)

// parseSchedule reads rate() and cron().
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
func parseSchedule(text string) (*schedule, error) {
	if m := rate.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 32)
		if err != nil || n < 1 || (n == 1) != (m[3] == "") {
			return nil, fmt.Errorf("%q: one minute, hour or day, or several minutes, hours or days", text)
		}
		return &schedule{every: time.Duration(n) * units[m[2]]}, nil
	}
	m := calendar.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("%q is neither rate() nor cron()", text)
	}
	e, err := cron.Parse(m[1])
	if err != nil {
		return nil, err
	}
	if f := strings.Fields(m[1]); (f[2] == "?") == (f[4] == "?") {
		return nil, errors.New("one of day of month and day of week must be ?, and not both")
	}
	return &schedule{calendar: e}, nil
}

// next returns when a schedule is due after a time; the zero time is never. A
// period begins when its rule is made or enabled.
func (s *schedule) next(after time.Time) time.Time {
	if s.calendar != nil {
		return s.calendar.Next(after)
	}
	return after.Add(s.every)
}

// keepSchedules sends the events of schedules when they are due.
func (s *Service) keepSchedules() {
	for s.ctx.Err() == nil {
		woken := s.clock.Woken()
		next := s.fire(s.options.Now())
		s.clock.Wait(s.ctx, woken, next)
	}
}

// fire sends the event of every schedule that is due, once however late it is,
// and returns when the next one is.
func (s *Service) fire(now time.Time) (next time.Time) {
	type due struct {
		id   string
		rule *rule
	}
	var list []due
	s.mu.Lock()
	for name, r := range s.rules {
		if r.schedule == nil || !r.enabled() || r.next.IsZero() {
			continue
		}
		at := r.next
		if !now.Before(at) {
			list = append(list, due{s.uuid(), r})
			changed := *r
			changed.next = r.following(now)
			s.rules[name] = &changed
			at = changed.next
		}
		if next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	s.mu.Unlock()
	for _, d := range list {
		s.sendTo(d.rule.name, d.id, Event{
			Source: "aws.events", DetailType: "Scheduled Event", Time: d.rule.next, Resources: []string{d.rule.arn}, Detail: json.RawMessage("{}"),
		})
	}
	return next
}

// following returns when a schedule that is due now is due again. A period
// keeps its rhythm.
func (r *rule) following(now time.Time) time.Time {
	if every := r.schedule.every; every > 0 {
		return r.next.Add(now.Sub(r.next)/every*every + every)
	}
	return r.schedule.next(now)
}
