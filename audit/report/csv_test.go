package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
)

func asCSV(t testing.TB, r Report, table Table) []byte {
	return written(t, func(b *bytes.Buffer) error { return r.WriteCSV(b, table) })
}

// rows reads a table as any reader of CSV does.
func rows(t testing.TB, r Report, table Table) [][]string {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(asCSV(t, r, table))).ReadAll() // refuses rows of another length
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCSVReadsAsItWasReviewed(t *testing.T) {
	for _, table := range Tables() {
		golden(t, "october."+string(table)+".csv", asCSV(t, octoberReport(t), table))
	}
}

func TestEveryTableIsWhole(t *testing.T) {
	t.Parallel()
	r := octoberReport(t)
	want := map[Table]int{FindingTable: len(r.Findings)}
	for _, c := range r.Controls {
		want[ControlTable] += len(c.Tests)
	}
	for _, s := range r.Secrets {
		want[HostTable] += len(s.Hosts)
	}
	for _, table := range Tables() {
		if n := len(rows(t, r, table)) - 1; n != want[table] || n == 0 {
			t.Errorf("%s has %d rows, not %d", table, n, want[table])
		}
	}
	if r.WriteCSV(&bytes.Buffer{}, "other") == nil {
		t.Error("a table that does not exist was written")
	}
}

// TestColumnsAreCalledAsInJSON holds the names together.
func TestColumnsAreCalledAsInJSON(t *testing.T) {
	t.Parallel()
	r := octoberReport(t)
	names := func(values ...any) map[string]bool {
		out := map[string]bool{}
		for _, v := range values {
			body, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			var members map[string]any
			if err := json.Unmarshal(body, &members); err != nil {
				t.Fatal(err)
			}
			for name := range members {
				out[name] = true
			}
		}
		return out
	}
	finding := r.Findings[0]
	finding.Mended = now
	s := r.Secrets[0]
	h := s.Hosts[0]
	h.Reason, h.Ways, h.Stray, h.Command = "r", "k", true, "c"
	for table, known := range map[Table]map[string]bool{
		FindingTable: names(finding),
		ControlTable: names(r.Controls[0], r.Controls[0].Tests[0]),
		HostTable:    names(h, s.Last, map[string]int{"secret": 0, "arn": 0}),
	} {
		for _, column := range rows(t, r, table)[0] {
			if !known[column] {
				t.Errorf("%s has a column %s that JSON does not", table, column)
			}
		}
	}
}

func TestNoCellIsAFormula(t *testing.T) {
	t.Parallel()
	r := hostileReport(t)
	guarded := 0
	for _, table := range Tables() {
		for _, row := range rows(t, r, table) {
			for _, cell := range row {
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
					t.Errorf("%s: %q", table, cell)
				}
				if strings.HasPrefix(cell, "'=") {
					guarded++
				}
				if strings.ContainsAny(cell, "\r\n\x1b") {
					t.Errorf("%s: %q has a line end or a control character", table, cell)
				}
			}
		}
	}
	if guarded < 6 {
		t.Errorf("%d cells needed a guard", guarded)
	}
	for cell, want := range map[string]string{"": "", "a=1": "a=1", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r": "'\r", "＝1": "'＝1"} {
		if got := harmless(cell); got != want {
			t.Errorf("%q became %q", cell, got)
		}
	}
}
