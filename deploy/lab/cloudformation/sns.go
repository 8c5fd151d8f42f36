package cloudformation

import (
	"cmp"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/sns"
)

var snsKinds = map[string]kind{
	"AWS::SNS::Topic":        define(definition[topicProperties]{attributes: []string{"TopicArn", "TopicName"}, create: createTopic, update: undone(updateTopic), remove: removeTopic}),
	"AWS::SNS::TopicPolicy":  define(definition[topicPolicyProperties]{attributes: []string{"Id"}, create: createTopicPolicy, update: undone(updateTopicPolicy), remove: removeTopicPolicy}),
	"AWS::SNS::Subscription": define(definition[subscriptionProperties]{attributes: []string{"Arn"}, create: createSubscription, update: undone(updateSubscription), remove: removeSubscription}),
}

// sns calls an action of SNS; out is for its Response.
func (t *task) sns(action string, in url.Values, out any) error {
	in.Set("Action", action)
	in.Set("Version", "2010-03-31")
	answer, err := t.do(t, "sns", http.MethodPost, "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(in.Encode()))
	if err != nil || out == nil {
		return err
	}
	return xml.Unmarshal(answer, out)
}

// putEntries writes a map as the query protocol has it.
func putEntries(in url.Values, name string, m map[string]string) {
	for i, key := range slices.Sorted(maps.Keys(m)) {
		prefix := name + ".entry." + strconv.Itoa(i+1)
		in.Set(prefix+".key", key)
		in.Set(prefix+".value", m[key])
	}
}

// topicProperties are those of a standard topic.
type topicProperties struct {
	DisplayName      string
	KmsMasterKeyId   string
	SignatureVersion string
	Subscription     []topicSubscription
	Tags             []Tag
	TopicName        string `cfn:"name"`
	TracingConfig    string
}

type topicSubscription struct {
	Endpoint string `cfn:"required"`
	Protocol string `cfn:"required"`
}

// settings are the attributes with the values of those that are not given.
// https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
func (p *topicProperties) settings() map[string]string {
	return map[string]string{
		"DisplayName": p.DisplayName, "KmsMasterKeyId": p.KmsMasterKeyId,
		"SignatureVersion": cmp.Or(p.SignatureVersion, "1"), "TracingConfig": cmp.Or(p.TracingConfig, "PassThrough"),
	}
}

// createTopic refuses a name that is taken, which SNS does not.
func createTopic(t *task, p *topicProperties) (entity, error) {
	name := cmp.Or(p.TopicName, t.name(256))
	arn := t.arn("sns", name)
	if t.sns("GetTopicAttributes", url.Values{"TopicArn": {arn}}, nil) == nil {
		return entity{}, alreadyExists("AWS::SNS::Topic", arn)
	}
	in, attributes := url.Values{"Name": {name}}, p.settings()
	maps.DeleteFunc(attributes, func(key, value string) bool { return value == (&topicProperties{}).settings()[key] })
	putEntries(in, "Attributes", attributes)
	for i, tag := range t.tags(p.Tags) {
		prefix := "Tags.member." + strconv.Itoa(i+1)
		in.Set(prefix+".Key", tag.Key)
		in.Set(prefix+".Value", tag.Value)
	}
	if err := t.sns("CreateTopic", in, nil); err != nil {
		return entity{}, err
	}
	e := entity{ID: arn, Attributes: map[string]string{"TopicArn": arn, "TopicName": name}}
	for _, s := range p.Subscription {
		if _, err := t.subscribe(arn, s, nil); err != nil {
			_ = removeTopic(t, e, p) // err is what is to be told
			return entity{}, err
		}
	}
	return e, nil
}

func updateTopic(t *task, e entity, was, is *topicProperties) (entity, error) {
	old, wanted := was.settings(), is.settings()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if wanted[name] == old[name] {
			continue
		}
		if err := t.sns("SetTopicAttributes", url.Values{"TopicArn": {e.ID}, "AttributeName": {name}, "AttributeValue": {wanted[name]}}, nil); err != nil {
			return e, err
		}
	}
	for _, s := range is.Subscription {
		if !slices.Contains(was.Subscription, s) {
			if _, err := t.subscribe(e.ID, s, nil); err != nil {
				return e, err
			}
		}
	}
	for _, s := range was.Subscription {
		if !slices.Contains(is.Subscription, s) {
			if err := t.unsubscribe(e.ID, s); err != nil {
				return e, err
			}
		}
	}
	return e, t.retagTopic(e.ID, t.tags(was.Tags), t.tags(is.Tags))
}

