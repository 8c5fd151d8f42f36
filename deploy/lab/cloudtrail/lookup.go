package cloudtrail

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const (
	history = 90 * 24 * time.Hour // how far back records are found
	maxPage = 50
)

// lookupEvents finds records, newest first.
func (s *Service) lookupEvents(in *api.LookupEventsInput) (*api.LookupEventsOutput, error) {
	size := maxPage
	if n := in.MaxResults; n != nil {
		if size = int(*n); size < 1 || size > maxPage {
			return nil, refusal("InvalidMaxResultsException", "The maximum number of results must be between 1 and 50.")
		}
	}
	if in.StartTime != nil && in.EndTime != nil && in.StartTime.After(*in.EndTime) {
		return nil, refusal("InvalidTimeRangeException", "The start time must be before the end time.")
	}
	if in.EventCategory != "" && in.EventCategory != types.EventCategoryInsight {
		return nil, refusal("InvalidEventCategoryException", "The event category must be insight.")
	}
	wanted, err := s.attribute(in.LookupAttributes)
	if err != nil {
		return nil, err
	}
	after, err := position(in)
	if err != nil {
		return nil, err
	}
	now := s.options.Now()
	from, to := now.Add(-history), now
	if in.StartTime != nil && in.StartTime.After(from) {
		from = *in.StartTime
	}
	if in.EndTime != nil && in.EndTime.Before(to) {
		to = *in.EndTime
	}
	var found []entry
	s.mu.Lock()
	for _, e := range s.entries {
		if !e.visible.After(now) && !e.time.Before(from.Truncate(time.Second)) && !e.time.After(to) && wanted(e) &&
			in.EventCategory == "" && (after == nil || newestFirst(*after, e) < 0) {
			found = append(found, e)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(found, newestFirst)
	out := &api.LookupEventsOutput{Events: []types.Event{}}
	for _, e := range found[:min(size, len(found))] {
		out.Events = append(out.Events, s.found(e))
	}
	if len(found) > size {
		last := found[size-1]
		out.NextToken = aws.String(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %s", last.time.Unix(), last.number, question(in))))
	}
	return out, nil
}

func newestFirst(x, y entry) int { return cmp.Or(y.time.Compare(x.time), y.number-x.number) }

// question identifies the parameters that a token is bound to.
func question(in *api.LookupEventsInput) string {
	asked := *in
	asked.NextToken = nil
	b, _ := json.Marshal(asked) // plain data
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// position returns the last entry that a token's page had, nil without one.
func position(in *api.LookupEventsInput) (*entry, error) {
	if in.NextToken == nil {
		return nil, nil
	}
	raw, _ := base64.StdEncoding.DecodeString(*in.NextToken)
	p := strings.Fields(string(raw))
	if len(p) == 3 && p[2] == question(in) {
		at, err1 := strconv.ParseInt(p[0], 10, 64)
		number, err2 := strconv.Atoi(p[1])
		if err1 == nil && err2 == nil {
			return &entry{time: time.Unix(at, 0).UTC(), number: number}, nil
		}
	}
	return nil, refusal("InvalidNextTokenException", "Invalid token.")
}

// attribute reads the one attribute that can be looked for.
func (s *Service) attribute(list []types.LookupAttribute) (func(entry) bool, error) {
	if len(list) == 0 {
		return func(entry) bool { return true }, nil
	}
	a := list[0]
	if len(list) > 1 || aws.ToString(a.AttributeValue) == "" {
		return nil, refusal("InvalidLookupAttributesException", "You can specify only one lookup attribute, with its value.")
	}
	want := *a.AttributeValue
	of, ok := map[types.LookupAttributeKey]func(entry) string{
		types.LookupAttributeKeyEventId:     func(e entry) string { return e.EventID },
		types.LookupAttributeKeyEventName:   func(e entry) string { return e.EventName },
		types.LookupAttributeKeyEventSource: func(e entry) string { return e.EventSource },
		types.LookupAttributeKeyReadOnly:    func(e entry) string { return strconv.FormatBool(e.ReadOnly) },
		types.LookupAttributeKeyUsername:    func(e entry) string { return e.UserIdentity.userName() },
		types.LookupAttributeKeyAccessKeyId: func(e entry) string { return e.UserIdentity.AccessKeyID },
	}[a.AttributeKey]
	switch {
	case ok:
		return func(e entry) bool { return of(e) == want }, nil
	case a.AttributeKey == types.LookupAttributeKeyResourceName:
		return func(e entry) bool {
			return slices.ContainsFunc(s.resources(e), func(r types.Resource) bool { return *r.ResourceName == want })
		}, nil
	case a.AttributeKey == types.LookupAttributeKeyResourceType:
		return func(e entry) bool {
			return slices.ContainsFunc(s.resources(e), func(r types.Resource) bool { return *r.ResourceType == want })
		}, nil
	}
	return nil, refusal("InvalidLookupAttributesException", "The lookup attribute "+string(a.AttributeKey)+" does not exist.")
}

func (s *Service) found(e entry) types.Event {
	out := types.Event{
		CloudTrailEvent: &e.text, EventId: &e.EventID, EventName: &e.EventName, EventSource: &e.EventSource, EventTime: &e.time,
		ReadOnly: aws.String(strconv.FormatBool(e.ReadOnly)), Resources: s.resources(e),
	}
	if id := e.UserIdentity.AccessKeyID; id != "" {
		out.AccessKeyId = &id
	}
	if name := e.UserIdentity.userName(); name != "" {
		out.Username = &name
	}
	return out
}

// resources are those that LookupEvents knows of a record. The guide has a
// secret looked up by its name; whether its ARN does as well, and whether
// service events are found by it, is not known.
func (s *Service) resources(e entry) []types.Resource {
	list := []types.Resource{}
	if e.secret == "" || e.EventType == serviceEvent && s.choose("resources of service events", 2) == 1 {
		return list
	}
	name := e.secret
	if i := strings.LastIndex(name, ":secret:"); i >= 0 && len(name)-i > len(":secret:")+7 {
		name = name[i+len(":secret:") : len(name)-7]
	}
	for _, n := range [][]string{{name}, {e.secret}, {e.secret, name}}[s.choose("names of a secret", 3)] {
		list = append(list, types.Resource{ResourceType: aws.String(secretType), ResourceName: &n})
	}
	return list
}

func refusal(code, message string) error {
	return &wire.Error{Code: code, Message: message, Members: map[string]any{"message": message}}
}
