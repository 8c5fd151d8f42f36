package operator

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// whole is a stack with all that the template makes.
var whole = []string{"AlertEmail=oncall@example.com", "SlackWorkspace=T0123ABCD", "SlackChannel=C0123ABCD", "Readers=arn:aws:iam::111122223333:role/x"}

func TestDoctorFindsNothingWrongWithAWholeStackAndSaysWhatItCouldNotCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, whole...)
	w.secret("fleet")
	w.keytrail("doctor").want(t, 1, "wrong            alerts: oncall@example.com has not confirmed", "fix: follow the link", "1 wrong")
	w.SNS().Confirm("oncall@example.com")
	var found []struct{ Subject, Condition string }
	a := w.keytrail("doctor", "--output", "json")
	a.read(t, &found)
	var not []string
	for _, f := range found {
		if f.Condition != "ok" {
			not = append(not, f.Subject+" "+f.Condition)
		}
	}
	// The lab has no call that lists what reads a queue, and nobody but Slack knows a channel.
	want := []string{"queue of checks could not check", "chat delivery could not check"}
	if a.code != 2 || !slices.Equal(not, want) || len(found) < 25 {
		t.Errorf("code %d, %d lines, not fine: %q, want %q", a.code, len(found), not, want)
	}
}

func TestDoctorNamesWhatIsWrongAndTheFix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, whole...)
	w.SNS().Confirm("oncall@example.com")
	arn := w.secret("fleet")
	url := w.URL()
	rules := eventbridge.New(eventbridge.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: person})
	functions := lambda.New(lambda.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: person})
	trails := cloudtrail.New(cloudtrail.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: person})
	queues := sqs.New(sqs.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: person})
	ctx := t.Context()
	_, one := rules.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String("keytrail-svc")})
	_, two := functions.DeleteAlias(ctx, &lambda.DeleteAliasInput{FunctionName: aws.String("keytrail-rotate"), Name: aws.String("reconcile")})
	_, three := trails.StopLogging(ctx, &cloudtrail.StopLoggingInput{Name: aws.String("management")})
	_, four := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(w.stack.Outputs()["DeadLetters"]), MessageBody: aws.String("{}")})
	f, _ := w.Lambda().Function("keytrail-events")
	f.Env["TAGVALUE"] = "other"
	if err := errors.Join(one, two, three, four, w.AddFunction(f), w.Hosts()[1].SetState(host.Offline)); err != nil {
		t.Fatal(err)
	}
	w.tag("fleet", "keytrail:users", "nobody-here")
	w.tag("fleet", "keytrail:hold", "ticket 7")
	a := w.keytrail("doctor")
	a.want(t, 1,
		"wrong            both functions: they do not agree on TAGVALUE",
		"wrong            alias reconcile: there is none", "fix: aws lambda create-alias --function-name keytrail-rotate --name reconcile",
		"wrong            trail: management does not log", "fix: aws cloudtrail start-logging",
		"wrong            rule keytrail-svc: it is disabled", "fix: aws events enable-rule --name keytrail-svc",
		"wrong            dead letters: ", "keytrail replay",
		"wrong            hosts: 1 of 2 are offline: i-00000000000000002",
		"wrong            secret fleet: ", "ticket 7", "fix: aws secretsmanager untag-resource --secret-id "+arn+" --tag-keys keytrail:hold",
		"nobody-here", "8 wrong")
	if strings.Contains(a.out, "PrivateKey") {
		t.Error("it read the secret")
	}
	w.keytrail("doctor", "--stack", "other").want(t, 1, "wrong            function other-rotate: there is none", "--stack")
}

func TestWithoutTheFunctionThatWatchesTheCommandStillWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "Watch=false")
	w.secret("fleet")
	w.keytrail("verify", "fleet").want(t, 0, "clean:")
	w.keytrail("status").want(t, 2, "fleet")
	w.keytrail("rotate", "fleet").want(t, 0, "finishSecret", "clean:")
	w.keytrail("doctor").want(t, 1, "wrong            function keytrail-events: there is none", "fix: deploy the stack with Watch=true")
	w.keytrail("replay", "/dev/null").wantError(t, 78, "nothing watches")
}
