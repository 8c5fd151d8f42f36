package operator

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReplaySaysWhatWouldBeDoneAndDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "Heal=missing", "AlertEmail=oncall@example.com")
	arn := w.secret("fleet")
	w.secret("other")
	live, _ := w.key("fleet", "AWSCURRENT")
	bucket := w.objects()
	if err := w.Hosts()[0].WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	event := func(name, detailType, detail string) string {
		path := filepath.Join(t.TempDir(), "event.json")
		now := time.Now().UTC().Format(time.RFC3339)
		text := fmt.Sprintf(`{"version":"0","id":"e-1","detail-type":%q,"source":"aws.secretsmanager","account":"111122223333","time":%q,"region":"us-east-1","resources":[],
			"detail":{"eventID":"c-1","eventTime":"2026-01-02T03:04:05Z","eventSource":"secretsmanager.amazonaws.com","eventName":%q,"awsRegion":"us-east-1","recipientAccountId":"111122223333",%s}}`,
			detailType, now, name, detail)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	succeeded := event("RotationSucceeded", "AWS Service Event via CloudTrail", `"additionalEventData":{"SecretId":"`+arn+`"}`)
	w.keytrail("replay", succeeded).want(t, 0, "RotationSucceeded of "+arn, "shared", "would tell nobody, and mend nothing")
	w.keytrail("replay", succeeded, "--now").want(t, 0, "looked at", "would tell nobody") // the last look saw nothing wrong
	w.keytrail("replay", succeeded, "--now", "--ask").want(t, 0, "would tell people: live key missing, critical opened, 1 host",
		"would ask rotate: reconcile of i-00000000000000001", "what comes of that is not known")

	put := event("PutSecretValue", "AWS API Call via CloudTrail", `"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/eve","accountId":"111122223333"},"requestParameters":{"secretId":"`+arn+`"}`)
	w.keytrail("replay", put).want(t, 0, "by arn:aws:iam::111122223333:user/eve", "would tell people: value or label changed, high opened")

	sweep := filepath.Join(t.TempDir(), "sweep.json")
	text := `{"version":"0","id":"s-1","detail-type":"Scheduled Event","source":"aws.events","account":"111122223333","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":[],"detail":{}}`
	if err := os.WriteFile(sweep, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var d []struct {
		Kind, Outcome string
		Checks        []string
	}
	if w.keytrail("replay", sweep, "--output", "json").read(t, &d); len(d) != 1 || d[0].Kind != "sweep" || len(d[0].Checks) != 2 {
		t.Errorf("a sweep: %+v", d)
	}
	odd := filepath.Join(t.TempDir(), "odd.json")
	if err := os.WriteFile(odd, []byte("no JSON \x1b[2J"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.keytrail("replay", odd).want(t, 0, "malformed:", "would put it into the dead letters")
	w.keytrail("replay", odd+".gone").wantError(t, 66, odd+".gone")

	w.settle()
	if got := w.objects(); got != bucket {
		t.Errorf("the bucket changed:\n%s\n%s", bucket, got)
	}
	if w.holders(live) != 1 || w.mails() != 1 { // that of the subscription
		t.Errorf("%d hosts have the live key, %d mails came", w.holders(live), w.mails())
	}
}
