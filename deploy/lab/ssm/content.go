package ssm

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// Bounds of a step's execution time-out; what is outside them, or is no
// number, becomes the default. The published agent has them.
const (
	defaultExecution = 3600 * time.Second
	minExecution     = 5 * time.Second
	maxExecution     = 172800 * time.Second
)

const (
	shellAction      = "aws:runShellScript"
	powerShellAction = "aws:runPowerShellScript"
)

// envVarAgent is the first agent that knows interpolationType ENV_VAR.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-syntax-data-elements-parameters.html
const envVarAgent = "3.3.2746.0"

var (
	// reference is a parameter in a document's text.
	reference      = regexp.MustCompile(`\{\{\s*([a-zA-Z0-9]+)\s*\}\}`)
	wholeReference = regexp.MustCompile(`^\{\{\s*([a-zA-Z0-9]+)\s*\}\}$`)
	// storeReference is a Parameter Store parameter in a value.
	storeReference = regexp.MustCompile(`\{\{ *ssm:([/\w.:-]+) *\}\}`)
	parameterName  = regexp.MustCompile(`^[a-zA-Z0-9]+$`)
	stepName       = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
)

// content is a Command document, parsed and known to be runnable.
type content struct {
	schema      string
	description string
	parameters  map[string]*parameter
	steps       []step
}

// parameter is one parameter that a document declares.
type parameter struct {
	Type              types.DocumentParameterType
	Description       string
	Default           json.RawMessage
	AllowedPattern    string
	AllowedValues     []string
	MinChars          *int
	MaxChars          *int
	MinItems          *int
	MaxItems          *int
	InterpolationType string

	allowed *regexp.Regexp
}

// step is one script of a document.
type step struct {
	name      string // the plugin's name in answers
	action    string
	platform  types.PlatformType // of the precondition; empty is any
	onFailure string
	inputs    inputs
}

type inputs struct {
	RunCommand     json.RawMessage
	TimeoutSeconds json.RawMessage
	OnFailure      string
}

// parseContent reads a document of type Command in JSON.
func parseContent(text string) (*content, error) {
	var raw struct {
		SchemaVersion string
		Description   string
		Parameters    map[string]*parameter
		MainSteps     []struct {
			Action, Name string
			Precondition map[string][]string
			Inputs       inputs
		}
		RuntimeConfig map[string]struct{ Properties json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, errContent(malformed(text, err))
	}
	d := &content{schema: raw.SchemaVersion, description: raw.Description, parameters: raw.Parameters}
	switch d.schema {
	case "1.2":
		for _, action := range slices.Sorted(maps.Keys(raw.RuntimeConfig)) {
			s := step{name: action, action: action}
			properties := []inputs{}
			if json.Unmarshal(raw.RuntimeConfig[action].Properties, &properties) != nil || len(properties) != 1 {
				return nil, errContent("The lab runs documents of schema 1.2 with one list of one property.")
			}
			s.inputs = properties[0]
			d.steps = append(d.steps, s)
		}
	case "2.0", "2.2":
		for _, m := range raw.MainSteps {
			s := step{name: m.Name, action: m.Action, onFailure: m.Inputs.OnFailure, inputs: m.Inputs}
			if p := m.Precondition["StringEquals"]; len(p) == 2 && p[0] == "platformType" {
				s.platform = types.PlatformType(p[1])
			}
			d.steps = append(d.steps, s)
		}
	default:
		return nil, errSchemaVersion("Unsupported schema version: " + d.schema)
	}
	return d, d.check()
}

// check refuses what AWS refuses when a document is made, and what the lab
// cannot run.
func (d *content) check() error {
	for _, name := range slices.Sorted(maps.Keys(d.parameters)) {
		p := d.parameters[name]
		if !parameterName.MatchString(name) {
			return errContent(fmt.Sprintf("Parameter name %q is not alpha-numeric.", name)) // recorded
		}
		if p == nil {
			return errContent(fmt.Sprintf("Parameter %q has no definition.", name))
		}
		p.Type = cmp.Or(p.Type, types.DocumentParameterTypeString)
		if p.AllowedPattern != "" {
			re, err := regexp.Compile(`^(?:` + p.AllowedPattern + `)$`)
			if err != nil {
				return errContent(fmt.Sprintf("Parameter %q has an allowedPattern that is not a regular expression: %v", name, err))
			}
			p.allowed = re
		}
		if p.InterpolationType == "ENV_VAR" && d.schema != "2.2" {
			return errContent("interpolationType needs schema version 2.2.")
		}
	}
	if len(d.steps) == 0 {
		return errContent("The document has no steps.")
	}
	names := map[string]bool{}
	for _, s := range d.steps {
		switch {
		case s.action != shellAction && s.action != powerShellAction:
			return errContent(fmt.Sprintf("The lab does not run action %q.", s.action))
		case d.schema != "1.2" && !stepName.MatchString(s.name):
			return errContent(fmt.Sprintf("Step name %q is not valid.", s.name))
		case names[s.name]:
			return errContent(fmt.Sprintf("Step name %q is not unique.", s.name))
		}
		names[s.name] = true
		for _, m := range reference.FindAllStringSubmatch(string(s.inputs.RunCommand)+string(s.inputs.TimeoutSeconds), -1) {
			if d.parameters[m[1]] == nil {
				return errContent(fmt.Sprintf("Parameter %q is not declared.", m[1])) // recorded
			}
		}
	}
	return nil
}

// malformed words a JSON error with its place, as recorded.
func malformed(text string, err error) string {
	offset := len(text)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = int(e.Offset)
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = int(e.Offset)
	}
	before := text[:min(offset, len(text))]
	line := strings.Count(before, "\n")
	return fmt.Sprintf("JSON not well-formed. at Line: %d, Column: %d", line+1, len(before)-strings.LastIndex(before, "\n")-1)
}

