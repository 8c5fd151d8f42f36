package lambda

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRuntimeAPI plays a runtime by hand.
func TestRuntimeAPI(t *testing.T) {
	t.Parallel()
	const (
		next     = "GET /2018-06-01/runtime/invocation/next"
		response = "POST /2018-06-01/runtime/invocation/ID/response"
		failure  = "POST /2018-06-01/runtime/invocation/ID/error"
		other    = "POST /2018-06-01/runtime/invocation/other/response"
		refuse   = "POST /2018-06-01/runtime/init/error"

		ok        = `202 {"status":"OK"}`
		event     = `200 {"n":1}`
		wrongID   = `400 {"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}`
		forbidden = `403 {"errorType":"InvalidStateTransition","errorMessage":"State transition from `
		denied    = ` failed for runtime. Error: State transition is not allowed"}`
	)
	tests := []struct {
		name  string
		calls []string // method, path and what is answered
	}{
		{"an answer is taken once", []string{next, event, response, ok, response, forbidden + "ResponseSent to ResponseSent" + denied}},
		{"an error is an answer", []string{next, event, failure, ok, response, forbidden + "ResponseSent to ResponseSent" + denied}},
		{"an answer to another invocation is refused", []string{next, event, other, wrongID, response, ok}},
		{"an answer without an invocation is refused", []string{response, forbidden + "Started to ResponseSent" + denied}},
		{"a next without an answer is refused", []string{next, event, next, forbidden + "Running to Ready" + denied, response, ok}},
		{"a failed initialisation has no next", []string{refuse, ok, next, forbidden + "InitError to Ready" + denied}},
		{"an initialisation fails only at the beginning", []string{next, event, refuse, forbidden + "Running to InitError" + denied}},
		{"a path that is none is not found", []string{"GET /2018-06-01/runtime", "404 404 page not found"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newRuntimeAPI(stream{path: filepath.Join(t.TempDir(), "none")})
			i := newInvocation("ID", "arn", []byte(`{"n":1}`))
			go func() {
				select {
				case a.work <- i:
				case <-t.Context().Done():
				}
			}()
			var got, want []string
			for c := 0; c < len(tt.calls); c += 2 {
				got = append(got, tt.calls[c], call(t.Context(), a, tt.calls[c]))
			}
			want = tt.calls
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("calls and answers (-want +got):\n%s", diff)
			}
		})
	}
}

func call(ctx context.Context, a *runtimeAPI, request string) string {
	method, path, _ := strings.Cut(request, " ")
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, nil))
	return strings.TrimSpace(strconv.Itoa(w.Code) + " " + w.Body.String())
}

func TestNextIsHeldOpen(t *testing.T) {
	t.Parallel()
	const next = "GET /2018-06-01/runtime/invocation/next"
	a := newRuntimeAPI(stream{path: filepath.Join(t.TempDir(), "none")})
	first := make(chan string)
	go func() { first <- call(t.Context(), a, next) }()
	<-a.ready
	if got := call(t.Context(), a, next); !strings.HasPrefix(got, "403 ") {
		t.Errorf("a second next while one is held: %s, want 403", got)
	}
	close(a.gone)
	if got := <-first; !strings.HasPrefix(got, "410 ") {
		t.Errorf("the next that was held when the sandbox ended: %s, want 410", got)
	}
}

func TestNextThatWasGivenUp(t *testing.T) {
	t.Parallel()
	const next = "GET /2018-06-01/runtime/invocation/next"
	a := newRuntimeAPI(stream{path: filepath.Join(t.TempDir(), "none")})
	ctx, giveUp := context.WithCancel(t.Context())
	first := make(chan string)
	go func() { first <- call(ctx, a, next) }()
	<-a.ready
	giveUp()
	<-first
	i := newInvocation("ID", "arn", []byte("{}"))
	go func() { a.work <- i }()
	if got := call(t.Context(), a, next); got != "200 {}" {
		t.Errorf("a next after one that was given up: %s, want the invocation", got)
	}
}

func TestInvocationHeaders(t *testing.T) {
	t.Parallel()
	i := newInvocation("ID", "arn:aws:lambda:us-east-1:111122223333:function:rotate:reconcile", []byte("{}"))
	i.deadline = time.UnixMilli(1_793_000_000_123)
	w := httptest.NewRecorder()
	i.write(w)
	got := w.Result().Header
	if trace := got.Get("Lambda-Runtime-Trace-Id"); !strings.HasPrefix(trace, "Root=1-") {
		t.Errorf("trace id %q", trace)
	}
	got.Del("Lambda-Runtime-Trace-Id")
	want := http.Header{
		"Content-Type":                        {"application/json"},
		"Lambda-Runtime-Aws-Request-Id":       {"ID"},
		"Lambda-Runtime-Deadline-Ms":          {"1793000000123"},
		"Lambda-Runtime-Invoked-Function-Arn": {"arn:aws:lambda:us-east-1:111122223333:function:rotate:reconcile"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}
