package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// MalformedError says why a delivery is none that could have been sent. No retry mends it.
type MalformedError struct {
	ID     string // the event's, where it could be read
	Reason string
}

func (e *MalformedError) Error() string {
	if e.ID == "" {
		return "malformed event: " + e.Reason
	}
	return fmt.Sprintf("malformed event %.60q: %s", e.ID, e.Reason)
}

// maxEvent bounds what is parsed. EventBridge delivers at most 256 KB:
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
const maxEvent = 1 << 20

// Decode reads one event as EventBridge delivers it. An event that this package does not know is Unknown,
// never an error; one that it knows and cannot make sense of is a *MalformedError.
func Decode(raw []byte) (Event, error) {
	if len(raw) > maxEvent {
		return Event{}, &MalformedError{Reason: fmt.Sprintf("%d bytes", len(raw))}
	}
	var env envelope
	if err := json.Unmarshal(raw, &env); err != nil {
		return Event{}, &MalformedError{Reason: "no JSON object: " + err.Error()}
	}
	e, err := env.event()
	if err != nil {
		return Event{}, &MalformedError{ID: string(env.ID), Reason: err.Error()}
	}
	return e, nil
}

// envelope is what every event comes in.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
type envelope struct {
	ID         text            `json:"id"`
	Source     text            `json:"source"`
	DetailType text            `json:"detail-type"`
	Account    text            `json:"account"`
	Region     text            `json:"region"`
	Time       text            `json:"time"`
	Resources  json.RawMessage `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// text is a string that a record may have, lack, or have as something else. Which of Secrets Manager's
// records have which fields is not documented, so no field that one has is asked of another.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

// Sources and detail types. https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html
const (
	secretsManager  = "aws.secretsmanager"
	schedulerSource = "aws.scheduler"
	rulesSource     = "aws.events"
	ownSource       = "keytrail"

	serviceEvent   = "AWS Service Event via CloudTrail"
	apiCall        = "AWS API Call via CloudTrail"
	labelUpdated   = "Secret Label Updated"
	scheduledEvent = "Scheduled Event"
	checkSecret    = "Check Secret"
	writeReport    = "Write Report"
)

// route is what an event is dispatched by. Name is CloudTrail's eventName, empty for other events.
type route struct{ source, detailType, name string }

// serviceKinds and callKinds are named as CloudTrail names them.
var (
	serviceKinds = []Kind{
		RotationStarted, RotationSucceeded, RotationFailed, RotationAbandoned,
		TestRotationStarted, TestRotationSucceeded, TestRotationFailed,
		DeletionStarted, DeletionEnded, DeletionCancelled, VersionDeleted,
	}
	callKinds = []Kind{
		RotateSecret, CancelRotateSecret, PutSecretValue, UpdateSecret, UpdateSecretVersionStage,
		DeleteSecret, RestoreSecret, PutResourcePolicy, DeleteResourcePolicy, TagResource, UntagResource, GetSecretValue,
	}
)

type reader struct {
	kind Kind
	read func(envelope, *Event) error
}

var routes = sync.OnceValue(func() map[route]reader {
	m := map[route]reader{
		{secretsManager, labelUpdated, ""}:    {LabelUpdated, envelope.readLabel},
		{schedulerSource, scheduledEvent, ""}: {Sweep, envelope.readSweep},
		{rulesSource, scheduledEvent, ""}:     {Sweep, envelope.readSweep},
		{ownSource, checkSecret, ""}:          {Check, envelope.readCheck},
		{ownSource, writeReport, ""}:          {Report, envelope.readReport},
	}
	for _, k := range serviceKinds {
		m[route{secretsManager, serviceEvent, string(k)}] = reader{k, envelope.readRecord}
	}
	for _, k := range callKinds {
		m[route{secretsManager, apiCall, string(k)}] = reader{k, envelope.readRecord}
	}
	return m
})

func (env envelope) event() (Event, error) {
	e := Event{
		Kind: Unknown, ID: string(env.ID), Account: string(env.Account), Region: string(env.Region),
		Source: string(env.Source), DetailType: string(env.DetailType),
	}
	if e.Source == "" || e.DetailType == "" {
		return Event{}, fmt.Errorf("it has no source or no detail-type")
	}
	// The China Regions' documents say "Amazon" for "AWS".
	detailType := strings.Replace(e.DetailType, "Amazon ", "AWS ", 1)
	if detailType == serviceEvent || detailType == apiCall {
		var named struct {
			EventName text `json:"eventName"`
		}
		if err := json.Unmarshal(env.Detail, &named); err != nil {
			return Event{}, fmt.Errorf("its detail is no record of CloudTrail: %w", err)
		}
		e.Name = string(named.EventName)
	}
	r, ok := routes()[route{e.Source, detailType, e.Name}]
	if !ok {
		return e, nil
	}
	e.Kind = r.kind
	if err := e.setTime(string(env.Time)); err != nil {
		return Event{}, err
	}
	if err := r.read(env, &e); err != nil {
		return Event{}, err
	}
	switch {
	case e.ID == "" || len(e.ID) > 256 || !utf8.ValidString(e.ID):
		return Event{}, fmt.Errorf("%s has no usable id", e.Kind)
	case e.At.IsZero():
		return Event{}, fmt.Errorf("%s has no time", e.Kind)
	case e.Account == "" || e.Region == "":
		return Event{}, fmt.Errorf("%s has no account or no Region", e.Kind)
	case e.Secret.IsZero() && e.Kind != Sweep && e.Kind != Report && !e.Refused():
		return Event{}, fmt.Errorf("%s names no secret", e.Kind)
	}
	return e, nil
}

// setTime keeps what it has when there is nothing to read.
func (e *Event) setTime(text string) error {
	if text == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 2000 || at.Year() > 9999 {
		return fmt.Errorf("%.40q is no time", text)
	}
	e.At = at.UTC()
	return nil
}

// setSecret takes the first candidate that is there. A refused call may have named anything.
func (e *Event) setSecret(candidates ...text) error {
	for _, c := range candidates {
		if c == "" {
			continue
		}
		id, err := ParseSecretID(string(c))
		if err != nil && e.Refused() {
			return nil
		}
		e.Secret = id
		return err
	}
	return nil
}

func (env envelope) readLabel(e *Event) error {
	var d struct {
		Name         text `json:"name"`
		LabelUpdated text `json:"labelUpdated"`
		VersionID    text `json:"versionId"`
	}
	if err := unmarshal(env.Detail, &d); err != nil {
		return err
	}
	var resources []text
	_ = json.Unmarshal(env.Resources, &resources) // absent or not a list: the name is there as well
	e.Version = string(d.VersionID)
	if d.LabelUpdated != "" {
		e.Labels = []string{string(d.LabelUpdated)}
	}
	return e.setSecret(append(resources, d.Name)...)
}

func (envelope) readSweep(*Event) error { return nil }

func unmarshal(detail json.RawMessage, into any) error {
	if len(bytes.TrimSpace(detail)) == 0 {
		return fmt.Errorf("it has no detail")
	}
	if err := json.Unmarshal(detail, into); err != nil {
		return fmt.Errorf("read its detail: %w", err)
	}
	return nil
}
