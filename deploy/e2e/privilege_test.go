package e2e

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// noneDenied fails for every call that was denied, but those that are expected, by action.
func (w *world) noneDenied(expected ...string) {
	w.t.Helper()
	for _, r := range w.IAM().Decisions() {
		if !r.Decision.Allowed && !slices.Contains(expected, r.Action) {
			w.t.Errorf("%s was denied %s on %s: %s", r.Principal, r.Action, r.Resource, r.Decision.Reason)
		}
	}
}

// leastPrivilege judges every right that was given by what was called: each must be needed by a recorded
// call, or stand among those that are declared, as an action or as a statement's Sid and an action, with the
// reason. A statement that is taken away, or one that is added, is a failure as well.
func (w *world) leastPrivilege(statements int, declared map[string]string) {
	w.t.Helper()
	unused := map[string]bool{}
	grants := w.IAM().Grants()
	for _, g := range grants {
		for _, action := range g.Actions {
			if len(w.IAM().Needing(g.Statement, action)) > 0 {
				continue
			}
			name := action
			if of := g.Statement.ID + " " + action; declared[of] != "" {
				name = of
			}
			unused[name] = true
			if declared[name] == "" {
				w.t.Errorf("%s allows %s, which nothing needed", g.Statement, action)
			}
		}
	}
	if len(grants) != statements {
		w.t.Errorf("%d statements allow something, not %d", len(grants), statements)
	}
	if want := slices.Sorted(maps.Keys(declared)); !slices.Equal(slices.Sorted(maps.Keys(unused)), want) {
		w.t.Errorf("declared to be needed by none of these calls: %q; not needed: %q", want, slices.Sorted(maps.Keys(unused)))
	}
}

// TestTheTemplateGivesEveryRightThatIsNeededAndNoOther deploys the template with a key of its own and a
// first secret, has both functions do all that they do, and judges their roles by what they called.
func TestTheTemplateGivesEveryRightThatIsNeededAndNoOther(t *testing.T) {
	t.Parallel()
	specs := nodes(3)
	specs[1].ID = "mi-0123456789abcdef0"
	specs[2].Tags = map[string]string{boundaryKey: "another"}
	w := watch(t, specs, []string{"KmsKey=create", "FirstSecret=fleet", "Readers=arn:aws:iam::111122223333:root"})
	arn, _ := w.stack.Resource("Secret")
	s := secret{w.world, "fleet", arn, keytrail}
	first := s.key(current)   // the stack rotates at once
	w.Lambda().Kill(keytrail) // the next has read no fact yet
	s.mustRotate()
	for _, req := range []rotate.ActionRequest{
		{Action: rotate.Reconcile, DryRun: true}, {Action: rotate.Reconcile}, {Action: rotate.Adopt},
		{Action: rotate.Revoke, Fingerprint: sshkey.Fingerprint(first.fingerprint())},
	} {
		s.mustAct(req)
	}
	if err := errors.Join(logsIn(s.key(current), user, w.Host(specs[0].ID), w.Host(specs[1].ID)), refused(s.key(current), user, w.Host(specs[2].ID))); err != nil {
		t.Error(err)
	}
	w.settle()
	w.mails()
	if err := w.Hosts()[0].WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[CRITICAL] live key missing", "[INFO] drift mended", "[RESOLVED, was critical] live key missing")
	// The end of the evidence and the first look were forgotten, there is a key of before, and a day is over.
	if err := w.Hosts()[0].WriteKeys(user, s.key(current).line, newKey(t, "launch").line); err != nil {
		t.Fatal(err)
	}
	w.remember(func(j map[string]any) {
		delete(j, "proof")
		delete(j, "baseline")
		j["begun"] = time.Now().AddDate(0, 0, -2).UTC().Format(time.RFC3339)
	})
	w.sweep()
	w.expect("[INFO] keys that were there before")
	w.deliver(`["no event"]`)
	if bodies, _ := w.dead(); len(bodies) != 1 {
		t.Errorf("%d dead letters", len(bodies))
	}
	w.noneDenied("s3:ListBucket") // which S3 asks for to say that a lease or a bundle, which nobody wrote yet, is missing

	// Nobody but the functions writes what they keep.
	name := bucket
	for key, statement := range map[string]string{
		"register/planted.json": "RegisterWrittenByRotateAlone", "bundle/planted.jsonl": "RegisterWrittenByRotateAlone", "alerts/planted.json": "AlertsWrittenByEventsAlone", "watch/planted.json": "AlertsWrittenByEventsAlone",
		"evidence/planted.json": "AlertsWrittenByEventsAlone", "baseline/planted.json": "AlertsWrittenByEventsAlone",
		"reports/planted.json": "AlertsWrittenByEventsAlone",
	} {
		if _, err := w.objects().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader("{}")}); says(err, "AccessDenied") != nil {
			t.Errorf("the operator writes %s: %v", key, err)
		}
		if held := w.IAM().HeldBackBy(iam.Statement{Policy: "arn:aws:s3:::" + bucket, ID: statement}); len(held) == 0 {
			t.Errorf("what keeps the operator from %s is another statement than %s", key, statement)
		}
	}

	w.leastPrivilege(38, map[string]string{
		"logs:CreateLogStream":                         "Lambda writes the log of a function in its name",
		"logs:PutLogEvents":                            "Lambda writes the log of a function in its name",
		"ssm:CancelCommand":                            "a step that runs out of time takes back what no host has begun",
		"ssm:GetCommandInvocation":                     "an answer that is too long for a listing: TestAHostWithManyAccounts",
		"sts:AssumeRole":                               "Lambda is the role whenever it runs a function, and Amazon Q is its channel's",
		"AlarmsOfThisAccount sns:Publish":              "CloudWatch tells of alarms",
		"RulesOfThisStack sqs:SendMessage":             "EventBridge puts down what it cannot hand over",
		w.sweepPermission() + " lambda:InvokeFunction": "the schedule, which no test waits for",
	})
	w.deniedToTheRole(w.stack)
	w.deniedToTheAuditor(w.stack)
}