// platforms returns the platforms that some step can run on.
func (d *content) platforms() []types.PlatformType {
	var list []types.PlatformType
	for _, p := range []types.PlatformType{types.PlatformTypeWindows, types.PlatformTypeLinux, types.PlatformTypeMacos} {
		if slices.ContainsFunc(d.steps, func(s step) bool { return s.runsOn(p) }) {
			list = append(list, p)
		}
	}
	return list
}

func (s step) runsOn(p types.PlatformType) bool {
	return (s.platform == "" || s.platform == p) && (s.action == powerShellAction || p != types.PlatformTypeWindows)
}

// describe lists the parameters as DescribeDocument does.
func (d *content) describe() []types.DocumentParameter {
	list := []types.DocumentParameter{}
	for _, name := range slices.Sorted(maps.Keys(d.parameters)) {
		p := d.parameters[name]
		out := types.DocumentParameter{Name: &name, Type: p.Type, Description: &p.Description}
		if p.Default != nil {
			text := string(p.Default)
			_ = json.Unmarshal(p.Default, &text) // what is not a string stays JSON
			out.DefaultValue = &text
		}
		list = append(list, out)
	}
	return list
}

// refuse returns why the parameters of a command do not fit the document, or
// "".
func (d *content) refuse(given map[string][]string) string {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p := d.parameters[name]
		if p == nil {
			return "unknown parameter " + name
		}
		if why := p.refuse(given[name]); why != "" {
			return "parameter " + name + ": " + why
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.parameters)) {
		if _, ok := given[name]; !ok && d.parameters[name].Default == nil {
			return "missing parameter " + name
		}
	}
	return ""
}

func (p *parameter) refuse(values []string) string {
	if p.Type != types.DocumentParameterTypeStringList && len(values) != 1 {
		return fmt.Sprintf("%d values for one of type %s", len(values), p.Type)
	}
	if p.MinItems != nil && len(values) < *p.MinItems || p.MaxItems != nil && len(values) > *p.MaxItems {
		return fmt.Sprintf("%d items", len(values))
	}
	for _, v := range values {
		n := utf8.RuneCountInString(v)
		switch {
		case p.MinChars != nil && n < *p.MinChars, p.MaxChars != nil && n > *p.MaxChars:
			return fmt.Sprintf("%d characters", n)
		case p.AllowedValues != nil && !slices.Contains(p.AllowedValues, v):
			return "not an allowed value"
		case p.allowed != nil && !p.allowed.MatchString(v):
			return "does not match the allowed pattern"
		}
	}
	return ""
}

