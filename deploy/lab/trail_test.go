package lab_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
)

// TestARotationIsToldOfOnEveryWay follows a rotation by a real function process
// from CloudTrail through EventBridge to a queue, and in the event history.
func TestARotationIsToldOfOnEveryWay(t *testing.T) {
	t.Parallel()
	const queue = "arn:aws:sqs:us-east-1:111122223333:events"
	var mu sync.Mutex
	told := map[string]int{}
	sink := func(_ context.Context, _, _ string, event []byte) error {
		var e struct {
			DetailType string `json:"detail-type"`
			Detail     struct {
				EventName, LabelUpdated string
				UserIdentity            struct{ ARN, InvokedBy string }
			}
		}
		if err := json.Unmarshal(event, &e); err != nil {
			return err
		}
		by := e.Detail.UserIdentity.ARN + e.Detail.UserIdentity.InvokedBy
		mu.Lock()
		defer mu.Unlock()
		told[strings.TrimSpace(e.Detail.EventName+e.Detail.LabelUpdated+" by "+by[strings.LastIndexByte(by, '/')+1:])]++
		return nil
	}
	l := start(t, lab.Options{
		Functions: []lambda.Function{function()},
		Events:    events.Options{Targets: map[string]events.Target{"sqs": sink}},
	})
	bus := eventbridge.NewFromConfig(clientConfig(t, l))
	_, err := bus.PutRule(t.Context(), &eventbridge.PutRuleInput{
		Name: aws.String("watch"), EventPattern: aws.String(`{"source":["aws.secretsmanager"]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bus.PutTargets(t.Context(), &eventbridge.PutTargetsInput{
		Rule: aws.String("watch"), Targets: []types.Target{{Id: aws.String("queue"), Arn: aws.String(queue)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sm := operator(t, l)
	created, err := sm.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("ssh"), SecretString: aws.String("first")})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := sm.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{SecretId: created.ARN, RotationLambdaARN: aws.String(l.Lambda().ARN("rotate"))})
	if err != nil {
		t.Fatal(err)
	}
	l.Secrets().Wait()
	l.Events().Wait()
	want := map[string]int{
		"CreateSecret by operator": 1, "AWSCURRENT by": 2, "RotateSecret by operator": 1, "RotationStarted by secretsmanager.amazonaws.com": 1,
		"PutSecretValue by rotate": 1, "UpdateSecretVersionStage by rotate": 1, "RotationSucceeded by secretsmanager.amazonaws.com": 1,
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}

	trail := cloudtrail.NewFromConfig(clientConfig(t, l))
	found, err := trail.LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{
		LookupAttributes: []trailtypes.LookupAttribute{{AttributeKey: trailtypes.LookupAttributeKeyEventSource, AttributeValue: aws.String("secretsmanager.amazonaws.com")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range found.Events {
		names[*e.EventName] = true
		if *e.EventName == "RotationSucceeded" && !strings.Contains(*e.CloudTrailEvent, `"requestID":"Rotation-`+*created.ARN+`-`+*rotated.VersionId+`"`) {
			t.Errorf("record %s", *e.CloudTrailEvent)
		}
	}
	history := []string{"CreateSecret", "DescribeSecret", "PutSecretValue", "RotateSecret", "RotationStarted", "RotationSucceeded", "UpdateSecretVersionStage"}
	if diff := cmp.Diff(history, slices.Sorted(maps.Keys(names))); diff != "" {
		t.Errorf("event history (-want +got):\n%s", diff)
	}
}
