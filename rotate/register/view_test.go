package register

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAViewAnswersAllOfOneList(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	f.pageLen = 2
	r := New(f, bucketName, Retention{})
	write(t, r, created(t, secretA, v1, lineA), created(t, secretA, v2, lineB), created(t, secretB, v1, lineA),
		Fact{Kind: Promoted, Secret: secretB, Version: v1, At: noon})
	own, err := r.Read(t.Context(), secretA)
	if err != nil {
		t.Fatal(err)
	}
	sharing, err := r.Sharing(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	before := f.count("LIST")
	v := r.View()
	if before != f.count("LIST") {
		t.Error("it lists before anything is asked")
	}
	for range 2 {
		h, err := v.Read(t.Context(), secretA)
		if diff := cmp.Diff(own, h); diff != "" || err != nil {
			t.Errorf("history: %v (-want +got):\n%s", err, diff)
		}
		others, err := v.Sharing(t.Context(), h)
		if diff := cmp.Diff(sharing, others); diff != "" || err != nil {
			t.Errorf("sharing: %v (-want +got):\n%s", err, diff)
		}
		keys, err := v.Fingerprints(t.Context())
		if err != nil || keys[public(t, lineA).Fingerprint()] == "" || keys[public(t, lineB).Fingerprint()] != secretA {
			t.Errorf("keys: %v, %v", keys, err)
		}
		// What is written from now on is not in it.
		write(t, r, Fact{Kind: Promoted, Secret: secretA, Version: v1, At: noon})
	}
	if n := f.count("LIST") - before; n != 2 {
		t.Errorf("%d lists, want the two pages of one", n)
	}
	if h, err := v.Read(t.Context(), "arn:aws:secretsmanager:us-east-1:111122223333:secret:nobody-AbCdEf"); err != nil || len(h.Facts) > 0 {
		t.Errorf("a secret that is not registered: %+v, %v", h, err)
	}
}

func TestAViewThatCouldNotBeListedIsListedAgain(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	r := New(f, bucketName, Retention{})
	write(t, r, created(t, secretA, v1, lineA))
	v := r.View()
	f.answer = func(r *http.Request, _ string) (int, string) {
		if r.URL.Query().Has("list-type") {
			return 503, "SlowDown"
		}
		return 0, ""
	}
	if _, err := v.Read(t.Context(), secretA); err == nil {
		t.Error("a history that may not be whole, without an error")
	}
	if _, err := v.Fingerprints(t.Context()); err == nil {
		t.Error("keys that may not be all, without an error")
	}
	f.answer = nil
	if h, err := v.Read(t.Context(), secretA); err != nil || len(h.Facts) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
}
