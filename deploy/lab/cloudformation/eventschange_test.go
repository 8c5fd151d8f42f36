package cloudformation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/iam"
)

// settings are what the services say of the stack.
func (b bus) settings(s *cloudformation.Stack) map[string]string {
	b.Helper()
	m := map[string]string{}
	rule, err := b.rules.DescribeRule(b.Context(), &eventbridge.DescribeRuleInput{Name: aws.String(b.physical(s, "Secrets"))})
	if err != nil {
		b.Fatal(err)
	}
	m["state"], m["pattern"] = string(rule.State), *rule.EventPattern
	queue, err := b.queues.GetQueueAttributes(b.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(b.physical(s, "Queue")), AttributeNames: []sqstypes.QueueAttributeName{"VisibilityTimeout", "DelaySeconds"},
	})
	if err != nil {
		b.Fatal(err)
	}
	m["visibility"], m["delay"] = queue.Attributes["VisibilityTimeout"], queue.Attributes["DelaySeconds"]
	topic, err := b.topics.GetTopicAttributes(b.Context(), &sns.GetTopicAttributesInput{TopicArn: aws.String(b.physical(s, "Topic"))})
	if err != nil {
		b.Fatal(err)
	}
	m["display"] = topic.Attributes["DisplayName"]
	mail, err := b.topics.GetSubscriptionAttributes(b.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: aws.String(b.physical(s, "Mail"))})
	if err != nil {
		b.Fatal(err)
	}
	m["filter"], m["address"] = mail.Attributes["FilterPolicy"]+" "+mail.Attributes["FilterPolicyScope"], mail.Attributes["Endpoint"]
	trail, err := b.trails.GetTrailStatus(b.Context(), &cloudtrail.GetTrailStatusInput{Name: aws.String(b.physical(s, "Trail"))})
	if err != nil {
		b.Fatal(err)
	}
	m["logging"] = map[bool]string{true: "true", false: "false"}[*trail.IsLogging]
	return m
}

// TestEventsAreChangedInPlace changes a stack, and has a change that fails taken
// back whole.
func TestEventsAreChangedInPlace(t *testing.T) {
	t.Parallel()
	b := startBus(t, iam.KnownRoles)
	s := b.deploy(eventsSpec(t, nil))
	was, before := s.Outputs(), b.settings(s)
	want := map[string]string{
		"state": "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS", "pattern": `{"source":["aws.secretsmanager","test"]}`, "visibility": "60", "delay": "0",
		"display": "Keytrail", "filter": `{"severity":["high"]} MessageAttributes`, "address": "ops@example.com", "logging": "true",
	}
	if diff := cmp.Diff(want, before); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}

	changed := map[string]string{
		"Watching": "ENABLED", "Reading": "false", "Logging": "false", "Visibility": "90", "Delay": "1", "Source": "other", "Severity": "low",
		"Scope": "MessageBody", "Display": "Keys", "Retries": "1",
	}
	if err := s.Update(t.Context(), eventsSpec(t, changed)); err != nil {
		t.Fatal(err)
	}
	want = map[string]string{
		"state": "ENABLED", "pattern": `{"source":["other","test"]}`, "visibility": "90", "delay": "1",
		"display": "Keys", "filter": `{"severity":["low"]} MessageBody`, "address": "ops@example.com", "logging": "false",
	}
	if diff := cmp.Diff(want, b.settings(s)); diff != "" {
		t.Errorf("settings after an update (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(was, s.Outputs()); diff != "" {
		t.Errorf("an update replaced something (-was +is):\n%s", diff)
	}
	b.checkQuiet(s)

	// The bucket's policy lets the trail write below audit/ only; whatever was
	// changed before the trail is as it was again.
	wrong := map[string]string{"Prefix": "elsewhere", "Display": "Other", "Visibility": "70", "Source": "third", "Watching": "DISABLED", "Severity": "none", "Scope": "MessageAttributes"}
	err := s.Update(t.Context(), eventsSpec(t, wrong))
	if err == nil || !strings.Contains(err.Error(), "AWS::CloudTrail::Trail Trail: Resource handler returned message: \"Incorrect S3 bucket policy is detected for bucket: "+b.physical(s, "Bucket")) {
		t.Errorf("a trail without a place for its files: %v", err)
	}
	if diff := cmp.Diff(want, b.settings(s)); diff != "" || s.Status() != cloudformation.UpdateRollbackComplete {
		t.Errorf("settings after a rollback, %s (-want +got):\n%s", s.Status(), diff)
	}

	if err := s.Update(t.Context(), eventsSpec(t, map[string]string{"Address": "others@example.com"})); err != nil {
		t.Fatal(err)
	}
	before["address"] = "others@example.com"
	if diff := cmp.Diff(before, b.settings(s)); diff != "" {
		t.Errorf("settings at the end (-want +got):\n%s", diff)
	}
	if s.Outputs()["Mail"] == was["Mail"] {
		t.Error("another address is the same subscription")
	}
	b.put("on again")
	b.heard(s, "on again")
}

