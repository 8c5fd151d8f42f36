package sns_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"

	"github.com/keytrail/keytrail/deploy/lab/sns"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

var start = time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC)

// lab is the service behind a wire front, with the real SDK as its client, a
// clock that is set by hand, and a queue and a function that keep what they get.
type lab struct {
	*api.Client
	service *sns.Service
	front   *wire.Front
	url     string
	dir     string

	mu     sync.Mutex
	passed time.Duration // since start
	queued []sns.QueueMessage
	events []string
	refuse func(queueARN string) error
}

func newLab(t *testing.T, change ...func(*sns.Options)) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir(), refuse: func(string) error { return nil }}
	l.front = wire.New(wire.Options{Now: l.now})
	server := httptest.NewServer(l.front)
	l.url = server.URL
	o := sns.Options{URL: server.URL, Dir: l.dir, Now: l.now, Queues: queues{l}, Functions: functions{l}}
	for _, f := range change {
		f(&o)
	}
	l.service = sns.New(o)
	l.front.HandleQuery("sns", sns.Namespace, l.service)
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

func (l *lab) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return start.Add(l.passed)
}

func (l *lab) advance(d time.Duration) {
	l.mu.Lock()
	l.passed += d
	l.mu.Unlock()
	l.service.Wake()
}

type queues struct{ *lab }

func (q queues) Deliver(_ context.Context, m sns.QueueMessage) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refuse(m.QueueARN); err != nil {
		return err
	}
	q.queued = append(q.queued, m)
	return nil
}

type functions struct{ *lab }

func (f functions) Invoke(_ context.Context, topicARN, functionARN string, event []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, topicARN+" "+functionARN+" "+string(event))
	return nil
}

// messages returns what queues got, once all deliveries are over.
func (l *lab) messages() []sns.QueueMessage {
	l.service.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queued
}

// topic makes a topic and returns its ARN.
func (l *lab) topic(t *testing.T, name string) *string {
	t.Helper()
	out, err := l.CreateTopic(t.Context(), &api.CreateTopicInput{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	return out.TopicArn
}

// join subscribes an endpoint and returns the ARN of the subscription.
func (l *lab) join(t *testing.T, topic *string, protocol, endpoint string, attributes map[string]string) *string {
	t.Helper()
	out, err := l.Subscribe(t.Context(), &api.SubscribeInput{
		TopicArn: topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: attributes, ReturnSubscriptionArn: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.SubscriptionArn
}

// say publishes a message.
func (l *lab) say(t *testing.T, topic *string, message string, change ...func(*api.PublishInput)) string {
	t.Helper()
	in := &api.PublishInput{TopicArn: topic, Message: &message}
	for _, f := range change {
		f(in)
	}
	out, err := l.Publish(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.MessageId
}

func structured(in *api.PublishInput) { in.MessageStructure = aws.String("json") }

// files returns the contents of the files of a folder of the lab, in the order
// of their names.
func (l *lab) files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(l.dir, dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(l.dir, dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b))
	}
	return list
}

// said returns the code and the message of an error as the SDK reads it.
func said(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return ""
}

const (
	queueARN    = "arn:aws:sqs:us-east-1:111122223333:work"
	deadARN     = "arn:aws:sqs:us-east-1:111122223333:dead"
	functionARN = "arn:aws:lambda:us-east-1:111122223333:function:events:live"
)
