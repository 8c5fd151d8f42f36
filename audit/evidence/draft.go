package evidence

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Draft returns a bucket that reads as this one does, and keeps what is written to itself: nothing of it ever
// reaches S3.
func (b Bucket) Draft() Bucket {
	return Bucket{&draft{objects: b.objects, written: map[string][]byte{}}, b.name}
}

// draft is S3 with objects that were not written.
type draft struct {
	objects
	mu      sync.Mutex
	written map[string][]byte
}

func (d *draft) find(key string) ([]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	body, ok := d.written[key]
	return body, ok
}

func (d *draft) GetObject(ctx context.Context, in *s3.GetObjectInput, opts ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if body, ok := d.find(aws.ToString(in.Key)); ok {
		return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(body)), ETag: aws.String(Sum(body))}, nil
	}
	return d.objects.GetObject(ctx, in, opts...)
}

func (d *draft) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	there, err := d.GetObject(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key})
	_, absent := errors.AsType[*types.NoSuchKey](err)
	if err != nil && !absent {
		return nil, err
	}
	tag := ""
	if err == nil {
		_ = there.Body.Close() // nobody reads it
		tag = aws.ToString(there.ETag)
	}
	if in.IfNoneMatch != nil && tag != "" || in.IfMatch != nil && tag != *in.IfMatch {
		response := &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusPreconditionFailed}}
		return nil, &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{Response: response, Err: errors.New("the draft has another object")}}
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written[aws.ToString(in.Key)] = body
	return &s3.PutObjectOutput{ETag: aws.String(Sum(body))}, nil
}

func (d *draft) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, opts ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	out, err := d.objects.ListObjectsV2(ctx, in, opts...)
	if err != nil || aws.ToBool(out.IsTruncated) {
		return out, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(d.written)) {
		there := func(o types.Object) bool { return aws.ToString(o.Key) == key }
		if strings.HasPrefix(key, aws.ToString(in.Prefix)) && key > aws.ToString(in.StartAfter) && !slices.ContainsFunc(out.Contents, there) {
			out.Contents = append(out.Contents, types.Object{Key: aws.String(key)})
		}
	}
	slices.SortFunc(out.Contents, func(a, b types.Object) int { return strings.Compare(aws.ToString(a.Key), aws.ToString(b.Key)) })
	return out, nil
}
