package sns

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/policy"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// pageSize is that of every list.
const pageSize = 100

var topicName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,256}$`)

// topic is one standard topic. It is under the service's lock.
type topic struct {
	arn, name  string
	attributes map[string]string // those that were set
	tags       map[string]string
	deleted    int // subscriptions
}

// settable are the attributes that SetTopicAttributes takes here.
var settable = []string{
	"DeliveryPolicy", "DisplayName", "KmsMasterKeyId", "Policy", "SignatureVersion", "TracingConfig",
}

// usualDelivery is the delivery policy for HTTP of a topic without one.
const usualDelivery = `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,` +
	`"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,` +
	`"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}`

// UsualPolicy is the policy of a topic without one, as AWS makes it.
func UsualPolicy(account, arn string) string {
	return `{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},` +
		`"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe",` +
		`"SNS:ListSubscriptionsByTopic","SNS:Publish"],"Resource":"` + arn + `","Condition":{"StringEquals":{"AWS:SourceOwner":"` + account + `"}}}]}`
}

func (s *Service) arn(name string) string {
	return "arn:aws:sns:" + s.options.Region + ":" + s.options.Account + ":" + name
}

// find returns the topic of an ARN for a caller who may do what is asked.
func (s *Service) find(r wire.Request, parameter, arn string) (*topic, error) {
	if err := checkARN(parameter, arn); err != nil {
		return nil, err
	}
	if !s.options.Authorize(r.Caller, r.Action, arn) {
		return nil, errDenied(r.Caller, r.Action, arn)
	}
	t := s.topics[arn]
	if t == nil {
		return nil, errNoTopic()
	}
	return t, nil
}

type topicResult struct{ TopicArn string }

func (s *Service) createTopic(r wire.Request, f form) (any, error) {
	name, attributes := f.Get("Name"), f.attributes()
	arn := s.arn(name)
	switch {
	case strings.HasSuffix(name, ".fifo") || attributes["FifoTopic"] == "true":
		return nil, errNotHere("FIFO topics")
	case !topicName.MatchString(name):
		return nil, errParameter("Topic Name")
	case !s.options.Authorize(r.Caller, r.Action, arn):
		return nil, errDenied(r.Caller, r.Action, arn)
	}
	delete(attributes, "FifoTopic")
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if err := checkTopicAttribute(key, attributes[key], "Attributes Reason: "); err != nil {
			return nil, err
		}
	}
	if t := s.topics[arn]; t != nil {
		for key, value := range attributes {
			if t.attributes[key] != value {
				return nil, errParameter("Attributes Reason: Topic already exists with different attributes")
			}
		}
		if tags := f.tags(); len(tags) > 0 && !maps.Equal(tags, t.tags) {
			return nil, errParameter("Tags Reason: Topic already exists with different tags")
		}
		return topicResult{arn}, nil
	}
	if err := s.tell(arn, attributes["Policy"]); err != nil {
		return nil, err
	}
	s.topics[arn] = &topic{arn: arn, name: name, attributes: attributes, tags: f.tags()}
	return topicResult{arn}, nil
}

// tell hands on the policy that a topic gets, if there is one.
func (s *Service) tell(arn, text string) error {
	if text == "" {
		return nil
	}
	if err := s.options.Policy(arn, json.RawMessage(text)); err != nil {
		return errParameter("Policy Error: " + err.Error()) // AWS says null
	}
	return nil
}

// checkTopicAttribute checks an attribute that a caller sets.
func checkTopicAttribute(name, value, where string) error {
	if !slices.Contains(settable, name) {
		return errParameter(where + "AttributeName")
	}
	switch name {
	case "Policy":
		p, err := policy.Parse(value)
		if err != nil {
			return errParameter(where + "Policy Error: null")
		}
		for _, a := range p.Actions() {
			if service, _, _ := strings.Cut(a, ":"); a != "*" && !strings.EqualFold(service, "sns") {
				return errParameter("Policy statement action out of service scope!")
			}
		}
	case "DisplayName":
		if len([]rune(value)) > 100 || strings.ContainsFunc(value, isControl) {
			return errParameter(where + "DisplayName")
		}
	case "DeliveryPolicy":
		if value != "" && !json.Valid([]byte(value)) {
			return errParameter(where + "DeliveryPolicy: JSON is not valid")
		}
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 }

func (s *Service) setTopicAttributes(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "TopicArn", f.Get("TopicArn"))
	if err != nil {
		return nil, err
	}
	name, value := f.Get("AttributeName"), f.Get("AttributeValue")
	if err := checkTopicAttribute(name, value, ""); err != nil {
		return nil, err
	}
	if name == "Policy" {
		if err := s.tell(t.arn, value); err != nil {
			return nil, err
		}
	}
	t.attributes[name] = value
	return nil, nil
}

