package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const (
	function = "arn:aws:lambda:us-east-1:111122223333:function:events"
	queue    = "arn:aws:sqs:us-east-1:111122223333:events"
	dead     = "arn:aws:sqs:us-east-1:111122223333:dead"
	ruleARN  = "arn:aws:events:us-east-1:111122223333:rule/watch"
)

// lab is a service whose targets note what they are given.
type lab struct {
	*testing.T
	service *events.Service

	mu      sync.Mutex
	given   []given
	letters []letter
	refuse  map[string]error // by ARN of the target
}

type given struct {
	ARN  string
	Body string
	At   time.Duration // since the lab began
}

type letter struct {
	Queue, Rule, Body string
	Attributes        map[string]string
}

// start runs a test in a bubble of its own time.
func start(t *testing.T, o events.Options, f func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		l := &lab{T: t, refuse: map[string]error{}}
		target := func(_ context.Context, arn, _ string, event []byte) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.given = append(l.given, given{arn, string(event), time.Since(begun)})
			return l.refuse[arn]
		}
		o.Targets = map[string]events.Target{"lambda": target, "sqs": target}
		o.DeadLetter = func(_ context.Context, queueARN, ruleARN, body string, attributes map[string]string) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.letters = append(l.letters, letter{queueARN, ruleARN, body, attributes})
			return nil
		}
		l.service = events.New(o)
		defer l.service.Close()
		f(l)
	})
}

// call makes a call as it comes off the wire.
func (l *lab) call(action, body string) (map[string]any, error) {
	l.Helper()
	out, err := l.service.Serve(l.Context(), wire.Request{Action: action, Body: []byte(body)})
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
	answer, err := l.call(action, body)
	if err != nil {
		l.Fatalf("%s %s: %v", action, body, err)
	}
	return answer
}

// rule makes a rule with one target.
func (l *lab) rule(name, members, target string) {
	l.Helper()
	l.must("PutRule", fmt.Sprintf(`{"Name":%q,%s}`, name, members))
	l.must("PutTargets", fmt.Sprintf(`{"Rule":%q,"Targets":[%s]}`, name, target))
}

func (l *lab) got() []given {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.given
}

// numbers returns the detail's n of each event that was handed over.
func (l *lab) numbers() []int {
	l.Helper()
	list := []int{}
	for _, g := range l.got() {
		var e struct{ Detail struct{ N int } }
		if err := json.Unmarshal([]byte(g.Body), &e); err != nil {
			l.Fatal(err)
		}
		list = append(list, e.Detail.N)
	}
	return list
}

func event(n int) events.Event {
	return events.Event{Source: "aws.secretsmanager", DetailType: "Secret Label Updated", Time: time.Unix(1793577600, 0), Detail: fmt.Appendf(nil, `{"n":%d}`, n)}
}
