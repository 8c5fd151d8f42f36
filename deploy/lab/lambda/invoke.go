package lambda

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const (
	// initLimit is the time that a sandbox has to ask for its first
	// invocation before the invocation's own time is used.
	// https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
	initLimit = 10 * time.Second

	maxPayload      = 6 * 1024 * 1024 // of a synchronous invocation, in bytes
	maxEventPayload = 1024 * 1024     // of an asynchronous one

	// unhandled is the X-Amz-Function-Error of every error that a runtime
	// reports; "Handled" comes from runtimes that are gone.
	unhandled = "Unhandled"
)

// Result is what an invocation came to.
type Result struct {
	RequestID     string
	Payload       []byte // the function's answer, or the error as {"errorType":…,"errorMessage":…}
	FunctionError string // "Unhandled" when it is an error
	LogTail       []byte // the last 4 KB that the invocation logged
}

// Invoke runs a function and returns its answer, which may be an error of the
// function. The name is a name, a partial ARN or an ARN, with or without a
// qualifier. An error is a [*wire.Error], such as ResourceNotFoundException or
// TooManyRequestsException. When the context ends, the sandbox is killed.
func (s *Service) Invoke(ctx context.Context, name string, payload []byte) (Result, error) {
	return s.Repeat(ctx, newRequestID(), name, payload)
}

// Repeat is Invoke with the request id of an earlier invocation, which Lambda
// keeps when it tries an asynchronous event again.
// https://repost.aws/knowledge-center/lambda-function-duplicate-invocations
func (s *Service) Repeat(ctx context.Context, requestID, name string, payload []byte) (Result, error) {
	f, arn, err := s.resolve(name, "")
	if err != nil {
		return Result{}, err
	}
	if payload, err = checkPayload(payload, maxPayload); err != nil {
		return Result{}, err
	}
	return s.invoke(ctx, f, newInvocation(requestID, arn, payload))
}

// invoke runs an invocation, if the limits allow it, in an idle sandbox or else
// in a new one.
func (s *Service) invoke(ctx context.Context, f *function, i *invocation) (Result, error) {
	leave, err := s.admit(ctx, f, false)
	if err != nil {
		return Result{}, err
	}
	defer leave()
	return s.run(ctx, f, i)
}

// run is invoke for an invocation that was admitted.
func (s *Service) run(ctx context.Context, f *function, i *invocation) (Result, error) {
	for b := s.takeIdle(f); b != nil; b = s.takeIdle(f) {
		i.deadline = time.Now().Add(f.Timeout)
		if a, taken := b.run(ctx, i); taken {
			return s.finish(ctx, b, i, a, 0)
		}
	}
	log, err := s.newStream(f.Name)
	if err != nil {
		return Result{}, err
	}
	b, took, err := s.initialise(ctx, f, i, log)
	if e, ok := errors.AsType[*failure](err); ok {
		return i.result(e.answer, i.end(log, e.answer, 0, f.MemoryMB, 0)), nil
	}
	if err != nil {
		return Result{}, err
	}
	a, _ := b.run(ctx, i)
	return s.finish(ctx, b, i, a, took)
}

// finish writes the end of an invocation to the log and keeps the sandbox.
func (s *Service) finish(ctx context.Context, b *sandbox, i *invocation, a answer, init time.Duration) (Result, error) {
	tail := i.end(b.log, a, init, b.function.MemoryMB, b.observe(0))
	s.putBack(b)
	if b.api.given(i) == nil && ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	return i.result(a, tail), nil
}

func (i *invocation) result(a answer, tail []byte) Result {
	r := Result{RequestID: i.id, Payload: a.payload, LogTail: tail}
	if a.isError {
		r.FunctionError = unhandled
	}
	return r
}

