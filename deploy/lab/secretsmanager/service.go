// Package secretsmanager is the lab's AWS Secrets Manager: secrets, versions
// and their staging labels, rotation by a function in four invocations, and
// the schedule, with the rules, quirks and words that were recorded on AWS.
// Where AWS documents or shows nothing, a comment says that the choice is
// ours.
//
// It speaks through the wire front only, keeps each secret in one file, and
// never reads a clock but the one it is given. Replication, KMS and IAM are
// not here: every caller that reaches the service may do everything, and
// policies are kept for whoever judges by them.
package secretsmanager

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Invoker invokes rotation functions.
type Invoker interface {
	// Invoke runs the function once and waits for it. An error says that it
	// could not be run or timed out; a function that ran and failed has a
	// FunctionError. It is called concurrently for different secrets.
	Invoke(ctx context.Context, functionARN string, payload []byte) (InvokeResult, error)
}

// InvokeResult is what a function answered.
type InvokeResult struct {
	Payload       []byte
	FunctionError string // "" when the function succeeded; else Handled or Unhandled
}

// Options of a service. The zero value is usable, but rotates nothing.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1
	Now     func() time.Time // the lab's clock; default time.Now
	Seed    uint64           // of ARN suffixes and of the tokens of scheduled rotations

	// Dir is where secrets are kept, one file each. "" keeps them in memory.
	Dir string

	// Invoker runs rotation functions; without one RotateSecret is refused.
	Invoker Invoker
	// MayInvoke tells whether a function exists and lets Secrets Manager
	// invoke it for a secret. nil takes every ARN.
	MayInvoke func(functionARN, secretARN string) bool

	// Policy is told of every resource policy that a secret gets, nil when it
	// loses it, before it has it. An error refuses it.
	Policy func(secretARN string, document json.RawMessage) error

	// Emit is told of every service event, in order. It must not call the
	// service.
	Emit func(Event)

	// Retries is how often a failed rotation is run again, from its first
	// step, with the same token, RetryDelay after the failure. AWS documents
	// neither number.
	Retries    int
	RetryDelay time.Duration

	// Linger is how long a secret deleted by force can still be described.
	// AWS was seen to take 4, 5 and 23 seconds.
	Linger time.Duration
}

// Event is something that the service did by itself: a service event of
// CloudTrail, or "Secret Label Updated", which goes to EventBridge alone.
type Event struct {
	Time         time.Time
	Name         string // RotationStarted, RotationSucceeded, …
	SecretARN    string
	SecretName   string
	VersionID    string
	Label        string // of Secret Label Updated
	ErrorMessage string // of RotationFailed and TestRotationFailed
}

// Names of events.
const (
	RotationStarted           = "RotationStarted"
	RotationSucceeded         = "RotationSucceeded"
	RotationFailed            = "RotationFailed"
	RotationAbandoned         = "RotationAbandoned"
	TestRotationStarted       = "TestRotationStarted"
	TestRotationSucceeded     = "TestRotationSucceeded"
	TestRotationFailed        = "TestRotationFailed"
	StartSecretVersionDelete  = "StartSecretVersionDelete"
	EndSecretVersionDelete    = "EndSecretVersionDelete"
	CancelSecretVersionDelete = "CancelSecretVersionDelete"
	SecretVersionDeletion     = "SecretVersionDeletion"
	SecretLabelUpdated        = "Secret Label Updated"
)

// Service is a [wire.Service]. Make it with [New] and end it with Close.
type Service struct {
	options Options
	ctx     context.Context // of the rotations in the background
	cancel  context.CancelFunc

	mu       sync.Mutex
	secrets  map[string]*secret // by ARN; a stored secret is replaced, never changed
	running  map[string]string  // by ARN: the token of the rotation under way
	idle     *sync.Cond         // nothing is running
	queue    []Event
	sequence uint64

	emitting sync.Mutex
}

