package lambda

import (
	"io"
	"net/http"
	"strconv"
	"sync"
)

// maxAnswer is the largest answer of a function, in bytes.
const maxAnswer = 6*1024*1024 + 100

// runtimeAPI is what a sandbox's process talks to: it fetches an invocation
// with next, gives its answer, and fetches the next. An invocation is over
// when the runtime asks for another one.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	log     stream
	work    chan *invocation // unbuffered: taken by the next that is held open
	ready   chan struct{}    // closed by the first next
	refused chan answer      // takes the one init/error
	gone    chan struct{}    // closed when the process has ended: nothing is held open any longer

	mu      sync.Mutex
	state   runtimeState
	held    bool // a next is being held open
	current *invocation
}

type runtimeState string

const (
	starting     runtimeState = "Started"
	initFailed   runtimeState = "InitError"
	ready        runtimeState = "Ready"
	running      runtimeState = "Running"
	responseSent runtimeState = "ResponseSent"
)

func newRuntimeAPI(log stream) *runtimeAPI {
	return &runtimeAPI{
		log:     log,
		work:    make(chan *invocation),
		ready:   make(chan struct{}),
		refused: make(chan answer, 1),
		gone:    make(chan struct{}),
		state:   starting,
	}
}

func (a *runtimeAPI) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	m.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	m.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.invocationError)
	m.HandleFunc("POST /2018-06-01/runtime/init/error", a.initError)
	return m
}

// next is held open until there is work. When the sandbox ends first it is
// answered 410, as a runtime that waits for ever could not be told otherwise.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	if from, ok := a.hold(); !ok {
		forbid(w, from, ready)
		return
	}
	select {
	case i := <-a.work:
		a.begin(i)
		i.write(w)
	case <-a.gone:
		refuse(w, http.StatusGone, "Gone", "The sandbox has ended")
	case <-r.Context().Done():
		a.mu.Lock()
		a.held = false
		a.mu.Unlock()
	}
}

// hold ends the invocation that was answered, and has its next held open. Only
// one can be, and none before there is an answer.
func (a *runtimeAPI) hold() (from runtimeState, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from = a.state
	switch {
	case a.held || a.state == running || a.state == initFailed:
		return from, false
	case a.state == starting:
		close(a.ready)
	case a.current != nil:
		close(a.current.done)
		a.current = nil
	}
	a.state, a.held = ready, true
	return from, true
}

func (a *runtimeAPI) begin(i *invocation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state, a.held, a.current = running, false, i
	i.begin(a.log)
}

// write gives an invocation to the process.
func (i *invocation) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Trace-Id", i.trace)
	h.Set("Lambda-Runtime-Invoked-Function-Arn", i.arn)
	_, _ = w.Write(i.payload) // a process that is gone is noticed as such
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, false)
}

func (a *runtimeAPI) invocationError(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, true)
}

// answer takes what the function makes of the running invocation.
func (a *runtimeAPI) answer(w http.ResponseWriter, r *http.Request, isError bool) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	tooLarge := len(body) > maxAnswer
	given := answer{payload: body, isError: isError}
	if tooLarge {
		given = failed("Function.ResponseSizeTooLarge",
			"Response payload size exceeded maximum allowed payload size ("+strconv.Itoa(maxAnswer)+" bytes).")
	}
	a.mu.Lock()
	from := a.state
	known := a.current != nil && a.current.id == r.PathValue("id")
	if from == running && known {
		a.current.answer, a.state = &given, responseSent
	}
	a.mu.Unlock()
	switch {
	case from != running:
		forbid(w, from, responseSent)
	case !known:
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
	case tooLarge:
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			"Exceeded maximum allowed payload size ("+strconv.Itoa(maxAnswer)+" bytes).")
	default:
		accept(w)
	}
}

// initError takes the runtime's reason for not starting.
func (a *runtimeAPI) initError(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	a.mu.Lock()
	from := a.state
	if from == starting {
		a.state = initFailed
		a.refused <- answer{payload: body, isError: true, status: errorStatus(errorType(body))}
	}
	a.mu.Unlock()
	if from != starting {
		forbid(w, from, initFailed)
		return
	}
	accept(w)
}

// readBody returns at most one byte more than an answer may have. It reads all
// there is, so that the process hears what is said of it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated")
		return nil, false
	}
	return body, true
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n")
}

// forbid answers a call that is out of turn.
func forbid(w http.ResponseWriter, from, to runtimeState) {
	refuse(w, http.StatusForbidden, "InvalidStateTransition",
		"State transition from "+string(from)+" to "+string(to)+" failed for runtime. Error: State transition is not allowed")
}

func refuse(w http.ResponseWriter, status int, errorType, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(errorPayload(errorType, message))
}

// requestID returns the id of the invocation under way, or "".
func (a *runtimeAPI) requestID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil {
		return ""
	}
	return a.current.id
}

// given returns the answer to an invocation, nil while there is none.
func (a *runtimeAPI) given(i *invocation) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return i.answer
}
