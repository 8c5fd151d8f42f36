package s3_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/s3"
)

// versions returns "key id" of all versions and "key id deleted" of all
// markers, page by page, with a star at the latest.
func (l *lab) versions(t *testing.T, bucket string) []string {
	t.Helper()
	var list []string
	pages := api.NewListObjectVersionsPaginator(l, &api.ListObjectVersionsInput{Bucket: &bucket, MaxKeys: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Versions)+len(page.DeleteMarkers) > 2 {
			t.Errorf("a page of %d and %d", len(page.Versions), len(page.DeleteMarkers))
		}
		for _, m := range page.DeleteMarkers {
			list = append(list, fmt.Sprintf("%s %s deleted %t", *m.Key, *m.VersionId, *m.IsLatest))
		}
		for _, v := range page.Versions {
			list = append(list, fmt.Sprintf("%s %s %t", *v.Key, *v.VersionId, *v.IsLatest))
		}
	}
	return list
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	for _, key := range []string{"a", "b/1", "b/2", "b/3", "b/c/1", "d", "e/1", "gone", "z"} {
		l.mustPut(t, name, key, key)
	}
	if _, err := l.DeleteObject(t.Context(), &api.DeleteObjectInput{Bucket: aws.String(name), Key: aws.String("gone")}); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		in   api.ListObjectsV2Input
		want []string
	}{
		"all keys":                    {want: []string{"a", "b/1", "b/2", "b/3", "b/c/1", "d", "e/1", "z"}},
		"a prefix":                    {in: api.ListObjectsV2Input{Prefix: aws.String("b/")}, want: []string{"b/1", "b/2", "b/3", "b/c/1"}},
		"a delimiter":                 {in: api.ListObjectsV2Input{Delimiter: aws.String("/")}, want: []string{"a", "b/*", "d", "e/*", "z"}},
		"a prefix and a delimiter":    {in: api.ListObjectsV2Input{Prefix: aws.String("b/"), Delimiter: aws.String("/")}, want: []string{"b/1", "b/2", "b/3", "b/c/*"}},
		"after a key":                 {in: api.ListObjectsV2Input{StartAfter: aws.String("b/3")}, want: []string{"b/c/1", "d", "e/1", "z"}},
		"after a key that is missing": {in: api.ListObjectsV2Input{StartAfter: aws.String("c")}, want: []string{"d", "e/1", "z"}},
		"nothing":                     {in: api.ListObjectsV2Input{Prefix: aws.String("x")}},
	} {
		for size := int32(1); size <= 3; size++ {
			in := test.in
			in.Bucket, in.MaxKeys = aws.String(name), &size
			var got []string
			pages := api.NewListObjectsV2Paginator(l, &in)
			for pages.HasMorePages() {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				n := len(got)
				for _, o := range page.Contents {
					got = append(got, *o.Key)
				}
				for _, p := range page.CommonPrefixes {
					got = append(got, *p.Prefix+"*")
				}
				if len(got)-n > int(size) || int(*page.KeyCount) != len(got)-n {
					t.Errorf("%s: a page of %d, %d counted, for %d", what, len(got)-n, *page.KeyCount, size)
				}
			}
			if diff := cmp.Diff(test.want, got, sorted); diff != "" {
				t.Errorf("%s in pages of %d (-want +got):\n%s", what, size, diff)
			}
		}
	}
}

// sorted ignores that a page has its prefixes after its keys.
var sorted = cmp.Transformer("sorted", func(list []string) map[string]int {
	m := map[string]int{}
	for _, s := range list {
		m[s]++
	}
	return m
})

