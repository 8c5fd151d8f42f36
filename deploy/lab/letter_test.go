package lab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
)

// TestEventsReachQueuesAndTopics has a rule hand an event to a queue that lets
// it, by a topic to the same queue, to a queue that does not let it, and to a
// function that always fails: what could not be delivered ends in the dead
// letter queue of the target or of the function.
func TestEventsReachQueuesAndTopics(t *testing.T) {
	t.Parallel()
	const (
		queue = "arn:aws:sqs:us-east-1:111122223333:"
		topic = "arn:aws:sns:us-east-1:111122223333:alerts"
		rule  = "arn:aws:events:us-east-1:111122223333:rule/watch"
	)
	failing := function()
	failing.Name, failing.Command, failing.DeadLetter = "failing", []string{"false"}, queue+"dead"
	l := start(t, lab.Options{
		Functions: []lambda.Function{failing},
		Async:     lambda.Async{RetryDelays: [2]time.Duration{time.Millisecond, time.Millisecond}},
	})
	c := clientConfig(t, l)
	queues, topics, bus := sqs.NewFromConfig(c), sns.NewFromConfig(c), eventbridge.NewFromConfig(c)
	lets := func(resource, action, service, source string) string {
		return `{"Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `.amazonaws.com"},"Action":"` + action + `","Resource":"` + resource +
			`","Condition":{"ArnEquals":{"aws:SourceArn":"` + source + `"}}}]}`
	}
	urls := map[string]*string{}
	for name, policy := range map[string]string{
		"work":   lets(queue+"work", "sqs:SendMessage", "events", rule),
		"told":   lets(queue+"told", "sqs:SendMessage", "sns", topic),
		"closed": lets(queue+"closed", "sqs:SendMessage", "events", rule+"-other"),
		"dead":   lets(queue+"dead", "sqs:SendMessage", "events", rule),
	} {
		made, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"Policy": policy}})
		if err != nil {
			t.Fatal(err)
		}
		urls[name] = made.QueueUrl
	}
	_, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts"), Attributes: map[string]string{
		"Policy": lets(topic, "sns:Publish", "events", rule),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: aws.String(topic), Protocol: aws.String("sqs"), Endpoint: aws.String(queue + "told")}); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: aws.String("watch"), EventPattern: aws.String(`{"source":["test"]}`)}); err != nil {
		t.Fatal(err)
	}
	letter := &types.DeadLetterConfig{Arn: aws.String(queue + "dead")}
	_, err = bus.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("watch"), Targets: []types.Target{
		{Id: aws.String("queue"), Arn: aws.String(queue + "work")},
		{Id: aws.String("topic"), Arn: aws.String(topic)},
		{Id: aws.String("closed"), Arn: aws.String(queue + "closed"), DeadLetterConfig: letter},
		{Id: aws.String("function"), Arn: aws.String(l.Lambda().ARN("failing"))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bus.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		{Source: aws.String("test"), DetailType: aws.String("A Test"), Detail: aws.String(`{"n":1}`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	receive := func(name string) sqstypes.Message {
		t.Helper()
		got, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: urls[name], WaitTimeSeconds: 20, MessageAttributeNames: []string{"All"},
		})
		if err != nil || len(got.Messages) != 1 || !strings.Contains(*got.Messages[0].Body, "A Test") {
			t.Fatalf("queue %s has %v (%v), want the event", name, got, err)
		}
		return got.Messages[0]
	}
	receive("work")
	receive("told")
	codes := map[string]bool{}
	for range 2 {
		m := receive("dead")
		for _, name := range []string{"ERROR_CODE", "ErrorCode"} { // of a rule, of a function
			codes[aws.ToString(m.MessageAttributes[name].StringValue)] = true
		}
	}
	if !codes["NO_PERMISSIONS"] || !codes["200"] {
		t.Errorf("dead letters have the codes %v, want one of the rule and one of the function", codes)
	}
}
