package cloudformation

import (
	"cmp"
	"maps"
	"slices"
)

var eventsKinds = map[string]kind{
	"AWS::Events::Rule": define(definition[ruleProperties]{attributes: []string{"Arn"}, create: createRule, update: undone(updateRule), remove: removeRule}),
}

// longestRule bounds the name of a rule.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
const longestRule = 64

type ruleProperties struct {
	Description        string
	EventBusName       string `cfn:"fixed"`
	EventPattern       document
	Name               string `cfn:"name"`
	RoleArn            string
	ScheduleExpression string
	State              string
	Targets            []ruleTarget
}

// ruleTarget is a target as PutTargets takes it. Input transformers and the
// parameters of services that are no targets in the lab are not known.
type ruleTarget struct {
	Arn              string `cfn:"required"`
	DeadLetterConfig *struct{ Arn string }
	Id               string  `cfn:"required"`
	Input            *string `json:",omitempty"`
	InputPath        *string `json:",omitempty"`
	RetryPolicy      *struct {
		MaximumEventAgeInSeconds *int64 `json:",omitempty"`
		MaximumRetryAttempts     *int64 `json:",omitempty"`
	} `json:",omitempty"`
	RoleArn string `json:",omitempty"`
}

// bus calls an action of EventBridge; members without a value are left out.
func (t *task) bus(action string, in map[string]any, out any) error {
	maps.DeleteFunc(in, func(_ string, value any) bool { return value == "" })
	return t.json(t, "events", "AWSEvents."+action, in, out)
}

// createRule refuses a name that is taken, which EventBridge does not.
func createRule(t *task, p *ruleProperties) (entity, error) {
	name := cmp.Or(p.Name, t.name(longestRule))
	if t.bus("DescribeRule", map[string]any{"Name": name, "EventBusName": p.EventBusName}, nil) == nil {
		return entity{}, alreadyExists("AWS::Events::Rule", name)
	}
	e := entity{ID: name}
	e, err := updateRule(t, e, &ruleProperties{}, p)
	if err != nil {
		_ = removeRule(t, e, p) // err is what is to be told
		return entity{}, err
	}
	return e, nil
}

// updateRule takes away the targets that are no more before it adds others: a
// rule has five at most.
func updateRule(t *task, e entity, was, is *ruleProperties) (entity, error) {
	var out struct{ RuleArn string }
	err := t.bus("PutRule", map[string]any{
		"Name": e.ID, "Description": is.Description, "EventBusName": is.EventBusName, "EventPattern": string(is.EventPattern), "RoleArn": is.RoleArn,
		"ScheduleExpression": is.ScheduleExpression, "State": is.State,
	}, &out)
	if err != nil {
		return e, err
	}
	e.Attributes = map[string]string{"Arn": out.RuleArn}
	var gone []string
	for _, old := range was.Targets {
		if !slices.ContainsFunc(is.Targets, func(target ruleTarget) bool { return target.Id == old.Id }) {
			gone = append(gone, old.Id)
		}
	}
	if err := t.removeTargets(e.ID, is.EventBusName, gone); err != nil || len(is.Targets) == 0 {
		return e, err
	}
	return e, t.bus("PutTargets", map[string]any{"Rule": e.ID, "EventBusName": is.EventBusName, "Targets": is.Targets}, nil)
}

func (t *task) removeTargets(rule, bus string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	err := t.bus("RemoveTargets", map[string]any{"Rule": rule, "EventBusName": bus, "Ids": ids}, nil)
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	return err
}

func removeRule(t *task, e entity, p *ruleProperties) error {
	var ids []string
	for _, target := range p.Targets {
		ids = append(ids, target.Id)
	}
	if err := t.removeTargets(e.ID, p.EventBusName, ids); err != nil {
		return err
	}
	return t.bus("DeleteRule", map[string]any{"Name": e.ID, "EventBusName": p.EventBusName}, nil)
}
