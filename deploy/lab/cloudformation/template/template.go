// Package template reads CloudFormation templates and evaluates them: in YAML
// with the short forms of the functions, or in JSON. It knows nothing of
// resource types and makes no calls; what a resource became is told to it by a
// [Lookup].
//
// Whatever it does not know is an error that names it: sections, keys, functions,
// tags, parameter types. Not modelled, and refused so: transforms and macros,
// Fn::ImportValue, Fn::GetAZs, Fn::Cidr, Fn::Transform and the language
// extensions, dynamic references, parameters that come from Parameter Store,
// creation and update policies, hooks. Errors have CloudFormation's words
// where those are known.
package template

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Error is what CloudFormation answers as a ValidationError.
type Error string

func (e Error) Error() string { return string(e) }

func invalid(format string, a ...any) error { return Error(fmt.Sprintf(format, a...)) }

// Template is a template that was read and is sound in itself. Make it with
// [Parse].
type Template struct {
	Version     string
	Description string
	Parameters  []Parameter // by name
	Metadata    map[string]any

	mappings   map[string]any
	conditions map[string]any
	rules      map[string]any
	resources  map[string]resource
	outputs    map[string]output
}

// resource is a resource as it is written.
type resource struct {
	kind          string
	properties    map[string]any
	condition     string
	dependsOn     []string
	deletion      string
	updateReplace string
	metadata      any
}

// output is an output as it is written.
type output struct {
	value       any
	description string
	condition   string
	export      any
}

// Policies of a resource's end.
const (
	Delete               = "Delete"
	Retain               = "Retain"
	RetainExceptOnCreate = "RetainExceptOnCreate"
)

var alphanumeric = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// Parse reads a template and checks all that can be checked without values for
// its parameters. Errors are of type [Error].
func Parse(text []byte) (*Template, error) {
	root, err := read(text)
	if err != nil {
		return nil, err
	}
	top, ok := root.(map[string]any)
	if !ok {
		return nil, invalid("Template format error: unsupported structure.")
	}
	t := &Template{resources: map[string]resource{}, outputs: map[string]output{}}
	var unknown []string
	for name := range top {
		if sections[name] == nil {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, invalid("Invalid template property or properties [%s]", listed(unknown))
	}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if err := sections[name](t, top[name]); err != nil {
			return nil, err
		}
	}
	if len(t.resources) == 0 {
		return nil, invalid("Template format error: At least one Resources member must be defined.")
	}
	return t, t.check()
}

// Types returns the types of all resources, those whose conditions may not hold
// included, by logical id.
func (t *Template) Types() map[string]string {
	m := map[string]string{}
	for id, r := range t.resources {
		m[id] = r.kind
	}
	return m
}

// Written returns a resource's properties with their functions.
func (t *Template) Written(id string) map[string]any { return maps.Clone(t.resources[id].properties) }

// sections read the parts of a template.
var sections = map[string]func(*Template, any) error{
	"AWSTemplateFormatVersion": func(t *Template, v any) error {
		if v != "2010-09-09" {
			return invalid("Template format error: unsupported value for AWSTemplateFormatVersion.")
		}
		t.Version = "2010-09-09"
		return nil
	},
	"Description": func(t *Template, v any) (err error) {
		t.Description, err = text("Description", v)
		return err
	},
	"Metadata":   object(func(t *Template, m map[string]any) error { t.Metadata = m; return nil }),
	"Mappings":   object((*Template).readMappings),
	"Conditions": object(func(t *Template, m map[string]any) error { t.conditions = m; return nil }),
	"Rules":      object(func(t *Template, m map[string]any) error { t.rules = m; return nil }),
	"Parameters": object((*Template).readParameters),
	"Resources":  object((*Template).readResources),
	"Outputs":    object((*Template).readOutputs),
}

// object makes a section's reader from one that takes an object.
func object(f func(*Template, map[string]any) error) func(*Template, any) error {
	return func(t *Template, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return invalid("Template format error: every section must be an object")
		}
		return f(t, m)
	}
}

