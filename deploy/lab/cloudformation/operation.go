package cloudformation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
)

// manner is what an operation does to the stack as a whole.
type manner struct {
	verb                                        string
	begun, done, failing, undone, undoneNot     Status
	resourceBegun, resourceDone, resourceFailed Status
}

var (
	creation = manner{"create", CreateInProgress, CreateComplete, RollbackInProgress, RollbackComplete, RollbackFailed,
		CreateInProgress, CreateComplete, CreateFailed}
	changing = manner{"update", UpdateInProgress, UpdateComplete, UpdateRollback, UpdateRollbackComplete, UpdateRollbackFailed,
		UpdateInProgress, UpdateComplete, UpdateFailed}
)

func refuse(format string, a ...any) error {
	return &Error{Code: "ValidationError", Message: fmt.Sprintf(format, a...)}
}

// operation is a change of a stack under way.
type operation struct {
	context.Context
	stack  *Stack
	client client
	spec   Spec
	plan   *template.Plan
	manner manner

	resources map[string]*resource // as they are now
	undo      []func() error
	cleanup   []*resource // what was replaced
}

// run creates or updates a stack.
func (s *Stack) run(ctx context.Context, accessKey string, spec Spec, m manner) error {
	if !s.running.TryLock() {
		return refuse("Stack:%s is in %s state and can not be updated.", s.id, s.Status())
	}
	defer s.running.Unlock()
	if err := s.mayRun(m); err != nil {
		return err
	}
	plan, err := s.prepare(spec)
	if err != nil {
		return err
	}
	o := s.operation(ctx, accessKey, spec, plan, m)
	if m == changing {
		list, err := o.preview()
		if err != nil {
			return err
		}
		if len(list) == 0 && maps.EqualFunc(s.spec.Programs, spec.Programs, slices.Equal) && maps.Equal(s.spec.Tags, spec.Tags) {
			return refuse("No updates are to be performed.")
		}
	}
	s.note(m.begun, "User Initiated")
	if err := o.apply(); err != nil {
		return o.rollBack(err)
	}
	s.mu.Lock()
	s.updated, s.spec, s.plan, s.resources = s.service.options.Now(), spec, plan, o.resources
	for i, r := range plan.Resources() {
		s.resources[r.ID].sequence = i
	}
	s.mu.Unlock()
	outputs, err := plan.Outputs(o.look)
	if err != nil {
		return err // what the outputs refer to was there when the plan was made
	}
	s.mu.Lock()
	s.outputs = outputs
	s.mu.Unlock()
	for _, r := range o.cleanup {
		_ = o.remove(r, r.replace) // the event tells; CloudFormation completes the update all the same
	}
	s.note(m.done, "")
	return nil
}

func (s *Stack) mayRun(m manner) error {
	status := s.Status()
	known := []Status{"", ReviewInProgress}
	if m == changing {
		known = []Status{CreateComplete, UpdateComplete, UpdateRollbackComplete}
	}
	if !slices.Contains(known, status) {
		return refuse("Stack:%s is in %s state and can not be updated.", s.id, status)
	}
	return nil
}

// prepare reads a template and finds what can be wrong with it before anything
// is done: types, attributes, parameters.
func (s *Stack) prepare(spec Spec) (*template.Plan, error) {
	t, err := template.Parse(spec.Template)
	if err != nil {
		return nil, refuse("%s", err)
	}
	plan, err := t.Bind(spec.Parameters, template.Pseudo{
		Account: s.service.options.Account, Region: s.service.options.Region, StackName: s.name, StackID: s.id,
	})
	if err != nil {
		return nil, refuse("%s", err)
	}
	functions := maps.Clone(spec.Programs)
	var unknown []string
	for _, r := range plan.Resources() {
		if _, ok := kinds[r.Type]; !ok {
			unknown = append(unknown, r.Type)
		}
		delete(functions, r.ID)
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, refuse("Template format error: Unrecognized resource types: [%s]", strings.Join(slices.Compact(unknown), ", "))
	}
	for id := range functions {
		return nil, refuse("a program is given for the function %s, which the stack does not have", id)
	}
	return plan, checkAttributes(plan)
}

func checkAttributes(plan *template.Plan) error {
	used := plan.Attributes()
	for _, r := range plan.Resources() {
		for _, name := range used[r.ID] {
			if !slices.Contains(kinds[r.Type].attributes, name) {
				return refuse("Template error: resource %s does not support attribute type %s in Fn::GetAtt", r.ID, name)
			}
		}
	}
	return nil
}

