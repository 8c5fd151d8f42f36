package evidence

import (
	"io/fs"
	"runtime"
	"testing"
	"testing/fstest"
	"time"
)

// year is what a fleet of so many hosts leaves in a year of hourly verifications, compacted. Each day one host has
// drifted for an hour.
func year(b *testing.B, hosts int) fstest.MapFS {
	b.Helper()
	s := &shelf{}
	l := newLog(s)
	head, day := Head{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	files := fstest.MapFS{}
	for d := range 365 {
		var m Manifest
		add := m.adder()
		m.Day, m.Schema, m.Secret, m.Previous = day.AddDate(0, 0, d).Format(time.DateOnly), Schema, fleetSecret, head.SHA256
		for hour := range 24 {
			drifted := -1
			if hour == 7 {
				drifted = d
			}
			r := seen(hour, hosts, drifted)
			r.At, r.Schema, r.Secret, r.Stack = day.AddDate(0, 0, d).Add(time.Duration(hour)*time.Hour), Schema, fleetSecret, l.stack
			r.Sequence, r.Previous = head.Sequence+1, head.SHA256
			body, err := r.Canonical()
			if err != nil {
				b.Fatal(err)
			}
			head = Head{r.Sequence, Sum(body)}
			if err := add(r, head.SHA256); err != nil {
				b.Fatal(err)
			}
		}
		body, err := m.canonical()
		if err != nil {
			b.Fatal(err)
		}
		folder, err := folderOf(fleetSecret)
		if err != nil {
			b.Fatal(err)
		}
		files[folder+daysName+m.Day+".json"] = &fstest.MapFile{Data: body}
	}
	return files
}

// BenchmarkYear reads a year of a fleet of 1,000 hosts as a report does, and as whoever trusts nobody does.
func BenchmarkYear(b *testing.B) {
	files := year(b, 1000)
	size := 0
	for _, f := range files {
		size += len(f.Data)
	}
	for _, bench := range []struct {
		name string
		read func(fs.FS) (Archive, error)
	}{{"open", Open}, {"check", Check}} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				a, err := bench.read(files)
				if err != nil || len(a.Chains[0].Records) != 365*24 {
					b.Fatalf("%d chains, %v", len(a.Chains), err)
				}
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapAlloc-uint64(size))/(1<<20), "MiB-kept")
				runtime.KeepAlive(a)
			}
			b.ReportMetric(float64(size)/(1<<20), "MiB-of-manifests")
		})
	}
}
