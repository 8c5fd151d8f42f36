package cloudformation

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Namespace is that of the answers, for [wire.Front.HandleQuery].
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/Welcome.html
const Namespace = "http://cloudformation.amazonaws.com/doc/2010-05-15/"

// maxInline bounds a template in a request.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const maxInline = 51200

// actions of the query protocol.
var actions = map[string]func(*Service, call) (any, error){
	"CreateChangeSet":        (*Service).createChangeSet,
	"CreateStack":            (*Service).createStack,
	"DeleteChangeSet":        (*Service).deleteChangeSet,
	"DeleteStack":            (*Service).deleteStack,
	"DescribeChangeSet":      (*Service).describeChangeSet,
	"DescribeStackEvents":    (*Service).describeStackEvents,
	"DescribeStackResources": (*Service).describeStackResources,
	"DescribeStacks":         (*Service).describeStacks,
	"ExecuteChangeSet":       (*Service).executeChangeSet,
	"GetTemplateSummary":     (*Service).getTemplateSummary,
	"ListStacks":             (*Service).listStacks,
	"UpdateStack":            (*Service).updateStack,
	"ValidateTemplate":       (*Service).validateTemplate,
}

// call is a request of the query protocol.
type call struct {
	context.Context
	wire.Request
	form url.Values
}

// Serve implements wire.Service.
func (s *Service) Serve(ctx context.Context, r wire.Request) (any, error) {
	act, ok := actions[r.Action]
	if !ok {
		return nil, &wire.Error{Code: "InvalidAction", Message: "Could not find operation " + r.Action + " for version 2010-05-15"}
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, &wire.Error{Code: "MalformedQueryString", Message: err.Error()}
	}
	out, err := act(s, call{Context: ctx, Request: r, form: form})
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, &wire.Error{Code: e.Code, Message: e.Message}
	}
	return out, err
}

// required returns a parameter that must be there.
func (c call) required(name string) (string, error) {
	if v := c.form.Get(name); v != "" {
		return v, nil
	}
	return "", refuse("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null",
		strings.ToLower(name[:1])+name[1:])
}

// members returns the members of a list, each by the prefix of its name.
func (c call) members(list string) []string {
	var prefixes []string
	for i := 1; ; i++ {
		prefix := list + ".member." + strconv.Itoa(i)
		if !slices.ContainsFunc(keys(c.form), func(k string) bool { return k == prefix || strings.HasPrefix(k, prefix+".") }) {
			return prefixes
		}
		prefixes = append(prefixes, prefix)
	}
}

func keys(form url.Values) []string {
	list := make([]string, 0, len(form))
	for k := range form {
		list = append(list, k)
	}
	return list
}

// template returns the text of the template, from the request or from the
// lab's S3.
func (c call) template(s *Service) ([]byte, error) {
	if body := c.form.Get("TemplateBody"); body != "" {
		if len(body) > maxInline {
			return nil, refuse("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to %d", maxInline)
		}
		return []byte(body), nil
	}
	location := c.form.Get("TemplateURL")
	if location == "" {
		return nil, refuse("Either Template URL or Template Body must be specified.")
	}
	u, err := url.Parse(location)
	bucket, key, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if err != nil || !ok {
		return nil, refuse("TemplateURL must be a supported URL.")
	}
	front := client{front: s.options.Front, region: s.options.Region, accessKey: c.Caller.AccessKeyID}
	text, err := front.do(c, "s3", http.MethodGet, escaped(bucket, key), nil, nil)
	if err != nil {
		return nil, refuse("S3 error: %s", err)
	}
	return text, nil
}

// spec reads what a stack is to be, from the request and from the stack as it
// is.
func (c call) spec(s *Service, st *Stack) (Spec, error) {
	name, err := c.required("StackName")
	if err != nil {
		return Spec{}, err
	}
	spec := Spec{Name: name, Parameters: map[string]string{}, Tags: map[string]string{}}
	var was Spec
	if st != nil {
		spec.Name, was = st.name, st.wanted()
	}
	if c.form.Get("UsePreviousTemplate") == "true" {
		spec.Template = was.Template
	} else if spec.Template, err = c.template(s); err != nil {
		return Spec{}, err
	}
	for _, p := range c.members("Parameters") {
		key := c.form.Get(p + ".ParameterKey")
		if c.form.Get(p+".UsePreviousValue") != "true" {
			spec.Parameters[key] = c.form.Get(p + ".ParameterValue")
		} else if old, had := was.Parameters[key]; had {
			spec.Parameters[key] = old
		}
	}
	for _, p := range c.members("Tags") {
		spec.Tags[c.form.Get(p+".Key")] = c.form.Get(p + ".Value")
	}
	if len(spec.Tags) == 0 {
		spec.Tags = was.Tags
	}
	t, err := template.Parse(spec.Template)
	if err != nil {
		return Spec{}, refuse("%s", err)
	}
	spec.Programs = s.programs(t)
	return spec, c.capable(t)
}

// programs are those of Options that are of functions of a template.
func (s *Service) programs(t *template.Template) map[string][]string {
	m := map[string][]string{}
	for id, command := range s.options.Programs {
		if t.Types()[id] == "AWS::Lambda::Function" {
			m[id] = command
		}
	}
	return m
}

// capable refuses to make roles for who has not said that they may be made.
func (c call) capable(t *template.Template) error {
	need := capabilities(t)
	if len(need) == 0 {
		return nil
	}
	for _, p := range c.members("Capabilities") {
		if have := c.form.Get(p); have == need[0] || have == "CAPABILITY_NAMED_IAM" {
			return nil
		}
	}
	return &Error{Code: "InsufficientCapabilitiesException", Message: "Requires capabilities : [" + need[0] + "]"}
}

// capabilities are what a template needs to be acknowledged: to make IAM's
// resources, or to name them.
func capabilities(t *template.Template) []string {
	var need []string
	for id, kindName := range t.Types() {
		if !strings.HasPrefix(kindName, "AWS::IAM::") {
			continue
		}
		if _, known := kinds[kindName]; known && kinds[kindName].isNamed(t.Written(id)) {
			return []string{"CAPABILITY_NAMED_IAM"}
		}
		need = []string{"CAPABILITY_IAM"}
	}
	return need
}

// isoTime is how the API writes times.
func isoTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// known finds a stack that must exist.
func (s *Service) known(nameOrID string) (*Stack, error) {
	st := s.Stack(nameOrID)
	if st == nil {
		return nil, refuse("Stack with id %s does not exist", nameOrID)
	}
	return st, nil
}

// stackOf finds the stack of a request.
func (s *Service) stackOf(c call) (*Stack, error) {
	name, err := c.required("StackName")
	if err != nil {
		return nil, err
	}
	return s.known(name)
}

// wanted returns what the stack was last asked to be.
func (s *Stack) wanted() Spec {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec
}
