package rotate

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"
)

// wire answers every call of the real SDK with one canned reply and keeps what was asked.
type wire struct {
	target string
	body   map[string]any
	status int
	reply  string
}

func (w *wire) vault(t *testing.T) vault {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.target = r.Header.Get("X-Amz-Target")
		text, _ := io.ReadAll(r.Body)
		w.body = map[string]any{}
		if err := json.Unmarshal(text, &w.body); err != nil {
			t.Errorf("request body: %v", err)
		}
		rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
		rw.WriteHeader(w.status)
		_, _ = io.WriteString(rw, w.reply)
	}))
	t.Cleanup(server.Close)
	return vault{secretsmanager.New(secretsmanager.Options{
		Region:           "us-east-1",
		BaseEndpoint:     &server.URL,
		Credentials:      credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		RetryMaxAttempts: 1,
	})}
}

func TestThePendingValueIsStoredWithTheRotationToken(t *testing.T) {
	t.Parallel()
	w := &wire{status: 200, reply: `{}`}
	r := request{version: "11111111-2222-3333-4444-555555555555", rotationToken: "token-of-thirty-six-characters-------"}
	v, err := parseValue(`{"PublicKey":"","PrivateKey":"","n":1.10}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.vault(t).putPending(t.Context(), secret{arn: "arn:s"}, r, v); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"SecretId":           "arn:s",
		"ClientRequestToken": r.version,
		"SecretString":       `{"PrivateKey":"","PublicKey":"","n":1.10}`,
		"VersionStages":      []any{"AWSPENDING"},
		"RotationToken":      r.rotationToken,
	}
	if diff := cmp.Diff(want, w.body); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if w.target != "secretsmanager.PutSecretValue" {
		t.Errorf("target %q", w.target)
	}
}

func TestAVersionThatHoldsAnotherValueIsTold(t *testing.T) {
	t.Parallel()
	w := &wire{status: 400, reply: `{"__type":"ResourceExistsException","Message":"You can't use ClientRequestToken"}`}
	err := w.vault(t).putPending(t.Context(), secret{arn: "arn:s"}, request{version: "v"}, emptyValue())
	if !errors.Is(err, errTaken) {
		t.Errorf("got %v, want errTaken", err)
	}
}

func TestPromotionNamesTheVersionThatLosesTheLabel(t *testing.T) {
	t.Parallel()
	w := &wire{status: 200, reply: `{}`}
	s := secret{arn: "arn:s", stages: map[string][]string{"old": {"AWSCURRENT"}, "new": {"AWSPENDING"}}}
	if err := w.vault(t).promote(t.Context(), s, "new"); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"SecretId": "arn:s", "VersionStage": "AWSCURRENT", "MoveToVersionId": "new", "RemoveFromVersionId": "old"}
	if diff := cmp.Diff(want, w.body); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestASecretThatWasNeverRotatedCanBeDescribed(t *testing.T) {
	t.Parallel()
	w := &wire{status: 200, reply: `{"ARN":"arn:s","Name":"n"}`}
	s, err := w.vault(t).describe(t.Context(), "n")
	if err != nil || s.disabled || s.has("v", labelPending) {
		t.Errorf("got %+v, %v", s, err)
	}
	w.status, w.reply = 400, `{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret."}`
	if _, err := w.vault(t).describe(t.Context(), "n"); !isPermanent(err) {
		t.Errorf("no such secret: %v, want a permanent error", err)
	}
}
