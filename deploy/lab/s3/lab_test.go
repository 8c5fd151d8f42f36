package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/keytrail/keytrail/deploy/lab/s3"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const name = "keytrail"

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// lab is the service behind a wire front, with an SDK client and a clock.
type lab struct {
	*api.Client
	service *s3.Service
	front   *wire.Front
	server  *httptest.Server
	dir     string
	passed  atomic.Int64 // since start
}

func (l *lab) now() time.Time { return start.Add(time.Duration(l.passed.Load())) }

// open starts the service, over TLS where the SDK is to send trailers.
func open(t *testing.T, serve func(http.Handler) *httptest.Server, o s3.Options) *lab {
	t.Helper()
	l := &lab{dir: o.Dir}
	if l.dir == "" {
		l.dir = t.TempDir()
	}
	o.Dir, o.Now = l.dir, l.now
	var err error
	if l.service, err = s3.New(o); err != nil {
		t.Fatal(err)
	}
	l.front = wire.New(wire.Options{})
	l.front.AddIdentity(wire.Identity{AccessKeyID: "BLIND", ARN: "arn:aws:sts::111122223333:assumed-role/blind/session"})
	l.front.HandleHTTP("s3", l.service)
	l.server = serve(l.front)
	t.Cleanup(l.server.Close)
	l.Client = l.as("AKIA")
	return l
}

// newLab has a bucket with Object Lock, and one without versions.
func newLab(t *testing.T, o s3.Options) *lab {
	t.Helper()
	l := open(t, httptest.NewServer, o)
	l.make(t, name, true)
	l.make(t, "plain", false)
	return l
}

func (l *lab) make(t *testing.T, bucket string, lock bool) {
	t.Helper()
	if _, err := l.CreateBucket(t.Context(), &api.CreateBucketInput{Bucket: &bucket, ObjectLockEnabledForBucket: &lock}); err != nil {
		t.Fatal(err)
	}
}

// as returns a client with another access key, and the SDK's defaults for
// checksums, which a client without a loaded configuration lacks.
func (l *lab) as(key string) *api.Client {
	return api.New(api.Options{
		Region: "us-east-1", BaseEndpoint: &l.server.URL, Retryer: aws.NopRetryer{}, HTTPClient: l.server.Client(),
		Credentials:                credentials.NewStaticCredentialsProvider(key, "secret", ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
}

// put puts an object, changed by functions.
func (l *lab) put(ctx context.Context, bucket, key, body string, change ...func(*api.PutObjectInput)) (*api.PutObjectOutput, error) {
	in := &api.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}
	for _, f := range change {
		f(in)
	}
	return l.PutObject(ctx, in)
}

func (l *lab) mustPut(t *testing.T, bucket, key, body string, change ...func(*api.PutObjectInput)) *api.PutObjectOutput {
	t.Helper()
	out, err := l.put(t.Context(), bucket, key, body, change...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// get returns an object's bytes, of the current version for "".
func (l *lab) get(ctx context.Context, bucket, key, version string) (string, error) {
	in := &api.GetObjectInput{Bucket: &bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	out, err := l.GetObject(ctx, in)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(out.Body)
	return string(b), errors.Join(err, out.Body.Close())
}

func (l *lab) expect(t *testing.T, bucket, key, want string) {
	t.Helper()
	if got, err := l.get(t.Context(), bucket, key, ""); err != nil || got != want {
		t.Errorf("%s/%s = %q, %v, want %q", bucket, key, got, err, want)
	}
}

func ifAbsent(in *api.PutObjectInput) { in.IfNoneMatch = aws.String("*") }

func ifMatch(tag string) func(*api.PutObjectInput) {
	return func(in *api.PutObjectInput) { in.IfMatch = &tag }
}

func retained(mode types.ObjectLockMode, until time.Time) func(*api.PutObjectInput) {
	return func(in *api.PutObjectInput) { in.ObjectLockMode, in.ObjectLockRetainUntilDate = mode, &until }
}

// refused checks an error's code, and status.
func refused(t *testing.T, err error, code string, status int) {
	t.Helper()
	var e smithy.APIError
	var r interface{ HTTPStatusCode() int }
	if !errors.As(err, &e) || !errors.As(err, &r) || e.ErrorCode() != code || r.HTTPStatusCode() != status {
		t.Errorf("err = %v, want %s and status %d", err, code, status)
	}
}

// message returns what an API error says.
func message(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorMessage()
	}
	return ""
}

// raw sends a request that no SDK would make.
func (l *lab) raw(t *testing.T, method, path, body string, header map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, l.server.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := l.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}
