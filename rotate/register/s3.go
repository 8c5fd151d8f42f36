package register

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// objects is what the register asks of S3.
type objects interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	s3.ListObjectsV2APIClient
}

var _ objects = (*s3.Client)(nil)

// What S3 may answer that callers tell apart.
var (
	// ErrDenied: S3 denied the call. Without s3:ListBucket it denies reading a missing object as well.
	ErrDenied = errors.New("denied by S3: check the role's policy, the bucket's policy and the bucket's owner")
	// ErrNoBucket: there is no such bucket.
	ErrNoBucket = errors.New("the bucket does not exist")
	// ErrBusy: other writes to the same object went on for as long as this one was tried.
	ErrBusy = errors.New("other writes to the object are under way")

	errAbsent       = errors.New("no such object")
	errPrecondition = errors.New("the object is another one by now")
)

// Retention is how long S3 must keep a fact under Object Lock. The zero value asks for none, which is
// all that a bucket without Object Lock takes. ParseRetention makes others.
type Retention struct {
	mode types.ObjectLockMode
	days int
}

// ParseRetention reads "governance:DAYS" or "compliance:DAYS", and nothing as no retention.
func ParseRetention(text string) (Retention, error) {
	if text == "" {
		return Retention{}, nil
	}
	// S3's own limit is 100 years: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DefaultRetention.html
	const maxDays = 36500
	mode, number, _ := strings.Cut(text, ":")
	r := Retention{mode: types.ObjectLockMode(strings.ToUpper(mode))}
	var err error
	r.days, err = strconv.Atoi(number)
	known := r.mode == types.ObjectLockModeGovernance || r.mode == types.ObjectLockModeCompliance
	if err != nil || !known || r.days < 1 || r.days > maxDays {
		return Retention{}, fmt.Errorf("%q is no retention: want governance:DAYS or compliance:DAYS, 1 to %d days", text, maxDays)
	}
	return r, nil
}

// Until returns S3's mode, and until when an object that is written at a time is kept; "" for no retention.
func (r Retention) Until(written time.Time) (mode types.ObjectLockMode, until time.Time) {
	return r.mode, written.AddDate(0, 0, r.days)
}

// String is the form that ParseRetention reads.
func (r Retention) String() string {
	if r.days == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", strings.ToLower(string(r.mode)), r.days)
}

// bucket speaks to S3 in this package's words.
type bucket struct {
	objects objects
	name    string
}

// create writes an object where none is, and returns its tag. errPrecondition when one is.
func (b bucket) create(ctx context.Context, key string, body []byte, keep Retention, from time.Time) (string, error) {
	in := b.write(key, body)
	in.IfNoneMatch = aws.String("*")
	if mode, until := keep.Until(from); mode != "" {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = mode, &until
	}
	return b.put(ctx, in, body)
}

// replace writes an object in place of the one with the given tag, and returns its own.
// errPrecondition when it is another one by now, errAbsent when it is gone.
func (b bucket) replace(ctx context.Context, key string, body []byte, tag string) (string, error) {
	in := b.write(key, body)
	in.IfMatch = &tag
	return b.put(ctx, in, body)
}

// write fills in what every write has. The checksum is of what was meant to be written, and Object
// Lock refuses a write without one.
func (b bucket) write(key string, body []byte) *s3.PutObjectInput {
	sum := sha256.Sum256(body)
	return &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, ContentType: aws.String("application/json"),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	}
}

// put writes, again and again while S3 answers 409: another conditional write of the object is under
// way. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (b bucket) put(ctx context.Context, in *s3.PutObjectInput, body []byte) (string, error) {
	const tries = 6
	for n := range tries {
		if n > 0 {
			// 10 ms to 310 ms in all, with as much again by chance, so that writers part.
			pause := 10 * time.Millisecond << (n - 1)
			select {
			case <-ctx.Done():
				return "", fmt.Errorf("write s3://%s/%s: %w", b.name, *in.Key, context.Cause(ctx))
			case <-time.After(pause + rand.N(pause)):
			}
		}
		in.Body = bytes.NewReader(body)
		out, err := b.objects.PutObject(ctx, in)
		if err == nil {
			return aws.ToString(out.ETag), nil
		}
		if status(err) != http.StatusConflict {
			return "", b.explain("write", *in.Key, err)
		}
	}
	return "", fmt.Errorf("write s3://%s/%s: %w: given up after %d tries", b.name, *in.Key, ErrBusy, tries)
}

// maxObject is more than the largest fact.
const maxObject = 1 << 20

// read returns an object and its tag. Of one that has more bytes than that it returns one byte more, and no
// more.
func (b bucket) read(ctx context.Context, key string, most int64) (body []byte, tag string, err error) {
	out, err := b.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return nil, "", b.explain("read", key, err)
	}
	defer func() { _ = out.Body.Close() }() // a body that was read has nothing more to say
	body, err = io.ReadAll(io.LimitReader(out.Body, most+1))
	if err != nil {
		return nil, "", b.explain("read", key, err)
	}
	return body, aws.ToString(out.ETag), nil
}

// listed is an object as a list shows it.
type listed struct{ key, tag string }

// list returns all objects below a prefix, by key. With an error it returns those listed before it.
func (b bucket) list(ctx context.Context, prefix string) ([]listed, error) {
	var all []listed
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}
	pages := s3.NewListObjectsV2Paginator(b.objects, in, func(o *s3.ListObjectsV2PaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return all, b.explain("list", prefix, err)
		}
		for _, o := range page.Contents {
			all = append(all, listed{aws.ToString(o.Key), aws.ToString(o.ETag)})
		}
	}
	return all, nil
}

// explain says what a call was about, and turns what S3 answered into this package's errors.
func (b bucket) explain(verb, key string, err error) error {
	var coded interface {
		error
		ErrorCode() string
	}
	code := ""
	if errors.As(err, &coded) {
		code = coded.ErrorCode()
	}
	reason := err
	switch {
	case code == "NoSuchBucket":
		reason = ErrNoBucket
	case code == "NoSuchKey":
		reason = errAbsent
	case status(err) == http.StatusPreconditionFailed:
		reason = errPrecondition
	case status(err) == http.StatusForbidden:
		reason = fmt.Errorf("%w (%s)", ErrDenied, code)
	}
	return fmt.Errorf("%s s3://%s/%s: %w", verb, b.name, key, reason)
}

// status returns the HTTP status that S3 answered, or 0.
func status(err error) int {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}
