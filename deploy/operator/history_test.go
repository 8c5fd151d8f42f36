package operator

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events"
)

func TestAHistoryIsToldOnceFromBothSources(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 5, 1, 12, minute, 0, 0, time.UTC) }
	recorded := []events.Event{
		{Kind: events.RotationStarted, At: at(10), ID: "a"},
		{Kind: events.RotationSucceeded, At: at(12), ID: "b", Version: "two"},
		{Kind: events.PutSecretValue, At: at(11), ID: "c", Refusal: "AccessDenied", By: events.Principal{ARN: "arn:aws:iam::111122223333:user/eve"}},
	}
	remembered := []events.Rotation{
		{Version: "none", Began: at(-90), Started: at(-90), Outcome: evidence.Succeeded, Ended: at(-80)},
		{Version: "one", Began: at(1), Started: at(1), Outcome: evidence.Failed, Ended: at(3), Message: "no hosts"},
		{Version: "two", Began: at(10), Started: at(10), Outcome: evidence.Succeeded, Ended: at(12)},
		{Version: "three", Began: at(20), Outcome: evidence.Unheard, Ended: at(21)},
		{Version: "four", Began: at(30), Outcome: events.ByHand, Ended: at(30)},
	}
	want := []happening{
		{At: at(21), What: "RotationSucceeded", Version: "three", Detail: "found by the sweep; no event told of it"},
		{At: at(12), What: "RotationSucceeded", Version: "two", EventID: "b"},
		{At: at(11), What: "PutSecretValue", Who: "arn:aws:iam::111122223333:user/eve", Detail: "refused: AccessDenied", EventID: "c"},
		{At: at(10), What: "RotationStarted", EventID: "a"},
		{At: at(3), What: "RotationFailed", Version: "one", Detail: "no hosts"},
		{At: at(1), What: "RotationStarted", Version: "one"},
	}
	if diff := cmp.Diff(want, merge(recorded, remembered, at(0))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnEventNamesASecretByItsARNOrName(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/ssh-AbCdEf"
	concerns := names(arn, "prod/ssh")
	for text, want := range map[string]bool{
		arn: true, "prod/ssh": true, arn[:len(arn)-7]: true, arn[:len(arn)-7] + "-GhIjKl": false, "prod/ssh2": false,
	} {
		id, err := events.ParseSecretID(text)
		if err != nil {
			t.Fatal(err)
		}
		if concerns(id) != want {
			t.Errorf("%s: %t", text, !want)
		}
	}
}
