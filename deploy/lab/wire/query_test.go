package wire_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// speaker is a service of the query protocol that tells who said what.
type speaker struct{}

func (speaker) Serve(_ context.Context, r wire.Request) (any, error) {
	form, err := url.ParseQuery(string(r.Body))
	switch {
	case err != nil:
		return nil, err
	case r.Action == "Unsubscribe":
		return nil, nil
	case form.Get("Message") == "":
		return nil, &wire.Error{Code: "InvalidParameter", Message: "Invalid parameter: <Message>"}
	}
	return struct{ MessageId string }{form.Get("Message") + " by " + r.Caller.ARN}, nil
}

func TestQueryProtocol(t *testing.T) {
	t.Parallel()
	front := wire.New(wire.Options{})
	front.HandleQuery("sns", "http://sns.example/", speaker{})
	signed := "AWS4-HMAC-SHA256 Credential=AKIA/20261102/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=x"
	tests := []struct {
		name, method, query, body, authorization string
		status                                   int
		want                                     string
	}{
		{"a form", "POST", "", "Action=Publish&Message=a%26b", signed, 200,
			`<PublishResponse xmlns="http://sns.example/"><PublishResult><MessageId>a&amp;b by arn:aws:iam::111122223333:user/operator</MessageId></PublishResult><ResponseMetadata><RequestId>`},
		{"an error", "POST", "", "Action=Publish", signed, 400, `<ErrorResponse xmlns="http://sns.example/"><Error><Type>Sender</Type><Code>InvalidParameter</Code><Message>Invalid parameter: &lt;Message&gt;</Message></Error>`},
		{"no action", "POST", "", "Message=x", signed, 400, "<Code>MissingAction</Code>"},
		{"an action without a result, unsigned", "GET", "?Action=Unsubscribe&SubscriptionArn=x", "", "", 200, `<UnsubscribeResponse xmlns="http://sns.example/"><ResponseMetadata>`},
		{"another action, unsigned", "GET", "?Action=Publish&Message=x", "", "", 400, "MissingAuthenticationToken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/"+tt.query, strings.NewReader(tt.body))
			if tt.body != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			}
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			w := httptest.NewRecorder()
			front.ServeHTTP(w, r)
			b, err := io.ReadAll(w.Body)
			if err != nil || w.Code != tt.status || !strings.Contains(string(b), tt.want) || w.Header().Get("X-Amzn-Requestid") == "" {
				t.Errorf("%d %s (%v), want %d with %s", w.Code, b, err, tt.status, tt.want)
			}
		})
	}
	if n := front.Counts()["sns:Publish"]; n != 2 {
		t.Errorf("%d calls of Publish are recorded, want 2", n)
	}
}

// A service of AWS JSON 1.0 is answered in 1.0, with its older codes.
func TestJSON10(t *testing.T) {
	t.Parallel()
	front := wire.New(wire.Options{})
	front.Handle("sqs", refuser{})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261102/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=x")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "AmazonSQS.GetQueueUrl")
	w := httptest.NewRecorder()
	front.ServeHTTP(w, r)
	h := w.Header()
	if h.Get("Content-Type") != "application/x-amz-json-1.0" || h.Get("X-Amzn-Query-Error") != "AWS.SimpleQueueService.NonExistentQueue;Sender" ||
		w.Body.String() != `{"__type":"QueueDoesNotExist","message":"no"}` {
		t.Errorf("%v %s", h, w.Body)
	}
}

type refuser struct{}

func (refuser) Serve(context.Context, wire.Request) (any, error) {
	return nil, &wire.Error{Code: "QueueDoesNotExist", Query: "AWS.SimpleQueueService.NonExistentQueue", Message: "no"}
}
