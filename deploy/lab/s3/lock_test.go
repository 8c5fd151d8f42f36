package s3_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/s3"
)

const year = 365 * 24 * time.Hour

func TestRetentionIsKeptWithItsVersion(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	until := start.Add(year)
	put := l.mustPut(t, name, "evidence", "1", retained(types.ObjectLockModeCompliance, until))
	got, err := l.GetObject(t.Context(), &api.GetObjectInput{Bucket: aws.String(name), Key: aws.String("evidence")})
	if err != nil || got.ObjectLockMode != types.ObjectLockModeCompliance || !got.ObjectLockRetainUntilDate.Equal(until) {
		t.Errorf("get = %+v, %v", got, err)
	}
	head, err := l.HeadObject(t.Context(), &api.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("evidence")})
	if err != nil || head.ObjectLockMode != types.ObjectLockModeCompliance || !head.ObjectLockRetainUntilDate.Equal(until) {
		t.Errorf("head = %+v, %v", head, err)
	}
	r, err := l.GetObjectRetention(t.Context(), &api.GetObjectRetentionInput{Bucket: aws.String(name), Key: aws.String("evidence")})
	if err != nil || r.Retention.Mode != types.ObjectLockRetentionModeCompliance || !r.Retention.RetainUntilDate.Equal(until) {
		t.Errorf("retention = %+v, %v", r, err)
	}

	// A plain write makes a version beside it, without its retention.
	l.mustPut(t, name, "evidence", "2")
	_, err = l.GetObjectRetention(t.Context(), &api.GetObjectRetentionInput{Bucket: aws.String(name), Key: aws.String("evidence")})
	refused(t, err, "NoSuchObjectLockConfiguration", http.StatusNotFound)
	if old, err := l.get(t.Context(), name, "evidence", *put.VersionId); err != nil || old != "1" {
		t.Errorf("the retained version = %q, %v", old, err)
	}
	if n := len(l.versions(t, name)); n != 2 {
		t.Errorf("%d versions, want 2", n)
	}
}

func TestRetainedVersionIsNotDeleted(t *testing.T) {
	t.Parallel()
	for mode, bypassed := range map[types.ObjectLockMode]bool{types.ObjectLockModeGovernance: true, types.ObjectLockModeCompliance: false} {
		l := newLab(t, s3.Options{})
		put := l.mustPut(t, name, "k", "1", retained(mode, start.Add(year)))
		del := &api.DeleteObjectInput{Bucket: aws.String(name), Key: aws.String("k"), VersionId: put.VersionId}
		_, err := l.DeleteObject(t.Context(), del)
		refused(t, err, "AccessDenied", http.StatusForbidden)
		if message(err) != "Access Denied because object protected by object lock." {
			t.Errorf("message = %q", message(err))
		}
		many, err := l.DeleteObjects(t.Context(), &api.DeleteObjectsInput{
			Bucket: aws.String(name), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("k"), VersionId: put.VersionId}}},
		})
		if err != nil || len(many.Errors) != 1 || *many.Errors[0].Code != "AccessDenied" {
			t.Errorf("deletes = %+v, %v", many, err)
		}
		del.BypassGovernanceRetention = aws.Bool(true)
		if _, err = l.DeleteObject(t.Context(), del); (err == nil) != bypassed {
			t.Errorf("%s, bypassed: %v", mode, err)
		}
		if !bypassed {
			l.passed.Store(int64(year))
			if _, err := l.DeleteObject(t.Context(), del); err != nil {
				t.Errorf("%s, after its end: %v", mode, err)
			}
		}
	}
}

