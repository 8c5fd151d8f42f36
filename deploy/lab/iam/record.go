package iam

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Record is a call that was judged, with what decided it. Calls that differ in
// nothing but the time are one record.
type Record struct {
	Call     // with all keys that it was judged by, in lower case
	Decision Decision
	Count    int
}

// clockKeys are the keys that differ from call to call.
var clockKeys = []string{"aws:currenttime", "aws:epochtime"}

// note keeps a judged call. The caller holds mu.
func (e *Engine) note(q inquiry, d Decision) {
	var id strings.Builder
	fmt.Fprintln(&id, q.Principal, q.Action, q.Resource, d)
	for _, k := range slices.Sorted(maps.Keys(q.keys)) {
		if !slices.Contains(clockKeys, k) {
			fmt.Fprintf(&id, "%s=%q\n", k, q.keys[k])
		}
	}
	if i, ok := e.noted[id.String()]; ok {
		e.records[i].Count++
		return
	}
	q.Keys = q.keys
	e.noted[id.String()] = len(e.records)
	e.records = append(e.records, Record{Call: q.Call, Decision: d, Count: 1})
}

// Decisions returns the calls that were judged, in the order in which they
// first came.
func (e *Engine) Decisions() []Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.records)
}

// Forget drops the records.
func (e *Engine) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.records, e.noted = nil, map[string]int{}
}

// Grant is a statement that allows, with its actions as they are written.
type Grant struct {
	Statement
	Actions []string // those of NotAction have a ! before them
}

// Grants returns all statements that allow something, by policy and place:
// those of roles, of permissions boundaries and of resources.
func (e *Engine) Grants() []Grant {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []attached
	for _, r := range e.policies.roles {
		all = append(all, r.identity...)
		if r.boundary != nil {
			all = append(all, *r.boundary)
		}
	}
	all = append(all, slices.Collect(maps.Values(e.policies.resources))...)
	slices.SortStableFunc(all, func(x, y attached) int { return strings.Compare(x.name, y.name) })
	all = slices.CompactFunc(all, func(x, y attached) bool { return x.name == y.name }) // a managed policy of many roles
	var list []Grant
	for _, a := range all {
		for _, s := range a.statements {
			if s.deny {
				continue
			}
			g := Grant{Statement: Statement{Policy: a.name, ID: s.id}}
			for _, p := range s.actions {
				g.Actions = append(g.Actions, map[bool]string{true: "!"}[s.notActions]+p.source)
			}
			list = append(list, g)
		}
	}
	return list
}

// Needing judges the recorded calls that were allowed once more, as if a
// statement were not there, or with an action only that action of it, and
// returns those that would be denied. Nothing is recorded. A statement that no
// call needs is one right too many.
func (e *Engine) Needing(s Statement, action string) []Record {
	return e.changed(s, action, true)
}

// HeldBackBy is the same for a statement that denies: it returns the recorded
// calls that were denied and would be allowed without it.
func (e *Engine) HeldBackBy(s Statement) []Record { return e.changed(s, "", false) }

// changed returns the records with a decision that would be another.
func (e *Engine) changed(s Statement, action string, allowed bool) []Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.policies.without(s, action)
	var list []Record
	for _, r := range e.records {
		if r.Decision.Allowed != allowed {
			continue
		}
		c, err := callerOf(r.Principal)
		if err == nil && p.judge(inquiry{Call: r.Call, caller: p.complete(c), keys: r.Keys}).Allowed != allowed {
			list = append(list, r)
		}
	}
	return list
}
