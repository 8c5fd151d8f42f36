package secretsmanager

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// The bounds of a schedule:
// docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
const (
	minHours = 4   // between two rotations
	maxDays  = 999 // of a rate; AutomaticallyAfterDays goes to 1000
)

// schedule says when rotation windows open and close. All times are UTC, and
// windows open on the hour.
type schedule struct {
	days   int       // every so many days, from midnight
	hours  int       // or every so many hours, counted from midnight of the day before
	cron   *calendar // or by the calendar
	window time.Duration
}

// newSchedule reads rotation rules. No rules are no schedule, and nil.
func newSchedule(r *types.RotationRulesType) (*schedule, error) {
	if r == nil || *r == (types.RotationRulesType{}) {
		return nil, nil
	}
	s := &schedule{}
	switch {
	case r.AutomaticallyAfterDays != nil && r.ScheduleExpression != nil:
		return nil, badParameter("You can't specify both AutomaticallyAfterDays and ScheduleExpression in RotationRules.") // our words
	case r.AutomaticallyAfterDays != nil:
		if n := *r.AutomaticallyAfterDays; n < 1 || n > 1000 {
			return nil, badParameter("RotationRules.AutomaticallyAfterDays must be within 1-1000.")
		}
		s.days = int(*r.AutomaticallyAfterDays)
	case r.ScheduleExpression != nil:
		if err := s.parse(*r.ScheduleExpression); err != nil {
			return nil, badParameter("Invalid ScheduleExpression: " + err.Error()) // our words
		}
	default:
		return nil, badParameter("A Duration needs AutomaticallyAfterDays or ScheduleExpression.") // our words
	}
	if err := s.setWindow(r.Duration); err != nil {
		return nil, badParameter("Invalid Duration: " + err.Error()) // our words
	}
	return s, nil
}

var (
	rateExpression = regexp.MustCompile(`^rate\((\d{1,5}) (hours?|days?)\)$`)
	cronExpression = regexp.MustCompile(`^cron\((.*)\)$`)
	duration       = regexp.MustCompile(`^\d{1,2}h$`)
)

func (s *schedule) parse(expression string) (err error) {
	if m := rateExpression.FindStringSubmatch(expression); m != nil {
		n, _ := strconv.Atoi(m[1]) // at most five digits
		if strings.HasPrefix(m[2], "hour") {
			s.hours = n
		} else {
			s.days = n
		}
		if s.hours > 0 && s.hours < minHours || s.hours > 24*maxDays || s.days > maxDays || n == 0 {
			return fmt.Errorf("%s is not between %d hours and %d days", expression, minHours, maxDays)
		}
		return nil
	}
	if m := cronExpression.FindStringSubmatch(expression); m != nil {
		s.cron, err = newCalendar(m[1])
		return err
	}
	return fmt.Errorf("%s is neither rate() nor cron()", expression)
}

// setWindow sets how long windows stay open. They may reach neither the next
// one nor the next day; 0 is the default: an hour for a schedule in hours,
// else to the end of the day.
func (s *schedule) setWindow(text *string) error {
	if text == nil {
		return nil
	}
	if !duration.MatchString(*text) {
		return fmt.Errorf("%q does not match [0-9]+h", *text)
	}
	n, _ := strconv.Atoi(strings.TrimSuffix(*text, "h")) // at most two digits
	most := 24
	switch {
	case s.hours > 0:
		most = min(s.hours, 24)
	case s.cron != nil:
		most = s.cron.longest()
	}
	if n < 1 || n > most {
		return fmt.Errorf("%s reaches into the next window or the next day: at most %dh", *text, most)
	}
	s.window = time.Duration(n) * time.Hour
	return nil
}

// next returns the first window that opens after a rotation at last.
func (s *schedule) next(last time.Time) (opens, closes time.Time) {
	last = last.UTC()
	inHours := s.hours > 0
	switch {
	case s.cron != nil:
		opens, inHours = s.cron.next(last), s.cron.many()
	case s.hours > 0:
		every := time.Duration(s.hours) * time.Hour
		opens = day(last).Add(every * (last.Sub(day(last))/every + 1))
	default:
		opens = day(last).AddDate(0, 0, s.days)
	}
	switch {
	case s.window > 0:
		closes = opens.Add(s.window)
	case inHours:
		closes = opens.Add(time.Hour)
	default:
		closes = day(opens).AddDate(0, 0, 1).Add(-time.Second)
	}
	return opens, closes
}

// reschedule sets the next window after a rotation, by whomever. A schedule by
// expression shows in AutomaticallyAfterDays how far it is.
func (r *rotation) reschedule(now time.Time) {
	rules := r.Rules
	if rules.ScheduleExpression != nil {
		rules.AutomaticallyAfterDays = nil
	}
	s, err := newSchedule(&rules)
	if err != nil || s == nil { // rules are checked before they are stored
		r.Opens, r.Closes = time.Time{}, time.Time{}
		return
	}
	r.Opens, r.Closes = s.next(now)
	if rules.ScheduleExpression != nil {
		const whole = 24 * time.Hour
		days := int64((r.Opens.Sub(day(now)) + whole - 1) / whole)
		r.Rules.AutomaticallyAfterDays = &days
	}
}
