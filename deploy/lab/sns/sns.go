// Package sns is the lab's Amazon SNS: standard topics, subscriptions with
// filter policies, and what becomes of a message for each subscriber. Mails
// are files that any mail program reads; what Amazon Q Developer (AWS Chatbot)
// would show in Slack is text in a file; a web server on loopback gets a POST;
// queues and functions get what AWS gives them. Nothing leaves this machine.
//
// It speaks the query protocol of 2010-03-31. Errors are worded as recorded on
// AWS where errors.go does not say otherwise. Deliveries are made in the
// background and in no promised order, and are tried again as AWS's delivery
// policies say, on the lab's clock.
//
// Not modelled: FIFO topics, SMS, mobile push, Firehose, data protection,
// delivery status logs, signatures (the envelope's is a fixed text), the
// confirmation of an unsubscribing, tokens and pending subscriptions that
// expire, encryption (its attributes are kept, and a key keeps services out as
// it does there), and quotas of calls. A topic's Policy decides
// on AWS services; what an identity may do is Options.Authorize's. Topics live
// as long as the service; what was delivered stays.
package sns

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/clock"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Namespace is that of the answers, for [wire.Front.HandleQuery].
const Namespace = "http://sns.amazonaws.com/doc/2010-03-31/"

// Queues takes messages for subscribers that are queues, and dead letters.
type Queues interface {
	// Deliver puts a message into a queue. An error that is a [*wire.Error]
	// below 500 is not tried again.
	Deliver(ctx context.Context, m QueueMessage) error
}

// QueueMessage is a message for a queue.
type QueueMessage struct {
	QueueARN   string
	TopicARN   string
	Body       string
	Attributes map[string]Attribute // of a raw delivery
}

// Functions takes events for subscribers that are functions.
type Functions interface {
	// Invoke has a function invoked asynchronously: it returns when Lambda has
	// the event. Errors are as those of Queues.
	Invoke(ctx context.Context, topicARN, functionARN string, event []byte) error
}

// Options of a service. Dir is needed.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1
	URL     string           // what links begin with; default https://sns.REGION.amazonaws.com
	Dir     string           // mails are written to Dir/mail/ADDRESS/, chat to Dir/chat/TOPIC/
	Now     func() time.Time // the lab's clock; default time.Now. Whoever sets it calls Wake
	Logger  *slog.Logger     // default none; tells of deliveries that failed
	Seed    uint64           // of ids and tokens

	// ConfirmMail confirms subscriptions by e-mail as soon as they are made,
	// as a person would who clicks the link in the mail that is sent all the same.
	ConfirmMail bool

	Queues    Queues    // nil refuses subscriptions by queues
	Functions Functions // nil refuses subscriptions by functions
	// Authorize tells whether a caller may do something to a topic; nil allows
	// all. It must not call the service.
	Authorize func(caller wire.Identity, action, topicARN string) bool
	// Policy is told the policy that a topic is given, nil when the topic is
	// gone, and may refuse it. nil takes all. It must not call the service.
	Policy func(topicARN string, document json.RawMessage) error
	// MayPublish is asked beside the topic's policy whether a service may
	// publish on behalf of one of its resources; nil allows all. It must not
	// call the service.
	MayPublish func(service, sourceARN, topicARN string) bool
	// MayEncrypt is asked whether such a service may use the key of a topic, a
	// customer managed one; nil allows all. It must not call the service.
	MayEncrypt func(service, sourceARN, topicARN, key string) bool
}

// Service implements wire.Service. Make it with [New] and end it with Close.
type Service struct {
	options Options
	clock   *clock.Clock
	client  *http.Client
	ctx     context.Context // of deliveries
	stop    context.CancelFunc

	mu            sync.Mutex
	random        *rand.Rand
	topics        map[string]*topic // by ARN
	subscriptions []*subscription   // in the order in which they were made
	files         int               // written so far
	underway      int               // deliveries
	idle          *sync.Cond        // nothing is under way
}

// New returns a service without topics.
func New(o Options) *Service {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.URL = cmp.Or(o.URL, "https://sns."+o.Region+".amazonaws.com")
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
	if o.MayPublish == nil {
		o.MayPublish = func(string, string, string) bool { return true }
	}
	if o.MayEncrypt == nil {
		o.MayEncrypt = func(string, string, string, string) bool { return true }
	}
	s := &Service{
		options: o,
		clock:   clock.New(o.Now),
		client:  loopbackClient(),
		random:  rand.New(rand.NewPCG(o.Seed, 0x736e73)),
		topics:  map[string]*topic{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.idle = sync.NewCond(&s.mu)
	return s
}

// Key returns the KMS key that a topic was given, "" for none.
func (s *Service) Key(topicARN string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topicARN]; t != nil {
		return t.attributes["KmsMasterKeyId"]
	}
	return ""
}

// Wake has deliveries that wait for their next attempt look at the clock again.
func (s *Service) Wake() { s.clock.Wake() }

// Wait returns when no delivery is under way or waits for its next attempt.
func (s *Service) Wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.underway > 0 {
		s.idle.Wait()
	}
}

// Close ends the deliveries that are under way and waits for them.
func (s *Service) Close() {
	s.stop()
	s.Wait()
	s.client.CloseIdleConnections()
}

// Serve implements wire.Service.
func (s *Service) Serve(_ context.Context, r wire.Request) (any, error) {
	act, ok := actions[r.Action]
	if !ok {
		return nil, &wire.Error{Code: "InvalidAction", Message: "Could not find operation " + r.Action + " for version 2010-03-31"}
	}
	values, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, errParameter("the request is no form")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return act(s, r, form{values})
}

type action func(*Service, wire.Request, form) (any, error)

var actions = map[string]action{
	"ConfirmSubscription":       (*Service).confirmSubscription,
	"CreateTopic":               (*Service).createTopic,
	"DeleteTopic":               (*Service).deleteTopic,
	"GetSubscriptionAttributes": (*Service).getSubscriptionAttributes,
	"GetTopicAttributes":        (*Service).getTopicAttributes,
	"ListSubscriptions":         (*Service).listSubscriptions,
	"ListSubscriptionsByTopic":  (*Service).listSubscriptionsByTopic,
	"ListTagsForResource":       (*Service).listTags,
	"ListTopics":                (*Service).listTopics,
	"Publish":                   (*Service).publish,
	"PublishBatch":              (*Service).publishBatch,
	"SetSubscriptionAttributes": (*Service).setSubscriptionAttributes,
	"SetTopicAttributes":        (*Service).setTopicAttributes,
	"Subscribe":                 (*Service).subscribe,
	"TagResource":               (*Service).tagResource,
	"Unsubscribe":               (*Service).unsubscribe,
	"UntagResource":             (*Service).untagResource,
}

func (s *Service) now() time.Time { return s.options.Now().UTC().Truncate(time.Millisecond) }

// uuid returns a version 4 UUID from the seed.
func (s *Service) uuid() string {
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}
