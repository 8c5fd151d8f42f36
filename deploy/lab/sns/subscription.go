package sns

import (
	"encoding/json"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// ChatEndpoint is what Amazon Q Developer (AWS Chatbot) subscribes to topics.
const ChatEndpoint = "https://global.sns-api.chatbot.amazonaws.com"

// subscription is one endpoint of a topic. It is under the service's lock.
type subscription struct {
	arn, protocol, endpoint string
	topic                   *topic
	owner                   string // ARN of who made it
	token                   string // that confirms it; "" once it is confirmed
	authenticated           bool   // whether who confirmed it was known
	attributes              map[string]string
	filter                  *filter // of the attribute FilterPolicy; nil takes everything
}

func (sub *subscription) pending() bool { return sub.token != "" }

func (sub *subscription) raw() bool { return sub.attributes["RawMessageDelivery"] == "true" }

// shownARN is the ARN as lists show it.
func (sub *subscription) shownARN() string {
	if sub.pending() {
		return "PendingConfirmation"
	}
	return sub.arn
}

var (
	// address is stricter than RFC 5322: what it takes is a folder's name as
	// well as a header's value.
	address     = regexp.MustCompile(`^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$`)
	queueARN    = regexp.MustCompile(`^arn:aws:sqs:[a-z0-9-]+:\d{12}:[a-zA-Z0-9_-]{1,80}$`)
	functionARN = regexp.MustCompile(`^arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]+(:[a-zA-Z0-9_$-]+)?$`)
)

type subscriptionResult struct{ SubscriptionArn string }

func (s *Service) subscribe(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "TopicArn", f.Get("TopicArn"))
	if err != nil {
		return nil, err
	}
	protocol, endpoint, attributes := f.Get("Protocol"), f.Get("Endpoint"), f.attributes()
	if err := s.checkEndpoint(protocol, endpoint); err != nil {
		return nil, err
	}
	sub := &subscription{
		protocol: protocol, endpoint: endpoint, topic: t, owner: r.Caller.ARN, authenticated: true, attributes: map[string]string{},
	}
	// Backwards, so that the scope is known before the policy that it is of.
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(attributes))) {
		if err := sub.set(name, attributes[name], "Attributes Reason: "); err != nil {
			return nil, err
		}
	}
	for _, old := range s.subscriptions {
		if old.topic == t && old.protocol == protocol && old.endpoint == endpoint {
			if len(attributes) > 0 && !maps.Equal(old.attributes, sub.attributes) {
				return nil, errParameter("Attributes Reason: Subscription already exists with different attributes")
			}
			return s.subscribed(old, f), nil
		}
	}
	sub.arn = t.arn + ":" + s.uuid()
	if asks(protocol, endpoint) {
		sub.token, sub.authenticated = strings.ReplaceAll(s.uuid()+s.uuid(), "-", ""), false
		s.askToConfirm(sub)
		if s.options.ConfirmMail && strings.HasPrefix(protocol, "email") {
			sub.token = ""
		}
	}
	s.subscriptions = append(s.subscriptions, sub)
	return s.subscribed(sub, f), nil
}

// subscribed answers Subscribe.
func (s *Service) subscribed(sub *subscription, f form) subscriptionResult {
	if sub.pending() && f.Get("ReturnSubscriptionArn") != "true" {
		return subscriptionResult{"pending confirmation"}
	}
	return subscriptionResult{sub.arn}
}

// asks tells whether a subscriber has to confirm. Queues and functions of the
// account do not; the chat service confirms for itself.
func asks(protocol, endpoint string) bool {
	return protocol != "sqs" && protocol != "lambda" && endpoint != ChatEndpoint
}