// New returns a service with the secrets that it finds in Options.Dir.
func New(o Options) (*Service, error) {
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Emit == nil {
		o.Emit = func(Event) {}
	}
	if o.Policy == nil {
		o.Policy = func(string, json.RawMessage) error { return nil }
	}
	secrets, err := load(o.Dir)
	if err != nil {
		return nil, err
	}
	for arn, sec := range secrets {
		if sec.Policy != nil {
			if err := o.Policy(arn, json.RawMessage(*sec.Policy)); err != nil {
				return nil, err
			}
		}
	}
	s := &Service{options: o, secrets: secrets, running: map[string]string{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.idle = sync.NewCond(&s.mu)
	return s, nil
}

// Wait returns when no rotation is under way or waits for its retry.
func (s *Service) Wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.running) > 0 {
		s.idle.Wait()
	}
}

// Close ends the rotations that are under way and waits for them. A service
// that is opened on the same folder takes them up again at its next Tick.
func (s *Service) Close() {
	s.cancel()
	s.Wait()
}

// Tick does what is due at a time of the lab's clock: it starts the rotations
// whose window has opened, takes up those that a restart cut off, and purges
// secrets whose recovery window has ended. It returns how many rotations it
// started; it does not wait for them.
func (s *Service) Tick(now time.Time) (started int) {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sec := range s.sorted() {
		switch {
		case sec.purgeable(now):
			s.purge(sec)
		case s.due(sec, now) && s.startScheduled(sec, now) == nil:
			started++
		}
	}
	return started
}

// Serve implements [wire.Service].
func (s *Service) Serve(_ context.Context, r wire.Request) (any, error) {
	act, ok := actions[r.Action]
	if !ok {
		return nil, wire.UnknownOperation()
	}
	defer s.flush()
	return act(s, r)
}

type action func(*Service, wire.Request) (any, error)

var actions = map[string]action{
	"BatchGetSecretValue":      decoded((*Service).batchGetSecretValue),
	"CancelRotateSecret":       decoded((*Service).cancelRotateSecret),
	"CreateSecret":             decoded((*Service).createSecret),
	"DeleteResourcePolicy":     decoded((*Service).deleteResourcePolicy),
	"DeleteSecret":             decoded((*Service).deleteSecret),
	"DescribeSecret":           decoded((*Service).describeSecret),
	"GetResourcePolicy":        decoded((*Service).getResourcePolicy),
	"GetSecretValue":           decoded((*Service).getSecretValue),
	"ListSecretVersionIds":     decoded((*Service).listSecretVersionIDs),
	"ListSecrets":              decoded((*Service).listSecrets),
	"PutResourcePolicy":        decoded((*Service).putResourcePolicy),
	"PutSecretValue":           decoded((*Service).putSecretValue),
	"RestoreSecret":            decoded((*Service).restoreSecret),
	"RotateSecret":             decoded((*Service).rotateSecret),
	"TagResource":              decoded((*Service).tagResource),
	"UntagResource":            decoded((*Service).untagResource),
	"UpdateSecret":             decoded((*Service).updateSecret),
	"UpdateSecretVersionStage": decoded((*Service).updateSecretVersionStage),
}

func decoded[I, O any](f func(*Service, *I) (O, error)) action {
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

func (s *Service) now() time.Time { return s.options.Now().UTC().Truncate(time.Millisecond) }

// emit queues an event. The caller holds mu and flushes when it has let go.
func (s *Service) emit(e Event, sec *secret) {
	e.Time, e.SecretARN, e.SecretName = s.now(), sec.ARN, sec.Name
	s.queue = append(s.queue, e)
}

// flush hands the queued events over, in order, without holding mu.
func (s *Service) flush() {
	s.emitting.Lock()
	defer s.emitting.Unlock()
	for {
		s.mu.Lock()
		events := s.queue
		s.queue = nil
		s.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			s.options.Emit(e)
		}
	}
}

// unique returns bytes that look random, come from the seed, and are never
// given out twice, even by a service that was started again.
func (s *Service) unique(purpose string) [sha256.Size]byte {
	s.sequence++
	b := binary.BigEndian.AppendUint64(nil, s.options.Seed)
	b = binary.BigEndian.AppendUint64(b, s.sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(s.options.Now().UnixNano()))
	return sha256.Sum256(append(b, purpose...))
}

func (s *Service) uuid(purpose string) string {
	b := s.unique(purpose)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
