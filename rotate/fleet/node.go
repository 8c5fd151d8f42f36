package fleet

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// InstanceID names a managed node: an EC2 instance (i-) or a hybrid node (mi-).
type InstanceID string

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_InstanceInformation.html
var instanceID = lazily(`^(i-([0-9a-f]{8}|[0-9a-f]{17})|mi-[0-9a-f]{17})$`)

// lazily compiles a pattern when it is first needed: a function starts sooner.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// ParseInstanceID accepts what SSM accepts.
func ParseInstanceID(text string) (InstanceID, error) {
	if !instanceID().MatchString(text) {
		return "", fmt.Errorf("%q is not the id of a managed node", text)
	}
	return InstanceID(text), nil
}

// Node is one managed node as Systems Manager shows it.
type Node struct {
	ID       InstanceID
	Platform string // Linux, Windows or MacOS
	Online   bool   // PingStatus is Online
	Address  string // the one IP address that SSM knows, without a port
}

// Tag is one tag of a node, with a value.
type Tag struct{ Key, Value string }

// Target selects nodes that have all of its tags.
type Target []Tag

// Tag rules of EC2 and SSM: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
var tagText = regexp.MustCompile(`^[A-Za-z0-9 _.:/=+@-]+$`)

const (
	maxTagKey   = 128
	maxTagValue = 256
)

// ParseTag checks a key and a value. Empty ones are refused: they would select by accident.
func ParseTag(key, value string) (Tag, error) {
	if len(key) > maxTagKey || !tagText.MatchString(key) {
		return Tag{}, fmt.Errorf("%q is not a tag key: letters, digits, spaces and _ . : / = + - @, at most 128", key)
	}
	if len(value) > maxTagValue || !tagText.MatchString(value) {
		return Tag{}, fmt.Errorf("%q is not a tag value: letters, digits, spaces and _ . : / = + - @, 1 to 256", value)
	}
	return Tag{key, value}, nil
}

// ParseTarget reads "Key=Value" pairs separated by spaces, all of which a node must have. A word
// without "=" continues the value before it, so "Team=web servers Env=prod" is two pairs.
func ParseTarget(text string) (Target, error) {
	var target Target
	for _, word := range strings.Fields(text) {
		key, value, pair := strings.Cut(word, "=")
		switch {
		case pair:
			target = append(target, Tag{key, value})
		case len(target) == 0:
			return nil, fmt.Errorf("%q is not Key=Value", word)
		default:
			target[len(target)-1].Value += " " + word
		}
	}
	for _, t := range target {
		if _, err := ParseTag(t.Key, t.Value); err != nil {
			return nil, fmt.Errorf("%s=%s: %w", t.Key, t.Value, err)
		}
	}
	return target, nil
}

// String is the form that ParseTarget reads.
func (t Target) String() string {
	pairs := make([]string, len(t))
	for i, tag := range t {
		pairs[i] = tag.Key + "=" + tag.Value
	}
	return strings.Join(pairs, " ")
}
