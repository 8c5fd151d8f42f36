package template

import (
	"maps"
	"slices"
	"strings"
)

// Pseudo are the values of the pseudo parameters.
type Pseudo struct {
	Account          string
	Region           string
	StackName        string
	StackID          string
	NotificationARNs []string
}

// Plan is a template with values for its parameters: which resources there are,
// in which order, and what they are made of. Make it with [Template.Bind].
type Plan struct {
	template   *Template
	parameters map[string]string
	names      Pseudo
	conditions map[string]truthValue
	resources  []Resource
	present    map[string]bool
}

// Resource is a resource of a plan.
type Resource struct {
	ID                  string
	Type                string
	DependsOn           []string // all that it needs, said or implied, sorted
	DeletionPolicy      string
	UpdateReplacePolicy string
	Metadata            any // with its functions
	references          []reference
}

// Output is an output with its value.
type Output struct {
	Key, Value, Description, ExportName string
}

// reference is a use of a resource; attribute is "" for Ref.
type reference struct{ id, attribute string }

// Bind gives a template its parameters. It refuses values that break a
// constraint or a rule, and resources that need each other.
func (t *Template) Bind(values map[string]string, names Pseudo) (*Plan, error) {
	bound, err := t.bind(values)
	if err != nil {
		return nil, err
	}
	p := &Plan{template: t, parameters: bound, names: names, conditions: map[string]truthValue{}, present: map[string]bool{}}
	if err := p.checkRules(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(t.conditions)) {
		if _, err := p.condition(name); err != nil {
			return nil, err
		}
	}
	for id, r := range t.resources {
		if p.present[id], err = p.wanted(r.condition); err != nil {
			return nil, err
		}
	}
	return p, p.arrange()
}

func (p *Plan) wanted(condition string) (bool, error) {
	if condition == "" {
		return true, nil
	}
	return p.condition(condition)
}

func (p *Plan) exists(id string) bool { return p.present[id] }

// Resources returns the resources whose conditions hold, each after all that it
// depends on.
func (p *Plan) Resources() []Resource { return slices.Clone(p.resources) }

// Template returns the template.
func (p *Plan) Template() *Template { return p.template }

// Parameters returns the values in use, by name.
func (p *Plan) Parameters() map[string]string { return maps.Clone(p.parameters) }

// Attributes returns which attributes of which resources are used, by resource.
func (p *Plan) Attributes() map[string][]string {
	used := map[string][]string{}
	note := func(list []reference) {
		for _, r := range list {
			if r.attribute != "" && !slices.Contains(used[r.id], r.attribute) {
				used[r.id] = append(used[r.id], r.attribute)
			}
		}
	}
	for _, r := range p.resources {
		note(r.references)
	}
	for _, o := range p.template.outputs {
		if wanted, err := p.wanted(o.condition); err == nil && wanted {
			list, _ := p.references(o.value)
			note(list)
		}
	}
	for _, list := range used {
		slices.Sort(list)
	}
	return used
}

// Properties returns what a resource is made of.
func (p *Plan) Properties(id string, look Lookup) (map[string]any, error) {
	v, err := evaluator{plan: p, look: look}.value(p.template.resources[id].properties)
	if err != nil {
		return nil, err
	}
	m, _ := v.(map[string]any) // {} where Properties as a whole is AWS::NoValue
	return m, nil
}

// Outputs returns the outputs whose conditions hold, by key.
func (p *Plan) Outputs(look Lookup) ([]Output, error) {
	var list []Output
	e := evaluator{plan: p, look: look}
	for _, key := range slices.Sorted(maps.Keys(p.template.outputs)) {
		o := p.template.outputs[key]
		if wanted, err := p.wanted(o.condition); err != nil || !wanted {
			if err != nil {
				return nil, err
			}
			continue
		}
		out := Output{Key: key, Description: o.description}
		var err error
		if out.Value, err = e.output(key, o.value); err != nil {
			return nil, err
		}
		if o.export != nil {
			if out.ExportName, err = e.output(key, o.export); err != nil {
				return nil, err
			}
		}
		list = append(list, out)
	}
	return list, nil
}