// checkQuiet sends what the function does not get any more: a mapping that is
// disabled reads nothing, and without a trail that logs no call is an event.
func (b bus) checkQuiet(s *cloudformation.Stack) {
	b.Helper()
	if _, err := b.queues.SendMessage(b.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.Outputs()["Queue"]), MessageBody: aws.String("unread")}); err != nil {
		b.Fatal(err)
	}
	if _, err := b.secrets.CreateSecret(b.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("quiet")}); err != nil {
		b.Fatal(err)
	}
	b.put("still heard")
	b.heard(s, "still heard")
	b.Events().Wait()
	b.Lambda().Wait()
	got, err := b.queues.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(s.Outputs()["Queue"]), WaitTimeSeconds: 20})
	if err != nil || len(got.Messages) != 1 {
		b.Errorf("the queue has %v, %v", got, err)
	}
	if log, err := b.Lambda().Logs(b.physical(s, "Function")); err != nil || strings.Contains(log, "unread") || strings.Contains(log, "CreateSecret") {
		b.Errorf("the function's log is (%v):\n%s", err, log)
	}
}

// queueNameRests is longer than SQS keeps the name of a deleted queue to itself.
const queueNameRests = 2 * time.Minute

// TestEventsAreRefused has AWS's reasons not to make what is wrong, and nothing
// left of the stack.
func TestEventsAreRefused(t *testing.T) {
	t.Parallel()
	b := startBus(t, iam.KnownRoles)
	for name, test := range map[string]struct {
		parameters map[string]string
		want       string
	}{
		"a role that may not read": {map[string]string{"Rights": "ListQueues"},
			`AWS::Lambda::EventSourceMapping Reader: Resource handler returned message: "The provided execution role does not have permissions to call ReceiveMessage on SQS (Service: Lambda, Status Code: 400`},
		"a role that may not use the key": {map[string]string{"KeyId": "1"},
			`AWS::Lambda::EventSourceMapping Reader: Resource handler returned message: "The provided execution role does not have permissions to call Decrypt on KMS`},
		"a role that may not bury": {map[string]string{"Dead": "ListQueues"},
			`AWS::Lambda::EventInvokeConfig Async: Resource handler returned message: "The function's execution role does not have permissions to call SendMessage on arn:aws:sqs:us-east-1:111122223333:events-Letters-`},
		"a queue that shows messages too early": {map[string]string{"Visibility": "59"},
			`AWS::Lambda::EventSourceMapping Reader: Resource handler returned message: "read arn:aws:sqs:us-east-1:111122223333:events-work for `},
		"a trail without its bucket": {map[string]string{"Prefix": "elsewhere"},
			`AWS::CloudTrail::Trail Trail: Resource handler returned message: "Incorrect S3 bucket policy is detected`},
		"a filter in a scope that is none": {map[string]string{"Scope": "Message"}, `AWS::SNS::Subscription Mail: `},
		"a rule in a state that is none":   {map[string]string{"Watching": "ON"}, `AWS::Events::Rule Secrets: `},
	} {
		s, err := b.Lab.Deploy(t.Context(), eventsSpec(t, test.parameters))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant %s", name, err, test.want)
		}
		b.checkNothingLeft()
		if s.Status() != cloudformation.RollbackComplete {
			t.Errorf("%s: the stack is %s", name, s.Status())
		}
		if err := s.Delete(t.Context()); err != nil {
			t.Error(err)
		}
		b.ahead.Add(int64(queueNameRests)) // SQS gives no name out again at once
	}
	for properties, want := range map[string]string{
		"AWS::SNS::Topic, Properties: {FifoTopic: true}":                                 "[#: extraneous key [FifoTopic] is not permitted]",
		"AWS::SQS::Queue, Properties: {FifoQueue: true, VisibilityTimeout: long}":        "[#: extraneous key [FifoQueue] is not permitted, #/VisibilityTimeout: expected type: Integer, found: String]",
		"AWS::Events::Rule, Properties: {Targets: [{Id: x, Arn: y, EcsParameters: {}}]}": "[#/Targets/0: extraneous key [EcsParameters] is not permitted]",
		"AWS::Lambda::EventSourceMapping, Properties: {FilterCriteria: {}}":              "[#: extraneous key [FilterCriteria] is not permitted, #: required key [EventSourceArn] not found, #: required key [FunctionName] not found]",
		"AWS::Chatbot::SlackChannelConfiguration, Properties: {ConfigurationName: a, IamRoleArn: 'arn:aws:iam::111122223333:role/r', SlackChannelId: '#ops', SlackWorkspaceId: T1}": "[#/SlackChannelId: failed validation constraint for keyword [pattern]]",
		"AWS::CloudTrail::Trail, Properties: {IsOrganizationTrail: true}": "[#: extraneous key [IsOrganizationTrail] is not permitted, #: required key [IsLogging] not found, #: required key [S3BucketName] not found]",
	} {
		s, err := b.Lab.Deploy(t.Context(), cloudformation.Spec{Name: "p", Template: []byte("Resources: {A: {Type: " + properties + "}}")})
		if err == nil || !strings.HasSuffix(err.Error(), "Properties validation failed for resource A with message: "+want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if err := s.Delete(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestAQueueIsReadOnce for one function: another mapping is refused with the id
// of the first.
func TestAQueueIsReadOnce(t *testing.T) {
	t.Parallel()
	b := startBus(t, iam.KnownRoles)
	s := b.deploy(eventsSpec(t, nil))
	for function, want := range map[string]string{
		b.physical(s, "Alias"):               `already exists. Please update or delete the existing mapping with UUID ` + s.Outputs()["Mapping"] + ` (Service: Lambda, Status Code: 409, Request ID: n/a)" (RequestToken: `,
		b.physical(s, "Function") + ":other": "Function not found: ",
	} {
		_, err := b.Lab.Deploy(t.Context(), cloudformation.Spec{Name: "again-" + function[len(function)-4:], Template: []byte(
			"Resources: {A: {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: '" + s.Outputs()["QueueArn"] + "', FunctionName: '" + function + "'}}}")})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestOfTwoStacksOneGoes has two stacks that follow one topic in chat, and that
// cannot have the same names.
func TestOfTwoStacksOneGoes(t *testing.T) {
	t.Parallel()
	b := startBus(t, iam.KnownRoles)
	topic, err := b.topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("shared")})
	if err != nil {
		t.Fatal(err)
	}
	channel := func(name, more string) cloudformation.Spec {
		return cloudformation.Spec{Name: name, Template: []byte(`Resources: {Slack: {Type: AWS::Chatbot::SlackChannelConfiguration, Properties: {ConfigurationName: ` + name +
			`, IamRoleArn: 'arn:aws:iam::111122223333:role/r', SlackChannelId: C1, SlackWorkspaceId: T1, SnsTopicArns: ['` + *topic.TopicArn + `'` + more + `]}}}`)}
	}
	followers := func() int {
		list, err := b.topics.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: topic.TopicArn})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Subscriptions)
	}
	one, two := b.deploy(channel("one", "")), b.deploy(channel("two", ""))
	if err := one.Update(t.Context(), channel("one", ", 'arn:aws:sns:us-east-1:111122223333:none'")); err == nil || !strings.Contains(err.Error(), "Topic does not exist") {
		t.Errorf("a topic that there is not: %v", err)
	}
	for _, s := range []*cloudformation.Stack{one, two} {
		if n := followers(); n != 1 {
			t.Errorf("%d subscriptions while there is a channel", n)
		}
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := followers(); n != 0 {
		t.Errorf("%d subscriptions without a channel", n)
	}

	for kind, name := range map[string]string{"AWS::SNS::Topic": "TopicName: shared", "AWS::SQS::Queue": "QueueName: work", "AWS::Events::Rule": "Name: work, ScheduleExpression: rate(1 day)"} {
		text := []byte("Resources: {A: {Type: " + kind + ", Properties: {" + name + "}}}")
		if kind != "AWS::SNS::Topic" {
			b.deploy(cloudformation.Spec{Name: "first-" + strings.ToLower(kind[5:8]), Template: text})
		}
		if _, err := b.Lab.Deploy(t.Context(), cloudformation.Spec{Name: "second-" + strings.ToLower(kind[5:8]), Template: text}); err == nil || !strings.Contains(err.Error(), "HandlerErrorCode: AlreadyExists") {
			t.Errorf("a %s with a name that is taken: %v", kind, err)
		}
	}
}

// TestAChangeThatFailsHalfway has a resource refused after a part of it was
// changed.
func TestAChangeThatFailsHalfway(t *testing.T) {
	t.Parallel()
	b := startBus(t, iam.KnownRoles)
	spec := func(display, subscription, tag, state, target string) cloudformation.Spec {
		return cloudformation.Spec{Name: "half", Template: []byte(`Resources:
  Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: ` + display + `, Subscription: [` + subscription + `], Tags: [{Key: ` + tag + `, Value: x}]}}
  Queue: {Type: AWS::SQS::Queue}
  Rule:
    Type: AWS::Events::Rule
    Properties: {ScheduleExpression: rate(1 day), State: ` + state + `, Targets: [{Id: ` + state + `, Arn: ` + target + `}]}
`)}
	}
	const (
		one, two = "{Protocol: email, Endpoint: one@example.com}", "{Protocol: email, Endpoint: two@example.com}"
		queue    = "!GetAtt Queue.Arn"
	)
	s := b.deploy(spec("One", one, "first", "ENABLED", queue))
	b.SNS().Confirm("one@example.com")
	is := func() string {
		topic, err := b.topics.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: aws.String(b.physical(s, "Topic"))})
		if err != nil {
			t.Fatal(err)
		}
		list, err := b.topics.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(b.physical(s, "Topic"))})
		if err != nil {
			t.Fatal(err)
		}
		tags, err := b.topics.ListTagsForResource(t.Context(), &sns.ListTagsForResourceInput{ResourceArn: aws.String(b.physical(s, "Topic"))})
		if err != nil {
			t.Fatal(err)
		}
		rule, err := b.rules.DescribeRule(t.Context(), &eventbridge.DescribeRuleInput{Name: aws.String(b.physical(s, "Rule"))})
		if err != nil {
			t.Fatal(err)
		}
		targets, err := b.rules.ListTargetsByRule(t.Context(), &eventbridge.ListTargetsByRuleInput{Rule: aws.String(b.physical(s, "Rule"))})
		if err != nil {
			t.Fatal(err)
		}
		words := []string{topic.Attributes["DisplayName"]}
		for _, sub := range list.Subscriptions {
			words = append(words, *sub.Endpoint)
		}
		for _, tag := range tags.Tags {
			words = append(words, *tag.Key)
		}
		words = append(words, string(rule.State))
		for _, target := range targets.Targets {
			words = append(words, *target.Id)
		}
		return strings.Join(words, " ")
	}
	want := "One one@example.com first ENABLED ENABLED"
	for name, wrong := range map[string]cloudformation.Spec{
		"a subscriber that cannot be":  spec("Two", two+", {Protocol: email, Endpoint: nowhere}", "second", "ENABLED", queue),
		"a target that cannot be":      spec("Two", two, "second", "DISABLED", "arn:aws:dynamodb:us-east-1:111122223333:table/x"),
		"and one of a rule by another": spec("One", one, "first", "DISABLED", "nothing"),
	} {
		if err := s.Update(t.Context(), wrong); err == nil || s.Status() != cloudformation.UpdateRollbackComplete {
			t.Errorf("%s: %v, %s", name, err, s.Status())
		}
		// What was subscribed meanwhile was never confirmed, and stays as it does on AWS.
		if got := strings.Replace(is(), " two@example.com", "", 1); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		b.SNS().Confirm("one@example.com")
	}
	if err := s.Update(t.Context(), spec("Two", two, "second", "DISABLED", queue)); err != nil {
		t.Fatal(err)
	}
	if got, want := is(), "Two two@example.com second DISABLED DISABLED"; got != want {
		t.Errorf("changed: %s, want %s", got, want)
	}
}
