package sqs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Invoker invokes functions.
type Invoker interface {
	// Invoke runs the function once and waits for it. An error says that it
	// could not be run, was throttled or timed out; a function that ran and
	// failed has a FunctionError. It is called concurrently.
	Invoke(ctx context.Context, functionARN string, payload []byte) (InvokeResult, error)
}

// InvokeResult is what a function answered.
type InvokeResult struct {
	Payload       []byte
	FunctionError string // "" when the function succeeded; else Handled or Unhandled
}

// The limits of event source mappings.
// https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
const (
	usualBatch   = 10
	mostBatch    = 10_000
	unwindowed   = 10 // a larger batch needs a window
	longestWait  = 300 * time.Second
	firstPollers = 5        // with which AWS begins
	mostPayload  = 6 << 20  // bytes of one event
	recordExtra  = 2 * 1024 // more than the members of a record take beside its message
)

// Source is a queue that Lambda reads for a function.
type Source struct {
	QueueARN    string
	FunctionARN string // with a qualifier, if it is to be invoked by one
	BatchSize   int    // default 10
	// Window is how long a batch that is not full waits for more
	// (MaximumBatchingWindowInSeconds).
	Window time.Duration
	// ReportBatchItemFailures has the function name the messages that it
	// could not process (FunctionResponseTypes).
	ReportBatchItemFailures bool
	// MaximumConcurrency bounds the invocations at once, 2 to 1,000; default
	// 5, with which AWS begins. It goes no higher here by itself.
	MaximumConcurrency int
	// FunctionTimeout is that of the function, if it is to be checked against
	// the queue's, as AWS does.
	FunctionTimeout time.Duration
	// Disabled has the source checked, and not read.
	Disabled bool
}

// AddSource has a function invoked with the messages of a queue until remove
// is called, which waits for the invocations under way, or the service is
// closed. Messages of a batch that failed, or that are named as failed, stay
// in the queue and are seen again when their visibility timeout is over.
func (s *Service) AddSource(src Source) (remove func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byARN(src.QueueARN)
	if err := src.check(q, s.options.Invoker); err != nil {
		return nil, fmt.Errorf("read %s for %s: %w", src.QueueARN, src.FunctionARN, err)
	}
	if src.Disabled {
		return func() {}, nil
	}
	src.BatchSize = cmp.Or(src.BatchSize, usualBatch)
	src.MaximumConcurrency = cmp.Or(src.MaximumConcurrency, firstPollers)
	if s.ctx.Err() != nil {
		return nil, errors.New("the lab is closed")
	}
	ctx, stop := context.WithCancel(s.ctx)
	done := make(chan struct{})
	s.group.Go(func() {
		defer close(done)
		p := poller{service: s, queue: q, source: src, slots: make(chan struct{}, src.MaximumConcurrency)}
		p.run(ctx)
	})
	return func() {
		stop()
		<-done
	}, nil
}

func (src Source) check(q *queue, i Invoker) error {
	switch {
	case i == nil:
		return errors.New("nothing invokes functions here")
	case q == nil:
		return errNoQueue()
	case src.BatchSize < 0 || src.BatchSize > mostBatch:
		return fmt.Errorf("BatchSize %d: want 1 to %d", src.BatchSize, mostBatch)
	case src.BatchSize > unwindowed && src.Window < time.Second:
		return fmt.Errorf("BatchSize %d: a batch of more than %d needs a MaximumBatchingWindowInSeconds", src.BatchSize, unwindowed)
	case src.Window < 0 || src.Window > longestWait:
		return fmt.Errorf("MaximumBatchingWindowInSeconds %v: want 0 to %v", src.Window, longestWait)
	case src.MaximumConcurrency != 0 && (src.MaximumConcurrency < 2 || src.MaximumConcurrency > 1000):
		return fmt.Errorf("MaximumConcurrency %d: want 2 to 1000", src.MaximumConcurrency)
	case src.FunctionTimeout > q.seconds("VisibilityTimeout"):
		return fmt.Errorf("queue visibility timeout: %d seconds is less than function timeout: %d seconds",
			q.number("VisibilityTimeout"), int(src.FunctionTimeout.Seconds()))
	}
	return nil
}

// poller reads one queue for one function.
type poller struct {
	service *Service
	queue   *queue
	source  Source
	slots   chan struct{} // one for each invocation that may run
}

// run collects batches and has each invoked, until the context ends and the
// last invocation is over. A batch is collected only when it can be invoked,
// so that waiting in line does not count as a receive.
func (p poller) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		batch := p.collect(ctx)
		if len(batch) == 0 {
			<-p.slots
			continue
		}
		p.service.group.Go(func() {
			defer func() { <-p.slots }()
			p.invoke(batch)
		})
	}
	for range cap(p.slots) { // all have come back
		p.slots <- struct{}{}
	}
}

