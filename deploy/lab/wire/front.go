// Package wire is the one HTTP front of the lab's services. It reads which
// service, action and caller a request is for, hands it over, and writes the
// answer or the error as AWS writes it. It also records every call and can be
// told to throttle, deny, fail or lose the reply of any of them.
//
// Services that speak AWS JSON or the query protocol implement [Service] and
// see no HTTP; those that speak REST are plain handlers. What a service
// means by its actions is not decided here, and signatures are not checked:
// the access key alone says who calls.
package wire

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBody bounds a request's body: more than any JSON 1.1 service takes, and
// enough for a synchronous Lambda payload and the lab's S3 objects.
const maxBody = 16 << 20

// Identity is who calls, known by access key.
type Identity struct {
	AccessKeyID string
	ARN         string // arn:aws:iam::111122223333:user/operator or arn:aws:sts::111122223333:assumed-role/ROLE/SESSION
}

// Request is one call, read off the wire.
type Request struct {
	ID        string // the request id that the caller is told
	Service   string // as in the credential scope: secretsmanager, ssm, …
	Action    string // GetSecretValue; for REST what the handler names it, else method and path
	Region    string
	Caller    Identity
	UserAgent string
	SourceIP  string
	Attempt   int // of the SDK, from 1; 0 where the caller does not say
	Body      []byte

	namespace string // of answers in the query protocol, where it is known
	notes     *notes
}

// notes is what a service says about a request while it serves it.
type notes struct {
	mu      sync.Mutex
	unknown []string
}

func (n *notes) add(unknown []string) {
	if n == nil || len(unknown) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unknown = append(n.unknown, unknown...)
}

func (n *notes) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.unknown)
}

// Service answers the actions of one service. In AWS JSON its answer is a
// struct such as the SDK's output, a map, or nil for an empty object; for the
// query protocol see [Front.HandleQuery]. An error that is not an
// [*Error] is answered as InternalFailure with status 500.
//
// Serve is called concurrently. Its context does not end when the caller goes
// away: as on AWS, work that was accepted is finished.
type Service interface {
	Serve(ctx context.Context, r Request) (any, error)
}

// Actioner may be implemented by a handler of a REST service to name the
// action of a request, so that faults and recorded calls speak of Invoke and
// not of a path.
type Actioner interface {
	Action(r *http.Request) string
}

// Options of a front. The zero value is usable.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1; a request for another is refused
	Now     func() time.Time // default time.Now
	Logger  *slog.Logger     // default none
	Seed    uint64           // of request ids
	Keep    int              // recorded calls kept, the oldest are dropped first; default 10,000

	// Authorize tells whether a call may go on to its service: nil, or the
	// error to answer with. It comes after the faults before the work. The
	// body is the Request's; that of the http.Request was read. nil lets every
	// call through.
	Authorize func(ctx context.Context, r Request, hr *http.Request) error
}

// Front is an http.Handler for all services. Make it with [New].
type Front struct {
	options  Options
	operator Identity

	mu         sync.RWMutex
	services   map[string]Service
	queries    map[string]query
	handlers   map[string]http.Handler
	identities map[string]Identity
	observers  []func(Served)

	ids    ids
	calls  recorder
	faults faults
}

// New returns a front without services.
func New(o Options) *Front {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.Keep = cmp.Or(o.Keep, 10_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Front{
		options:    o,
		operator:   Identity{ARN: "arn:aws:iam::" + o.Account + ":user/operator"},
		services:   map[string]Service{},
		queries:    map[string]query{},
		handlers:   map[string]http.Handler{},
		identities: map[string]Identity{},
		ids:        ids{source: rand.NewPCG(o.Seed, 0x6b6579747261696c)},
		calls:      recorder{keep: o.Keep, counts: map[string]int{}},
	}
}

// Handle serves a service of AWS JSON under its name in the credential scope.
func (f *Front) Handle(service string, s Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services[service] = s
}

// HandleHTTP serves a REST service. The handler finds the call by
// [RequestFrom] and the caller by [IdentityFrom]; see also [Actioner].
func (f *Front) HandleHTTP(service string, h http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handlers[service] = h
}

// AddIdentity makes an access key known. Callers with any other key are the
// operator, an IAM user of the account.
func (f *Front) AddIdentity(id Identity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.identities[id.AccessKeyID] = id
}

type contextKey struct{}

// RequestFrom returns the call that a handler's context belongs to; the zero
// Request outside one. Its Body is empty: the handler reads the http.Request.
func RequestFrom(ctx context.Context) Request {
	r, _ := ctx.Value(contextKey{}).(Request)
	return r
}

// IdentityFrom returns who makes the call that a context belongs to.
func IdentityFrom(ctx context.Context) Identity { return RequestFrom(ctx).Caller }

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := Request{
		ID: f.ids.next(), UserAgent: hr.UserAgent(), SourceIP: host(hr.RemoteAddr),
		Attempt: attempt(hr.Header.Get("Amz-Sdk-Request")), notes: &notes{},
	}
	a := f.answer(hr, &r)
	f.record(hr.Context(), r, a)
	if a.dropped {
		panic(http.ErrAbortHandler) // closes the connection without a reply
	}
	a.write(w, r)
}

