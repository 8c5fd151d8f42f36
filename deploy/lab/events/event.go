package events

import (
	"encoding/json"
	"time"
)

// Event is something that happened in an AWS service.
type Event struct {
	Source     string // aws.secretsmanager
	DetailType string // AWS Service Event via CloudTrail
	Time       time.Time
	Resources  []string
	Detail     json.RawMessage // a JSON object
	// Reads is a management event of CloudTrail that changed nothing: only
	// rules in the state ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS see it.
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail-management.html
	Reads bool
}

// Publish puts an event of an AWS service on the bus. It does not wait for
// anything to be delivered.
func (s *Service) Publish(e Event) {
	s.mu.Lock()
	lost := s.random.Float64() < s.options.Loss
	id := s.uuid()
	s.mu.Unlock()
	if !lost {
		s.send(id, e)
	}
}

// envelope is the form that every event has.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/aws-events.html
type envelope struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// arrival is an event in its envelope, at the bus.
type arrival struct {
	text  []byte
	at    time.Time
	reads bool
	rule  string // the name of the one rule that it is for, "" for all
}

// send puts an event into its envelope and on its way.
func (s *Service) send(id string, e Event) { s.sendTo("", id, e) }

// sendTo is send for the rule of a schedule.
func (s *Service) sendTo(rule, id string, e Event) {
	if e.Resources == nil {
		e.Resources = []string{}
	}
	text, err := json.Marshal(envelope{
		Version: "0", ID: id, DetailType: e.DetailType, Source: e.Source, Account: s.options.Account,
		Time: e.Time.UTC().Format("2006-01-02T15:04:05Z"), Region: s.options.Region, Resources: e.Resources, Detail: e.Detail,
	})
	if err != nil {
		return // a detail that is no JSON: nobody could be sent it
	}
	a := arrival{text: text, at: s.options.Now(), reads: e.Reads, rule: rule}
	s.mu.Lock()
	times, delays := 1, []time.Duration{s.delay(), s.delay()}
	if s.random.Float64() < s.options.Duplicates {
		times = 2
	}
	s.mu.Unlock()
	for _, d := range delays[:times] {
		if d == 0 {
			s.arrive(a)
			continue
		}
		s.begin(func() {
			if s.clock.Until(s.ctx, a.at.Add(d)) == nil {
				s.arrive(a)
			}
		})
	}
}

// delay is how long an event takes. The caller holds mu.
func (s *Service) delay() time.Duration {
	return s.options.Delay + time.Duration(s.random.Float64()*float64(s.options.Jitter))
}

// arrive hands events over in the order in which they come, without holding up
// whoever published them.
func (s *Service) arrive(a arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inbox = append(s.inbox, a)
	if s.serving {
		return
	}
	s.serving = true
	s.begin(func() {
		for {
			s.mu.Lock()
			inbox := s.inbox
			s.inbox = nil
			s.serving = len(inbox) > 0
			s.mu.Unlock()
			if len(inbox) == 0 {
				return
			}
			for _, a := range inbox {
				s.route(a)
			}
		}
	})
}
