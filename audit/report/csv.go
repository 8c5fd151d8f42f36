package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Table is a list that is written as CSV.
type Table string

// The tables. Columns are called as in JSON; what is a list there is joined by a space.
const (
	FindingTable Table = "findings"
	ControlTable Table = "controls" // a row for each secret
	HostTable    Table = "hosts"    // a row for each account, at the last verification
)

// Tables returns all of them.
func Tables() []Table { return []Table{FindingTable, ControlTable, HostTable} }

// WriteCSV writes one table, whole, as RFC 4180 has it. A cell that a spreadsheet would take for a formula begins
// with an apostrophe.
func (r Report) WriteCSV(w io.Writer, table Table) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = harmless(cells[i])
		}
		out.Write(cells) // its error is kept until the end
	}
	switch table {
	case FindingTable:
		r.findingRows(row)
	case ControlTable:
		r.controlRows(row)
	case HostTable:
		r.hostRows(row)
	default:
		return fmt.Errorf("write CSV: there is no table %q", table)
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV of %s: %w", table, err)
	}
	return nil
}

func (r Report) findingRows(row func(...string)) {
	row("id", "control", "severity", "status", "secret", "arn", "scope", "places", "title", "detail", "times", "firstSeen", "lastSeen", "mended", "evidence")
	for _, f := range r.Findings {
		row(f.ID, f.Control, string(f.Severity), string(f.Status), f.Secret, f.ARN, f.Scope, strings.Join(f.Places, " "), f.Title, f.Detail,
			strconv.Itoa(f.Times), stamp(f.FirstSeen), stamp(f.LastSeen), stamp(f.Mended), cited(f.Evidence))
	}
}

func (r Report) controlRows(row func(...string)) {
	row("id", "title", "secret", "arn", "status", "reason", "records", "evidence", "severity", "mappings")
	for _, c := range r.Controls {
		var mappings []string
		for _, m := range c.Mappings {
			mappings = append(mappings, m.Framework+" "+m.Requirement+" ("+m.Source+")")
		}
		for _, t := range c.Tests {
			row(c.ID, c.Title, t.Secret, t.ARN, string(t.Status), t.Reason, strconv.Itoa(t.Records), cited(t.Evidence), string(c.Severity), strings.Join(mappings, "; "))
		}
	}
}

func (r Report) hostRows(row func(...string)) {
	row("secret", "arn", "host", "user", "state", "reason", "foreign", "ways", "stray", "at", "command", "evidence")
	for _, s := range r.Secrets {
		for _, h := range s.Hosts {
			row(s.Name, s.ARN, h.Host, h.User, h.State, h.Reason, strconv.Itoa(h.Foreign), h.Ways, strconv.FormatBool(h.Stray), stamp(s.Last.At), h.Command,
				cited([]Evidence{s.Last.Evidence}))
		}
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func cited(list []Evidence) string {
	var out []string
	for _, e := range list {
		out = append(out, e.ID+"@"+e.SHA256)
	}
	return strings.Join(out, " ")
}

// harmless keeps a spreadsheet from computing a cell. See "CSV Injection" of OWASP.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
		return "'" + cell
	}
	return cell
}
