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
	desk            *alert.Desk
	topics          alert.Topics
	topicNames      []alert.Topic
	journals        journals
	objects         evidence.Bucket
	proof           evidence.Log
	exceptions      *exceptions
	rotator         Rotator
	queues          queues
	metrics         metrics
	log             *slog.Logger
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
	proof := evidence.NewLog(bucket, c.Stack.Retention, evidence.Stack{
		Account: account, Grace: c.Stack.Grace.String(), Heal: string(c.Heal), Readers: len(c.Readers) > 0, Region: region,
	})
	publisher := alert.NewTopics(sns.NewFromConfig(cfg), site, c.Topics)
	return &Consumer{
		config: c, account: account, region: region, auditor: auditor,
		topics: publisher, topicNames: topics,
		desk:     alert.New(bucket, publisher, alert.Rules{Repeat: c.Repeat, Mute: c.Mute, Topics: topics}),
		journals: journals{bucket}, rotator: NewRotator(cfg, c.Rotate),
		objects: bucket, proof: proof, exceptions: &exceptions{store: bucket, proof: proof},
		queues: newQueues(cfg, c.Queue, c.DeadLetters), metrics: metrics{out}, log: log,
	}
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
