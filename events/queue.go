package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// queues are the two that this function sends to.
type queues struct {
	client              *sqs.Client
	checks, deadLetters string // URLs
}

// ask puts messages into the queue of checks. After an error some of them may be there.
func (q queues) ask(ctx context.Context, messages []string) error {
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
	const most = 10
	for part := range slices.Chunk(messages, most) {
		in := &sqs.SendMessageBatchInput{QueueUrl: &q.checks}
		for i, m := range part {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &m})
		}
		out, err := q.client.SendMessageBatch(ctx, in)
		if err != nil {
			return fmt.Errorf("ask for checks: %w", err)
		}
		var errs []error
		for _, f := range out.Failed {
			errs = append(errs, fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message)))
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("ask for checks: %d of %d: %w", len(errs), len(part), err)
		}
	}
	return nil
}

// bury puts what no retry mends where people find it, with the reason beside it as EventBridge writes it:
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
func (q queues) bury(ctx context.Context, body []byte, why *MalformedError) error {
	const most = 200_000 // bytes; a queue takes 256 KB with the attributes
	text := string(body[:min(len(body), most)])
	if text == "" {
		text = "-" // a message is never empty
	}
	attribute := func(value string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.deadLetters, MessageBody: aws.String(plain(text)),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"ERROR_CODE": attribute("MalformedEvent"), "ERROR_MESSAGE": attribute(plain(why.Error())),
		},
	})
	if err != nil {
		return fmt.Errorf("send a malformed event to the dead letters: %w", err)
	}
	return nil
}

// plain replaces what SQS takes in no message: https://www.w3.org/TR/REC-xml/#charsets
func plain(text string) string {
	out := make([]rune, 0, len(text))
	for _, r := range text { // bytes that are no text come as U+FFFD
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	return string(out)
}
