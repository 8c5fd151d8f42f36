package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keytrail/keytrail/audit/signed"
)

// queues are the two that this function sends to.
type queues struct {
	client              *signed.Client
	checks, deadLetters string // URLs
}

func newQueues(config aws.Config, checks, deadLetters string) queues {
	return queues{signed.New(config, "sqs", func(r signed.Reply) (code, message string) {
		var answer struct {
			Type    string `json:"__type"`
			Message string
		}
		_ = json.Unmarshal(r.Body, &answer) // a gateway answers in no JSON
		return answer.Type[strings.LastIndexByte(answer.Type, '#')+1:], answer.Message
	}), checks, deadLetters}
}

// message is one of SQS, in a batch or by itself.
type message struct {
	QueueURL   string               `json:"QueueUrl,omitempty"`
	ID         string               `json:"Id,omitempty"`
	Body       string               `json:"MessageBody"`
	Attributes map[string]attribute `json:"MessageAttributes,omitempty"`
}

type attribute struct{ DataType, StringValue string }

// call makes one call of SQS.
func (q queues) call(ctx context.Context, action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	reply, err := q.client.Post(ctx, "/", signed.Target("AmazonSQS."+action), body)
	if err != nil {
		return err
	}
	return json.Unmarshal(reply.Body, out)
}

// ask puts messages into the queue of checks. After an error some of them may be there.
func (q queues) ask(ctx context.Context, messages []string) error {
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
	const most = 10
	for part := range slices.Chunk(messages, most) {
		in := struct {
			QueueURL string `json:"QueueUrl"`
			Entries  []message
		}{QueueURL: q.checks}
		for i, m := range part {
			in.Entries = append(in.Entries, message{ID: strconv.Itoa(i), Body: m})
		}
		var out struct {
			Failed []struct{ Code, Message string }
		}
		if err := q.call(ctx, "SendMessageBatch", in, &out); err != nil {
			return fmt.Errorf("ask for checks: %w", err)
		}
		var errs []error
		for _, f := range out.Failed {
			errs = append(errs, fmt.Errorf("%s: %s", f.Code, f.Message))
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
	err := q.call(ctx, "SendMessage", message{
		QueueURL: q.deadLetters, Body: plain(text),
		Attributes: map[string]attribute{
			"ERROR_CODE": {"String", "MalformedEvent"}, "ERROR_MESSAGE": {"String", plain(why.Error())},
		},
	}, &struct{}{})
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
