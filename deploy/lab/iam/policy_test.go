package iam_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/iam"
)

const (
	account = "111122223333"
	region  = "us-east-1"
	session = "arn:aws:sts::111122223333:assumed-role/worker/run"
	lambda  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}`
)

// engine has a role "worker" with one inline policy of these statements.
func engine(t *testing.T, statements ...string) *iam.Engine {
	t.Helper()
	e := iam.New(account, region, iam.Options{})
	if err := e.PutRole(iam.Role{
		Name: "worker", Path: "/team/", AssumeRolePolicy: json.RawMessage(lambda),
		Inline: map[string]json.RawMessage{"work": policy(statements...)},
	}); err != nil {
		t.Fatal(err)
	}
	return e
}

func policy(statements ...string) json.RawMessage {
	return json.RawMessage(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	e := engine(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	for want, document := range map[string]string{
		"want a JSON object":                     `[]`,
		`element "Statements" is not known`:      `{"Statements":[]}`,
		"no Statement":                           `{"Version":"2012-10-17","Statement":[]}`,
		`Version "2012-10-18" is not known`:      `{"Version":"2012-10-18","Statement":[]}`,
		`"Effect" stands there twice`:            `{"Statement":{"Effect":"Allow","Effect":"Deny"}}`,
		`element "effect" is not known`:          `{"Statement":{"effect":"Allow"}}`,
		"want Allow or Deny as Effect":           `{"Statement":{"Effect":"allow","Action":"s3:*","Resource":"*"}}`,
		"Action: absent":                         `{"Statement":{"Effect":"Allow","Resource":"*"}}`,
		"both Action and NotAction":              `{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}}`,
		"Resource: absent":                       `{"Statement":{"Effect":"Allow","Action":"*"}}`,
		`action "GetObject" has no service`:      `{"Statement":{"Effect":"Allow","Action":"GetObject","Resource":"*"}}`,
		`resource "bucket/*" is no ARN`:          `{"Statement":{"Effect":"Allow","Action":"*","Resource":"bucket/*"}}`,
		"Principal in a policy of an identity":   `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`,
		"its Sid is used twice":                  `{"Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"}]}`,
		`operator "StringEqual" is not known`:    condition(`{"StringEqual":{"aws:SourceIp":"x"}}`),
		`operator "NullIfExists" is not known`:   condition(`{"NullIfExists":{"aws:SourceIp":"true"}}`),
		`key "ssm:resourceTags/A" is not known`:  condition(`{"StringEquals":{"ssm:resourceTags/A":"x"}}`),
		`key "ssm:resourceTag/" is not known`:    condition(`{"StringEquals":{"ssm:resourceTag/":"x"}}`),
		`"aws:TagKeys" has many values`:          condition(`{"StringEquals":{"aws:TagKeys":"x"}}`),
		`"yes" is neither true nor false`:        condition(`{"Bool":{"aws:SecureTransport":"yes"}}`),
		`invalid syntax`:                         condition(`{"NumericLessThan":{"s3:max-keys":"ten"}}`),
		`"soon" is no date`:                      condition(`{"DateLessThan":{"aws:CurrentTime":"soon"}}`),
		`unable to parse IP`:                     condition(`{"IpAddress":{"aws:SourceIp":"here"}}`),
		`${aws:Nobody} is no condition key`:      condition(`{"StringEquals":{"aws:PrincipalAccount":"${aws:Nobody}"}}`),
		`"${aws:userid": a variable without its`: condition(`{"StringEquals":{"aws:PrincipalAccount":"${aws:userid"}}`),
	} {
		err := e.PutRole(iam.Role{Name: "worker", AssumeRolePolicy: json.RawMessage(lambda), Inline: map[string]json.RawMessage{"bad": json.RawMessage(document)}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "role worker: worker/bad: policy") {
			t.Errorf("%s\n got %v\nwant %s", document, err, want)
		}
	}
	for want, document := range map[string]string{
		"no Principal":                            `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		"only * may stand alone":                  `{"Statement":{"Effect":"Allow","Principal":"111122223333","Action":"*","Resource":"*"}}`,
		`element "Federated" is not known`:        `{"Statement":{"Effect":"Allow","Principal":{"Federated":"x"},"Action":"*","Resource":"*"}}`,
		`AWS "arn:aws:iam::1:root" is not known`:  `{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"*","Resource":"*"}}`,
		`Service "lambda" is not known`:           `{"Statement":{"Effect":"Allow","Principal":{"Service":"lambda"},"Action":"*","Resource":"*"}}`,
		"NotPrincipal with Allow":                 `{"Statement":{"Effect":"Allow","NotPrincipal":"*","Action":"*","Resource":"*"}}`,
		"both Principal and NotPrincipal":         `{"Statement":{"Effect":"Deny","Principal":"*","NotPrincipal":"*","Action":"*","Resource":"*"}}`,
		"policy of arn:aws:s3:::b: policy: state": `{"Statement":{"Effect":"Deny","Principal":"*","Action":"*"}}`,
	} {
		if err := e.PutResourcePolicy("arn:aws:s3:::b", json.RawMessage(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", document, err, want)
		}
	}
	// The role is what it was.
	if d := e.Authorize(t.Context(), iam.Call{Principal: session, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}); !d.Allowed {
		t.Errorf("after refused policies: %+v", d)
	}
}

