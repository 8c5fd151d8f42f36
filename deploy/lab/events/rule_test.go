package events_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/events"
)

var id = regexp.MustCompile(`"id":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)

func TestARuleKeepsItsTargets(t *testing.T) {
	t.Parallel()
	start(t, events.Options{}, func(l *lab) {
		l.rule("watch", all+`,"Description":"d"`, `{"Id":"f","Arn":"`+function+`","RetryPolicy":{"MaximumRetryAttempts":1}},{"Id":"q","Arn":"`+queue+`"}`)
		l.must("PutRule", `{"Name":"watch",`+all+`,"State":"DISABLED"}`)
		l.must("PutTargets", `{"Rule":"watch","Targets":[{"Id":"q","Arn":"`+queue+`","InputPath":"$.detail"}]}`)
		got := l.must("ListTargetsByRule", `{"Rule":"watch","Limit":1}`)
		want := map[string]any{
			"Targets":   []any{map[string]any{"Id": "f", "Arn": function, "RetryPolicy": map[string]any{"MaximumRetryAttempts": 1.0}}},
			"NextToken": got["NextToken"],
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		got = l.must("ListTargetsByRule", fmt.Sprintf(`{"Rule":"watch","NextToken":%q}`, got["NextToken"]))
		want = map[string]any{"Targets": []any{map[string]any{"Id": "q", "Arn": queue, "InputPath": "$.detail"}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("second page (-want +got):\n%s", diff)
		}
		got = l.must("DescribeRule", `{"Name":"watch","EventBusName":"default"}`)
		want = map[string]any{
			"Arn": ruleARN, "CreatedBy": "111122223333", "EventBusName": "default",
			"EventPattern": `{"source":["aws.secretsmanager"]}`, "Name": "watch", "State": "DISABLED",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		l.must("EnableRule", `{"Name":"watch"}`)
		if got := l.must("ListRuleNamesByTarget", `{"TargetArn":"`+queue+`"}`); !cmp.Equal(got, map[string]any{"RuleNames": []any{"watch"}}) {
			t.Errorf("rules of the queue: %v", got)
		}
		l.service.Publish(event(7))
		l.service.Wait()
		if g := l.got(); len(g) != 2 || g[1].Body != `{"n":7}` {
			t.Errorf("handed over %v, want the detail alone for the queue", g)
		}
		if got := l.must("RemoveTargets", `{"Rule":"watch","Ids":["f","none"]}`); got["FailedEntryCount"] != 1.0 {
			t.Errorf("removed %v", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65)
	for name, tt := range map[string]struct{ action, body, want string }{
		"neither pattern nor schedule":   {"PutRule", `{"Name":"r"}`, "ValidationException: Parameter(s) EventPattern or ScheduleExpression must be specified."},
		"a pattern that is none":         {"PutRule", `{"Name":"r","EventPattern":"{\"a\":1}"}`, `InvalidEventPatternException: Event pattern is not valid. Reason: "a" must be an object or an array`},
		"a schedule that is none":        {"PutRule", `{"Name":"r","ScheduleExpression":"rate(1 minutes)"}`, "ValidationException: Parameter ScheduleExpression is not valid."},
		"a calendar with two days":       {"PutRule", `{"Name":"r","ScheduleExpression":"cron(0 1 * * * *)"}`, "ValidationException: Parameter ScheduleExpression is not valid."},
		"a state that does not exist":    {"PutRule", `{"Name":"r","State":"ON",` + all + `}`, "ValidationException: 1 validation error detected: Value 'ON' at 'state' failed to satisfy constraint: Member must satisfy enum value set: [ENABLED, DISABLED, ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS]"},
		"a name that is too long":        {"PutRule", `{"Name":"` + long + `",` + all + `}`, "ValidationException: 1 validation error detected: Value '" + long + "' at 'name' failed to satisfy constraint: Member must have length less than or equal to 64"},
		"another bus":                    {"PutRule", `{"Name":"r","EventBusName":"b",` + all + `}`, "ResourceNotFoundException: Event bus b does not exist."},
		"a rule that is not there":       {"DescribeRule", `{"Name":"r"}`, "ResourceNotFoundException: Rule r does not exist on EventBus default."},
		"targets of no rule":             {"PutTargets", `{"Rule":"r","Targets":[{"Id":"f","Arn":"` + function + `"}]}`, "ResourceNotFoundException: Rule r does not exist on EventBus default."},
		"a target with a bad id":         {"PutTargets", `{"Rule":"watch","Targets":[{"Id":"!","Arn":"` + function + `"}]}`, `ValidationException: 1 validation error detected: Value '!' at 'targets.1.member.id' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_A-Za-z0-9]+`},
		"a target without an ARN":        {"PutTargets", `{"Rule":"watch","Targets":[{"Id":"f","Arn":"events"}]}`, "ValidationException: Parameter events is not valid. Reason: Provided Arn is not in correct format."},
		"a target that the lab lacks":    {"PutTargets", `{"Rule":"watch","Targets":[{"Id":"f","Arn":"arn:aws:kinesis:us-east-1:1:stream/s"}]}`, "ValidationException: The lab has no targets of the service kinesis."},
		"too many retries":               {"PutTargets", `{"Rule":"watch","Targets":[{"Id":"f","Arn":"` + function + `","RetryPolicy":{"MaximumRetryAttempts":186}}]}`, "ValidationException: 1 validation error detected: Value '186' at 'targets.1.member.retryPolicy.maximumRetryAttempts' failed to satisfy constraint: Member must have value less than or equal to 185"},
		"too young":                      {"PutTargets", `{"Rule":"watch","Targets":[{"Id":"f","Arn":"` + function + `","RetryPolicy":{"MaximumEventAgeInSeconds":59}}]}`, "ValidationException: 1 validation error detected: Value '59' at 'targets.1.member.retryPolicy.maximumEventAgeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 60"},
		"six targets":                    {"PutTargets", `{"Rule":"watch","Targets":[` + sixTargets() + `]}`, "LimitExceededException: The requested resource exceeds the maximum number allowed."},
		"a rule with targets":            {"DeleteRule", `{"Name":"watch"}`, "ValidationException: Rule can't be deleted since it has targets."},
		"an event that lacks its source": {"TestEventPattern", `{"EventPattern":"{\"a\":[1]}","Event":"{\"id\":\"1\",\"account\":\"1\"}"}`, "ValidationException: Parameter Event is not valid. Reason: it has no source."},
		"no entries":                     {"PutEvents", `{"Entries":[]}`, "ValidationException: 1 validation error detected: Value '[0 entries]' at 'entries' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"entries that are too large":     {"PutEvents", `{"Entries":[{"Source":"s","DetailType":"t","Detail":"` + strings.Repeat("x", 256*1024) + `"}]}`, "ValidationException: Total size of the entries in the request is over the limit."},
		"a token of another call":        {"ListRules", `{"NextToken":"MSBuYW1lcyA"}`, "ValidationException: Parameter NextToken is not valid."},
		"an action that it lacks":        {"CreateEventBus", `{"Name":"b"}`, "UnknownOperationException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start(t, events.Options{}, func(l *lab) {
				l.rule("watch", all, `{"Id":"f","Arn":"`+function+`"}`)
				if _, err := l.call(tt.action, tt.body); fmt.Sprint(err) != tt.want {
					t.Errorf("error %v, want %s", err, tt.want)
				}
			})
		})
	}
}

func sixTargets() string {
	var list []string
	for i := range 6 {
		list = append(list, fmt.Sprintf(`{"Id":"t%d","Arn":%q}`, i, function))
	}
	return strings.Join(list, ",")
}

func TestEntriesFailOneByOne(t *testing.T) {
	t.Parallel()
	start(t, events.Options{Loss: 1}, func(l *lab) { // what PutEvents took is not lost
		l.rule("watch", `"EventPattern":"{\"source\":[{\"anything-but\":\"x\"}]}"`, `{"Id":"f","Arn":"`+function+`"}`)
		got := l.must("PutEvents", `{"Entries":[
			{"Source":"lab","DetailType":"t","Detail":"{\"n\":1}","Time":1793577600,"Resources":["r"]},
			{"DetailType":"t","Detail":"{}"},
			{"Source":"lab","DetailType":"t","Detail":"[1]"},
			{"Source":"lab","DetailType":"t","Detail":"{\"n\":2}","EventBusName":"other"},
			{"Source":"aws.secretsmanager","DetailType":"t","Detail":"{}"}]}`)
		codes := []any{}
		for _, e := range got["Entries"].([]any) {
			codes = append(codes, e.(map[string]any)["ErrorCode"])
		}
		if diff := cmp.Diff([]any{nil, "InvalidArgument", "MalformedDetail", nil, "NotAuthorizedForSourceException"}, codes); diff != "" || got["FailedEntryCount"] != 3.0 {
			t.Errorf("%v failed (-want +got):\n%s", got["FailedEntryCount"], diff)
		}
		l.service.Wait()
		if diff := cmp.Diff([]int{1}, l.numbers()); diff != "" {
			t.Errorf("handed over (-want +got):\n%s", diff)
		}
	})
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		expression string
		want       []time.Duration // in the first two hours; a bubble begins at midnight
	}{
		"a period":   {"rate(50 minutes)", []time.Duration{50 * time.Minute, 100 * time.Minute}},
		"one hour":   {"rate(1 hour)", []time.Duration{time.Hour, 2 * time.Hour}},
		"a calendar": {"cron(30 0-1 * * ? *)", []time.Duration{30 * time.Minute, 90 * time.Minute}},
		"the past":   {"cron(0 8 1 1 ? 1999)", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start(t, events.Options{}, func(l *lab) {
				l.rule("sweep", `"ScheduleExpression":"`+tt.expression+`"`, `{"Id":"f","Arn":"`+function+`"}`)
				l.rule("off", `"State":"DISABLED","ScheduleExpression":"`+tt.expression+`"`, `{"Id":"f","Arn":"`+queue+`"}`)
				l.rule("own", `"ScheduleExpression":"rate(7 days)"`, `{"Id":"f","Arn":"`+queue+`"}`)
				time.Sleep(2*time.Hour + time.Second)
				l.service.Wait()
				var got []time.Duration
				for _, g := range l.got() {
					got = append(got, g.At)
					var e map[string]any
					if err := json.Unmarshal([]byte(g.Body), &e); err != nil {
						t.Fatal(err)
					}
					want := map[string]any{
						"version": "0", "id": e["id"], "detail-type": "Scheduled Event", "source": "aws.events", "account": "111122223333",
						"time": time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(g.At).Format(time.RFC3339), "region": "us-east-1",
						"resources": []any{"arn:aws:events:us-east-1:111122223333:rule/sweep"}, "detail": map[string]any{},
					}
					if diff := cmp.Diff(want, e); diff != "" {
						t.Errorf("event (-want +got):\n%s", diff)
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("due (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A clock that is set fires once for all that was missed, and goes on in the
// rhythm of the rule.
func TestSchedulesOnAClockThatIsSet(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	var passed atomic.Int64
	o := events.Options{Now: func() time.Time { return begun.Add(time.Duration(passed.Load())) }}
	start(t, o, func(l *lab) {
		l.rule("sweep", `"ScheduleExpression":"rate(15 minutes)"`, `{"Id":"f","Arn":"`+function+`"}`)
		for _, at := range []struct {
			minutes, events int
		}{{14, 0}, {15, 1}, {100, 2}, {104, 2}, {105, 3}} {
			passed.Store(int64(at.minutes) * int64(time.Minute))
			l.service.Wake()
			synctest.Wait()
			if n := len(l.got()); n != at.events {
				t.Errorf("%d events after %d minutes, want %d", n, at.minutes, at.events)
			}
		}
	})
}
