package lab

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	snsapi "github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqsapi "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/sns"
	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// The services that deliver by themselves.
const (
	snsService    = "sns.amazonaws.com"
	eventsService = "events.amazonaws.com"
	trailService  = "cloudtrail.amazonaws.com"
)

// serveMessages makes SQS and SNS, which reach functions and each other.
func (l *Lab) serveMessages() {
	o, q, n := l.options, l.options.SQS, l.options.SNS
	q.Account, q.Region, q.URL, q.Now, q.Logger, q.Seed = o.Account, o.Region, l.url, o.Now, o.Logger, o.Seed
	q.Invoker, q.Policy = reader{l.lambda}, l.iam.PutResourcePolicy
	q.MayDeliver = func(service, sourceARN, queueARN string) bool {
		return l.gate.MayUse(iam.Call{Principal: service, Action: "sqs:SendMessage", Resource: queueARN}, sourceARN)
	}
	q.MayEncrypt = l.mayEncrypt
	l.sqs = sqs.New(q)
	n.Account, n.Region, n.URL, n.Now, n.Logger, n.Seed = o.Account, o.Region, l.url, o.Now, o.Logger, o.Seed
	n.Dir, n.Queues, n.Functions, n.Policy = l.Dir(), queues{l.sqs}, functions{l.lambda, l.gate}, l.iam.PutResourcePolicy
	n.MayPublish = func(service, sourceARN, topicARN string) bool {
		return l.gate.MayUse(iam.Call{Principal: service, Action: "sns:Publish", Resource: topicARN}, sourceARN)
	}
	n.MayEncrypt = l.mayEncrypt
	l.sns = sns.New(n)
}

// mayEncrypt tells whether a service may use the key of a topic or a queue.
func (l *Lab) mayEncrypt(service, sourceARN, holderARN, key string) bool {
	return l.gate.MayEncrypt(service, holderARN, key, sourceARN, "kms:GenerateDataKey", "kms:Decrypt")
}

// reader is Lambda as SQS sees it.
type reader struct{ service *lambda.Service }

func (i reader) Invoke(ctx context.Context, functionARN string, payload []byte) (sqs.InvokeResult, error) {
	r, err := i.service.Invoke(ctx, functionARN, payload)
	return sqs.InvokeResult{Payload: r.Payload, FunctionError: r.FunctionError}, err
}

// functions is Lambda as SNS sees it: the function's own policy is asked.
type functions struct {
	service *lambda.Service
	gate    *iam.Gate
}

func (f functions) Invoke(ctx context.Context, topicARN, functionARN string, event []byte) error {
	if !f.gate.MayInvoke(snsService, functionARN, topicARN) {
		return &wire.Error{Code: "AccessDeniedException", Status: http.StatusForbidden,
			Message: snsService + " may not invoke " + functionARN + " for " + topicARN}
	}
	return f.service.InvokeEvent(ctx, functionARN, event)
}

// queues is SQS as SNS sees it.
type queues struct{ service *sqs.Service }

func (q queues) Deliver(ctx context.Context, m sns.QueueMessage) error {
	d := sqs.Delivery{
		QueueARN: m.QueueARN, Principal: snsService, SourceARN: m.TopicARN, Body: m.Body, Attributes: map[string]sqs.Attribute{},
	}
	for name, a := range m.Attributes {
		d.Attributes[name] = sqs.Attribute(a)
	}
	return q.service.Deliver(ctx, d)
}

// targets are what rules hand events to. Queues and topics ask their own
// policies; for functions see mayDeliver.
func (l *Lab) targets() map[string]events.Target {
	return map[string]events.Target{
		"lambda": func(ctx context.Context, arn, _ string, event []byte) error {
			return l.lambda.InvokeEvent(ctx, arn, event)
		},
		"sns": func(ctx context.Context, arn, ruleARN string, event []byte) error {
			return l.sns.PublishAs(ctx, eventsService, ruleARN, arn, string(event))
		},
		"sqs": func(ctx context.Context, arn, ruleARN string, event []byte) error {
			return l.sendForRule(ctx, arn, ruleARN, string(event), nil)
		},
	}
}

// sendForRule sends a message to a queue on behalf of a rule.
func (l *Lab) sendForRule(ctx context.Context, queueARN, ruleARN, body string, attributes map[string]string) error {
	d := sqs.Delivery{QueueARN: queueARN, Principal: eventsService, SourceARN: ruleARN, Body: body, Attributes: map[string]sqs.Attribute{}}
	for name, value := range attributes {
		d.Attributes[name] = sqs.Attribute{DataType: "String", StringValue: &value}
	}
	return l.sqs.Deliver(ctx, d)
}

// sendFor sends a dead letter or a record to a queue or topic as Lambda does:
// with a call of the function's role, which is recorded and judged as any.
// Attributes without a value are left out: neither service takes them.
func (l *Lab) sendFor(ctx context.Context, to, functionARN, body string, attributes map[string]string) error {
	caller, err := l.lambda.Identity(functionARN)
	if err != nil {
		return err
	}
	key := credentials.NewStaticCredentialsProvider(caller.AccessKeyID, "secret", "")
	if strings.HasPrefix(to, "arn:aws:sns:") {
		in := &snsapi.PublishInput{TopicArn: &to, Message: &body, MessageAttributes: map[string]snstypes.MessageAttributeValue{}}
		for name, value := range attributes {
			if value != "" {
				in.MessageAttributes[name] = snstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
			}
		}
		_, err = snsapi.New(snsapi.Options{BaseEndpoint: &l.url, Region: l.options.Region, Credentials: key}).Publish(ctx, in)
		return err
	}
	url := l.url + "/" + l.options.Account + "/" + to[strings.LastIndexByte(to, ':')+1:]
	in := &sqsapi.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: map[string]sqstypes.MessageAttributeValue{}}
	for name, value := range attributes {
		if value != "" {
			in.MessageAttributes[name] = sqstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
	}
	_, err = sqsapi.New(sqsapi.Options{BaseEndpoint: &l.url, Region: l.options.Region, Credentials: key}).SendMessage(ctx, in)
	return err
}
