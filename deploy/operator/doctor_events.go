package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// checkTrail looks for a trail that logs management events here: EventBridge hears of nothing else.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
func checkTrail(ctx context.Context, p patient) []finding {
	const subject = "trail"
	client := newTrails(p.aws)
	list, err := client.list(ctx)
	if err != nil {
		return []finding{unread(subject, err)}
	}
	reads := p.watches != nil && variables(p.watches)("KEYTRAIL_READERS") != ""
	var why []string
	for _, t := range list {
		logs, err := client.logs(ctx, t.ARN)
		if err != nil {
			return []finding{unread(subject, err)}
		}
		if !logs {
			why = append(why, t.Name+" does not log")
			continue
		}
		selected, err := client.selectors(ctx, t.ARN)
		if err != nil {
			return []finding{unread(subject, err)}
		}
		switch told := selected.management(); {
		case told == "":
			why = append(why, t.Name+" leaves management events out")
		case told == readOnly:
			why = append(why, t.Name+" logs calls that read alone")
		case reads && told == writeOnly:
			why = append(why, t.Name+" leaves reads out, which KEYTRAIL_READERS is about")
		default:
			return []finding{isFine(subject, "%s logs", t.Name)}
		}
	}
	if why == nil {
		why = []string{"there is none in this Region"}
	}
	return []finding{isWrong(subject, strings.Join(why, "; ")+": failed rotations are found by the sweep alone, and nobody learns who called what",
		"aws cloudtrail start-logging --name NAME, or deploy the stack with MakeTrail=true")}
}

// Which management events a trail logs, as its selectors have it.
const (
	allEvents = "All"
	readOnly  = "ReadOnly"
	writeOnly = "WriteOnly"
)

// management says which management events a trail logs, "" for none. Advanced selectors are taken at their word
// that they have the category.
func (out selectors) management() string {
	for _, s := range out.EventSelectors {
		if s.IncludeManagementEvents {
			return s.ReadWriteType
		}
	}
	for _, s := range out.AdvancedEventSelectors {
		told, only := false, allEvents
		for _, f := range s.FieldSelectors {
			switch {
			case f.Field == "eventCategory" && slices.Contains(f.Equals, "Management"):
				told = true
			case f.Field == "readOnly" && slices.Contains(f.Equals, "true"):
				only = readOnly
			case f.Field == "readOnly" && slices.Contains(f.Equals, "false"):
				only = writeOnly
			}
		}
		if told {
			return only
		}
	}
	return ""
}

// checkRules looks at the rules that feed the function that watches, and at what lets them.
func checkRules(ctx context.Context, p patient) []finding {
	if p.watches == nil {
		return nil
	}
	names := []string{"svc", "calls", "label", "sweep"}
	if variables(p.watches)("KEYTRAIL_READERS") != "" {
		names = append(names, "reads")
	}
	allowed, err := p.invokers(ctx, p.name+"-events", "events.amazonaws.com")
	if err != nil {
		return []finding{unread("rules", err)}
	}
	client := eventbridge.NewFromConfig(p.aws)
	var all []finding
	for _, n := range names {
		all = append(all, p.rule(ctx, client, p.name+"-"+n, allowed))
	}
	return all
}

func (p patient) rule(ctx context.Context, client *eventbridge.Client, name string, allowed []invoker) finding {
	subject := "rule " + name
	rule, err := client.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: &name})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return isWrong(subject, "there is none", "deploy the stack again")
	}
	if err != nil {
		return unread(subject, err)
	}
	targets, err := client.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &name})
	if err != nil {
		return unread(subject, err)
	}
	function := aws.ToString(p.watches.FunctionArn)
	switch {
	case rule.State == types.RuleStateDisabled:
		return isWrong(subject, "it is disabled", "aws events enable-rule --name "+name)
	case strings.HasSuffix(name, "-reads") && rule.State != types.RuleStateEnabledWithAllCloudtrailManagementEvents:
		return isWrong(subject, "in the state "+string(rule.State)+" it sees no call that reads", "aws events put-rule with --state ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS, or deploy the stack again")
	case !slices.ContainsFunc(targets.Targets, func(t types.Target) bool { return aws.ToString(t.Arn) == function }):
		return isWrong(subject, "its target is not "+p.name+"-events", "deploy the stack again")
	case !slices.ContainsFunc(allowed, func(s invoker) bool { return s.Condition.ArnLike["AWS:SourceArn"] == aws.ToString(rule.Arn) }):
		return isWrong(subject, "it may not invoke "+p.name+"-events", "aws lambda add-permission --function-name "+p.name+"-events --statement-id "+name+
			" --action lambda:InvokeFunction --principal events.amazonaws.com --source-arn "+aws.ToString(rule.Arn))
	}
	return isFine(subject, "%s", strings.ToLower(string(rule.State)))
}

