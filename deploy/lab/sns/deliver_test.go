package sns_test

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/sns"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// golden compares with a file of testdata; SNS_GOLDEN=1 rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("SNS_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func readMail(t *testing.T, text string) (subject, body string, h mail.Header) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return subject, string(b), m.Header
}

var link = regexp.MustCompile(`https?://\S+`)

// A person subscribes, clicks the link, gets a mail, and clicks the other one.
func TestMail(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	out, err := l.Subscribe(t.Context(), &api.SubscribeInput{TopicArn: topic, Protocol: aws.String("email"), Endpoint: aws.String("ops@example.com")})
	if err != nil || *out.SubscriptionArn != "pending confirmation" {
		t.Fatalf("%v (%v), want a pending subscription", out, err)
	}
	l.say(t, topic, "too early")
	mails := l.files(t, "mail/ops@example.com")
	if len(mails) != 1 {
		t.Fatalf("%d mails, want the one that asks to confirm", len(mails))
	}
	_, body, _ := readMail(t, mails[0])
	visit(t, link.FindString(body))
	l.say(t, topic, "The key of web-1 is gone.\nNext: keytrail reconcile", func(in *api.PublishInput) { in.Subject = aws.String("[HIGH] web-1: missing") })
	mails = l.files(t, "mail/ops@example.com")
	if len(mails) != 2 {
		t.Fatalf("%d mails, want the message", len(mails))
	}
	subject, body, h := readMail(t, mails[1])
	if subject != "[HIGH] web-1: missing" || !strings.HasPrefix(body, "The key of web-1 is gone.\r\nNext: keytrail reconcile\r\n") {
		t.Errorf("mail %q:\n%s", subject, body)
	}
	if h.Get("From") != `"AWS Notifications" <no-reply@sns.amazonaws.com>` || h.Get("To") != "ops@example.com" || h.Get("Date") != "Mon, 02 Nov 2026 09:30:00 +0000" || h.Get("Message-ID") == "" {
		t.Errorf("headers %v", h)
	}
	golden(t, "mail.eml", strings.NewReplacer(l.url, "http://127.0.0.1:4566").Replace(mails[1]))
	links := link.FindAllString(body, -1)
	visit(t, links[0])
	l.say(t, topic, "too late")
	if n := len(l.files(t, "mail/ops@example.com")); n != 2 {
		t.Errorf("%d mails, want none after the unsubscribing", n)
	}
}

func visit(t *testing.T, url string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(r.Body)
		t.Fatalf("%s answers %d: %s", url, r.StatusCode, b)
	}
}

func TestMailOfOddTexts(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *sns.Options) { o.ConfirmMail = true })
	topic := l.topic(t, "alerts")
	l.join(t, topic, "email", "ops@example.com", nil)
	if _, err := l.SetTopicAttributes(t.Context(), &api.SetTopicAttributesInput{TopicArn: topic, AttributeName: aws.String("DisplayName"), AttributeValue: aws.String(`Schlüssel "A"`)}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ subject, message string }{
		{"Schlüssel " + strings.Repeat("ü", 80), "grün\n.\nFrom here"},
		{"plain", strings.Repeat("x", 2000) + "=\n\tend"},
		{"plain", "bell \x07 and a lone \rreturn"},
	} {
		l.say(t, topic, tt.message, func(in *api.PublishInput) { in.Subject = &tt.subject })
		mails := l.files(t, "mail/ops@example.com")
		text := mails[len(mails)-1]
		for line := range strings.SplitSeq(text, "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("a line of %d bytes, or one with a bare end: %.80q", len(line), line)
			}
		}
		subject, _, h := readMail(t, text)
		from, err := h.AddressList("From")
		if subject != tt.subject || err != nil || from[0].Name != `Schlüssel "A"` {
			t.Errorf("mail %q from %v (%v), want %q", subject, from, err, tt.subject)
		}
	}
}

func TestEachProtocolHasItsText(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *sns.Options) { o.ConfirmMail = true })
	topic := l.topic(t, "alerts")
	l.join(t, topic, "email", "ops@example.com", nil)
	l.join(t, topic, "sqs", queueARN, map[string]string{"RawMessageDelivery": "true"})
	l.join(t, topic, "lambda", functionARN, nil)
	id := l.say(t, topic, `{"default":"for machines","email":"for people","lambda":"for functions"}`, structured, func(in *api.PublishInput) {
		in.MessageAttributes = map[string]types.MessageAttributeValue{"severity": {DataType: aws.String("String"), StringValue: aws.String("high")}}
	})
	if got := l.messages(); len(got) != 1 || got[0].Body != "for machines" || *got[0].Attributes["severity"].StringValue != "high" || got[0].TopicARN != *topic {
		t.Errorf("the queue got %+v, want the default text, raw", got)
	}
	mails := l.files(t, "mail/ops@example.com")
	if _, body, _ := readMail(t, mails[len(mails)-1]); !strings.HasPrefix(body, "for people\r\n") {
		t.Errorf("mail:\n%s", body)
	}
	from, to, record := eventOf(t, l.events[0])
	if from != *topic || to != functionARN || record["EventSource"] != "aws:sns" || record["EventVersion"] != "1.0" {
		t.Errorf("%s invoked %s with %v", from, to, record)
	}
	notice := record["Sns"].(map[string]any)
	attribute := map[string]any{"severity": map[string]any{"Type": "String", "Value": "high"}}
	if notice["Message"] != "for functions" || notice["MessageId"] != id || notice["Subject"] != nil || notice["Timestamp"] != "2026-11-02T09:30:00.000Z" || !cmp.Equal(notice["MessageAttributes"], any(attribute)) {
		t.Errorf("event %v", notice)
	}
}

