package cron_test

import (
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/cron"
)

func TestNext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ expression, after, want string }{
		{"0/15 * * * ? *", "2026-11-02T10:07:00Z", "2026-11-02T10:15:00Z"},
		{"0/15 * * * ? *", "2026-11-02T10:15:00Z", "2026-11-02T10:30:00Z"},
		{"5,35 14 * * ? *", "2026-11-02T14:05:00Z", "2026-11-02T14:35:00Z"},
		{"0 10 * * ? *", "2026-11-02T10:00:00Z", "2026-11-03T10:00:00Z"},
		{"0 18 ? * MON-FRI *", "2026-11-06T18:00:00Z", "2026-11-09T18:00:00Z"},
		{"0 8 1 * ? *", "2026-11-02T00:00:00Z", "2026-12-01T08:00:00Z"},
		{"0 8 L * ? *", "2026-02-03T00:00:00Z", "2026-02-28T08:00:00Z"},
		{"0 8 1W * ? *", "2026-07-31T09:00:00Z", "2026-08-03T08:00:00Z"},  // August 1 is a Saturday
		{"0 8 15W * ? *", "2026-11-02T00:00:00Z", "2026-11-16T08:00:00Z"}, // November 15 is a Sunday
		{"0 8 31W * ? *", "2026-05-02T00:00:00Z", "2026-05-29T08:00:00Z"}, // May 31 is a Sunday
		{"0 8 31W 4 ? *", "2026-01-01T00:00:00Z", ""},                     // April has none
		{"0 2 ? * SAT#3 *", "2026-11-02T00:00:00Z", "2026-11-21T02:00:00Z"},
		{"15 10 ? * 6L *", "2026-11-02T00:00:00Z", "2026-11-27T10:15:00Z"},
		{"0 0 29 2 ? *", "2026-11-02T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 1 1 ? 2100/50", "2026-11-02T00:00:00Z", "2100-01-01T00:00:00Z"},
		{"15 10 ? * 6L 2002-2005", "2026-11-02T00:00:00Z", ""},
	} {
		e, err := cron.Parse(tt.expression)
		if err != nil {
			t.Errorf("%s: %v", tt.expression, err)
			continue
		}
		after, err := time.Parse(time.RFC3339, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if next := e.Next(after); !next.IsZero() {
			got = next.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%s after %s is next %q, want %q", tt.expression, tt.after, got, tt.want)
		}
	}
}

func TestWhatIsNoCron(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "INVALID", "0 8 1 * ?", "0 dummy ? * MON-FRI *", "7 20 * * NOT *", "71 8 1 * ? *", "0 8 32 * ? *",
		"0 8 1 13 ? *", "0 8 ? * 8 *", "0 8 ? * 2#6 *", "0 8 ? * 2#x *", "0 8 ? * xL *", "0 8 xW * ? *", "9-3 8 1 * ? *",
		"0/0 8 1 * ? *", "0 8 1 * ? 1969", "0 8 1 * ? x",
	} {
		if _, err := cron.Parse(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
