package cloudformation

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
)

// Status is the state of a stack or of a resource of one.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
type Status string

// The states that are reached here.
const (
	ReviewInProgress       Status = "REVIEW_IN_PROGRESS"
	CreateInProgress       Status = "CREATE_IN_PROGRESS"
	CreateComplete         Status = "CREATE_COMPLETE"
	CreateFailed           Status = "CREATE_FAILED"
	RollbackInProgress     Status = "ROLLBACK_IN_PROGRESS"
	RollbackComplete       Status = "ROLLBACK_COMPLETE"
	RollbackFailed         Status = "ROLLBACK_FAILED"
	UpdateInProgress       Status = "UPDATE_IN_PROGRESS"
	UpdateComplete         Status = "UPDATE_COMPLETE"
	UpdateFailed           Status = "UPDATE_FAILED"
	UpdateRollback         Status = "UPDATE_ROLLBACK_IN_PROGRESS"
	UpdateRollbackComplete Status = "UPDATE_ROLLBACK_COMPLETE"
	UpdateRollbackFailed   Status = "UPDATE_ROLLBACK_FAILED"
	DeleteInProgress       Status = "DELETE_IN_PROGRESS"
	DeleteComplete         Status = "DELETE_COMPLETE"
	DeleteFailed           Status = "DELETE_FAILED"
	DeleteSkipped          Status = "DELETE_SKIPPED"
)

// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
var stackName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

// Stack is a stack of resources.
type Stack struct {
	service *Service
	name    string
	id      string
	created time.Time

	running sync.Mutex // one operation at a time

	mu        sync.Mutex
	status    Status
	reason    string
	updated   time.Time
	deleted   time.Time
	spec      Spec
	plan      *template.Plan
	outputs   []template.Output
	resources map[string]*resource
	events    []Event
}

// resource is a resource that was made.
type resource struct {
	entity
	logical    string
	kind       string
	properties map[string]any
	parsed     any
	deletion   string
	replace    string
	sequence   int // in which it was made
	status     Status
	reason     string
	changed    time.Time
}

// Event is something that happened to a stack or to one of its resources.
type Event struct {
	ID           string
	Time         time.Time
	LogicalID    string // that of the stack is its name
	PhysicalID   string
	Type         string
	Status       Status
	StatusReason string
	Properties   map[string]any
}

// Name returns the stack's name.
func (s *Stack) Name() string { return s.name }

// ID returns the stack's ARN.
func (s *Stack) ID() string { return s.id }

// Status returns the state of the stack.
func (s *Stack) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// StatusReason says why the stack is in its state, "" where it needs no
// reason.
func (s *Stack) StatusReason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Outputs returns the outputs by their keys.
func (s *Stack) Outputs() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[string]string{}
	for _, o := range s.outputs {
		m[o.Key] = o.Value
	}
	return m
}

// Resource returns the physical id of a resource.
func (s *Stack) Resource(logicalID string) (physicalID string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resources[logicalID]
	if r == nil {
		return "", false
	}
	return r.ID, true
}

// Resources returns the logical ids of the resources by their types.
func (s *Stack) Resources() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(s.resources)) {
		m[s.resources[id].kind] = append(m[s.resources[id].kind], id)
	}
	return m
}

// Attribute returns what GetAtt gives of a resource.
func (s *Stack) Attribute(logicalID, name string) (value string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.resources[logicalID]; r != nil {
		value, ok = r.Attributes[name]
	}
	return value, ok
}

// Properties returns the properties that a resource was made with, functions
// evaluated, nil if there is none.
func (s *Stack) Properties(logicalID string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.resources[logicalID]; r != nil {
		return maps.Clone(r.properties)
	}
	return nil
}

// Events returns what happened, oldest first.
func (s *Stack) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Update makes the stack what is wanted: resources whose properties change are
// changed, in place or by another one. Parameters, tags and programs that are
// not given are gone. An update that fails is undone.
func (s *Stack) Update(ctx context.Context, spec Spec) error {
	return s.run(ctx, s.service.options.AccessKey, spec, changing)
}

// Delete removes the stack and its resources, but those that are to be
// retained. A stack that was deleted is no error.
func (s *Stack) Delete(ctx context.Context) error {
	return s.delete(ctx, s.service.options.AccessKey)
}

// note records an event of the stack itself and sets its state.
func (s *Stack) note(status Status, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.reason = status, reason
	s.event(s.name, s.id, "AWS::CloudFormation::Stack", status, reason, nil)
}

// noteResource records an event of a resource.
func (s *Stack) noteResource(r *resource, status Status, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.status, r.reason, r.changed = status, reason, s.service.options.Now()
	s.event(r.logical, r.ID, r.kind, status, reason, r.properties)
}

func (s *Stack) event(logical, physical, kind string, status Status, reason string, properties map[string]any) {
	s.events = append(s.events, Event{
		ID: fmt.Sprintf("%s-%s-%04d", logical, status, len(s.events)), Time: s.service.options.Now(),
		LogicalID: logical, PhysicalID: physical, Type: kind, Status: status, StatusReason: reason, Properties: properties,
	})
}