// server is a subscriber that answers with statuses, the last for ever.
type server struct {
	mu       sync.Mutex
	statuses []int
	requests []*http.Request
	bodies   []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(b))
	w.WriteHeader(s.statuses[0])
	if len(s.statuses) > 1 {
		s.statuses = s.statuses[1:]
	}
}

func (s *server) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies)
}

// await waits until a server has seen so many requests; the clock is moved on.
func (l *lab) await(t *testing.T, s *server, n int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for s.seen() < n {
		if time.Now().After(deadline) {
			t.Fatalf("the subscriber has seen %d requests, want %d", s.seen(), n)
		}
		l.advance(time.Second)
		time.Sleep(time.Millisecond) // between two looks
	}
}

func TestAWebServerConfirmsAndGetsEnvelopes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	s := &server{statuses: []int{200}}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	sub := l.join(t, topic, "http", web.URL+"/hook", nil)
	l.service.Wait()
	var confirmation, notice map[string]any
	if err := json.Unmarshal([]byte(s.bodies[0]), &confirmation); err != nil {
		t.Fatal(err)
	}
	if s.requests[0].Header.Get("X-Amz-Sns-Message-Type") != "SubscriptionConfirmation" || confirmation["Type"] != "SubscriptionConfirmation" {
		t.Errorf("confirmation %v with %v", confirmation, s.requests[0].Header)
	}
	if _, err := l.ConfirmSubscription(t.Context(), &api.ConfirmSubscriptionInput{TopicArn: topic, Token: aws.String("x")}); said(err) != "InvalidParameter: Invalid parameter: Token" {
		t.Errorf("error %v, want that the token is wrong", err)
	}
	visit(t, confirmation["SubscribeURL"].(string))
	id := l.say(t, topic, "<b>&\u00fc</b>", func(in *api.PublishInput) {
		in.Subject = aws.String("hello")
		in.MessageAttributes = map[string]types.MessageAttributeValue{"raw": {DataType: aws.String("Binary"), BinaryValue: []byte{1}}}
	})
	l.service.Wait()
	if err := json.Unmarshal([]byte(s.bodies[1]), &notice); err != nil {
		t.Fatal(err)
	}
	h := s.requests[1].Header
	if h.Get("X-Amz-Sns-Message-Type") != "Notification" || h.Get("X-Amz-Sns-Message-Id") != id || h.Get("X-Amz-Sns-Topic-Arn") != *topic ||
		h.Get("X-Amz-Sns-Subscription-Arn") != *sub || h.Get("Content-Type") != "text/plain; charset=UTF-8" {
		t.Errorf("headers %v", h)
	}
	if notice["Message"] != "<b>&ü</b>" || notice["Subject"] != "hello" || notice["MessageAttributes"].(map[string]any)["raw"].(map[string]any)["Value"] != "AQ==" {
		t.Errorf("envelope %v", notice)
	}
	golden(t, "envelope.json", strings.NewReplacer(l.url, "http://127.0.0.1:4566").Replace(s.bodies[1]))
}

func TestAWebServerIsTriedAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		statuses []int
		requests int // for the message
		dead     bool
	}{
		{"until it answers", []int{200, 500, 429, 200}, 3, false},
		{"three times", []int{200, 503}, 4, true},
		{"not when the client is wrong", []int{200, 404}, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			topic := l.topic(t, "alerts")
			s := &server{statuses: tt.statuses}
			web := httptest.NewServer(s)
			t.Cleanup(web.Close)
			l.join(t, topic, "http", web.URL, map[string]string{"RawMessageDelivery": "true", "RedrivePolicy": `{"deadLetterTargetArn":"` + deadARN + `"}`})
			l.service.Wait()
			if n := l.service.Confirm(web.URL); n != 1 {
				t.Fatalf("%d subscriptions are confirmed, want 1", n)
			}
			l.say(t, topic, "news")
			l.await(t, s, 1+tt.requests)
			dead := l.messages()
			if n := s.seen() - 1; n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			if tt.dead != (len(dead) == 1) || tt.dead && (dead[0].QueueARN != deadARN || dead[0].Body != "news") {
				t.Errorf("dead letters %v, want one: %t", dead, tt.dead)
			}
			if took := l.now().Sub(start); tt.requests == 4 && took < time.Minute {
				t.Errorf("four attempts took %v, want 20 seconds between them", took)
			}
			if s.requests[1].Header.Get("X-Amz-Sns-Rawdelivery") != "true" || s.bodies[1] != "news" {
				t.Errorf("request %v with %q, want it raw", s.requests[1].Header, s.bodies[1])
			}
		})
	}
}

func TestAQueueThatRefusesIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "alerts")
	attempts := 0
	l.refuse = func(queue string) error {
		if queue == deadARN {
			return nil
		}
		attempts++
		return &wire.Error{Code: "AccessDeniedException", Status: http.StatusForbidden}
	}
	l.join(t, topic, "sqs", queueARN, map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + deadARN + `"}`})
	l.say(t, topic, "news")
	if got := l.messages(); attempts != 1 || len(got) != 1 || got[0].QueueARN != deadARN {
		t.Errorf("%d attempts, queues got %v; want one and a dead letter", attempts, got)
	}
}
