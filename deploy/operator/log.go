package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keytrail/keytrail/audit/signed"
)

// logged is a line of the rotation function's log, as far as it is read.
type logged struct {
	Message    string         `json:"message"`
	Step       string         `json:"step"`
	Version    string         `json:"version"`
	Hosts      int            `json:"hosts"`
	States     map[string]int `json:"states"`
	InstanceID string         `json:"instanceId"`
	User       string         `json:"user"`
	State      string         `json:"state"`
	Reason     string         `json:"reason"`
	Error      string         `json:"error"`
	Permanent  bool           `json:"permanent"`
	Seconds    float64        `json:"seconds"`
}

// logReader reads the log of a function from some time on, each line once.
type logReader struct {
	client *signed.Client
	group  string
	since  time.Time
	seen   map[string]bool
}

func newLogReader(config aws.Config, group string, since time.Time) *logReader {
	explain := func(r signed.Reply) (code, message string) {
		var answer struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(r.Body, &answer) // a gateway answers in no JSON
		return answer.Type, answer.Message
	}
	return &logReader{signed.New(config, "logs", explain), group, since, map[string]bool{}}
}

// news returns the lines about a version that came since the last time, in order.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
func (l *logReader) news(ctx context.Context, version string) ([]logged, error) {
	var lines []logged
	for token := ""; ; {
		body, err := json.Marshal(struct {
			Group string `json:"logGroupName"`
			Start int64  `json:"startTime"`
			Token string `json:"nextToken,omitempty"`
		}{l.group, l.since.UnixMilli(), token})
		if err != nil {
			return nil, err
		}
		header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"Logs_20140328.FilterLogEvents"}}
		reply, err := l.client.Post(ctx, "/", header, body)
		if err != nil {
			return nil, err
		}
		var page struct {
			Events []struct {
				LogStreamName, Message string
				Timestamp              int64
			}
			NextToken string
		}
		if err := json.Unmarshal(reply.Body, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			var line logged
			id := fmt.Sprint(e.LogStreamName, e.Timestamp, e.Message)
			if l.seen[id] || json.Unmarshal([]byte(e.Message), &line) != nil || line.Version != version {
				continue
			}
			l.seen[id] = true
			lines = append(lines, line)
		}
		if token = page.NextToken; token == "" {
			return lines, nil
		}
	}
}
