package sqs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

type receiveMessageInput struct {
	QueueUrl                    *string
	AttributeNames              []string // the older name of the next
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int32
	VisibilityTimeout           *int32
	WaitTimeSeconds             *int32
	ReceiveRequestAttemptId     *string
}

type received struct {
	MessageId              string
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string
	MD5OfMessageAttributes *string
	MessageAttributes      map[string]attributeOutput
}

type attributeOutput struct {
	DataType    string
	StringValue *string
	BinaryValue []byte
}

// receive serves ReceiveMessage, which may wait.
func receive(s *Service, ctx context.Context, r wire.Request) (any, error) {
	var in receiveMessageInput
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	q, most, hide, wait, err := s.readReceive(r, in)
	if err != nil {
		return nil, err
	}
	taken := s.takeWithin(ctx, q, most, hide, wait)
	if len(taken) == 0 {
		return nil, nil
	}
	list := make([]received, len(taken))
	for i, m := range taken {
		list[i] = m.show(in)
	}
	return map[string]any{"Messages": list}, nil
}

func (s *Service) readReceive(r wire.Request, in receiveMessageInput) (q *queue, most int, hide, wait time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, err = s.find(r, in.QueueUrl); err != nil {
		return nil, 0, 0, 0, err
	}
	most, hide, wait = 1, q.seconds("VisibilityTimeout"), q.seconds("ReceiveMessageWaitTimeSeconds")
	if n := in.MaxNumberOfMessages; n != nil {
		most = int(*n)
		if most < 1 || most > 10 {
			return nil, 0, 0, 0, errValue(strconv.Itoa(most), "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
		}
	}
	if n := in.WaitTimeSeconds; n != nil {
		if *n < 0 || *n > 20 {
			return nil, 0, 0, 0, errValue(strconv.Itoa(int(*n)), "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
		}
		wait = time.Duration(*n) * time.Second
	}
	if n := in.VisibilityTimeout; n != nil {
		if hide, err = visibility(n); err != nil {
			return nil, 0, 0, 0, err
		}
	}
	return q, most, hide, wait, nil
}

func visibility(n *int32) (time.Duration, error) {
	if n == nil {
		return 0, errMissing("VisibilityTimeout")
	}
	if *n < 0 || *n > 43200 {
		return 0, errValue(strconv.Itoa(int(*n)), "VisibilityTimeout", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	return time.Duration(*n) * time.Second, nil
}

// takeWithin takes messages, and waits for the first of them. It returns
// copies.
func (s *Service) takeWithin(ctx context.Context, q *queue, most int, hide, wait time.Duration) []message {
	until := s.now().Add(wait)
	ctx, cancel := context.WithTimeout(ctx, wait) // for a clock that stands still
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	for {
		woken := s.clock.Woken()
		s.mu.Lock()
		taken := s.take(q, most, hide)
		next := q.next(s.now())
		s.mu.Unlock()
		if len(taken) > 0 || ctx.Err() != nil || !s.now().Before(until) {
			return taken
		}
		if next.IsZero() || next.After(until) {
			next = until
		}
		s.clock.Wait(ctx, woken, next)
	}
}

// take hides messages that are visible and returns copies of them. Those that
// were received too often go to the dead letter queue instead, and those that
// are too old go away.
func (s *Service) take(q *queue, most int, hide time.Duration) []message {
	now := s.now()
	q.expire(now)
	dead, limit := s.redrive(q)
	var taken []message
	for _, m := range s.order(q.messages) {
		if len(taken) == most {
			break
		}
		if m.visible.After(now) {
			continue
		}
		if dead != nil && dead != q && m.receives >= limit {
			q.drop(m)
			m.visible, m.handle, m.receives, m.first, m.origin = now, "", 0, time.Time{}, q.arn
			dead.messages = append(dead.messages, m)
			s.clock.Wake()
			continue
		}
		m.receives++
		if m.first.IsZero() {
			m.first = now
		}
		m.visible, m.handle = now.Add(hide), s.newHandle(m)
		taken = append(taken, *m)
	}
	return taken
}

// order returns a copy of a list in the order in which it is looked through.
func (s *Service) order(list []*message) []*message {
	list = slices.Clone(list)
	if s.options.Reorder {
		s.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return list
}

// next is when a message that is hidden now will be visible; the zero time if
// there is none.
func (q *queue) next(now time.Time) time.Time {
	var next time.Time
	for _, m := range q.messages {
		if m.visible.After(now) && (next.IsZero() || m.visible.Before(next)) {
			next = m.visible
		}
	}
	return next
}

// expire drops what was kept for the retention period.
func (q *queue) expire(now time.Time) {
	keep := q.seconds("MessageRetentionPeriod")
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return !now.Before(m.sent.Add(keep)) })
}

func (q *queue) drop(m *message) {
	if i := slices.Index(q.messages, m); i >= 0 {
		q.messages = slices.Delete(q.messages, i, i+1)
	}
}

// count tells how many messages can be received, are in flight, and were not
// to be received yet.
func (q *queue) count(now time.Time) (visible, hidden, delayed int) {
	q.expire(now)
	for _, m := range q.messages {
		switch {
		case !m.visible.After(now):
			visible++
		case m.receives > 0:
			hidden++
		default:
			delayed++
		}
	}
	return visible, hidden, delayed
}

// show is a message as its receiver asked for it.
func (m message) show(in receiveMessageInput) received {
	out := received{MessageId: m.id, ReceiptHandle: m.handle, MD5OfBody: md5Of(m.body), Body: m.body}
	all := m.systemAttributes()
	for name, value := range all {
		if names := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames); slices.Contains(names, "All") || slices.Contains(names, name) {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[name] = value
		}
	}
	asked := maps.Clone(m.attributes)
	maps.DeleteFunc(asked, func(name string, _ Attribute) bool { return !wanted(in.MessageAttributeNames, name) })
	if len(asked) > 0 {
		sum := md5OfAttributes(asked)
		out.MD5OfMessageAttributes, out.MessageAttributes = &sum, map[string]attributeOutput{}
		for name, a := range asked {
			out.MessageAttributes[name] = attributeOutput(a)
		}
	}
	return out
}

// systemAttributes are those that SQS makes itself, times in milliseconds.
func (m message) systemAttributes() map[string]string {
	all := map[string]string{
		"ApproximateFirstReceiveTimestamp": fmt.Sprint(m.first.UnixMilli()),
		"ApproximateReceiveCount":          strconv.Itoa(m.receives),
		"SenderId":                         senderID(m.sender),
		"SentTimestamp":                    fmt.Sprint(m.sent.UnixMilli()),
	}
	if m.origin != "" {
		all["DeadLetterQueueSourceArn"] = m.origin
	}
	maps.Copy(all, m.system)
	return all
}

// senderID stands for the unique id that IAM gives each identity: the name at
// the end of its ARN.
func senderID(sender string) string {
	parts := strings.Split(sender, "/")
	if len(parts) == 3 && strings.Contains(parts[0], ":assumed-role") {
		return parts[1] + ":" + parts[2]
	}
	return parts[len(parts)-1]
}

// wanted tells whether a list of names, All, or prefixes with .* has a name.
func wanted(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, isPrefix := strings.CutSuffix(n, ".*")
		return n == "All" || n == name || isPrefix && strings.HasPrefix(name, prefix)
	})
}
