// Package lambda runs functions as AWS Lambda does: commands in any language
// that speak the Lambda Runtime API, a process for each sandbox, with its
// deadline, its errors and its log. It answers Invoke, the calls that describe
// functions, and those that somebody makes who sets one up by hand.
//
// Asynchronous invocations are queued, tried again and given up as AWS does it.
// Functions last as long as the service. Versions of code, layers, event source
// mappings and memory limits do not exist here; an alias is another name of the
// one version. A function is a program of this machine and is not confined.
package lambda

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/clock"
	"github.com/keytrail/keytrail/deploy/lab/logs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// defaultConcurrency is the quota of a new account.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
const defaultConcurrency = 10

var errClosed = errors.New("the lab is closed")

// Options of a service. Endpoint and Dir are required.
type Options struct {
	Account     string              // default 111122223333
	Region      string              // default us-east-1
	Endpoint    string              // the lab's URL, which functions get as AWS_ENDPOINT_URL
	Dir         string              // logs are written to Dir/logs/FUNCTION/
	Concurrency int                 // invocations at once of all functions without a reservation; default 10
	Identify    func(wire.Identity) // is told the access key of each function
	// Policy is told the policy of a function or an alias, nil when it has none
	// any more, and may refuse it. Default: all are taken.
	Policy func(arn string, policy json.RawMessage) error
	// MayAssume tells whether Lambda may assume a role. Default: it may.
	MayAssume func(roleARN string) bool
	// MayCall tells whether a function may make a call with its role. Default:
	// it may.
	MayCall func(function wire.Identity, action, resource string) bool
	Async   Async // asynchronous invocations
}

// Service holds the functions and their sandboxes. Make it with [New], and end
// it with Close: no process of it outlives it.
type Service struct {
	options Options
	guard   guard
	running sync.WaitGroup // sandboxes
	queued  sync.WaitGroup // asynchronous invocations
	clock   *clock.Clock

	mu        sync.Mutex
	closed    bool
	closing   chan struct{}
	functions map[string]*function
	configs   map[string]eventConfig // by function, or function:alias
	random    *rand.Rand             // of duplicates
	live      map[*sandbox]bool
	streams   map[string][]stream // by function, oldest first
	peaks     map[string]int64    // by function, of sandboxes that are gone
	busy      int                 // invocations of functions without a reservation
	freed     chan struct{}       // closed and replaced when an invocation ends

	setup  sync.Mutex                            // of a function that is read, changed and added again
	grants map[string]map[string]json.RawMessage // statements by ARN and id; guarded by setup
}

// function is one configuration of a function.
type function struct {
	Function
	modified time.Time
	idle     []*sandbox // the last one used is used next
	busy     int
}

// New returns a service without functions.
func New(o Options) *Service {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.Concurrency = cmp.Or(o.Concurrency, defaultConcurrency)
	if o.Identify == nil {
		o.Identify = func(wire.Identity) {}
	}
	if o.Policy == nil {
		o.Policy = func(string, json.RawMessage) error { return nil }
	}
	if o.MayAssume == nil {
		o.MayAssume = func(string) bool { return true }
	}
	if o.MayCall == nil {
		o.MayCall = func(wire.Identity, string, string) bool { return true }
	}
	o.Async = o.Async.complete()
	return &Service{
		options:   o,
		clock:     clock.New(o.Async.Now),
		configs:   map[string]eventConfig{},
		random:    rand.New(rand.NewPCG(o.Async.Seed, 0x6c616d626461)),
		closing:   make(chan struct{}),
		functions: map[string]*function{},
		live:      map[*sandbox]bool{},
		streams:   map[string][]stream{},
		peaks:     map[string]int64{},
		freed:     make(chan struct{}),
		grants:    map[string]map[string]json.RawMessage{},
	}
}

// AddFunction adds a function, or replaces the one of that name: what is under
// way ends as it began, later invocations have the new configuration.
func (s *Service) AddFunction(f Function) error {
	f, err := f.complete()
	if err != nil {
		return err
	}
	s.options.Identify(s.options.identity(f))
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	var stale []*sandbox
	if old := s.functions[f.Name]; old != nil {
		stale, old.idle = old.idle, nil
	}
	s.functions[f.Name] = &function{Function: f, modified: time.Now()}
	s.mu.Unlock()
	killAll(stale)
	return nil
}

// RemoveFunction removes a function: what is under way ends as it began, later
// invocations find nothing. Its log stays.
func (s *Service) RemoveFunction(name string) {
	s.mu.Lock()
	var stale []*sandbox
	if f := s.functions[name]; f != nil {
		stale, f.idle = f.idle, nil
		delete(s.functions, name)
		maps.DeleteFunc(s.configs, func(key string, _ eventConfig) bool { return strings.HasPrefix(key, s.ARN(name)+":") })
	}
	s.mu.Unlock()
	killAll(stale)
}

// Function returns the function of a name as it was completed.
func (s *Service) Function(name string) (Function, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.functions[name]
	if f == nil {
		return Function{}, false
	}
	c := f.Function
	c.Env, c.Aliases, c.Command = maps.Clone(c.Env), slices.Clone(c.Aliases), slices.Clone(c.Command)
	return c, true
}

// ARN returns the ARN of a function, whether it exists or not.
func (s *Service) ARN(name string) string { return s.options.functionARN(name, "") }

// Identity returns who a function is in its own calls. The name is as in
// [Service.Invoke].
func (s *Service) Identity(name string) (wire.Identity, error) {
	f, _, err := s.resolve(name, "")
	if err != nil {
		return wire.Identity{}, err
	}
	return s.options.identity(f.Function), nil
}

