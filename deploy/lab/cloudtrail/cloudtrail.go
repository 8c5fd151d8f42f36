// Package cloudtrail is the lab's CloudTrail: a record of every management
// call that the wire front served and of what Secrets Manager did by itself,
// LookupEvents over them, and trails as far as EventBridge depends on them.
//
// Records have the shapes of real ones, quirks included. Where no real record
// could be found there are several plausible shapes, and the seed chooses: a
// seed is one of the worlds that AWS may be, and each world is consistent.
//
// Not modelled: log files in S3, digests, Insights, data events, organization
// trails, CloudTrail Lake, and the calls of services that speak REST or the
// query protocol. Records do not outlive the process.
package cloudtrail

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// lookupsPerSecond is the quota of LookupEvents, per account and Region.
// https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
const lookupsPerSecond = 2

// Options of a service. The zero value is usable.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1
	Now     func() time.Time // the lab's clock; default time.Now
	Seed    uint64           // of ids, and of every shape that is not known

	// SecretARN finds the secret that a name or ARN means; "" is none. It must
	// not call the service. nil finds nothing but ARNs.
	SecretARN func(id string) string
	// MayWrite tells whether the policy of a bucket lets CloudTrail write the
	// log files of a trail below a prefix. It must not call the service. nil
	// allows all.
	MayWrite func(bucket, prefix, trailARN string) bool
	// Deliver is told of every event that a trail which logs passes on to
	// EventBridge, in order. It must not call the service.
	Deliver func(Event)

	Trails []string      // names of trails that log from the start
	Delay  time.Duration // at most so long until LookupEvents finds a record
	Rate   float64       // of LookupEvents a second; default 2
	Keep   int           // records kept, the oldest are dropped first; default 50,000
}

// Event is a record as EventBridge gets it.
type Event struct {
	Source     string // aws.secretsmanager
	DetailType string // AWS API Call via CloudTrail, AWS Service Event via CloudTrail
	Time       time.Time
	ReadOnly   bool
	Record     json.RawMessage
}

// Service implements wire.Service. Make it with [New].
type Service struct {
	options Options
	limit   func(context.Context, wire.Request) error

	telling sync.Mutex // keeps deliveries in order

	mu      sync.Mutex
	random  *rand.Rand
	entries []entry // by the order in which they came
	number  int     // of the next one
	trails  map[string]*trail
}

// New returns a service without records.
func New(o Options) *Service {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.Rate = cmp.Or(o.Rate, lookupsPerSecond)
	o.Keep = cmp.Or(o.Keep, 50_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SecretARN == nil {
		o.SecretARN = func(string) string { return "" }
	}
	if o.MayWrite == nil {
		o.MayWrite = func(string, string, string) bool { return true }
	}
	if o.Deliver == nil {
		o.Deliver = func(Event) {}
	}
	s := &Service{
		options: o,
		limit:   wire.Limit(o.Rate, o.Now),
		random:  rand.New(rand.NewPCG(o.Seed, 0x747261696c)),
		trails:  map[string]*trail{},
	}
	for _, name := range o.Trails {
		s.trails[name] = s.newTrail(name, "lab-trail")
		s.trails[name].started = o.Now()
		s.trails[name].logging = true
	}
	return s
}

// Serve implements wire.Service.
func (s *Service) Serve(ctx context.Context, r wire.Request) (any, error) {
	act, ok := actions[r.Action]
	if !ok {
		return nil, wire.UnknownOperation()
	}
	if r.Action == "LookupEvents" {
		if err := s.limit(ctx, r); err != nil {
			return nil, err
		}
	}
	return act(s, r)
}

type action func(*Service, wire.Request) (any, error)

var actions = map[string]action{
	"CreateTrail":       decoded((*Service).createTrail),
	"DeleteTrail":       decoded((*Service).deleteTrail),
	"DescribeTrails":    decoded((*Service).describeTrails),
	"GetEventSelectors": decoded((*Service).getEventSelectors),
	"GetTrail":          decoded((*Service).getTrail),
	"GetTrailStatus":    decoded((*Service).getTrailStatus),
	"ListTrails":        decoded((*Service).listTrails),
	"LookupEvents":      decoded((*Service).lookupEvents),
	"PutEventSelectors": decoded((*Service).putEventSelectors),
	"StartLogging":      decoded((*Service).startLogging),
	"StopLogging":       decoded((*Service).stopLogging),
	"UpdateTrail":       decoded((*Service).updateTrail),
}

func decoded[I, O any](f func(*Service, *I) (*O, error)) action {
	return func(s *Service, r wire.Request) (any, error) {
		var in I
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		out, err := f(s, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// choose returns which of several shapes this world has: the same one for a
// seed and a question.
func (s *Service) choose(question string, shapes int) int {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", s.options.Seed, question))
	return int(binary.BigEndian.Uint64(sum[:8]) % uint64(shapes))
}

// uuid returns an id from the seed. The caller holds mu.
func (s *Service) uuid() string {
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}
