package signed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

var config = aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "token")}

func explain(r Reply) (code, message string) {
	code, message, _ = strings.Cut(string(r.Body), ": ")
	return code, message
}

func TestACallIsSignedForItsService(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); !strings.Contains(a, "/eu-west-1/things/aws4_request") || !strings.Contains(a, "content-type;") || !strings.Contains(a, "x-amz-target") {
			t.Errorf("authorization %q", a)
		}
		if r.Header.Get("X-Amz-Security-Token") != "token" || r.Header.Get("X-Amz-Target") != "Things.Do" || r.URL.RequestURI() != "/a/b?C=d" || r.Method != http.MethodPost {
			t.Errorf("%s %s with %v", r.Method, r.URL.RequestURI(), r.Header)
		}
		w.Header().Set("X-Echo", "yes")
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(server.Close)
	c := config
	c.BaseEndpoint = &server.URL
	reply, err := New(c, "things", explain).Post(t.Context(), "/a/b?C=d", Target("Things.Do"), []byte("hello"))
	if err != nil || string(reply.Body) != "hello" || reply.Header.Get("X-Echo") != "yes" {
		t.Errorf("%+v, %v", reply, err)
	}
}

// answers are one for each call, a status and a body; status 0 is a connection that broke.
type answers struct {
	calls   int
	replies []Reply
	host    string
}

func (a *answers) Do(r *http.Request) (*http.Response, error) {
	next := a.replies[min(a.calls, len(a.replies)-1)]
	a.calls++
	a.host = r.URL.Host
	if next.Status == 0 {
		return nil, errors.New("connection reset")
	}
	return &http.Response{StatusCode: next.Status, Body: io.NopCloser(strings.NewReader(string(next.Body)))}, nil
}

func TestWhatPassesIsTriedAgainAndWhatDoesNotIsTold(t *testing.T) {
	t.Parallel()
	busy, lost, ill := Reply{Status: 429, Body: []byte("TooMany: slow down")}, Reply{}, Reply{Status: 503}
	limit, denied := Reply{Status: 400, Body: []byte("RequestLimitExceeded: slow down")}, Reply{Status: 403, Body: []byte("Denied: you may not")}
	queue := Reply{Status: 400, Body: []byte("RequestThrottled: slow down")} // as SQS says it
	good := Reply{Status: 202, Body: []byte("done")}
	for _, row := range []struct {
		name    string
		replies []Reply
		calls   int
		want    string // of the error
	}{
		{"everything that passes", []Reply{busy, lost, ill, limit, queue, good}, 6, ""},
		{"a refusal", []Reply{denied, good}, 1, "Denied (403): you may not"},
		{"a service that stays ill", []Reply{ill}, 8, "no code (503): "},
		{"a connection that stays broken", []Reply{lost}, 8, "connection reset"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &answers{replies: row.replies}
				c := config
				c.HTTPClient = a
				reply, err := New(c, "things", explain).Post(t.Context(), "/", JSON(), nil)
				switch {
				case row.want == "" && (err != nil || string(reply.Body) != "done"):
					t.Errorf("%+v, %v", reply, err)
				case row.want != "" && (err == nil || err.Error() != row.want):
					t.Errorf("error %v, want %s", err, row.want)
				}
				if a.calls != row.calls || a.host != "things.eu-west-1.amazonaws.com" {
					t.Errorf("%d calls to %s, want %d", a.calls, a.host, row.calls)
				}
			})
		})
	}
}

func TestAPauseEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		deadline := errors.New("short of the deadline")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, deadline)
		defer cancel()
		c := config
		c.HTTPClient = &answers{replies: []Reply{{Status: 503}}}
		if _, err := New(c, "things", explain).Post(ctx, "/", JSON(), nil); !errors.Is(err, deadline) {
			t.Errorf("error %v", err)
		}
	})
}
