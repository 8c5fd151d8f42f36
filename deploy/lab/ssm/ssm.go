// Package ssm is the lab's Systems Manager: Run Command, documents and the
// list of managed nodes, as far as AWS documents them or answers of the real
// service were recorded. Each error says in errors.go which of the two it is.
//
// A command goes the way it goes on AWS. [Service.Serve] takes it and answers
// at once; targets are resolved later, nodes are served within the command's
// MaxConcurrency and MaxErrors, and each node's agent runs at most five
// commands at a time, in no promised order. A node that cannot be reached gets
// its commands when it is back, as long as their total time-out (delivery and
// execution together) has not passed: AWS documents that and, elsewhere, the
// delivery time-out alone; the later one is what a caller has to live with.
// What the agent does with a document and its output (substitution,
// environment, cuts, exit codes) follows the published agent.
//
// What a node is, and how a script runs on it, is behind [Node]. Not modelled:
// Automation, Parameter Store, S3 and CloudWatch output, notifications,
// resource groups, associations, and documents in YAML.
package ssm

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Options of a service. Only Nodes is needed.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1
	Now     func() time.Time // default time.Now; a clock that is set needs a call to Wake
	Nodes   func() []Node    // all nodes there are at this moment
	Logger  *slog.Logger     // default none
	Seed    uint64           // of command ids and of every order that AWS does not promise

	// DeliveryDelay is the way of a command to an agent.
	DeliveryDelay time.Duration
	// Fate may change what becomes of one delivery; nil means that each
	// command arrives once. It must not call the service.
	Fate func(Delivery) Fate
	// Settle and SettleReads are how long a new command is not to be found:
	// until so much time has passed, and for so many reads of it.
	Settle      time.Duration
	SettleReads int
	// Poll is how often nodes are asked whether they are back, while
	// something waits for them; default one second.
	Poll time.Duration

	// Rate limits calls a second by action; no entry is no limit.
	Rate map[string]float64
	// PendingLimit is how many invocations of the account may be pending; a
	// command that would exceed it ends as RateExceeded. 0 is no limit.
	PendingLimit int
	// Authorize tells whether a caller may send commands to a resource, a
	// document or a node, by its ARN: nil, or the error to refuse a call with
	// that names it. No function allows all. It must not call the service.
	Authorize func(caller wire.Identity, resource string, tags map[string]string) error
}

// Delivery is a command on its way to a node.
type Delivery struct {
	CommandID    string
	NodeID       string
	DocumentName string
	Parameters   map[string][]string
}

// Fate is what becomes of a delivery.
type Fate struct {
	Delay         time.Duration // beside Options.DeliveryDelay
	Times         int           // how often the agent gets it, one after the other; 0 is once
	Held          bool          // the agent has the message: it runs after Delay, even if the command ended meanwhile
	Lost          bool          // it never arrives
	Undeliverable bool          // SSM gives it up at once
}

// Service implements wire.Service. Make it with [New] and end it with
// [Service.Close].
type Service struct {
	options Options
	ctx     context.Context // of everything that runs on nodes
	stop    context.CancelFunc
	group   sync.WaitGroup
	actions map[string]action
	limits  map[string]func(context.Context, wire.Request) error

	mu        sync.Mutex
	random    *rand.Rand
	started   time.Time
	documents map[string]*document
	commands  []*command // oldest first
	byID      map[string]*command
	active    map[*command]bool
	agents    map[string]*agent
	seen      map[string]time.Time // when a node was last seen online
	runs      map[*run]bool
	timers    map[*time.Timer]bool
	polling   bool
	closed    bool
}

// New returns a service that has AWS's two script documents and no commands.
func New(o Options) *Service {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Nodes == nil {
		o.Nodes = func() []Node { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Fate == nil {
		o.Fate = func(Delivery) Fate { return Fate{} }
	}
	s := &Service{
		options:   o,
		limits:    map[string]func(context.Context, wire.Request) error{},
		random:    rand.New(rand.NewPCG(o.Seed, 0x73736d)),
		started:   o.Now(),
		documents: map[string]*document{},
		byID:      map[string]*command{},
		active:    map[*command]bool{},
		agents:    map[string]*agent{},
		seen:      map[string]time.Time{},
		runs:      map[*run]bool{},
		timers:    map[*time.Timer]bool{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for action, rate := range o.Rate {
		s.limits[action] = wire.Limit(rate, o.Now)
	}
	s.actions = map[string]action{
		"SendCommand":                  serve(s.sendCommand),
		"CancelCommand":                serve(s.cancelCommand),
		"ListCommands":                 serve(s.listCommands),
		"ListCommandInvocations":       serve(s.listCommandInvocations),
		"GetCommandInvocation":         serve(s.getCommandInvocation),
		"DescribeInstanceInformation":  serve(s.describeInstanceInformation),
		"CreateDocument":               serve(s.createDocument),
		"UpdateDocument":               serve(s.updateDocument),
		"UpdateDocumentDefaultVersion": serve(s.updateDocumentDefaultVersion),
		"DescribeDocument":             serve(s.describeDocument),
		"GetDocument":                  serve(s.getDocument),
		"ListDocuments":                serve(s.listDocuments),
		"ListDocumentVersions":         serve(s.listDocumentVersions),
		"DeleteDocument":               serve(s.deleteDocument),
		"AddTagsToResource":            serve(s.addTagsToResource),
		"RemoveTagsFromResource":       serve(s.removeTagsFromResource),
		"ListTagsForResource":          serve(s.listTagsForResource),
	}
	s.addBuiltIns()
	return s
}

// action serves one action of the API.
type action func(r wire.Request) (any, error)

// serve makes an action from a method that takes and returns the SDK's types.
func serve[In, Out any](f func(caller wire.Identity, in *In) (*Out, error)) action {
	return func(r wire.Request) (any, error) {
		var in In
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		out, err := f(r.Caller, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// Serve implements wire.Service.
func (s *Service) Serve(ctx context.Context, r wire.Request) (any, error) {
	f, ok := s.actions[r.Action]
	if !ok {
		return nil, wire.UnknownOperation()
	}
	if limit, ok := s.limits[r.Action]; ok {
		if err := limit(ctx, r); err != nil {
			return nil, err
		}
	}
	return f(r)
}

// Close stops all scripts and timers and returns when none is left. Commands
// stay as they are.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	for t := range s.timers {
		t.Stop()
	}
	clear(s.timers)
	s.mu.Unlock()
	s.stop()
	s.group.Wait()
}

// Wake looks again at every node and at the clock. Whoever changes a node's
// state or sets the clock calls it, and need not wait for the next poll.
func (s *Service) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake()
}

// after calls f with the lock held, once d has passed, unless the service is
// closed. The returned function prevents the call.
func (s *Service) after(d time.Duration, f func()) (cancel func()) {
	if s.closed {
		return func() {}
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.timers[t] {
			return
		}
		delete(s.timers, t)
		f()
	})
	s.timers[t] = true
	return func() {
		t.Stop()
		delete(s.timers, t)
	}
}

// uuid returns a version 4 UUID from the seed.
func (s *Service) uuid() string {
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}
