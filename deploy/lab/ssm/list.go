package ssm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// commandPage is the most that one answer lists, and the default.
const commandPage = 50

func (s *Service) listCommands(_ wire.Identity, in *awsssm.ListCommandsInput) (*awsssm.ListCommandsOutput, error) {
	if err := checkList(in.CommandId, in.InstanceId, in.MaxResults, in.Filters); err != nil {
		return nil, err
	}
	f, err := parseFilters(in.Filters, true)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*command
	for _, c := range s.newest(in.CommandId) {
		d := c.detail()
		if f.lets(c, string(d.command()), d) && f.letsStage(c.done()) && (in.InstanceId == nil || c.on(*in.InstanceId) != nil) {
			found = append(found, c)
		}
	}
	query := fmt.Sprint("commands", deref(in.CommandId), deref(in.InstanceId), f)
	page, next, err := paginate(found, query, in.NextToken, in.MaxResults, commandPage, func(c *command) string { return c.id })
	if err != nil {
		return nil, err
	}
	out := &awsssm.ListCommandsOutput{Commands: []types.Command{}, NextToken: next}
	for _, c := range page {
		out.Commands = append(out.Commands, c.describe())
	}
	return out, nil
}

func (s *Service) listCommandInvocations(_ wire.Identity, in *awsssm.ListCommandInvocationsInput) (*awsssm.ListCommandInvocationsOutput, error) {
	if err := checkList(in.CommandId, in.InstanceId, in.MaxResults, in.Filters); err != nil {
		return nil, err
	}
	f, err := parseFilters(in.Filters, false)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*invocation
	for _, c := range s.newest(in.CommandId) {
		for _, i := range c.invocations {
			if f.lets(c, string(i.detail.invocation()), i.detail) && (in.InstanceId == nil || *in.InstanceId == i.id) {
				found = append(found, i)
			}
		}
	}
	query := fmt.Sprint("invocations", deref(in.CommandId), deref(in.InstanceId), f)
	page, next, err := paginate(found, query, in.NextToken, in.MaxResults, commandPage, func(i *invocation) string { return i.command.id + i.id })
	if err != nil {
		return nil, err
	}
	out := &awsssm.ListCommandInvocationsOutput{CommandInvocations: []types.CommandInvocation{}, NextToken: next}
	for _, i := range page {
		out.CommandInvocations = append(out.CommandInvocations, i.describe(in.Details))
	}
	return out, nil
}

func checkList(command, instance *string, limit *int32, filters []types.CommandFilter) error {
	c := &constraints{}
	c.length("commandId", command, 36, 36)
	c.pattern("instanceId", instance, instanceID)
	c.between("maxResults", limit, 1, commandPage)
	if filters != nil && (len(filters) < 1 || len(filters) > 5) {
		c.add(fmt.Sprintf("'[%d filters]'", len(filters)), "filters", "Member must have length between 1 and 5")
	}
	for _, f := range filters {
		c.required("filters.member.key", f.Key != "")
		enum(c, "filters.member.key", f.Key, f.Key.Values())
		c.required("filters.member.value", f.Value != nil)
		c.length("filters.member.value", f.Value, 1, 128)
	}
	return c.err()
}

// newest returns the commands that can be found by now, newest first; one, if
// it is asked for. A command that does not exist is no error: there is simply
// nothing to list.
func (s *Service) newest(id *string) []*command {
	list := s.commands
	if id != nil {
		list = nil
		if c := s.byID[*id]; c != nil {
			list = []*command{c}
		}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(c *command) bool { return !s.visible(c) })
	slices.Reverse(list)
	return list
}

// on returns the command's invocation on a node, or nil.
func (c *command) on(id string) *invocation {
	if k := slices.IndexFunc(c.invocations, func(i *invocation) bool { return i.id == id }); k >= 0 {
		return c.invocations[k]
	}
	return nil
}

// filters are those of both lists.
type filters struct {
	after, before    time.Time
	status, document string
	stage            string
}

func parseFilters(list []types.CommandFilter, stages bool) (filters, error) {
	var f filters
	for _, l := range list {
		value := *l.Value
		switch l.Key {
		case types.CommandFilterKeyInvokedAfter, types.CommandFilterKeyInvokedBefore:
			t, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return f, errValidation("Filter value " + value + " is not a valid timestamp.")
			}
			if l.Key == types.CommandFilterKeyInvokedAfter {
				f.after = t
			} else {
				f.before = t
			}
		case types.CommandFilterKeyStatus:
			f.status = strings.ReplaceAll(value, "LimitExceeded", string(rateExceeded))
		case types.CommandFilterKeyDocumentName:
			f.document = value
		case types.CommandFilterKeyExecutionStage:
			if !stages {
				return f, errFilterKey()
			}
			f.stage = value
		}
	}
	return f, nil
}

// lets reports whether what has this status and detail passes. The filter
// takes both: TimedOut finds two details, DeliveryTimedOut one.
func (f filters) lets(c *command, status string, d detail) bool {
	return (f.after.IsZero() || c.requested.After(f.after)) &&
		(f.before.IsZero() || c.requested.Before(f.before)) &&
		(f.document == "" || f.document == c.document.name) &&
		(f.status == "" || f.status == status || f.status == string(d))
}

