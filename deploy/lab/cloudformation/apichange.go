package cloudformation

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// changeSet is a change of a stack that waits to be carried out.
type changeSet struct {
	name, id    string
	stack       *Stack
	spec        Spec
	manner      manner
	created     time.Time
	changes     []Change
	status      string // CREATE_COMPLETE, FAILED
	reason      string
	execution   string // AVAILABLE, UNAVAILABLE, EXECUTE_COMPLETE, EXECUTE_FAILED
	description string
}

type changeSetIDResult struct {
	ID      string `xml:"Id"`
	StackID string `xml:"StackId"`
}

func (s *Service) createChangeSet(c call) (any, error) {
	name, err := c.required("ChangeSetName")
	if err != nil {
		return nil, err
	}
	stackName, err := c.required("StackName")
	if err != nil {
		return nil, err
	}
	st, m := s.Stack(stackName), changing
	isNew := st == nil || st.Status() == ReviewInProgress
	switch kind := c.form.Get("ChangeSetType"); {
	case kind == "CREATE" && !isNew:
		return nil, &Error{Code: "AlreadyExistsException", Message: "Stack [" + stackName + "] already exists and cannot be created again with the changeSet [" + name + "]."}
	case kind != "CREATE" && isNew:
		return nil, refuse("Stack [%s] does not exist", stackName)
	case kind == "CREATE":
		m = creation
	}
	spec, err := c.spec(s, st)
	if err != nil {
		return nil, err
	}
	fresh := st == nil
	if fresh {
		if st, err = s.open(stackName); err != nil {
			return nil, err
		}
		st.note(ReviewInProgress, "User Initiated")
	}
	cs := &changeSet{
		name: name, stack: st, spec: spec, manner: m, created: s.options.Now(), status: "CREATE_COMPLETE", execution: "AVAILABLE",
		id:          "arn:aws:cloudformation:" + s.options.Region + ":" + s.options.Account + ":changeSet/" + name + "/" + s.uuid(name),
		description: c.form.Get("Description"),
	}
	if err := cs.fill(c); err != nil {
		if fresh {
			s.close(st)
		}
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, cs)
	return changeSetIDResult{cs.id, st.id}, nil
}

// fill finds out what would change. Nothing at all makes a change set that
// failed.
func (cs *changeSet) fill(c call) error {
	st := cs.stack
	if err := st.mayRun(cs.manner); err != nil {
		return err
	}
	plan, err := st.prepare(cs.spec)
	if err != nil {
		return err
	}
	o := st.operation(c, c.Caller.AccessKeyID, cs.spec, plan, cs.manner)
	if cs.changes, err = o.preview(); err != nil {
		return err
	}
	if len(cs.changes) == 0 && maps.Equal(st.wanted().Tags, cs.spec.Tags) {
		cs.status, cs.execution = "FAILED", "UNAVAILABLE"
		cs.reason = "The submitted information didn't contain changes. Submit different information to create a change set."
	}
	return nil
}

// changeSet finds the change set of a request.
func (s *Service) changeSet(c call) (*changeSet, error) {
	name, err := c.required("ChangeSetName")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stack := c.form.Get("StackName")
	for _, cs := range slices.Backward(s.changes) {
		if cs.id == name || cs.name == name && (cs.stack.name == stack || cs.stack.id == stack) {
			return cs, nil
		}
	}
	return nil, &Error{Code: "ChangeSetNotFound", Message: "ChangeSet [" + name + "] does not exist"}
}

// executeChangeSet answers when the operation has ended; how is for
// DescribeStacks to say.
func (s *Service) executeChangeSet(c call) (any, error) {
	cs, err := s.changeSet(c)
	if err != nil {
		return nil, err
	}
	if cs.execution != "AVAILABLE" {
		return nil, &Error{Code: "InvalidChangeSetStatus", Message: "ChangeSet [" + cs.id + "] cannot be executed in its current status of [" + cs.status + "]"}
	}
	err = cs.stack.run(context.WithoutCancel(c), c.Caller.AccessKeyID, cs.spec, cs.manner)
	if refused := refusedOf(err); refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cs.execution = "EXECUTE_COMPLETE"
	if err != nil {
		cs.execution = "EXECUTE_FAILED"
	}
	// The other change sets of the stack were about what it was.
	s.changes = slices.DeleteFunc(s.changes, func(other *changeSet) bool { return other != cs && other.stack == cs.stack })
	return struct{}{}, nil
}

func (s *Service) deleteChangeSet(c call) (any, error) {
	cs, err := s.changeSet(c)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Code == "ChangeSetNotFound" {
			return struct{}{}, nil
		}
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = slices.DeleteFunc(s.changes, func(other *changeSet) bool { return other == cs })
	return struct{}{}, nil
}

type changeXML struct {
	Type           string
	ResourceChange struct {
		Action             string
		LogicalResourceID  string `xml:"LogicalResourceId"`
		PhysicalResourceID string `xml:"PhysicalResourceId,omitempty"`
		ResourceType       string
		Replacement        string      `xml:",omitempty"`
		Scope              []string    `xml:"Scope>member"`
		Details            []detailXML `xml:"Details>member"`
	}
}

type detailXML struct {
	Attribute string `xml:"Target>Attribute"`
	Name      string `xml:"Target>Name"`
}

type changeSetXML struct {
	ChangeSetName   string
	ChangeSetID     string `xml:"ChangeSetId"`
	StackID         string `xml:"StackId"`
	StackName       string
	Description     string         `xml:",omitempty"`
	Parameters      []parameterXML `xml:"Parameters>member"`
	CreationTime    string
	ExecutionStatus string
	Status          string
	StatusReason    string      `xml:",omitempty"`
	Tags            []tagXML    `xml:"Tags>member"`
	Changes         []changeXML `xml:"Changes>member"`
}

func (s *Service) describeChangeSet(c call) (any, error) {
	cs, err := s.changeSet(c)
	if err != nil {
		return nil, err
	}
	x := changeSetXML{
		ChangeSetName: cs.name, ChangeSetID: cs.id, StackID: cs.stack.id, StackName: cs.stack.name, Description: cs.description,
		CreationTime: isoTime(cs.created), ExecutionStatus: cs.execution, Status: cs.status, StatusReason: cs.reason,
	}
	for _, key := range slices.Sorted(maps.Keys(cs.spec.Parameters)) {
		x.Parameters = append(x.Parameters, parameterXML{key, cs.spec.Parameters[key]})
	}
	for _, key := range slices.Sorted(maps.Keys(cs.spec.Tags)) {
		x.Tags = append(x.Tags, tagXML{key, cs.spec.Tags[key]})
	}
	for _, change := range cs.changes {
		x.Changes = append(x.Changes, change.xml())
	}
	return x, nil
}

func (c Change) xml() changeXML {
	x := changeXML{Type: "Resource"}
	r := &x.ResourceChange
	r.Action, r.LogicalResourceID, r.PhysicalResourceID, r.ResourceType, r.Replacement = c.Action, c.LogicalID, c.PhysicalID, c.Type, c.Replacement
	for _, name := range c.Properties {
		r.Details = append(r.Details, detailXML{"Properties", name})
	}
	if len(c.Properties) > 0 {
		r.Scope = []string{"Properties"}
	}
	return x
}
