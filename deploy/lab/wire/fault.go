package wire

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// When says on which side of a call's work a fault stands.
type When int

const (
	Before When = iota // nothing was done yet
	After              // the work was done, its answer was not sent
)

// Fault interferes with calls. A test that kills a process around a call
// gives Do a function that kills it; one that only watches returns nil.
type Fault struct {
	Match func(Request) bool // nil matches every call
	Times int                // how many matching calls are hit; 0 is all, until removed
	When  When
	// Do returns nil to let the call go on, an *Error to answer with it in
	// place of the answer, or ErrDropped to close the connection.
	Do func(ctx context.Context, r Request) error
}

// Inject adds a fault and returns what removes it. Faults are tried in the
// order in which they were added; the first that returns an error decides.
func (f *Front) Inject(fault Fault) (remove func()) {
	p := &planned{Fault: fault, left: fault.Times}
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	f.faults.list = append(slices.Clip(f.faults.list), p)
	return func() {
		f.faults.mu.Lock()
		defer f.faults.mu.Unlock()
		f.faults.list = slices.DeleteFunc(slices.Clone(f.faults.list), func(q *planned) bool { return q == p })
	}
}

// Action matches calls of one action of one service.
func Action(service, action string) func(Request) bool {
	return func(r Request) bool { return r.Service == service && r.Action == action }
}

// Throttle answers as AWS does above a rate.
func Throttle(context.Context, Request) error {
	return &Error{Code: "ThrottlingException", Message: "Rate exceeded"}
}

// Deny answers as IAM does when no policy allows the call.
func Deny(_ context.Context, r Request) error {
	action := r.Service + ":" + r.Action
	e := &Error{Code: "AccessDeniedException", Message: "User: " + r.Caller.ARN + " is not authorized to perform: " + action +
		" because no identity-based policy allows the " + action + " action"}
	switch r.Service { // those that spell it otherwise
	case "sns":
		e.Code, e.Status = "AuthorizationError", http.StatusForbidden
	case "sqs":
		e.Query, e.Status = "AccessDenied", http.StatusForbidden
	}
	return e
}

// Unavailable answers with status 503.
func Unavailable(context.Context, Request) error {
	return &Error{Code: "ServiceUnavailableException", Message: "The service is unavailable.", Status: http.StatusServiceUnavailable}
}

// Drop closes the connection. Before the work it is a request that was lost,
// after it a reply that was.
func Drop(context.Context, Request) error { return ErrDropped }

// Limit returns a Do that throttles above perSecond calls a second, with a
// burst of one second's worth.
func Limit(perSecond float64, now func() time.Time) func(context.Context, Request) error {
	var mu sync.Mutex
	tokens, last := perSecond, now()
	return func(ctx context.Context, r Request) error {
		mu.Lock()
		defer mu.Unlock()
		t := now()
		tokens = min(perSecond, tokens+perSecond*t.Sub(last).Seconds())
		last = t
		if tokens < 1 {
			return Throttle(ctx, r)
		}
		tokens--
		return nil
	}
}

type planned struct {
	Fault
	left int
}

type faults struct {
	mu   sync.Mutex
	list []*planned // replaced, never changed in place
}

func (f *faults) apply(ctx context.Context, r Request, w When) error {
	f.mu.Lock()
	list := f.list
	f.mu.Unlock()
	for _, p := range list {
		if p.When == w && (p.Match == nil || p.Match(r)) && f.take(p) {
			if err := p.Do(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// take uses up one of a fault's times.
func (f *faults) take(p *planned) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Times == 0 {
		return true
	}
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}