func (t *task) retagTopic(arn string, was, is []Tag) error {
	if gone := goneTags(was, is); len(gone) > 0 {
		in := url.Values{"ResourceArn": {arn}}
		for i, key := range gone {
			in.Set("TagKeys.member."+strconv.Itoa(i+1), key)
		}
		if err := t.sns("UntagResource", in, nil); err != nil {
			return err
		}
	}
	if len(is) == 0 {
		return nil
	}
	in := url.Values{"ResourceArn": {arn}}
	for i, tag := range is {
		prefix := "Tags.member." + strconv.Itoa(i+1)
		in.Set(prefix+".Key", tag.Key)
		in.Set(prefix+".Value", tag.Value)
	}
	return t.sns("TagResource", in, nil)
}

// removeTopic takes the subscriptions along, as SNS does.
func removeTopic(t *task, e entity, _ *topicProperties) error {
	return t.sns("DeleteTopic", url.Values{"TopicArn": {e.ID}}, nil)
}

// subscribe returns the ARN of a subscription, also of one that is to be
// confirmed.
func (t *task) subscribe(topic string, s topicSubscription, attributes map[string]string) (string, error) {
	in := url.Values{"TopicArn": {topic}, "Protocol": {s.Protocol}, "ReturnSubscriptionArn": {"true"}}
	if s.Endpoint != "" {
		in.Set("Endpoint", s.Endpoint)
	}
	putEntries(in, "Attributes", attributes)
	var out struct {
		ARN string `xml:"SubscribeResult>SubscriptionArn"`
	}
	err := t.sns("Subscribe", in, &out)
	return out.ARN, err
}

// unsubscribe finds a subscription by what it is. One that was never confirmed
// has no ARN in the list and stays, as on AWS, until SNS forgets it.
func (t *task) unsubscribe(topic string, s topicSubscription) error {
	for token := ""; ; {
		in := url.Values{"TopicArn": {topic}}
		if token != "" {
			in.Set("NextToken", token)
		}
		var out struct {
			Subscriptions []struct{ SubscriptionArn, Protocol, Endpoint string } `xml:"ListSubscriptionsByTopicResult>Subscriptions>member"`
			NextToken     string                                                 `xml:"ListSubscriptionsByTopicResult>NextToken"`
		}
		err := t.sns("ListSubscriptionsByTopic", in, &out)
		if isCode(err, "NotFound") {
			return nil
		}
		if err != nil {
			return err
		}
		for _, o := range out.Subscriptions {
			if o.Protocol == s.Protocol && o.Endpoint == s.Endpoint && strings.HasPrefix(o.SubscriptionArn, "arn:") {
				return t.sns("Unsubscribe", url.Values{"SubscriptionArn": {o.SubscriptionArn}}, nil)
			}
		}
		if token = out.NextToken; token == "" {
			return nil
		}
	}
}

type topicPolicyProperties struct {
	PolicyDocument document `cfn:"required"`
	Topics         []string `cfn:"required"`
}

func createTopicPolicy(t *task, p *topicPolicyProperties) (entity, error) {
	id := t.name(128)
	e := entity{ID: id, Attributes: map[string]string{"Id": id}}
	if _, err := updateTopicPolicy(t, e, &topicPolicyProperties{}, p); err != nil {
		_ = removeTopicPolicy(t, e, p) // err is what is to be told
		return entity{}, err
	}
	return e, nil
}

