package events_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const all = `"EventPattern":"{\"source\":[\"aws.secretsmanager\"]}"`

func TestAnEventInItsEnvelope(t *testing.T) {
	t.Parallel()
	start(t, events.Options{Seed: 1}, func(l *lab) {
		l.rule("watch", all, `{"Id":"f","Arn":"`+function+`"}`)
		l.service.Publish(events.Event{
			Source: "aws.secretsmanager", DetailType: "Secret Label Updated", Time: time.Date(2026, 11, 2, 16, 43, 48, 7, time.UTC),
			Resources: []string{"arn:secret"}, Detail: []byte(`{"name":"n"}`),
		})
		l.service.Wait()
		want := []given{{ARN: function, Body: `{"version":"0","id":"ID","detail-type":"Secret Label Updated","source":"aws.secretsmanager",` +
			`"account":"111122223333","time":"2026-11-02T16:43:48Z","region":"us-east-1","resources":["arn:secret"],"detail":{"name":"n"}}`}}
		got := slices.Clone(l.got())
		for i := range got {
			got[i].Body = id.ReplaceAllString(got[i].Body, `"id":"ID"`)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestReadsReachOnlyTheRulesThatAskForThem(t *testing.T) {
	t.Parallel()
	start(t, events.Options{}, func(l *lab) {
		for state, n := range map[string]string{"ENABLED": "1", "DISABLED": "2", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS": "3"} {
			l.rule("watch"+n, all+`,"State":"`+state+`"`, `{"Id":"f","Arn":"`+function+n+`"}`)
		}
		read := event(1)
		read.Reads = true
		l.service.Publish(read)
		l.service.Publish(event(2))
		l.service.Wait()
		got := []string{}
		for i, g := range l.got() {
			got = append(got, g.ARN[len(function):]+"<-"+string(rune('0'+l.numbers()[i])))
		}
		if diff := cmp.Diff([]string{"3<-1", "1<-2", "3<-2"}, got); diff != "" {
			t.Errorf("rule <- event (-want +got):\n%s", diff)
		}
	})
}

func TestEventsKeepTheirOrderUnlessAskedOtherwise(t *testing.T) {
	t.Parallel()
	first := make([]int, 50)
	for i := range first {
		first[i] = i
	}
	for name, tt := range map[string]struct {
		options events.Options
		right   func(got []int) bool
	}{
		"in order":   {events.Options{Delay: time.Second}, func(got []int) bool { return slices.Equal(got, first) }},
		"reordered":  {events.Options{Jitter: time.Minute}, func(got []int) bool { return !slices.IsSorted(got) && slices.Equal(sorted(got), first) }},
		"duplicated": {events.Options{Duplicates: 1}, func(got []int) bool { return len(got) == 100 && slices.Equal(slices.Compact(sorted(got)), first) }},
		"some lost":  {events.Options{Loss: 0.5, Seed: 3}, func(got []int) bool { return len(got) > 5 && len(got) < 45 && slices.IsSorted(got) }},
		"all lost":   {events.Options{Loss: 1}, func(got []int) bool { return len(got) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var runs [2][]int
			for i := range runs {
				start(t, tt.options, func(l *lab) {
					l.rule("watch", all, `{"Id":"f","Arn":"`+function+`"}`)
					for n := range 50 {
						l.service.Publish(event(n))
						time.Sleep(time.Millisecond) // in the bubble: events do not happen at the same moment
					}
					l.service.Wait()
					runs[i] = l.numbers()
				})
			}
			if !tt.right(runs[0]) {
				t.Errorf("delivered %v", runs[0])
			}
			if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
				t.Errorf("the same seed, but another order:\n%s", diff)
			}
		})
	}
}

func sorted(list []int) []int { return slices.Sorted(slices.Values(list)) }

const withQueue = `,"DeadLetterConfig":{"Arn":"` + dead + `"}`

func TestRetriesAndDeadLetters(t *testing.T) {
	t.Parallel()
	throttled := &wire.Error{Code: "TooManyRequestsException", Message: "Rate Exceeded.", Status: 429}
	for name, tt := range map[string]struct {
		err      error
		target   string
		attempts int
		letter   map[string]string // beside the two ARNs
	}{
		"throttled for ever": {
			err: throttled, target: `,"RetryPolicy":{"MaximumRetryAttempts":3}` + withQueue, attempts: 4,
			letter: map[string]string{
				"ERROR_CODE": "THROTTLING", "ERROR_MESSAGE": "Rate Exceeded.",
				"EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts", "RETRY_ATTEMPTS": "3",
			},
		},
		"throttled for longer than it may": {
			err: throttled, target: `,"RetryPolicy":{"MaximumEventAgeInSeconds":60}` + withQueue, attempts: 7,
			letter: map[string]string{
				"ERROR_CODE": "THROTTLING", "ERROR_MESSAGE": "Rate Exceeded.",
				"EXHAUSTED_RETRY_CONDITION": "MaximumEventAgeInSeconds", "RETRY_ATTEMPTS": "6",
			},
		},
		"no retries": {
			err: &wire.Error{Code: "ServiceException", Message: "Sorry.", Status: 500}, target: `,"RetryPolicy":{"MaximumRetryAttempts":0}` + withQueue, attempts: 1,
			letter: map[string]string{
				"ERROR_CODE": "ERROR_FROM_TARGET", "ERROR_MESSAGE": "Sorry.",
				"EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts", "RETRY_ATTEMPTS": "0",
			},
		},
		"a function that is gone": {
			err: &wire.Error{Code: "ResourceNotFoundException", Message: "Function not found.", Status: 404}, target: withQueue, attempts: 1,
			letter: map[string]string{"ERROR_CODE": "NO_RESOURCE", "ERROR_MESSAGE": "Function not found.", "RETRY_ATTEMPTS": "0"},
		},
		"without a queue": {err: throttled, target: `,"RetryPolicy":{"MaximumRetryAttempts":1}`, attempts: 2},
		"to the last one": {err: throttled, attempts: 186},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start(t, events.Options{}, func(l *lab) {
				l.refuse[function] = tt.err
				l.rule("watch", all, `{"Id":"f","Arn":"`+function+`"`+tt.target+`}`)
				l.service.Publish(event(1))
				l.service.Wait()
				if n := len(l.got()); n != tt.attempts {
					t.Errorf("%d attempts, want %d; the last after %v", n, tt.attempts, l.got()[n-1].At)
				}
				var want []letter
				if tt.letter != nil {
					tt.letter["RULE_ARN"], tt.letter["TARGET_ARN"] = ruleARN, function
					want = []letter{{Queue: dead, Rule: ruleARN, Body: l.got()[0].Body, Attributes: tt.letter}}
				}
				if diff := cmp.Diff(want, l.letters); diff != "" {
					t.Errorf("dead letters (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestATargetThatRecovers(t *testing.T) {
	t.Parallel()
	start(t, events.Options{RetryDelay: time.Minute}, func(l *lab) {
		l.refuse[function] = &wire.Error{Code: "ServiceException", Status: 500}
		l.rule("watch", all, `{"Id":"f","Arn":"`+function+`"`+withQueue+`},{"Id":"q","Arn":"`+queue+`"}`)
		l.service.Publish(event(1))
		time.Sleep(time.Second) // in the bubble: the first attempt is over, the second is not due
		l.mu.Lock()
		delete(l.refuse, function)
		l.mu.Unlock()
		l.service.Wait()
		got := []string{}
		for _, g := range l.got() {
			got = append(got, g.ARN)
		}
		if diff := cmp.Diff([]string{function, queue, function}, got); diff != "" || l.letters != nil {
			t.Errorf("%v (-want +got):\n%s", l.letters, diff)
		}
	})
}

func TestATargetThatMayNotBeUsed(t *testing.T) {
	t.Parallel()
	o := events.Options{MayDeliver: func(target, rule string) bool { return target == function+":live" && rule == ruleARN }}
	start(t, o, func(l *lab) {
		l.rule("watch", all, `{"Id":"alias","Arn":"`+function+`:live"},{"Id":"plain","Arn":"`+function+`"`+withQueue+`}`)
		l.rule("other", all, `{"Id":"alias","Arn":"`+function+`:live"}`)
		l.service.Publish(event(1))
		l.service.Wait()
		if got := l.got(); len(got) != 1 || got[0].ARN != function+":live" {
			t.Errorf("handed over %v, want one event for the alias", got)
		}
		if len(l.letters) != 1 || l.letters[0].Attributes["ERROR_CODE"] != "NO_PERMISSIONS" || l.letters[0].Attributes["RETRY_ATTEMPTS"] != "0" {
			t.Errorf("dead letters %v, want one without retries", l.letters)
		}
	})
}

func TestCloseGivesUpWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	start(t, events.Options{Delay: time.Hour}, func(l *lab) {
		l.rule("watch", all, `{"Id":"f","Arn":"`+function+`"}`)
		l.service.Publish(event(1))
		l.service.Close()
		l.service.Publish(event(2))
		l.service.Wait()
		if got := l.got(); got != nil {
			t.Errorf("handed over %v", got)
		}
	})
}