// collect waits for messages: for the first as long as it takes, for more as
// long as the window is open.
func (p poller) collect(ctx context.Context) []message {
	s := p.service
	var batch []message
	var closes time.Time
	bytes := 0
	for {
		woken := s.clock.Woken()
		s.mu.Lock()
		now := s.now()
		for len(batch) < p.source.BatchSize && bytes < mostPayload-maxMessage {
			taken := s.take(p.queue, 1, p.queue.seconds("VisibilityTimeout"))
			if len(taken) == 0 {
				break
			}
			batch = append(batch, taken[0])
			bytes += size(taken[0].body, taken[0].attributes) + recordExtra
		}
		next, gone := p.queue.next(now), p.queue.gone
		s.mu.Unlock()
		if len(batch) > 0 && closes.IsZero() {
			closes = now.Add(p.source.Window)
		}
		full := len(batch) == p.source.BatchSize || bytes >= mostPayload-maxMessage
		switch {
		case full, gone, len(batch) > 0 && !now.Before(closes), ctx.Err() != nil:
			if gone && len(batch) == 0 {
				<-ctx.Done() // there is nothing to read any more
			}
			return batch
		}
		if !closes.IsZero() && (next.IsZero() || closes.Before(next)) {
			next = closes
		}
		s.clock.Wait(ctx, woken, next)
	}
}

// record is a message as a function sees it.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
type record struct {
	MessageID         string                     `json:"messageId"`
	ReceiptHandle     string                     `json:"receiptHandle"`
	Body              string                     `json:"body"`
	Attributes        map[string]string          `json:"attributes"`
	MessageAttributes map[string]recordAttribute `json:"messageAttributes"`
	MD5OfAttributes   string                     `json:"md5OfMessageAttributes,omitempty"`
	MD5OfBody         string                     `json:"md5OfBody"`
	EventSource       string                     `json:"eventSource"`
	EventSourceARN    string                     `json:"eventSourceARN"`
	AWSRegion         string                     `json:"awsRegion"`
}

type recordAttribute struct {
	StringValue      *string  `json:"stringValue,omitempty"`
	BinaryValue      string   `json:"binaryValue,omitempty"`
	StringListValues []string `json:"stringListValues"`
	BinaryListValues []string `json:"binaryListValues"`
	DataType         string   `json:"dataType"`
}

func (p poller) event(batch []message) []byte {
	var event struct{ Records []record }
	for _, m := range batch {
		r := record{
			MessageID: m.id, ReceiptHandle: m.handle, Body: m.body, Attributes: m.systemAttributes(),
			MessageAttributes: map[string]recordAttribute{}, MD5OfBody: md5Of(m.body),
			EventSource: "aws:sqs", EventSourceARN: p.queue.arn, AWSRegion: p.service.options.Region,
		}
		for name, a := range m.attributes {
			r.MessageAttributes[name] = recordAttribute{
				StringValue: a.StringValue, BinaryValue: base64.StdEncoding.EncodeToString(a.BinaryValue),
				StringListValues: []string{}, BinaryListValues: []string{}, DataType: a.DataType,
			}
		}
		if len(m.attributes) > 0 {
			r.MD5OfAttributes = md5OfAttributes(m.attributes)
		}
		event.Records = append(event.Records, r)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(event) // strings always have a form in JSON
	return bytes.TrimSpace(b.Bytes())
}

// invoke runs the function and deletes what it has processed. Only the end of
// the service cuts it off.
func (p poller) invoke(batch []message) {
	s := p.service
	ctx := s.ctx
	result, err := s.options.Invoker.Invoke(ctx, p.source.FunctionARN, p.event(batch))
	if err != nil || result.FunctionError != "" {
		s.options.Logger.WarnContext(ctx, "batch failed", "queueArn", p.queue.arn, "functionArn", p.source.FunctionARN,
			"messages", len(batch), "error", err, "payload", string(result.Payload))
		return
	}
	failed := map[string]bool{}
	if p.source.ReportBatchItemFailures {
		var ok bool
		if failed, ok = failures(result.Payload, batch); !ok {
			s.options.Logger.WarnContext(ctx, "batch answered in no form that Lambda knows: all of it failed", "queueArn", p.queue.arn,
				"functionArn", p.source.FunctionARN, "payload", string(result.Payload))
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range batch {
		if !failed[m.id] {
			_ = s.remove(p.queue, &m.handle) // one that is gone is no error
		}
	}
	s.clock.Wake()
}

// failures reads which messages a function could not process. It is not ok
// where Lambda takes the whole batch for failed: no JSON, an identifier that
// is missing, null, empty, or no message's of the batch.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func failures(payload []byte, batch []message) (failed map[string]bool, ok bool) {
	failed = map[string]bool{}
	if text := strings.TrimSpace(string(payload)); text == "" || text == "null" {
		return failed, true
	}
	var answer struct {
		BatchItemFailures []struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if json.Unmarshal(payload, &answer) != nil {
		return nil, false
	}
	known := map[string]bool{}
	for _, m := range batch {
		known[m.id] = true
	}
	for _, f := range answer.BatchItemFailures {
		if !known[f.ItemIdentifier] {
			return nil, false
		}
		failed[f.ItemIdentifier] = true
	}
	return failed, true
}
