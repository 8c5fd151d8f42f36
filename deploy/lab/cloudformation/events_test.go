package cloudformation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	labtrail "github.com/keytrail/keytrail/deploy/lab/cloudtrail"
	"github.com/keytrail/keytrail/deploy/lab/iam"
)

// tell is a function that logs its events, and fails for some.
func tell(_ context.Context, event json.RawMessage) error {
	fmt.Println(string(event))
	if bytes.Contains(event, []byte("no good")) {
		return errors.New("that is no good")
	}
	return nil
}

// bus is a world with the stack of testdata/events.yaml and clients of what it
// is about. Without a trail of the stack it has none.
type bus struct {
	world
	ahead  *atomic.Int64 // of the real clock
	topics *sns.Client
	queues *sqs.Client
	rules  *eventbridge.Client
	trails *cloudtrail.Client
}

func startBus(t *testing.T, enforce iam.Enforcement) bus {
	t.Helper()
	ahead := &atomic.Int64{}
	l, err := lab.Start(t.Context(), lab.Options{
		CloudTrail: labtrail.Options{Trails: []string{}}, Enforce: enforce,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(l.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "x", "")}
	return bus{
		world: world{T: t, Lab: l, secrets: secretsmanager.NewFromConfig(c)}, ahead: ahead, topics: sns.NewFromConfig(c), queues: sqs.NewFromConfig(c),
		rules: eventbridge.NewFromConfig(c), trails: cloudtrail.NewFromConfig(c),
	}
}

func eventsSpec(t *testing.T, parameters map[string]string) cloudformation.Spec {
	t.Helper()
	text, err := os.ReadFile("testdata/events.yaml")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return cloudformation.Spec{Name: "events", Template: text, Programs: map[string][]string{"Function": {program}}, Parameters: parameters, Tags: map[string]string{"team": "keys"}}
}

// heard waits until the function's log has a text.
func (b bus) heard(s *cloudformation.Stack, text string) {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		log, err := b.Lambda().Logs(b.physical(s, "Function"))
		if err == nil && strings.Contains(log, text) {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("the function did not get %q (%v):\n%s", text, err, log)
		}
	}
}

// TestEventsReachTheFunction has each of the ways to the function and from it
// used, and then nothing left of them.
func TestEventsReachTheFunction(t *testing.T) {
	t.Parallel()
	b := startBus(t, iam.Everyone)
	s := b.deploy(eventsSpec(t, nil))
	b.checkOutputs(s)

	if _, err := b.queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.Outputs()["Queue"]), MessageBody: aws.String("by the queue")}); err != nil {
		t.Fatal(err)
	}
	b.heard(s, `"body":"by the queue"`)
	if _, err := b.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("ssh")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.secrets.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("ssh")}); err != nil {
		t.Fatal(err)
	}
	b.heard(s, `"eventName":"CreateSecret"`)
	b.heard(s, `"eventName":"DescribeSecret"`) // a read, which the rule's state is about
	b.ahead.Store(int64(time.Hour))
	b.Wake()
	b.heard(s, `{"sweep":true}`)

	b.put("no good")
	if m := b.letter(s); !strings.Contains(*m.Body, `"condition":"RetriesExhausted"`) || !strings.Contains(*m.Body, "that is no good") {
		t.Errorf("the function's dead letter is %s", *m.Body)
	}
	b.checkMail(s)
	b.checkChat(s)
	b.checkNeeded(s)

	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.checkNothingLeft()
}

// put puts an event of the source test on the bus.
func (b bus) put(what string) {
	b.Helper()
	out, err := b.rules.PutEvents(b.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		{Source: aws.String("test"), DetailType: aws.String("A Test"), Detail: aws.String(`{"what":"` + what + `"}`)},
	}})
	if err != nil || out.FailedEntryCount > 0 {
		b.Fatalf("put an event: %v, %v", out, err)
	}
}

// letter takes a message out of the dead letter queue.
func (b bus) letter(s *cloudformation.Stack) sqstypes.Message {
	b.Helper()
	got, err := b.queues.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(b.physical(s, "Letters")), WaitTimeSeconds: 20, MessageAttributeNames: []string{"All"},
	})
	if err != nil || len(got.Messages) != 1 {
		b.Fatalf("dead letters: %v, %v", got, err)
	}
	if _, err := b.queues.DeleteMessage(b.Context(), &sqs.DeleteMessageInput{QueueUrl: aws.String(b.physical(s, "Letters")), ReceiptHandle: got.Messages[0].ReceiptHandle}); err != nil {
		b.Fatal(err)
	}
	return got.Messages[0]
}

