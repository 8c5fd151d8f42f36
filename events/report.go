package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/report"
	"github.com/keytrail/keytrail/events/alert"
)

// ReportFolder is where reports stand in the bucket, each in a folder that is named by its period.
const ReportFolder = "reports/"

// forms are the files of a report.
var forms = []struct {
	name  string
	write func(report.Report, io.Writer) error
}{
	{"report.html", report.Report.WriteHTML},
	{"report.json", report.Report.WriteJSON},
	{"ocsf.json", report.Report.WriteOCSF},
	{"findings.csv", table(report.FindingTable)},
	{"controls.csv", table(report.ControlTable)},
	{"hosts.csv", table(report.HostTable)},
}

func table(t report.Table) func(report.Report, io.Writer) error {
	return func(r report.Report, w io.Writer) error { return r.WriteCSV(w, t) }
}

// periodOf reads a day as 2006-01-02 or a month as 2006-01, in UTC: its first moment, and the first after it.
func periodOf(text string) (from, to time.Time, err error) {
	if from, err = time.Parse(time.DateOnly, text); err == nil {
		return from, from.AddDate(0, 0, 1), nil
	}
	if from, err = time.Parse("2006-01", text); err == nil {
		return from, from.AddDate(0, 1, 0), nil
	}
	return from, to, fmt.Errorf("%.40q is neither a day nor a month", text)
}

// written is which reports were asked for and written last: one S3 object beside the journals. A period sorts by its
// name.
type written struct {
	Schema int              `json:"schema"`
	Done   map[Every]string `json:"done"`
	// Asked is when the newest was asked for.
	Asked time.Time `json:"asked,omitzero"`
}

const (
	writtenKey = "watch/reports.json"
	// A report that was asked for and is not there by then got lost.
	reportPatience = time.Hour
)

// lastPeriods are those that are over, by how often a report is written.
func lastPeriods(now time.Time) map[Every]string {
	now = now.UTC()
	return map[Every]string{
		Daily:   now.AddDate(0, 0, -1).Format(time.DateOnly),
		Monthly: time.Date(now.Year(), now.Month(), 0, 0, 0, 0, 0, time.UTC).Format("2006-01"),
	}
}

// due returns the messages that ask for the reports that are due, in one sweep alone of those that see it. A stack that
// was never asked begins with the period that is not over yet.
func (c *Consumer) due(ctx context.Context, sweep Event) ([]string, error) {
	now := time.Now()
	last := lastPeriods(now)
	var messages []string
	err := c.update(ctx, func(w *written, fresh bool) bool {
		messages = nil
		if fresh {
			w.Done = last
			return true
		}
		if now.Sub(w.Asked) < reportPatience {
			return false
		}
		for _, every := range c.config.Reports {
			if w.Done[every] < last[every] {
				if body, err := EncodeReport(sweep, last[every]); err == nil {
					messages = append(messages, string(body))
				}
			}
		}
		w.Asked = now.UTC()
		return len(messages) > 0
	})
	if err != nil {
		return nil, fmt.Errorf("see which reports are due: %w", err)
	}
	return messages, nil
}

// update changes what is known of reports, if change says that it did.
func (c *Consumer) update(ctx context.Context, change func(w *written, fresh bool) bool) error {
	for {
		var w written
		body, tag, err := c.objects.Read(ctx, writtenKey)
		fresh := errors.Is(err, evidence.ErrAbsent)
		if err == nil {
			err = json.Unmarshal(body, &w)
		}
		if err != nil && !fresh {
			return err
		}
		if w.Done == nil {
			w.Done = map[Every]string{}
		}
		w.Schema = journalSchema
		if !change(&w, fresh) {
			return nil
		}
		if body, err = json.Marshal(w); err != nil {
			return err
		}
		if _, err = c.objects.Write(ctx, writtenKey, body, tag); !errors.Is(err, evidence.ErrChanged) {
			return err
		}
	}
}

