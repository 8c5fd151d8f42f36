// Package deploy_test holds the template and the scripts that deploy it against what ships, and has
// them judged by cfn-lint, SAM, moto and awscli. There is no Go code beside the tests.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation/template"
	"github.com/keytrail/keytrail/deploy/lab/events/pattern"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
)

const (
	templateFile = "template.yaml"
	rewriteName  = "KEYTRAIL_REWRITE"
	marker       = "  # What follows is written by `KEYTRAIL_REWRITE=1 go test ./deploy`.\n"
)

// The documents of the template are those that the function was built with, byte for byte, and the
// hashes that pin them are theirs.
func TestDocumentsInStep(t *testing.T) {
	t.Parallel()
	have, err := os.ReadFile(templateFile)
	if err != nil {
		t.Fatal(err)
	}
	byHand, _, found := bytes.Cut(have, []byte(marker))
	if !found {
		t.Fatalf("%s lacks the line %q", templateFile, marker)
	}
	want := string(byHand) + marker + documents()
	if os.Getenv(rewriteName) != "" && want != string(have) {
		if err := os.WriteFile(templateFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(have), "\n")); diff != "" {
		t.Errorf("run %s=1 go test ./deploy:\n%s", rewriteName, diff)
	}
}

// documents writes the resources of both documents and the mapping of their hashes. A literal block
// keeps the bytes of the JSON, which has one line and begins with no space.
func documents() string {
	var resources, hashes strings.Builder
	for _, d := range []struct {
		name   string
		action fleet.Action
	}{{"Apply", fleet.Apply}, {"Inspect", fleet.Inspect}} {
		content := fleet.Document(d.action)
		fmt.Fprintf(&resources, `
  %sDocument:
    Type: AWS::SSM::Document
    Properties:
      Name: !Sub keytrail-${AWS::StackName}-%s
      DocumentType: Command
      DocumentFormat: JSON
      UpdateMethod: NewVersion
      Content: |-
        %s
`, d.name, d.action, content)
		fmt.Fprintf(&hashes, "    %s:\n      Sha256: %s\n", d.name, fleet.Hash(content))
	}
	return resources.String() + "\nMappings:\n  Documents:\n" + hashes.String()
}

// plan is the template with parameters, beside those that it must have.
func plan(t *testing.T, parameters map[string]string) (*template.Plan, error) {
	t.Helper()
	text, err := os.ReadFile(templateFile)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := template.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"TagName": "Fleet", "TagValue": "prod", "Users": "ec2-user"}
	maps.Copy(all, parameters)
	return parsed.Bind(all, template.Pseudo{Account: "111122223333", Region: "eu-central-1", StackName: stackName})
}

// stackName is as long as deploy.sh lets it be.
var stackName = strings.Repeat("k", 57)

