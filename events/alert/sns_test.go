package alert

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"
)

var topicARNs = map[Topic]string{
	Alerts: "arn:aws:sns:eu-west-1:111122223333:keytrail-alerts",
	Chat:   "arn:aws:sns:eu-west-1:111122223333:keytrail-chat",
}

// topics returns a publisher whose requests an HTTP server answers and hands to the test.
func topics(t *testing.T, status int, answer string, heard func(url.Values)) Topics {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		heard(form)
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	client := sns.New(sns.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
	return NewTopics(client, site, topicARNs)
}

const published = `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>x</MessageId></PublishResult></PublishResponse>`

func TestAMessageIsPublishedToEachTopicInItsForm(t *testing.T) {
	t.Parallel()
	var forms []url.Values
	publisher := topics(t, 200, published, func(f url.Values) { forms = append(forms, f) })
	m := message(DriftMissing, Opened)
	for _, topic := range []Topic{Alerts, Chat} {
		if err := publisher.Publish(t.Context(), topic, m); err != nil {
			t.Fatal(err)
		}
	}
	for i, topic := range []Topic{Alerts, Chat} {
		got := map[string]string{}
		for key, name := range forms[i] {
			if entry, ok := strings.CutSuffix(key, ".Name"); ok {
				got[name[0]] = forms[i].Get(entry + ".Value.StringValue")
			}
		}
		want := map[string]string{"severity": "critical", "condition": "drift-missing", "status": "opened", "secret": "fleet/deploy", "account": "111122223333", "region": "eu-west-1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attributes (-want +got):\n%s", diff)
		}
		if f := forms[i]; f.Get("Action") != "Publish" || f.Get("TopicArn") != topicARNs[topic] {
			t.Errorf("%s: %s to %s", topic, f.Get("Action"), f.Get("TopicArn"))
		}
	}
	p := render(t, m)
	if f := forms[0]; f.Get("MessageStructure") != "json" || f.Get("Subject") != p.subject() {
		t.Errorf("structure %q, subject %q", f.Get("MessageStructure"), f.Get("Subject"))
	}
	var parts map[string]string
	if err := json.Unmarshal([]byte(forms[0].Get("Message")), &parts); err != nil {
		t.Fatal(err)
	}
	document := must(t, func() ([]byte, error) { return p.document(maxPlaces) })
	if diff := cmp.Diff(map[string]string{"default": string(document), "email": p.mail(), "sms": p.subject()}, parts); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	if f := forms[1]; f.Get("Message") != string(must(t, p.chat)) || f.Has("MessageStructure") || f.Has("Subject") {
		t.Errorf("chat is not the schema itself: %v", f)
	}
}

func TestARefusedPublishIsAnError(t *testing.T) {
	t.Parallel()
	publisher := topics(t, 403, `<ErrorResponse><Error><Code>AuthorizationError</Code><Message>no</Message></Error></ErrorResponse>`, func(url.Values) {})
	if err := publisher.Publish(t.Context(), Alerts, message(DriftMissing, Opened)); err == nil || !strings.Contains(err.Error(), "AuthorizationError") {
		t.Errorf("got %v", err)
	}
	if err := publisher.Publish(t.Context(), "pager", message(DriftMissing, Opened)); err == nil {
		t.Error("a topic that is not configured was published to")
	}
	if err := publisher.Publish(t.Context(), Alerts, Message{Condition: "new"}); err == nil {
		t.Error("an unknown condition was published")
	}
}

func TestWhatWasHealedStandsInTheThreadOfTheDrift(t *testing.T) {
	t.Parallel()
	var drift, healed notification
	for id, n := range map[ID]*notification{DriftMissing: &drift, HealDone: &healed} {
		if err := json.Unmarshal(must(t, render(t, message(id, Opened)).chat), n); err != nil {
			t.Fatal(err)
		}
	}
	if drift.Metadata.ThreadID != healed.Metadata.ThreadID || drift.ID == healed.ID {
		t.Errorf("drift in thread %s, healed in %s", drift.Metadata.ThreadID, healed.Metadata.ThreadID)
	}
}
