package s3_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/s3"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func TestObjectComesBackAsItWasPut(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	put := l.mustPut(t, name, "register/a b/ü.json", "{}", func(in *api.PutObjectInput) {
		in.ContentType, in.Metadata = aws.String("application/json"), map[string]string{"secret": "arn"}
	})
	out, err := l.GetObject(t.Context(), &api.GetObjectInput{Bucket: aws.String(name), Key: aws.String("register/a b/ü.json")})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(out.Body)
	if string(b) != "{}" || *out.ETag != *put.ETag || *out.VersionId != *put.VersionId || *out.ContentType != "application/json" ||
		out.Metadata["secret"] != "arn" || *out.ContentLength != 2 || !out.LastModified.Equal(start) {
		t.Errorf("got %q %+v after %+v", b, out, put)
	}
	if out.ObjectLockMode != "" || len(out.Metadata) != 1 {
		t.Errorf("headers that nobody put: %+v", out)
	}
	head, err := l.HeadObject(t.Context(), &api.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("register/a b/ü.json")})
	if err != nil || *head.ContentLength != 2 || *head.ETag != *put.ETag {
		t.Errorf("head = %+v, %v", head, err)
	}
	// The next version has none of the first one's headers.
	l.mustPut(t, name, "register/a b/ü.json", "two")
	head, err = l.HeadObject(t.Context(), &api.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("register/a b/ü.json")})
	if err != nil || len(head.Metadata) != 0 || *head.ContentType != "application/octet-stream" {
		t.Errorf("head of the next version = %+v, %v", head, err)
	}
	part, err := l.GetObject(t.Context(), &api.GetObjectInput{
		Bucket: aws.String(name), Key: aws.String("register/a b/ü.json"), Range: aws.String("bytes=1-"), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(part.Body); string(b) != "wo" || err != nil || *part.ContentRange != "bytes 1-2/3" {
		t.Errorf("part = %q, %v, %s", b, err, *part.ContentRange)
	}
}

func TestAbsenceIs404OrADenial(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{MayList: func(id wire.Identity, _ string) bool { return id.AccessKeyID != "BLIND" }})
	in := &api.GetObjectInput{Bucket: aws.String(name), Key: aws.String("missing")}
	_, err := l.GetObject(t.Context(), in)
	refused(t, err, "NoSuchKey", http.StatusNotFound)
	if _, ok := errors.AsType[*types.NoSuchKey](err); !ok || message(err) != "The specified key does not exist." {
		t.Errorf("err = %v", err)
	}
	_, err = l.HeadObject(t.Context(), &api.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
	refused(t, err, "NotFound", http.StatusNotFound)
	_, err = l.GetObject(t.Context(), &api.GetObjectInput{Bucket: aws.String("nowhere"), Key: in.Key})
	refused(t, err, "NoSuchBucket", http.StatusNotFound)

	blind := l.as("BLIND")
	_, err = blind.GetObject(t.Context(), in)
	refused(t, err, "AccessDenied", http.StatusForbidden)
	if want := `User: arn:aws:sts::111122223333:assumed-role/blind/session is not authorized to perform: s3:ListBucket on resource: ` +
		`"arn:aws:s3:::keytrail" because no identity-based policy allows the s3:ListBucket action`; message(err) != want {
		t.Errorf("message = %s\nwant      %s", message(err), want)
	}
	_, err = blind.HeadObject(t.Context(), &api.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
	refused(t, err, "Forbidden", http.StatusForbidden)
	_, err = blind.PutObject(t.Context(), &api.PutObjectInput{Bucket: in.Bucket, Key: in.Key, Body: strings.NewReader("x"), IfMatch: aws.String("tag")})
	refused(t, err, "AccessDenied", http.StatusForbidden)
	l.mustPut(t, name, "there", "x")
	if _, err := blind.GetObject(t.Context(), &api.GetObjectInput{Bucket: in.Bucket, Key: aws.String("there")}); err != nil {
		t.Errorf("a key that is there: %v", err)
	}
}

func TestConditionalWrites(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	for _, bucket := range []string{name, "plain"} {
		first := l.mustPut(t, bucket, "state", "1", ifAbsent)
		_, err := l.put(t.Context(), bucket, "state", "2", ifAbsent)
		refused(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
		second := l.mustPut(t, bucket, "state", "2", ifMatch(*first.ETag))
		_, err = l.put(t.Context(), bucket, "state", "3", ifMatch(*first.ETag))
		refused(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
		_, err = l.put(t.Context(), bucket, "other", "3", ifMatch(*first.ETag))
		refused(t, err, "NoSuchKey", http.StatusNotFound)
		l.expect(t, bucket, "state", "2")

		del := &api.DeleteObjectInput{Bucket: &bucket, Key: aws.String("state"), IfMatch: first.ETag}
		_, err = l.DeleteObject(t.Context(), del)
		refused(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
		del.IfMatch = second.ETag
		if _, err := l.DeleteObject(t.Context(), del); err != nil {
			t.Errorf("delete: %v", err)
		}
		_, err = l.put(t.Context(), bucket, "state", "3", ifMatch(*second.ETag))
		refused(t, err, "NoSuchKey", http.StatusNotFound)
		l.mustPut(t, bucket, "state", "4", ifAbsent)
		l.expect(t, bucket, "state", "4")
		_, err = l.put(t.Context(), bucket, "state", "5", func(in *api.PutObjectInput) { in.IfNoneMatch = second.ETag })
		refused(t, err, "NotImplemented", http.StatusNotImplemented)

		read := &api.GetObjectInput{Bucket: &bucket, Key: aws.String("state"), IfMatch: first.ETag}
		_, err = l.GetObject(t.Context(), read)
		refused(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
		resp, _ := l.raw(t, http.MethodGet, "/"+bucket+"/state", "", nil)
		tag := map[string]string{"If-None-Match": resp.Header.Get("Etag")}
		if resp, body := l.raw(t, http.MethodGet, "/"+bucket+"/state", "", tag); resp.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("a read of what is known = %d %q", resp.StatusCode, body)
		}
	}
}

func TestOneOfManyCreatorsWins(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	for _, bucket := range []string{name, "plain"} {
		var group sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			group.Go(func() { _, errs[i] = l.put(t.Context(), bucket, "lease", string(rune('a'+i)), ifAbsent) })
		}
		group.Wait()
		won := -1
		for i, err := range errs {
			if err == nil {
				if won >= 0 {
					t.Errorf("%s: both %d and %d won", bucket, won, i)
				}
				won = i
			} else {
				refused(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
			}
		}
		if won < 0 {
			t.Fatalf("%s: nobody won", bucket)
		}
		l.expect(t, bucket, "lease", string(rune('a'+won)))
	}
}

func TestConflictsComeFromTheSeed(t *testing.T) {
	t.Parallel()
	var runs [2][]bool
	for i := range runs {
		l := newLab(t, s3.Options{ConflictRate: 0.5, Seed: 7})
		for n := range 20 {
			_, err := l.put(t.Context(), name, string(rune('a'+n)), "x", ifAbsent)
			if err != nil {
				refused(t, err, "ConditionalRequestConflict", http.StatusConflict)
				_, err := l.get(t.Context(), name, string(rune('a'+n)), "")
				refused(t, err, "NoSuchKey", http.StatusNotFound)
			}
			runs[i] = append(runs[i], err != nil)
		}
		l.mustPut(t, name, "unconditional", "x")
		l.service.SetConflictRate(1)
		_, err := l.put(t.Context(), name, "never", "x", ifAbsent)
		refused(t, err, "ConditionalRequestConflict", http.StatusConflict)
		l.service.SetConflictRate(0)
		l.mustPut(t, name, "never", "x", ifAbsent)
	}
	if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
		t.Errorf("the same seed gives others (-first +second):\n%s", diff)
	}
	if conflicts := strings.Count(strings.Trim(cmp.Diff(nil, runs[0]), "+"), "true"); conflicts == 0 || conflicts == 20 {
		t.Errorf("%d of 20 met a conflict at a rate of one half", conflicts)
	}
}

func TestChecksumsAreHeldAgainstTheBody(t *testing.T) {
	t.Parallel()
	for transport, serve := range map[string]func(http.Handler) *httptest.Server{
		"in headers over http": httptest.NewServer, "in trailers over https": httptest.NewTLSServer,
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			l := open(t, serve, s3.Options{})
			l.make(t, name, true)
			for _, algorithm := range []types.ChecksumAlgorithm{"", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
				body := strings.Repeat("x", 100_000) + string(algorithm)
				l.mustPut(t, name, "key", body, func(in *api.PutObjectInput) { in.ChecksumAlgorithm = algorithm })
				l.expect(t, name, "key", body) // the SDK holds it against the checksum that comes with it
				out, err := l.HeadObject(t.Context(), &api.HeadObjectInput{
					Bucket: aws.String(name), Key: aws.String("key"), ChecksumMode: types.ChecksumModeEnabled,
				})
				if err != nil {
					t.Fatal(err)
				}
				has := map[types.ChecksumAlgorithm]*string{
					"": out.ChecksumCRC32, "CRC32": out.ChecksumCRC32, "CRC32C": out.ChecksumCRC32C,
					"CRC64NVME": out.ChecksumCRC64NVME, "SHA1": out.ChecksumSHA1, "SHA256": out.ChecksumSHA256,
				}
				if has[algorithm] == nil || out.ChecksumType != types.ChecksumTypeFullObject || out.ContentEncoding != nil {
					t.Errorf("%s: head = %+v", algorithm, out)
				}
			}
		})
	}
}

func TestBodiesThatAreNotWhatTheySay(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	chunked := func(more map[string]string) map[string]string {
		h := map[string]string{"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked"}
		for k, v := range more {
			h[k] = v
		}
		return h
	}
	trailer := map[string]string{"X-Amz-Trailer": "x-amz-checksum-crc32"}
	for name, test := range map[string]struct {
		header     map[string]string
		body, code string
		status     int
	}{
		"a plain body":              {body: "hello", status: 200},
		"chunks":                    {header: chunked(nil), body: "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", status: 200},
		"chunks with signatures":    {header: chunked(nil), body: "5;chunk-signature=ab\r\nhello\r\n0;chunk-signature=cd\r\n\r\n", status: 200},
		"a trailer":                 {header: chunked(trailer), body: "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", status: 200},
		"a trailer that is wrong":   {header: chunked(trailer), body: "5\r\nhellO\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", code: "BadDigest", status: 400},
		"a trailer that is missing": {header: chunked(trailer), body: "5\r\nhello\r\n0\r\n\r\n", code: "MalformedPOSTRequest", status: 400},
		"chunks that are cut":       {header: chunked(nil), body: "5\r\nhel", code: "IncompleteBody", status: 400},
		"a chunk of no size":        {header: chunked(nil), body: "hello", code: "IncompleteBody", status: 400},
		"another length than declared": {header: chunked(map[string]string{"X-Amz-Decoded-Content-Length": "6"}),
			body: "5\r\nhello\r\n0\r\n\r\n", code: "IncompleteBody", status: 400},
		"a wrong checksum":         {header: map[string]string{"X-Amz-Checksum-Crc32": "AAAAAA=="}, body: "hello", code: "BadDigest", status: 400},
		"a checksum of no form":    {header: map[string]string{"X-Amz-Checksum-Crc32": "AAAA"}, body: "hello", code: "InvalidRequest", status: 400},
		"an unknown checksum":      {header: map[string]string{"X-Amz-Checksum-Crc8": "AA=="}, body: "hello", code: "InvalidRequest", status: 400},
		"a wrong Content-MD5":      {header: map[string]string{"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, body: "hello", code: "BadDigest", status: 400},
		"a Content-MD5 of no form": {header: map[string]string{"Content-MD5": "AAAA"}, body: "hello", code: "InvalidDigest", status: 400},
		"a wrong payload hash":     {header: map[string]string{"X-Amz-Content-Sha256": strings.Repeat("0", 64)}, body: "hello", code: "XAmzContentSHA256Mismatch", status: 400},
		"too much metadata":        {header: map[string]string{"X-Amz-Meta-A": strings.Repeat("x", 2048)}, body: "hello", code: "MetadataTooLarge", status: 400},
		"a copy":                   {header: map[string]string{"X-Amz-Copy-Source": "/keytrail/key"}, code: "NotImplemented", status: 501},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := "/keytrail/" + strings.ReplaceAll(name, " ", "-")
			resp, answer := l.raw(t, http.MethodPut, key, test.body, test.header)
			if resp.StatusCode != test.status || test.code != "" && !strings.Contains(answer, "<Error><Code>"+test.code+"</Code><Message>") {
				t.Errorf("answer = %d %s", resp.StatusCode, answer)
			}
			got, body := l.raw(t, http.MethodGet, key, "", nil)
			if want := "hello"; test.code == "" && (body != want || got.Header.Get("Content-Encoding") != "") {
				t.Errorf("the object is %q %v", body, got.Header)
			}
			if test.code != "" && got.StatusCode != http.StatusNotFound {
				t.Errorf("the object is there: %d", got.StatusCode)
			}
		})
	}
}

func TestObjectsStayOverARestart(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	keys := []string{"a", "a/b", "a//b", "../../up", "@1", ".hidden", "A", "%", "long/" + strings.Repeat("é", 400), "b/"}
	for _, bucket := range []string{name, "plain"} {
		for _, key := range keys {
			l.mustPut(t, bucket, key, "old")
			l.mustPut(t, bucket, key, bucket+key)
		}
		if _, err := l.DeleteObject(t.Context(), &api.DeleteObjectInput{Bucket: &bucket, Key: aws.String("a")}); err != nil {
			t.Fatal(err)
		}
	}
	before := l.versions(t, name)
	again := open(t, httptest.NewServer, s3.Options{Dir: l.dir})
	for _, bucket := range []string{name, "plain"} {
		for _, key := range keys[1:] {
			again.expect(t, bucket, key, bucket+key)
		}
		_, err := again.get(t.Context(), bucket, "a", "")
		refused(t, err, "NoSuchKey", http.StatusNotFound)
	}
	if diff := cmp.Diff(before, again.versions(t, name)); diff != "" {
		t.Errorf("versions after the restart (-before +after):\n%s", diff)
	}
	again.mustPut(t, "plain", "a", "back")
	again.expect(t, "plain", "a", "back")
	if b, err := os.ReadFile(filepath.Join(l.dir, "plain", "a", "b", "@25")); err != nil || string(b) != "plaina/b" {
		t.Errorf("the file that a person would look at: %q, %v", b, err)
	}
	if list, err := filepath.Glob(filepath.Join(l.dir, "..", "up*")); err != nil || len(list) > 0 {
		t.Errorf("outside of the folder: %v, %v", list, err)
	}
}

// A lab that ends between a write and the removal of what it replaced leaves
// both; the later one counts.
func TestReplacedObjectThatWasLeftBehind(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	for range 8 {
		l.mustPut(t, "plain", "filler", "x")
	}
	l.mustPut(t, "plain", "k", "old") // the ninth write; the next has a name that sorts before it
	folder := filepath.Join(l.dir, "plain", "k")
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	l.mustPut(t, "plain", "k", "new")
	if err := os.CopyFS(folder, os.DirFS(left)); err != nil {
		t.Fatal(err)
	}
	open(t, httptest.NewServer, s3.Options{Dir: l.dir}).expect(t, "plain", "k", "new")
}

func TestFolderOfADeletedObjectIsGone(t *testing.T) {
	t.Parallel()
	l := newLab(t, s3.Options{})
	l.mustPut(t, "plain", "a/b/c", "x")
	for range 2 {
		if _, err := l.DeleteObject(t.Context(), &api.DeleteObjectInput{Bucket: aws.String("plain"), Key: aws.String("a/b/c")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "plain", "a")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}
