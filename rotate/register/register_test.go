package register

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

const (
	secretA = "arn:aws:secretsmanager:us-east-1:111122223333:secret:team/app/key-AbCdEf"
	secretB = "arn:aws:secretsmanager:us-east-1:111122223333:secret:other-GhIjKl"
	v1      = "11111111-2222-3333-4444-555555555555"
	v2      = "22222222-2222-3333-4444-555555555555"

	lineA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f keytrail:team/app/key:1"
	lineB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)

func public(t testing.TB, text string) sshkey.PublicKey {
	t.Helper()
	k, err := sshkey.ParsePublic(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func created(t testing.TB, secret, version, text string) Fact {
	return Fact{Kind: Created, Secret: secret, Version: version, At: noon, Keys: []sshkey.PublicKey{public(t, text)}}
}

func write(t testing.TB, r *Register, facts ...Fact) {
	t.Helper()
	for _, f := range facts {
		if _, err := r.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFactIsCreatedOnceUnderRetention(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	keep, err := ParseRetention("governance:400")
	if err != nil {
		t.Fatal(err)
	}
	fact := created(t, secretA, v1, lineA)
	fact.Note = "by <createSecret> & co"
	write(t, New(f, bucketName, keep), fact)
	r := f.calls[0]
	const key = "register/aws/us-east-1/111122223333/team!app!key-AbCdEf!97224cb1b94576347a0b0f906ec32bf0/" + v1 + "/created.json"
	got := map[string]string{"path": r.URL.Path}
	for _, name := range []string{"If-None-Match", "Content-Type", "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Checksum-Sha256"} {
		got[name] = r.Header.Get(name)
	}
	want := map[string]string{
		"path":                                "/" + bucketName + "/" + key,
		"If-None-Match":                       "*",
		"Content-Type":                        "application/json",
		"X-Amz-Object-Lock-Mode":              "GOVERNANCE",
		"X-Amz-Object-Lock-Retain-Until-Date": "2027-12-25T12:00:00.123Z",
		"X-Amz-Checksum-Sha256":               "xF4Adm5UrXVarAzcM/XLWs7OKRgp3fBtFwmydWXaPIo=",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	golden, err := os.ReadFile("testdata/created.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), f.objects[key]); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

func TestABucketWithoutObjectLockIsAskedForNoRetention(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	write(t, New(f, bucketName, Retention{}), created(t, secretA, v1, lineA))
	for name := range f.calls[0].Header {
		if strings.HasPrefix(name, "X-Amz-Object-Lock") {
			t.Errorf("header %s", name)
		}
	}
}

func TestTheSameFactAgainIsSuccessAndTheFirstTimeStands(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	r := New(f, bucketName, Retention{})
	first := Fact{Kind: Promoted, Secret: secretA, Version: v1, At: noon, Note: "first"}
	write(t, r, first, first)
	again := first
	again.At, again.Note = noon.Add(time.Hour), "again"
	standing, err := r.Write(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.normal(), standing); diff != "" {
		t.Errorf("standing fact (-want +got):\n%s", diff)
	}
	if len(f.objects) != 1 {
		t.Errorf("%d objects", len(f.objects))
	}
}

func TestALostReplyIsNoConflict(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	f.lost = func(r *http.Request) bool { f.lost = nil; return true }
	write(t, New(f.retrying(), bucketName, Retention{}), created(t, secretA, v1, lineA))
	if got := f.count("PUT"); got != 2 {
		t.Errorf("%d writes, want 2", got)
	}
}

func TestAnObjectThatGoesWhileItIsComparedIsWrittenAgain(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	r := New(f, bucketName, Retention{})
	fact := created(t, secretA, v1, lineA)
	write(t, r, fact)
	f.answer = func(r *http.Request, key string) (int, string) {
		if r.Method == http.MethodGet {
			delete(f.objects, key)
		}
		return 0, ""
	}
	write(t, r, fact)
	if len(f.objects) != 1 {
		t.Errorf("%d objects, want 1", len(f.objects))
	}
}

func TestAnotherFactUnderTheSameKeyIsAConflictThatTellsBoth(t *testing.T) {
	t.Parallel()
	r := New(newFakeS3(t), bucketName, Retention{})
	write(t, r, created(t, secretA, v1, lineA))
	_, err := r.Write(t.Context(), created(t, secretA, v1, lineB))
	if !errors.Is(err, ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	for _, want := range []string{string(public(t, lineA).Fingerprint()), string(public(t, lineB).Fingerprint()), v1 + "/created.json"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestFactsThatMayComeAgainStandSideBySide(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	r := New(f, bucketName, Retention{})
	installed := Fact{Kind: Installed, Secret: secretA, Version: v1, At: noon, Hosts: []string{"i-0123456789abcdef0"}, Users: []string{"alice"}}
	later := installed
	later.At = noon.Add(time.Minute)
	write(t, r, created(t, secretA, v1, lineA), installed, installed, later)
	if len(f.objects) != 3 {
		t.Errorf("%d objects, want 3", len(f.objects))
	}
}

func TestS3ErrorsAreTold(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		code   string
		want   error
		writes int
	}{
		{"a denied bucket", 403, "AccessDenied", ErrDenied, 1},
		{"a bucket that is gone", 404, "NoSuchBucket", ErrNoBucket, 1},
		{"a bucket that answers 409 for ever", 409, "ConditionalRequestConflict", ErrBusy, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeS3(t)
			f.answer = func(*http.Request, string) (int, string) { return tt.status, tt.code }
			r := New(f, bucketName, Retention{})
			if _, err := r.Write(t.Context(), created(t, secretA, v1, lineA)); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), bucketName) {
				t.Errorf("write: %v", err)
			}
			if got := f.count("PUT"); got != tt.writes {
				t.Errorf("%d writes, want %d", got, tt.writes)
			}
			if tt.status == 409 {
				return // not for reads
			}
			if _, err := r.Read(t.Context(), secretA); !errors.Is(err, tt.want) {
				t.Errorf("read: %v", err)
			}
			if _, err := r.All(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("read all: %v", err)
			}
		})
	}
}

func TestAWriteThatMetAnotherIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	n := 0
	f.answer = func(*http.Request, string) (int, string) {
		if n++; n <= 2 {
			return 409, "ConditionalRequestConflict"
		}
		return 0, ""
	}
	write(t, New(f, bucketName, Retention{}), created(t, secretA, v1, lineA))
}

func TestTheTryAgainEndsWithTheContext(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	deadline := errors.New("short of the deadline")
	f.answer = func(*http.Request, string) (int, string) { cancel(deadline); return 409, "ConditionalRequestConflict" }
	_, err := New(f, bucketName, Retention{}).Write(ctx, created(t, secretA, v1, lineA))
	if err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func TestAllPagesOfAllSecretsAreRead(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	f.pageLen = 3
	r := New(f, bucketName, Retention{})
	var want []string
	for i := range 10 {
		version := fmt.Sprintf("%08d-2222-3333-4444-555555555555", i)
		want = append(want, version)
		for _, arn := range []string{secretA, secretB} {
			write(t, r, created(t, arn, version, lineA), Fact{Kind: Promoted, Secret: arn, Version: version, At: noon})
		}
	}
	f.objects["evidence/x"] = "no matter"
	one, err := r.Read(t.Context(), secretA)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, one.versions()); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	all, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Secret != secretB || len(all[0].Facts) != 20 || all[1].Secret != secretA || len(all[1].Facts) != 20 {
		t.Errorf("got %d histories", len(all))
	}
	sharing, err := r.Sharing(t.Context(), one)
	if diff := cmp.Diff(all[:1], sharing); diff != "" || err != nil {
		t.Errorf("the other secret shares the key: error %v (-want +got):\n%s", err, diff)
	}
}

func TestASecretThatIsNotRegisteredHasAnEmptyHistory(t *testing.T) {
	t.Parallel()
	h, err := New(newFakeS3(t), bucketName, Retention{}).Read(t.Context(), secretA)
	if diff := cmp.Diff(History{Secret: secretA}, h); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func TestABadObjectIsNamedAndHidesNoOther(t *testing.T) {
	t.Parallel()
	key := folderOf(secretA) + v1 + "/promoted.json"
	tests := []struct {
		name  string
		spoil func(f *fakeS3)
		want  error
		named string
	}{
		{"cut", func(f *fakeS3) { f.objects[key] = f.objects[key][:40] }, ErrDamaged, key},
		{"empty", func(f *fakeS3) { f.objects[key] = "" }, ErrDamaged, key},
		{"changed", func(f *fakeS3) { f.objects[key] = strings.Replace(f.objects[key], "12:00", "13:00", 1) }, ErrDamaged, key},
		{"no JSON", func(f *fakeS3) { f.objects[key] = "<html>" }, ErrDamaged, key},
		{"too large", func(f *fakeS3) { f.objects[key] += strings.Repeat(" ", maxObject) }, ErrDamaged, key},
		{"two facts in one", func(f *fakeS3) { f.objects[key] += f.objects[key] }, ErrDamaged, key},
		{"with a member of a later release", func(f *fakeS3) { f.objects[key] = `{"schema":2,"new":1}` }, ErrLater, key},
		{"of a later release", func(f *fakeS3) { f.objects[key] = strings.Replace(f.objects[key], `:1,`, `:2,`, 1) }, ErrLater, key},
		{"from another secret", func(f *fakeS3) {
			f.objects[key] = string(encode(Fact{Kind: Promoted, Secret: secretB, Version: v1, At: noon}.normal()))
		}, ErrForeign, key},
		{"from another version", func(f *fakeS3) {
			f.objects[key] = string(encode(Fact{Kind: Promoted, Secret: secretA, Version: v2, At: noon}.normal()))
		}, ErrForeign, key},
		{"of another kind", func(f *fakeS3) {
			f.objects[key] = string(encode(Fact{Kind: Adopted, Secret: secretA, Version: v1, At: noon}.normal()))
		}, ErrForeign, key},
		{"not ours", func(f *fakeS3) { f.objects[folderOf(secretA)+"x"] = "hello" }, ErrDamaged, folderOf(secretA) + "x"},
		{"listed and gone when it is read", func(f *fakeS3) {
			f.answer = func(r *http.Request, k string) (int, string) {
				if r.Method == http.MethodGet && k == key {
					return 404, "NoSuchKey"
				}
				return 0, ""
			}
		}, errAbsent, key},
		{"denied", func(f *fakeS3) {
			f.answer = func(r *http.Request, k string) (int, string) {
				if r.Method == http.MethodGet && k == key {
					return 403, "AccessDenied"
				}
				return 0, ""
			}
		}, ErrDenied, key},
		{"missing, and others tell of its version", func(f *fakeS3) { delete(f.objects, folderOf(secretA)+v1+"/created.json") }, ErrMissing, v1 + "/created.json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeS3(t)
			write(t, New(f, bucketName, Retention{}), created(t, secretA, v1, lineA), created(t, secretA, v2, lineB),
				Fact{Kind: Promoted, Secret: secretA, Version: v1, At: noon}, Fact{Kind: Promoted, Secret: secretA, Version: v2, At: noon})
			tt.spoil(f)
			h, err := New(f, bucketName, Retention{}).Read(t.Context(), secretA)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.named) {
				t.Errorf("got %v, want %v that names %s", err, tt.want, tt.named)
			}
			if bad, ok := errors.AsType[*ObjectError](err); !ok || !strings.HasSuffix(bad.Key, tt.named) {
				t.Errorf("got %v, want an ObjectError", err)
			}
			if len(h.Facts) < 3 || !strings.Contains(fmt.Sprint(h.Facts), v2) {
				t.Errorf("other facts are hidden: %v", h.Facts)
			}
		})
	}
}

func TestManyBadObjectsAreOneShortError(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	for i := range 100 {
		f.objects[fmt.Sprintf("%s%03d", folderOf(secretA), i)] = "x"
	}
	_, err := New(f, bucketName, Retention{}).Read(t.Context(), secretA)
	if err == nil || len(err.Error()) > 2000 || !strings.HasSuffix(err.Error(), "and 95 more") {
		t.Errorf("got %v", err)
	}
}

func TestAListThatBreaksOffReturnsWhatItHad(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	f.pageLen = 1
	r := New(f, bucketName, Retention{})
	write(t, r, Fact{Kind: Adopted, Secret: secretA, Version: v1, At: noon}, created(t, secretA, v1, lineA))
	f.answer = func(r *http.Request, _ string) (int, string) {
		if r.URL.Query().Has("continuation-token") {
			return 403, "AccessDenied"
		}
		return 0, ""
	}
	h, err := r.Read(t.Context(), secretA)
	if !errors.Is(err, ErrDenied) || errors.Is(err, ErrMissing) || len(h.Facts) != 1 {
		t.Errorf("%d facts, error %v", len(h.Facts), err)
	}
}

func TestAFactIsReadFromS3Once(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	r := New(f, bucketName, Retention{})
	write(t, r, created(t, secretA, v1, lineA), created(t, secretA, v2, lineB))
	if _, err := r.Read(t.Context(), secretA); err != nil || f.count("GET") != 0 {
		t.Errorf("%d reads of what was written here: %v", f.count("GET"), err)
	}
	r = New(f, bucketName, Retention{})
	var before History
	for range 3 {
		h, err := r.Read(t.Context(), secretA)
		if err != nil {
			t.Fatal(err)
		}
		before = h
	}
	if got := f.count("GET"); got != 2 {
		t.Errorf("%d reads of 2 objects", got)
	}
	f.objects[folderOf(secretA)+v1+"/created.json"] = "changed"
	after, err := r.Read(t.Context(), secretA)
	if !errors.Is(err, ErrDamaged) || len(after.Facts) != len(before.Facts)-1 {
		t.Errorf("a changed object: %d facts, error %v", len(after.Facts), err)
	}
}

func TestRetentionIsReadAndWritten(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"": true, "governance:1": true, "compliance:36500": true,
		"governance": false, "governance:0": false, "governance:-1": false, "governance:36501": false,
		"compliance:1d": false, "legal:1": false, ":1": false, "compliance:1:2": false,
	} {
		r, err := ParseRetention(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && r.String() != text {
			t.Errorf("%q: written as %q", text, r)
		}
	}
}