func (t *Template) readMappings(m map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		keys, ok := m[name].(map[string]any)
		if !ok {
			return invalid("Template format error: Every Mappings member %s must be a map", name)
		}
		for key, attributes := range keys {
			values, ok := attributes.(map[string]any)
			if !ok {
				return invalid("Template format error: Every Mappings attribute %s::%s must be a map", name, key)
			}
			for attribute, v := range values {
				switch v := v.(type) {
				case map[string]any:
					return invalid("Template format error: Every Mappings attribute must be a String or a List.")
				case []any:
					if slices.ContainsFunc(v, isTree) {
						return invalid("Template format error: Every Mappings attribute must be a String or a List, and %s::%s::%s is not", name, key, attribute)
					}
				}
			}
		}
	}
	t.mappings = m
	return nil
}

func isTree(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

func (t *Template) readResources(m map[string]any) error {
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if !alphanumeric.MatchString(id) {
			return invalid("Template format error: Resource name %s is non alphanumeric.", id)
		}
		body, ok := m[id].(map[string]any)
		if !ok {
			return invalid("Template format error: Any Resources member must be an object.")
		}
		r, err := readResource(id, body)
		if err != nil {
			return err
		}
		t.resources[id] = r
	}
	return nil
}

func readResource(id string, body map[string]any) (r resource, err error) {
	r = resource{properties: map[string]any{}, deletion: Delete, updateReplace: Delete}
	for _, key := range slices.Sorted(maps.Keys(body)) {
		v := body[key]
		switch key {
		case "Type":
			r.kind, err = text(id+"/Type", v)
		case "Properties":
			var ok bool
			if r.properties, ok = v.(map[string]any); !ok {
				err = invalid("Template format error: [/Resources/%s] Every Properties member must be an object.", id)
			}
		case "Condition":
			r.condition, err = text(id+"/Condition", v)
		case "DependsOn":
			r.dependsOn, err = texts(id+"/DependsOn", v)
		case "DeletionPolicy":
			r.deletion, err = policy(id, key, v, Delete, Retain, RetainExceptOnCreate)
		case "UpdateReplacePolicy":
			r.updateReplace, err = policy(id, key, v, Delete, Retain)
		case "Metadata":
			r.metadata = v
		default:
			err = invalid("Invalid template resource property '%s'", key)
		}
		if err != nil {
			return resource{}, err
		}
	}
	if r.kind == "" {
		return resource{}, invalid("Template format error: [/Resources/%s] Every Resources object must contain a Type member.", id)
	}
	return r, nil
}

// policy reads what becomes of a resource. Snapshots are of types that are not
// modelled.
func policy(id, key string, v any, known ...string) (string, error) {
	if s, ok := v.(string); ok && slices.Contains(known, s) {
		return s, nil
	}
	return "", invalid("Template format error: Unrecognized %s %v for resource %s", key, v, id)
}

func (t *Template) readOutputs(m map[string]any) error {
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if !alphanumeric.MatchString(id) {
			return invalid("Template format error: Output name %s is non alphanumeric.", id)
		}
		body, ok := m[id].(map[string]any)
		if !ok {
			return invalid("Template format error: Every Outputs member must be an object.")
		}
		var o output
		for _, key := range slices.Sorted(maps.Keys(body)) {
			var err error
			switch v := body[key]; key {
			case "Value":
				o.value = v
			case "Description":
				o.description, err = text(id+"/Description", v)
			case "Condition":
				o.condition, err = text(id+"/Condition", v)
			case "Export":
				export, _ := v.(map[string]any)
				if o.export = export["Name"]; o.export == nil || len(export) != 1 {
					err = invalid("Template format error: Output %s: an Export has a Name and nothing else", id)
				}
			default:
				err = invalid("Invalid template output property '%s'", key)
			}
			if err != nil {
				return err
			}
		}
		if o.value == nil {
			return invalid("Template format error: Output %s must contain a Value member.", id)
		}
		t.outputs[id] = o
	}
	return nil
}

// text returns a value that must be a string.
func text(where string, v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", invalid("Template format error: %s must be a string", where)
	}
	return s, nil
}

// texts returns a value that is a string or a list of them.
func texts(where string, v any) ([]string, error) {
	if s, ok := v.(string); ok {
		return []string{s}, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("Template format error: %s must be a string or a list of strings", where)
	}
	out := make([]string, len(list))
	for i, e := range list {
		var err error
		if out[i], err = text(where, e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// listed joins names in their order.
func listed(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