// storeNames returns the Parameter Store parameters that values refer to.
func storeNames(given map[string][]string) []string {
	found := map[string]bool{}
	for _, values := range given {
		for _, v := range values {
			for _, m := range storeReference.FindAllStringSubmatch(v, -1) {
				found[m[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// resolve returns the values of all parameters: a string, or []any for lists.
func (d *content) resolve(given map[string][]string) map[string]any {
	values := map[string]any{}
	for name, p := range d.parameters {
		if p.Default != nil {
			var v any
			_ = json.Unmarshal(p.Default, &v) // parsed once already
			values[name] = v
		}
		g, ok := given[name]
		switch {
		case !ok:
		case p.Type == types.DocumentParameterTypeStringList:
			list := make([]any, len(g))
			for i, v := range g {
				list[i] = v
			}
			values[name] = list
		default:
			values[name] = g[0]
		}
	}
	return values
}

// script returns a step as the agent hands it to the shell. An agent that
// knows ENV_VAR puts such parameters in the environment and leaves the text
// alone where it names them; an older one pastes them into the text.
func (d *content) script(s step, values map[string]any, agentVersion string) Script {
	out := Script{Env: map[string]string{}, Timeout: s.execution(values)}
	pasted := maps.Clone(values)
	if !older(agentVersion, envVarAgent) {
		for name, p := range d.parameters {
			if p.InterpolationType == "ENV_VAR" {
				out.Env["SSM_"+name] = asText(values[name])
				delete(pasted, name)
			}
		}
	}
	var command any
	_ = json.Unmarshal(s.inputs.RunCommand, &command) // parsed once already
	out.Text = strings.Join(lines(command, pasted), "\n") + "\n"
	return out
}

// lines flattens runCommand, a string or lists of strings, and substitutes.
func lines(command any, values map[string]any) []string {
	switch command := command.(type) {
	case string:
		if text, ok := substitute(command, values).(string); ok {
			return []string{text}
		}
		return lines(substitute(command, values), nil)
	case []any:
		var out []string
		for _, c := range command {
			out = append(out, lines(c, values)...)
		}
		return out
	default:
		return nil
	}
}

// substitute replaces references as the agent does: a text that is nothing
// but a reference becomes the value, list or not; within a text, lists are
// written as JSON and "$$" in a value becomes "$". Values are not looked at
// again.
func substitute(text string, values map[string]any) any {
	if m := wholeReference.FindStringSubmatch(text); m != nil {
		if v, ok := values[m[1]]; ok {
			return v
		}
	}
	return reference.ReplaceAllStringFunc(text, func(r string) string {
		v, ok := values[reference.FindStringSubmatch(r)[1]]
		if !ok {
			return r
		}
		return strings.ReplaceAll(asText(v), "$$", "$")
	})
}

func asText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, _ := json.Marshal(v) // v came from JSON
	return string(b)
}

// execution returns the step's time-out for these values.
func (s step) execution(values map[string]any) time.Duration {
	var raw any
	if s.inputs.TimeoutSeconds != nil {
		_ = json.Unmarshal(s.inputs.TimeoutSeconds, &raw) // parsed once already
	}
	if text, ok := raw.(string); ok {
		raw = substitute(text, values)
	}
	seconds, err := strconv.ParseFloat(asText(raw), 64)
	d := time.Duration(seconds) * time.Second
	if err != nil || d < minExecution || d > maxExecution {
		return defaultExecution
	}
	return d
}

// execution returns what the document adds to the delivery time-out.
func (d *content) execution(values map[string]any) time.Duration {
	var sum time.Duration
	for _, s := range d.steps {
		sum += s.execution(values)
	}
	return sum
}

// older reports whether an agent's version comes before another.
func older(version, than string) bool {
	numbers := func(v string) []int {
		var list []int
		for part := range strings.SplitSeq(v, ".") {
			n, _ := strconv.Atoi(part) // what is no number is the oldest
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(version), numbers(than)) < 0
}
