package lambda_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const (
	sampleARN = "arn:aws:lambda:us-east-1:111122223333:function:sample"
	deadARN   = "arn:aws:sqs:us-east-1:111122223333:dead"
	failedARN = "arn:aws:sns:us-east-1:111122223333:failed"
)

// outbox notes what Lambda sends for functions.
type outbox struct {
	mu   sync.Mutex
	sent []message
	over []lambda.Event
}

type message struct {
	To, Function, Body string
	Attributes         map[string]string
}

func (o *outbox) send(_ context.Context, to, function, body string, attributes map[string]string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, message{to, function, body, attributes})
	return nil
}

func (o *outbox) ended(e lambda.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = append(o.over, e)
}

func (o *outbox) options() lambda.Async {
	return lambda.Async{Send: o.send, Ended: o.ended, RetryDelays: [2]time.Duration{time.Millisecond, 2 * time.Millisecond}}
}

// configure calls the API of event invoke configurations.
func configure(t *testing.T, s *lambda.Service, method, query, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://lab/2019-09-25/functions/sample/event-invoke-config"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestAFailedEventIsTriedAgainWithTheSameRequestID(t *testing.T) {
	t.Parallel()
	var o outbox
	f := function()
	f.DeadLetter = deadARN
	s := newService(t, lambda.Options{Async: o.options()}, f)
	if status, body := configure(t, s, "PUT", "", `{"DestinationConfig":{"OnFailure":{"Destination":"`+failedARN+`"}}}`); status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	if err := s.InvokeEvent(t.Context(), "sample", []byte(`{"Do":"error"}`)); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	id := o.over[0].RequestID
	want := []lambda.Event{{
		RequestID: id, FunctionARN: sampleARN, Condition: "RetriesExhausted", Attempts: 3, FunctionError: "Unhandled",
		Payload: []byte(`{"Do":"error"}`), Response: []byte(`{"errorMessage":"no such host","errorType":"errorString"}`),
	}}
	if diff := cmp.Diff(want, o.over); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	log, err := s.Logs("sample")
	if err != nil || strings.Count(log, "START RequestId: "+id) != 3 {
		t.Errorf("%v; want three attempts of %s in the log:\n%s", err, id, log)
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(o.sent[1].Body), &record); err != nil {
		t.Fatal(err)
	}
	sent := []message{
		{deadARN, sampleARN, `{"Do":"error"}`, map[string]string{"RequestID": id, "ErrorCode": "200", "ErrorMessage": "no such host"}},
		{To: failedARN, Function: sampleARN, Body: o.sent[1].Body},
	}
	if diff := cmp.Diff(sent, o.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	wantRecord := map[string]any{
		"version": "1.0", "timestamp": record["timestamp"],
		"requestContext": map[string]any{
			"requestId": id, "functionArn": sampleARN + ":$LATEST", "condition": "RetriesExhausted", "approximateInvokeCount": 3.0,
		},
		"requestPayload":  map[string]any{"Do": "error"},
		"responseContext": map[string]any{"statusCode": 200.0, "executedVersion": "$LATEST", "functionError": "Unhandled"},
		"responsePayload": map[string]any{"errorMessage": "no such host", "errorType": "errorString"},
	}
	if diff := cmp.Diff(wantRecord, record); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestEventsEndAsTheirConfigurationSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config, event string
		edit          func(*lambda.Function)
		condition     string
		attempts      int
	}{
		"a success":           {`{}`, `{}`, nil, "Success", 1},
		"no retries":          {`{"MaximumRetryAttempts":0}`, `{"Do":"error"}`, nil, "RetriesExhausted", 1},
		"one retry of a time": {`{"MaximumRetryAttempts":1}`, `{"Do":"sleep"}`, func(f *lambda.Function) { f.Timeout = 50 * time.Millisecond }, "RetriesExhausted", 2},
		"a crash":             {`{}`, `{"Do":"exit","Code":3}`, nil, "RetriesExhausted", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o outbox
			f := function()
			if tt.edit != nil {
				tt.edit(&f)
			}
			s := newService(t, lambda.Options{Async: o.options()}, f)
			if status, body := configure(t, s, "PUT", "", tt.config); status != 200 {
				t.Fatalf("status %d: %s", status, body)
			}
			if err := s.InvokeEvent(t.Context(), sampleARN, []byte(tt.event)); err != nil {
				t.Fatal(err)
			}
			s.Wait()
			if e := o.over[0]; len(o.over) != 1 || e.Condition != tt.condition || e.Attempts != tt.attempts {
				t.Errorf("ended %+v, want %s after %d attempts", o.over, tt.condition, tt.attempts)
			}
		})
	}
}