func (f filters) letsStage(done bool) bool {
	return f.stage == "" || (f.stage == "Complete") == done
}

func (i *invocation) describe(details bool) types.CommandInvocation {
	c := i.command.describe()
	out := types.CommandInvocation{
		CommandId: c.CommandId, InstanceId: &i.id, InstanceName: new(""), Comment: c.Comment, DocumentName: c.DocumentName,
		DocumentVersion: c.DocumentVersion, RequestedDateTime: new(i.sent), Status: i.detail.invocation(), StatusDetails: new(string(i.detail)),
		StandardOutputUrl: new(""), StandardErrorUrl: new(""), ServiceRole: c.ServiceRole, CommandPlugins: []types.CommandPlugin{},
		NotificationConfig: c.NotificationConfig, CloudWatchOutputConfig: c.CloudWatchOutputConfig,
	}
	if !details {
		return out
	}
	for _, p := range i.plugins {
		out.CommandPlugins = append(out.CommandPlugins, p.describe(c))
	}
	return out
}

func (p plugin) describe(c types.Command) types.CommandPlugin {
	out := types.CommandPlugin{
		Name: &p.name, Status: types.CommandPluginStatus(p.detail.invocation()), StatusDetails: new(string(p.detail)), ResponseCode: int32(p.code),
		Output: new(""), StandardOutputUrl: new(""), StandardErrorUrl: new(""), OutputS3BucketName: c.OutputS3BucketName, OutputS3KeyPrefix: c.OutputS3KeyPrefix,
	}
	if !p.start.IsZero() {
		out.ResponseStartDateTime = &p.start
	}
	if p.detail.done() {
		out.ResponseFinishDateTime = &p.end
		out.Output = new(listing(p.stdout, p.stderr))
	}
	return out
}

func (s *Service) getCommandInvocation(_ wire.Identity, in *awsssm.GetCommandInvocationInput) (*awsssm.GetCommandInvocationOutput, error) {
	k := &constraints{}
	k.required("commandId", in.CommandId != nil)
	k.length("commandId", in.CommandId, 36, 36)
	k.required("instanceId", in.InstanceId != nil)
	k.pattern("instanceId", in.InstanceId, instanceID)
	k.length("pluginName", in.PluginName, 4, 1<<20)
	if err := k.err(); err != nil {
		return nil, err
	}
	if !commandID.MatchString(*in.CommandId) {
		return nil, errCommandID()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[*in.CommandId]
	if c == nil || !s.visible(c) || c.on(*in.InstanceId) == nil {
		return nil, errNoInvocation()
	}
	step := slices.IndexFunc(c.content.steps, func(st step) bool { return in.PluginName == nil || st.name == *in.PluginName })
	if step < 0 || in.PluginName == nil && len(c.content.steps) > 1 {
		return nil, errPluginName()
	}
	return c.on(*in.InstanceId).report(step), nil
}

// report is one step of an invocation in full.
func (i *invocation) report(step int) *awsssm.GetCommandInvocationOutput {
	c := i.command.describe()
	p, d := plugin{name: i.command.content.steps[step].name, detail: pending, code: notStarted}, i.detail
	if len(i.plugins) > step {
		p = i.plugins[step]
	}
	if p.detail.done() {
		d = p.detail
	}
	out := &awsssm.GetCommandInvocationOutput{
		CommandId: c.CommandId, InstanceId: &i.id, Comment: c.Comment, DocumentName: c.DocumentName, DocumentVersion: c.DocumentVersion,
		PluginName: &p.name, ResponseCode: int32(p.code), Status: d.invocation(), StatusDetails: new(string(d)),
		ExecutionStartDateTime: new(""), ExecutionEndDateTime: new(""), ExecutionElapsedTime: new(""),
		StandardOutputContent: new(""), StandardOutputUrl: new(""), StandardErrorContent: new(""), StandardErrorUrl: new(""),
		CloudWatchOutputConfig: cloudWatchConfig(),
	}
	if !p.start.IsZero() {
		out.ExecutionStartDateTime = new(p.start.UTC().Format(stamp))
	}
	if p.detail.done() {
		// All recorded answers give the start as the end as well; only the
		// elapsed time is right.
		out.ExecutionEndDateTime = out.ExecutionStartDateTime
		out.ExecutionElapsedTime = new(elapsed(p.end.Sub(p.start)))
		out.StandardOutputContent = new(cut(p.stdout, stdoutLimit))
		out.StandardErrorContent = new(cut(p.stderr, stderrLimit))
	}
	return out
}

// stamp is the form of ExecutionStartDateTime.
const stamp = "2006-01-02T15:04:05.000Z"

// elapsed writes a duration as AWS does: PT0.091S, PT1M2.5S.
func elapsed(d time.Duration) string {
	d = d.Round(time.Millisecond)
	text := "PT"
	if h := d / time.Hour; h > 0 {
		text += fmt.Sprintf("%dH", h)
	}
	if m := d % time.Hour / time.Minute; m > 0 {
		text += fmt.Sprintf("%dM", m)
	}
	if rest := d % time.Minute; rest > 0 || text == "PT" {
		text += fmt.Sprintf("%gS", rest.Seconds())
	}
	return text
}
