package iam

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed calls.txt
var callsText string

// need is one permission that a call needs.
type need struct {
	action  string
	on      kindOfResource
	present string            // the member without which the request does not need it
	absent  string            // the member with which it does not
	keys    map[string]string // condition key: member of the request
}

// parseCalls reads the table of calls.txt: what a call needs by SERVICE:ACTION.
func parseCalls(table string) (map[string][]need, error) {
	calls := map[string][]need{}
	call := ""
	for i, line := range strings.Split(table, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		n, name, err := parseNeed(line, call)
		if err != nil {
			return nil, fmt.Errorf("table of calls, line %d: %w", i+1, err)
		}
		if _, twice := calls[name]; twice && name != call {
			return nil, fmt.Errorf("table of calls, line %d: %s is there already", i+1, name)
		}
		call = name
		calls[call] = append(calls[call], n...)
	}
	return calls, nil
}

// parseNeed reads one line; it has no need where nobody needs a permission.
func parseNeed(line, above string) (n []need, call string, err error) {
	columns := strings.Split(line, "|")
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i])
	}
	if len(columns) != 3 && len(columns) != 4 {
		return nil, "", fmt.Errorf("%d columns", len(columns))
	}
	call = columns[0]
	if call == "-" {
		call = above
	}
	if columns[1] == "-" {
		return nil, call, nil
	}
	one := need{action: columns[1], keys: map[string]string{}}
	if one.action == "same" {
		one.action = call
	}
	words := strings.Fields(columns[2])
	switch {
	case len(words) == 3 && words[1] == "if":
		one.present = words[2]
	case len(words) == 3 && words[1] == "unless":
		one.absent = words[2]
	case len(words) != 1:
		return nil, "", fmt.Errorf("resource %q", columns[2])
	}
	var ok bool
	if one.on, ok = kindsOfResource[words[0]]; !ok {
		return nil, "", fmt.Errorf("resource %q", columns[2])
	}
	if len(columns) == 4 {
		for _, pair := range strings.Fields(columns[3]) {
			key, member, ok := strings.Cut(pair, "=")
			if _, known := keyNamed(strings.ToLower(key)); !ok || !known {
				return nil, "", fmt.Errorf("condition key %q", pair)
			}
			one.keys[key] = member
		}
	}
	return []need{one}, call, nil
}
