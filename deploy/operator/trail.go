package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/keytrail/keytrail/events"
)

// lookupEvery spaces calls of LookupEvents, of which an account and Region have two a second.
// https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
const lookupEvery = 500 * time.Millisecond

// lookedUp are the events that a history is made of: how rotations went, and who changed what. Reads are too
// many, and in no account's interest to page through.
var lookedUp = []events.Kind{
	events.RotationStarted, events.RotationSucceeded, events.RotationFailed, events.RotationAbandoned,
	events.RotateSecret, events.CancelRotateSecret, events.PutSecretValue, events.UpdateSecretVersionStage,
	events.TagResource, events.UntagResource, events.PutResourcePolicy, events.DeleteSecret, events.RestoreSecret,
}

// trail finds what CloudTrail keeps of a secret's events of some kinds since a time, for 90 days at most, newest first.
// Service events name no resource, so that all of a name are read and the secret's are picked here.
func (k *stack) trail(ctx context.Context, since time.Time, kinds []events.Kind, concerns func(events.SecretID) bool) ([]events.Event, error) {
	client := newTrails(k.aws)
	tick := time.NewTicker(lookupEvery)
	defer tick.Stop()
	var found []events.Event
	for _, kind := range kinds {
		for token, more := "", true; more; more = token != "" {
			var records []string
			var err error
			if records, token, err = client.lookUp(ctx, string(kind), since, token); err != nil {
				return nil, fmt.Errorf("look up %s in CloudTrail: %w", kind, err)
			}
			for _, record := range records {
				if e, ok := decoded(record); ok && concerns(e.Secret) {
					found = append(found, e)
				}
			}
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-tick.C:
			}
		}
	}
	return found, nil
}

// decoded reads a record of CloudTrail as EventBridge would have delivered it.
func decoded(record string) (events.Event, bool) {
	var about struct{ EventType, EventSource, RecipientAccountID, AwsRegion, EventTime, EventID string }
	if json.Unmarshal([]byte(record), &about) != nil || about.EventSource != "secretsmanager.amazonaws.com" {
		return events.Event{}, false
	}
	kind := "AWS API Call via CloudTrail"
	if about.EventType == "AwsServiceEvent" {
		kind = "AWS Service Event via CloudTrail"
	}
	envelope, err := json.Marshal(map[string]any{
		"id": about.EventID, "source": "aws.secretsmanager", "detail-type": kind, "account": about.RecipientAccountID,
		"region": about.AwsRegion, "time": about.EventTime, "detail": json.RawMessage(record),
	})
	if err != nil {
		return events.Event{}, false
	}
	e, err := events.Decode(envelope)
	return e, err == nil && e.Kind != events.Unknown
}

// names returns what tells whether an event's id of a secret is that of one: its ARN, the ARN without the
// six characters at its end, or its name.
func names(arn, name string) func(events.SecretID) bool {
	partial := arn[:max(0, strings.LastIndexByte(arn, '-'))]
	return func(id events.SecretID) bool {
		return id.String() == arn || id.String() == partial || id.String() == name
	}
}