// sweepPermission is the Sid of the statement that lets the schedule invoke the events function.
func (w *watched) sweepPermission() string {
	w.t.Helper()
	id, ok := w.stack.Resource("SweepPermission")
	if !ok {
		w.t.Fatal("the stack has no SweepPermission")
	}
	return id
}

// deniedToTheAuditor asks for what the role of the events function must never have: it reads no private key
// and changes no host, no secret and no evidence.
func (w *world) deniedToTheAuditor(st *cloudformation.Stack) {
	w.t.Helper()
	role, _ := st.Resource("EventsRole")
	apply, _ := st.Resource("ApplyDocument")
	principal := "arn:aws:sts::111122223333:assumed-role/" + role + "/" + watcher
	const region = ":us-east-1:111122223333:"
	ours := iam.Keys{"secretsmanager:resource/AllowRotationLambdaArn": {"arn:aws:lambda" + region + "function:" + keytrail}}
	inside := iam.Keys{"ssm:resourceTag/" + boundaryKey: {boundaryValue}}
	for _, row := range []struct {
		name, action, resource string
		keys                   iam.Keys
	}{
		{"a private key", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager" + region + "secret:fleet-AbCdEf", ours},
		{"private keys, by the batch", "secretsmanager:BatchGetSecretValue", "*", nil},
		{"a secret's value", "secretsmanager:PutSecretValue", "arn:aws:secretsmanager" + region + "secret:fleet-AbCdEf", ours},
		{"a secret's label", "secretsmanager:UpdateSecretVersionStage", "arn:aws:secretsmanager" + region + "secret:fleet-AbCdEf", ours},
		{"the document that changes hosts", "ssm:SendCommand", "arn:aws:ssm" + region + "document/" + apply, nil},
		{"a document that runs anything", "ssm:SendCommand", "arn:aws:ssm:us-east-1::document/AWS-RunShellScript", nil},
		{"a host outside the boundary", "ssm:SendCommand", "arn:aws:ec2" + region + "instance/i-00000000000000009", iam.Keys{"ssm:resourceTag/" + boundaryKey: {"other"}}},
		{"a shell on a host", "ssm:StartSession", "arn:aws:ec2" + region + "instance/i-00000000000000001", inside},
		{"the rotation function by its own name", "lambda:InvokeFunction", "arn:aws:lambda" + region + "function:" + keytrail, nil},
		{"a fact of the register", "s3:PutObject", "arn:aws:s3:::" + bucket + "/register/x.json", nil},
		{"a lease", "s3:PutObject", "arn:aws:s3:::" + bucket + "/lease/x.json", nil},
		{"a bundle of facts", "s3:PutObject", "arn:aws:s3:::" + bucket + "/bundle/x.jsonl", nil},
		{"a version of what it keeps, deleted", "s3:DeleteObject", "arn:aws:s3:::" + bucket + "/alerts/x.json", nil},
		{"another topic", "sns:Publish", "arn:aws:sns" + region + "other", nil},
		{"another queue", "sqs:SendMessage", "arn:aws:sqs" + region + "other", nil},
	} {
		d := w.IAM().Authorize(w.t.Context(), iam.Call{Principal: principal, Action: row.action, Resource: row.resource, Keys: row.keys})
		if d.Allowed {
			w.t.Errorf("%s: the auditor may %s on %s", row.name, row.action, row.resource)
		}
	}
}

// deniedToTheRole asks for what the role must never have.
func (w *world) deniedToTheRole(st *cloudformation.Stack) {
	w.t.Helper()
	role, _ := st.Resource("RotateRole")
	apply, _ := st.Resource("ApplyDocument")
	principal := "arn:aws:sts::111122223333:assumed-role/" + role + "/" + keytrail
	const region = ":us-east-1:111122223333:"
	for _, row := range []struct {
		name, action, resource string
		keys                   iam.Keys
	}{
		{"a host outside the boundary", "ssm:SendCommand", "arn:aws:ec2" + region + "instance/i-00000000000000009", iam.Keys{"ssm:resourceTag/" + boundaryKey: {"other"}}},
		{"a host without tags", "ssm:SendCommand", "arn:aws:ssm" + region + "managed-instance/mi-00000000000000009", nil},
		{"a document that runs anything", "ssm:SendCommand", "arn:aws:ssm:us-east-1::document/AWS-RunShellScript", nil},
		{"its own document, rewritten", "ssm:UpdateDocument", "arn:aws:ssm" + region + "document/" + apply, nil},
		{"a secret of another function", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager" + region + "secret:other-AbCdEf", iam.Keys{"secretsmanager:resource/AllowRotationLambdaArn": {"arn:aws:lambda" + region + "function:other"}}},
		{"a secret that nothing rotates", "secretsmanager:DescribeSecret", "arn:aws:secretsmanager" + region + "secret:other-AbCdEf", nil},
		{"a secret, deleted", "secretsmanager:DeleteSecret", "arn:aws:secretsmanager" + region + "secret:fleet-AbCdEf", iam.Keys{"secretsmanager:resource/AllowRotationLambdaArn": {"arn:aws:lambda" + region + "function:" + keytrail}}},
		{"a fact, deleted", "s3:DeleteObject", "arn:aws:s3:::" + bucket + "/register/x.json", nil},
		{"an object of others", "s3:PutObject", "arn:aws:s3:::" + bucket + "/evidence/x.json", nil},
	} {
		d := w.IAM().Authorize(w.t.Context(), iam.Call{Principal: principal, Action: row.action, Resource: row.resource, Keys: row.keys})
		if d.Allowed {
			w.t.Errorf("%s: the role may %s on %s", row.name, row.action, row.resource)
		}
	}
}