// answer reads who calls what, and has it served.
func (f *Front) answer(hr *http.Request, r *Request) answer {
	s, err := scopeOf(hr)
	if err != nil {
		return failed(dialectOf("", hr), err)
	}
	r.Service, r.Region, r.Caller = s.service, cmp.Or(s.region, f.options.Region), f.identity(s.accessKey)
	d := dialectOf(r.Service, hr)
	f.mu.RLock()
	service, handler := f.services[r.Service], f.handlers[r.Service]
	q, isQuery := f.queries[r.Service]
	r.namespace = q.namespace
	f.mu.RUnlock()
	body, err := io.ReadAll(io.LimitReader(hr.Body, maxBody+1))
	switch {
	case err != nil:
		return answer{dropped: true}
	case len(body) > maxBody:
		return failed(d, &Error{Code: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge})
	case r.Region != f.options.Region && !(global[r.Service] && r.Region == globalRegion):
		return failed(d, &Error{Code: "InvalidSignatureException", Message: "Credential should be scoped to a valid Region, not '" + r.Region + "'."})
	case service == nil && handler == nil && !isQuery:
		return failed(d, &Error{Code: "UnknownOperationException", Message: "The lab has no service '" + r.Service + "'."})
	}
	r.Body = body
	switch {
	case isQuery:
		return f.serveQuery(hr, r, q)
	case handler != nil:
		return f.serveHTTP(hr, r, d, handler)
	}
	d = jsonDialect(hr)
	if r.Action, err = targetAction(r.Service, hr.Header.Get("X-Amz-Target")); err != nil {
		return failed(d, err)
	}
	ctx := context.WithoutCancel(hr.Context())
	return f.guard(ctx, hr, r, d, func() answer {
		out, err := service.Serve(ctx, *r)
		if err != nil {
			return failed(d, err)
		}
		text, err := Encode(out)
		if err != nil {
			return failed(d, err)
		}
		return answer{status: http.StatusOK, header: http.Header{"Content-Type": {d.contentType()}}, body: text}
	})
}

// global are the services that have no Regions: their clients sign for one of
// them, wherever they are.
// https://docs.aws.amazon.com/general/latest/gr/rande.html#global-endpoints
var global = map[string]bool{"iam": true, "sts": true}

const globalRegion = "us-east-1"

// serveHTTP runs a REST handler and keeps its answer, so that a
// fault can still replace or lose it.
func (f *Front) serveHTTP(hr *http.Request, r *Request, d dialect, h http.Handler) answer {
	r.Action = hr.Method + " " + hr.URL.Path
	if n, ok := h.(Actioner); ok {
		r.Action = cmp.Or(n.Action(hr), r.Action)
	} else if a := queryAction(hr, r.Body); a != "" {
		r.Action = a
	}
	return f.guard(hr.Context(), hr, r, d, func() answer {
		seen := *r
		seen.Body = nil
		clone := hr.WithContext(context.WithValue(hr.Context(), contextKey{}, seen))
		clone.Body = io.NopCloser(bytes.NewReader(r.Body))
		kept := &keptResponse{header: http.Header{}}
		h.ServeHTTP(kept, clone)
		return answer{status: cmp.Or(kept.status, http.StatusOK), header: kept.header, body: kept.body.Bytes()}
	})
}

// guard serves a request between the faults before it and those after it, and
// tells the observers what became of it.
func (f *Front) guard(ctx context.Context, hr *http.Request, r *Request, d dialect, serve func() answer) answer {
	received := f.options.Now()
	a := f.work(ctx, hr, r, d, serve)
	f.tell(*r, received, a)
	if err := f.faults.apply(ctx, *r, After); err != nil {
		return failed(d, err)
	}
	return a
}

// work serves a request that no fault stops and that is authorized.
func (f *Front) work(ctx context.Context, hr *http.Request, r *Request, d dialect, serve func() answer) answer {
	if err := f.faults.apply(ctx, *r, Before); err != nil {
		return failed(d, err)
	}
	if f.options.Authorize != nil {
		if err := f.options.Authorize(ctx, *r, hr); err != nil {
			return failed(d, err)
		}
	}
	return serve()
}

func (f *Front) identity(accessKey string) Identity {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if accessKey == "" {
		return Identity{} // an unsigned call
	}
	if id, ok := f.identities[accessKey]; ok {
		return id
	}
	id := f.operator
	id.AccessKeyID = accessKey
	return id
}

func (f *Front) record(ctx context.Context, r Request, a answer) {
	f.calls.add(Call{Request: r, Time: f.options.Now(), Status: a.status, ErrorCode: a.code, Unknown: r.notes.list()})
	f.options.Logger.DebugContext(ctx, "call", "service", r.Service, "action", r.Action,
		"caller", r.Caller.ARN, "status", a.status, "errorCode", a.code, "requestId", r.ID)
}

// ids makes request ids: version 4 UUIDs, the same ones for the same seed.
type ids struct {
	mu     sync.Mutex
	source *rand.PCG
}

func (g *ids) next() string {
	var b [16]byte
	g.mu.Lock()
	binary.BigEndian.PutUint64(b[:8], g.source.Uint64())
	binary.BigEndian.PutUint64(b[8:], g.source.Uint64())
	g.mu.Unlock()
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// attempt reads what SDKs say of a call that they may repeat, as in
// "attempt=2; max=3".
func attempt(header string) int {
	for field := range strings.SplitSeq(header, ";") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(field), "attempt="); ok {
			number, _ := strconv.Atoi(n) // 0 if it is none
			return number
		}
	}
	return 0
}

func host(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address
	}
	return strings.Trim(address[:i], "[]")
}
