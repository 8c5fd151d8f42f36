// Package cloudformation is the lab's CloudFormation: it deploys templates into
// the lab, with the resource types that stand in its files, one for each
// service. Reading and evaluating templates is the work of the package
// template below it.
//
// A resource is made by calls to the lab's services over their wire protocols,
// so that what a stack does is recorded and judged as what anybody else does;
// what has no wire protocol in the lab is behind small interfaces. Types that
// have no service at all (alarms, log groups, keys, channels of chat) are kept
// with their properties for a test to read. A type, a property or a value that is not known
// is an error that names it.
//
// An operation is done by the time its call returns. It makes one resource
// after the other in an order that depends on the template alone; one that
// fails undoes what it did and says which resource refused and why. Stacks live
// as long as the lab runs.
//
// Not modelled: nested stacks, stack sets, imports and exports between stacks,
// drift, stack policies, service roles, termination protection, custom
// resources, macros, the tags aws:cloudformation:*, and waiting: a function's
// rotation that a stack begins runs on when the stack is complete, and the name
// of a queue that was deleted is refused for a minute. What a function's role
// lets it read of a queue is asked when the mapping is made, not at each read.
package cloudformation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/sqs"
)

// Functions is Lambda as CloudFormation sees it.
type Functions interface {
	AddFunction(lambda.Function) error // or replace the one of that name
	RemoveFunction(name string)
	Function(name string) (lambda.Function, bool)
	ARN(name string) string
	// Grant adds a statement to the policy of a function or an alias, or takes it
	// away for nil, and returns the whole policy, nil for none.
	Grant(arn, id string, statement json.RawMessage) (json.RawMessage, error)
}

// Policies is IAM as CloudFormation sees it: it keeps roles and the policies of
// resources for whoever judges calls by them.
type Policies interface {
	PutRole(Role) error // or replace the one of that name
	DeleteRole(name string)
	// PutManagedPolicy keeps a policy that roles name by its ARN; nil takes it
	// away.
	PutManagedPolicy(arn string, document json.RawMessage) error
	// PutResourcePolicy attaches a policy to a function, an alias of one, or a
	// key; nil takes it away. Services that have a call for their resources'
	// policies get that call.
	PutResourcePolicy(arn string, document json.RawMessage) error
}

// Role is a role with all that decides on what it may do.
type Role struct {
	Name     string
	Path     string
	Trust    json.RawMessage
	Inline   map[string]json.RawMessage // by name
	Managed  []string                   // ARNs
	Boundary string                     // ARN, "" for none
}

// Sources is the part of Lambda that reads queues for functions, as
// CloudFormation sees it.
type Sources interface {
	// AddSource has a function invoked with the messages of a queue until
	// remove is called. An error that is a [*wire.Error] has Lambda's words.
	AddSource(sqs.Source) (remove func(), err error)
}

// Options of a service. All but Now, Seed and Programs are required.
type Options struct {
	Account   string
	Region    string
	Now       func() time.Time // default time.Now
	Seed      uint64           // of the names that CloudFormation makes up
	Dir       string           // code of functions is unpacked below it
	Front     http.Handler     // all services of the lab
	AccessKey string           // of whoever calls Create
	Functions Functions
	Sources   Sources
	Policies  Policies
	// Programs are those of stacks that come over the wire, by the logical id
	// of the function whose code they take the place of; optional.
	Programs map[string][]string
}

// Service holds the stacks of an account and Region. Make it with [New].
type Service struct {
	options Options

	mu       sync.Mutex
	sequence int
	stacks   []*Stack // oldest first, deleted ones included
	changes  []*changeSet
	taken    map[string]bool
	roles    map[string]Role
	inline   map[string]map[string]json.RawMessage // policies of roles that are resources of their own
	mappings map[string]mapping                    // of queues to functions, by id
	channels map[string]map[string]bool            // of chat, by the ARN of a topic that they follow
}

// New returns a service without stacks.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{
		options: o, taken: map[string]bool{}, roles: map[string]Role{},
		inline:   map[string]map[string]json.RawMessage{},
		mappings: map[string]mapping{}, channels: map[string]map[string]bool{},
	}
}

// Spec is what a stack is to be.
type Spec struct {
	Name       string
	Template   []byte
	Parameters map[string]string
	Tags       map[string]string // of the stack and of each resource that has tags
	// Programs are commands that take the place of a function's code, by the
	// function's logical id.
	Programs map[string][]string
}

// Create makes a stack. When that fails, all that was made is gone again, and
// the stack stays in the state ROLLBACK_COMPLETE until it is deleted.
func (s *Service) Create(ctx context.Context, spec Spec) (*Stack, error) {
	return s.create(ctx, s.options.AccessKey, spec)
}

// Stack returns the stack with a name or an id, nil if there is none. A deleted
// stack is found by its id only.
func (s *Service) Stack(nameOrID string) *Stack {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(nameOrID)
}

func (s *Service) find(nameOrID string) *Stack {
	i := slices.IndexFunc(s.stacks, func(st *Stack) bool {
		return st.id == nameOrID || st.name == nameOrID && st.Status() != DeleteComplete
	})
	if i < 0 {
		return nil
	}
	return s.stacks[i]
}

// open enters a new stack without resources, which takes its name.
func (s *Service) open(name string) (*Stack, error) {
	if !stackName.MatchString(name) {
		return nil, refuse("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name)
	}
	id := "arn:aws:cloudformation:" + s.options.Region + ":" + s.options.Account + ":stack/" + name + "/" + s.uuid(name)
	st := &Stack{service: s, name: name, id: id, created: s.options.Now(), resources: map[string]*resource{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(name) != nil {
		return nil, &Error{Code: "AlreadyExistsException", Message: "Stack [" + name + "] already exists"}
	}
	s.stacks = append(s.stacks, st)
	return st, nil
}

// close forgets a stack that could not even begin.
func (s *Service) close(st *Stack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stacks = slices.DeleteFunc(s.stacks, func(other *Stack) bool { return other == st })
}

func (s *Service) create(ctx context.Context, accessKey string, spec Spec) (*Stack, error) {
	st, err := s.open(spec.Name)
	if err != nil {
		return nil, err
	}
	if err := st.run(ctx, accessKey, spec, creation); err != nil {
		if st.Status() == "" {
			s.close(st)
			return nil, err
		}
		return st, err
	}
	return st, nil
}

// Error is an error of the API.
type Error struct {
	Code    string // ValidationError
	Message string
}

func (e *Error) Error() string { return e.Message }

// handlerMessage words an error of a resource as its handler reports it.
func handlerMessage(err error, token string) string {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return err.Error()
	}
	code := "GeneralServiceException"
	switch {
	case strings.Contains(r.Code, "AlreadyExist") || r.Code == "ResourceExistsException" || r.Code == "ResourceConflictException" || strings.Contains(r.Code, "AlreadyOwned"):
		code = "AlreadyExists"
	case strings.Contains(r.Code, "AccessDenied"):
		code = "AccessDenied"
	case strings.Contains(r.Code, "NotFound") || strings.HasPrefix(r.Code, "NoSuch"):
		code = "NotFound"
	case strings.Contains(r.Code, "Throttling") || r.Code == "SlowDown":
		code = "Throttling"
	case r.Status >= 500:
		code = "ServiceInternalError"
	case r.Status >= 400:
		code = "InvalidRequest"
	}
	return `Resource handler returned message: "` + cmp.Or(r.Error(), r.Code) + `" (RequestToken: ` + token + `, HandlerErrorCode: ` + code + `)`
}
