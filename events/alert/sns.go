package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

// sender is what is asked of SNS.
type sender interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Topics publishes messages to SNS.
type Topics struct {
	sender sender
	site   Site
	arns   map[Topic]string
}

// NewTopics returns a publisher to topics by their ARNs.
func NewTopics(client *sns.Client, site Site, arns map[Topic]string) Topics {
	return Topics{client, site, arns}
}

// maxMessage is SNS's limit of a message with its attributes, in bytes.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
const maxMessage = 262_144

// Publish says a message to a topic, written for whoever subscribes to it.
func (t Topics) Publish(ctx context.Context, topic Topic, m Message) error {
	p, err := m.page(t.site)
	if err != nil {
		return err
	}
	in := &sns.PublishInput{TopicArn: aws.String(t.arns[topic]), MessageAttributes: p.attributes()}
	switch {
	case t.arns[topic] == "":
		return errors.New("the topic is not configured")
	case topic == Chat:
		body, err := p.chat()
		if err != nil {
			return fmt.Errorf("write for chat: %w", err)
		}
		in.Message = aws.String(string(body))
	default:
		body, err := p.structured()
		if err != nil {
			return fmt.Errorf("write for mail and machines: %w", err)
		}
		in.Message, in.MessageStructure, in.Subject = aws.String(body), aws.String("json"), aws.String(p.subject())
	}
	_, err = t.sender.Publish(ctx, in)
	return err
}

// structured is one text for each kind of subscriber. Those that have none of their own, such as sqs,
// lambda and https, get the default.
func (p page) structured() (string, error) {
	const attributes = 2048 // more than they have
	for places := len(p.Problem.Places); ; places /= 2 {
		document, err := p.document(places)
		if err != nil {
			return "", err
		}
		body, err := json.Marshal(map[string]string{"default": string(document), "email": p.mail(), "sms": p.subject()})
		if err != nil {
			return "", err
		}
		if len(body) <= maxMessage-attributes {
			return string(body), nil
		}
		if places == 0 {
			return "", fmt.Errorf("message %s has %d bytes without its hosts", p.ID, len(body))
		}
	}
}

// attributes let subscribers filter.
func (p page) attributes() map[string]types.MessageAttributeValue {
	all := map[string]types.MessageAttributeValue{}
	for name, value := range map[string]string{
		"severity": string(p.condition.Severity), "condition": string(p.Condition), "status": string(p.Status),
		"secret": p.name(), "account": p.account, "region": p.region,
	} {
		if value != "" { // SNS refuses an empty one
			all[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
		}
	}
	return all
}