// checkSource looks at what takes checks from their queue to the function.
func checkSource(ctx context.Context, p patient) []finding {
	if p.watches == nil {
		return nil
	}
	const subject = "queue of checks"
	name := p.name + "-events"
	list, err := p.client.ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{FunctionName: &name})
	if err != nil {
		return []finding{unread(subject, err)}
	}
	for _, m := range list.EventSourceMappings {
		if aws.ToString(m.State) == "Enabled" {
			return []finding{isFine(subject, "%s reads it", name)}
		}
	}
	return []finding{isWrong(subject, "nothing takes checks from it to "+name+": no sweep looks at a host", "aws lambda update-event-source-mapping --enabled, or deploy the stack again")}
}

func checkDeadLetters(ctx context.Context, p patient) []finding {
	if p.watches == nil {
		return nil
	}
	const subject = "dead letters"
	url := variables(p.watches)("KEYTRAIL_DEAD_LETTERS")
	name := sqstypes.QueueAttributeNameApproximateNumberOfMessages
	out, err := sqs.NewFromConfig(p.aws).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{name}})
	if err != nil {
		return []finding{unread(subject, err)}
	}
	n, err := strconv.Atoi(out.Attributes[string(name)])
	switch {
	case err != nil:
		return []finding{unread(subject, err)}
	case n > 0:
		return []finding{isWrong(subject, plural(n, "message")+" could not be acted on",
			"aws sqs receive-message --attribute-names All --message-attribute-names All --queue-url "+url+", and keytrail replay says what each would come to now")}
	}
	return []finding{isFine(subject, "none")}
}

// checkAlerts looks for somebody who hears of alerts.
func checkAlerts(ctx context.Context, p patient) []finding {
	if p.watches == nil {
		return nil
	}
	return []finding{p.topic(ctx, "alerts", variables(p.watches)("KEYTRAIL_ALERTS_TOPIC"), "--protocol email --notification-endpoint ADDRESS")}
}

func checkChat(ctx context.Context, p patient) []finding {
	const subject = "chat channel"
	if p.watches == nil {
		return nil
	}
	topic := variables(p.watches)("KEYTRAIL_CHAT_TOPIC")
	if topic == "" {
		return []finding{isFine(subject, "none is configured")}
	}
	heard := p.topic(ctx, subject, topic, "")
	if heard.Condition == wrong {
		heard.Fix = "add the topic to the channel's configuration in the console of Amazon Q Developer in chat applications"
		return []finding{heard}
	}
	// A channel that was deleted, or that Amazon Q was not invited to, looks the same from here.
	return []finding{heard, notChecked("chat delivery", "only Slack knows whether Amazon Q is in the channel", "in the channel: /invite @Amazon Q; then send a test message from the console of Amazon Q Developer in chat applications")}
}

// topic says who hears of what is published to a topic.
func (p patient) topic(ctx context.Context, subject, topic, how string) finding {
	subscribe := "aws sns subscribe --topic-arn " + topic + " " + how
	confirmed, pending := 0, []string{}
	in := &sns.ListSubscriptionsByTopicInput{TopicArn: &topic}
	for pages := sns.NewListSubscriptionsByTopicPaginator(sns.NewFromConfig(p.aws), in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return unread(subject, err)
		}
		for _, s := range page.Subscriptions {
			if aws.ToString(s.SubscriptionArn) == "PendingConfirmation" {
				pending = append(pending, aws.ToString(s.Endpoint))
			} else {
				confirmed++
			}
		}
	}
	switch {
	case len(pending) > 0:
		return isWrong(subject, strings.Join(pending, ", ")+" has not confirmed the subscription and hears of nothing",
			"follow the link in the mail of AWS Notifications; after three days it is void: "+subscribe)
	case confirmed == 0:
		return isWrong(subject, "nobody is subscribed: nobody hears of an alert", subscribe)
	}
	return isFine(subject, "%s", fmt.Sprintf("%s confirmed", plural(confirmed, "subscription")))
}
