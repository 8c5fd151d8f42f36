package cloudformation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// task is the work on one resource.
type task struct {
	context.Context
	*Service
	client
	stack *Stack
	spec  Spec   // what the stack is to be
	id    string // logical
}

// name makes up the name of a resource: stack, logical id and an end that no
// other resource has, each of the first two cut where the whole is too long.
func (t *task) name(longest int) string {
	const end = 12
	each := (longest - end - 2) / 2
	return cut(t.stack.name, each) + "-" + cut(t.id, each) + "-" + t.unique(t.stack.id + t.id)[:end]
}

func cut(s string, longest int) string { return s[:min(len(s), longest)] }

// unique returns letters and digits that are not given out twice, the same
// ones for the same seed and calls.
func (s *Service) unique(purpose string) string {
	s.mu.Lock()
	s.sequence++
	text := fmt.Sprint(s.options.Seed, s.sequence, s.options.Now().UnixNano(), purpose)
	s.mu.Unlock()
	sum := sha256.Sum256([]byte(text))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
}

// uuid returns a version 4 UUID from the same source.
func (s *Service) uuid(purpose string) string {
	sum := sha256.Sum256([]byte(s.unique(purpose)))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// arn makes an ARN of the account and Region.
func (t *task) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + t.options.Region + ":" + t.options.Account + ":" + resource
}

// claim takes a name for the stack, in what has no service in the lab that
// would know of it; release gives it back.
func (t *task) claim(kind, name string) error {
	t.Service.mu.Lock()
	defer t.Service.mu.Unlock()
	key := kind + " " + name
	if t.taken[key] {
		return alreadyExists(kind, name)
	}
	t.taken[key] = true
	return nil
}

func (t *task) release(kind, name string) {
	t.Service.mu.Lock()
	defer t.Service.mu.Unlock()
	delete(t.taken, kind+" "+name)
}

func alreadyExists(kind, name string) error {
	return &refusal{Service: service(kind), Code: "AlreadyExistsException", Status: 400, RequestID: "n/a",
		Message: fmt.Sprintf("Resource of type '%s' with identifier '%s' already exists.", kind, name)}
}

// service is the middle of a type's name.
func service(kind string) string { return strings.Split(kind, "::")[1] }

// tags are those of the resource and those of the whole stack, sorted by key.
func (t *task) tags(own []Tag) []Tag {
	all := slices.Clone(own)
	for key, value := range t.spec.Tags {
		if !slices.ContainsFunc(all, func(tag Tag) bool { return tag.Key == key }) {
			all = append(all, Tag{key, value})
		}
	}
	slices.SortFunc(all, func(x, y Tag) int { return cmp.Compare(x.Key, y.Key) })
	return all
}

// kept defines a type that has no service in the lab: its properties are kept
// for a test to read, and its name is taken.
func kept[P any](kindName string, name func(*task, *P) string, attributes map[string]func(t *task, name string) string) kind {
	describe := func(t *task, name string) entity {
		e := entity{ID: name, Attributes: map[string]string{}}
		for attribute, value := range attributes {
			e.Attributes[attribute] = value(t, name)
		}
		return e
	}
	return define(definition[P]{
		attributes: slices.Sorted(maps.Keys(attributes)),
		create: func(t *task, p *P) (entity, error) {
			n := name(t, p)
			return describe(t, n), t.claim(kindName, n)
		},
		update: func(_ *task, e entity, _, _ *P) (entity, error) { return e, nil },
		remove: func(t *task, e entity, _ *P) error {
			t.release(kindName, e.ID)
			return nil
		},
	})
}

// arnAttribute is the attribute Arn of what is named by its ARN's end.
func arnAttribute(service, before, after string) map[string]func(*task, string) string {
	return map[string]func(*task, string) string{
		"Arn": func(t *task, name string) string { return t.arn(service, before+name+after) },
	}
}
