package cloudformation

import (
	"slices"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
)

// Change is what an operation would do to one resource.
type Change struct {
	Action      string // Add, Modify, Remove
	LogicalID   string
	PhysicalID  string // "" for one that is added
	Type        string
	Replacement string   // of Modify: True, False, or Conditional where it follows from a value that is not known yet
	Properties  []string // of Modify: those that change
}

// unknown stands in a preview for what is known once the operation has run.
const unknown = "{{changeSet:KNOWN_AFTER_APPLY}}"

// preview lists what an operation would do, in its order.
func (o *operation) preview() ([]Change, error) {
	replaced := map[string]bool{}
	look := func(id, attribute string) (string, error) {
		if o.resources[id] == nil || replaced[id] {
			return unknown, nil
		}
		return o.look(id, attribute)
	}
	var list []Change
	kept := map[string]bool{}
	for _, r := range o.plan.Resources() {
		kept[r.ID] = true
		c, err := o.compare(r, look)
		if err != nil {
			return nil, err
		}
		if c.Action != "" {
			replaced[r.ID] = c.Replacement == "True"
			list = append(list, c)
		}
	}
	for id, r := range o.resources {
		if !kept[id] {
			list = append(list, Change{Action: "Remove", LogicalID: id, PhysicalID: r.ID, Type: r.kind})
		}
	}
	return list, nil
}

// compare tells one resource as it is from what it is to be; the zero Change is
// no change.
func (o *operation) compare(r template.Resource, look template.Lookup) (Change, error) {
	was, k := o.resources[r.ID], kinds[r.Type]
	if was == nil {
		return Change{Action: "Add", LogicalID: r.ID, Type: r.Type}, nil
	}
	is, err := o.evaluate(r, look)
	if err != nil || was.kind != r.Type {
		return Change{Action: "Modify", LogicalID: r.ID, PhysicalID: was.ID, Type: r.Type, Replacement: "Conditional"}, nil // the operation itself tells what is wrong
	}
	names := changed(was.properties, is.properties)
	if len(names) == 0 {
		return Change{}, nil
	}
	c := Change{Action: "Modify", LogicalID: r.ID, PhysicalID: was.ID, Type: r.Type, Replacement: "False", Properties: names}
	if o.replaces(k, names, was, is) {
		c.Replacement = "True"
		if slices.ContainsFunc(names, func(name string) bool { return is.properties[name] == unknown }) {
			c.Replacement = "Conditional"
		}
	}
	return c, nil
}
