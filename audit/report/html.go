package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Rows of a page. What is left out is counted there, and stands in JSON and CSV.
const (
	maxFindingRows  = 300
	maxRotationRows = 40
	maxTestRows     = 60
	maxFaultRows    = 100
	maxExceptRows   = 200
	maxPlaces       = 3
	allHostRows     = 2000 // of all secrets
	mostHostRows    = 60   // of one
	leastHostRows   = 5
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// page is the parsed page.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"minute": minute, "number": number, "seconds": seconds, "count": count,
		"day":          func(t time.Time) string { return t.UTC().Format("2 January 2006") },
		"lastDay":      func(t time.Time) string { return t.UTC().Add(-time.Nanosecond).Format("2 January 2006") },
		"stateClass":   stateClass,
		"statusClass":  func(s Status) string { return strings.ReplaceAll(string(s), " ", "-") },
		"iso":          func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"left":         func(all, shown int) int { return all - shown },
		"ours":         func(m Mapping) bool { return m.Source == Ours },
		"severityRank": func(s Severity) int { return severityRank[s] },
		"tally": func(n int) string {
			if n == 0 {
				return "·"
			}
			return number(n)
		},
		"first": func(list []string) []string { return list[:min(len(list), maxPlaces)] },
	}).Parse(pageText))
})

// sheet is a report with what its page shows of long lists, and charts.
type sheet struct {
	Report
	Style       template.CSS
	Script      template.JS
	Policy      string
	FindingRows []Finding
	FaultRows   []Fault
	ExceptRows  []ExceptionUse
	Sheets      []secretSheet
	Tests       []controlSheet
}

type secretSheet struct {
	Secret
	Anchor                     string
	TimeLine, AgeBar, StateBar template.HTML
	Recent                     []Rotation
	HostRows                   []HostState
}

type controlSheet struct {
	ControlResult
	Reason string // in one line, for the table of controls
	Rows   []Result
}

// WriteHTML writes one page that needs nothing else: no script to be read, no network.
func (r Report) WriteHTML(w io.Writer) error {
	sum := sha256.Sum256([]byte(pageScript))
	s := sheet{
		Report: r, Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Policy:      "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		FindingRows: head(r.Findings, maxFindingRows), FaultRows: head(r.Faults, maxFaultRows), ExceptRows: head(r.Exceptions, maxExceptRows),
	}
	hosts := min(mostHostRows, max(leastHostRows, allHostRows/max(1, len(r.Secrets))))
	for i, secret := range r.Secrets {
		p := secretSheet{Secret: secret, Anchor: fmt.Sprintf("secret-%d", i+1), TimeLine: r.timeLine(secret), StateBar: secret.stateBar(),
			Recent: slices.Clone(secret.Rotations[max(0, len(secret.Rotations)-maxRotationRows):]), HostRows: head(secret.Hosts, hosts)}
		slices.Reverse(p.Recent)
		if secret.Key != nil {
			p.AgeBar = secret.Key.ageBar()
		}
		s.Sheets = append(s.Sheets, p)
	}
	rank := map[Status]int{Fail: 0, NotTestable: 1, Pass: 2}
	for _, c := range r.Controls {
		rows := slices.Clone(c.Tests)
		slices.SortStableFunc(rows, func(a, b Result) int { return cmp.Compare(rank[a.Status], rank[b.Status]) })
		p := controlSheet{ControlResult: c, Rows: head(rows, maxTestRows)}
		// A secret for which nothing was due may stand before those that were tested.
		if i := slices.IndexFunc(rows, func(t Result) bool { return t.Status == c.Status }); i >= 0 {
			p.Reason = rows[i].Reason
			if rows[i].Secret != "" && len(rows) > 1 {
				p.Reason = rows[i].Secret + ": " + p.Reason
			}
			if n := countOf(c.Tally, c.Status) - 1; n > 0 {
				p.Reason += "; " + number(n) + " more"
			}
		}
		s.Tests = append(s.Tests, p)
	}
	b := bufio.NewWriter(w)
	if err := page().Execute(b, s); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return b.Flush()
}

// countOf is how many secrets a control ended for with a status.
func countOf(t Tally, s Status) int {
	switch s {
	case Pass:
		return t.Pass
	case Fail:
		return t.Fail
	}
	return t.NotTestable
}

// head returns at most so many of a list.
func head[T any](list []T, most int) []T { return list[:min(len(list), most)] }
