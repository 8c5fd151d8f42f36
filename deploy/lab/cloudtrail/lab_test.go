package cloudtrail_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/cloudtrail"
	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const secret = "arn:aws:secretsmanager:us-east-1:111122223333:secret:fleet/key-AbCdEf"

var begun = time.Date(2026, 11, 2, 9, 30, 15, 0, time.UTC)

// lab is a service whose deliveries are noted, on a clock that is set.
type lab struct {
	*testing.T
	service   *cloudtrail.Service
	now       time.Time
	delivered []cloudtrail.Event
}

func newLab(t *testing.T, o cloudtrail.Options) *lab {
	t.Helper()
	l := &lab{T: t, now: begun}
	o.Now = func() time.Time { return l.now }
	o.Rate = 1000
	o.SecretARN = func(id string) string {
		if id == "fleet/key" || id == secret {
			return secret
		}
		return ""
	}
	o.Deliver = func(e cloudtrail.Event) { l.delivered = append(l.delivered, e) }
	l.service = cloudtrail.New(o)
	return l
}

// call is a call of Secrets Manager as the front tells of it.
func call(action, body, answer string) wire.Served {
	return wire.Served{
		Request: wire.Request{
			ID: "11111111-2222-4333-8444-555555555555", Service: "secretsmanager", Action: action, Region: "us-east-1",
			Caller:    wire.Identity{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", ARN: "arn:aws:iam::111122223333:user/operator"},
			UserAgent: "aws-cli", SourceIP: "127.0.0.1", Body: []byte(body),
		},
		Received: begun, Status: 200, Answer: []byte(answer),
	}
}

func serviceEvent(name string) secretsmanager.Event {
	e := secretsmanager.Event{Time: begun, Name: name, SecretARN: secret, SecretName: "fleet/key", VersionID: "eeb681b1-a07d-4aeb-9b61-1ee6590ec295"}
	if strings.HasSuffix(name, "Failed") {
		e.ErrorMessage = "Error when executing lambda arn:aws:lambda:us-east-1:111122223333:function:rotate during setSecret step"
	}
	return e
}

// ask makes a call of CloudTrail as it comes off the wire.
func (l *lab) ask(action, body string) (map[string]any, error) {
	l.Helper()
	out, err := l.service.Serve(l.Context(), wire.Request{Service: "cloudtrail", Action: action, Body: []byte(body)})
	if err != nil {
		return nil, err
	}
	text, err := wire.Encode(out)
	if err != nil {
		l.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		l.Fatal(err)
	}
	return answer, nil
}

func (l *lab) must(action, body string) map[string]any {
	l.Helper()
	answer, err := l.ask(action, body)
	if err != nil {
		l.Fatalf("%s %s: %v", action, body, err)
	}
	return answer
}

// records returns what LookupEvents finds, newest first.
func (l *lab) records(body string) []map[string]any {
	l.Helper()
	var list []map[string]any
	for _, e := range l.must("LookupEvents", body)["Events"].([]any) {
		var r map[string]any
		if err := json.Unmarshal([]byte(e.(map[string]any)["CloudTrailEvent"].(string)), &r); err != nil {
			l.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// names returns the names of the events that LookupEvents finds.
func (l *lab) names(body string) string {
	l.Helper()
	var list []string
	for _, r := range l.records(body) {
		list = append(list, r["eventName"].(string))
	}
	return strings.Join(list, " ")
}

func code(err error) string {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}