func (s *Service) checkEndpoint(protocol, endpoint string) error {
	switch protocol {
	case "email", "email-json":
		if !address.MatchString(endpoint) || len(endpoint) > 200 {
			return errParameter("Email address")
		}
	case "sqs":
		if !queueARN.MatchString(endpoint) {
			return errParameter("SQS endpoint ARN")
		}
		if s.options.Queues == nil {
			return errNotHere("queues")
		}
	case "lambda":
		if !functionARN.MatchString(endpoint) {
			return errParameter("Lambda endpoint ARN")
		}
		if s.options.Functions == nil {
			return errNotHere("functions")
		}
	case "http", "https":
		return checkWeb(protocol, endpoint)
	case "sms", "application", "firehose":
		return errNotHere("subscribers by " + protocol)
	default:
		return errParameter("Amazon SNS does not support this protocol string: " + protocol)
	}
	return nil
}

// checkWeb takes web servers of this machine only, and the chat service.
func checkWeb(protocol, endpoint string) error {
	if endpoint == ChatEndpoint && protocol == "https" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return errParameter("Endpoint")
	}
	if u.Scheme != protocol {
		return errParameter("Endpoint must match the specified protocol")
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errNotHere("way to " + u.Hostname() + ": it posts to loopback addresses only")
	}
	return nil
}

// set sets an attribute. Errors name it behind where.
func (sub *subscription) set(name, value, where string) error {
	switch name {
	case "RawMessageDelivery":
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return errParameter(where + name + ": Invalid value [" + value + "]. Must be true or false.")
		}
		value = strings.ToLower(value)
	case "FilterPolicyScope":
		if value != scopeAttributes && value != scopeBody {
			return errParameter(where + name + ": Invalid value [" + value + "]. Please use either MessageBody or MessageAttributes")
		}
	case "FilterPolicy":
		return sub.setFilter(value, where)
	case "RedrivePolicy":
		if value == "" {
			delete(sub.attributes, name)
			return nil
		}
		var p struct {
			Target string `json:"deadLetterTargetArn"`
		}
		if err := json.Unmarshal([]byte(value), &p); err != nil {
			return errParameter(where + name + ": failed to parse JSON.")
		}
		if !queueARN.MatchString(p.Target) {
			return errParameter(where + name + ": deadLetterTargetArn is an invalid arn")
		}
	case "DeliveryPolicy":
		if _, err := parseSchedule(value); value != "" && err != nil {
			return errParameter(where + name + ": " + err.Error())
		}
	default:
		return errParameter(strings.TrimSuffix(where+"AttributeName", " "))
	}
	sub.attributes[name] = value
	return nil
}

func (sub *subscription) setFilter(value, where string) error {
	if value == "" || value == "{}" {
		delete(sub.attributes, "FilterPolicy")
		sub.filter = nil
		return nil
	}
	scope := sub.attributes["FilterPolicyScope"]
	if scope == "" {
		scope = scopeAttributes
	}
	f, err := parseFilter(value, scope)
	if err != nil {
		return errParameter(where + err.Error())
	}
	sub.filter, sub.attributes["FilterPolicy"], sub.attributes["FilterPolicyScope"] = f, value, scope
	return nil
}

// deadLetters returns the queue for messages that cannot be delivered, or "".
func (sub *subscription) deadLetters() string {
	var p struct {
		Target string `json:"deadLetterTargetArn"`
	}
	if json.Unmarshal([]byte(sub.attributes["RedrivePolicy"]), &p) != nil {
		return ""
	}
	return p.Target
}

func (s *Service) confirmSubscription(_ wire.Request, f form) (any, error) {
	arn, token := f.Get("TopicArn"), f.Get("Token")
	if s.topics[arn] == nil {
		return nil, errParameter("Topic")
	}
	for _, sub := range s.subscriptions {
		if sub.topic.arn == arn && sub.pending() && sub.token == token {
			sub.token = ""
			sub.authenticated = f.Get("AuthenticateOnUnsubscribe") == "true"
			return subscriptionResult{sub.arn}, nil
		}
	}
	return nil, errParameter("Token")
}

