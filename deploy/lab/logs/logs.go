// Package logs answers the few calls of CloudWatch Logs that somebody makes who
// sets up a function by hand and reads what it logged. The lines themselves are
// the functions'; nothing is kept but the groups.
//
// Not modelled: writing events, filter patterns other than none, and the end of
// a retention.
package logs

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Stream is what one source has logged to a group, oldest line first.
type Stream struct {
	Name  string
	Begun time.Time
	Text  string
}

// Options of a service. Streams is required.
type Options struct {
	Account string           // default 111122223333
	Region  string           // default us-east-1
	Now     func() time.Time // default time.Now
	Streams func(group string) ([]Stream, error)
}

// Service implements wire.Service. Make it with [New].
type Service struct {
	options Options
	mu      sync.Mutex
	groups  map[string]*group
}

type group struct {
	created time.Time
	days    int // 0 for ever
}

// New returns a service without groups.
func New(o Options) *Service {
	o.Account, o.Region = cmp.Or(o.Account, "111122223333"), cmp.Or(o.Region, "us-east-1")
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{options: o, groups: map[string]*group{}}
}

// request has the members of all actions here.
type request struct {
	LogGroupName       string   `json:"logGroupName"`
	LogGroupNamePrefix string   `json:"logGroupNamePrefix"`
	RetentionInDays    int      `json:"retentionInDays"`
	StartTime          int64    `json:"startTime"` // milliseconds, as are all times here
	EndTime            int64    `json:"endTime"`
	FilterPattern      string   `json:"filterPattern"`
	Interleaved        bool     `json:"interleaved"` // always so
	Limit              int      `json:"limit"`       // all come in one page
	LogStreamNames     []string `json:"logStreamNames"`
}

// Serve answers an action.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html
func (s *Service) Serve(_ context.Context, r wire.Request) (any, error) {
	serve := map[string]func(request) (any, error){
		"CreateLogGroup":     s.createLogGroup,
		"DeleteLogGroup":     s.deleteLogGroup,
		"DescribeLogGroups":  s.describeLogGroups,
		"FilterLogEvents":    s.filterLogEvents,
		"PutRetentionPolicy": s.putRetentionPolicy,
	}[r.Action]
	if serve == nil {
		return nil, wire.UnknownOperation()
	}
	d := json.NewDecoder(strings.NewReader(string(r.Body)))
	d.DisallowUnknownFields()
	var in request
	if err := d.Decode(&in); err != nil {
		return nil, invalid("The lab does not take this: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return serve(in)
}

var groupName = regexp.MustCompile(`^[\w./#-]{1,512}$`)

func (s *Service) createLogGroup(in request) (any, error) {
	switch {
	case !groupName.MatchString(in.LogGroupName):
		return nil, invalid("logGroupName " + in.LogGroupName + " is no name of a log group")
	case s.groups[in.LogGroupName] != nil:
		return nil, &wire.Error{Code: "ResourceAlreadyExistsException", Message: "The specified log group already exists"}
	}
	s.groups[in.LogGroupName] = &group{created: s.options.Now()}
	return nil, nil
}

func (s *Service) deleteLogGroup(in request) (any, error) {
	if _, err := s.find(in.LogGroupName); err != nil {
		return nil, err
	}
	delete(s.groups, in.LogGroupName)
	return nil, nil
}

// retentions are the days that may be.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func (s *Service) putRetentionPolicy(in request) (any, error) {
	g, err := s.find(in.LogGroupName)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, invalid("retentionInDays " + strconv.Itoa(in.RetentionInDays) + " is none of those that may be")
	}
	g.days = in.RetentionInDays
	return nil, nil
}

func (s *Service) describeLogGroups(in request) (any, error) {
	list := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		if !strings.HasPrefix(name, in.LogGroupNamePrefix) {
			continue
		}
		g := s.groups[name]
		arn := "arn:aws:logs:" + s.options.Region + ":" + s.options.Account + ":log-group:" + name
		about := map[string]any{"logGroupName": name, "creationTime": g.created.UnixMilli(), "arn": arn + ":*", "logGroupArn": arn}
		if g.days > 0 {
			about["retentionInDays"] = g.days
		}
		list = append(list, about)
	}
	return map[string]any{"logGroups": list}, nil
}

// event is one line.
type event struct {
	stream string
	time   int64
	text   string
}

// filterLogEvents answers all events of a group in one page, in their order.
func (s *Service) filterLogEvents(in request) (any, error) {
	if _, err := s.find(in.LogGroupName); err != nil {
		return nil, err
	}
	if in.FilterPattern != "" {
		return nil, invalid("The lab has no filter patterns.")
	}
	streams, err := s.options.Streams(in.LogGroupName)
	if err != nil {
		return nil, err
	}
	var all []event
	for _, st := range streams {
		if len(in.LogStreamNames) == 0 || slices.Contains(in.LogStreamNames, st.Name) {
			all = append(all, st.events()...)
		}
	}
	slices.SortStableFunc(all, func(x, y event) int { return cmp.Compare(x.time, y.time) })
	list := []map[string]any{}
	for i, e := range all {
		if e.time >= in.StartTime && (in.EndTime == 0 || e.time < in.EndTime) {
			list = append(list, map[string]any{
				"logStreamName": e.stream, "timestamp": e.time, "ingestionTime": e.time, "message": e.text, "eventId": strconv.Itoa(i),
			})
		}
	}
	return map[string]any{"events": list, "searchedLogStreams": []any{}}, nil
}

// events returns the lines of a stream. A line that says its time has that one,
// any other the time of the line before it.
func (s Stream) events() (list []event) {
	at := s.Begun.UnixMilli()
	for line := range strings.Lines(s.Text) {
		var told struct{ Time time.Time }
		if json.Unmarshal([]byte(line), &told) == nil && !told.Time.IsZero() {
			at = max(at, told.Time.UnixMilli())
		}
		list = append(list, event{s.Name, at, strings.TrimSuffix(line, "\n")})
	}
	return list
}

func (s *Service) find(name string) (*group, error) {
	if g := s.groups[name]; g != nil {
		return g, nil
	}
	return nil, &wire.Error{Code: "ResourceNotFoundException", Message: "The specified log group does not exist."}
}

func invalid(message string) error {
	return &wire.Error{Code: "InvalidParameterException", Message: message}
}
