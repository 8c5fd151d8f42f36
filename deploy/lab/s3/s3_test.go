package s3_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/s3"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func TestCallsAreRecordedByTheirActions(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	for _, route := range []struct{ method, path, want string }{
		{"GET", "/", "ListBuckets"},
		{"GET", "/keytrail?list-type=2&prefix=a&max-keys=1&x-id=ListObjectsV2", "ListObjectsV2"},
		{"GET", "/keytrail/?delimiter=%2F", "ListObjects"},
		{"GET", "/keytrail?versions", "ListObjectVersions"},
		{"HEAD", "/keytrail", "HeadBucket"},
		{"GET", "/keytrail?publicAccessBlock", "GetPublicAccessBlock"},
		{"PUT", "/keytrail/k?x-id=PutObject", "PutObject"},
		{"GET", "/keytrail/k", "GetObject"},
		{"HEAD", "/keytrail/k?versionId=v", "HeadObject"},
		{"GET", "/keytrail/k?retention", "GetObjectRetention"},
		{"DELETE", "/keytrail/k?versionId=v", "DeleteObject"},
		{"POST", "/keytrail?delete", "DeleteObjects"},
		{"GET", "/keytrail/k?tagging", "GET /keytrail/k"},
		{"POST", "/keytrail/k?uploads", "POST /keytrail/k"},
		{"GET", "/keytrail?acl", "GET /keytrail"},
		{"PATCH", "/keytrail", "PATCH /keytrail"},
	} {
		l.front.ResetCalls()
		resp, body := l.raw(t, route.method, route.path, "", nil)
		if diff := cmp.Diff(map[string]int{"s3:" + route.want: 1}, l.front.Counts()); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", route.method, route.path, diff)
		}
		if modelled := !strings.Contains(route.want, " "); modelled == (resp.StatusCode == http.StatusNotImplemented) {
			t.Errorf("%s %s: %d %s", route.method, route.path, resp.StatusCode, body)
		}
		if id := resp.Header.Values("X-Amz-Request-Id"); len(id) != 1 || id[0] != l.front.Calls()[0].ID {
			t.Errorf("%s %s: request ids %v", route.method, route.path, id)
		}
	}
}

func TestFaultsAreThoseOfS3(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	for _, fault := range []struct {
		do     func(context.Context, wire.Request) error
		code   string
		status int
	}{
		{s3.Deny, "AccessDenied", http.StatusForbidden},
		{s3.SlowDown, "SlowDown", http.StatusServiceUnavailable},
		{s3.Unavailable, "ServiceUnavailable", http.StatusServiceUnavailable},
		{s3.Conflict, "ConditionalRequestConflict", http.StatusConflict},
	} {
		remove := l.front.Inject(wire.Fault{Match: wire.Action("s3", "PutObject"), Do: fault.do})
		_, err := l.put(t.Context(), name, "k", "x")
		refused(t, err, fault.code, fault.status)
		remove()
	}
	l.front.Inject(wire.Fault{Match: wire.Action("s3", "PutObject"), Times: 1, When: wire.After, Do: wire.Drop})
	if _, err := l.put(t.Context(), name, "k", "x", ifAbsent); err == nil {
		t.Error("a lost reply is no error")
	}
	_, err := l.put(t.Context(), name, "k", "x", ifAbsent)
	refused(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
	l.expect(t, name, "k", "x")

	l.front.Inject(wire.Fault{Match: wire.Action("s3", "HeadObject"), Do: s3.Deny})
	_, err = l.HeadObject(t.Context(), &api.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("k")})
	refused(t, err, "Forbidden", http.StatusForbidden)
}
