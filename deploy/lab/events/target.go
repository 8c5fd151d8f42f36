package events

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// maxTargets of a rule.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
const maxTargets = 5

func (s *Service) putTargets(in *api.PutTargetsInput) (*api.PutTargetsOutput, error) {
	for i, t := range in.Targets {
		if err := s.checkTarget(fmt.Sprintf("targets.%d.member.", i+1), t); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(in.EventBusName, "rule", in.Rule)
	if err != nil {
		return nil, err
	}
	changed := *r
	changed.targets = slices.Clone(r.targets)
	for _, t := range in.Targets {
		if i := changed.target(*t.Id); i >= 0 {
			changed.targets[i] = t
		} else {
			changed.targets = append(changed.targets, t)
		}
	}
	if len(changed.targets) > maxTargets {
		return nil, refusal("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
	}
	s.rules[r.name] = &changed
	return &api.PutTargetsOutput{FailedEntries: []types.PutTargetsResultEntry{}}, nil
}

// target returns the place of a target, negative if there is none.
func (r *rule) target(id string) int {
	return slices.IndexFunc(r.targets, func(t types.Target) bool { return *t.Id == id })
}

// inputPath are the paths that the lab can follow.
var inputPath = regexp.MustCompile(`^\$(\.[A-Za-z0-9_-]+)*$`)

func (s *Service) checkTarget(member string, t types.Target) error {
	if err := checkName(member+"id", t.Id); err != nil {
		return err
	}
	arn := aws.ToString(t.Arn)
	if service(arn) == "" {
		return badParameter("Parameter " + arn + " is not valid. Reason: Provided Arn is not in correct format.")
	}
	if s.options.Targets[service(arn)] == nil {
		return badParameter("The lab has no targets of the service " + service(arn) + ".")
	}
	switch {
	case t.InputTransformer != nil:
		return badParameter("The lab has no input transformers.")
	case t.Input != nil && t.InputPath != nil:
		return badParameter("Only one of Input, InputPath, or InputTransformer must be provided for target " + *t.Id + ".")
	case t.Input != nil && !json.Valid([]byte(*t.Input)):
		return badParameter("Parameter " + *t.Input + " is not valid. Reason: Invalid JSON.")
	case t.InputPath != nil && !inputPath.MatchString(*t.InputPath):
		return badParameter("The lab follows no input path like " + *t.InputPath + ".")
	}
	if p := t.RetryPolicy; p != nil {
		if err := between(member+"retryPolicy.maximumRetryAttempts", p.MaximumRetryAttempts, 0, maxRetries); err != nil {
			return err
		}
		if err := between(member+"retryPolicy.maximumEventAgeInSeconds", p.MaximumEventAgeInSeconds, 60, int32(maxAge.Seconds())); err != nil {
			return err
		}
	}
	if d := t.DeadLetterConfig; d != nil && service(aws.ToString(d.Arn)) != "sqs" {
		return badParameter("Parameter DeadLetterConfig.Arn is not valid. Reason: it must be the ARN of an SQS queue.")
	}
	return nil
}

func between(member string, value *int32, least, most int32) error {
	switch {
	case value == nil:
		return nil
	case *value < least:
		return broken(member, fmt.Sprint(*value), fmt.Sprintf("have value greater than or equal to %d", least))
	case *value > most:
		return broken(member, fmt.Sprint(*value), fmt.Sprintf("have value less than or equal to %d", most))
	}
	return nil
}

func (s *Service) removeTargets(in *api.RemoveTargetsInput) (*api.RemoveTargetsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(in.EventBusName, "rule", in.Rule)
	if err != nil {
		return nil, err
	}
	out := &api.RemoveTargetsOutput{FailedEntries: []types.RemoveTargetsResultEntry{}}
	changed := *r
	changed.targets = slices.Clone(r.targets)
	for _, id := range in.Ids {
		i := changed.target(id)
		if i < 0 {
			out.FailedEntries = append(out.FailedEntries, types.RemoveTargetsResultEntry{
				ErrorCode: aws.String("ResourceNotFoundException"), TargetId: aws.String(id),
				ErrorMessage: aws.String("Rule " + r.name + " does not have a target with the Id " + id + "."), // our words
			})
			out.FailedEntryCount++
			continue
		}
		changed.targets = slices.Delete(changed.targets, i, i+1)
	}
	s.rules[r.name] = &changed
	return out, nil
}

func (s *Service) listTargetsByRule(in *api.ListTargetsByRuleInput) (*api.ListTargetsByRuleOutput, error) {
	s.mu.Lock()
	r, err := s.find(in.EventBusName, "rule", in.Rule)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	page, next, err := paginate(r.targets, "targets "+r.name, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	return &api.ListTargetsByRuleOutput{Targets: append([]types.Target{}, page...), NextToken: next}, nil
}