func (s *Stack) operation(ctx context.Context, accessKey string, spec Spec, plan *template.Plan, m manner) *operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &operation{
		Context: ctx, stack: s, spec: spec, plan: plan, manner: m, resources: maps.Clone(s.resources),
		client: client{front: s.service.options.Front, region: s.service.options.Region, accessKey: accessKey},
	}
}

func (o *operation) task(id string) *task {
	return &task{Context: o.Context, Service: o.stack.service, client: o.client, stack: o.stack, spec: o.spec, id: id}
}

// look is the operation's world as the template sees it.
func (o *operation) look(id, attribute string) (string, error) {
	r := o.resources[id]
	if r == nil {
		return "", fmt.Errorf("resource %s was not made yet", id)
	}
	if attribute == "" {
		return r.ID, nil
	}
	value, ok := r.Attributes[attribute]
	if !ok {
		return "", fmt.Errorf("resource %s has no attribute %s", id, attribute)
	}
	return value, nil
}

// apply makes and changes resources in their order, then takes note of those
// that are no more.
func (o *operation) apply() error {
	if err := o.sameTypes(); err != nil {
		return err
	}
	for _, r := range o.plan.Resources() {
		if err := o.Err(); err != nil {
			return err
		}
		if err := o.applyOne(r); err != nil {
			return err
		}
	}
	wanted := map[string]bool{}
	for _, r := range o.plan.Resources() {
		wanted[r.ID] = true
	}
	for id, r := range o.resources {
		if !wanted[id] {
			delete(o.resources, id)
			gone := *r
			gone.replace = r.deletion
			o.cleanup = append(o.cleanup, &gone)
		}
	}
	slices.SortFunc(o.cleanup, func(x, y *resource) int { return cmp.Compare(y.sequence, x.sequence) })
	return nil
}

func (o *operation) sameTypes() error {
	var other []string
	for _, r := range o.plan.Resources() {
		if was := o.resources[r.ID]; was != nil && was.kind != r.Type {
			other = append(other, r.ID)
		}
	}
	if len(other) > 0 {
		slices.Sort(other)
		return refuse("Update of resource type is not permitted. The new template modifies resource type of the following resources: [%s]", strings.Join(other, ", "))
	}
	return nil
}

// failure is a resource that could not be made.
type failure struct {
	resource *resource
	reason   string
	cause    error
}

func (f *failure) Error() string {
	return f.resource.kind + " " + f.resource.logical + ": " + f.reason
}

func (f *failure) Unwrap() error { return f.cause }

// evaluate returns a resource as the template wants it now.
func (o *operation) evaluate(r template.Resource, look template.Lookup) (*resource, error) {
	is := &resource{logical: r.ID, kind: r.Type, deletion: r.DeletionPolicy, replace: r.UpdateReplacePolicy}
	properties, err := o.plan.Properties(r.ID, look)
	if err != nil {
		return is, err
	}
	if program := o.spec.Programs[r.ID]; program != nil {
		properties["Code"] = map[string]any{"ZipFile": strings.Join(program, " ")} // what it is instead
	}
	is.properties = properties
	is.parsed, err = kinds[r.Type].parse(properties)
	if err != nil {
		return is, refuse("Properties validation failed for resource %s with message: %s", r.ID, err)
	}
	return is, nil
}

// applyOne makes a resource, changes it, or leaves it as it is.
func (o *operation) applyOne(r template.Resource) error {
	was, k := o.resources[r.ID], kinds[r.Type]
	is, err := o.evaluate(r, o.look)
	if err != nil {
		return o.fail(is, was, err)
	}
	if was != nil {
		names := changed(was.properties, is.properties)
		if len(names) == 0 && !o.otherProgram(r.ID) {
			kept := *was
			kept.deletion, kept.replace = is.deletion, is.replace
			o.resources[r.ID] = &kept
			return nil
		}
		if !o.replaces(k, names, was, is) {
			return o.change(k, was, is)
		}
		if name := k.namedAs(is.properties); name != "" && name == k.namedAs(was.properties) {
			return o.fail(is, was, refuse("CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename %s and update the stack again.", name))
		}
	}
	o.stack.noteResource(is, o.manner.resourceBegun, "")
	if is.entity, err = k.create(o.task(r.ID), is.parsed); err != nil {
		return o.fail(is, was, err)
	}
	o.resources[r.ID] = is
	o.undo = append(o.undo, func() error {
		policy := is.deletion
		if policy == template.RetainExceptOnCreate {
			policy = template.Delete
		}
		return o.remove(is, policy)
	})
	if was != nil {
		o.cleanup = append(o.cleanup, was)
	}
	o.stack.noteResource(is, o.manner.resourceDone, "")
	return nil
}

