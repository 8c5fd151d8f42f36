package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// What AWS does with an event when nobody says otherwise.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
const (
	defaultRetries  = 2
	defaultEventAge = 6 * time.Hour
	maxErrorMessage = 1024 // bytes, of the message attribute of a dead letter
)

// Async are the options of asynchronous invocations. The zero value is usable,
// but loses dead letters.
type Async struct {
	Now  func() time.Time // the lab's clock; default time.Now. Whoever sets it calls Wake
	Seed uint64           // of what is delivered twice

	// RetryDelays are before the second and the third attempt; default one
	// minute and two.
	RetryDelays [2]time.Duration
	// Duplicates is the share of events, 0 to 1, that a function is run for
	// once more even without an error: AWS promises at least one time.
	Duplicates float64

	// Send puts a message into a queue or topic for a function: dead letters
	// with their attributes, and the records of destinations, which have none.
	Send func(ctx context.Context, to, functionARN, body string, attributes map[string]string) error
	// Ended is told how the life of every event ended. It must not wait.
	Ended func(Event)
}

// Event is an asynchronous invocation that is over.
type Event struct {
	RequestID, FunctionARN string
	Condition              string // Success, RetriesExhausted, EventAgeExceeded
	Attempts               int
	FunctionError          string
	Payload, Response      []byte
}

const (
	succeeded = "Success"
	exhausted = "RetriesExhausted"
	tooOld    = "EventAgeExceeded"
)

func (a Async) complete() Async {
	if a.Now == nil {
		a.Now = time.Now
	}
	if a.RetryDelays == [2]time.Duration{} {
		a.RetryDelays = [2]time.Duration{time.Minute, 2 * time.Minute}
	}
	if a.Send == nil {
		a.Send = func(context.Context, string, string, string, map[string]string) error { return nil }
	}
	if a.Ended == nil {
		a.Ended = func(Event) {}
	}
	return a
}

// InvokeEvent queues an event for a function, as Invoke with the type Event
// does, and as the services of the lab do. The name is as in [Service.Invoke].
func (s *Service) InvokeEvent(_ context.Context, name string, payload []byte) error {
	_, arn, err := s.resolve(name, "")
	if err != nil {
		return err
	}
	if payload, err = checkPayload(payload, maxEventPayload); err != nil {
		return err
	}
	return s.queue(newInvocation(newRequestID(), arn, payload))
}

// queue takes an event and runs its function in the background.
func (s *Service) queue(i *invocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	times := 1
	if s.random.Float64() < s.options.Async.Duplicates {
		times = 2
	}
	accepted := s.options.Async.Now()
	for range times {
		s.queued.Go(func() { s.follow(i.again(), accepted) })
	}
	return nil
}

// follow is the life of an event: attempts with the same request id until one
// succeeds, none is left, or the event is too old. A throttled event waits in
// the queue until there is room, which is no attempt.
func (s *Service) follow(i *invocation, accepted time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	e := Event{RequestID: i.id, FunctionARN: i.arn, Payload: i.payload}
	for {
		c := s.config(i.arn)
		result, err := s.attempt(ctx, i.again(), accepted.Add(c.age()))
		switch {
		case ctx.Err() != nil:
			return // the lab is closing
		case errors.Is(err, errTooOld):
			e.Condition = tooOld
			s.end(ctx, c, e)
			return
		}
		e.Attempts++
		e.FunctionError, e.Response = result.FunctionError, result.Payload
		if err != nil { // it could not be run at all
			e.FunctionError, e.Response = unhandled, errorPayload("Lambda.Unknown", err.Error())
		}
		switch {
		case e.FunctionError == "":
			e.Condition = succeeded
		case e.Attempts > c.retries():
			e.Condition = exhausted
		default:
			next := s.options.Async.Now().Add(s.options.Async.RetryDelays[min(e.Attempts, 2)-1])
			if s.clock.Until(ctx, next) != nil {
				return
			}
			continue
		}
		s.end(ctx, c, e)
		return
	}
}

var errTooOld = errors.New("the event is too old")

// attempt runs a function once there is room for it, unless the event gets too
// old before.
func (s *Service) attempt(ctx context.Context, i *invocation, expires time.Time) (Result, error) {
	f, _, err := s.resolve(i.arn, "")
	if err != nil {
		return Result{}, err
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	expired := make(chan struct{})
	go func() {
		defer close(expired)
		_ = s.clock.Until(waiting, expires)
		stop()
	}()
	leave, err := s.admit(waiting, f, true)
	stop()
	<-expired
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errClosed) {
			err = errTooOld
		}
		return Result{}, err
	}
	defer leave()
	if !s.options.Async.Now().Before(expires) {
		return Result{}, errTooOld
	}
	return s.run(ctx, f, i)
}

// end sends an event's record to its destination, and its dead letter.
func (s *Service) end(ctx context.Context, c eventConfig, e Event) {
	to := c.DestinationConfig.OnSuccess.Destination
	if e.Condition != succeeded {
		to = c.DestinationConfig.OnFailure.Destination
		if f, _, err := s.resolve(e.FunctionARN, ""); err == nil && f.DeadLetter != "" {
			_ = s.options.Async.Send(ctx, f.DeadLetter, e.FunctionARN, string(e.Payload), e.letter()) // a metric on AWS, and lost
		}
	}
	if to != "" {
		_ = s.options.Async.Send(ctx, to, e.FunctionARN, string(e.record(s.options.Async.Now())), nil)
	}
	s.options.Async.Ended(e)
}

// letter returns the message attributes of a dead letter.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func (e Event) letter() map[string]string {
	var cause struct {
		Message string `json:"errorMessage"`
	}
	_ = json.Unmarshal(e.Response, &cause) // an error that has none
	message := strings.ToValidUTF8(cause.Message[:min(len(cause.Message), maxErrorMessage)], "")
	return map[string]string{"RequestID": e.RequestID, "ErrorCode": "200", "ErrorMessage": message}
}

// record returns what a destination is sent.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func (e Event) record(now time.Time) []byte {
	arn := e.FunctionARN
	if strings.Count(arn, ":") == 6 {
		arn += ":" + latest
	}
	type m = map[string]any
	record := m{
		"version":   "1.0",
		"timestamp": now.UTC().Format("2006-01-02T15:04:05.000Z"),
		"requestContext": m{
			"requestId": e.RequestID, "functionArn": arn, "condition": e.Condition, "approximateInvokeCount": e.Attempts,
		},
		"requestPayload": json.RawMessage(e.Payload),
	}
	if e.Attempts > 0 {
		response := m{"statusCode": 200, "executedVersion": latest}
		if e.FunctionError != "" {
			response["functionError"] = e.FunctionError
		}
		record["responseContext"] = response
		if json.Valid(e.Response) {
			record["responsePayload"] = json.RawMessage(e.Response)
		}
	}
	b, _ := json.Marshal(record) // valid JSON in a map
	return b
}