func TestOverwrittenAndDeletedVersionsAreSeen(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	first, second := l.mustPut(t, name, "k", "1"), l.mustPut(t, name, "k", "2")
	other := l.mustPut(t, name, "l", "3")
	marker, err := l.DeleteObject(t.Context(), &api.DeleteObjectInput{Bucket: aws.String(name), Key: aws.String("k")})
	if err != nil || !*marker.DeleteMarker {
		t.Fatalf("delete = %+v, %v", marker, err)
	}
	want := []string{
		"k " + *marker.VersionId + " deleted true", "k " + *second.VersionId + " false", "k " + *first.VersionId + " false",
		"l " + *other.VersionId + " true",
	}
	if diff := cmp.Diff(want, l.versions(t, name)); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	for id, want := range map[string]string{*first.VersionId: "1", *second.VersionId: "2"} {
		if got, err := l.get(t.Context(), name, "k", id); err != nil || got != want {
			t.Errorf("version %s = %q, %v", id, got, err)
		}
	}
	head, err := l.HeadObject(t.Context(), &api.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("k"), VersionId: first.VersionId})
	if err != nil || *head.VersionId != *first.VersionId || *head.ETag != *first.ETag {
		t.Errorf("head of the first = %+v, %v", head, err)
	}
	_, err = l.get(t.Context(), name, "k", *marker.VersionId)
	refused(t, err, "MethodNotAllowed", http.StatusMethodNotAllowed)
	_, err = l.get(t.Context(), name, "k", "never")
	refused(t, err, "NoSuchVersion", http.StatusNotFound)
	resp, _ := l.raw(t, http.MethodGet, "/keytrail/k", "", nil)
	if resp.Header.Get("X-Amz-Delete-Marker") != "true" || resp.Header.Get("X-Amz-Version-Id") != *marker.VersionId {
		t.Errorf("headers of a deleted key: %v", resp.Header)
	}
	// Without its marker the key is back.
	gone, err := l.DeleteObject(t.Context(), &api.DeleteObjectInput{Bucket: aws.String(name), Key: aws.String("k"), VersionId: marker.VersionId})
	if err != nil || !*gone.DeleteMarker {
		t.Errorf("delete of the marker = %+v, %v", gone, err)
	}
	l.expect(t, name, "k", "2")
	out, err := l.DeleteObjects(t.Context(), &api.DeleteObjectsInput{Bucket: aws.String(name), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("k"), VersionId: second.VersionId}, {Key: aws.String("l")},
	}}})
	if err != nil || len(out.Deleted) != 2 || len(out.Errors) != 0 {
		t.Errorf("deletes = %+v, %v", out, err)
	}
	l.expect(t, name, "k", "1")
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	bucket := aws.String("plain")
	l.make(t, "plain", false) // again, as us-east-1 allows
	_, err := l.CreateBucket(t.Context(), &api.CreateBucketInput{Bucket: aws.String("Not_A_Name")})
	refused(t, err, "InvalidBucketName", http.StatusBadRequest)
	all, err := l.ListBuckets(t.Context(), nil)
	if err != nil || len(all.Buckets) != 2 || *all.Buckets[0].Name != name {
		t.Errorf("buckets = %+v, %v", all, err)
	}
	if out, err := l.HeadBucket(t.Context(), &api.HeadBucketInput{Bucket: bucket}); err != nil || *out.BucketRegion != "us-east-1" {
		t.Errorf("head = %+v, %v", out, err)
	}
	_, err = l.HeadBucket(t.Context(), &api.HeadBucketInput{Bucket: aws.String("nowhere")})
	refused(t, err, "NotFound", http.StatusNotFound)
	if out, err := l.GetBucketLocation(t.Context(), &api.GetBucketLocationInput{Bucket: bucket}); err != nil || out.LocationConstraint != "" {
		t.Errorf("location = %+v, %v", out, err)
	}

	_, err = l.GetBucketPolicy(t.Context(), &api.GetBucketPolicyInput{Bucket: bucket})
	refused(t, err, "NoSuchBucketPolicy", http.StatusNotFound)
	policy := `{"Version":"2012-10-17","Statement":[]}`
	if _, err := l.PutBucketPolicy(t.Context(), &api.PutBucketPolicyInput{Bucket: bucket, Policy: &policy}); err != nil {
		t.Error(err)
	}
	if out, err := l.GetBucketPolicy(t.Context(), &api.GetBucketPolicyInput{Bucket: bucket}); err != nil || *out.Policy != policy {
		t.Errorf("policy = %+v, %v", out, err)
	}
	_, err = l.PutBucketPolicy(t.Context(), &api.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String("x")})
	refused(t, err, "MalformedPolicy", http.StatusBadRequest)
	if _, err := l.DeleteBucketPolicy(t.Context(), &api.DeleteBucketPolicyInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}

	for _, block := range []*types.PublicAccessBlockConfiguration{
		nil, // as every bucket begins
		{BlockPublicAcls: aws.Bool(true), RestrictPublicBuckets: aws.Bool(true)},
	} {
		want := fmt.Sprint(true, true, true, true)
		if block != nil {
			want = fmt.Sprint(true, false, false, true)
			if _, err := l.PutPublicAccessBlock(t.Context(), &api.PutPublicAccessBlockInput{Bucket: bucket, PublicAccessBlockConfiguration: block}); err != nil {
				t.Error(err)
			}
		}
		out, err := l.GetPublicAccessBlock(t.Context(), &api.GetPublicAccessBlockInput{Bucket: bucket})
		if err != nil {
			t.Fatal(err)
		}
		if b := out.PublicAccessBlockConfiguration; fmt.Sprint(*b.BlockPublicAcls, *b.IgnorePublicAcls, *b.BlockPublicPolicy, *b.RestrictPublicBuckets) != want {
			t.Errorf("public access is blocked as %+v, want %s", b, want)
		}
	}
	if _, err := l.DeletePublicAccessBlock(t.Context(), &api.DeletePublicAccessBlockInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	_, err = l.GetPublicAccessBlock(t.Context(), &api.GetPublicAccessBlockInput{Bucket: bucket})
	refused(t, err, "NoSuchPublicAccessBlockConfiguration", http.StatusNotFound)

	l.mustPut(t, "plain", "k", "1")
	_, err = l.DeleteBucket(t.Context(), &api.DeleteBucketInput{Bucket: bucket})
	refused(t, err, "BucketNotEmpty", http.StatusConflict)
	if _, err := l.PutBucketVersioning(t.Context(), &api.PutBucketVersioningInput{
		Bucket: bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Error(err)
	}
	second := l.mustPut(t, "plain", "k", "2")
	if diff := cmp.Diff([]string{"k " + *second.VersionId + " true", "k null false"}, l.versions(t, "plain")); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	for _, id := range []string{*second.VersionId, "null"} {
		if _, err := l.DeleteObject(t.Context(), &api.DeleteObjectInput{Bucket: bucket, Key: aws.String("k"), VersionId: &id}); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.DeleteBucket(t.Context(), &api.DeleteBucketInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	_, err = l.ListObjectsV2(t.Context(), &api.ListObjectsV2Input{Bucket: bucket})
	refused(t, err, "NoSuchBucket", http.StatusNotFound)
}
