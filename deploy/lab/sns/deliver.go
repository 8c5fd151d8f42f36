package sns

import (
	"context"
	"errors"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// delivery is one message for one subscriber, with all that it takes: the
// subscription may change meanwhile.
type delivery struct {
	*notification
	topicARN, topicName, displayName    string
	subscriptionARN, protocol, endpoint string
	raw                                 bool
	deadLetters                         string // ARN of a queue
	schedule                            schedule
}

// deliver gives a message to a subscriber. Files are written at once, so that
// they stand in the order in which messages were published; what goes over a
// wire is sent in the background. The caller holds mu.
func (s *Service) deliver(sub *subscription, n *notification) {
	d := &delivery{
		notification: n, topicARN: sub.topic.arn, topicName: sub.topic.name, displayName: sub.topic.attributes["DisplayName"],
		subscriptionARN: sub.arn, protocol: sub.protocol, endpoint: sub.endpoint,
		raw: sub.raw(), deadLetters: sub.deadLetters(), schedule: sub.schedule(),
	}
	send := s.sender(d)
	if send == nil {
		return
	}
	s.background(func() { s.attempt(d, send) })
}

// sender returns what sends a message, or writes it and returns nil.
func (s *Service) sender(d *delivery) func(context.Context) error {
	var err error
	switch {
	case d.protocol == "email":
		err = s.writeMail(d)
	case d.protocol == "email-json":
		err = s.writeMailJSON(d)
	case d.endpoint == ChatEndpoint:
		err = s.writeChat(d)
	case d.protocol == "sqs":
		return func(ctx context.Context) error { return s.options.Queues.Deliver(ctx, s.queueMessage(d, d.endpoint)) }
	case d.protocol == "lambda":
		return func(ctx context.Context) error {
			return s.options.Functions.Invoke(ctx, d.topicARN, d.endpoint, s.functionEvent(d))
		}
	default:
		body := d.text(d.protocol)
		if !d.raw {
			body = s.envelope(d, "Notification")
		}
		return func(ctx context.Context) error { return s.post(ctx, d, "Notification", body) }
	}
	if err != nil {
		s.lost(d, err)
	}
	return nil
}

// schedule is when a subscriber is tried again.
func (sub *subscription) schedule() schedule {
	if sub.protocol == "sqs" || sub.protocol == "lambda" {
		return managed
	}
	for _, text := range []string{sub.attributes["DeliveryPolicy"], sub.topic.attributes["DeliveryPolicy"]} {
		if p, err := parseSchedule(text); err == nil {
			return p
		}
	}
	return usualWeb
}

// background runs a function that Wait waits for. The caller holds mu.
func (s *Service) background(f func()) {
	s.underway++
	go func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.underway--; s.underway == 0 {
				s.idle.Broadcast()
			}
		}()
		f()
	}()
}

// attempt sends a message until that succeeds, cannot succeed, or has been
// tried often enough.
func (s *Service) attempt(d *delivery, send func(context.Context) error) {
	for i := 0; ; i++ {
		err := send(s.ctx)
		if err == nil || s.ctx.Err() != nil {
			return
		}
		delay, again := d.schedule.delay(i)
		if !again || !passing(err) {
			s.lost(d, err)
			return
		}
		if s.clock.Until(s.ctx, s.clock.Now().Add(delay)) != nil {
			return
		}
	}
}

// passing tells whether an error may go away: AWS does not try again what the
// client, here the subscriber, has got wrong.
func passing(err error) bool {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Status >= 500 || e.Status == 429
	}
	if e, ok := errors.AsType[statusError](err); ok {
		return e < 400 || e >= 500 || e == 429
	}
	return true
}

// lost notes a message that could not be delivered, and puts it into the dead
// letter queue of the subscription.
func (s *Service) lost(d *delivery, err error) {
	s.options.Logger.WarnContext(s.ctx, "message not delivered", "topicArn", d.topicARN, "protocol", d.protocol,
		"endpoint", d.endpoint, "messageId", d.id, "error", err)
	if d.deadLetters == "" || s.options.Queues == nil {
		return
	}
	if err := s.options.Queues.Deliver(s.ctx, s.queueMessage(d, d.deadLetters)); err != nil {
		s.options.Logger.WarnContext(s.ctx, "dead letter lost", "queueArn", d.deadLetters, "messageId", d.id, "error", err)
	}
}

// askToConfirm sends what a subscriber confirms with. The caller holds mu.
func (s *Service) askToConfirm(sub *subscription) {
	d := &delivery{
		notification: &notification{id: s.uuid(), time: s.now()}, topicARN: sub.topic.arn, topicName: sub.topic.name,
		displayName: sub.topic.attributes["DisplayName"], subscriptionARN: sub.arn, protocol: sub.protocol, endpoint: sub.endpoint,
		schedule: sub.schedule(),
	}
	if strings.HasPrefix(sub.protocol, "email") {
		if err := s.writeConfirmation(d, s.confirmURL(sub)); err != nil {
			s.lost(d, err)
		}
		return
	}
	body := s.confirmation(d, sub.token, s.confirmURL(sub))
	s.background(func() {
		s.attempt(d, func(ctx context.Context) error { return s.post(ctx, d, "SubscriptionConfirmation", body) })
	})
}
