package register

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const leaseA = "lease/aws/us-east-1/111122223333/team!app!key-AbCdEf!97224cb1b94576347a0b0f906ec32bf0.json"

func acquire(t *testing.T, l *Leases, holder string, now time.Time) Lease {
	t.Helper()
	lease, err := l.Acquire(t.Context(), secretA, holder, now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func heldBy(t *testing.T, err error, holder string) {
	t.Helper()
	held, ok := errors.AsType[*HeldError](err)
	if !ok || held.Lease.Holder != holder {
		t.Errorf("got %v, want a HeldError that names %q", err, holder)
	}
}

func TestALeaseOnTheWire(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	l := NewLeases(f, bucketName)
	lease := acquire(t, l, "one", noon)
	want := `{"schema":1,"secret":"` + secretA + `","holder":"one","generation":1795176000123,"expires":"2026-11-20T12:01:00.123Z"}` + "\n"
	if diff := cmp.Diff(want, f.objects[leaseA]); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
	if r := f.calls[1]; r.Header.Get("If-None-Match") != "*" || r.Header.Get("If-Match") != "" {
		t.Errorf("the first lease was written with %v", r.Header)
	}
	tag := f.etag(f.objects[leaseA])
	if _, err := l.Renew(t.Context(), lease, noon.Add(time.Second), time.Minute); err != nil {
		t.Fatal(err)
	}
	if r := f.calls[2]; r.Header.Get("If-Match") != tag || r.Header.Get("If-None-Match") != "" {
		t.Errorf("the lease was renewed with %v", r.Header)
	}
}

func TestALeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	l := NewLeases(newFakeS3(t), bucketName)
	lease := acquire(t, l, "one", noon)
	_, err := l.Acquire(t.Context(), secretA, "two", noon.Add(time.Minute), time.Minute)
	heldBy(t, err, "one")
	if _, err := l.Acquire(t.Context(), secretB, "two", noon, time.Minute); err != nil {
		t.Errorf("the lease of another secret: %v", err)
	}
	for range 2 {
		if err := l.Release(t.Context(), lease, noon.Add(time.Second)); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	_, err = l.Renew(t.Context(), lease, noon.Add(time.Second), time.Minute)
	heldBy(t, err, "")
	acquire(t, l, "two", noon.Add(time.Second))
}

func TestALeaseThatIsOverIsTakenOver(t *testing.T) {
	t.Parallel()
	l := NewLeases(newFakeS3(t), bucketName)
	one := acquire(t, l, "one", noon)
	two := acquire(t, l, "two", one.Expires.Add(clockDifference))
	if two.Generation <= one.Generation {
		t.Errorf("generation %d after %d", two.Generation, one.Generation)
	}
	_, err := l.Renew(t.Context(), one, two.Expires, time.Minute)
	heldBy(t, err, "two")
	if err := l.Release(t.Context(), one, two.Expires); err != nil {
		t.Errorf("release of a lease that was taken over: %v", err)
	}
	_, err = l.Acquire(t.Context(), secretA, "three", one.Expires.Add(clockDifference), time.Minute)
	heldBy(t, err, "two")
}

func TestALeaseIsRenewedByItsHolder(t *testing.T) {
	t.Parallel()
	l := NewLeases(newFakeS3(t), bucketName)
	lease := acquire(t, l, "one", noon)
	for i := range 3 {
		next, err := l.Renew(t.Context(), lease, noon.Add(time.Duration(i)*time.Minute), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if next.Generation != lease.Generation {
			t.Errorf("generation %d, was %d", next.Generation, lease.Generation)
		}
		lease = next
	}
	_, err := l.Acquire(t.Context(), secretA, "two", noon.Add(2*time.Minute), time.Minute)
	heldBy(t, err, "one")
}

func TestTheGenerationOnlyGrows(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	last := int64(0)
	now := noon
	for i := range 30 {
		l := NewLeases(f, bucketName) // a restart
		lease := acquire(t, l, fmt.Sprint("holder", i%3), now)
		if lease.Generation <= last {
			t.Fatalf("generation %d after %d", lease.Generation, last)
		}
		last = lease.Generation
		switch i % 4 {
		case 0:
			now = now.Add(-time.Second) // a clock that went back
			if err := l.Release(t.Context(), lease, now); err != nil {
				t.Fatal(err)
			}
		case 1:
			now = lease.Expires.Add(clockDifference)
		case 2:
			now = lease.Expires.Add(clockDifference)
			delete(f.objects, leaseA) // lost
		case 3:
			if err := l.Release(t.Context(), lease, now); err != nil { // in the same millisecond
				t.Fatal(err)
			}
		}
	}
}

func TestOfManyWhoAskAtOnceOneGetsTheLease(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"no lease", "a lease that is over"} {
		t.Run(before, func(t *testing.T) {
			t.Parallel()
			l := NewLeases(newFakeS3(t), bucketName)
			now := noon
			if before != "no lease" {
				now = acquire(t, l, "before", noon).Expires.Add(time.Hour)
			}
			const many = 16
			errs := make([]error, many)
			var group sync.WaitGroup
			for i := range many {
				group.Go(func() {
					_, errs[i] = l.Acquire(t.Context(), secretA, fmt.Sprint("holder", i), now, time.Minute)
				})
			}
			group.Wait()
			winner, winners := "", 0
			for i, err := range errs {
				if err == nil {
					winner = fmt.Sprint("holder", i)
					winners++
				}
			}
			if winners != 1 {
				t.Fatalf("%d winners", winners)
			}
			for _, err := range errs {
				if err != nil {
					heldBy(t, err, winner)
				}
			}
		})
	}
}

func TestALostReplyLosesNoLease(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	l := NewLeases(f.retrying(), bucketName)
	f.lost = func(*http.Request) bool { return true } // of every write; the SDK then hears that it cannot be done again
	lease := acquire(t, l, "one", noon)
	lease, err := l.Renew(t.Context(), lease, noon.Add(time.Second), time.Minute)
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	if err := l.Release(t.Context(), lease, noon.Add(2*time.Second)); err != nil {
		t.Fatalf("release: %v", err)
	}
	acquire(t, l, "two", noon.Add(2*time.Second))
}

func TestWithoutListBucketAMissingLeaseIsDeniedAndStillTaken(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	f.answer = func(r *http.Request, key string) (int, string) {
		if _, ok := f.objects[key]; r.Method == http.MethodGet && !ok {
			return 403, "AccessDenied"
		}
		return 0, ""
	}
	l := NewLeases(f, bucketName)
	acquire(t, l, "one", noon)
	_, err := l.Acquire(t.Context(), secretA, "two", noon, time.Minute)
	heldBy(t, err, "one")
}

func TestWithoutListBucketAFirstLeaseSurvivesALostReply(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	f.answer = func(r *http.Request, key string) (int, string) {
		if _, there := f.objects[key]; r.Method == http.MethodGet && !there {
			return 403, "AccessDenied"
		}
		return 0, ""
	}
	f.lost = func(*http.Request) bool { return true }
	acquire(t, NewLeases(f.retrying(), bucketName), "one", noon)
}

func TestALeaseThatMayNotBeReadIsNotTaken(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	l := NewLeases(f, bucketName)
	acquire(t, l, "one", noon)
	f.answer = func(r *http.Request, _ string) (int, string) {
		if r.Method == http.MethodGet {
			return 403, "AccessDenied"
		}
		return 0, ""
	}
	if _, err := l.Acquire(t.Context(), secretA, "two", noon.Add(time.Hour), time.Minute); !errors.Is(err, ErrDenied) {
		t.Errorf("got %v", err)
	}
}

func TestWhatS3AnswersForALease(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		method string
		status int
		code   string
		want   error
		calls  int
	}{
		{"a bucket that is gone", "", 404, "NoSuchBucket", ErrNoBucket, 1},
		{"a bucket that denies", "", 403, "AccessDenied", ErrDenied, 2},
		{"writes that meet others for ever", http.MethodPut, 409, "ConditionalRequestConflict", ErrBusy, 7},
		{"races lost for ever", http.MethodPut, 412, "PreconditionFailed", ErrBusy, 2 * leaseTries},
		{"an object that is gone at every write", http.MethodPut, 404, "NoSuchKey", ErrBusy, 2 * leaseTries},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeS3(t)
			f.answer = func(r *http.Request, _ string) (int, string) {
				if tt.method == "" || r.Method == tt.method {
					return tt.status, tt.code
				}
				return 0, ""
			}
			_, err := NewLeases(f, bucketName).Acquire(t.Context(), secretA, "one", noon, time.Minute)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), leaseA) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if len(f.calls) != tt.calls {
				t.Errorf("%d calls, want %d", len(f.calls), tt.calls)
			}
		})
	}
}

