package events

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// What a target is tried for when its retry policy does not say.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
const (
	maxRetries    = 185
	maxAge        = 24 * time.Hour
	maxRetryDelay = 10 * time.Minute // AWS documents none
)

// route hands an event to the targets of every rule that it matches, by name
// of the rule and in the order of its targets.
func (s *Service) route(a arrival) {
	s.mu.Lock()
	rules := maps.Clone(s.rules)
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if r := rules[name]; r.wants(a) {
			for _, t := range r.targets {
				s.attempt(&delivery{rule: r.arn, target: t, arrival: a, input: input(t, a.text)})
			}
		}
	}
}

// input is what a target is given of an event.
func input(t types.Target, event []byte) []byte {
	switch {
	case t.Input != nil:
		return []byte(*t.Input)
	case t.InputPath != nil:
		return at(*t.InputPath, event)
	default:
		return event
	}
}

// at returns the part of an event that a path like $.detail names; null if
// there is none.
func at(path string, event []byte) []byte {
	part := json.RawMessage(event)
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "$"), ".") {
		if name == "" {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(part, &fields) != nil || fields[name] == nil {
			return []byte("null")
		}
		part = fields[name]
	}
	return part
}

// delivery is an event on its way to one target.
type delivery struct {
	arrival
	rule    string
	target  types.Target
	input   []byte
	retries int
}

// attempt hands an event over, and sees to it that it is tried again or ends
// in the dead letter queue.
func (s *Service) attempt(d *delivery) {
	if s.ctx.Err() != nil {
		return
	}
	arn := *d.target.Arn
	err := error(&wire.Error{Code: "AccessDeniedException", Status: http.StatusForbidden,
		Message: "User: events.amazonaws.com is not authorized to access the target " + arn})
	if s.options.MayDeliver(arn, d.rule) {
		err = s.options.Targets[service(arn)](s.ctx, arn, d.rule, d.input)
	}
	if err == nil || s.ctx.Err() != nil {
		return
	}
	code, again := classify(err)
	if !again {
		s.bury(d, code, err, "")
		return
	}
	next := s.options.Now().Add(s.backOff(d.retries))
	retries, age := limits(d.target.RetryPolicy)
	switch {
	case d.retries == retries:
		s.bury(d, code, err, "MaximumRetryAttempts")
	case next.Sub(d.at) > age:
		s.bury(d, code, err, "MaximumEventAgeInSeconds")
	default:
		d.retries++
		s.begin(func() {
			if s.clock.Until(s.ctx, next) == nil {
				s.attempt(d)
			}
		})
	}
}

func limits(p *types.RetryPolicy) (retries int, age time.Duration) {
	retries, age = maxRetries, maxAge
	if p != nil && p.MaximumRetryAttempts != nil {
		retries = int(*p.MaximumRetryAttempts)
	}
	if p != nil && p.MaximumEventAgeInSeconds != nil {
		age = time.Duration(*p.MaximumEventAgeInSeconds) * time.Second
	}
	return retries, age
}

// backOff is how long a target is left alone after so many retries.
func (s *Service) backOff(retries int) time.Duration {
	d := min(s.options.RetryDelay<<min(retries, 20), maxRetryDelay)
	s.mu.Lock()
	defer s.mu.Unlock()
	return d/2 + time.Duration(s.random.Float64()*float64(d/2))
}

// classify returns the code of an error as dead letters have it, and whether
// the target is worth another attempt.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
func classify(err error) (code string, again bool) {
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case !ok:
		return "INTERNAL_ERROR", true
	case strings.HasPrefix(e.Code, "AccessDenied"), e.Code == "AuthorizationError":
		return "NO_PERMISSIONS", false
	case e.Code == "ResourceNotFoundException", e.Code == "NotFound", strings.Contains(e.Code, "NonExistentQueue"), strings.Contains(e.Code, "QueueDoesNotExist"):
		return "NO_RESOURCE", false
	case e.Status == http.StatusTooManyRequests || strings.HasPrefix(e.Code, "Throttling"):
		return "THROTTLING", true
	case e.Status >= http.StatusInternalServerError:
		return "ERROR_FROM_TARGET", true
	default:
		return "SDK_CLIENT_ERROR", false
	}
}

// bury sends an event that could not be handed over to the dead letter queue
// of its target. Without one, or without the right to use it, it is gone.
func (s *Service) bury(d *delivery, code string, err error, exhausted string) {
	if d.target.DeadLetterConfig == nil || s.options.DeadLetter == nil {
		return
	}
	attributes := map[string]string{
		"RULE_ARN": d.rule, "TARGET_ARN": *d.target.Arn, "ERROR_CODE": code, "ERROR_MESSAGE": message(err),
		"RETRY_ATTEMPTS": strconv.Itoa(d.retries),
	}
	if exhausted != "" {
		attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
	}
	_ = s.options.DeadLetter(s.ctx, aws.ToString(d.target.DeadLetterConfig.Arn), d.rule, string(d.text), attributes) // a metric on AWS, and lost
}

func message(err error) string {
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Message != "" {
		return e.Message
	}
	return err.Error()
}

// service returns the service of an ARN.
func service(arn string) string {
	if p := strings.SplitN(arn, ":", 4); len(p) == 4 && p[0] == "arn" {
		return p[2]
	}
	return ""
}