// Has tells whether there is a function of that name, partial ARN or ARN, with
// that alias if it has a qualifier.
func (s *Service) Has(name string) bool {
	_, _, err := s.resolve(name, "")
	return err == nil
}

// Process is a live sandbox.
type Process struct {
	Function  string
	PID       int    // also the number of its process group
	RequestID string // of the invocation under way, "" when there is none
}

// Processes returns the live sandboxes by function and process id.
func (s *Service) Processes() []Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Process
	for b := range s.live {
		list = append(list, Process{Function: b.function.Name, PID: b.pid(), RequestID: b.api.requestID()})
	}
	slices.SortFunc(list, func(x, y Process) int {
		return cmp.Or(strings.Compare(x.Function, y.Function), x.PID-y.PID)
	})
	return list
}

// Kill ends all sandboxes of a function, at once and whatever they do. When it
// returns, nothing of them runs any more.
func (s *Service) Kill(name string) { killAll(s.sandboxes(name)) }

// PeakRSS returns the largest resident set, in bytes, that a sandbox of the
// function has had: on Linux as of the end of each invocation, elsewhere of
// sandboxes that are gone.
func (s *Service) PeakRSS(name string) int64 {
	s.mu.Lock()
	peak := s.peaks[name]
	s.mu.Unlock()
	for _, b := range s.sandboxes(name) {
		peak = max(peak, b.observe(0))
	}
	return peak
}

// Logs returns what all sandboxes of a function have logged since the service
// began, oldest sandbox first.
func (s *Service) Logs(name string) (string, error) {
	s.mu.Lock()
	streams := slices.Clone(s.streams[name])
	s.mu.Unlock()
	return readAll(streams)
}

// Streams returns the logs of the sandboxes that log to a group.
func (s *Service) Streams(group string) ([]logs.Stream, error) {
	s.mu.Lock()
	var own []stream
	for name, streams := range s.streams {
		if f := s.functions[name]; group == "/aws/lambda/"+name || f != nil && f.LogGroup == group {
			own = append(own, streams...)
		}
	}
	s.mu.Unlock()
	var list []logs.Stream
	for _, o := range own {
		text, err := readAll([]stream{o})
		if err != nil {
			return nil, err
		}
		list = append(list, logs.Stream{Name: o.name, Begun: o.begun, Text: text})
	}
	return list, nil
}

// Wake has asynchronous invocations that wait for their next attempt look at
// the clock again. Whoever sets it calls Wake.
func (s *Service) Wake() { s.clock.Wake() }

// Wait returns when no asynchronous invocation is queued or under way.
func (s *Service) Wait() { s.queued.Wait() }

// Close ends all sandboxes and refuses new work. It returns when no process
// and no goroutine of the service is left.
func (s *Service) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	all := slices.Collect(maps.Keys(s.live))
	s.mu.Unlock()
	killAll(all)
	s.queued.Wait()
	s.running.Wait()
	return s.guard.close()
}

// killAll kills sandboxes side by side.
func killAll(list []*sandbox) {
	for _, b := range list {
		killGroup(b.pid())
	}
	for _, b := range list {
		b.kill()
	}
}

func (s *Service) sandboxes(name string) []*sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*sandbox
	for b := range s.live {
		if b.function.Name == name {
			list = append(list, b)
		}
	}
	return list
}

// forget takes a sandbox that has ended off the lists.
func (s *Service) forget(b *sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, b)
	f := b.function
	f.idle = slices.DeleteFunc(f.idle, func(c *sandbox) bool { return c == b })
	s.peaks[f.Name] = max(s.peaks[f.Name], b.observe(0))
}

// takeIdle returns the sandbox of a function that was used last, or nil.
func (s *Service) takeIdle(f *function) *sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(f.idle)
	if n == 0 {
		return nil
	}
	b := f.idle[n-1]
	f.idle = f.idle[:n-1]
	return b
}

// putBack keeps a sandbox for the next invocation. One whose function was
// replaced meanwhile has none to wait for.
func (s *Service) putBack(b *sandbox) {
	s.mu.Lock()
	f := b.function
	current := s.functions[f.Name] == f
	if current && s.live[b] {
		f.idle = append(f.idle, b)
	}
	s.mu.Unlock()
	if !current {
		b.kill()
	}
}

// newStream creates the log of a new sandbox.
func (s *Service) newStream(name string) (stream, error) {
	log, err := newStream(filepath.Join(s.options.Dir, "logs", name), time.Now())
	if err != nil {
		return stream{}, fmt.Errorf("log of function %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[name] = append(s.streams[name], log)
	return log, nil
}

// admit counts an invocation in, if the limits allow it; it is counted out by
// the function that it returns. With wait it waits until they do.
func (s *Service) admit(ctx context.Context, f *function, wait bool) (leave func(), err error) {
	count, limit, reason := &s.busy, s.options.Concurrency, "ConcurrentInvocationLimitExceeded"
	if f.Concurrency > 0 {
		count, limit, reason = &f.busy, f.Concurrency, "ReservedFunctionConcurrentInvocationLimitExceeded"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.closed || *count >= limit {
		if s.closed {
			return nil, errClosed
		}
		if !wait {
			return nil, throttled(reason)
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
			s.mu.Lock()
		case <-s.closing:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return nil, ctx.Err()
		}
	}
	*count++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*count--
		close(s.freed)
		s.freed = make(chan struct{})
	}, nil
}