func TestRetentionOnlyGrows(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	set := func(mode types.ObjectLockRetentionMode, until time.Time, bypass bool) error {
		_, err := l.PutObjectRetention(t.Context(), &api.PutObjectRetentionInput{
			Bucket: aws.String(name), Key: aws.String("k"), BypassGovernanceRetention: &bypass,
			Retention: &types.ObjectLockRetention{Mode: mode, RetainUntilDate: &until},
		})
		return err
	}
	l.mustPut(t, name, "k", "1")
	for _, step := range []struct {
		what    string
		mode    types.ObjectLockRetentionMode
		until   time.Duration
		bypass  bool
		allowed bool
	}{
		{"a first one", types.ObjectLockRetentionModeGovernance, 2 * year, false, true},
		{"a shorter one", types.ObjectLockRetentionModeGovernance, year, false, false},
		{"a shorter one, bypassing", types.ObjectLockRetentionModeGovernance, year, true, true},
		{"a stronger one", types.ObjectLockRetentionModeCompliance, year, false, true},
		{"a weaker one, bypassing", types.ObjectLockRetentionModeGovernance, 2 * year, true, false},
		{"a longer one", types.ObjectLockRetentionModeCompliance, 2 * year, false, true},
	} {
		if err := set(step.mode, start.Add(step.until), step.bypass); (err == nil) != step.allowed {
			t.Errorf("%s: %v", step.what, err)
		} else if err != nil {
			refused(t, err, "AccessDenied", http.StatusForbidden)
		}
	}
	refused(t, set("NONE", start.Add(year), false), "MalformedXML", http.StatusBadRequest)
	refused(t, set(types.ObjectLockRetentionModeCompliance, start, false), "InvalidArgument", http.StatusBadRequest)
}

func TestRetentionThatIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	const mode, until, md5 = "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "Content-MD5"
	for what, test := range map[string]struct {
		bucket string
		header map[string]string
		want   string
	}{
		"no checksum": {
			header: map[string]string{mode: "COMPLIANCE", until: "2027-01-01T00:00:00Z"},
			want:   "<Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters<",
		},
		"a mode alone":       {header: map[string]string{mode: "COMPLIANCE"}, want: "<Code>InvalidArgument</Code>"},
		"a date alone":       {header: map[string]string{until: "2027-01-01T00:00:00Z"}, want: "<Code>InvalidArgument</Code>"},
		"an unknown mode":    {header: map[string]string{mode: "NONE", until: "2027-01-01T00:00:00Z"}, want: "<Code>InvalidArgument</Code>"},
		"a date of no form":  {header: map[string]string{mode: "COMPLIANCE", until: "2027-01-01"}, want: "<Code>InvalidArgument</Code>"},
		"a date in the past": {header: map[string]string{mode: "COMPLIANCE", until: "2026-01-01T00:00:00Z"}, want: "<Code>InvalidArgument</Code>"},
		"a bucket without Object Lock": {
			bucket: "plain", header: map[string]string{mode: "COMPLIANCE", until: "2027-01-01T00:00:00Z", md5: "XUFAKrxLKna5cZ2REBfFkg=="},
			want: "<Code>InvalidRequest</Code><Message>Bucket is missing Object Lock Configuration<",
		},
		"a legal hold": {header: map[string]string{"X-Amz-Object-Lock-Legal-Hold": "ON", md5: "XUFAKrxLKna5cZ2REBfFkg=="}, want: "<Code>NotImplemented</Code>"},
	} {
		bucket := name
		if test.bucket != "" {
			bucket = test.bucket
		}
		_, body := l.raw(t, http.MethodPut, "/"+bucket+"/k", "hello", test.header)
		if !strings.Contains(body, test.want) {
			t.Errorf("%s: %s\nwant %s", what, body, test.want)
		}
	}
	resp, body := l.raw(t, http.MethodPut, "/keytrail/k", "hello",
		map[string]string{mode: "COMPLIANCE", until: "2027-01-01T00:00:00Z", md5: "XUFAKrxLKna5cZ2REBfFkg=="})
	if resp.StatusCode != http.StatusOK {
		t.Errorf("with Content-MD5: %d %s", resp.StatusCode, body)
	}
}

func TestLockConfiguration(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	out, err := l.GetObjectLockConfiguration(t.Context(), &api.GetObjectLockConfigurationInput{Bucket: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(types.ObjectLockEnabledEnabled, out.ObjectLockConfiguration.ObjectLockEnabled); diff != "" {
		t.Error(diff)
	}
	_, err = l.GetObjectLockConfiguration(t.Context(), &api.GetObjectLockConfigurationInput{Bucket: aws.String("plain")})
	refused(t, err, "ObjectLockConfigurationNotFoundError", http.StatusNotFound)
	set := &api.PutObjectLockConfigurationInput{
		Bucket: aws.String("plain"), ObjectLockConfiguration: &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled},
	}
	_, err = l.PutObjectLockConfiguration(t.Context(), set)
	refused(t, err, "InvalidBucketState", http.StatusConflict)
	_, err = l.PutBucketVersioning(t.Context(), &api.PutBucketVersioningInput{
		Bucket: aws.String(name), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended},
	})
	refused(t, err, "InvalidBucketState", http.StatusConflict)
}
