// Package sqs is the lab's Amazon SQS: standard queues, and the part of Lambda
// that reads them for a function. It speaks AWS JSON 1.0, as SDKs do since
// 2023. The words of its errors were recorded on AWS where errors.go does not
// say otherwise.
//
// A message is delivered at least once, in the order in which it was sent
// unless Options.Reorder is set: AWS promises none. Time is the lab's clock; a
// long poll ends when that says so, and at the latest when so much real time
// has passed.
//
// Not modelled: FIFO queues, the older query protocol, message system
// attributes but AWSTraceHeader, message move tasks, permissions by label,
// encryption (its attributes are kept, and a key keeps services out as it does
// there), and quotas of calls. A queue's Policy
// decides on AWS services; what an identity may do is Options.Authorize's.
// Queues live as long as the service.
package sqs

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/clock"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Options of a service. The zero value is usable, but invokes no function.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1
	URL     string           // what queue URLs begin with; default https://sqs.REGION.amazonaws.com
	Now     func() time.Time // the lab's clock; default time.Now. Whoever sets it calls Wake
	Logger  *slog.Logger     // default none
	Seed    uint64           // of ids, duplicates and orders

	// Duplicates is the share of messages, 0 to 1, that are in the queue
	// twice: AWS promises at least one delivery, not at most one.
	Duplicates float64
	// Reorder delivers messages in an order by seed.
	Reorder bool

	// Authorize tells whether a caller may do something to a queue; nil
	// allows all. It must not call the service.
	Authorize func(caller wire.Identity, action, queueARN string) bool
	// Policy is told the policy that a queue is given, nil when it has none
	// any more, and may refuse it. nil takes all. It must not call the service.
	Policy func(queueARN string, document json.RawMessage) error
	// MayDeliver is asked beside the queue's policy whether a service may send
	// on behalf of one of its resources; nil allows all. It must not call the
	// service.
	MayDeliver func(service, sourceARN, queueARN string) bool
	// MayEncrypt is asked whether such a service may use the key of a queue, a
	// customer managed one; nil allows all. It must not call the service.
	MayEncrypt func(service, sourceARN, queueARN, key string) bool
	// Invoker runs the functions of event sources.
	Invoker Invoker
}

// Service implements wire.Service. Make it with [New] and end it with Close.
type Service struct {
	options Options
	clock   *clock.Clock
	ctx     context.Context // of event sources and long polls
	stop    context.CancelFunc
	group   sync.WaitGroup

	mu      sync.Mutex
	random  *rand.Rand
	queues  map[string]*queue    // by name
	deleted map[string]time.Time // by name: when
}

// New returns a service without queues.
func New(o Options) *Service {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.URL = cmp.Or(o.URL, "https://sqs."+o.Region+".amazonaws.com")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Authorize == nil {
		o.Authorize = func(wire.Identity, string, string) bool { return true }
	}
	if o.Policy == nil {
		o.Policy = func(string, json.RawMessage) error { return nil }
	}
	if o.MayDeliver == nil {
		o.MayDeliver = func(string, string, string) bool { return true }
	}
	if o.MayEncrypt == nil {
		o.MayEncrypt = func(string, string, string, string) bool { return true }
	}
	s := &Service{
		options: o,
		clock:   clock.New(o.Now),
		random:  rand.New(rand.NewPCG(o.Seed, 0x737173)),
		queues:  map[string]*queue{},
		deleted: map[string]time.Time{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Key returns the KMS key that a queue was given, "" for none.
func (s *Service) Key(queueARN string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.byARN(queueARN); q != nil {
		return q.attributes["KmsMasterKeyId"]
	}
	return ""
}

// Wake has everything that waits look at the clock again.
func (s *Service) Wake() { s.clock.Wake() }

// Close ends event sources and long polls, and returns when none is left.
func (s *Service) Close() {
	s.stop()
	s.group.Wait()
}

// Serve implements wire.Service.
func (s *Service) Serve(ctx context.Context, r wire.Request) (any, error) {
	act, ok := actions[r.Action]
	if !ok {
		return nil, wire.UnknownOperation()
	}
	return act(s, ctx, r)
}

type action func(*Service, context.Context, wire.Request) (any, error)

var actions = map[string]action{
	"ChangeMessageVisibility":      onQueue((*Service).changeMessageVisibility),
	"ChangeMessageVisibilityBatch": onQueue((*Service).changeMessageVisibilityBatch),
	"CreateQueue":                  decoded((*Service).createQueue),
	"DeleteMessage":                onQueue((*Service).deleteMessage),
	"DeleteMessageBatch":           onQueue((*Service).deleteMessageBatch),
	"DeleteQueue":                  onQueue((*Service).deleteQueue),
	"GetQueueAttributes":           onQueue((*Service).getQueueAttributes),
	"GetQueueUrl":                  decoded((*Service).getQueueURL),
	"ListDeadLetterSourceQueues":   onQueue((*Service).listDeadLetterSourceQueues),
	"ListQueueTags":                onQueue((*Service).listQueueTags),
	"ListQueues":                   decoded((*Service).listQueues),
	"PurgeQueue":                   onQueue((*Service).purgeQueue),
	"ReceiveMessage":               receive,
	"SendMessage":                  onQueue((*Service).sendMessage),
	"SendMessageBatch":             onQueue((*Service).sendMessageBatch),
	"SetQueueAttributes":           onQueue((*Service).setQueueAttributes),
	"TagQueue":                     onQueue((*Service).tagQueue),
	"UntagQueue":                   onQueue((*Service).untagQueue),
}

// decoded makes an action of a method that serves under the lock.
func decoded[I any](f func(*Service, wire.Request, *I) (any, error)) action {
	return func(s *Service, _ context.Context, r wire.Request) (any, error) {
		var in I
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return f(s, r, &in)
	}
}

// queueInput is an input that names a queue.
type queueInput interface{ url() *string }

// onQueue makes an action of a method that serves for a queue that exists and
// that the caller may use. What it did may be what others wait for.
func onQueue[I queueInput](f func(*Service, *queue, wire.Request, I) (any, error)) action {
	return func(s *Service, _ context.Context, r wire.Request) (any, error) {
		var in I
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.find(r, in.url())
		if err != nil {
			return nil, err
		}
		defer s.clock.Wake()
		return f(s, q, r, in)
	}
}

func (s *Service) now() time.Time { return s.options.Now().UTC().Truncate(time.Millisecond) }