// properties are those of a resource of a plan. What another resource becomes is "ID", or "ID.Attribute".
func properties(t *testing.T, p *template.Plan, id string, into any) {
	t.Helper()
	tree, err := p.Properties(id, func(id, attribute string) (string, error) {
		return strings.TrimSuffix(id+"."+attribute, "."), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v\n%s", id, err, text)
	}
}

// environment is that of a function.
func environment(t *testing.T, p *template.Plan, function string) map[string]string {
	t.Helper()
	var f struct {
		Environment struct{ Variables map[string]string }
	}
	properties(t, p, function, &f)
	return f.Environment.Variables
}

// The names that the function which watches reads: those whose values are the other function's, and its own.
var (
	sharedNames = []string{
		"USERNAME", "TAGNAME", "TAGVALUE", "KEYTRAIL_ALLOW_ROOT", "KEYTRAIL_MAX_CONCURRENCY", "KEYTRAIL_MAX_ERRORS",
		"KEYTRAIL_DELIVERY_TIMEOUT", "KEYTRAIL_EXECUTION_TIMEOUT", "KEYTRAIL_APPLY_DOCUMENT", "KEYTRAIL_INSPECT_DOCUMENT", "KEYTRAIL_BUCKET",
		"KEYTRAIL_RETENTION", "KEYTRAIL_GRACE", "KEYTRAIL_SWEEP",
	}
	eventsNames = []string{
		"KEYTRAIL_ROTATE_FUNCTION", "KEYTRAIL_ROTATE_ROLE", "KEYTRAIL_ALERTS_TOPIC", "KEYTRAIL_CHAT_TOPIC", "KEYTRAIL_QUEUE",
		"KEYTRAIL_DEAD_LETTERS", "KEYTRAIL_HEAL", "KEYTRAIL_REPEAT", "KEYTRAIL_SETTLE", "KEYTRAIL_READERS", "KEYTRAIL_MUTE",
		"KEYTRAIL_RUNBOOK", "KEYTRAIL_REPORTS", "KEYTRAIL_SECURITY_HUB",
	}
)

// A name that a function does not read would be a parameter without effect.
func TestEnvironmentNamesAreThoseThatTheFunctionsRead(t *testing.T) {
	t.Parallel()
	var asked []string
	if _, err := rotate.ParseConfig(func(name string) string { asked = append(asked, name); return "" }); err == nil {
		t.Error("an empty environment is one")
	}
	slices.Sort(asked)
	for name, parameters := range map[string]map[string]string{"defaults": nil, "all else": {
		"AllowRoot": "true", "MaxConcurrency": "10%", "MaxErrors": "3", "DeliveryTimeout": "2m", "ExecutionTimeout": "30s", "ExistingBucket": "register",
		"Grace": "24h", "SweepMinutes": "30", "Heal": "off", "SlackWorkspace": "T0123456789", "SlackChannel": "C0123456789",
	}} {
		p, err := plan(t, parameters)
		if err != nil {
			t.Fatal(err)
		}
		rotates, watches := environment(t, p, "Rotate"), environment(t, p, "Events")
		if diff := cmp.Diff(slices.Compact(asked), slices.Sorted(maps.Keys(rotates))); diff != "" {
			t.Errorf("%s: what the template sets for rotate (-want +got):\n%s", name, diff)
		}
		wanted := slices.Sorted(slices.Values(slices.Concat(sharedNames, eventsNames)))
		if diff := cmp.Diff(wanted, slices.Sorted(maps.Keys(watches))); diff != "" {
			t.Errorf("%s: what the template sets for events (-want +got):\n%s", name, diff)
		}
		for _, shared := range sharedNames {
			if watches[shared] != rotates[shared] {
				t.Errorf("%s: %s is %q for one function and %q for the other", name, shared, rotates[shared], watches[shared])
			}
		}
		size := 0
		for name, value := range watches {
			size += len(name) + len(value)
		}
		if size > 4096 { // https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
			t.Errorf("%s: the environment has %d bytes", name, size)
		}
	}
}

func TestTemplateRefusesWhatDoesNotGoTogether(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		parameters map[string]string
		say        string // nothing: it is taken
	}{
		"a grace without sweeps":                  {map[string]string{"Grace": "24h", "Watch": "false"}, "Grace needs Watch"},
		"a grace with sweeps":                     {map[string]string{"Grace": "24h"}, ""},
		"a workspace without a channel":           {map[string]string{"SlackWorkspace": "T1"}, "belong together"},
		"a channel without a workspace":           {map[string]string{"SlackChannel": "C1"}, "belong together"},
		"a workspace and a channel":               {map[string]string{"SlackWorkspace": "T1", "SlackChannel": "C1"}, ""},
		"a trail in a bucket of somebody's":       {map[string]string{"MakeTrail": "true", "ExistingBucket": "there"}, "MakeTrail needs the bucket"},
		"a trail in the stack's bucket":           {map[string]string{"MakeTrail": "true"}, ""},
		"nothing that watches, and a mail":        {map[string]string{"Watch": "false", "AlertEmail": "ops@example.com"}, ""},
		"a sweep each minute":                     {map[string]string{"SweepMinutes": "1"}, "SweepMinutes"},
		"a sweep each two days":                   {map[string]string{"SweepMinutes": "2880"}, "SweepMinutes"},
		"no grace, written otherwise":             {map[string]string{"Grace": "0h"}, "Grace"},
		"a longer time to settle than a delay is": {map[string]string{"Settle": "16m"}, "Settle"},
		"no time to settle":                       {map[string]string{"Settle": "0s"}, ""},
		"a repeat at once":                        {map[string]string{"Repeat": "0m"}, "Repeat"},
		"a reader by name":                        {map[string]string{"Readers": "deploy"}, "Readers"},
		"two readers":                             {map[string]string{"Readers": "arn:aws:iam::111122223333:role/a/b-*,arn:aws:sts::*:assumed-role/x/*"}, ""},
		"two addresses":                           {map[string]string{"AlertEmail": "a@example.com,b@example.com"}, "AlertEmail"},
		"a condition that is none":                {map[string]string{"Mute": "Coverage"}, "Mute"},
		"nothing muted":                           {map[string]string{"Mute": ""}, ""},
		"a runbook in the clear":                  {map[string]string{"Runbook": "http://example.com"}, "Runbook"},
	} {
		_, err := plan(t, row.parameters)
		switch {
		case row.say == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case row.say != "" && (err == nil || !strings.Contains(err.Error(), row.say)):
			t.Errorf("%s: %v, and not %q", name, err, row.say)
		}
	}
}

