package cloudformation

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
)

type stackIDResult struct {
	StackID string `xml:"StackId"`
}

// createStack answers when the stack is made, or has failed: whether it has is
// for DescribeStacks to say, as on AWS.
func (s *Service) createStack(c call) (any, error) {
	spec, err := c.spec(s, nil)
	if err != nil {
		return nil, err
	}
	st, err := s.create(c, c.Caller.AccessKeyID, spec)
	if st == nil {
		return nil, err
	}
	return stackIDResult{st.id}, nil
}

func (s *Service) updateStack(c call) (any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return nil, err
	}
	spec, err := c.spec(s, st)
	if err != nil {
		return nil, err
	}
	if err := st.run(c, c.Caller.AccessKeyID, spec, changing); err != nil {
		if refused := refusedOf(err); refused != nil {
			return nil, refused
		}
	}
	return stackIDResult{st.id}, nil
}

// refusedOf returns an error with which nothing was begun, nil for one of an
// operation that was.
func refusedOf(err error) error {
	if e, ok := err.(*Error); ok { // not errors.AsType: an operation that was begun wraps its errors
		return e
	}
	return nil
}

// deleteStack is no error where there is no such stack.
func (s *Service) deleteStack(c call) (any, error) {
	name, err := c.required("StackName")
	if err != nil {
		return nil, err
	}
	if st := s.Stack(name); st != nil {
		if refused := refusedOf(st.delete(context.WithoutCancel(c), c.Caller.AccessKeyID)); refused != nil {
			return nil, refused
		}
	}
	return nil, nil
}

type parameterXML struct {
	Key   string `xml:"ParameterKey"`
	Value string `xml:"ParameterValue"`
}

type outputXML struct {
	Key         string `xml:"OutputKey"`
	Value       string `xml:"OutputValue"`
	Description string `xml:",omitempty"`
	ExportName  string `xml:",omitempty"`
}

type tagXML struct{ Key, Value string }

type stackXML struct {
	StackID                     string `xml:"StackId"`
	StackName                   string
	Description                 string         `xml:",omitempty"`
	Parameters                  []parameterXML `xml:"Parameters>member"`
	CreationTime                string
	DeletionTime                string `xml:",omitempty"`
	LastUpdatedTime             string `xml:",omitempty"`
	StackStatus                 Status
	StackStatusReason           string `xml:",omitempty"`
	DisableRollback             bool
	Outputs                     []outputXML `xml:"Outputs>member"`
	Tags                        []tagXML    `xml:"Tags>member"`
	EnableTerminationProtection bool
	Drift                       string `xml:"DriftInformation>StackDriftStatus"`
}

func (s *Service) describeStacks(c call) (any, error) {
	var list []*Stack
	if c.form.Get("StackName") != "" {
		st, err := s.stackOf(c)
		if err != nil {
			return nil, err
		}
		list = []*Stack{st}
	} else {
		s.mu.Lock()
		for _, st := range s.stacks {
			if st.Status() != DeleteComplete {
				list = append(list, st)
			}
		}
		s.mu.Unlock()
	}
	var out struct {
		Stacks []stackXML `xml:"Stacks>member"`
	}
	for _, st := range list {
		out.Stacks = append(out.Stacks, st.describe())
	}
	return out, nil
}

type stackSummaryXML struct {
	StackID             string `xml:"StackId"`
	StackName           string
	TemplateDescription string `xml:",omitempty"`
	CreationTime        string
	LastUpdatedTime     string `xml:",omitempty"`
	DeletionTime        string `xml:",omitempty"`
	StackStatus         Status
	StackStatusReason   string `xml:",omitempty"`
	Drift               string `xml:"DriftInformation>StackDriftStatus"`
}

// listStacks answers all stacks of some states in one page, newest first and
// deleted ones included.
func (s *Service) listStacks(c call) (any, error) {
	var states []string
	for _, p := range c.members("StackStatusFilter") {
		states = append(states, c.form.Get(p))
	}
	s.mu.Lock()
	stacks := slices.Clone(s.stacks)
	s.mu.Unlock()
	var out struct {
		StackSummaries []stackSummaryXML `xml:"StackSummaries>member"`
	}
	for _, st := range slices.Backward(stacks) {
		x := st.describe()
		if len(states) > 0 && !slices.Contains(states, string(x.StackStatus)) {
			continue
		}
		out.StackSummaries = append(out.StackSummaries, stackSummaryXML{
			StackID: x.StackID, StackName: x.StackName, TemplateDescription: x.Description, CreationTime: x.CreationTime,
			LastUpdatedTime: x.LastUpdatedTime, DeletionTime: x.DeletionTime,
			StackStatus: x.StackStatus, StackStatusReason: x.StackStatusReason, Drift: x.Drift,
		})
	}
	return out, nil
}

func (s *Stack) describe() stackXML {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := stackXML{
		StackID: s.id, StackName: s.name, CreationTime: isoTime(s.created), DeletionTime: isoTime(s.deleted),
		StackStatus: s.status, StackStatusReason: s.reason, Drift: "NOT_CHECKED",
	}
	if s.status == UpdateComplete || s.status == UpdateRollbackComplete {
		x.LastUpdatedTime = isoTime(s.updated)
	}
	if s.plan != nil {
		t := s.plan.Template()
		x.Description = t.Description
		for _, p := range t.Parameters {
			x.Parameters = append(x.Parameters, parameterXML{p.Name, p.Shown(s.plan.Parameters()[p.Name])})
		}
	}
	for _, o := range s.outputs {
		x.Outputs = append(x.Outputs, outputXML{o.Key, o.Value, o.Description, o.ExportName})
	}
	for _, key := range slices.Sorted(maps.Keys(s.spec.Tags)) {
		x.Tags = append(x.Tags, tagXML{key, s.spec.Tags[key]})
	}
	return x
}