func (s *Service) getTopicAttributes(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "TopicArn", f.Get("TopicArn"))
	if err != nil {
		return nil, err
	}
	all := entries{
		"TopicArn": t.arn, "Owner": s.options.Account, "DisplayName": "", "Policy": UsualPolicy(s.options.Account, t.arn),
		"EffectiveDeliveryPolicy": usualDelivery, "SubscriptionsDeleted": strconv.Itoa(t.deleted),
	}
	maps.Copy(all, t.attributes)
	if p := t.attributes["DeliveryPolicy"]; p != "" {
		all["EffectiveDeliveryPolicy"] = p
	}
	confirmed, pending := 0, 0
	for _, sub := range s.subscriptions {
		switch {
		case sub.topic != t:
		case sub.pending():
			pending++
		default:
			confirmed++
		}
	}
	all["SubscriptionsConfirmed"], all["SubscriptionsPending"] = strconv.Itoa(confirmed), strconv.Itoa(pending)
	return struct{ Attributes entries }{all}, nil
}

// deleteTopic deletes a topic and its subscriptions; one that does not exist
// is no error.
func (s *Service) deleteTopic(r wire.Request, f form) (any, error) {
	arn := f.Get("TopicArn")
	if err := checkARN("TopicArn", arn); err != nil {
		return nil, err
	}
	if !s.options.Authorize(r.Caller, r.Action, arn) {
		return nil, errDenied(r.Caller, r.Action, arn)
	}
	delete(s.topics, arn)
	if err := s.options.Policy(arn, nil); err != nil {
		return nil, err
	}
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *subscription) bool { return sub.topic.arn == arn })
	return nil, nil
}

func (s *Service) listTopics(r wire.Request, f form) (any, error) {
	if !s.options.Authorize(r.Caller, r.Action, s.arn("*")) {
		return nil, errDenied(r.Caller, r.Action, s.arn("*"))
	}
	names, next := paginate(slices.Sorted(maps.Keys(s.topics)), f.Get("NextToken"), func(arn string) string { return arn })
	list := make([]topicResult, len(names))
	for i, arn := range names {
		list[i] = topicResult{arn}
	}
	return struct {
		Topics    []topicResult `xml:"Topics>member"`
		NextToken string        `xml:",omitempty"`
	}{list, next}, nil
}

// paginate returns what follows the item that a token names, and the token of
// what follows that.
func paginate[T any](all []T, token string, key func(T) string) (page []T, next string) {
	if i := slices.IndexFunc(all, func(v T) bool { return key(v) == token }); token != "" && i >= 0 {
		all = all[i+1:]
	}
	if len(all) > pageSize {
		all = all[:pageSize]
		next = key(all[pageSize-1])
	}
	return all, next
}

func (s *Service) tagResource(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "ResourceArn", f.Get("ResourceArn"))
	if err != nil {
		return nil, err
	}
	maps.Copy(t.tags, f.tags())
	return struct{}{}, nil
}

func (s *Service) untagResource(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "ResourceArn", f.Get("ResourceArn"))
	if err != nil {
		return nil, err
	}
	for i := 1; f.Has("TagKeys.member." + strconv.Itoa(i)); i++ {
		delete(t.tags, f.Get("TagKeys.member."+strconv.Itoa(i)))
	}
	return struct{}{}, nil
}

func (s *Service) listTags(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "ResourceArn", f.Get("ResourceArn"))
	if err != nil {
		return nil, err
	}
	type tag struct{ Key, Value string }
	var list []tag
	for _, key := range slices.Sorted(maps.Keys(t.tags)) {
		list = append(list, tag{key, t.tags[key]})
	}
	return struct {
		Tags []tag `xml:"Tags>member"`
	}{list}, nil
}
