package evidence

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
)

// exchange is one request as S3 got it, and what S3 answers.
type exchange struct {
	request http.Header
	method  string
	path    string
	body    string

	status int
	code   string
}

func (e *exchange) bucket(t *testing.T) Bucket {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		e.request, e.method, e.path, e.body = r.Header, r.Method, r.URL.Path, string(b)
		if e.status != 200 {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(e.status)
			_, _ = io.WriteString(w, "<Error><Code>"+e.code+"</Code></Error>")
			return
		}
		w.Header().Set("ETag", `"new"`)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"a":1}`)
		}
	}))
	t.Cleanup(server.Close)
	return NewBucket(s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}), "b")
}

func TestWritesAreOnACondition(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string][2]string{"": {"*", ""}, `"old"`: {"", `"old"`}} {
		e := &exchange{status: 200}
		got, err := e.bucket(t).Write(t.Context(), "k", []byte(`{"a":1}`), tag)
		if err != nil || got != `"new"` {
			t.Fatalf("tag %s, error %v", got, err)
		}
		if diff := cmp.Diff(want, [2]string{e.request.Get("If-None-Match"), e.request.Get("If-Match")}); diff != "" {
			t.Errorf("tag %q (-want +got):\n%s", tag, diff)
		}
		if e.method != "PUT" || e.path != "/b/k" || e.body != `{"a":1}` || e.request.Get("X-Amz-Checksum-Sha256") == "" {
			t.Errorf("%s %s %s %v", e.method, e.path, e.body, e.request)
		}
	}
	e := &exchange{status: 200}
	if body, tag, err := e.bucket(t).Read(t.Context(), "k"); err != nil || string(body) != `{"a":1}` || tag != `"new"` {
		t.Errorf("%s %s %v", body, tag, err)
	}
}

func TestWhatS3RefusesIsToldApart(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		status      int
		code        string
		read, write error
	}{
		{"gone", 404, "NoSuchKey", ErrAbsent, ErrChanged},
		{"written by another", 412, "PreconditionFailed", ErrChanged, ErrChanged},
		{"being written by another", 409, "ConditionalRequestConflict", ErrChanged, ErrChanged},
		{"denied", 403, "AccessDenied", ErrDenied, ErrDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := &exchange{status: tt.status, code: tt.code}
			b := e.bucket(t)
			if _, _, err := b.Read(t.Context(), "k"); !errors.Is(err, tt.read) {
				t.Errorf("read: %v", err)
			}
			if _, err := b.Write(t.Context(), "k", nil, `"old"`); !errors.Is(err, tt.write) {
				t.Errorf("write: %v", err)
			}
		})
	}
}