func (b bus) checkOutputs(s *cloudformation.Stack) {
	b.Helper()
	out := s.Outputs()
	topic := b.physical(s, "Topic")
	want := map[string]string{
		"Topic": topic, "TopicName": topic[strings.LastIndexByte(topic, ':')+1:], "Queue": b.URL() + "/111122223333/events-work", "QueueUrl": out["Queue"],
		"QueueArn": "arn:aws:sqs:us-east-1:111122223333:events-work", "QueueName": "events-work",
		"Rule": "arn:aws:events:us-east-1:111122223333:rule/" + b.physical(s, "Secrets"), "Mapping": b.physical(s, "Reader"),
		"Slack": "arn:aws:chatbot::111122223333:chat-configuration/slack-channel/events-alerts",
		"Trail": "arn:aws:cloudtrail:us-east-1:111122223333:trail/events", "TrailTopic": topic, "Mail": b.physical(s, "Mail"),
	}
	if diff := cmp.Diff(want, out); diff != "" {
		b.Errorf("outputs (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(out["TopicName"], "events-Topic-") || !strings.HasPrefix(out["Mail"], topic+":") || b.physical(s, "Async") != b.physical(s, "Function")+"|live" {
		b.Errorf("names: %v", out)
	}
	tags, err := b.queues.ListQueueTags(b.Context(), &sqs.ListQueueTagsInput{QueueUrl: aws.String(out["Queue"])})
	if err != nil {
		b.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"Purpose": "work", "team": "keys"}, tags.Tags); diff != "" {
		b.Errorf("tags of the queue (-want +got):\n%s", diff)
	}
}

// checkMail publishes to the topic as an alarm, whom its policy lets, and as the
// operator; the subscriber wants what is severe.
func (b bus) checkMail(s *cloudformation.Stack) {
	b.Helper()
	topic := s.Outputs()["Topic"]
	if n := b.SNS().Confirm("ops@example.com"); n != 1 {
		b.Errorf("%d subscriptions were to be confirmed", n)
	}
	alarm := "arn:aws:cloudwatch:us-east-1:111122223333:alarm:errors"
	for source, want := range map[string]bool{alarm: true, strings.Replace(alarm, "alarm", "dashboard", 1): false} {
		if err := b.SNS().PublishAs(b.Context(), "cloudwatch.amazonaws.com", source, topic, "an alarm"); (err == nil) != want {
			b.Errorf("%s publishes: %v", source, err)
		}
	}
	for _, severity := range []string{"low", "high"} {
		if _, err := b.topics.Publish(b.Context(), &sns.PublishInput{
			TopicArn: &topic, Message: aws.String("of severity " + severity),
			MessageAttributes: map[string]snstypes.MessageAttributeValue{"severity": {DataType: aws.String("String"), StringValue: &severity}},
		}); err != nil {
			b.Fatal(err)
		}
	}
	mails := b.files("mail", "ops@example.com")
	if strings.Count(mails, "From:") != 2 || !strings.Contains(mails, "Keytrail") || !strings.Contains(mails, "of severity high") {
		b.Errorf("mails are\n%s", mails)
	}
}

// files returns all that stands in a folder of the lab.
func (b bus) files(folder ...string) string {
	b.Helper()
	dir := filepath.Join(append([]string{b.Dir()}, folder...)...)
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Error(err)
	}
	var all strings.Builder
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			b.Error(err)
		}
		all.Write(text)
	}
	return all.String()
}

// checkChat publishes what the channel shows.
func (b bus) checkChat(s *cloudformation.Stack) {
	b.Helper()
	if _, err := b.topics.Publish(b.Context(), &sns.PublishInput{
		TopicArn: aws.String(b.physical(s, "Chat")), Message: aws.String(`{"version":"1.0","source":"custom","content":{"description":"a key is late"}}`),
	}); err != nil {
		b.Fatal(err)
	}
	if chat := b.files("chat", "events-chat"); !strings.Contains(chat, "a key is late") {
		b.Errorf("the channel shows\n%s", chat)
	}
}

// checkNeeded asks the engine which statements were needed so far.
func (b bus) checkNeeded(s *cloudformation.Stack) {
	b.Helper()
	needed := map[string]bool{}
	for _, g := range b.IAM().Grants() {
		needed[g.String()] = len(b.IAM().Needing(g.Statement, "")) > 0
	}
	work := b.physical(s, "Role") + "/work "
	for statement, want := range map[string]bool{
		work + "Read": true, work + "Bury": true, work + "Tell": false, b.physical(s, "Topic") + " Alarms": true,
		"arn:aws:s3:::" + b.physical(s, "Bucket") + " #0": true, "arn:aws:s3:::" + b.physical(s, "Bucket") + " #1": true,
	} {
		if got, there := needed[statement]; got != want || !there {
			b.Errorf("the statement %s was needed: %t, and is there: %t", statement, got, there)
		}
	}
}