// Confirm confirms what is pending for an endpoint, as who reads its mail
// would. It returns how many subscriptions that were.
func (s *Service) Confirm(endpoint string) (confirmed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		if sub.endpoint == endpoint && sub.pending() {
			sub.token = ""
			confirmed++
		}
	}
	return confirmed
}

// byARN returns a subscription for a caller who may do what is asked; it may
// be nil.
func (s *Service) byARN(r wire.Request, arn string) (*subscription, error) {
	if err := checkARN("SubscriptionArn", arn); err != nil {
		return nil, err
	}
	i := strings.LastIndexByte(arn, ':')
	if strings.Count(arn, ":") < 6 {
		return nil, errParameter("SubscriptionId")
	}
	if r.Caller.ARN != "" && !s.options.Authorize(r.Caller, r.Action, arn[:i]) {
		return nil, errDenied(r.Caller, r.Action, arn[:i])
	}
	for _, sub := range s.subscriptions {
		if sub.arn == arn {
			return sub, nil
		}
	}
	return nil, nil
}

// unsubscribe deletes a subscription; one that does not exist is no error.
func (s *Service) unsubscribe(r wire.Request, f form) (any, error) {
	sub, err := s.byARN(r, f.Get("SubscriptionArn"))
	if err != nil {
		return nil, err
	}
	if i := slices.Index(s.subscriptions, sub); i >= 0 {
		s.subscriptions = slices.Delete(s.subscriptions, i, i+1)
		sub.topic.deleted++
	}
	return nil, nil
}

func (s *Service) getSubscriptionAttributes(r wire.Request, f form) (any, error) {
	sub, err := s.byARN(r, f.Get("SubscriptionArn"))
	if err != nil {
		return nil, err
	}
	if sub == nil {
		return nil, errNoSubscription()
	}
	all := entries{
		"SubscriptionArn": sub.arn, "TopicArn": sub.topic.arn, "Protocol": sub.protocol, "Endpoint": sub.endpoint, "Owner": s.options.Account,
		"SubscriptionPrincipal": sub.owner, "RawMessageDelivery": "false",
		"PendingConfirmation": yes(sub.pending()), "ConfirmationWasAuthenticated": yes(!sub.pending() && sub.authenticated),
	}
	maps.Copy(all, sub.attributes)
	return struct{ Attributes entries }{all}, nil
}

func yes(b bool) string { return map[bool]string{true: "true", false: "false"}[b] }

func (s *Service) setSubscriptionAttributes(r wire.Request, f form) (any, error) {
	sub, err := s.byARN(r, f.Get("SubscriptionArn"))
	if err != nil {
		return nil, err
	}
	if sub == nil {
		return nil, errNoSubscription()
	}
	return nil, sub.set(f.Get("AttributeName"), f.Get("AttributeValue"), "")
}

type shownSubscription struct{ SubscriptionArn, Owner, Protocol, Endpoint, TopicArn string }

func (s *Service) listSubscriptions(r wire.Request, f form) (any, error) {
	if !s.options.Authorize(r.Caller, r.Action, s.arn("*")) {
		return nil, errDenied(r.Caller, r.Action, s.arn("*"))
	}
	return s.list(s.subscriptions, f), nil
}

func (s *Service) listSubscriptionsByTopic(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "TopicArn", f.Get("TopicArn"))
	if err != nil {
		return nil, err
	}
	return s.list(slices.DeleteFunc(slices.Clone(s.subscriptions), func(sub *subscription) bool { return sub.topic != t }), f), nil
}

func (s *Service) list(all []*subscription, f form) any {
	page, next := paginate(all, f.Get("NextToken"), func(sub *subscription) string { return sub.arn })
	list := make([]shownSubscription, len(page))
	for i, sub := range page {
		list[i] = shownSubscription{sub.shownARN(), s.options.Account, sub.protocol, sub.endpoint, sub.topic.arn}
	}
	return struct {
		Subscriptions []shownSubscription `xml:"Subscriptions>member"`
		NextToken     string              `xml:",omitempty"`
	}{list, next}
}