func (e evaluator) output(key string, tree any) (string, error) {
	v, err := e.value(tree)
	if err != nil {
		return "", err
	}
	s, ok := scalarText(v)
	if !ok {
		return "", invalid("Template format error: The Value field of every Outputs member must evaluate to a String, and that of %s does not.", key)
	}
	return s, nil
}

// pseudo returns the value of a pseudo parameter.
func (p *Plan) pseudo(name string) (any, bool) {
	switch name {
	case "AWS::AccountId":
		return p.names.Account, true
	case "AWS::Region":
		return p.names.Region, true
	case "AWS::StackName":
		return p.names.StackName, true
	case "AWS::StackId":
		return p.names.StackID, true
	case "AWS::Partition":
		return partition(p.names.Region), true
	case "AWS::URLSuffix":
		if partition(p.names.Region) == "aws-cn" {
			return "amazonaws.com.cn", true
		}
		return "amazonaws.com", true
	case "AWS::NotificationARNs":
		list := []any{}
		for _, arn := range p.names.NotificationARNs {
			list = append(list, arn)
		}
		return list, true
	case "AWS::NoValue":
		return nothing{}, true
	}
	return nil, false
}

func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// parameter returns what Ref gives for a parameter: a string or a list.
func (p *Plan) parameter(name string) (any, bool) {
	value, ok := p.parameters[name]
	if !ok {
		return nil, false
	}
	i := slices.IndexFunc(p.template.Parameters, func(q Parameter) bool { return q.Name == name })
	if q := p.template.Parameters[i]; q.isList() {
		list := []any{}
		for _, item := range q.items(value) {
			list = append(list, item)
		}
		return list, true
	}
	return value, true
}

// arrange orders the resources and refuses circles.
func (p *Plan) arrange() error {
	needs := map[string][]string{}
	made := map[string]Resource{}
	for _, id := range slices.Sorted(maps.Keys(p.present)) {
		if !p.present[id] {
			continue
		}
		r := p.template.resources[id]
		refs, err := p.references(r.properties)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if !p.exists(ref.id) {
				return unresolved("Resources", ref.id)
			}
			needs[id] = append(needs[id], ref.id)
		}
		for _, other := range r.dependsOn {
			if p.exists(other) {
				needs[id] = append(needs[id], other)
			}
		}
		slices.Sort(needs[id])
		needs[id] = slices.Compact(needs[id])
		made[id] = Resource{ID: id, Type: r.kind, DependsOn: needs[id], DeletionPolicy: r.deletion,
			UpdateReplacePolicy: r.updateReplace, Metadata: r.metadata, references: refs}
	}
	done := map[string]bool{}
	for len(done) < len(made) {
		before := len(done)
		for _, id := range slices.Sorted(maps.Keys(made)) {
			ready := !slices.ContainsFunc(needs[id], func(other string) bool { return !done[other] })
			if !done[id] && ready {
				done[id] = true
				p.resources = append(p.resources, made[id])
			}
		}
		if len(done) == before {
			return circle(needs, done)
		}
	}
	return nil
}

// circle names the resources that need each other: of those that cannot be
// made, the ones that something else of them needs.
func circle(needs map[string][]string, done map[string]bool) error {
	left := map[string]bool{}
	for id := range needs {
		if !done[id] {
			left[id] = true
		}
	}
	for changed := true; changed; {
		changed = false
		for id := range left {
			needed := false
			for other := range left {
				needed = needed || slices.Contains(needs[other], id)
			}
			if !needed {
				delete(left, id)
				changed = true
			}
		}
	}
	return invalid("Circular dependency between resources: [%s]", listed(slices.Collect(maps.Keys(left))))
}

// references returns the resources that a tree uses, on the branches that the
// conditions take.
func (p *Plan) references(v any) ([]reference, error) {
	var list []reference
	err := p.walk(v, func(r reference) { list = append(list, r) })
	return list, err
}

func (p *Plan) walk(v any, found func(reference)) error {
	if m, ok := v.(map[string]any); ok {
		if name, argument, ok := call(m); ok && name == "Fn::If" {
			branch, err := evaluator{plan: p}.branch(argument)
			if err != nil {
				return err
			}
			return p.walk(branch, found)
		}
	}
	return children(v, func(r reference) {
		if p.template.resources[r.id].kind != "" {
			found(r)
		}
	}, func(inner any) error { return p.walk(inner, found) })
}
