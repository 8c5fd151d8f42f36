package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
)

// JSONSchema describes what WriteJSON writes.
//
//go:embed report.schema.json
var JSONSchema []byte

// WriteJSON writes the whole report, for machines and for the report after it. Nothing is folded.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// ReadJSON reads what WriteJSON wrote, for [Options].Before.
func ReadJSON(in io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if r.Form != Form {
		return nil, fmt.Errorf("read report: its form is %.40q, not %s", r.Form, Form)
	}
	return &r, nil
}
