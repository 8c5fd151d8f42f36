package sqs_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// function is a function in this process; answer may be nil.
type function struct {
	takes  time.Duration
	answer func(bodies []string, ids map[string]string) (sqs.InvokeResult, error)

	mu            sync.Mutex
	batches       [][]string
	running, most int
	last          []byte
}

func (f *function) Invoke(_ context.Context, _ string, payload []byte) (sqs.InvokeResult, error) {
	var event struct {
		Records []struct{ MessageId, Body string }
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return sqs.InvokeResult{}, err
	}
	var bodies []string
	ids := map[string]string{}
	for _, r := range event.Records {
		bodies = append(bodies, r.Body)
		ids[r.Body] = r.MessageId
	}
	f.mu.Lock()
	f.batches, f.last = append(f.batches, bodies), payload
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	time.Sleep(f.takes) // in a bubble: the time that the function needs
	f.mu.Lock()
	f.running--
	f.mu.Unlock()
	if f.answer == nil {
		return sqs.InvokeResult{Payload: []byte("null")}, nil
	}
	return f.answer(bodies, ids)
}

func (f *function) seen() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.batches)
}

const functionARN = "arn:aws:lambda:us-east-1:111122223333:function:events"

// bubble is a service in a synctest bubble, with a queue that a function reads.
type bubble struct {
	t       *testing.T
	service *sqs.Service
}

func newBubble(t *testing.T, f *function, src sqs.Source, attributes map[string]string) bubble {
	t.Helper()
	b := bubble{t: t, service: sqs.New(sqs.Options{Invoker: f})}
	t.Cleanup(b.service.Close)
	b.call("CreateQueue", map[string]any{"QueueName": "dead"})
	b.call("CreateQueue", map[string]any{"QueueName": "work", "Attributes": attributes})
	src.QueueARN, src.FunctionARN = arn("work"), functionARN
	if _, err := b.service.AddSource(src); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b bubble) call(action string, in map[string]any) map[string]any {
	b.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := b.service.Serve(b.t.Context(), wire.Request{Action: action, Body: body})
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := wire.Encode(out)
	if err != nil {
		b.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (b bubble) send(bodies ...string) {
	for _, body := range bodies {
		b.call("SendMessage", map[string]any{"QueueUrl": "work", "MessageBody": body})
	}
}

// left tells how many messages a queue has, visible or not.
func (b bubble) left(queue string) int {
	b.t.Helper()
	a := b.call("GetQueueAttributes", map[string]any{"QueueUrl": queue, "AttributeNames": []string{"All"}})["Attributes"].(map[string]any)
	visible, _ := strconv.Atoi(a["ApproximateNumberOfMessages"].(string))
	hidden, _ := strconv.Atoi(a["ApproximateNumberOfMessagesNotVisible"].(string))
	return visible + hidden
}

func (b bubble) wait(d time.Duration) {
	time.Sleep(d) // in a bubble: the clock jumps
	synctest.Wait()
}

func TestAFunctionGetsBatchesAndEmptiesTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &function{}
		b := newBubble(t, f, sqs.Source{BatchSize: 3, Window: 2 * time.Second}, nil)
		b.send("1", "2")
		b.wait(time.Second)
		if got := f.seen(); len(got) != 0 {
			t.Fatalf("invoked with %v while the window is open", got)
		}
		b.send("3", "4")
		b.wait(0)
		if got := f.seen(); len(got) != 1 || !slices.Equal(got[0], []string{"1", "2", "3"}) {
			t.Fatalf("invoked with %v, want a full batch at once", got)
		}
		b.wait(2 * time.Second)
		if got := f.seen(); len(got) != 2 || !slices.Equal(got[1], []string{"4"}) {
			t.Fatalf("invoked with %v, want the rest when the window has closed", got)
		}
		if n := b.left("work"); n != 0 {
			t.Errorf("%d messages are left, want none", n)
		}
		var event struct{ Records []map[string]any }
		if err := json.Unmarshal(f.last, &event); err != nil {
			t.Fatal(err)
		}
		r := event.Records[0]
		if r["eventSource"] != "aws:sqs" || r["eventSourceARN"] != arn("work") || r["awsRegion"] != "us-east-1" || r["md5OfBody"] != "a87ff679a2f3e71d9181a67b7542122c" {
			t.Errorf("record %v, want one as AWS makes it", r)
		}
		if a, _ := r["attributes"].(map[string]any); a["ApproximateReceiveCount"] != "1" {
			t.Errorf("attributes %v, want the receive count", a)
		}
	})
}

