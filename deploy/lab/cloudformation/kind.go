package cloudformation

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// entity is what a resource became.
type entity struct {
	ID         string            // what Ref returns, which is the physical id in all types here
	Attributes map[string]string // what GetAtt returns
}

// definition is a resource type: P has all its properties, see parse.
type definition[P any] struct {
	attributes []string // of GetAtt
	// create makes the resource. When it fails nothing of it is left.
	create func(*task, *P) (entity, error)
	// update changes it in place; nil where each change makes another one.
	update func(t *task, e entity, was, is *P) (entity, error)
	// remove is no error where there is nothing any more.
	remove func(*task, entity, *P) error
	// replaces tells of more changes than those of fixed properties that make
	// another resource; may be nil.
	replaces func(was, is *P) bool
}

// kind is a resource type without its type parameter.
type kind struct {
	attributes []string
	properties reflect.Type
	parse      func(map[string]any) (any, error)
	create     func(*task, any) (entity, error)
	update     func(t *task, e entity, was, is any) (entity, error)
	remove     func(*task, entity, any) error
	replaces   func(was, is any) bool
}

func define[P any](d definition[P]) kind {
	return kind{
		attributes: d.attributes,
		properties: reflect.TypeFor[P](),
		parse: func(m map[string]any) (any, error) {
			p := new(P)
			return p, parse(m, p)
		},
		create: func(t *task, p any) (entity, error) { return d.create(t, p.(*P)) },
		update: func(t *task, e entity, was, is any) (entity, error) { return d.update(t, e, was.(*P), is.(*P)) },
		remove: func(t *task, e entity, p any) error { return d.remove(t, e, p.(*P)) },
		replaces: func(was, is any) bool {
			return d.update == nil || d.replaces != nil && d.replaces(was.(*P), is.(*P))
		},
	}
}

// undone has an update of several calls leave all as it was when one of them
// fails: what was not changed yet is changed to itself.
func undone[P any](update func(t *task, e entity, was, is *P) (entity, error)) func(t *task, e entity, was, is *P) (entity, error) {
	return func(t *task, e entity, was, is *P) (entity, error) {
		changed, err := update(t, e, was, is)
		if err != nil {
			_, _ = update(t, e, is, was) // err is what is to be told
			return e, err
		}
		return changed, nil
	}
}

// field returns a top-level property by its name.
func (k kind) field(name string) reflect.StructField {
	f, _ := k.properties.FieldByName(name)
	return f
}

// changed lists the top-level properties that differ.
func changed(was, is map[string]any) []string {
	var names []string
	for name := range is {
		if !reflect.DeepEqual(was[name], is[name]) {
			names = append(names, name)
		}
	}
	for name := range was {
		if _, still := is[name]; !still {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// namedAs returns the resource's own name for itself in the template, "" where
// CloudFormation makes one up.
func (k kind) namedAs(properties map[string]any) string {
	for i := range k.properties.NumField() {
		if f := k.properties.Field(i); marked(f, "name") {
			name, _ := properties[f.Name].(string)
			return name
		}
	}
	return ""
}

// isNamed tells whether a template names the resource, by whatever function.
func (k kind) isNamed(written map[string]any) bool {
	for i := range k.properties.NumField() {
		if f := k.properties.Field(i); marked(f, "name") {
			_, named := written[f.Name]
			return named
		}
	}
	return false
}

// kinds are all resource types, a file for each service.
var kinds = collect(
	chatbotKinds,
	cloudTrailKinds,
	cloudWatchKinds,
	ec2Kinds,
	eventsKinds,
	iamKinds,
	kmsKinds,
	lambdaKinds,
	lambdaEventKinds,
	logsKinds,
	s3Kinds,
	secretsManagerKinds,
	snsKinds,
	sqsKinds,
	ssmKinds,
)

func collect(services ...map[string]kind) map[string]kind {
	all := map[string]kind{}
	for _, types := range services {
		for name, k := range types {
			if _, twice := all[name]; twice {
				panic(fmt.Sprintf("the type %s is defined twice", name))
			}
			all[name] = k
		}
	}
	return all
}

// Types returns the resource types that are known, sorted.
func Types() []string { return slices.Sorted(maps.Keys(kinds)) }
