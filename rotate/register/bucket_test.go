package register

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const bucketName = "keytrail-111122223333"

// fakeS3 is one bucket over HTTP, as far as the register uses it. It refuses what S3 refuses.
type fakeS3 struct {
	*s3.Client
	mu      sync.Mutex
	objects map[string]string
	calls   []*http.Request
	pageLen int
	opaque  bool // its ETags are no MD5, as under SSE-KMS

	// answer, if set, may answer a request in place of the bucket, with a status and a code.
	answer func(r *http.Request, key string) (status int, code string)
	// lost, if set, lets a request take effect and then loses the reply.
	lost func(r *http.Request) bool
}

func newFakeS3(t *testing.T) *fakeS3 {
	t.Helper()
	f := &fakeS3{objects: map[string]string{}, pageLen: 1000}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.Client = s3.New(s3.Options{
		Region:           "us-east-1",
		BaseEndpoint:     &server.URL,
		UsePathStyle:     true,
		Credentials:      credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		RetryMaxAttempts: 1,
	})
	return f
}

func (f *fakeS3) etag(body string) string {
	sum := md5.Sum([]byte(body))
	if f.opaque {
		sum = md5.Sum(sum[:])
	}
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, r)
	key, ok := strings.CutPrefix(r.URL.Path, "/"+bucketName)
	key = strings.TrimPrefix(key, "/")
	body, _ := io.ReadAll(r.Body)
	if f.answer != nil {
		if status, code := f.answer(r, key); status != 0 {
			refuse(w, status, code)
			return
		}
	}
	switch {
	case !ok:
		refuse(w, 404, "NoSuchBucket")
	case r.Method == http.MethodPut:
		f.put(w, r, key, string(body))
	case r.URL.Query().Get("list-type") == "2":
		f.list(w, r)
	case r.Method == http.MethodGet:
		object, ok := f.objects[key]
		if !ok {
			refuse(w, 404, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", f.etag(object))
		_, _ = io.WriteString(w, object)
	default:
		refuse(w, 405, "MethodNotAllowed")
	}
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, key, body string) {
	sum := sha256.Sum256([]byte(body))
	if r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
		refuse(w, 400, "InvalidRequest")
		return
	}
	object, exists := f.objects[key]
	match := r.Header.Get("If-Match")
	switch {
	case r.Header.Get("If-None-Match") == "*" && exists, match != "" && exists && match != f.etag(object):
		refuse(w, 412, "PreconditionFailed")
		return
	case match != "" && !exists:
		refuse(w, 404, "NoSuchKey")
		return
	}
	f.objects[key] = body
	if f.lost != nil && f.lost(r) {
		refuse(w, 500, "InternalError")
		return
	}
	w.Header().Set("ETag", f.etag(body))
}

func (f *fakeS3) list(w http.ResponseWriter, r *http.Request) {
	type content struct {
		Key  string
		ETag string
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []content
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
	}
	query := r.URL.Query()
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, query.Get("prefix")) || key <= query.Get("continuation-token") {
			continue
		}
		if len(page.Contents) == f.pageLen {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[f.pageLen-1].Key
			break
		}
		page.Contents = append(page.Contents, content{key, f.etag(f.objects[key])})
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(page)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as told</Message></Error>", code)
}

// count returns how many requests had a method, lists apart from reads.
func (f *fakeS3) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.calls {
		kind := r.Method
		if r.URL.Query().Has("list-type") {
			kind = "LIST"
		}
		if kind == method {
			n++
		}
	}
	return n
}

// retrying lets the SDK retry as it does by default, but at once.
func (f *fakeS3) retrying() *s3.Client {
	o := f.Options()
	o.RetryMaxAttempts = 3
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
	return s3.New(o)
}
