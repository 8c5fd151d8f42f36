// Package evidence keeps what was seen in an S3 bucket. It has the one client that writes objects on a
// condition; what stands in them is decided by whoever writes them.
package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/keytrail/keytrail/rotate/register"
)

// What S3 may answer that callers tell apart.
var (
	// ErrAbsent: there is no such object. Without s3:ListBucket S3 says ErrDenied in its place.
	ErrAbsent = errors.New("no such object")
	// ErrChanged: the object is not, or no longer, as the write demanded. Read it and decide again.
	ErrChanged = errors.New("the object is another one by now")
	// ErrDenied: S3 denied the call.
	ErrDenied = errors.New("denied by S3: check the role's policy and the bucket's policy")
)

// objects is what a Bucket asks of S3.
type objects interface {
	s3.ListObjectsV2APIClient
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Bucket reads and writes small objects. It is safe for concurrent use.
type Bucket struct {
	objects objects
	name    string
}

// NewBucket returns the bucket with a name.
func NewBucket(client *s3.Client, name string) Bucket { return Bucket{client, name} }

// maxObject bounds what is read into memory.
const maxObject = 4 << 20

// Read returns an object and its tag. Errors: ErrAbsent, ErrDenied, and others that a retry may mend.
func (b Bucket) Read(ctx context.Context, key string) (body []byte, tag string, err error) {
	out, err := b.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return nil, "", b.explain("read", key, err)
	}
	defer func() { _ = out.Body.Close() }() // a body that was read has nothing more to say
	body, err = io.ReadAll(io.LimitReader(out.Body, maxObject+1))
	if err != nil {
		return nil, "", b.explain("read", key, err)
	}
	if len(body) > maxObject {
		return nil, "", fmt.Errorf("read s3://%s/%s: it has more than %d bytes", b.name, key, maxObject)
	}
	return body, aws.ToString(out.ETag), nil
}

// Write puts an object in place of the one with a tag, or where none is if the tag is empty, and returns
// its own tag. ErrChanged says that another write came first, is under way, or that the reply to this very
// write got lost and the SDK sent it again: whoever gets it reads and decides again.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (b Bucket) Write(ctx context.Context, key string, body []byte, tag string) (string, error) {
	in := b.write(key, body)
	if tag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &tag
	}
	out, err := b.objects.PutObject(ctx, in)
	if err != nil {
		err = b.explain("write", key, err)
		if tag != "" && errors.Is(err, ErrAbsent) {
			err = fmt.Errorf("write s3://%s/%s: %w: it is gone", b.name, key, ErrChanged)
		}
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// Create puts an object where none is, and has S3 keep it as the retention says. ErrChanged says that there is
// one, maybe this very one: see Write.
func (b Bucket) Create(ctx context.Context, key string, body []byte, keep register.Retention) error {
	in := b.write(key, body)
	in.IfNoneMatch = aws.String("*")
	if mode, until := keep.Until(time.Now()); mode != "" {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = mode, &until
	}
	if _, err := b.objects.PutObject(ctx, in); err != nil {
		return b.explain("write", key, err)
	}
	return nil
}

// write is what every write has. Object Lock refuses one without a checksum.
func (b Bucket) write(key string, body []byte) *s3.PutObjectInput {
	sum := sha256.Sum256(body)
	return &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, Body: bytes.NewReader(body), ContentType: aws.String(contentType(key)),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	}
}

// contentType is what a browser is told that an object is, by the end of its key.
func contentType(key string) string {
	switch path.Ext(key) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".csv":
		return "text/csv; charset=utf-8"
	}
	return "application/json"
}

// List returns the keys of all objects below a prefix that come after a key, in their order.
func (b Bucket) List(ctx context.Context, prefix, after string) ([]string, error) {
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}
	if after != "" {
		in.StartAfter = &after
	}
	var keys []string
	pages := s3.NewListObjectsV2Paginator(b.objects, in, func(o *s3.ListObjectsV2PaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.explain("list", prefix, err)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys, nil
}

// explain says what a call was about, and turns what S3 answered into this package's errors.
func (b Bucket) explain(verb, key string, err error) error {
	reason := err
	coded, _ := errors.AsType[smithy.APIError](err)
	status := 0
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	switch {
	case coded != nil && coded.ErrorCode() == "NoSuchKey":
		reason = ErrAbsent
	case status == http.StatusPreconditionFailed, status == http.StatusConflict:
		reason = ErrChanged
	case status == http.StatusForbidden:
		reason = ErrDenied
	}
	return fmt.Errorf("%s s3://%s/%s: %w", verb, b.name, key, reason)
}
