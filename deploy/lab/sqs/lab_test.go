package sqs_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

var start = time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC)

// lab is the service behind a wire front, with the real SDK as its client and
// a clock that is set by hand.
type lab struct {
	*api.Client
	service *sqs.Service
	front   *wire.Front
	passed  atomic.Int64 // since start
}

func newLab(t *testing.T, o sqs.Options) *lab {
	t.Helper()
	l := &lab{}
	o.Now = l.now
	l.service = sqs.New(o)
	l.front = wire.New(wire.Options{Now: l.now})
	l.front.Handle("sqs", l.service)
	server := httptest.NewServer(l.front)
	t.Cleanup(func() {
		l.service.Close()
		server.Close()
	})
	l.Client = api.New(api.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
	})
	return l
}

func (l *lab) now() time.Time { return start.Add(time.Duration(l.passed.Load())) }

func (l *lab) advance(d time.Duration) {
	l.passed.Add(int64(d))
	l.service.Wake()
}

// create makes a queue and returns its URL.
func (l *lab) create(t *testing.T, name string, attributes map[string]string) *string {
	t.Helper()
	out, err := l.CreateQueue(t.Context(), &api.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return out.QueueUrl
}

func (l *lab) send(t *testing.T, queue *string, body string) {
	t.Helper()
	if _, err := l.SendMessage(t.Context(), &api.SendMessageInput{QueueUrl: queue, MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

// receive returns at most ten messages that are visible now.
func (l *lab) receive(t *testing.T, queue *string) []types.Message {
	t.Helper()
	out, err := l.ReceiveMessage(t.Context(), &api.ReceiveMessageInput{
		QueueUrl: queue, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

func (l *lab) attributes(t *testing.T, queue *string) map[string]string {
	t.Helper()
	out, err := l.GetQueueAttributes(t.Context(), &api.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attributes
}

func arn(name string) string { return "arn:aws:sqs:us-east-1:111122223333:" + name }

func bodies(messages []types.Message) []string {
	var list []string
	for _, m := range messages {
		list = append(list, *m.Body)
	}
	return list
}

// code returns the code of an error as the SDK reads it.
func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

func redrive(queue string, most int) map[string]string {
	b, _ := json.Marshal(map[string]any{"deadLetterTargetArn": arn(queue), "maxReceiveCount": most})
	return map[string]string{"RedrivePolicy": string(b)}
}
