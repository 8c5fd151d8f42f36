package sns

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keytrail/keytrail/deploy/lab/policy"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// maxMessage bounds a message with its attributes, and a batch, in bytes.
const maxMessage = 262144

var batchID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// notification is a message that was published.
type notification struct {
	id         string
	time       time.Time
	subject    string
	message    string            // for protocols that have no text of their own
	texts      map[string]string // by protocol, with MessageStructure=json
	attributes map[string]Attribute
}

// text returns the message for a protocol.
func (n *notification) text(protocol string) string {
	if t, ok := n.texts[protocol]; ok {
		return t
	}
	return n.message
}

type publishResult struct {
	MessageId string
}

func (s *Service) publish(r wire.Request, f form) (any, error) {
	parameter := "TopicArn"
	switch {
	case f.Has("PhoneNumber"):
		return nil, errNotHere("SMS")
	case f.Has("TargetArn"):
		parameter = "TargetArn"
	}
	t, err := s.find(r, parameter, f.Get(parameter))
	if err != nil {
		return nil, err
	}
	n, err := readNotification(f, "", "")
	if err != nil {
		return nil, err
	}
	return publishResult{s.send(t, n)}, nil
}

// readNotification reads and checks what is to be published, whose parameters
// begin with a prefix.
func readNotification(f form, prefix, path string) (*notification, error) {
	attributes, err := f.messageAttributes(prefix)
	if err != nil {
		return nil, err
	}
	n := &notification{message: f.Get(prefix + "Message"), attributes: attributes}
	if n.message == "" {
		return nil, errParameter("Empty message")
	}
	if subject := f.optional(prefix + "Subject"); subject != nil {
		if !subjectAllowed(*subject) {
			return nil, errParameter("Subject")
		}
		n.subject = *subject
	}
	if err := checkAttributes(attributes, path); err != nil {
		return nil, err
	}
	if n.size() > maxMessage {
		return nil, errParameter("Message too long")
	}
	return n, n.restructure(f.Get(prefix + "MessageStructure"))
}

// subjectAllowed: text with no line breaks or control characters, and less
// than 100 characters.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func subjectAllowed(subject string) bool {
	return subject != "" && utf8.ValidString(subject) && utf8.RuneCountInString(subject) < 100 && !strings.ContainsFunc(subject, isControl)
}

// size is what counts against the limit.
func (n *notification) size() int {
	size := len(n.message)
	for name, a := range n.attributes {
		size += len(name) + len(a.DataType) + len(a.text())
	}
	return size
}

// restructure takes a message with MessageStructure=json apart. Values that
// are no strings are ignored.
func (n *notification) restructure(structure string) error {
	switch structure {
	case "":
		return nil
	case "json":
	default:
		return errParameter("MessageStructure")
	}
	var all map[string]any
	if json.Unmarshal([]byte(n.message), &all) != nil {
		return errParameter("Message Structure - JSON message body failed to parse")
	}
	n.texts = map[string]string{}
	for protocol, v := range all {
		if text, ok := v.(string); ok {
			n.texts[protocol] = text
		}
	}
	var ok bool
	if n.message, ok = n.texts["default"]; !ok {
		return errParameter("Message Structure - No default entry in JSON message body")
	}
	return nil
}

type batchSuccess struct{ Id, MessageId string }

type batchFailure struct {
	Id, Code, Message string
	SenderFault       bool
}

type batchResult struct {
	Successful []batchSuccess `xml:"Successful>member"`
	Failed     []batchFailure `xml:"Failed>member"`
}

