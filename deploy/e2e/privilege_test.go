package e2e

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/keytrail/keytrail/deploy/lab"
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
// call, or stand among those that are declared, with the reason. A statement that is taken away, or one
// that is added, is a failure as well.
func (w *world) leastPrivilege(statements int, declared map[string]string) {
	w.t.Helper()
	unused := map[string]bool{}
	grants := w.IAM().Grants()
	for _, g := range grants {
		for _, action := range g.Actions {
			if len(w.IAM().Needing(g.Statement, action)) > 0 {
				continue
			}
			unused[action] = true
			if declared[action] == "" {
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
// first secret, has the function do all that it does, and judges its role by what it called.
func TestTheTemplateGivesEveryRightThatIsNeededAndNoOther(t *testing.T) {
	t.Parallel()
	specs := nodes(3)
	specs[1].ID = "mi-0123456789abcdef0"
	specs[2].Tags = map[string]string{boundaryKey: "another"}
	w := newWorld(t, specs, func(o *lab.Options) { o.Enforce = iam.Everyone })
	template := w.template()
	st, err := w.Deploy(t.Context(), cloudformation.Spec{
		Name: "keytrail", Template: template,
		Parameters: map[string]string{
			"Users": user, "TagName": boundaryKey, "TagValue": boundaryValue, "BucketName": bucket,
			"KmsKey": "create", "FirstSecret": "fleet", "Watch": "false",
		},
		Programs: map[string][]string{"Rotate": {rotateProgram}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Secrets().Wait()
	arn, _ := st.Resource("Secret")
	s := secret{w, "fleet", arn, keytrail}
	first := s.key(current) // the stack rotates at once
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
	w.noneDenied("s3:ListBucket") // which S3 asks for to say that a lease, which nobody took yet, is missing

	// Nobody but the function writes to the register.
	name, key := bucket, "register/planted.json"
	if _, err := w.objects().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader("{}")}); says(err, "AccessDenied") != nil {
		t.Errorf("the operator writes to the register: %v", err)
	}
	if held := w.IAM().HeldBackBy(iam.Statement{Policy: "arn:aws:s3:::" + bucket, ID: "RegisterWrittenByRotateAlone"}); len(held) == 0 {
		t.Error("what keeps the operator from the register is another statement")
	}

	// Eight of the role, its key's, who may be the role, who may invoke the function, and the key's own.
	w.leastPrivilege(12, map[string]string{
		"logs:CreateLogStream":     "Lambda writes the function's log in its name",
		"logs:PutLogEvents":        "Lambda writes the function's log in its name",
		"ssm:CancelCommand":        "a step that runs out of time takes back what no host has begun",
		"ssm:GetCommandInvocation": "an answer that is too long for a listing: TestAHostWithManyAccounts",
		"sts:AssumeRole":           "Lambda is the role whenever it runs the function",
	})
	w.deniedToTheRole(st)
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