// report writes the report of a period, tells people, and takes down that it did. A period that is not over gets a
// folder of its own, which says until when.
func (c *Consumer) report(ctx context.Context, period string) error {
	from, to, err := periodOf(period)
	if err != nil {
		return err
	}
	now, folder := time.Now().UTC().Truncate(time.Second), ReportFolder+period
	over := !now.Before(to)
	if !over {
		folder += "-until-" + now.Format("20060102T150405Z")
	}
	arns, unread, err := c.watched(ctx)
	if err != nil {
		return err
	}
	secrets := make([]evidence.Secret, len(arns))
	for i, arn := range arns {
		secrets[i] = evidence.Secret{ARN: arn, Name: audit.NameOf(arn)}
	}
	if over {
		if _, err := c.proof.Close(ctx, evidence.Secret{}, to.AddDate(0, 0, -1)); err != nil {
			c.log.WarnContext(ctx, "day not closed", "day", period, "error", err.Error())
		}
	}
	archive, err := evidence.Collect(ctx, c.objects, secrets, from, to)
	if err != nil {
		return err
	}
	r := report.Build(archive, report.Options{From: from, To: to, Now: now, Before: c.reportBefore(ctx, period, from)})
	for _, f := range forms {
		var b bytes.Buffer
		if err := f.write(r, &b); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
		// Who comes second, or again, finds the same period reported.
		if err := c.objects.Create(ctx, folder+"/"+f.name, b.Bytes(), c.config.Stack.Retention); err != nil && !errors.Is(err, evidence.ErrChanged) {
			return err
		}
	}
	every := Daily
	if len(period) == len("2006-01") {
		every = Monthly
	}
	if c.config.SecurityHub && every == Daily {
		if err := c.hub.take(ctx, r); err != nil { // people get the report all the same
			c.log.ErrorContext(ctx, "findings not imported", "period", period, "error", err.Error())
		}
	}
	if err := c.digest(ctx, r, period, folder); err != nil {
		return err
	}
	if over {
		err = c.update(ctx, func(w *written, _ bool) bool {
			w.Done[every] = max(w.Done[every], period)
			return true
		})
	}
	return errors.Join(err, unread)
}

// reportBefore is the report of the period before one, where there is one that can be read.
func (c *Consumer) reportBefore(ctx context.Context, period string, from time.Time) *report.Report {
	before := from.AddDate(0, 0, -1).Format("2006-01-02"[:len(period)])
	body, _, err := c.objects.Read(ctx, ReportFolder+before+"/report.json")
	if err == nil {
		var r *report.Report
		if r, err = report.ReadJSON(bytes.NewReader(body)); err == nil {
			return r
		}
	}
	if !errors.Is(err, evidence.ErrAbsent) {
		c.log.WarnContext(ctx, "report before not read", "period", before, "error", err.Error())
	}
	return nil
}

// digest tells people that a report is there, and what it comes to.
func (c *Consumer) digest(ctx context.Context, r report.Report, period, folder string) error {
	s := r.Summary
	d := alert.Digest{
		Period: period, Account: c.account, Region: c.region, Sentence: s.Sentence, Status: string(s.Status),
		Secrets: s.Secrets, Hosts: s.Hosts, Seen: s.Seen, Rotations: s.Rotations.Succeeded, Failures: s.Rotations.Failed,
		Passed: s.Controls.Pass, Failed: s.Controls.Fail, NotTestable: s.Controls.NotTestable, Mended: s.Mended,
		Bucket: c.config.Stack.Bucket, Key: folder + "/" + forms[0].name,
	}
	for _, f := range r.Findings {
		if f.Status != report.Mended {
			d.Findings = append(d.Findings, alert.Line{Severity: alert.Severity(f.Severity), Text: f.Title + ": " + f.Secret + " " + f.Scope})
		}
	}
	var errs []error
	for _, topic := range c.topicNames {
		if err := c.topics.Digest(ctx, topic, d); err != nil {
			errs = append(errs, fmt.Errorf("publish the digest to %s: %w", topic, err))
		}
	}
	return errors.Join(errs...)
}