func updateTopicPolicy(t *task, e entity, was, is *topicPolicyProperties) (entity, error) {
	for _, topic := range is.Topics {
		if err := t.setTopicPolicy(topic, string(is.PolicyDocument)); err != nil {
			return e, err
		}
	}
	var errs []error
	for _, topic := range was.Topics {
		if !slices.Contains(is.Topics, topic) {
			errs = append(errs, t.resetTopicPolicy(topic))
		}
	}
	return e, errors.Join(errs...)
}

func removeTopicPolicy(t *task, _ entity, p *topicPolicyProperties) error {
	var errs []error
	for _, topic := range p.Topics {
		errs = append(errs, t.resetTopicPolicy(topic))
	}
	return errors.Join(errs...)
}

func (t *task) setTopicPolicy(topic, text string) error {
	return t.sns("SetTopicAttributes", url.Values{"TopicArn": {topic}, "AttributeName": {"Policy"}, "AttributeValue": {text}}, nil)
}

// resetTopicPolicy gives a topic the policy of a new one: no topic is without.
func (t *task) resetTopicPolicy(topic string) error {
	err := t.setTopicPolicy(topic, sns.UsualPolicy(t.options.Account, topic))
	if isCode(err, "NotFound") {
		return nil
	}
	return err
}

// subscriptionProperties has no Region: the lab has one. Subscriptions of
// Firehose have a role; the lab has none of them.
type subscriptionProperties struct {
	DeliveryPolicy     document
	Endpoint           string `cfn:"fixed"`
	FilterPolicy       document
	FilterPolicyScope  string
	Protocol           string `cfn:"required,fixed"`
	RawMessageDelivery bool
	RedrivePolicy      document
	TopicArn           string `cfn:"required,fixed"`
}

// settings are the attributes with the values of those that are not given.
// https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html
func (p *subscriptionProperties) settings() map[string]string {
	return map[string]string{
		"DeliveryPolicy": string(p.DeliveryPolicy), "FilterPolicy": cmp.Or(string(p.FilterPolicy), "{}"),
		"FilterPolicyScope":  cmp.Or(p.FilterPolicyScope, "MessageAttributes"),
		"RawMessageDelivery": strconv.FormatBool(p.RawMessageDelivery), "RedrivePolicy": string(p.RedrivePolicy),
	}
}

func createSubscription(t *task, p *subscriptionProperties) (entity, error) {
	attributes := p.settings()
	maps.DeleteFunc(attributes, func(key, value string) bool { return value == (&subscriptionProperties{}).settings()[key] })
	arn, err := t.subscribe(p.TopicArn, topicSubscription{Endpoint: p.Endpoint, Protocol: p.Protocol}, attributes)
	return entity{ID: arn, Attributes: map[string]string{"Arn": arn}}, err
}

// updateSubscription takes the filter away before it changes what filters are
// about, and puts it there again.
func updateSubscription(t *task, e entity, was, is *subscriptionProperties) (entity, error) {
	set := func(name, value string) error {
		return t.sns("SetSubscriptionAttributes", url.Values{"SubscriptionArn": {e.ID}, "AttributeName": {name}, "AttributeValue": {value}}, nil)
	}
	old, wanted := was.settings(), is.settings()
	if old["FilterPolicyScope"] != wanted["FilterPolicyScope"] {
		if err := set("FilterPolicy", "{}"); err != nil {
			return e, err
		}
		old["FilterPolicy"] = "{}"
	}
	for _, name := range []string{"FilterPolicyScope", "FilterPolicy", "DeliveryPolicy", "RawMessageDelivery", "RedrivePolicy"} {
		if wanted[name] != old[name] {
			if err := set(name, wanted[name]); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

func removeSubscription(t *task, e entity, _ *subscriptionProperties) error {
	return t.sns("Unsubscribe", url.Values{"SubscriptionArn": {e.ID}}, nil)
}
