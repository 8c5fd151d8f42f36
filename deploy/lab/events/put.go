package events

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// Limits of PutEvents.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
const (
	maxEntries     = 10
	maxEntriesSize = 256 * 1024
)

// putEvents takes what it can of the entries and tells of each that it cannot.
// An entry for a bus that does not exist is taken, and lost.
func (s *Service) putEvents(in *api.PutEventsInput) (*api.PutEventsOutput, error) {
	if n := len(in.Entries); n < 1 || n > maxEntries {
		must := "greater than or equal to 1"
		if n > 0 {
			must = fmt.Sprintf("less than or equal to %d", maxEntries)
		}
		return nil, broken("entries", fmt.Sprintf("[%d entries]", n), "have length "+must)
	}
	size := 0
	for _, e := range in.Entries {
		size += entrySize(e)
	}
	if size > maxEntriesSize {
		return nil, badParameter("Total size of the entries in the request is over the limit.")
	}
	out := &api.PutEventsOutput{}
	for _, e := range in.Entries {
		result := s.putEntry(e)
		if result.ErrorCode != nil {
			out.FailedEntryCount++
		}
		out.Entries = append(out.Entries, result)
	}
	return out, nil
}

// entrySize is what counts of an entry.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
func entrySize(e types.PutEventsRequestEntry) int {
	size := len(aws.ToString(e.Source)) + len(aws.ToString(e.DetailType)) + len(aws.ToString(e.Detail))
	if e.Time != nil {
		size += 14
	}
	for _, r := range e.Resources {
		size += len(r)
	}
	return size
}

func (s *Service) putEntry(e types.PutEventsRequestEntry) types.PutEventsResultEntry {
	for _, member := range []struct {
		name  string
		value *string
	}{{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", e.Detail}} {
		if aws.ToString(member.value) == "" {
			return failed("InvalidArgument", "Parameter "+member.name+" is not valid. Reason: "+member.name+" is a required argument.")
		}
	}
	var detail map[string]json.RawMessage
	switch {
	case json.Unmarshal([]byte(*e.Detail), &detail) != nil || detail == nil:
		return failed("MalformedDetail", "Detail is malformed.")
	case strings.HasPrefix(*e.Source, "aws."):
		return failed("NotAuthorizedForSourceException", "Not authorized for the source.")
	}
	at := s.options.Now()
	if e.Time != nil {
		at = *e.Time
	}
	s.mu.Lock()
	id := s.uuid()
	s.mu.Unlock()
	if s.checkBus(e.EventBusName) == nil {
		s.send(id, Event{Source: *e.Source, DetailType: *e.DetailType, Time: at.Truncate(time.Second), Resources: e.Resources, Detail: json.RawMessage(*e.Detail)})
	}
	return types.PutEventsResultEntry{EventId: &id}
}

func failed(code, message string) types.PutEventsResultEntry {
	return types.PutEventsResultEntry{ErrorCode: &code, ErrorMessage: &message}
}

// testEventPattern needs a whole event, but for its version.
func (s *Service) testEventPattern(in *api.TestEventPatternInput) (*api.TestEventPatternOutput, error) {
	if in.EventPattern == nil || in.Event == nil {
		return nil, badParameter("1 validation error detected: Value null failed to satisfy constraint: Member must not be null")
	}
	p, err := parsePattern(*in.EventPattern)
	if err != nil {
		return nil, err
	}
	var event map[string]json.RawMessage
	if json.Unmarshal([]byte(*in.Event), &event) != nil {
		return nil, badParameter("Parameter Event is not valid.")
	}
	for _, name := range []string{"id", "account", "source", "time", "region", "detail-type"} {
		if event[name] == nil {
			return nil, badParameter("Parameter Event is not valid. Reason: it has no " + name + ".") // our words
		}
	}
	return &api.TestEventPatternOutput{Result: p.Match([]byte(*in.Event))}, nil
}
