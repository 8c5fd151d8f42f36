package cloudtrail_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/cloudtrail"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{})
	l.service.Record(call("GetSecretValue", `{"SecretId":"fleet/key"}`, `{"ARN":"`+secret+`"}`))
	later := call("DeleteSecret", `{"SecretId":"fleet/key"}`, `{"ARN":"`+secret+`"}`)
	later.Received = begun.Add(time.Minute)
	l.service.Record(later)
	l.service.RecordService(serviceEvent("RotationFailed"))
	old := call("PutSecretValue", `{}`, `{}`)
	old.Received = begun.Add(-91 * 24 * time.Hour)
	l.service.Record(old)
	l.now = begun.Add(time.Hour)
	by := func(key, value string) string {
		return fmt.Sprintf(`{"LookupAttributes":[{"AttributeKey":%q,"AttributeValue":%q}]}`, key, value)
	}
	for name, tt := range map[string]struct{ body, want string }{
		"everything of 90 days, newest first": {`{}`, "DeleteSecret RotationFailed GetSecretValue"},
		"by name":                             {by("EventName", "RotationFailed"), "RotationFailed"},
		"by source":                           {by("EventSource", "ssm.amazonaws.com"), ""},
		"reads":                               {by("ReadOnly", "true"), "GetSecretValue"},
		"by user":                             {by("Username", "operator"), "DeleteSecret GetSecretValue"},
		"by key":                              {by("AccessKeyId", "AKIAIOSFODNN7EXAMPLE"), "DeleteSecret GetSecretValue"},
		"a minute":                            {fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, begun.Add(30*time.Second).Unix(), begun.Add(90*time.Second).Unix()), "DeleteSecret"},
		"from before there was any":           {`{"StartTime":1}`, "DeleteSecret RotationFailed GetSecretValue"},
	} {
		if got := l.names(tt.body); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	e := l.must("LookupEvents", by("EventName", "GetSecretValue"))["Events"].([]any)[0].(map[string]any)
	if e["ReadOnly"] != "true" || e["Username"] != "operator" || e["EventTime"] != float64(begun.Unix()) {
		t.Errorf("event %v", e)
	}
	for name, tt := range map[string]struct{ body, want string }{
		"two attributes":      {`{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"a"},{"AttributeKey":"ReadOnly","AttributeValue":"true"}]}`, "InvalidLookupAttributesException"},
		"an unknown one":      {by("Colour", "red"), "InvalidLookupAttributesException"},
		"too many at once":    {`{"MaxResults":51}`, "InvalidMaxResultsException"},
		"none at once":        {`{"MaxResults":0}`, "InvalidMaxResultsException"},
		"backwards":           {`{"StartTime":2,"EndTime":1}`, "InvalidTimeRangeException"},
		"a token of nowhere":  {`{"NextToken":"x"}`, "InvalidNextTokenException"},
		"an unknown category": {`{"EventCategory":"data"}`, "InvalidEventCategoryException"},
	} {
		if _, err := l.ask("LookupEvents", tt.body); code(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// A page goes on where the one before it ended, whatever has come meanwhile,
// and a token is for the call that it came from.
func TestPages(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{})
	record := func(i int) {
		c := call("GetSecretValue", fmt.Sprintf(`{"SecretId":"n%03d"}`, i), `{}`)
		c.Received = begun.Add(time.Duration(i/10) * time.Second)
		l.service.Record(c)
	}
	for i := range 120 {
		record(i)
	}
	l.now = begun.Add(time.Hour)
	var got []string
	page := func(body string) string {
		answer := l.must("LookupEvents", body)
		for _, e := range answer["Events"].([]any) {
			got = append(got, e.(map[string]any)["CloudTrailEvent"].(string))
		}
		token, _ := answer["NextToken"].(string)
		return token
	}
	token := page(`{}`)
	record(500)
	if _, err := l.ask("LookupEvents", fmt.Sprintf(`{"NextToken":%q,"MaxResults":10}`, token)); code(err) != "InvalidNextTokenException" {
		t.Errorf("a token for other parameters: %v", err)
	}
	token = page(fmt.Sprintf(`{"NextToken":%q}`, token))
	if token = page(fmt.Sprintf(`{"NextToken":%q}`, token)); token != "" {
		t.Errorf("a fourth page %q", token)
	}
	var want []string
	for i := range 120 {
		want = append(want, fmt.Sprintf("n%03d", i))
	}
	slices.Reverse(want)
	for i, text := range got {
		_, rest, _ := strings.Cut(text, `"secretId":"`)
		got[i], _, _ = strings.Cut(rest, `"`)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRecordsAreFoundLate(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{Delay: 10 * time.Minute, Seed: 1, Trails: []string{"trail"}})
	for range 50 {
		l.service.RecordService(serviceEvent("RotationFailed"))
	}
	if len(l.delivered) != 50 {
		t.Errorf("%d delivered: EventBridge does not wait for LookupEvents", len(l.delivered))
	}
	found := func() int { return len(l.records(`{}`)) }
	if n := found(); n != 0 {
		t.Errorf("%d found at once", n)
	}
	l.now = begun.Add(5 * time.Minute)
	if n := found(); n < 5 || n > 45 {
		t.Errorf("%d found after half the time", n)
	}
	l.now = begun.Add(10 * time.Minute)
	if n := found(); n != 50 {
		t.Errorf("%d found in the end", n)
	}
}

func TestLookupsAreLimited(t *testing.T) {
	t.Parallel()
	now := begun
	s := cloudtrail.New(cloudtrail.Options{Now: func() time.Time { return now }})
	lookup := func() string {
		_, err := s.Serve(t.Context(), wire.Request{Service: "cloudtrail", Action: "LookupEvents", Body: []byte(`{}`)})
		return code(err)
	}
	if got := []string{lookup(), lookup(), lookup()}; got[0] != "<nil>" || got[1] != "<nil>" || got[2] != "ThrottlingException" {
		t.Errorf("three at once: %v", got)
	}
	now = now.Add(500 * time.Millisecond)
	if got := []string{lookup(), lookup()}; got[0] != "<nil>" || got[1] != "ThrottlingException" {
		t.Errorf("two half a second later: %v", got)
	}
}

// How a secret is found depends on the world, and that it is found by name or
// by ARN does not.
func TestASecretIsFoundInEveryWorld(t *testing.T) {
	t.Parallel()
	worlds := map[string]bool{}
	for seed := range uint64(60) {
		l := newLab(t, cloudtrail.Options{Seed: seed})
		l.service.Record(call("DeleteSecret", `{"SecretId":"fleet/key"}`, `{"ARN":"`+secret+`"}`))
		l.service.RecordService(serviceEvent("RotationFailed"))
		by := func(name string) int {
			return len(l.records(`{"LookupAttributes":[{"AttributeKey":"ResourceName","AttributeValue":"` + name + `"}]}`))
		}
		worlds[fmt.Sprint(by("fleet/key"), by(secret))] = true
	}
	want := map[string]bool{"1 0": true, "2 0": true, "0 1": true, "0 2": true, "1 1": true, "2 2": true}
	if diff := cmp.Diff(want, worlds); diff != "" {
		t.Errorf("records by name and by ARN (-want +got):\n%s", diff)
	}
}

func TestOnlyATrailThatLogsPassesEventsOn(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{})
	read := func() int {
		l.delivered = nil
		l.service.Record(call("GetSecretValue", `{"SecretId":"fleet/key"}`, `{}`))
		l.service.RecordService(serviceEvent("RotationFailed"))
		return len(l.delivered)
	}
	steps := []struct {
		action, body string
		delivered    int
	}{
		{"CreateTrail", `{"Name":"trail","S3BucketName":"b"}`, 0},
		{"StartLogging", `{"Name":"trail"}`, 2},
		{"PutEventSelectors", `{"TrailName":"trail","EventSelectors":[{"ReadWriteType":"WriteOnly"}]}`, 1},
		{"PutEventSelectors", `{"TrailName":"trail","EventSelectors":[{"ReadWriteType":"ReadOnly","IncludeManagementEvents":true}]}`, 1},
		{"PutEventSelectors", `{"TrailName":"trail","EventSelectors":[{"IncludeManagementEvents":false}]}`, 0},
		{"PutEventSelectors", `{"TrailName":"trail","EventSelectors":[{"ReadWriteType":"All"}]}`, 2},
		{"StopLogging", `{"Name":"` + "arn:aws:cloudtrail:us-east-1:111122223333:trail/trail" + `"}`, 0},
		{"StartLogging", `{"Name":"trail"}`, 2},
		{"DeleteTrail", `{"Name":"trail"}`, 0},
	}
	if n := read(); n != 0 {
		t.Errorf("%d delivered without a trail", n)
	}
	for _, step := range steps {
		l.must(step.action, step.body)
		if n := read(); n != step.delivered {
			t.Errorf("%d delivered after %s %s, want %d", n, step.action, step.body, step.delivered)
		}
	}
	if _, err := l.ask("GetTrailStatus", `{"Name":"trail"}`); code(err) != "TrailNotFoundException" {
		t.Errorf("the status of a trail that is gone: %v", err)
	}
}

func TestWhatEventBridgeGets(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{Trails: []string{"trail"}})
	c := call("SendCommand", `{}`, `{}`)
	c.Service = "ssm"
	l.service.Record(c)
	l.service.RecordService(serviceEvent("RotationStarted"))
	l.service.Record(call("ListSecrets", `{}`, `{}`))
	put := call("PutEvents", `{}`, `{}`)
	put.Service = "events"
	l.service.Record(put) // data, not management
	var got []string
	for _, e := range l.delivered {
		got = append(got, fmt.Sprint(e.Source, ", ", e.DetailType, ", ", e.ReadOnly, ", ", e.Time.Equal(begun), ", ", strings.HasPrefix(string(e.Record), `{"eventVersion"`)))
	}
	want := []string{
		"aws.ssm, AWS API Call via CloudTrail, false, true, true",
		"aws.secretsmanager, AWS Service Event via CloudTrail, false, true, true",
		"aws.secretsmanager, AWS API Call via CloudTrail, true, true, true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A trail needs a bucket whose policy lets CloudTrail write, also after a change.
func TestATrailNeedsItsBucket(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{MayWrite: func(bucket, prefix, arn string) bool {
		return bucket == "logs" && prefix == "audit" && arn == "arn:aws:cloudtrail:us-east-1:111122223333:trail/trail"
	}})
	if _, err := l.ask("CreateTrail", `{"Name":"trail","S3BucketName":"other","S3KeyPrefix":"audit"}`); code(err) != "InsufficientS3BucketPolicyException" {
		t.Errorf("a trail without a bucket: %v", err)
	}
	if _, err := l.ask("UpdateTrail", `{"Name":"trail"}`); code(err) != "TrailNotFoundException" {
		t.Errorf("a change of no trail: %v", err)
	}
	l.must("CreateTrail", `{"Name":"trail","S3BucketName":"logs","S3KeyPrefix":"audit","SnsTopicName":"told"}`)
	if _, err := l.ask("UpdateTrail", `{"Name":"trail","S3KeyPrefix":""}`); code(err) != "InsufficientS3BucketPolicyException" {
		t.Errorf("another prefix: %v", err)
	}
	l.must("UpdateTrail", `{"Name":"trail","IsMultiRegionTrail":true,"EnableLogFileValidation":true}`)
	got, err := l.ask("GetTrail", `{"Name":"trail"}`)
	if err != nil {
		t.Fatal(err)
	}
	is := got["Trail"].(map[string]any)
	want := map[string]any{
		"S3BucketName": "logs", "S3KeyPrefix": "audit", "SnsTopicARN": "arn:aws:sns:us-east-1:111122223333:told", "IsMultiRegionTrail": true, "LogFileValidationEnabled": true,
	}
	for name := range want {
		if is[name] != want[name] {
			t.Errorf("%s is %v, want %v", name, is[name], want[name])
		}
	}
}
