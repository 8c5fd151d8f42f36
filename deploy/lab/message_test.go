package lab_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	labsns "github.com/keytrail/keytrail/deploy/lab/sns"
	labsqs "github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// TestAMessageGoesAllTheWay publishes to a topic with a mail subscriber, a
// function, and a queue that another function reads, which always fails.
func TestAMessageGoesAllTheWay(t *testing.T) {
	t.Parallel()
	direct, reader := function(), function()
	direct.Name, reader.Name, reader.Command = "direct", "reader", []string{"false"}
	l := start(t, lab.Options{Functions: []lambda.Function{direct, reader}, SNS: labsns.Options{ConfirmMail: true}})
	c := clientConfig(t, l)
	topics, queues := sns.NewFromConfig(c), sqs.NewFromConfig(c)
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts")})
	if err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:sqs:us-east-1:111122223333:"
	dead, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("dead")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work"), Attributes: map[string]string{
		"VisibilityTimeout": "0",
		"RedrivePolicy":     `{"deadLetterTargetArn":"` + arn + `dead","maxReceiveCount":1}`,
		"Policy": `{"Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + arn +
			`work","Condition":{"ArnEquals":{"aws:SourceArn":"` + *topic.TopicArn + `"}}}]}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.SQS().AddSource(labsqs.Source{QueueARN: arn + "work", FunctionARN: l.Lambda().ARN("reader")}); err != nil {
		t.Fatal(err)
	}
	for protocol, endpoint := range map[string]string{"email": "ops@example.com", "sqs": arn + "work", "lambda": l.Lambda().ARN("direct")} {
		if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: &protocol, Endpoint: &endpoint}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := topics.Publish(t.Context(), &sns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("the key is gone")}); err != nil {
		t.Fatal(err)
	}
	got, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: dead.QueueUrl, WaitTimeSeconds: 20})
	if err != nil || len(got.Messages) != 1 || !strings.Contains(*got.Messages[0].Body, `"Message" : "the key is gone"`) {
		t.Errorf("dead letters %v (%v), want the envelope", got, err)
	}
	l.SNS().Wait()
	l.Lambda().Wait()
	for _, name := range []string{"direct", "reader"} {
		if log, err := l.Lambda().Logs(name); err != nil || !strings.Contains(log, "START RequestId") {
			t.Errorf("the function %s was not invoked (%v):\n%s", name, err, log)
		}
	}
	mails, err := os.ReadDir(filepath.Join(l.Dir(), "mail", "ops@example.com"))
	if err != nil || len(mails) != 2 {
		t.Errorf("mails %v (%v), want the confirmation and the message", mails, err)
	}
}

// TestALongPollIsAnsweredWhenTheLabCloses: with nothing, and not by a
// connection that breaks.
func TestALongPollIsAnsweredWhenTheLabCloses(t *testing.T) {
	t.Parallel()
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	queues := sqs.NewFromConfig(clientConfig(t, l))
	q, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work")})
	if err != nil {
		t.Fatal(err)
	}
	begun, done := make(chan bool), make(chan error, 1)
	l.Front().Inject(wire.Fault{Match: wire.Action("sqs", "ReceiveMessage"), Times: 1, Do: func(context.Context, wire.Request) error {
		close(begun)
		return nil
	}})
	go func() {
		_, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.QueueUrl, WaitTimeSeconds: 20},
			func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
		done <- err
	}()
	<-begun
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the poll ends with %v, want an answer", err)
	}
}
