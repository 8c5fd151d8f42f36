package iam_test

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/iam"
)

// A role that is made through the API is judged by from then on.
func TestRolesByHand(t *testing.T) {
	t.Parallel()
	e := iam.New(account, region, iam.Options{Enforcement: iam.Everyone})
	address := serve(t, e, nil)
	get := iam.Call{Principal: session, Action: "s3:GetObject", Resource: object}
	for _, step := range []struct {
		form    string
		status  int
		want    string
		allowed bool
	}{
		{"Action=CreateRole&RoleName=worker&Path=/team/&AssumeRolePolicyDocument=" + escaped(lambda), 200, "<Arn>" + roleARN + "</Arn>", false},
		{"Action=PutRolePolicy&RoleName=worker&PolicyName=p&PolicyDocument=" + escaped(string(policy(allowGet))), 200, "<PutRolePolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ResponseMetadata><RequestId>", true},
		{"Action=PutRolePolicy&RoleName=worker&PolicyName=p&PolicyDocument={}", 400, "<Code>MalformedPolicyDocument</Code>", true},
		{"Action=DeleteRole&RoleName=worker", 409, "<Code>DeleteConflict</Code>", true},
		{"Action=DeleteRolePolicy&RoleName=worker&PolicyName=p", 200, "", false},
		{"Action=DeleteRole&RoleName=worker", 200, "", false},
		{"Action=GetRole&RoleName=worker", 404, "<Code>NoSuchEntity</Code><Message>The role with name worker cannot be found.</Message>", false},
		{"Action=CreateUser&UserName=x", 403, "<Code>AccessDenied</Code>", false},
	} {
		status, body := call{
			service: "iam", key: "OPERATOR", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: step.form,
		}.send(t, address)
		if status != step.status || !strings.Contains(body, step.want) {
			t.Errorf("%.40s: %d %s\nwant %d %s", step.form, status, body, step.status, step.want)
		}
		if d := e.Authorize(t.Context(), get); d.Allowed != step.allowed {
			t.Errorf("after %.40s: %+v", step.form, d)
		}
	}
}

// What somebody may do is asked without doing it: users may do everything, a
// role what its policies and its boundary allow.
func TestSimulation(t *testing.T) {
	t.Parallel()
	e := iam.New(account, region, iam.Options{Enforcement: iam.Everyone})
	address := serve(t, e, nil)
	if err := e.PutRole(iam.Role{
		Name: "worker", Path: "/team/", AssumeRolePolicy: json.RawMessage(lambda),
		Inline: map[string]json.RawMessage{"work": policy(
			allowGet, `{"Effect":"Allow","Action":["ssm:*","s3:PutObject"],"Resource":"*"}`, `{"Effect":"Deny","Action":"ssm:SendCommand","Resource":"*"}`,
			`{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:*:*:mine"}`,
			`{"Effect":"Allow","Action":"sqs:PurgeQueue","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"a"}}}`,
		)},
		Boundary: policy(`{"Effect":"Allow","Action":["s3:GetObject","ssm:*","sqs:*"],"Resource":"*"}`),
	}); err != nil {
		t.Fatal(err)
	}
	const queue = "arn:aws:sqs:us-east-1:111122223333:"
	for _, row := range []struct {
		source, rest string
		status       int
		want         []string
	}{
		{roleARN, "&ActionNames.member.1=s3:GetObject&ActionNames.member.2=ssm:SendCommand&ActionNames.member.3=s3:PutObject&ActionNames.member.4=sns:Publish&ActionNames.member.5=sqs:SendMessage",
			200, []string{"s3:GetObject * allowed", "ssm:SendCommand * explicitDeny", "s3:PutObject * implicitDeny", "sns:Publish * implicitDeny", "sqs:SendMessage * implicitDeny"}},
		{roleARN, "&ActionNames.member.1=sqs:SendMessage&ResourceArns.member.1=" + queue + "mine&ResourceArns.member.2=" + queue + "yours",
			200, []string{"sqs:SendMessage " + queue + "mine allowed", "sqs:SendMessage " + queue + "yours implicitDeny"}},
		{roleARN, "&ActionNames.member.1=sqs:PurgeQueue", 200, []string{"sqs:PurgeQueue * implicitDeny"}},
		{roleARN, "&ActionNames.member.1=sqs:PurgeQueue&ContextEntries.member.1.ContextKeyName=aws:ResourceTag/Team&ContextEntries.member.1.ContextKeyType=string&ContextEntries.member.1.ContextKeyValues.member.1=a",
			200, []string{"sqs:PurgeQueue * allowed"}},
		{"arn:aws:iam::111122223333:user/ops", "&ActionNames.member.1=iam:CreateRole", 200, []string{"iam:CreateRole * allowed"}},
		{roleARN + "s", "&ActionNames.member.1=s3:GetObject", 404, []string{"NoSuchEntity"}},
		{session, "&ActionNames.member.1=s3:GetObject", 400, []string{"InvalidInput"}},
		{roleARN, "", 400, []string{"ValidationError"}},
	} {
		form := call{service: "iam", key: "OPERATOR", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			body: "Action=SimulatePrincipalPolicy&PolicySourceArn=" + escaped(row.source) + row.rest}
		status, body := form.send(t, address)
		var got []string
		for _, m := range regexp.MustCompile(`<EvalActionName>(.*?)</EvalActionName><EvalResourceName>(.*?)</EvalResourceName><EvalDecision>(.*?)</EvalDecision>|<Code>(.*?)</Code>`).FindAllStringSubmatch(body, -1) {
			got = append(got, strings.TrimSpace(strings.Join(m[1:], " ")))
		}
		if diff := cmp.Diff(row.want, got); status != row.status || diff != "" {
			t.Errorf("%s %s: %d, want %d (-want +got):\n%s", row.source, row.rest, status, row.status, diff)
		}
		if form.key = ""; row.status == 200 { // the role itself has no right to ask
			if status, body := form.send(t, address); status != 403 || !strings.Contains(body, "iam:SimulatePrincipalPolicy on resource: "+row.source) {
				t.Errorf("asked by the role: %d %s", status, body)
			}
		}
	}
	for _, d := range e.Decisions() {
		if d.Action != "iam:SimulatePrincipalPolicy" {
			t.Errorf("%s was recorded, and nobody called it", d.Action)
		}
	}
}

func escaped(document string) string { return url.QueryEscape(document) }
