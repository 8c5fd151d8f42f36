package events

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
)

// Rehearsal is what a Consumer would do about an event, and did not.
type Rehearsal struct {
	Event Event
	// Malformed says why it would go to the dead letters, nil otherwise.
	Malformed *MalformedError
	Outcome   string                 // as the log would have it
	Messages  []alert.Message        // that people would be sent
	Actions   []rotate.ActionRequest // that rotate would be asked for
	Checks    []Event                // that would be queued
	// Cut: what comes of an action cannot be known without doing it.
	Cut bool
}

// Rehearse has a Consumer decide on an event as it would now, by what Secrets Manager says and its bucket keeps.
// It sends and writes nothing. Hosts are as they were last seen, or with ask are asked, which runs the inspect
// document on them. With renew the event is taken as if it happened now: what is older than the last look at its
// secret was answered by that.
func Rehearse(ctx context.Context, c Config, cfg aws.Config, body []byte, opts ...RehearsalOption) (Rehearsal, error) {
	var how rehearsing
	for _, o := range opts {
		o(&how)
	}
	e, err := Decode(body)
	if malformed, ok := errors.AsType[*MalformedError](err); ok {
		return Rehearsal{Malformed: malformed}, nil
	}
	if how.renew {
		e.At = time.Now().UTC()
	}
	c.SecurityHub = false
	c.Settle = 0 // hosts are not looked at twice
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n := &unsent{cut: cancel}
	k := New(c, cfg, slog.New(slog.DiscardHandler), io.Discard)
	bucket := evidence.NewBucket(s3.NewFromConfig(cfg), c.Stack.Bucket).Draft()
	desk, messages := alert.NewUnsent(bucket, k.desk.Rules())
	k.desk, k.rotator, k.queues = desk, n, n
	k.topicNames = nil // nobody hears of a report
	k.keepIn(bucket)
	if !how.ask {
		k.hosts = lastSeen{k.auditor, k.journals}
	}
	outcome, err := k.react(ctx, e)
	r := Rehearsal{Event: e, Outcome: outcome, Messages: messages.Messages(), Actions: n.actions, Checks: n.checks}
	if errors.Is(context.Cause(ctx), errCut) {
		r.Outcome, r.Cut, err = looked, true, nil
	}
	return r, err
}

// RehearsalOption changes what a rehearsal takes for given.
type RehearsalOption func(*rehearsing)

type rehearsing struct{ ask, renew bool }

// AskHosts has the hosts asked.
func AskHosts(r *rehearsing) { r.ask = true }

// Renew takes the event as if it happened now.
func Renew(r *rehearsing) { r.renew = true }

var errCut = errors.New("what comes of it cannot be known")

// unsent takes what would have been asked of others.
type unsent struct {
	actions []rotate.ActionRequest
	checks  []Event
	cut     context.CancelCauseFunc
}

// Ask takes an action down. Hosts that are to be mended would be looked at again then.
func (n *unsent) Ask(_ context.Context, req rotate.ActionRequest) (*rotate.ActionResult, error) {
	n.actions = append(n.actions, req)
	if len(req.Hosts) > 0 {
		n.cut(errCut)
	}
	return &rotate.ActionResult{}, nil
}

func (n *unsent) ask(_ context.Context, messages []string) error {
	for _, m := range messages {
		e, err := Decode([]byte(m))
		if err != nil {
			return err
		}
		n.checks = append(n.checks, e)
	}
	return nil
}

func (n *unsent) bury(context.Context, []byte, *MalformedError) error { return nil }

// lastSeen are hosts as the journals remember them.
type lastSeen struct {
	asker
	journals journals
}

var errNeverAsked = errors.New("the hosts were never asked")

func (l lastSeen) Verify(ctx context.Context, s audit.Secret, _ ...fleet.InstanceID) (audit.Verdict, error) {
	return l.remembered(ctx, alert.Secret{ARN: s.ARN, Name: s.Name})
}

func (l lastSeen) VerifyGone(ctx context.Context, arn string) (audit.Verdict, error) {
	return l.remembered(ctx, alert.Secret{ARN: arn, Name: audit.NameOf(arn)})
}

func (l lastSeen) remembered(ctx context.Context, named alert.Secret) (audit.Verdict, error) {
	j, err := l.journals.read(ctx, named)
	if err != nil {
		return audit.Verdict{}, err
	}
	if j.Verdict == nil {
		return audit.Verdict{}, errNeverAsked
	}
	v := *j.Verdict
	v.At = time.Now().UTC()
	return v, nil
}
