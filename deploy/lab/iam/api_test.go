package iam_test

import (
	"net/url"
	"strings"
	"testing"

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

func escaped(document string) string { return url.QueryEscape(document) }