func (s *Service) publishBatch(r wire.Request, f form) (any, error) {
	t, err := s.find(r, "TopicArn", f.Get("TopicArn"))
	if err != nil {
		return nil, err
	}
	var prefixes []string
	f.members("PublishBatchRequestEntries", func(p string) { prefixes = append(prefixes, p) })
	if err := checkBatch(f, prefixes); err != nil {
		return nil, err
	}
	out := batchResult{Successful: []batchSuccess{}, Failed: []batchFailure{}}
	for _, p := range prefixes {
		n, err := readNotification(f, p, "publishBatchRequestEntries.1.member.")
		if e, ok := errors.AsType[*wire.Error](err); ok {
			out.Failed = append(out.Failed, batchFailure{Id: f.Get(p + "Id"), Code: e.Code, Message: e.Message, SenderFault: true})
			continue
		}
		out.Successful = append(out.Successful, batchSuccess{Id: f.Get(p + "Id"), MessageId: s.send(t, n)})
	}
	return out, nil
}

// checkBatch refuses a batch as a whole.
func checkBatch(f form, prefixes []string) error {
	switch n := len(prefixes); {
	case n == 0:
		return &wire.Error{Code: "EmptyBatchRequest", Message: "The batch request doesn't contain any entries."}
	case n > 10:
		return &wire.Error{Code: "TooManyEntriesInBatchRequest", Message: "The batch request contains more entries than permissible."}
	}
	seen, total := map[string]bool{}, 0
	for _, p := range prefixes {
		id := f.Get(p + "Id")
		switch {
		case len(id) > 80:
			return &wire.Error{Code: "InvalidBatchEntryId", Message: "The Id of a batch entry in the batch request is too long: " + id}
		case !batchID.MatchString(id):
			return &wire.Error{Code: "InvalidBatchEntryId", Message: "The Id of a batch entry in the batch request contains an impermissible character: " + id}
		case seen[id]:
			return &wire.Error{Code: "BatchEntryIdsNotDistinct", Message: "Two or more batch entries in the request have the same Id."}
		}
		seen[id] = true
		attributes, _ := f.messageAttributes(p)
		total += (&notification{message: f.Get(p + "Message"), attributes: attributes}).size()
	}
	if total > maxMessage {
		return &wire.Error{Code: "BatchRequestTooLong", Message: "The length of all the messages put together is more than the limit."}
	}
	return nil
}

// PublishAs publishes for an AWS service, such as events.amazonaws.com, on
// behalf of one of its resources. The topic's policy decides whether it may. An
// error is a [*wire.Error].
func (s *Service) PublishAs(_ context.Context, principal, sourceARN, topicARN, message string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicARN]
	if t == nil {
		return errNoTopic()
	}
	text := t.attributes["Policy"]
	if text == "" {
		text = UsualPolicy(s.options.Account, t.arn)
	}
	p, err := policy.Parse(text)
	ask := policy.Request{Principal: principal, Action: "sns:Publish", Resource: t.arn, SourceARN: sourceARN, Account: s.options.Account}
	n := &notification{message: message}
	switch {
	case err != nil || !s.options.MayPublish(principal, sourceARN, t.arn) || !p.Allows(ask):
		return errServiceDenied(principal, t.arn)
	case !s.mayEncrypt(principal, sourceARN, t):
		return errKey(t)
	case message == "":
		return errParameter("Empty message")
	case n.size() > maxMessage:
		return errParameter("Message too long")
	}
	s.send(t, n)
	return nil
}

// mayEncrypt tells whether a service may use the key of a topic, if it has one.
// The policy of AWS's own key lets no service, and no one can change it.
// https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
func (s *Service) mayEncrypt(service, sourceARN string, t *topic) bool {
	switch key := t.attributes["KmsMasterKeyId"]; key {
	case "":
		return true
	case "alias/aws/sns":
		return false
	default:
		return s.options.MayEncrypt(service, sourceARN, t.arn, key)
	}
}

// send gives a message to all subscribers who want it, and returns its id.
func (s *Service) send(t *topic, n *notification) string {
	n.id, n.time = s.uuid(), s.now()
	for _, sub := range s.subscriptions {
		if sub.topic == t && !sub.pending() && (sub.filter == nil || sub.filter.takes(n.attributes, n.text(sub.protocol))) {
			s.deliver(sub, n)
		}
	}
	return n.id
}
