package events

import (
	"encoding/json"

	lambdaevents "github.com/aws/aws-lambda-go/events"
)

// Delivery is one event of an invocation, not yet decoded.
type Delivery struct {
	// MessageID is the queue's id of the message; empty for an event that came directly.
	MessageID string
	Body      []byte
}

// Deliveries parts what Lambda was invoked with: one event that EventBridge sent, or the messages of a batch
// that came through SQS.
func Deliveries(invocation []byte) (all []Delivery, batch bool) {
	var in lambdaevents.SQSEvent
	if json.Unmarshal(invocation, &in) != nil || len(in.Records) == 0 || in.Records[0].EventSource != "aws:sqs" {
		return []Delivery{{Body: invocation}}, false
	}
	for _, m := range in.Records {
		all = append(all, Delivery{m.MessageId, []byte(m.Body)})
	}
	return all, true
}

// Answer is what Lambda is told of a batch: the messages that stay in the queue. Without any, all are done.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func Answer(failed []Delivery) lambdaevents.SQSEventResponse {
	answer := lambdaevents.SQSEventResponse{BatchItemFailures: []lambdaevents.SQSBatchItemFailure{}}
	for _, d := range failed {
		answer.BatchItemFailures = append(answer.BatchItemFailures, lambdaevents.SQSBatchItemFailure{ItemIdentifier: d.MessageID})
	}
	return answer
}