// initialise starts a sandbox and sets the invocation's deadline. A start that
// fails is tried once more, on the time of the invocation; then the error is a
// [*failure].
func (s *Service) initialise(ctx context.Context, f *function, i *invocation, log stream) (*sandbox, time.Duration, error) {
	begun := time.Now()
	b, err := s.initialiseOnce(ctx, f, i, log, initLimit)
	took := time.Since(begun)
	i.deadline = time.Now().Add(f.Timeout)
	first, again := errors.AsType[*failure](err)
	if !again {
		return b, took, err
	}
	log.printf("INIT_REPORT Init Duration: %s\tPhase: init%s", milliseconds(took), first.status)

	begun = time.Now()
	b, err = s.initialiseOnce(ctx, f, i, log, f.Timeout)
	if second, ok := errors.AsType[*failure](err); ok {
		log.printf("INIT_REPORT Init Duration: %s\tPhase: invoke%s", milliseconds(time.Since(begun)), second.status)
		i.begin(log)
		i.begun = begun
	}
	return b, 0, err
}

// initialiseOnce starts a sandbox and waits until it asks for work.
func (s *Service) initialiseOnce(ctx context.Context, f *function, i *invocation, log stream, limit time.Duration) (*sandbox, error) {
	b, err := s.start(f, log)
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Op == "fork/exec" {
		return nil, &failure{failed("Runtime.InvalidEntrypoint", "RequestId: "+i.id+" Error: "+err.Error())}
	}
	if err != nil {
		return nil, err
	}
	err = b.await(ctx, i.id, limit)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return b, err
}

// reference takes a function's name apart, in the forms that AWS takes.
var reference = regexp.MustCompile(`^(?:arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):)?(?:(\d{12}):)?(?:function:)?([a-zA-Z0-9-_]+)(?::(\$LATEST|[a-zA-Z0-9-_]+))?$`)

// resolve finds a function, and the ARN by which it was called.
func (s *Service) resolve(name, qualifier string) (f *function, arn string, err error) {
	m := reference.FindStringSubmatch(name)
	if m == nil || len(name) > 170 {
		return nil, "", &wire.Error{Code: "ValidationException", Message: "1 validation error detected: Value '" + name +
			"' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: " +
			`(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`}
	}
	region, account, base := cmp.Or(m[1], s.options.Region), cmp.Or(m[2], s.options.Account), m[3]
	if m[4] != "" && qualifier != "" && m[4] != qualifier {
		return nil, "", invalidParameter("The derived qualifier from the function name does not match the specified qualifier.")
	}
	qualifier = cmp.Or(qualifier, m[4])
	o := s.options
	o.Region, o.Account = region, account
	arn = o.functionARN(base, qualifier)

	s.mu.Lock()
	f = s.functions[base]
	s.mu.Unlock()
	known := f != nil && region == s.options.Region && account == s.options.Account &&
		(qualifier == "" || qualifier == latest || slices.Contains(f.Aliases, qualifier) || f.published(qualifier))
	if !known {
		return nil, "", &wire.Error{Code: "ResourceNotFoundException", Message: "Function not found: " + arn, Status: http.StatusNotFound}
	}
	return f, arn, nil
}

// checkPayload returns the event that the function gets.
func checkPayload(payload []byte, limit int) ([]byte, error) {
	switch {
	case len(bytes.TrimSpace(payload)) == 0:
		return []byte("{}"), nil
	case len(payload) > limit:
		return nil, &wire.Error{Code: "RequestTooLargeException", Status: http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", limit)}
	case !json.Valid(payload):
		return nil, &wire.Error{Code: "InvalidRequestContentException",
			Message: "Could not parse request body into json: Could not parse payload into json"}
	}
	return payload, nil
}

func throttled(reason string) error {
	return &wire.Error{Code: "TooManyRequestsException", Message: "Rate Exceeded.", Status: http.StatusTooManyRequests,
		Members: map[string]any{"Reason": reason}}
}

func invalidParameter(message string) error {
	return &wire.Error{Code: "InvalidParameterValueException", Message: message}
}
