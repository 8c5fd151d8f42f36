package evidence

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/register"
)

// shelf is a bucket in memory. Of the writes that lose says, the reply gets lost.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	lose    int
	calls   []string
}

func (s *shelf) Read(_ context.Context, key string) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "read")
	body, ok := s.objects[key]
	if !ok {
		return nil, "", ErrAbsent
	}
	return slices.Clone(body), "", nil
}

func (s *shelf) Create(_ context.Context, key string, body []byte, _ register.Retention) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "create")
	if _, ok := s.objects[key]; ok {
		return ErrChanged
	}
	if s.objects == nil {
		s.objects = map[string][]byte{}
	}
	s.objects[key] = slices.Clone(body)
	if s.lose > 0 {
		s.lose--
		return ErrChanged // the SDK sent it again
	}
	return nil
}

func (s *shelf) List(_ context.Context, prefix, after string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "list")
	keys := slices.Sorted(maps.Keys(s.objects))
	return slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, prefix) || k <= after }), nil
}

// folder is the shelf as somebody downloaded it.
func (s *shelf) folder() fstest.MapFS {
	files := fstest.MapFS{}
	for key, body := range s.objects {
		files[key] = &fstest.MapFile{Data: slices.Clone(body)}
	}
	return files
}

var fleetSecret = Secret{"arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/fleet-AbCdEf", "prod/fleet"}

const at = Folder + "aws/us-east-1/111122223333/"

// seen is a verification of so many hosts, one of which has drifted.
func seen(hour, hosts, drifted int) Record {
	v := &Verification{Commands: []string{fmt.Sprintf("command-%d", hour)}, Coverage: Coverage{hosts, hosts}, Clean: drifted < 0}
	for i := range hosts {
		u := User{Name: "deploy", State: "ok", Command: 1}
		if i == drifted {
			u.State, u.Reason = "missing", "<gone> & \u2028 lost"
		}
		v.Hosts = append(v.Hosts, Host{fmt.Sprintf("i-%017x", i), []User{u}})
	}
	return Record{Kind: Verified, At: time.Date(2026, 11, 1, hour, 0, 0, 0, time.UTC), Verification: v}
}

func newLog(s *shelf) Log {
	return Log{s, register.Retention{}, Stack{Account: "111122223333", Region: "us-east-1", Heal: "missing", Grace: "1h0m0s"}}
}

