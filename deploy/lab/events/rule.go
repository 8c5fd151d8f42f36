package events

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/keytrail/keytrail/deploy/lab/events/pattern"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const (
	defaultBus = "default"
	maxPattern = 4096 // characters
)

// rule is what PutRule and PutTargets made.
type rule struct {
	name, arn   string
	description *string
	role        *string
	state       types.RuleState
	text        *string // of the pattern
	pattern     pattern.Pattern
	expression  *string // of the schedule
	schedule    *schedule
	next        time.Time // when the schedule is due
	targets     []types.Target
}

// wants reports whether an arrival is one for the targets of a rule.
func (r *rule) wants(a arrival) bool {
	switch {
	case a.rule != "":
		return a.rule == r.name && r.enabled()
	case r.text == nil || !r.enabled():
		return false
	case a.reads && r.state != types.RuleStateEnabledWithAllCloudtrailManagementEvents:
		return false
	}
	return r.pattern.Match(a.text)
}

func (r *rule) enabled() bool { return r.state != types.RuleStateDisabled }

var validName = regexp.MustCompile(`^[.\-_A-Za-z0-9]+$`)

// putRule makes a rule, or gives one another pattern, schedule and state; its
// targets stay.
func (s *Service) putRule(in *api.PutRuleInput) (*api.PutRuleOutput, error) {
	if err := s.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	if err := checkName("name", in.Name); err != nil {
		return nil, err
	}
	r := &rule{
		name: *in.Name, arn: s.arn("rule/" + *in.Name), description: in.Description, role: in.RoleArn,
		state: in.State, text: nonEmpty(in.EventPattern), expression: nonEmpty(in.ScheduleExpression),
	}
	if r.state == "" {
		r.state = types.RuleStateEnabled
	}
	if !slices.Contains(r.state.Values(), r.state) {
		return nil, broken("state", string(in.State), "satisfy enum value set: [ENABLED, DISABLED, ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS]")
	}
	if r.text == nil && r.expression == nil {
		return nil, badParameter("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	var err error
	if r.text != nil {
		if r.pattern, err = parsePattern(*r.text); err != nil {
			return nil, err
		}
	}
	if r.expression != nil {
		if r.schedule, err = parseSchedule(*r.expression); err != nil {
			return nil, badParameter("Parameter ScheduleExpression is not valid.")
		}
		r.next = r.schedule.next(s.options.Now())
	}
	s.mu.Lock()
	if old := s.rules[r.name]; old != nil {
		r.targets = old.targets
	}
	s.rules[r.name] = r
	s.mu.Unlock()
	s.clock.Wake()
	return &api.PutRuleOutput{RuleArn: &r.arn}, nil
}

func parsePattern(text string) (pattern.Pattern, error) {
	if len(text) > maxPattern {
		return pattern.Pattern{}, broken("eventPattern", text, fmt.Sprintf("have length less than or equal to %d", maxPattern))
	}
	p, err := pattern.Parse(text)
	if err != nil {
		return p, refusal("InvalidEventPatternException", "Event pattern is not valid. Reason: "+err.Error())
	}
	return p, nil
}

// deleteRule forgets a rule without targets; one that does not exist is no
// error.
func (s *Service) deleteRule(in *api.DeleteRuleInput) (*api.DeleteRuleOutput, error) {
	if err := s.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	if err := checkName("name", in.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rules[*in.Name]; r != nil && len(r.targets) > 0 {
		return nil, badParameter("Rule can't be deleted since it has targets.")
	}
	delete(s.rules, *in.Name)
	return &api.DeleteRuleOutput{}, nil
}

func (s *Service) describeRule(in *api.DescribeRuleInput) (*api.DescribeRuleOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(in.EventBusName, "name", in.Name)
	if err != nil {
		return nil, err
	}
	return &api.DescribeRuleOutput{
		Arn: &r.arn, CreatedBy: &s.options.Account, Description: r.description, EventBusName: aws.String(defaultBus),
		EventPattern: r.text, Name: &r.name, RoleArn: r.role, ScheduleExpression: r.expression, State: r.state,
	}, nil
}

func (s *Service) enableRule(in *api.EnableRuleInput) (*api.EnableRuleOutput, error) {
	return &api.EnableRuleOutput{}, s.setState(in.EventBusName, in.Name, types.RuleStateEnabled)
}

func (s *Service) disableRule(in *api.DisableRuleInput) (*api.DisableRuleOutput, error) {
	return &api.DisableRuleOutput{}, s.setState(in.EventBusName, in.Name, types.RuleStateDisabled)
}

func (s *Service) setState(bus, name *string, state types.RuleState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(bus, "name", name)
	if err != nil {
		return err
	}
	changed := *r
	changed.state = state
	if r.schedule != nil && !r.enabled() {
		changed.next = r.schedule.next(s.options.Now())
	}
	s.rules[r.name] = &changed
	s.clock.Wake()
	return nil
}

func (s *Service) listRules(in *api.ListRulesInput) (*api.ListRulesOutput, error) {
	if err := s.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	prefix := aws.ToString(in.NamePrefix)
	rules := s.sorted(func(r *rule) bool { return strings.HasPrefix(r.name, prefix) })
	page, next, err := paginate(rules, "rules "+prefix, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &api.ListRulesOutput{Rules: []types.Rule{}, NextToken: next}
	for _, r := range page {
		out.Rules = append(out.Rules, types.Rule{
			Arn: &r.arn, Description: r.description, EventBusName: aws.String(defaultBus), EventPattern: r.text, Name: &r.name,
			RoleArn: r.role, ScheduleExpression: r.expression, State: r.state,
		})
	}
	return out, nil
}

func (s *Service) listRuleNamesByTarget(in *api.ListRuleNamesByTargetInput) (*api.ListRuleNamesByTargetOutput, error) {
	if err := s.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	arn := aws.ToString(in.TargetArn)
	rules := s.sorted(func(r *rule) bool {
		return slices.ContainsFunc(r.targets, func(t types.Target) bool { return *t.Arn == arn })
	})
	page, next, err := paginate(rules, "names "+arn, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &api.ListRuleNamesByTargetOutput{RuleNames: []string{}, NextToken: next}
	for _, r := range page {
		out.RuleNames = append(out.RuleNames, r.name)
	}
	return out, nil
}

func (s *Service) describeEventBus(in *api.DescribeEventBusInput) (*api.DescribeEventBusOutput, error) {
	if err := s.checkBus(in.Name); err != nil {
		return nil, err
	}
	return &api.DescribeEventBusOutput{Arn: aws.String(s.arn("event-bus/" + defaultBus)), Name: aws.String(defaultBus)}, nil
}

// sorted returns rules by name.
func (s *Service) sorted(which func(*rule) bool) []*rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*rule
	for _, name := range slices.Sorted(maps.Keys(s.rules)) {
		if r := s.rules[name]; which(r) {
			list = append(list, r)
		}
	}
	return list
}

// find returns a rule. The caller holds mu.
func (s *Service) find(bus *string, member string, name *string) (*rule, error) {
	if err := s.checkBus(bus); err != nil {
		return nil, err
	}
	if err := checkName(member, name); err != nil {
		return nil, err
	}
	r := s.rules[*name]
	if r == nil {
		return nil, refusal("ResourceNotFoundException", "Rule "+*name+" does not exist on EventBus default.")
	}
	return r, nil
}

// checkBus refuses every bus but the default one.
func (s *Service) checkBus(name *string) error {
	if b := aws.ToString(name); b != "" && b != defaultBus && b != s.arn("event-bus/"+defaultBus) {
		return refusal("ResourceNotFoundException", "Event bus "+b+" does not exist.")
	}
	return nil
}

func checkName(member string, name *string) error {
	switch {
	case name == nil:
		return badParameter("1 validation error detected: Value null at '" + member + "' failed to satisfy constraint: Member must not be null")
	case len(*name) > 64:
		return broken(member, *name, "have length less than or equal to 64")
	case !validName.MatchString(*name):
		return broken(member, *name, `satisfy regular expression pattern: [\.\-_A-Za-z0-9]+`)
	}
	return nil
}

func broken(member, value, must string) error {
	return badParameter("1 validation error detected: Value '" + value + "' at '" + member + "' failed to satisfy constraint: Member must " + must)
}

// refusal is an error that EventBridge's model has, without its message.
func refusal(code, message string) error {
	return &wire.Error{Code: code, Message: message, Members: map[string]any{"message": message}}
}

func badParameter(message string) error {
	return &wire.Error{Code: "ValidationException", Message: message}
}

func nonEmpty(s *string) *string {
	if aws.ToString(s) == "" {
		return nil
	}
	return s
}
