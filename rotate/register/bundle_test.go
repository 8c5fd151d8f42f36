package register

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const bundleA = "bundle/aws/us-east-1/111122223333/"

// rotated records what a rotation of a secret does: its key, where it went, and where the one before it is gone.
func rotated(t *testing.T, r *Register, secret string, n int) {
	t.Helper()
	version := func(n int) string { return fmt.Sprintf("%08d-2222-3333-4444-555555555555", n) }
	at := noon.Add(time.Duration(n) * time.Hour)
	hosts, users := []string{"i-0123456789abcdef0", "i-0123456789abcdef1"}, []string{"alice"}
	f := created(t, secret, version(n), []string{lineA, lineB}[n%2])
	f.At = at
	write(t, r, f,
		Fact{Kind: Installed, Secret: secret, Version: version(n), At: at.Add(time.Minute), Hosts: hosts, Users: users},
		Fact{Kind: Promoted, Secret: secret, Version: version(n), At: at.Add(2 * time.Minute)})
	if n > 0 {
		write(t, r, Fact{Kind: Retired, Secret: secret, Version: version(n - 1), At: at.Add(3 * time.Minute), Hosts: hosts, Users: users})
	}
}

// bundled returns a bucket in which a secret was rotated a few times, each time by a function that had just
// started, with its history and the key of its bundle.
func bundled(t *testing.T) (f *fakeS3, truth History, at string) {
	t.Helper()
	f = newFakeS3(t)
	for n := range 4 {
		r := New(f, bucketName, Retention{})
		rotated(t, r, secretA, n)
		var err error
		if truth, err = r.Read(t.Context(), secretA); err != nil {
			t.Fatal(err)
		}
		if err := r.Bundle(t.Context(), truth); err != nil {
			t.Fatal(err)
		}
	}
	var bundles []string
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if strings.HasPrefix(key, bundleFolder) {
			bundles = append(bundles, key)
		}
	}
	if len(bundles) != 1 || !strings.HasPrefix(bundles[0], bundleA) {
		t.Fatalf("bundles %q", bundles)
	}
	return f, truth, bundles[0]
}