// A throttled event waits for room, which is no attempt, but gets old.
func TestAThrottledEventGetsTooOld(t *testing.T) {
	t.Parallel()
	var o outbox
	var passed atomic.Int64
	begun := time.Now()
	options := o.options()
	options.Now = func() time.Time { return begun.Add(time.Duration(passed.Load())) }
	aged := make(chan struct{}, 2)
	options.Ended = func(e lambda.Event) {
		o.ended(e)
		aged <- struct{}{}
	}
	f := function()
	f.Concurrency = 1
	f.DeadLetter = deadARN
	s := newService(t, lambda.Options{Async: options}, f)
	c := newCaller(t)
	if status, body := configure(t, s, "PUT", "", `{"MaximumEventAgeInSeconds":60}`); status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, event := range []string{c.event("call"), `{"n":2}`} {
		if err := s.InvokeEvent(t.Context(), "sample", []byte(event)); err != nil {
			t.Fatal(err)
		}
		if event != `{"n":2}` {
			wait(t, "the call of the function", c.begun)
		}
	}
	passed.Store(int64(61 * time.Second))
	s.Wake()
	wait(t, "the end of the event that waits", aged)
	close(c.release)
	s.Wait()
	if e := o.over[0]; e.Condition != "EventAgeExceeded" || e.Attempts != 0 || string(e.Payload) != `{"n":2}` {
		t.Errorf("ended %+v", e)
	}
	if len(o.sent) != 1 || o.sent[0].Body != `{"n":2}` {
		t.Errorf("dead letters %v", o.sent)
	}
}

func TestDeliveredTwice(t *testing.T) {
	t.Parallel()
	var o outbox
	options := o.options()
	options.Duplicates = 1
	s := newService(t, lambda.Options{Async: options}, function())
	if err := s.InvokeEvent(t.Context(), "sample", []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	if len(o.over) != 2 || o.over[0].RequestID != o.over[1].RequestID {
		t.Errorf("ended %+v, want one request twice", o.over)
	}
}

func TestEventInvokeConfig(t *testing.T) {
	t.Parallel()
	f := function()
	f.Aliases = []string{"live"}
	s := newService(t, lambda.Options{
		Async: lambda.Async{Now: func() time.Time { return time.Unix(1793577600, 0) }},
		MayCall: func(_ wire.Identity, action, resource string) bool {
			return action != "sns:Publish" || strings.HasSuffix(resource, ":told")
		},
	}, f)
	const live = `{"FunctionArn":"` + sampleARN + `:live","LastModified":1793577600,`
	for _, step := range []struct {
		method, query, body string
		status              int
		want                string
	}{
		{"GET", "?Qualifier=live", "", 404, `{"Message":"The function ` + sampleARN + `:live doesn't have an EventInvokeConfig","Type":"User"}`},
		{"POST", "?Qualifier=live", "{}", 404, `{"Message":"The function ` + sampleARN + `:live doesn't have an EventInvokeConfig","Type":"User"}`},
		{"PUT", "?Qualifier=live", `{"MaximumRetryAttempts":1}`, 200, live + `"MaximumRetryAttempts":1,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}}}`},
		{"POST", "?Qualifier=live", `{"MaximumEventAgeInSeconds":60}`, 200, live + `"MaximumRetryAttempts":1,"MaximumEventAgeInSeconds":60,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}}}`},
		{"PUT", "?Qualifier=live", `{"MaximumEventAgeInSeconds":90}`, 200, live + `"MaximumEventAgeInSeconds":90,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}}}`},
		{"PUT", "", `{"MaximumRetryAttempts":3}`, 400, `{"message":"1 validation error detected: Value '3' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value less than or equal to 2"}`},
		{"PUT", "", `{"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sns:us-east-1:111122223333:other"}}}`, 400,
			`{"Type":"User","message":"The function's execution role does not have permissions to call Publish on arn:aws:sns:us-east-1:111122223333:other"}`},
		{"PUT", "?Qualifier=none", `{}`, 404, `{"Message":"Function not found: ` + sampleARN + `:none","Type":"User"}`},
		{"GET", "/list", "", 200, `{"FunctionEventInvokeConfigs":[` + live + `"MaximumEventAgeInSeconds":90,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}}}]}`},
		{"DELETE", "?Qualifier=live", "", 204, ""},
		{"DELETE", "?Qualifier=live", "", 404, `{"Message":"The function ` + sampleARN + `:live doesn't have an EventInvokeConfig","Type":"User"}`},
	} {
		if status, body := configure(t, s, step.method, step.query, step.body); status != step.status || body != step.want {
			t.Errorf("%s %s %s: %d %s, want %d %s", step.method, step.query, step.body, status, body, step.status, step.want)
		}
	}
}

func TestCloseGivesUpEventsThatWait(t *testing.T) {
	t.Parallel()
	var o outbox
	options := o.options()
	options.RetryDelays = [2]time.Duration{time.Hour, time.Hour}
	s := newService(t, lambda.Options{Async: options}, function())
	if err := s.InvokeEvent(t.Context(), "sample", []byte(`{"Do":"error"}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || o.over != nil {
		t.Errorf("close: %v; ended %v", err, o.over)
	}
	if err := s.InvokeEvent(t.Context(), "sample", []byte(`{}`)); err == nil {
		t.Error("a closed service takes events")
	}
}