func TestFailedMessagesComeAgainUntilTheyAreDead(t *testing.T) {
	t.Parallel()
	fails := func(answer func(map[string]string) sqs.InvokeResult) func([]string, map[string]string) (sqs.InvokeResult, error) {
		return func(bodies []string, ids map[string]string) (sqs.InvokeResult, error) {
			if !slices.Contains(bodies, "bad") {
				return sqs.InvokeResult{Payload: []byte(`{"batchItemFailures":[]}`)}, nil
			}
			return answer(ids), nil
		}
	}
	tests := []struct {
		name   string
		report bool
		answer func([]string, map[string]string) (sqs.InvokeResult, error)
		dead   int // of good, bad
	}{
		{"the one that the function names", true, fails(func(ids map[string]string) sqs.InvokeResult {
			return sqs.InvokeResult{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"` + ids["bad"] + `"}]}`)}
		}), 1},
		{"all, when failures are not reported", false, fails(func(map[string]string) sqs.InvokeResult {
			return sqs.InvokeResult{Payload: []byte(`{"errorType":"x"}`), FunctionError: "Unhandled"}
		}), 2},
		{"all, when the answer is no JSON", true, fails(func(map[string]string) sqs.InvokeResult { return sqs.InvokeResult{Payload: []byte("oops")} }), 2},
		{"all, when an identifier is no message's", true, fails(func(map[string]string) sqs.InvokeResult {
			return sqs.InvokeResult{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"x"}]}`)}
		}), 2},
		{"all, when an identifier is empty", true, fails(func(map[string]string) sqs.InvokeResult {
			return sqs.InvokeResult{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":""}]}`)}
		}), 2},
		{"all, when the key is another", true, fails(func(map[string]string) sqs.InvokeResult {
			return sqs.InvokeResult{Payload: []byte(`{"batchItemFailures":[{"id":"x"}]}`)}
		}), 2},
		{"none, when no failure is named", true, fails(func(map[string]string) sqs.InvokeResult { return sqs.InvokeResult{Payload: []byte(`{}`)} }), 0},
		{"none, when names are not asked for", false, fails(func(ids map[string]string) sqs.InvokeResult {
			return sqs.InvokeResult{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"` + ids["bad"] + `"}]}`)}
		}), 0},
		{"all, when the function cannot be run", false, func([]string, map[string]string) (sqs.InvokeResult, error) {
			return sqs.InvokeResult{}, errors.New("throttled")
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &function{answer: tt.answer}
				attributes := redrive("dead", 3)
				attributes["VisibilityTimeout"] = "60"
				b := newBubble(t, f, sqs.Source{BatchSize: 2, Window: time.Second, ReportBatchItemFailures: tt.report}, attributes)
				b.send("good", "bad")
				b.wait(0)
				if n := len(f.seen()); n != 1 {
					t.Fatalf("invoked %d times, want once", n)
				}
				b.wait(10 * time.Minute)
				if n := b.left("work"); n != 0 {
					t.Errorf("%d messages are left in the queue, want none", n)
				}
				if n := b.left("dead"); n != tt.dead {
					t.Errorf("%d messages are dead, want %d", n, tt.dead)
				}
				want := 1
				if tt.dead > 0 {
					want = 3
				}
				if n := len(f.seen()); n != want {
					t.Errorf("invoked %d times, want %d", n, want)
				}
			})
		})
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &function{takes: time.Second}
		b := newBubble(t, f, sqs.Source{BatchSize: 1, MaximumConcurrency: 2}, nil)
		b.send("1", "2", "3", "4", "5")
		b.wait(2500 * time.Millisecond)
		if n := len(f.seen()); n != 5 || f.most != 2 {
			t.Errorf("%d invocations, %d at once; want 5 and 2", n, f.most)
		}
		b.wait(time.Second)
		if n := b.left("work"); n != 0 {
			t.Errorf("%d messages are left, want none", n)
		}
	})
}

func TestASourceThatWasRemovedReadsNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &function{}
		s := sqs.New(sqs.Options{Invoker: f})
		defer s.Close()
		b := bubble{t: t, service: s}
		b.call("CreateQueue", map[string]any{"QueueName": "work"})
		remove, err := s.AddSource(sqs.Source{QueueARN: arn("work"), FunctionARN: functionARN})
		if err != nil {
			t.Fatal(err)
		}
		remove()
		b.send("1")
		b.wait(time.Minute)
		if n := b.left("work"); n != 1 || len(f.seen()) != 0 {
			t.Errorf("%d messages are left after %v, want the one", n, f.seen())
		}
	})
}

func TestAddSourceRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{Invoker: &function{}})
	l.create(t, "work", nil)
	for name, src := range map[string]sqs.Source{
		"a queue that is not there":             {QueueARN: arn("none")},
		"a large batch without a window":        {QueueARN: arn("work"), BatchSize: 11},
		"a concurrency of one":                  {QueueARN: arn("work"), MaximumConcurrency: 1},
		"a window that is too long":             {QueueARN: arn("work"), Window: 301 * time.Second},
		"a function that outlives the message":  {QueueARN: arn("work"), FunctionTimeout: 31 * time.Second},
		"a batch that is larger than the limit": {QueueARN: arn("work"), BatchSize: 10_001, Window: time.Second},
	} {
		if _, err := l.service.AddSource(src); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