func TestWhatAFunctionThatHasJustStartedReadsDoesNotGrowWithTheHistory(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	for n := range 30 {
		reads, writes := f.count("GET"), f.count("PUT")
		r := New(f, bucketName, Retention{})
		h, err := r.Read(t.Context(), secretA)
		if err != nil || len(h.Facts) != max(0, 4*n-1) {
			t.Fatalf("rotation %d: %d facts, %v", n, len(h.Facts), err)
		}
		rotated(t, r, secretA, n)
		if h, err = r.Read(t.Context(), secretA); err == nil {
			err = r.Bundle(t.Context(), h)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := f.count("GET") - reads; got > few+1 {
			t.Errorf("rotation %d reads %d objects", n, got)
		}
		if got := f.count("PUT") - writes; got > 4+1 {
			t.Errorf("rotation %d writes %d objects", n, got)
		}
	}
	// All secrets' keys are known by a bundle for each.
	reads := f.count("GET")
	if keys, err := New(f, bucketName, Retention{}).Fingerprints(t.Context()); err != nil || len(keys) != 2 || f.count("GET")-reads > few+1 {
		t.Errorf("%d keys by %d reads: %v", len(keys), f.count("GET")-reads, err)
	}
}

func TestABundleIsBelievedNothingThatTheListDoesNotSay(t *testing.T) {
	t.Parallel()
	// forged is a whole fact under the key of another, with a digest of its own.
	forged := func(t *testing.T, truth History) string {
		t.Helper()
		for _, f := range truth.Facts {
			if f.Kind == Created {
				f.Keys = created(t, secretA, f.Version, lineB).Keys
				f.At = f.At.Add(time.Millisecond)
				return string(encode(f))
			}
		}
		t.Fatal("no key is known")
		return ""
	}
	for name, row := range map[string]struct {
		change func(t *testing.T, f *fakeS3, at string, truth History)
		reads  int // of facts and the bundle; 0 when all are read
	}{
		"a whole one":  {func(*testing.T, *fakeS3, string, History) {}, 1 + 4},
		"none":         {func(_ *testing.T, f *fakeS3, at string, _ History) { delete(f.objects, at) }, 0},
		"an empty one": {func(_ *testing.T, f *fakeS3, at string, _ History) { f.objects[at] = "" }, 0},
		"one that is cut": {func(_ *testing.T, f *fakeS3, at string, _ History) {
			f.objects[at] = f.objects[at][:len(f.objects[at])/2]
		}, 0},
		"one with a fact changed": {func(_ *testing.T, f *fakeS3, at string, _ History) {
			f.objects[at] = strings.Replace(f.objects[at], `"users":["alice"]`, `"users":["mallory"]`, 1)
		}, 1 + 4 + 1},
		"one that lies": {func(t *testing.T, f *fakeS3, at string, truth History) {
			f.objects[at] = forged(t, truth) + strings.Join(strings.SplitAfter(f.objects[at], "\n")[1:], "")
		}, 1 + 4 + 1},
		"one that tells of more": {func(_ *testing.T, f *fakeS3, at string, _ History) {
			f.objects[at] += string(encode(Fact{Kind: Promoted, Secret: secretA, Version: v1, At: noon.UTC().Truncate(time.Millisecond)}))
		}, 1 + 4},
		"one in another order, twice": {func(_ *testing.T, f *fakeS3, at string, _ History) {
			lines := strings.SplitAfter(f.objects[at], "\n")
			slices.Reverse(lines)
			f.objects[at] = strings.Join(lines, "") + f.objects[at]
		}, 1 + 4},
		"that of another secret": {func(_ *testing.T, f *fakeS3, at string, _ History) {
			f.objects[at] = strings.ReplaceAll(f.objects[at], secretA, secretB)
		}, 0},
		"one in another form": {func(_ *testing.T, f *fakeS3, at string, _ History) { f.objects[at] = `{"schema":2,"facts":[]}` }, 0},
		"one that is denied": {func(_ *testing.T, f *fakeS3, at string, _ History) {
			f.answer = func(_ *http.Request, key string) (int, string) {
				if key == at {
					return 403, "AccessDenied"
				}
				return 0, ""
			}
		}, 0},
		"one that S3 does not give out": {func(_ *testing.T, f *fakeS3, at string, _ History) {
			f.answer = func(_ *http.Request, key string) (int, string) {
				if key == at {
					return 503, "SlowDown"
				}
				return 0, ""
			}
		}, 0},
		"ETags that are no MD5": {func(_ *testing.T, f *fakeS3, _ string, _ History) { f.opaque = true }, 1 + 15},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, truth, at := bundled(t)
			row.change(t, f, at, truth)
			before := f.count("GET")
			got, err := New(f, bucketName, Retention{}).Read(t.Context(), secretA)
			if diff := cmp.Diff(truth, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if n := f.count("GET") - before; row.reads > 0 && n > row.reads || n > 1+len(truth.Facts) {
				t.Errorf("%d reads", n)
			}
		})
	}
}

func TestABundleHidesNothingThatBecameOfAFact(t *testing.T) {
	t.Parallel()
	f, truth, _ := bundled(t)
	i := slices.IndexFunc(truth.Facts, func(f Fact) bool { return f.Kind == Created })
	key := keyOf(truth.Facts[i])
	whole := f.objects[key]
	for name, row := range map[string]struct {
		change func()
		want   error
	}{
		"it is cut":  {func() { f.objects[key] = whole[:len(whole)/2] }, ErrDamaged},
		"it is gone": {func() { delete(f.objects, key) }, ErrMissing},
	} {
		row.change()
		if h, err := New(f, bucketName, Retention{}).Read(t.Context(), secretA); !errors.Is(err, row.want) || len(h.Facts) != len(truth.Facts)-1 {
			t.Errorf("%s: %d facts, error %v", name, len(h.Facts), err)
		}
	}
}