type resourceXML struct {
	StackName            string
	StackID              string `xml:"StackId"`
	LogicalResourceID    string `xml:"LogicalResourceId"`
	PhysicalResourceID   string `xml:"PhysicalResourceId,omitempty"`
	ResourceType         string
	Timestamp            string
	ResourceStatus       Status
	ResourceStatusReason string `xml:",omitempty"`
	Drift                string `xml:"DriftInformation>StackResourceDriftStatus"`
}

func (s *Service) describeStackResources(c call) (any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	var out struct {
		StackResources []resourceXML `xml:"StackResources>member"`
	}
	wanted := c.form.Get("LogicalResourceId")
	for _, id := range slices.Sorted(maps.Keys(st.resources)) {
		r := st.resources[id]
		if wanted == "" || wanted == id {
			out.StackResources = append(out.StackResources, resourceXML{
				StackName: st.name, StackID: st.id, LogicalResourceID: id, PhysicalResourceID: r.ID, ResourceType: r.kind,
				Timestamp: isoTime(r.changed), ResourceStatus: r.status, ResourceStatusReason: r.reason, Drift: "NOT_CHECKED",
			})
		}
	}
	return out, nil
}

type eventXML struct {
	StackID              string `xml:"StackId"`
	EventID              string `xml:"EventId"`
	StackName            string
	LogicalResourceID    string `xml:"LogicalResourceId"`
	PhysicalResourceID   string `xml:"PhysicalResourceId,omitempty"`
	ResourceType         string
	Timestamp            string
	ResourceStatus       Status
	ResourceStatusReason string `xml:",omitempty"`
	ResourceProperties   string `xml:",omitempty"`
}

// describeStackEvents answers all events in one page, newest first.
func (s *Service) describeStackEvents(c call) (any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return nil, err
	}
	var out struct {
		StackEvents []eventXML `xml:"StackEvents>member"`
	}
	for _, e := range slices.Backward(st.Events()) {
		x := eventXML{
			StackID: st.id, EventID: e.ID, StackName: st.name, LogicalResourceID: e.LogicalID, PhysicalResourceID: e.PhysicalID,
			ResourceType: e.Type, Timestamp: isoTime(e.Time), ResourceStatus: e.Status, ResourceStatusReason: e.StatusReason,
		}
		if e.Properties != nil {
			b, err := marshal(e.Properties)
			if err != nil {
				return nil, err
			}
			x.ResourceProperties = string(b)
		}
		out.StackEvents = append(out.StackEvents, x)
	}
	return out, nil
}

type declarationXML struct {
	ParameterKey string
	DefaultValue *string
	Type         string `xml:"ParameterType,omitempty"`
	NoEcho       bool
	Description  string `xml:",omitempty"`
}

// declarations lists a template's parameters; ValidateTemplate does not tell
// their types.
func declarations(t *template.Template, types bool) []declarationXML {
	var list []declarationXML
	for _, p := range t.Parameters {
		d := declarationXML{ParameterKey: p.Name, DefaultValue: p.Default, NoEcho: p.NoEcho, Description: p.Description}
		if types {
			d.Type = p.Type
		}
		list = append(list, d)
	}
	return list
}

// reasonOf words why capabilities are needed.
func reasonOf(t *template.Template) string {
	types := slices.Sorted(maps.Values(t.Types()))
	types = slices.DeleteFunc(slices.Compact(types), func(kindName string) bool { return !strings.HasPrefix(kindName, "AWS::IAM::") })
	if len(types) == 0 {
		return ""
	}
	return "The following resource(s) require capabilities: [" + strings.Join(types, ", ") + "]"
}

type validationXML struct {
	Parameters         []declarationXML `xml:"Parameters>member"`
	Description        string           `xml:",omitempty"`
	Capabilities       []string         `xml:"Capabilities>member"`
	CapabilitiesReason string           `xml:",omitempty"`
}

func (s *Service) validateTemplate(c call) (any, error) {
	text, err := c.template(s)
	if err != nil {
		return nil, err
	}
	t, err := template.Parse(text)
	if err != nil {
		return nil, refuse("%s", err)
	}
	return validationXML{declarations(t, false), t.Description, capabilities(t), reasonOf(t)}, nil
}

type summaryXML struct {
	Parameters         []declarationXML `xml:"Parameters>member"`
	Description        string           `xml:",omitempty"`
	Capabilities       []string         `xml:"Capabilities>member"`
	CapabilitiesReason string           `xml:",omitempty"`
	ResourceTypes      []string         `xml:"ResourceTypes>member"`
	Version            string           `xml:",omitempty"`
}

func (s *Service) getTemplateSummary(c call) (any, error) {
	var text []byte
	if c.form.Get("StackName") != "" {
		st, err := s.stackOf(c)
		if err != nil {
			return nil, err
		}
		text = st.wanted().Template
	} else {
		var err error
		if text, err = c.template(s); err != nil {
			return nil, err
		}
	}
	t, err := template.Parse(text)
	if err != nil {
		return nil, refuse("%s", err)
	}
	types := slices.Sorted(maps.Values(t.Types()))
	return summaryXML{declarations(t, true), t.Description, capabilities(t), reasonOf(t), slices.Compact(types), t.Version}, nil
}
