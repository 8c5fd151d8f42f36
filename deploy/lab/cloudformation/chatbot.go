package cloudformation

import (
	"slices"

	"github.com/keytrail/keytrail/deploy/lab/sns"
)

var chatbotKinds = map[string]kind{
	"AWS::Chatbot::SlackChannelConfiguration": define(definition[slackProperties]{attributes: []string{"Arn"}, create: createSlack, update: undone(updateSlack), remove: removeSlack}),
}

// slackProperties are kept: nothing is sent to Slack, see the chat of the lab's
// SNS. That somebody has to let the service into the workspace by hand first is
// taken for done. Custom actions are not known.
type slackProperties struct {
	ConfigurationName string `cfn:"required,name" pattern:"^[A-Za-z0-9-_]{1,128}$"`
	GuardrailPolicies []string
	IamRoleArn        string `cfn:"required" pattern:"^arn:aws:iam::[0-9]{12}:role/.+$"`
	LoggingLevel      string `pattern:"^(ERROR|INFO|NONE)$"`
	SlackChannelId    string `cfn:"required" pattern:"^[A-Za-z0-9]{1,256}$"`
	SlackWorkspaceId  string `cfn:"required,fixed" pattern:"^[0-9A-Z]{1,255}$"`
	SnsTopicArns      []string
	Tags              []Tag
	UserRoleRequired  bool
}

// chatSubscription is what the service makes at each topic. Many public
// templates have its address; no page of AWS was found that does.
var chatSubscription = topicSubscription{Endpoint: sns.ChatEndpoint, Protocol: "https"}

func createSlack(t *task, p *slackProperties) (entity, error) {
	arn := "arn:aws:chatbot::" + t.options.Account + ":chat-configuration/slack-channel/" + p.ConfigurationName
	if err := t.claim("AWS::Chatbot::SlackChannelConfiguration", arn); err != nil {
		return entity{}, err
	}
	e := entity{ID: arn, Attributes: map[string]string{"Arn": arn}}
	if _, err := updateSlack(t, e, &slackProperties{}, p); err != nil {
		_ = removeSlack(t, e, p) // err is what is to be told
		return entity{}, err
	}
	return e, nil
}

func updateSlack(t *task, e entity, was, is *slackProperties) (entity, error) {
	for _, topic := range is.SnsTopicArns {
		if err := t.follow(e.ID, topic); err != nil {
			return e, err
		}
	}
	for _, topic := range was.SnsTopicArns {
		if !slices.Contains(is.SnsTopicArns, topic) {
			if err := t.unfollow(e.ID, topic); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

func removeSlack(t *task, e entity, p *slackProperties) error {
	for _, topic := range p.SnsTopicArns {
		if err := t.unfollow(e.ID, topic); err != nil {
			return err
		}
	}
	t.release("AWS::Chatbot::SlackChannelConfiguration", e.ID)
	return nil
}

// follow subscribes the service to a topic for a channel. There is one
// subscription for all channels.
func (t *task) follow(channel, topic string) error {
	if _, err := t.subscribe(topic, chatSubscription, nil); err != nil {
		return err
	}
	t.Service.mu.Lock()
	defer t.Service.mu.Unlock()
	if t.channels[topic] == nil {
		t.channels[topic] = map[string]bool{}
	}
	t.channels[topic][channel] = true
	return nil
}

// unfollow unsubscribes with the last channel.
func (t *task) unfollow(channel, topic string) error {
	t.Service.mu.Lock()
	last := t.channels[topic][channel] && len(t.channels[topic]) == 1
	delete(t.channels[topic], channel)
	t.Service.mu.Unlock()
	if !last {
		return nil
	}
	return t.unsubscribe(topic, chatSubscription)
}
