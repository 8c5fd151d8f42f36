package report

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
)

// year is an archive of hourly verifications of a fleet. As the compacted reader gives them, verifications that saw
// the same share their lists of hosts; each day something changes.
func year(b *testing.B, hosts int) evidence.Archive {
	var c evidence.Chain
	c.Secret = deploy
	start := to.AddDate(-1, 0, 0)
	add := func(at time.Time, r evidence.Record) {
		r.At, r.Schema, r.Secret, r.Stack, r.Sequence = at, evidence.Schema, deploy, stack, int64(len(c.Records)+1)
		c.Records, c.Sums = append(c.Records, r), append(c.Sums, evidence.Sum([]byte(at.String())))
	}
	well1 := well(1, start, fleet(hosts)...)
	for at := start; at.Before(to); at = at.Add(time.Hour) {
		day := int(at.Sub(start) / (24 * time.Hour))
		if at.Hour() == 0 && day%30 == 0 {
			add(at, evidence.Record{Kind: evidence.Rotated, Rotation: &evidence.Rotation{Outcome: evidence.Succeeded, Version: version(day)}})
		}
		if at.Hour() == 0 {
			well1 = well(day/30*30, start.AddDate(0, 0, day/30*30), well1.Hosts...)
			well1 = with(well1, day%hosts, func(u *evidence.User) {})
			well1 = with(well1, (day+1)%hosts, state("unreachable", "offline"))
			well1 = with(well1, (day+7)%hosts, state("missing", ""))
			well1 = with(well1, day%hosts, state("ok", ""))
		}
		v := *well1
		add(at.Add(time.Minute), evidence.Record{Kind: evidence.Verified, Verification: &v})
	}
	return evidence.Archive{Chains: []evidence.Chain{c}}
}

// BenchmarkYear is a year of hourly verifications of 1,000 hosts to a page.
func BenchmarkYear(b *testing.B) {
	a := year(b, 1000)
	o := Options{From: to.AddDate(-1, 0, 0), To: to, Now: now}
	var size counter
	for b.Loop() {
		size = 0
		if err := Build(a, o).WriteHTML(&size); err != nil {
			b.Fatal(err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(size)/1e6, "MB/page")
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-of-process")
	b.ReportAllocs()
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

var _ io.Writer = new(counter)
