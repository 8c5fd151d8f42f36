package events

import (
	"context"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
)

// Why rotate is asked for a reconcile.
const (
	whyHeal      = "heal"
	whyGrace     = "grace"
	whyAbandoned = "abandoned"
)

// prove writes records into a secret's evidence from what its journal knows of the end, and takes the new end down.
func (c *Consumer) prove(ctx context.Context, named alert.Secret, e Event, records ...evidence.Record) error {
	if len(records) == 0 {
		return nil
	}
	j, err := c.journals.read(ctx, named)
	if err != nil {
		return err
	}
	head, err := c.append(ctx, named, e, j.Proof, records)
	if err != nil {
		return err
	}
	_, err = c.journals.change(ctx, j, named, func(j *journal) { j.prove(head) })
	return err
}

// proveEndings writes how rotations ended that no look at the hosts has written yet.
func (c *Consumer) proveEndings(ctx context.Context, named alert.Secret, e Event, j kept) error {
	records, mark := j.endings()
	if len(records) == 0 {
		return nil
	}
	head, err := c.append(ctx, named, e, j.Proof, records)
	if err != nil {
		return err
	}
	_, err = c.journals.change(ctx, j, named, func(j *journal) {
		j.prove(head)
		mark(j)
	})
	return err
}

// append writes records that an event led to.
func (c *Consumer) append(ctx context.Context, named alert.Secret, e Event, head evidence.Head, records []evidence.Record) (evidence.Head, error) {
	for i := range records {
		records[i].Event = evidence.Event{At: e.At.UTC(), ID: e.ID, Name: string(e.Kind)}
	}
	return c.proof.Append(ctx, evidence.Secret{ARN: named.ARN, Name: named.Name}, head, records...)
}

// prove keeps the end that is furthest.
func (j *journal) prove(head evidence.Head) {
	if head.Sequence > j.Proof.Sequence {
		j.Proof = head
	}
}

// tell has people told of a sighting that no look at the hosts led to, and keeps what they were told.
func (c *Consumer) tell(ctx context.Context, e Event, s alert.Sighting) error {
	result, err := c.desk.Tell(ctx, s)
	if err != nil {
		return err
	}
	return c.prove(ctx, s.Secret, e, said(result)...)
}

// closeDay closes the evidence of the days that are over, once. What it cannot do now, the next check does.
func (c *Consumer) closeDay(ctx context.Context, named alert.Secret, j journal) {
	yesterday := time.Now().UTC().AddDate(0, 0, -1)
	day := yesterday.Format(time.DateOnly)
	if j.Closed >= day || j.Begun.Format(time.DateOnly) > day {
		return
	}
	_, err := c.proof.Close(ctx, evidence.Secret{ARN: named.ARN, Name: named.Name}, yesterday)
	if err == nil {
		_, err = c.journals.update(ctx, named, func(j *journal) { j.Closed = max(j.Closed, day) })
	}
	if err != nil {
		c.log.WarnContext(ctx, "day not closed", "secretArn", named.ARN, "day", day, "error", err.Error())
	}
}

// said are the messages that people were sent, as evidence has them.
func said(result alert.Result) []evidence.Record {
	var out []evidence.Record
	for _, m := range result.Said {
		c, _ := alert.Lookup(m.Condition)
		out = append(out, evidence.Record{Kind: evidence.Alerted, At: m.At, Alert: &evidence.Alert{
			Condition: string(m.Condition), Hosts: m.Problem.Hosts(), ID: m.Alert, Message: m.ID, Reason: m.Problem.Reason,
			Severity: string(c.Severity), Since: m.Since.UTC(), Status: string(m.Status), Who: m.Problem.Who.Principal,
		}})
	}
	return out
}

// endings are the rotations whose last ending does not stand in the evidence, as evidence has them, and what marks
// them as kept in a journal.
func (j *journal) endings() (records []evidence.Record, kept func(*journal)) {
	marks := map[string]time.Time{}
	for _, r := range j.Rotations {
		at, outcome := r.last()
		if at.IsZero() || !at.After(r.Kept) {
			continue
		}
		marks[r.Version] = at
		about := evidence.Rotation{Outcome: outcome, Started: r.Started.UTC(), Version: r.Version}
		if outcome == evidence.Failed {
			about.Failure, about.Function, about.Step = r.Message, r.Function, r.Step
		}
		records = append(records, evidence.Record{Kind: evidence.Rotated, At: at, Rotation: &about})
	}
	return records, func(j *journal) {
		for version, at := range marks {
			if r := j.find(version); r != nil && at.After(r.Kept) {
				r.Kept = at
			}
		}
	}
}

// reconciled is what rotate was asked for and answered, without the accounts where nothing was to be done.
func reconciled(why string, result *rotate.ActionResult, failure error) evidence.Record {
	out := evidence.Reconcile{Why: why}
	if failure != nil {
		out.Error = failure.Error()
	}
	if result != nil {
		for _, h := range result.Hosts {
			if h.Was != h.State || h.State != fleet.OK || h.Added+h.Removed > 0 {
				out.Hosts = append(out.Hosts, evidence.Change{
					Command: h.CommandID, Host: string(h.Host), Reason: h.Reason, State: string(h.State), User: h.User, Was: string(h.Was),
				})
			}
		}
	}
	return evidence.Record{Kind: evidence.Reconciled, At: time.Now(), Reconcile: &out}
}
