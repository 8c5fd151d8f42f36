package sqs

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/policy"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

var batchID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,80}$`)

type sendMessageInput struct {
	QueueUrl                *string
	MessageBody             *string
	DelaySeconds            *int32
	MessageAttributes       map[string]attributeInput
	MessageSystemAttributes map[string]attributeInput
}

func (in sendMessageInput) url() *string { return in.QueueUrl }

type sendResult struct {
	Id                     *string
	MessageId              string
	MD5OfMessageBody       string
	MD5OfMessageAttributes *string
}

func (s *Service) sendMessage(q *queue, r wire.Request, in sendMessageInput) (any, error) {
	return s.send(q, r.Caller.ARN, in)
}

// send checks a message and puts it into a queue.
func (s *Service) send(q *queue, sender string, in sendMessageInput) (*sendResult, error) {
	if in.MessageBody == nil || *in.MessageBody == "" {
		return nil, errMissing("MessageBody")
	}
	attributes, err := readAttributes(in.MessageAttributes)
	if err != nil {
		return nil, err
	}
	delay := q.seconds("DelaySeconds")
	if in.DelaySeconds != nil {
		if *in.DelaySeconds < 0 || *in.DelaySeconds > 900 {
			return nil, errValue(strconv.Itoa(int(*in.DelaySeconds)), "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
		}
		delay = time.Duration(*in.DelaySeconds) * time.Second
	}
	if most := q.number("MaximumMessageSize"); size(*in.MessageBody, attributes) > most {
		return nil, errParameter("One or more parameters are invalid. Reason: Message must be shorter than " + strconv.Itoa(most) + " bytes.")
	}
	if !legible(*in.MessageBody) {
		return nil, errInvalidContents()
	}
	now := s.now()
	m := message{id: s.uuid(), body: *in.MessageBody, attributes: attributes, sender: sender, sent: now, visible: now.Add(delay)}
	if trace, ok := in.MessageSystemAttributes["AWSTraceHeader"]; ok && trace.StringValue != nil {
		m.system = map[string]string{"AWSTraceHeader": *trace.StringValue}
	}
	s.put(q, m)
	out := &sendResult{MessageId: m.id, MD5OfMessageBody: md5Of(m.body)}
	if len(attributes) > 0 {
		sum := md5OfAttributes(attributes)
		out.MD5OfMessageAttributes = &sum
	}
	return out, nil
}

// put adds a message, and sometimes its twin.
func (s *Service) put(q *queue, m message) {
	q.messages = append(q.messages, &m)
	if s.options.Duplicates > 0 && s.random.Float64() < s.options.Duplicates {
		twin := m
		q.messages = append(q.messages, &twin)
	}
}

type batch[E any] struct {
	QueueUrl *string
	Entries  []E
}

func (in batch[E]) url() *string { return in.QueueUrl }

type sendEntry struct {
	Id                      *string
	MessageBody             *string
	DelaySeconds            *int32
	MessageAttributes       map[string]attributeInput
	MessageSystemAttributes map[string]attributeInput
}

func (e sendEntry) id() string { return deref(e.Id) }

type batchResult struct {
	Successful []any
	Failed     []failure
}

// failure is an entry of a batch that was refused while others were not.
type failure struct {
	Id          string
	SenderFault bool
	Code        string
	Message     string
}

func (s *Service) sendMessageBatch(q *queue, r wire.Request, in batch[sendEntry]) (any, error) {
	total := 0
	for _, e := range in.Entries {
		attributes, _ := readAttributes(e.MessageAttributes)
		total += size(deref(e.MessageBody), attributes)
	}
	if total > maxMessage {
		return nil, errBatchTooLong(total)
	}
	return each(in.Entries, func(e sendEntry) (any, error) {
		out, err := s.send(q, r.Caller.ARN, sendMessageInput{
			MessageBody: e.MessageBody, DelaySeconds: e.DelaySeconds, MessageAttributes: e.MessageAttributes,
			MessageSystemAttributes: e.MessageSystemAttributes,
		})
		if err != nil {
			return nil, err
		}
		out.Id = e.Id
		return out, nil
	})
}

// each serves the entries of a batch one by one.
func each[E interface{ id() string }](entries []E, serve func(E) (any, error)) (*batchResult, error) {
	switch n := len(entries); {
	case n == 0:
		return nil, errEmptyBatch()
	case n > 10:
		return nil, errTooMany(n)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if !batchID.MatchString(e.id()) {
			return nil, errBatchID()
		}
		if seen[e.id()] {
			return nil, errSameBatchID(e.id())
		}
		seen[e.id()] = true
	}
	out := &batchResult{Successful: []any{}, Failed: []failure{}}
	for _, e := range entries {
		done, err := serve(e)
		if err == nil {
			out.Successful = append(out.Successful, done)
			continue
		}
		f := failure{Id: e.id(), SenderFault: true, Code: "InternalError", Message: err.Error()}
		if w, ok := errors.AsType[*wire.Error](err); ok {
			f.Code, f.Message = w.Query, w.Message
		}
		out.Failed = append(out.Failed, f)
	}
	return out, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Delivery is a message that an AWS service sends to a queue on behalf of one
// of its resources.
type Delivery struct {
	QueueARN   string
	Principal  string // sns.amazonaws.com
	SourceARN  string // of the topic or rule
	Body       string
	Attributes map[string]Attribute
}

// Deliver puts a message into a queue whose policy lets the service do so. An
// error is a [*wire.Error].
func (s *Service) Deliver(_ context.Context, d Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byARN(d.QueueARN)
	if q == nil {
		return errNoQueue()
	}
	p, err := policy.Parse(q.attributes["Policy"])
	ask := policy.Request{Principal: d.Principal, Action: "sqs:SendMessage", Resource: q.arn, SourceARN: d.SourceARN, Account: s.options.Account}
	switch {
	case err != nil || !s.options.MayDeliver(d.Principal, d.SourceARN, q.arn) || !p.Allows(ask):
		return errServiceDenied(d.Principal, q.arn)
	case !s.mayEncrypt(d, q):
		return errKey(q)
	}
	attributes := map[string]attributeInput{}
	for name, a := range d.Attributes {
		attributes[name] = attributeInput{DataType: &a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue}
	}
	defer s.clock.Wake()
	_, err = s.send(q, d.Principal, sendMessageInput{MessageBody: &d.Body, MessageAttributes: attributes})
	return err
}

// mayEncrypt tells whether a service may use the key of a queue, if it has one.
// The policy of AWS's own key lets no service, and no one can change it.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
func (s *Service) mayEncrypt(d Delivery, q *queue) bool {
	switch key := q.attributes["KmsMasterKeyId"]; key {
	case "":
		return true
	case "alias/aws/sqs":
		return false
	default:
		return s.options.MayEncrypt(d.Principal, d.SourceARN, q.arn, key)
	}
}
