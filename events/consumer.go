package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// Consumer acts on events. Make it with New; it may be used by many at once.
type Consumer struct {
	config          Config
	account, region string
	auditor         *audit.Auditor
	hosts           asker
	desk            *alert.Desk
	topics          alert.Topics
	topicNames      []alert.Topic
	hub             hub
	journals        journals
	objects         evidence.Bucket
	proof           evidence.Log
	exceptions      *exceptions
	rotator         actor
	queues          sender
	metrics         metrics
	log             *slog.Logger
}

// asker asks hosts what they trust. *audit.Auditor is one.
type asker interface {
	Verify(context.Context, audit.Secret, ...fleet.InstanceID) (audit.Verdict, error)
	VerifyGone(ctx context.Context, arn string) (audit.Verdict, error)
}

// actor has rotate do something. Rotator is one.
type actor interface {
	Ask(context.Context, rotate.ActionRequest) (*rotate.ActionResult, error)
}

// sender puts messages into queues: checks, and what no retry can mend.
type sender interface {
	ask(ctx context.Context, messages []string) error
	bury(ctx context.Context, body []byte, why *MalformedError) error
}

// New returns a Consumer for an account and Region of AWS. Metrics are written to out, a line each.
func New(c Config, cfg aws.Config, log *slog.Logger, out io.Writer) *Consumer {
	objects := s3.NewFromConfig(cfg)
	bucket := evidence.NewBucket(objects, c.Stack.Bucket)
	site := alert.Site{Rotate: nameOf(c.Rotate), Runbook: c.Runbook}
	topics := make([]alert.Topic, 0, len(c.Topics))
	for _, t := range []alert.Topic{alert.Alerts, alert.Chat} {
		if c.Topics[t] != "" {
			topics = append(topics, t)
		}
	}
	auditor := audit.New(audit.Config{
		Limits:    wanted.Limits{Users: c.Stack.Users, Boundary: c.Stack.Boundary},
		AllowRoot: c.Stack.AllowRoot, Grace: c.Stack.Grace,
	}, secretsmanager.NewFromConfig(cfg), register.New(objects, c.Stack.Bucket, register.Retention{}),
		fleet.New(c.Stack.Fleet, ssm.NewFromConfig(cfg)), audit.NewEC2(cfg))
	account, region := c.place()
	publisher := alert.NewTopics(sns.NewFromConfig(cfg), site, c.Topics)
	k := &Consumer{
		config: c, account: account, region: region, auditor: auditor, hosts: auditor,
		topics: publisher, topicNames: topics, hub: newHub(cfg),
		desk:    alert.New(bucket, publisher, alert.Rules{Repeat: c.Repeat, Mute: c.Mute, Topics: topics}),
		rotator: NewRotator(cfg, c.Rotate), queues: newQueues(cfg, c.Queue, c.DeadLetters), metrics: metrics{out}, log: log,
	}
	k.keepIn(bucket)
	return k
}

// keepIn has everything but the alerts kept in a bucket.
func (c *Consumer) keepIn(bucket evidence.Bucket) {
	c.objects, c.journals = bucket, journals{bucket}
	c.proof = evidence.NewLog(bucket, c.config.Stack.Retention, evidence.Stack{
		Account: c.account, Grace: c.config.Stack.Grace.String(), Heal: string(c.config.Heal), Readers: len(c.config.Readers) > 0, Region: c.region,
	})
	c.exceptions = &exceptions{store: bucket, proof: c.proof}
}

// Handle takes every invocation of the function: one event, or the messages of a batch. Of a batch it
// returns those that are to be tried again; the error of one event has Lambda try it again.
func (c *Consumer) Handle(ctx context.Context, invocation json.RawMessage) (any, error) {
	ctx, cancel := rotate.ShortOfDeadline(ctx)
	defer cancel()
	deliveries, batch := Deliveries(invocation)
	var failed []Delivery
	var errs []error
	for _, d := range deliveries {
		if err := c.take(ctx, d); err != nil {
			failed, errs = append(failed, d), append(errs, err)
		}
	}
	if batch {
		return Answer(failed), nil
	}
	return nil, errors.Join(errs...)
}

// take acts on one delivery, and writes one line of the log about it.
func (c *Consumer) take(ctx context.Context, d Delivery) error {
	started := time.Now()
	e, err := Decode(d.Body)
	if malformed, ok := errors.AsType[*MalformedError](err); ok {
		// No retry mends it: it goes where people find it, once.
		c.log.ErrorContext(ctx, "malformed event", "eventId", malformed.ID, "reason", malformed.Reason)
		c.metrics.count("EventsMalformed")
		return c.queues.bury(ctx, d.Body, malformed)
	}
	verdict, err := c.react(ctx, e)
	attrs := []slog.Attr{
		slog.String("kind", string(e.Kind)), slog.String("eventId", e.ID), slog.String("secretId", e.Secret.String()),
		slog.String("version", e.Version), slog.String("outcome", verdict), slog.Float64("seconds", time.Since(started).Seconds()),
	}
	if e.Kind == Unknown {
		attrs = append(attrs, slog.String("source", e.Source), slog.String("detailType", e.DetailType), slog.String("name", e.Name))
		c.metrics.count("EventsUnknown")
	}
	if err != nil {
		c.log.LogAttrs(ctx, slog.LevelError, "event failed", append(attrs, slog.String("error", err.Error()))...)
		return fmt.Errorf("%s %s: %w", e.Kind, e.ID, err)
	}
	c.log.LogAttrs(ctx, slog.LevelInfo, "event done", attrs...)
	return nil
}