func TestABadLeaseObjectIsNamedAndNotOverwritten(t *testing.T) {
	t.Parallel()
	whole := string(line(leaseObject{schema, secretA, "one", 7, "2026-11-20T12:01:00.123Z"}))
	tests := []struct {
		name, object string
		want         error
	}{
		{"cut", whole[:30], ErrDamaged},
		{"empty", "", ErrDamaged},
		{"without a time", strings.Replace(whole, "2026", "x", 1), ErrDamaged},
		{"without a generation", strings.Replace(whole, ":7", ":0", 1), ErrDamaged},
		{"from another secret", strings.Replace(whole, "AbCdEf", "GhIjKl", 1), ErrForeign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeS3(t)
			f.objects[leaseA] = tt.object
			_, err := NewLeases(f, bucketName).Acquire(t.Context(), secretA, "two", noon.Add(time.Hour), time.Minute)
			if bad, ok := errors.AsType[*ObjectError](err); !ok || bad.Key != leaseA || !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if f.objects[leaseA] != tt.object {
				t.Error("the object was overwritten")
			}
		})
	}
}

func TestALeaseThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	l := NewLeases(f, bucketName)
	for name, ask := range map[string]func() (Lease, error){
		"a name for an ARN": func() (Lease, error) { return l.Acquire(t.Context(), "x", "one", noon, time.Minute) },
		"no holder":         func() (Lease, error) { return l.Acquire(t.Context(), secretA, "", noon, time.Minute) },
		"a hostile holder":  func() (Lease, error) { return l.Acquire(t.Context(), secretA, "a\nb", noon, time.Minute) },
		"no time":           func() (Lease, error) { return l.Acquire(t.Context(), secretA, "one", noon, 0) },
		"too much time":     func() (Lease, error) { return l.Acquire(t.Context(), secretA, "one", noon, time.Hour) },
		"no now":            func() (Lease, error) { return l.Acquire(t.Context(), secretA, "one", time.Time{}, time.Minute) },
		"never acquired":    func() (Lease, error) { return Lease{}, l.Release(t.Context(), Lease{}, noon) },
		"renewed without": func() (Lease, error) {
			return l.Renew(t.Context(), Lease{Secret: secretA, Holder: "x"}, noon, time.Minute)
		},
	} {
		if _, err := ask(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if len(f.calls) > 0 {
		t.Errorf("%d calls", len(f.calls))
	}
}