func TestABundleIsMendedByTheNextThatKnowsMore(t *testing.T) {
	t.Parallel()
	f, truth, at := bundled(t)
	f.objects[at] = "not a fact\n"
	r := New(f, bucketName, Retention{})
	h, err := r.Read(t.Context(), secretA)
	if err == nil {
		err = r.Bundle(t.Context(), h)
	}
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, fact := range truth.Facts {
		want.Write(encode(fact))
	}
	if f.objects[at] != want.String() {
		t.Errorf("the bundle is\n%s", f.objects[at])
	}
	writes := f.count("PUT")
	if err := r.Bundle(t.Context(), h); err != nil || f.count("PUT") != writes {
		t.Errorf("it is written again, with nothing new: %v", err)
	}
}

func TestOfTwoThatWriteABundleOneIsEnough(t *testing.T) {
	t.Parallel()
	f, _, at := bundled(t)
	both := []*Register{New(f, bucketName, Retention{}), New(f, bucketName, Retention{})}
	for _, r := range both {
		h, err := r.Read(t.Context(), secretA)
		if err == nil {
			err = r.Bundle(t.Context(), h) // each knows its tag from now on
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		r := both[n%2]
		rotated(t, r, secretA, 4+2*n)
		rotated(t, r, secretA, 5+2*n)
		h, err := r.Read(t.Context(), secretA)
		if err == nil {
			err = r.Bundle(t.Context(), h)
		}
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
	}
	// The second met what the first wrote, and left it; the first wrote over its own.
	if !strings.Contains(f.objects[at], "00000009-") {
		t.Errorf("the bundle is\n%s", f.objects[at])
	}
	h, err := both[1].Read(t.Context(), secretA)
	if err == nil {
		err = both[1].Bundle(t.Context(), h)
	}
	if got, coldErr := New(f, bucketName, Retention{}).Read(t.Context(), secretA); err != nil || coldErr != nil || cmp.Diff(h, got) != "" {
		t.Errorf("%v, %v: %s", err, coldErr, cmp.Diff(h, got))
	}
}

func TestABundleThatMayNotBeWrittenIsToldOf(t *testing.T) {
	t.Parallel()
	f, _, at := bundled(t)
	delete(f.objects, at)
	f.answer = func(_ *http.Request, key string) (int, string) {
		if key == at {
			return 403, "AccessDenied"
		}
		return 0, ""
	}
	r := New(f, bucketName, Retention{})
	h, err := r.Read(t.Context(), secretA)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Bundle(t.Context(), h); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), at) {
		t.Errorf("error %v", err)
	}
}

func TestNoBundleIsKeptWhereETagsAreNoMD5(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	f.opaque = true
	r := New(f, bucketName, Retention{})
	for n := range 3 {
		rotated(t, r, secretA, n)
	}
	h, err := r.Read(t.Context(), secretA)
	if err == nil {
		err = r.Bundle(t.Context(), h)
	}
	if err != nil || len(f.objects) != len(h.Facts) {
		t.Errorf("%d objects of %d facts: %v", len(f.objects), len(h.Facts), err)
	}
}

func TestABundleStaysWithinItsSize(t *testing.T) {
	t.Parallel()
	f := newFakeS3(t)
	r := New(f, bucketName, Retention{})
	hosts := make([]string, maxHosts)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("i-%017x", i)
	}
	for n := range 30 {
		write(t, r, Fact{Kind: Installed, Secret: secretA, Version: v1, At: noon.Add(time.Duration(n) * time.Second), Hosts: hosts, Users: []string{"alice"}})
	}
	write(t, r, created(t, secretA, v1, lineA))
	h, err := r.Read(t.Context(), secretA)
	if err == nil {
		err = r.Bundle(t.Context(), h)
	}
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for key, body := range f.objects {
		if strings.HasPrefix(key, bundleFolder) {
			size = len(body)
		}
	}
	if size > maxBundle || size < maxBundle/2 {
		t.Errorf("the bundle has %d bytes", size)
	}
	reads := f.count("GET")
	got, err := New(f, bucketName, Retention{}).Read(t.Context(), secretA)
	if err != nil || len(got.Facts) != 31 || f.count("GET")-reads >= 31 {
		t.Errorf("%d facts by %d reads, %v", len(got.Facts), f.count("GET")-reads, err)
	}
}
