// Package events is the lab's EventBridge: the default bus, rules with event
// patterns or schedules, and targets with retries and dead letters.
//
// Services put what happened on the bus with [Service.Publish]; it reaches
// them and everybody else as on AWS, at best: late, out of order, twice or not
// at all, by seed and as far as the options say. What is handed to a target is
// that target's business: an asynchronous invocation that fails later comes
// back to nobody here.
//
// Not modelled: other buses, archives, replays, pipes, the Scheduler, input
// transformers, targets other than those of [Options.Targets], and tags.
package events

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/clock"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Target hands an event over to a resource of one service, on behalf of a rule.
// An error is best a [*wire.Error]: AccessDenied and a resource that is not found go straight to
// the dead letter queue, everything else is tried again.
type Target func(ctx context.Context, arn, ruleARN string, event []byte) error

// Options of a service. The zero value is usable, but reaches no targets.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1
	Now     func() time.Time // the lab's clock; default time.Now. Whoever sets it calls Wake
	Seed    uint64           // of ids, and of what becomes of events on their way

	// Targets are what events can be handed to, by the service in a target's
	// ARN: lambda, sns, sqs. They are called one after the other and must not
	// wait for what they start.
	Targets map[string]Target
	// MayDeliver tells whether the policy of a target, such as that of the
	// alias of a function, lets EventBridge use it for a rule. nil allows all.
	MayDeliver func(targetARN, ruleARN string) bool
	// DeadLetter sends a message to a queue, on behalf of a rule. Without it
	// dead letters are lost.
	DeadLetter func(ctx context.Context, queueARN, ruleARN, body string, attributes map[string]string) error

	Delay      time.Duration // of every event
	Jitter     time.Duration // at most so much more: later events overtake earlier ones
	Duplicates float64       // share of deliveries, 0 to 1, that are made twice
	Loss       float64       // share of the events of AWS services that never arrive

	// RetryDelay is before the first retry of a target, and about doubles with
	// each; default one second. AWS does not document it.
	RetryDelay time.Duration
}

// Service implements wire.Service. Make it with [New] and end it with Close.
type Service struct {
	options Options
	clock   *clock.Clock
	ctx     context.Context // of everything that is under way
	stop    context.CancelFunc
	group   sync.WaitGroup // schedules and everything that is under way

	flight struct { // what is on its way
		sync.Mutex
		n     int
		ended *sync.Cond
	}

	mu      sync.Mutex
	random  *rand.Rand
	rules   map[string]*rule // by name; a stored rule is replaced, never changed
	inbox   []arrival        // what has arrived and is not yet handed over
	serving bool             // somebody empties the inbox
}

// New returns a service without rules.
func New(o Options) *Service {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.RetryDelay = cmp.Or(o.RetryDelay, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MayDeliver == nil {
		o.MayDeliver = func(string, string) bool { return true }
	}
	s := &Service{
		options: o,
		clock:   clock.New(o.Now),
		random:  rand.New(rand.NewPCG(o.Seed, 0x6576656e7473)),
		rules:   map[string]*rule{},
	}
	s.flight.ended = sync.NewCond(&s.flight)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.group.Go(s.keepSchedules)
	return s
}

// Wake has schedules and everything on its way look at the clock again.
func (s *Service) Wake() { s.clock.Wake() }

// Wait returns when no event is on its way and no target is to be tried again.
func (s *Service) Wait() {
	s.flight.Lock()
	defer s.flight.Unlock()
	for s.flight.n > 0 {
		s.flight.ended.Wait()
	}
}

// Close gives up what is on its way and returns when nothing runs any more.
func (s *Service) Close() {
	s.flight.Lock()
	s.stop()
	s.flight.Unlock()
	s.group.Wait()
}

// begin runs something in the background, unless the service is closed.
func (s *Service) begin(f func()) {
	s.flight.Lock()
	defer s.flight.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	s.flight.n++
	s.group.Go(func() {
		defer s.end()
		f()
	})
}

func (s *Service) end() {
	s.flight.Lock()
	defer s.flight.Unlock()
	s.flight.n--
	s.flight.ended.Broadcast()
}

// Serve implements wire.Service.
func (s *Service) Serve(_ context.Context, r wire.Request) (any, error) {
	act, ok := actions[r.Action]
	if !ok {
		return nil, wire.UnknownOperation()
	}
	return act(s, r)
}

type action func(*Service, wire.Request) (any, error)

var actions = map[string]action{
	"DeleteRule":            decoded((*Service).deleteRule),
	"DescribeEventBus":      decoded((*Service).describeEventBus),
	"DescribeRule":          decoded((*Service).describeRule),
	"DisableRule":           decoded((*Service).disableRule),
	"EnableRule":            decoded((*Service).enableRule),
	"ListRuleNamesByTarget": decoded((*Service).listRuleNamesByTarget),
	"ListRules":             decoded((*Service).listRules),
	"ListTargetsByRule":     decoded((*Service).listTargetsByRule),
	"PutEvents":             decoded((*Service).putEvents),
	"PutRule":               decoded((*Service).putRule),
	"PutTargets":            decoded((*Service).putTargets),
	"RemoveTargets":         decoded((*Service).removeTargets),
	"TestEventPattern":      decoded((*Service).testEventPattern),
}

func decoded[I, O any](f func(*Service, *I) (*O, error)) action {
	return func(s *Service, r wire.Request) (any, error) {
		var in I
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		out, err := f(s, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

func (s *Service) arn(resource string) string {
	return "arn:aws:events:" + s.options.Region + ":" + s.options.Account + ":" + resource
}

// uuid returns an id from the seed. The caller holds mu.
func (s *Service) uuid() string {
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}
