package template

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// read makes a tree of maps, lists, strings, booleans and numbers from YAML, of
// which JSON is a part. Short forms of functions become long ones. Numbers keep
// their digits, since account ids are among them.
func read(text []byte) (any, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, malformed(text, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, malformed(text, "the template is empty")
	}
	return convert(doc.Content[0], "")
}

func malformed(text []byte, why string) error {
	language := "YAML"
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		language = "JSON"
	}
	return invalid("Template format error: %s not well-formed. (%s)", language, why)
}

// convert returns the value of a node at a path.
func convert(n *yaml.Node, path string) (any, error) {
	v, err := plain(n, path)
	if err != nil {
		return nil, err
	}
	tag := n.ShortTag()
	if strings.HasPrefix(tag, "!!") {
		return v, nil
	}
	name, known := shortForms[tag]
	if !known {
		return nil, invalid("Template format error: line %d: %s is no function", n.Line, tag)
	}
	if s, ok := v.(string); ok && name == "Fn::GetAtt" {
		id, attribute, _ := strings.Cut(s, ".")
		v = []any{id, attribute}
	}
	return map[string]any{name: v}, nil
}

// shortForms are the tags of functions.
var shortForms = map[string]string{
	"!Ref": "Ref", "!Condition": "Condition", "!Base64": "Fn::Base64", "!FindInMap": "Fn::FindInMap",
	"!GetAtt": "Fn::GetAtt", "!If": "Fn::If", "!Join": "Fn::Join", "!Select": "Fn::Select", "!Split": "Fn::Split",
	"!Sub": "Fn::Sub", "!Contains": "Fn::Contains", "!EachMemberEquals": "Fn::EachMemberEquals", "!EachMemberIn": "Fn::EachMemberIn",
	"!Equals": "Fn::Equals", "!Not": "Fn::Not", "!And": "Fn::And", "!Or": "Fn::Or",
}

// plain returns a node's value without its tag.
func plain(n *yaml.Node, path string) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
				return nil, invalid("Template format error: line %d: a key must be a string", key.Line)
			}
			if _, twice := m[key.Value]; twice {
				return nil, invalid("Template format error: line %d: the key %s is there twice", key.Line, key.Value)
			}
			v, err := convert(n.Content[i+1], path+"/"+key.Value)
			if err != nil {
				return nil, err
			}
			m[key.Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, e := range n.Content {
			var err error
			if list[i], err = convert(e, path); err != nil {
				return nil, err
			}
		}
		return list, nil
	case yaml.ScalarNode:
		return scalar(n, path)
	case yaml.AliasNode:
		return nil, invalid("Template error: YAML aliases are not allowed in CloudFormation templates")
	default:
		return nil, errors.New("a node of an unknown kind")
	}
}

var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// booleans are the plain words that YAML 1.1, which CloudFormation reads, takes
// for booleans.
var booleans = map[string]bool{
	"true": true, "True": true, "TRUE": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"false": false, "False": false, "FALSE": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
}

// scalar returns a string, a boolean or a number. Dates are strings, and so is
// what has a tag or quotes.
func scalar(n *yaml.Node, path string) (any, error) {
	const marked = yaml.TaggedStyle | yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	b, isBool := booleans[n.Value]
	switch {
	case n.Style&marked != 0:
		return n.Value, nil
	case n.ShortTag() == "!!null":
		return nil, invalid("Template format error: [%s] 'null' values are not allowed in templates", path)
	case isBool:
		return b, nil
	case number.MatchString(n.Value):
		return json.Number(n.Value), nil
	default:
		return n.Value, nil
	}
}