// Without Watch the stack is what it was before it could watch.
func TestWatchLeavesOutAllThatWatches(t *testing.T) {
	t.Parallel()
	p, err := plan(t, map[string]string{
		"Watch": "false", "AlertEmail": "ops@example.com", "SlackWorkspace": "T1", "SlackChannel": "C1", "Readers": "arn:aws:iam::111122223333:role/x", "MakeTrail": "true",
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range p.Resources() {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	want := []string{
		"ApplyDocument", "Bucket", "BucketPolicy", "InspectDocument", "Reconcile", "Rotate", "RotateErrors", "RotateLog", "RotatePermission", "RotateRole", "RotateThrottles",
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var bucket struct {
		PolicyDocument struct{ Statement []struct{ SID string } }
	}
	properties(t, p, "BucketPolicy", &bucket)
	if n := len(bucket.PolicyDocument.Statement); n != 2 {
		t.Errorf("the bucket's policy has %d statements: %v", n, bucket)
	}
}

// whole are parameters that make everything that watches.
var whole = map[string]string{
	"AlertEmail": "ops@example.com", "SlackWorkspace": "T1", "SlackChannel": "C1", "Readers": "arn:aws:iam::111122223333:role/x", "MakeTrail": "true",
}

// A stack's name may have 57 characters, and what has a name begins with it.
func TestNamesFit(t *testing.T) {
	t.Parallel()
	p, err := plan(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	// https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html has the limit of each service.
	limits := map[string]int{
		"AWS::Lambda::Function FunctionName": 64, "AWS::Events::Rule Name": 64, "AWS::SQS::Queue QueueName": 80, "AWS::SNS::Topic TopicName": 256,
		"AWS::CloudTrail::Trail TrailName": 128, "AWS::Chatbot::SlackChannelConfiguration ConfigurationName": 128, "AWS::CloudWatch::Alarm AlarmName": 255,
		"AWS::Logs::LogGroup LogGroupName": 512, "AWS::SSM::Document Name": 128,
	}
	checked := map[string]int{}
	owner := map[string]string{}
	for _, r := range p.Resources() {
		var all map[string]any
		properties(t, p, r.ID, &all)
		for property, value := range all {
			name, isText := value.(string)
			kind := r.Type + " " + property
			if !isText || limits[kind] == 0 {
				continue
			}
			checked[kind]++
			if len(name) > limits[kind] || !strings.Contains(name, stackName) {
				t.Errorf("%s is called %s, with %d characters", r.ID, name, len(name))
			}
			if other := owner[r.Type+" "+name]; other != "" {
				t.Errorf("%s and %s are both called %s", other, r.ID, name)
			}
			owner[r.Type+" "+name] = r.ID
		}
	}
	if len(checked) != len(limits) {
		t.Errorf("names were found of these alone: %v", checked)
	}
}

// rule is a rule of EventBridge in the template.
type rule struct {
	Name         string
	EventPattern json.RawMessage
	Targets      []struct {
		ID, ARN          string
		DeadLetterConfig struct{ ARN string }
		RetryPolicy      struct{ MaximumRetryAttempts, MaximumEventAgeInSeconds int }
	}
}

// rules are those of a stack that watches everything, by their logical ids.
func rules(t *testing.T) map[string]rule {
	t.Helper()
	p, err := plan(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]rule{}
	for _, r := range p.Resources() {
		if r.Type == "AWS::Events::Rule" {
			var one rule
			properties(t, p, r.ID, &one)
			all[r.ID] = one
			if !slices.Contains(r.DependsOn, r.ID+"Permission") || !slices.Contains(r.DependsOn, "DeadLettersPolicy") {
				t.Errorf("%s may be there before what it needs: it depends on %v", r.ID, r.DependsOn)
			}
		}
	}
	return all
}

func TestRulesLoseNothing(t *testing.T) {
	t.Parallel()
	for id, r := range rules(t) {
		if len(r.Targets) != 1 {
			t.Errorf("%s has %d targets", id, len(r.Targets))
			continue
		}
		target := r.Targets[0]
		if target.ARN != "Events.Arn" || target.DeadLetterConfig.ARN != "DeadLetters.Arn" ||
			target.RetryPolicy.MaximumRetryAttempts == 0 || target.RetryPolicy.MaximumEventAgeInSeconds == 0 {
			t.Errorf("%s has the target %+v", id, target)
		}
	}
}

// eventNames are what each rule asks for. Of what the function knows, nobody asks for the start and the success of a
// test, and for versions that Secrets Manager purged: nothing follows from them.
var eventNames = map[string][]string{
	"ServiceEvents": {
		"RotationStarted", "RotationSucceeded", "RotationFailed", "RotationAbandoned", "TestRotationFailed",
		"StartSecretVersionDelete", "EndSecretVersionDelete", "CancelSecretVersionDelete",
	},
	"ApiCalls": {
		"RotateSecret", "CancelRotateSecret", "PutSecretValue", "UpdateSecret", "UpdateSecretVersionStage", "DeleteSecret",
		"RestoreSecret", "PutResourcePolicy", "DeleteResourcePolicy", "TagResource", "UntagResource",
	},
	"Reads": {"GetSecretValue"},
}

// The function makes sense of every name that a rule lists, and each real document comes by the rule that is
// meant for it and by no other.
func TestRulesAskForWhatTheFunctionReads(t *testing.T) {
	t.Parallel()
	patterns := map[string]pattern.Pattern{}
	for id, r := range rules(t) {
		if r.EventPattern == nil {
			continue
		}
		parsed, err := pattern.Parse(string(r.EventPattern))
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		patterns[id] = parsed
		var written struct {
			DetailType []string `json:"detail-type"`
			Detail     struct {
				EventName, LabelUpdated []string
			}
		}
		if err := json.Unmarshal(r.EventPattern, &written); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(eventNames[id], written.Detail.EventName); diff != "" {
			t.Errorf("%s asks for (-want +got):\n%s", id, diff)
		}
		for _, name := range written.Detail.EventName {
			e, err := events.Decode(fmt.Appendf(nil, `{"id": "1", "source": "aws.secretsmanager", "detail-type": %q, "account": "111122223333",
				"region": "eu-central-1", "time": "2026-11-02T08:00:00Z", "detail": {"eventName": %q, "requestParameters": {"secretId": "fleet"},
				"additionalEventData": {"SecretId": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:fleet-AbCdEf"}}}`, written.DetailType[0], name))
			if err != nil || string(e.Kind) != name {
				t.Errorf("%s: the function reads %s as %s, %v", id, name, e.Kind, err)
			}
		}
	}
	for file, want := range map[string]string{
		"delete-secret.json": "ApiCalls", "get-secret-value.json": "Reads", "put-secret-value.awspending.json": "ApiCalls",
		"rotation-failed.json": "ServiceEvents", "rotation-succeeded.envelope.json": "ServiceEvents",
		"secret-label-updated.envelope.json": "LabelUpdates", "start-secret-version-delete.json": "ServiceEvents",
	} {
		event := []byte(read(t, filepath.Join("../events/testdata", file)))
		if !strings.Contains(file, ".envelope.") {
			detailType := "AWS API Call via CloudTrail"
			if want == "ServiceEvents" {
				detailType = "AWS Service Event via CloudTrail"
			}
			event = fmt.Appendf(nil, `{"source": "aws.secretsmanager", "detail-type": %q, "detail": %s}`, detailType, event)
		}
		for id, p := range patterns {
			if p.Match(event) != (id == want) {
				t.Errorf("%s: the rule %s wants it: %t", file, id, id != want)
			}
		}
	}
}

// What is muted, unless somebody says otherwise, is a condition, and the runbook has a heading for it.
func TestMutedConditionsAreInTheRunbook(t *testing.T) {
	t.Parallel()
	p, err := plan(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	runbook := read(t, "README.md")
	for id := range strings.SplitSeq(p.Parameters()["Mute"], ",") {
		if !strings.Contains(runbook, "\n### "+id+"\n") {
			t.Errorf("the runbook does not know %s", id)
		}
	}
}

// The guide's chapter has every parameter of what watches.
func TestTheGuideHasTheParametersOfWatching(t *testing.T) {
	t.Parallel()
	p, err := plan(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p.Template().Metadata["AWS::CloudFormation::Interface"])
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		ParameterGroups []struct {
			Label      struct{ Default string }
			Parameters []string
		}
		ParameterLabels map[string]any
	}
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(read(t, "README.md"), "\n## Watching\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	var grouped []string
	for _, g := range shown.ParameterGroups {
		grouped = append(grouped, g.Parameters...)
		for _, name := range g.Parameters {
			if (g.Label.Default == "Watching" || g.Label.Default == "Alerts") && !strings.Contains(chapter, "`"+name+"`") {
				t.Errorf("the chapter does not tell of %s", name)
			}
		}
	}
	slices.Sort(grouped)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(p.Parameters())), grouped); diff != "" {
		t.Errorf("parameters in groups (-there are +in groups):\n%s", diff)
	}
	if diff := cmp.Diff(grouped, slices.Sorted(maps.Keys(shown.ParameterLabels))); diff != "" {
		t.Errorf("parameters with labels (-there are +labelled):\n%s", diff)
	}
}