func (o *operation) otherProgram(id string) bool {
	return !slices.Equal(o.stack.spec.Programs[id], o.spec.Programs[id])
}

func (o *operation) replaces(k kind, names []string, was, is *resource) bool {
	for _, name := range names {
		if f := k.field(name); marked(f, "fixed") || marked(f, "name") {
			return true
		}
	}
	return k.replaces(was.parsed, is.parsed)
}

// change updates a resource in place.
func (o *operation) change(k kind, was, is *resource) error {
	is.entity = was.entity
	o.stack.noteResource(is, o.manner.resourceBegun, "")
	e, err := k.update(o.task(is.logical), was.entity, was.parsed, is.parsed)
	if err != nil {
		return o.fail(is, was, err)
	}
	is.entity, is.sequence = e, was.sequence
	o.resources[is.logical] = is
	o.undo = append(o.undo, func() error {
		_, err := k.update(o.task(is.logical), is.entity, is.parsed, was.parsed)
		return err
	})
	o.stack.noteResource(is, o.manner.resourceDone, "")
	return nil
}

// fail notes that a resource could not be made.
func (o *operation) fail(is, was *resource, err error) error {
	status := o.manner.resourceFailed
	if was != nil {
		is.entity = was.entity
	}
	f := &failure{resource: is, reason: handlerMessage(err, o.stack.service.uuid("token")), cause: err}
	o.stack.noteResource(is, status, f.reason)
	return f
}

// rollBack undoes what an operation did, newest first, and returns why it had
// to.
func (o *operation) rollBack(err error) error {
	s, m := o.stack, o.manner
	reason := err.Error()
	if f, ok := errors.AsType[*failure](err); ok {
		reason = fmt.Sprintf("The following resource(s) failed to %s: [%s]. ", m.verb, f.resource.logical)
	}
	s.note(m.failing, reason+map[bool]string{true: "Rollback requested by user."}[m == creation])
	o.Context = context.WithoutCancel(o.Context)
	var failed []error
	for _, undo := range slices.Backward(o.undo) {
		if e := undo(); e != nil {
			failed = append(failed, e)
		}
	}
	if len(failed) > 0 {
		s.note(m.undoneNot, errors.Join(failed...).Error())
	} else {
		s.note(m.undone, "")
	}
	return fmt.Errorf("%s stack %s: %w", m.verb, s.name, errors.Join(append([]error{err}, failed...)...))
}

// remove takes a resource away, unless its policy is to keep it.
func (o *operation) remove(r *resource, policy string) error {
	if policy == template.Retain || policy == template.RetainExceptOnCreate {
		o.stack.noteResource(r, DeleteSkipped, "")
		return nil
	}
	o.stack.noteResource(r, DeleteInProgress, "")
	if err := kinds[r.kind].remove(o.task(r.logical), r.entity, r.parsed); err != nil {
		f := &failure{resource: r, reason: handlerMessage(err, o.stack.service.uuid("token")), cause: err}
		o.stack.noteResource(r, DeleteFailed, f.reason)
		return f
	}
	o.stack.noteResource(r, DeleteComplete, "")
	return nil
}

// delete removes a stack, the resources that were made last first. What cannot
// be removed stays with the stack, which can be deleted again.
func (s *Stack) delete(ctx context.Context, accessKey string) error {
	if !s.running.TryLock() {
		return refuse("Stack:%s is in %s state and can not be updated.", s.id, s.Status())
	}
	defer s.running.Unlock()
	if s.Status() == DeleteComplete {
		return nil
	}
	s.note(DeleteInProgress, "User Initiated")
	o := s.operation(ctx, accessKey, s.spec, s.plan, manner{})
	list := slices.SortedFunc(maps.Values(o.resources), func(x, y *resource) int { return cmp.Compare(y.sequence, x.sequence) })
	var failed []string
	var errs []error
	for _, r := range list {
		if err := o.remove(r, r.deletion); err != nil {
			failed, errs = append(failed, r.logical), append(errs, err)
			continue
		}
		s.mu.Lock()
		delete(s.resources, r.logical)
		s.mu.Unlock()
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		s.note(DeleteFailed, fmt.Sprintf("The following resource(s) failed to delete: [%s]. ", strings.Join(failed, ", ")))
		return fmt.Errorf("delete stack %s: %w", s.name, errors.Join(errs...))
	}
	s.mu.Lock()
	s.deleted, s.outputs = s.service.options.Now(), nil
	s.mu.Unlock()
	s.note(DeleteComplete, "")
	return nil
}
