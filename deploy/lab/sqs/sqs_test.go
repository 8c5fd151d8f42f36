package sqs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// The SDK compares the checksums of each call here.
func TestAMessageIsHiddenUntilItIsDeleted(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	q := l.create(t, "work", nil)
	sent, err := l.SendMessage(t.Context(), &api.SendMessageInput{QueueUrl: q, MessageBody: aws.String("héllo"), MessageAttributes: map[string]types.MessageAttributeValue{
		"severity": {DataType: aws.String("String"), StringValue: aws.String("high")},
		"raw":      {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	first := l.receive(t, q)
	if len(first) != 1 || *first[0].MessageId != *sent.MessageId || *first[0].MessageAttributes["severity"].StringValue != "high" {
		t.Fatalf("received %v, want the message with its attributes", first)
	}
	if again := l.receive(t, q); len(again) != 0 {
		t.Errorf("received %v, want it hidden", bodies(again))
	}
	l.advance(30 * time.Second)
	second := l.receive(t, q)
	want := map[string]string{
		"ApproximateReceiveCount": "2", "SentTimestamp": "1793611800000", "ApproximateFirstReceiveTimestamp": "1793611800000", "SenderId": "operator",
	}
	if len(second) != 1 || !cmp.Equal(want, second[0].Attributes) {
		t.Fatalf("received %v, want it again with %v", second, want)
	}
	l.delete(t, q, first[0])
	l.advance(30 * time.Second)
	third := l.receive(t, q)
	if len(third) != 1 {
		t.Fatal("an old receipt handle has deleted the message")
	}
	l.delete(t, q, third[0])
	l.delete(t, q, third[0]) // twice is no error
	l.advance(time.Minute)
	if left := l.receive(t, q); len(left) != 0 {
		t.Errorf("received %v, want nothing after the deletion", bodies(left))
	}
}

func (l *lab) delete(t *testing.T, queue *string, m types.Message) {
	t.Helper()
	if _, err := l.DeleteMessage(t.Context(), &api.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
}

func TestVisibilityDelayAndRetention(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	q := l.create(t, "work", map[string]string{"MessageRetentionPeriod": "60", "DelaySeconds": "5"})
	l.send(t, q, "late")
	if got := l.attributes(t, q)["ApproximateNumberOfMessagesDelayed"]; got != "1" {
		t.Errorf("%s messages are delayed, want 1", got)
	}
	l.advance(5 * time.Second)
	got := l.receive(t, q)
	if len(got) != 1 {
		t.Fatal("nothing is received after the delay")
	}
	hide := func(seconds int32) error {
		_, err := l.ChangeMessageVisibility(t.Context(), &api.ChangeMessageVisibilityInput{QueueUrl: q, ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: seconds})
		return err
	}
	if err := hide(50); err != nil {
		t.Fatal(err)
	}
	l.advance(40 * time.Second)
	if n := l.attributes(t, q); n["ApproximateNumberOfMessages"] != "0" || n["ApproximateNumberOfMessagesNotVisible"] != "1" {
		t.Errorf("%v, want the message in flight for longer", n)
	}
	if err := hide(0); err != nil {
		t.Fatal(err)
	}
	if err := hide(0); code(err) != "InvalidParameterValue" {
		t.Errorf("error %v, want that the message is not in flight", err)
	}
	if n := l.attributes(t, q)["ApproximateNumberOfMessages"]; n != "1" {
		t.Errorf("%s messages are visible, want 1", n)
	}
	l.advance(15 * time.Second)
	if left := l.receive(t, q); len(left) != 0 {
		t.Errorf("received %v, want it gone after its retention", bodies(left))
	}
}

func TestMessagesThatFailTooOftenAreDeadLetters(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	dead := l.create(t, "dead", nil)
	q := l.create(t, "work", redrive("dead", 2))
	l.send(t, q, "poison")
	for range 2 {
		if got := l.receive(t, q); len(got) != 1 {
			t.Fatalf("received %v, want the message", bodies(got))
		}
		l.advance(30 * time.Second)
	}
	if got := l.receive(t, q); len(got) != 0 {
		t.Errorf("received %v a third time", bodies(got))
	}
	got := l.receive(t, dead)
	if len(got) != 1 || *got[0].Body != "poison" || got[0].Attributes["DeadLetterQueueSourceArn"] != arn("work") || got[0].Attributes["ApproximateReceiveCount"] != "1" {
		t.Errorf("dead letters %v, want the message and its source", got)
	}
	sources, err := l.ListDeadLetterSourceQueues(t.Context(), &api.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
	if err != nil || !slices.Equal(sources.QueueUrls, []string{*q}) {
		t.Errorf("sources %v (%v), want %s", sources, err, *q)
	}
}

func TestALongPollEnds(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	q := l.create(t, "work", map[string]string{"ReceiveMessageWaitTimeSeconds": "20"})
	poll := func() chan []string {
		done := make(chan []string, 1)
		go func() {
			out, err := l.ReceiveMessage(t.Context(), &api.ReceiveMessageInput{QueueUrl: q})
			if err != nil {
				done <- []string{err.Error()}
				return
			}
			done <- bodies(out.Messages)
		}()
		return done
	}
	waiting := poll()
	l.send(t, q, "news")
	if got := <-waiting; !slices.Equal(got, []string{"news"}) {
		t.Errorf("received %v, want what was sent meanwhile", got)
	}
	waiting = poll()
	for { // whether the poll has begun cannot be seen
		l.advance(20 * time.Second)
		select {
		case got := <-waiting:
			if len(got) != 0 && !slices.Equal(got, []string{"news"}) {
				t.Errorf("received %v, want nothing new", got)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestDuplicatesComeFromTheSeed(t *testing.T) {
	t.Parallel()
	deliveries := func(seed uint64) []string {
		l := newLab(t, sqs.Options{Duplicates: 0.5, Reorder: true, Seed: seed})
		q := l.create(t, "work", map[string]string{"VisibilityTimeout": "600"})
		for _, body := range []string{"a", "b", "c", "d", "e", "f"} {
			l.send(t, q, body)
		}
		return append(bodies(l.receive(t, q)), bodies(l.receive(t, q))...)
	}
	one := deliveries(1)
	if diff := cmp.Diff(one, deliveries(1)); diff != "" {
		t.Errorf("the same seed differs: %s", diff)
	}
	if len(one) <= 6 || slices.IsSorted(one) {
		t.Errorf("delivered %v, want some twice and another order", one)
	}
	for _, body := range []string{"a", "b", "c", "d", "e", "f"} {
		if !slices.Contains(one, body) {
			t.Errorf("%s is lost", body)
		}
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	q := l.create(t, "work", map[string]string{"MaximumMessageSize": "1024"})
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
	}
	out, err := l.SendMessageBatch(t.Context(), &api.SendMessageBatchInput{QueueUrl: q, Entries: []types.SendMessageBatchRequestEntry{
		entry("one", "1"), entry("two", strings.Repeat("x", 1025)), entry("three", "3"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "two" || *out.Failed[0].Code != "InvalidParameterValue" || !out.Failed[0].SenderFault {
		t.Errorf("%v failed, want the one that is too long", out.Failed)
	}
	got := l.receive(t, q)
	var done []types.DeleteMessageBatchRequestEntry
	for _, m := range got {
		done = append(done, types.DeleteMessageBatchRequestEntry{Id: m.Body, ReceiptHandle: m.ReceiptHandle})
	}
	if deleted, err := l.DeleteMessageBatch(t.Context(), &api.DeleteMessageBatchInput{QueueUrl: q, Entries: done}); err != nil || len(deleted.Successful) != 2 {
		t.Errorf("deleted %v (%v), want both", deleted, err)
	}
	for _, tt := range []struct {
		want    string
		entries []types.SendMessageBatchRequestEntry
	}{
		{"AWS.SimpleQueueService.BatchEntryIdsNotDistinct", []types.SendMessageBatchRequestEntry{entry("a", "1"), entry("a", "2")}},
		{"AWS.SimpleQueueService.InvalidBatchEntryId", []types.SendMessageBatchRequestEntry{entry("a.b", "1")}},
		{"AWS.SimpleQueueService.TooManyEntriesInBatchRequest", slices.Repeat([]types.SendMessageBatchRequestEntry{entry("a", "1")}, 11)},
		{"AWS.SimpleQueueService.EmptyBatchRequest", []types.SendMessageBatchRequestEntry{}},
		{"AWS.SimpleQueueService.BatchRequestTooLong", []types.SendMessageBatchRequestEntry{entry("a", strings.Repeat("x", 1048577))}},
	} {
		_, err := l.SendMessageBatch(t.Context(), &api.SendMessageBatchInput{QueueUrl: q, Entries: tt.entries})
		if got := code(err); got != tt.want {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}
}

func TestQueuesComeAndGo(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	q := l.create(t, "work", map[string]string{"VisibilityTimeout": "60"})
	if same := l.create(t, "work", map[string]string{"VisibilityTimeout": "60"}); *same != *q {
		t.Errorf("%s, want the queue that there is", *same)
	}
	_, err := l.CreateQueue(t.Context(), &api.CreateQueueInput{QueueName: aws.String("work"), Attributes: map[string]string{"VisibilityTimeout": "61"}})
	if _, ok := errors.AsType[*types.QueueNameExists](err); !ok {
		t.Errorf("error %v, want QueueNameExists", err)
	}
	found, err := l.GetQueueUrl(t.Context(), &api.GetQueueUrlInput{QueueName: aws.String("work")})
	if err != nil || *found.QueueUrl != *q {
		t.Errorf("%v (%v), want %s", found, err, *q)
	}
	l.send(t, q, "old")
	if _, err := l.PurgeQueue(t.Context(), &api.PurgeQueueInput{QueueUrl: q}); err != nil {
		t.Fatal(err)
	}
	if left := l.receive(t, q); len(left) != 0 {
		t.Errorf("received %v from a purged queue", bodies(left))
	}
	_, err = l.PurgeQueue(t.Context(), &api.PurgeQueueInput{QueueUrl: q})
	if _, ok := errors.AsType[*types.PurgeQueueInProgress](err); !ok {
		t.Errorf("error %v, want PurgeQueueInProgress", err)
	}
	if _, err := l.DeleteQueue(t.Context(), &api.DeleteQueueInput{QueueUrl: q}); err != nil {
		t.Fatal(err)
	}
	_, err = l.SendMessage(t.Context(), &api.SendMessageInput{QueueUrl: q, MessageBody: aws.String("x")})
	if _, ok := errors.AsType[*types.QueueDoesNotExist](err); !ok || code(err) != "AWS.SimpleQueueService.NonExistentQueue" {
		t.Errorf("error %v, want QueueDoesNotExist", err)
	}
	_, err = l.CreateQueue(t.Context(), &api.CreateQueueInput{QueueName: aws.String("work")})
	if _, ok := errors.AsType[*types.QueueDeletedRecently](err); !ok {
		t.Errorf("error %v, want QueueDeletedRecently", err)
	}
	l.advance(time.Minute)
	l.create(t, "work", nil)
}

func TestListQueuesInPages(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	for _, name := range []string{"a-1", "a-2", "a-3", "b-1"} {
		l.create(t, name, nil)
	}
	var got []string
	pages := api.NewListQueuesPaginator(l, &api.ListQueuesInput{QueueNamePrefix: aws.String("a-"), MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.QueueUrls...)
	}
	if len(got) != 3 {
		t.Errorf("listed %v, want the three with the prefix", got)
	}
}

func TestAttributesAreChecked(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	q := l.create(t, "work", nil)
	for _, tt := range []struct{ name, value, want string }{
		{"VisibilityTimeout", "43201", "InvalidAttributeValue"},
		{"MaximumMessageSize", "1023", "InvalidAttributeValue"},
		{"Colour", "red", "InvalidAttributeName"},
		{"Policy", "{", "InvalidAttributeValue"},
		{"RedrivePolicy", "{", "InvalidParameterValue"},
		{"RedrivePolicy", redrive("none", 3)["RedrivePolicy"], "InvalidParameterValue"},
		{"RedrivePolicy", redrive("work", 0)["RedrivePolicy"], "InvalidParameterValue"},
		{"ReceiveMessageWaitTimeSeconds", "20", ""},
	} {
		_, err := l.SetQueueAttributes(t.Context(), &api.SetQueueAttributesInput{QueueUrl: q, Attributes: map[string]string{tt.name: tt.value}})
		if got := code(err); got != tt.want {
			t.Errorf("%s=%s: error %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
	if got := l.attributes(t, q)["ReceiveMessageWaitTimeSeconds"]; got != "20" {
		t.Errorf("the attribute is %s, want 20", got)
	}
}

func TestDeliverAsksTheQueuesPolicy(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{})
	const topic = "arn:aws:sns:us-east-1:111122223333:alerts"
	q := l.create(t, "work", nil)
	d := sqs.Delivery{QueueARN: arn("work"), Principal: "sns.amazonaws.com", SourceARN: topic, Body: "hello"}
	if err := l.service.Deliver(t.Context(), d); wireCode(err) != "AccessDeniedException" {
		t.Errorf("error %v, want a denial without a policy", err)
	}
	l.set(t, q, "Policy", `{"Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"`+arn("work")+
		`","Condition":{"ArnEquals":{"aws:SourceArn":"`+topic+`"}}}]}`)
	if err := l.service.Deliver(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := bodies(l.receive(t, q)); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("received %v, want the delivery", got)
	}
	l.set(t, q, "KmsMasterKeyId", "alias/aws/sqs")
	if err := l.service.Deliver(t.Context(), d); wireCode(err) != "KmsAccessDenied" {
		t.Errorf("error %v, want a denial by AWS's own key", err)
	}
	d.QueueARN = arn("none")
	if err := l.service.Deliver(t.Context(), d); wireCode(err) != "QueueDoesNotExist" {
		t.Errorf("error %v, want that there is no such queue", err)
	}
}

func (l *lab) set(t *testing.T, queue *string, name, value string) {
	t.Helper()
	if _, err := l.SetQueueAttributes(t.Context(), &api.SetQueueAttributesInput{QueueUrl: queue, Attributes: map[string]string{name: value}}); err != nil {
		t.Fatal(err)
	}
}

func wireCode(err error) string {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqs.Options{Authorize: func(_ wire.Identity, action, queue string) bool {
		return action != "PurgeQueue" || queue != arn("work")
	}})
	q := l.create(t, "work", nil)
	l.send(t, q, "x")
	if _, err := l.PurgeQueue(t.Context(), &api.PurgeQueueInput{QueueUrl: q}); code(err) != "AccessDenied" {
		t.Errorf("error %v, want a denial", err)
	}
}
