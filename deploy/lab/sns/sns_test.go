package sns_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/sns"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func TestTopicsComeAndGo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	if same := l.topic(t, "alerts"); *same != *topic {
		t.Errorf("%s, want the topic that there is", *same)
	}
	set := func(name, value string) error {
		_, err := l.SetTopicAttributes(t.Context(), &api.SetTopicAttributesInput{TopicArn: topic, AttributeName: &name, AttributeValue: &value})
		return err
	}
	if err := set("DisplayName", "Keytrail"); err != nil {
		t.Fatal(err)
	}
	out, err := l.GetTopicAttributes(t.Context(), &api.GetTopicAttributesInput{TopicArn: topic})
	if err != nil {
		t.Fatal(err)
	}
	if a := out.Attributes; a["DisplayName"] != "Keytrail" || a["SubscriptionsConfirmed"] != "0" || !strings.Contains(a["Policy"], "__default_statement_ID") {
		t.Errorf("attributes %v, want the name and the policy that AWS makes", a)
	}
	for _, tt := range []struct{ name, value, want string }{
		{"Colour", "red", "InvalidParameter: Invalid parameter: AttributeName"},
		{"Policy", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}`, "InvalidParameter: Invalid parameter: Policy statement action out of service scope!"},
	} {
		if got := said(set(tt.name, tt.value)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for range 2 {
		if _, err := l.DeleteTopic(t.Context(), &api.DeleteTopicInput{TopicArn: topic}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = l.GetTopicAttributes(t.Context(), &api.GetTopicAttributesInput{TopicArn: topic})
	if _, ok := errors.AsType[*types.NotFoundException](err); !ok || said(err) != "NotFound: Topic does not exist" {
		t.Errorf("error %v, want that the topic does not exist", err)
	}
}

func TestListsHavePages(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range 101 {
		l.topic(t, fmt.Sprintf("topic-%d", i))
	}
	count := 0
	pages := api.NewListTopicsPaginator(l, &api.ListTopicsInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		count += len(out.Topics)
	}
	if count != 101 {
		t.Errorf("%d topics are listed, want 101", count)
	}
}

// The errors here were recorded on AWS.
func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	attribute := func(name string, v types.MessageAttributeValue) func(*api.PublishInput) {
		return func(in *api.PublishInput) { in.MessageAttributes = map[string]types.MessageAttributeValue{name: v} }
	}
	subject := func(s string) func(*api.PublishInput) { return func(in *api.PublishInput) { in.Subject = &s } }
	text := types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
	tests := []struct {
		name    string
		message string
		change  func(*api.PublishInput)
		want    string
	}{
		{"an empty message", "", func(*api.PublishInput) {}, "InvalidParameter: Invalid parameter: Empty message"},
		{"a message of 262,144 bytes with an attribute", strings.Repeat("x", 262144), attribute("a", text), "InvalidParameter: Invalid parameter: Message too long"},
		{"a message of 262,144 bytes", strings.Repeat("x", 262144), func(*api.PublishInput) {}, ""},
		{"a message of 131,073 characters of two bytes", strings.Repeat("ü", 131073), func(*api.PublishInput) {}, "InvalidParameter: Invalid parameter: Message too long"},
		{"an empty subject", "m", subject(""), "InvalidParameter: Invalid parameter: Subject"},
		{"a subject of 99 characters", "m", subject(strings.Repeat("s", 99)), ""},
		{"a subject of 100 characters", "m", subject(strings.Repeat("s", 100)), "InvalidParameter: Invalid parameter: Subject"},
		{"a subject of two lines", "m", subject("a\nb"), "InvalidParameter: Invalid parameter: Subject"},
		{"a subject with a control character", "m", subject("a\x1b[31mb"), "InvalidParameter: Invalid parameter: Subject"},
		{"no default text", `{"email":"x"}`, structured, "InvalidParameter: Invalid parameter: Message Structure - No default entry in JSON message body"},
		{"a structure that is no JSON", `{`, structured, "InvalidParameter: Invalid parameter: Message Structure - JSON message body failed to parse"},
		{"values that are no texts", `{"default":"x","email":{"a":1}}`, structured, ""},
		{"a topic that is not there", "m", func(in *api.PublishInput) { in.TopicArn = aws.String(*topic + "x") }, "NotFound: Topic does not exist"},
		{"no ARN", "m", func(in *api.PublishInput) { in.TopicArn = aws.String("alerts") }, "InvalidParameter: Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1"},
		{"an attribute without a value", "m", attribute("attr1", types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("")}), "ParameterValueInvalid: The message attribute 'attr1' must contain non-empty message attribute value for message attribute type 'String'."},
		{"an attribute in the wrong field", "m", attribute("attr1", types.MessageAttributeValue{DataType: aws.String("Binary"), StringValue: aws.String("x")}), "ParameterValueInvalid: The message attribute 'attr1' with type 'Binary' must use field 'Binary'."},
		{"an attribute of an unknown type", "m", attribute("attr1", types.MessageAttributeValue{DataType: aws.String("Date"), StringValue: aws.String("x")}), "ParameterValueInvalid: The message attribute 'attr1' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."},
		{"an attribute's name with a sign", "m", attribute("a^b", text), "ParameterValueInvalid: Invalid non-alphanumeric character '#x5E' was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or dots."},
		{"an attribute's name with two dots", "m", attribute("a..b", text), "ParameterValueInvalid: Message attribute name can not have successive '.' character."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &api.PublishInput{TopicArn: topic, Message: &tt.message}
			tt.change(in)
			_, err := l.Publish(t.Context(), in)
			if got := said(err); got != tt.want || err != nil && tt.want == "" {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestSubscribeRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	tests := []struct {
		name, protocol, endpoint string
		attributes               map[string]string
		want                     string
	}{
		{"a protocol that is none", "pigeon", "x", nil, "Amazon SNS does not support this protocol string: pigeon"},
		{"an address that leaves its folder", "email", "../../x@example.com", nil, "Email address"},
		{"an address with a header in it", "email", "a@example.com\r\nBcc: b@example.com", nil, "Email address"},
		{"a queue's URL", "sqs", "https://sqs.us-east-1.amazonaws.com/1/work", nil, "SQS endpoint ARN"},
		{"a web server elsewhere", "https", "https://example.com/hook", nil, "the lab has no way to example.com: it posts to loopback addresses only"},
		{"a web server whose name is no address", "http", "http://127.0.0.1.example.com/", nil, "the lab has no way to 127.0.0.1.example.com: it posts to loopback addresses only"},
		{"a web server of another protocol", "https", "http://127.0.0.1/", nil, "Endpoint must match the specified protocol"},
		{"a value that is none", "sqs", queueARN, map[string]string{"RawMessageDelivery": "wrongvalue"}, "Attributes Reason: RawMessageDelivery: Invalid value [wrongvalue]. Must be true or false."},
		{"a scope that is none", "sqs", queueARN, map[string]string{"FilterPolicyScope": "RandomValue"}, "Attributes Reason: FilterPolicyScope: Invalid value [RandomValue]. Please use either MessageBody or MessageAttributes"},
		{"a policy that is none", "sqs", queueARN, map[string]string{"FilterPolicy": `{"key":[{"exists":"no"}]}`}, "Attributes Reason: FilterPolicy: exists match pattern must be either true or false."},
		{"dead letters to no queue", "sqs", queueARN, map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"x"}`}, "Attributes Reason: RedrivePolicy: deadLetterTargetArn is an invalid arn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := l.Subscribe(t.Context(), &api.SubscribeInput{TopicArn: topic, Protocol: &tt.protocol, Endpoint: &tt.endpoint, Attributes: tt.attributes})
			if got, want := said(err), "InvalidParameter: Invalid parameter: "+tt.want; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

func TestASubscriptionsLife(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	sub := l.join(t, topic, "sqs", queueARN, map[string]string{"FilterPolicy": `{"severity":["high"]}`})
	if same := l.join(t, topic, "sqs", queueARN, nil); *same != *sub {
		t.Errorf("%s, want the subscription that there is", *same)
	}
	_, err := l.Subscribe(t.Context(), &api.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(queueARN), Attributes: map[string]string{"RawMessageDelivery": "true"}})
	if got, want := said(err), "InvalidParameter: Invalid parameter: Attributes Reason: Subscription already exists with different attributes"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	out, err := l.GetSubscriptionAttributes(t.Context(), &api.GetSubscriptionAttributesInput{SubscriptionArn: sub})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"SubscriptionArn": *sub, "TopicArn": *topic, "Protocol": "sqs", "Endpoint": queueARN, "Owner": "111122223333", "RawMessageDelivery": "false",
		"PendingConfirmation": "false", "ConfirmationWasAuthenticated": "true", "SubscriptionPrincipal": "arn:aws:iam::111122223333:user/operator",
		"FilterPolicy": `{"severity":["high"]}`, "FilterPolicyScope": "MessageAttributes",
	}
	if diff := cmp.Diff(want, out.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	l.say(t, topic, "dropped")
	l.say(t, topic, "kept", func(in *api.PublishInput) {
		in.MessageAttributes = map[string]types.MessageAttributeValue{"severity": {DataType: aws.String("String"), StringValue: aws.String("high")}}
	})
	if got := l.messages(); len(got) != 1 || !strings.Contains(got[0].Body, `"Message" : "kept"`) {
		t.Errorf("the queue got %v, want what the filter takes", got)
	}
	for range 2 {
		if _, err := l.Unsubscribe(t.Context(), &api.UnsubscribeInput{SubscriptionArn: sub}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = l.GetSubscriptionAttributes(t.Context(), &api.GetSubscriptionAttributesInput{SubscriptionArn: sub})
	if said(err) != "NotFound: Subscription does not exist" {
		t.Errorf("error %v, want that it does not exist", err)
	}
}

func TestPublishBatch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	l.join(t, topic, "sqs", queueARN, map[string]string{"RawMessageDelivery": "true"})
	entry := func(id, message string) types.PublishBatchRequestEntry {
		return types.PublishBatchRequestEntry{Id: &id, Message: &message, MessageAttributes: map[string]types.MessageAttributeValue{"n": {DataType: aws.String("Number"), StringValue: aws.String("1")}}}
	}
	out, err := l.PublishBatch(t.Context(), &api.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{entry("a", "first"), entry("b", ""), entry("c", "third")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "b" || *out.Failed[0].Code != "InvalidParameter" || !out.Failed[0].SenderFault {
		t.Errorf("%d succeeded, %v failed, want the empty one alone to fail", len(out.Successful), out.Failed)
	}
	got := l.messages()
	if len(got) != 2 || *got[0].Attributes["n"].StringValue != "1" {
		t.Errorf("the queue got %v, want both with their attributes", got)
	}
	for want, entries := range map[string][]types.PublishBatchRequestEntry{
		"BatchEntryIdsNotDistinct: Two or more batch entries in the request have the same Id.":                       {entry("a", "1"), entry("a", "2")},
		"InvalidBatchEntryId: The Id of a batch entry in the batch request contains an impermissible character: a.b": {entry("a.b", "1")},
		"BatchRequestTooLong: The length of all the messages put together is more than the limit.":                   {entry("a", strings.Repeat("x", 200000)), entry("b", strings.Repeat("x", 200000))},
		"InvalidBatchEntryId: The Id of a batch entry in the batch request is too long: " + strings.Repeat("a", 81):  {entry(strings.Repeat("a", 81), "1")},
	} {
		_, err := l.PublishBatch(t.Context(), &api.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: entries})
		if got := said(err); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestPublishAsAsksTheTopicsPolicy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	l.join(t, topic, "sqs", queueARN, map[string]string{"RawMessageDelivery": "true"})
	const rule = "arn:aws:events:us-east-1:111122223333:rule/rotation"
	publish := func() error { return l.service.PublishAs(t.Context(), "events.amazonaws.com", rule, *topic, "hello") }
	if e, ok := errors.AsType[*wire.Error](publish()); !ok || e.Code != "AuthorizationError" {
		t.Errorf("error %v, want a denial by the policy that AWS makes", e)
	}
	set := func(name, value string) {
		if _, err := l.SetTopicAttributes(t.Context(), &api.SetTopicAttributesInput{TopicArn: topic, AttributeName: &name, AttributeValue: &value}); err != nil {
			t.Fatal(err)
		}
	}
	set("Policy", `{"Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":"`+*topic+`"}]}`)
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	if got := l.messages(); len(got) != 1 || got[0].Body != "hello" {
		t.Errorf("the queue got %v, want the message", got)
	}
	set("KmsMasterKeyId", "alias/aws/sns")
	if e, ok := errors.AsType[*wire.Error](publish()); !ok || e.Code != "KMSAccessDenied" {
		t.Errorf("error %v, want a denial by AWS's own key", e)
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *sns.Options) {
		o.Authorize = func(_ wire.Identity, action, _ string) bool { return action != "Publish" }
	})
	topic := l.topic(t, "alerts")
	_, err := l.Publish(t.Context(), &api.PublishInput{TopicArn: topic, Message: aws.String("x")})
	if _, ok := errors.AsType[*types.AuthorizationErrorException](err); !ok || !strings.Contains(said(err), "is not authorized to perform: SNS:Publish on resource: "+*topic) {
		t.Errorf("error %v, want an AuthorizationError", err)
	}
}

// eventOf reads the one record that a function got.
func eventOf(t *testing.T, text string) (topic, function string, record map[string]any) {
	t.Helper()
	parts := strings.SplitN(text, " ", 3)
	var event struct{ Records []map[string]any }
	if err := json.Unmarshal([]byte(parts[2]), &event); err != nil || len(event.Records) != 1 {
		t.Fatalf("event %s: %v", text, err)
	}
	return parts[0], parts[1], event.Records[0]
}