func condition(block string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":` + block + `}}`
}

func TestActionsAndResources(t *testing.T) {
	t.Parallel()
	const secret = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ssh/web-AbCdEf"
	for _, test := range []struct {
		name, statement, action, resource string
		allowed                           bool
	}{
		{"an exact action", `"Action":"secretsmanager:GetSecretValue","Resource":"*"`, "secretsmanager:GetSecretValue", secret, true},
		{"actions have no case", `"Action":"SecretsManager:getsecretvalue","Resource":"*"`, "secretsmanager:GetSecretValue", secret, true},
		{"a star in an action", `"Action":"secretsmanager:*Secret","Resource":"*"`, "secretsmanager:DescribeSecret", secret, true},
		{"a star matches the whole", `"Action":"secretsmanager:*Secret","Resource":"*"`, "secretsmanager:GetSecretValue", secret, false},
		{"a question mark is one character", `"Action":"s3:GetObjec?","Resource":"*"`, "s3:GetObject", "arn:aws:s3:::b/k", true},
		{"and not none", `"Action":"s3:GetObject?","Resource":"*"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{"a list of actions", `"Action":["s3:PutObject","s3:GetObject"],"Resource":"*"`, "s3:GetObject", "arn:aws:s3:::b/k", true},
		{"NotAction allows the others", `"NotAction":"iam:*","Resource":"*"`, "s3:GetObject", "arn:aws:s3:::b/k", true},
		{"and not itself", `"NotAction":"s3:*","Resource":"*"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{"resources have case", `"Action":"*","Resource":"arn:aws:s3:::B/*"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{"a star crosses slashes", `"Action":"*","Resource":"arn:aws:s3:::b/*"`, "s3:GetObject", "arn:aws:s3:::b/a/b/c", true},
		{"six question marks end a secret's ARN", `"Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:ssh/web-??????"`, "secretsmanager:GetSecretValue", secret, true},
		{"so that a longer name does not match", `"Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:ssh/we-??????"`, "secretsmanager:GetSecretValue", secret, false},
		{"NotResource allows the others", `"Action":"*","NotResource":"arn:aws:s3:::b/*"`, "s3:GetObject", "arn:aws:s3:::c/k", true},
		{"and not itself", `"Action":"*","NotResource":"arn:aws:s3:::b/*"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{"an action without resources wants a star", `"Action":"*","Resource":"arn:aws:ssm:*:*:document/x"`, "ssm:ListCommands", "*", false},
		{"which is enough", `"Action":"*","Resource":"*"`, "ssm:ListCommands", "*", true},
		{"a bucket is not its objects", `"Action":"*","Resource":"arn:aws:s3:::b"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{"a function is not its alias", `"Action":"*","Resource":"arn:aws:lambda:us-east-1:111122223333:function:f"`, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:111122223333:function:f:live", false},
		{"a variable in a resource", `"Action":"*","Resource":"arn:aws:s3:::logs-${aws:PrincipalAccount}/*"`, "s3:GetObject", "arn:aws:s3:::logs-111122223333/k", true},
		{"a variable without a value matches nothing", `"Action":"*","Resource":"arn:aws:s3:::b/${aws:username}*"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{"unless it has a default", `"Action":"*","Resource":"arn:aws:s3:::b/${aws:username, 'k'}"`, "s3:GetObject", "arn:aws:s3:::b/k", true},
		{"a star that is meant", `"Action":"*","Resource":"arn:aws:s3:::b/${*}"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
		{"and is there", `"Action":"*","Resource":"arn:aws:s3:::b/${*}"`, "s3:GetObject", "arn:aws:s3:::b/*", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := engine(t, `{"Effect":"Allow",`+test.statement+`}`)
			if d := e.Authorize(t.Context(), iam.Call{Principal: session, Action: test.action, Resource: test.resource}); d.Allowed != test.allowed {
				t.Errorf("%s on %s: %+v", test.action, test.resource, d)
			}
		})
	}
}

// A policy of the older version has no variables.
func TestVariablesAreOfTheNewerVersion(t *testing.T) {
	t.Parallel()
	e := iam.New(account, region, iam.Options{})
	old := `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalAccount}"}}`
	if err := e.PutRole(iam.Role{Name: "worker", AssumeRolePolicy: json.RawMessage(lambda), Inline: map[string]json.RawMessage{"old": json.RawMessage(old)}}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"111122223333": false, "${aws:PrincipalAccount}": true} {
		if d := e.Authorize(t.Context(), iam.Call{Principal: session, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/" + key}); d.Allowed != want {
			t.Errorf("%s: %+v", key, d)
		}
	}
}