// checkNothingLeft asks every service.
func (b bus) checkNothingLeft() {
	b.Helper()
	topics, err := b.topics.ListTopics(b.Context(), &sns.ListTopicsInput{})
	if err != nil || len(topics.Topics) != 0 {
		b.Errorf("topics left: %v, %v", topics, err)
	}
	subscriptions, err := b.topics.ListSubscriptions(b.Context(), &sns.ListSubscriptionsInput{})
	if err != nil || len(subscriptions.Subscriptions) != 0 {
		b.Errorf("subscriptions left: %v, %v", subscriptions, err)
	}
	queues, err := b.queues.ListQueues(b.Context(), &sqs.ListQueuesInput{})
	if err != nil || len(queues.QueueUrls) != 0 {
		b.Errorf("queues left: %v, %v", queues, err)
	}
	rules, err := b.rules.ListRules(b.Context(), &eventbridge.ListRulesInput{})
	if err != nil || len(rules.Rules) != 0 {
		b.Errorf("rules left: %v, %v", rules, err)
	}
	trails, err := b.trails.ListTrails(b.Context(), &cloudtrail.ListTrailsInput{})
	if err != nil || len(trails.Trails) != 0 {
		b.Errorf("trails left: %v, %v", trails, err)
	}
	if left := b.IAM().Grants(); len(left) != 0 {
		b.Errorf("policies left: %v", left)
	}
}

// TestTheFunctionsRoleIsJudged makes calls as the function does: what its role
// lets it, and what it does not.
func TestTheFunctionsRoleIsJudged(t *testing.T) {
	t.Parallel()
	b := startBus(t, iam.KnownRoles)
	s := b.deploy(eventsSpec(t, nil))
	session, err := b.Lambda().Identity(b.physical(s, "Function"))
	if err != nil {
		t.Fatal(err)
	}
	function := "/2015-03-31/functions/" + b.physical(s, "Function") + "/invocations"
	for _, test := range []struct{ name, service, action, body, denied string }{
		{"publish", "sns", "", "Action=Publish&Message=x&TopicArn=" + s.Outputs()["Topic"], ""},
		{"publish to another topic", "sns", "", "Action=Publish&Message=x&TopicArn=arn:aws:sns:us-east-1:111122223333:other", "SNS:Publish on resource: arn:aws:sns:us-east-1:111122223333:other"},
		{"subscribe somebody", "sns", "", "Action=Subscribe&Protocol=email&Endpoint=a@b.example&TopicArn=" + s.Outputs()["Topic"], "SNS:Subscribe"},
		{"bury a message", "sqs", "AmazonSQS.SendMessage", `{"QueueUrl":"` + b.physical(s, "Letters") + `","MessageBody":"x"}`, ""},
		{"send itself a message", "sqs", "AmazonSQS.SendMessage", `{"QueueUrl":"` + s.Outputs()["Queue"] + `","MessageBody":"x"}`, "sqs:sendmessage on resource: " + s.Outputs()["QueueArn"]},
		{"list secrets", "secretsmanager", "secretsmanager.ListSecrets", `{}`, ""},
		{"read one", "secretsmanager", "secretsmanager.GetSecretValue", `{"SecretId":"ssh"}`, "secretsmanager:GetSecretValue"},
		{"describe instances", "ec2", "", "Action=DescribeInstances&Version=2016-11-15", ""},
		{"end them", "ec2", "", "Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-1", "ec2:TerminateInstances"},
		{"look up events", "cloudtrail", "CloudTrail_20131101.LookupEvents", `{}`, ""},
		{"ask how the trail is", "cloudtrail", "CloudTrail_20131101.GetTrailStatus", `{"Name":"events"}`, ""},
		{"stop the trail", "cloudtrail", "CloudTrail_20131101.StopLogging", `{"Name":"events"}`, "cloudtrail:StopLogging on resource: " + s.Outputs()["Trail"]},
		{"invoke the alias", "lambda", function + "?Qualifier=live", `{}`, ""},
		{"invoke the function", "lambda", function, `{}`, "lambda:InvokeFunction on resource: " + b.Lambda().ARN(b.physical(s, "Function"))},
		{"disable the rule", "events", "AWSEvents.DisableRule", `{"Name":"` + b.physical(s, "Secrets") + `"}`, "events:DisableRule"},
	} {
		status, answer := b.call(session.AccessKeyID, test.service, test.action, test.body)
		if test.denied == "" && status >= 300 || test.denied != "" && (status < 300 || !strings.Contains(answer, test.denied)) {
			t.Errorf("%s: %d %s, want a denial of %q", test.name, status, answer, test.denied)
		}
	}
}

// call makes any call: an action is a target, or a path, or in the body.
func (b bus) call(accessKey, service, action, body string) (int, string) {
	b.Helper()
	path := "/"
	if strings.HasPrefix(action, "/") {
		path = action
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.URL()+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+accessKey+"/20261101/us-east-1/"+service+"/aws4_request")
	switch {
	case path != "/":
	case action == "":
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	default:
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", action)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