func appended(t *testing.T, l Log, head Head, records ...Record) Head {
	t.Helper()
	head, err := l.Append(t.Context(), fleetSecret, head, records...)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func open(t *testing.T, files fs.FS, read func(fs.FS) (Archive, error)) ([]Record, []string) {
	t.Helper()
	a, err := read(files)
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	for _, f := range a.Faults {
		faults = append(faults, fmt.Sprintf("%s %d: %s", f.What, f.Sequence, f.Detail))
	}
	if len(a.Chains) == 0 {
		return nil, faults
	}
	return a.Chains[0].Records, faults
}

func TestEachRecordNamesTheOneBefore(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	l := newLog(s)
	head := appended(t, l, Head{}, seen(1, 2, -1), seen(2, 2, 1))
	if head = appended(t, l, head, seen(3, 2, -1)); head.Sequence != 3 {
		t.Errorf("the end is %d", head.Sequence)
	}
	if want := slices.Repeat([]string{"create"}, 3); !slices.Equal(s.calls, want) {
		t.Errorf("calls: %q", s.calls)
	}
	records, faults := open(t, s.folder(), Check)
	if len(records) != 3 || len(faults) != 0 {
		t.Fatalf("%d records, faults %q", len(records), faults)
	}
	if body, _ := records[1].Canonical(); records[2].Previous != Sum(body) {
		t.Error("record 3 does not name record 2")
	}
}

// TestNoTwoWritersForkAChain has many of them write at once, each from an end that is long past.
func TestNoTwoWritersForkAChain(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	const writers, each = 8, 5
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range each {
				if _, err := newLog(s).Append(t.Context(), fleetSecret, Head{}, seen(1, 1+w, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if records, faults := open(t, s.folder(), Check); len(records) != writers*each || len(faults) != 0 {
		t.Errorf("%d records, faults %q", len(records), faults)
	}
}

func TestARecordWhoseReplyGotLostIsWrittenOnce(t *testing.T) {
	t.Parallel()
	s := &shelf{lose: 1}
	head := appended(t, newLog(s), Head{}, seen(1, 1, -1))
	if head.Sequence != 1 || len(s.objects) != 1 {
		t.Errorf("the end is %d, %d objects", head.Sequence, len(s.objects))
	}
}

func TestADayIsClosedWithoutLoss(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	l := newLog(s)
	head, day := Head{}, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for d := range 3 {
		for hour := range 24 {
			drifted := -1
			if hour == 7 {
				drifted = d
			}
			r := seen(hour, 100, drifted)
			r.At = r.At.AddDate(0, 0, d)
			head = appended(t, l, head, r)
		}
		head = appended(t, l, head, Record{Kind: Rotated, At: day.AddDate(0, 0, d).Add(24 * time.Hour), Rotation: &Rotation{Outcome: Succeeded, Version: "v"}})
		for range 2 { // the second has nothing to do
			if _, err := l.Close(t.Context(), fleetSecret, day.AddDate(0, 0, d)); err != nil {
				t.Fatal(err)
			}
		}
	}
	head = appended(t, l, head, seen(0, 100, -1))
	whole := s.folder()
	raw, compact := fstest.MapFS{}, fstest.MapFS{}
	var sizeRaw, sizeDays int
	for name, f := range whole {
		switch {
		case strings.Contains(name, "/"+daysName):
			compact[name], sizeDays = f, sizeDays+len(f.Data)
		case strings.HasSuffix(name, recordName(head.Sequence)):
			compact[name], raw[name] = f, f // not closed yet
		default:
			raw[name], sizeRaw = f, sizeRaw+len(f.Data)
		}
	}
	want, faults := open(t, raw, Check)
	if len(want) != 76 || len(faults) > 1 || len(faults) == 1 && !strings.HasPrefix(faults[0], "clock 76") {
		t.Fatalf("%d records, faults %q", len(want), faults)
	}
	for name, files := range map[string]fs.FS{"manifests alone": compact, "both": whole} {
		got, faults := open(t, files, Check)
		if len(faults) != 1 { // the last record's hour, which is a day back
			t.Errorf("%s: faults %q", name, faults)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: other records (-written +read):\n%s", name, diff)
		}
	}
	got, err := collect(t.Context(), s, []Secret{fleetSecret}, r1.AddDate(0, 0, 1), r1.AddDate(0, 0, 2))
	if err != nil || len(got.Chains) != 1 || len(got.Chains[0].Records) != 76 {
		t.Errorf("a day and those around it: %d chains, %v", len(got.Chains), err)
	}
	if got, err = collect(t.Context(), s, []Secret{fleetSecret}, r1.AddDate(0, 0, 9), r1.AddDate(0, 0, 10)); err != nil || len(got.Chains[0].Records) != 26 {
		t.Errorf("a period after them: %v, %v", got, err)
	}
	if sizeDays*5 > sizeRaw {
		t.Errorf("%d bytes of manifests for %d of records", sizeDays, sizeRaw)
	}
}

// TestWhoeverTamperedIsFound changes a good archive in each way, and expects the first broken link by its number.
func TestWhoeverTamperedIsFound(t *testing.T) {
	t.Parallel()
	const folder = at + "prod!fleet-AbCdEf!"
	build := func(t *testing.T) (files fstest.MapFS, name func(n int64) string, day func(d int) string) {
		s := &shelf{}
		l := newLog(s)
		head := Head{}
		for d := range 2 {
			for n := range 3 {
				r := seen(n, 3, -1)
				r.At = r.At.AddDate(0, 0, d)
				head = appended(t, l, head, r)
			}
			if _, err := l.Close(t.Context(), fleetSecret, r1.AddDate(0, 0, d)); err != nil {
				t.Fatal(err)
			}
		}
		r := seen(1, 3, 0)
		r.At = r.At.AddDate(0, 0, 2)
		head = appended(t, l, head, r)
		r.At = r.At.Add(time.Hour)
		appended(t, l, head, r)
		files = s.folder()
		find := func(tail string) string {
			for _, key := range slices.Sorted(maps.Keys(files)) {
				if strings.HasPrefix(key, folder) && strings.HasSuffix(key, tail) {
					return key
				}
			}
			t.Fatalf("no %s among %q", tail, slices.Sorted(maps.Keys(files)))
			return ""
		}
		return files, func(n int64) string { return find(recordName(n)) },
			func(d int) string { return find(fmt.Sprintf("days/2026-11-%02d.json", d)) }
	}
	for _, row := range []struct {
		name   string
		tamper func(files fstest.MapFS, record func(int64) string, day func(int) string)
		want   []string // how the faults begin
	}{
		{"nobody", func(fstest.MapFS, func(int64) string, func(int) string) {}, nil},
		{"a state is changed in a record", func(f fstest.MapFS, r func(int64) string, _ func(int) string) {
			replace(f, r(7), `"state":"missing"`, `"state":"ok"`)
		}, []string{"broken 8"}},
		{"a record is cut", func(f fstest.MapFS, r func(int64) string, _ func(int) string) {
			f[r(7)].Data = f[r(7)].Data[:100]
		}, []string{"damaged 7", "broken 8"}},
		{"a record that a manifest closed is changed", func(f fstest.MapFS, r func(int64) string, _ func(int) string) {
			replace(f, r(2), `"state":"ok"`, `"state":"missing"`)
		}, []string{"damaged 2"}},
		{"the hosts of a manifest are changed", func(f fstest.MapFS, _ func(int64) string, d func(int) string) {
			replace(f, d(1), `"state":"ok"`, `"state":"stale"`)
		}, []string{"damaged 1", "damaged 2", "damaged 3", "broken 0"}},
		{"a record is taken away", func(f fstest.MapFS, r func(int64) string, _ func(int) string) { delete(f, r(7)) }, []string{"missing 8"}},
		{"a record stands under another name", func(f fstest.MapFS, r func(int64) string, _ func(int) string) {
			f[r(8)].Data = f[r(7)].Data
		}, []string{"foreign 8"}},
		{"a manifest is taken away, with its records", func(f fstest.MapFS, r func(int64) string, d func(int) string) {
			for n := range int64(3) {
				delete(f, r(n+4))
			}
			delete(f, d(2))
		}, []string{"missing 7"}},
		{"a later release wrote a record", func(f fstest.MapFS, r func(int64) string, _ func(int) string) {
			replace(f, r(8), `"schema":1`, `"schema":2`)
		}, []string{"later 8"}},
		{"somebody's file stands between them", func(f fstest.MapFS, r func(int64) string, _ func(int) string) {
			f[strings.Replace(r(8), "8.json", "8 (copy).json", 1)] = f[r(8)]
		}, []string{"foreign 0"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			files, record, day := build(t)
			row.tamper(files, record, day)
			_, faults := open(t, files, Check)
			ok := len(faults) == len(row.want)
			for i := range min(len(faults), len(row.want)) {
				ok = ok && slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, row.want[i]) })
			}
			if !ok {
				t.Errorf("faults %q, want %q", faults, row.want)
			}
		})
	}
}

var r1 = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func replace(files fstest.MapFS, name, from, to string) {
	files[name].Data = []byte(strings.Replace(string(files[name].Data), from, to, 1))
}
