package sns

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// The lab signs nothing. These stand where AWS has a signature and its key.
const (
	signature = "EXAMPLE+not+signed+by+the+lab=="
	timeForm  = "2006-01-02T15:04:05.000Z"
)

func (s *Service) certificateURL() string {
	return "https://sns." + s.options.Region + ".amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem"
}

func (s *Service) unsubscribeURL(d *delivery) string {
	return s.options.URL + "/?Action=Unsubscribe&SubscriptionArn=" + d.subscriptionARN
}

func (s *Service) confirmURL(sub *subscription) string {
	return s.options.URL + "/?Action=ConfirmSubscription&TopicArn=" + sub.topic.arn + "&Token=" + url.QueryEscape(sub.token)
}

// member is one line of an envelope; its value is JSON.
type member struct{ name, value string }

// lines writes an object as SNS does: a member a line, blanks around colons.
func lines(members []member) string {
	var b strings.Builder
	b.WriteString("{\n")
	for i, m := range members {
		b.WriteString("  " + quote(m.name) + " : " + m.value)
		if i < len(members)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("}")
	return b.String()
}

func quote(text string) string { return string(marshal(text)) }

// marshal writes JSON without escaping what only HTML minds.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // texts and maps of them always have a form in JSON
	return bytes.TrimSpace(b.Bytes())
}

// envelope is what subscribers get who asked for no raw messages.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
func (s *Service) envelope(d *delivery, kind string) string {
	list := []member{{"Type", quote(kind)}, {"MessageId", quote(d.id)}, {"TopicArn", quote(d.topicARN)}}
	if d.subject != "" {
		list = append(list, member{"Subject", quote(d.subject)})
	}
	list = append(list,
		member{"Message", quote(d.text(d.protocol))},
		member{"Timestamp", quote(d.time.Format(timeForm))},
		member{"SignatureVersion", `"1"`},
		member{"Signature", quote(signature)},
		member{"SigningCertURL", quote(s.certificateURL())},
		member{"UnsubscribeURL", quote(s.unsubscribeURL(d))},
	)
	if len(d.attributes) > 0 {
		var all []string
		shown := d.shownAttributes()
		for _, name := range slices.Sorted(maps.Keys(shown)) {
			all = append(all, "    "+quote(name)+" : "+string(marshal(shown[name])))
		}
		list = append(list, member{"MessageAttributes", "{\n" + strings.Join(all, ",\n") + "\n  }"})
	}
	return lines(list)
}

// confirmation is what a web server is asked to confirm with.
func (s *Service) confirmation(d *delivery, token, link string) string {
	return lines([]member{
		{"Type", `"SubscriptionConfirmation"`},
		{"MessageId", quote(d.id)},
		{"Token", quote(token)},
		{"TopicArn", quote(d.topicARN)},
		{"Message", quote("You have chosen to subscribe to the topic " + d.topicARN + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.")},
		{"SubscribeURL", quote(link)},
		{"Timestamp", quote(d.time.Format(timeForm))},
		{"SignatureVersion", `"1"`},
		{"Signature", quote(signature)},
		{"SigningCertURL", quote(s.certificateURL())},
	})
}

type shownAttribute struct{ Type, Value string }

func (n *notification) shownAttributes() map[string]shownAttribute {
	shown := map[string]shownAttribute{}
	for name, a := range n.attributes {
		v := shownAttribute{Type: a.DataType, Value: a.text()}
		if a.StringValue == nil {
			v.Value = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
		shown[name] = v
	}
	return shown
}

// queueMessage is what a queue gets: the envelope, or the message itself with
// its attributes.
func (s *Service) queueMessage(d *delivery, queue string) QueueMessage {
	m := QueueMessage{QueueARN: queue, TopicARN: d.topicARN}
	if d.raw {
		m.Body, m.Attributes = d.text(d.protocol), d.attributes
	} else {
		m.Body = s.envelope(d, "Notification")
	}
	return m
}

// functionEvent is what a function gets.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
func (s *Service) functionEvent(d *delivery) []byte {
	type notice struct {
		Type, MessageId, TopicArn      string
		Subject                        *string
		Message, Timestamp             string
		SignatureVersion, Signature    string
		SigningCertUrl, UnsubscribeUrl string
		MessageAttributes              map[string]shownAttribute
	}
	type record struct {
		EventSource, EventVersion, EventSubscriptionArn string
		Sns                                             notice
	}
	n := notice{
		Type: "Notification", MessageId: d.id, TopicArn: d.topicARN, Message: d.text(d.protocol), Timestamp: d.time.Format(timeForm),
		SignatureVersion: "1", Signature: signature, SigningCertUrl: s.certificateURL(), UnsubscribeUrl: s.unsubscribeURL(d),
		MessageAttributes: d.shownAttributes(),
	}
	if d.subject != "" {
		n.Subject = &d.subject
	}
	return marshal(map[string]any{"Records": []record{{
		EventSource: "aws:sns", EventVersion: "1.0", EventSubscriptionArn: d.subscriptionARN, Sns: n,
	}}})
}
