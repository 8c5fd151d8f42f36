package iam_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/ssm"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const (
	secretARN   = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ssh/web-AbCdEf"
	functionARN = "arn:aws:lambda:us-east-1:111122223333:function:rotate"
	documentARN = "arn:aws:ssm:us-east-1:111122223333:document/apply"
)

// shelf is a directory of one secret and one document.
type shelf struct{}

func (shelf) Secret(id string) (iam.Secret, bool) {
	if id != "ssh/web" && id != secretARN {
		return iam.Secret{}, false
	}
	return iam.Secret{ARN: secretARN, Tags: map[string]string{"Env": "prod"}, Function: functionARN, Key: cmk}, true
}

func (shelf) Tags(arn string) map[string]string {
	if arn == documentARN {
		return map[string]string{"Env": "prod"}
	}
	return nil
}

func (shelf) Key(arn string) string {
	switch arn[strings.LastIndexByte(arn, ':')+1:] {
	case "sealed":
		return cmk
	case "aws-sealed":
		return "alias/aws/sqs"
	}
	return ""
}

// silent answers every call with nothing.
type silent struct{}

func (silent) Serve(context.Context, wire.Request) (any, error) { return nil, nil }

// serve starts a front with the gate before it, where key WORKER is a session of
// the role and any other the operator's.
func serve(t *testing.T, e *iam.Engine, services map[string]any) string {
	t.Helper()
	g, err := iam.NewGate(e, shelf{})
	if err != nil {
		t.Fatal(err)
	}
	f := wire.New(wire.Options{Authorize: g.Authorize})
	f.AddIdentity(wire.Identity{AccessKeyID: "WORKER", ARN: session})
	e.HandleIn(f)
	for name, s := range services {
		switch s := s.(type) {
		case wire.Service:
			f.Handle(name, s)
		case http.Handler:
			f.HandleHTTP(name, s)
		}
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

// named is a REST service that says which action a request is.
type named string

func (n named) Action(*http.Request) string { return string(n) }

func (named) ServeHTTP(http.ResponseWriter, *http.Request) {}

// call is a request, as METHOD PATH or as SERVICE TARGET.
type call struct {
	service, action string
	key             string // default WORKER
	path            string // of REST services; the method is PUT
	header          map[string]string
	body            string
}

func (c call) send(t *testing.T, url string) (status int, body string) {
	t.Helper()
	method := http.MethodPost
	if c.path != "" {
		method = http.MethodPut
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	key := "WORKER"
	if c.key != "" {
		key = c.key
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20261101/us-east-1/"+c.service+"/aws4_request")
	r.Header.Set("User-Agent", "test")
	if target := map[string]string{"ssm": "AmazonSSM", "secretsmanager": "secretsmanager", "cloudtrail": "CloudTrail_20131101", "sqs": "AmazonSQS", "events": "AWSEvents"}[c.service]; target != "" {
		r.Header.Set("X-Amz-Target", target+"."+c.action)
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// asked are the keys that every call has, and that are tested elsewhere.
var asked = []string{
	"aws:currenttime", "aws:epochtime", "aws:principalaccount", "aws:principalarn", "aws:principalisawsservice", "aws:principaltype",
	"aws:requestedregion", "aws:resourceaccount", "aws:securetransport", "aws:sourceip", "aws:useragent", "aws:userid", "s3:tlsversion",
}

func describe(r iam.Record) string {
	var keys []string
	for k, v := range r.Keys {
		if !slices.Contains(asked, k) && (k != "aws:viaawsservice" || v[0] == "true") {
			keys = append(keys, k+"="+strings.Join(v, ","))
		}
	}
	slices.Sort(keys)
	return strings.TrimSpace(r.Action + " " + r.Resource + " " + strings.Join(keys, " "))
}

func TestWhatCallsNeed(t *testing.T) {
	t.Parallel()
	const ofSecret = secretARN + " aws:resourcetag/env=prod secretsmanager:resource/allowrotationlambdaarn=" + functionARN +
		" secretsmanager:resourcetag/env=prod secretsmanager:secretid=" + secretARN
	kms := func(action string) string {
		return "kms:" + action + " " + cmk + " aws:viaawsservice=true kms:calleraccount=111122223333 kms:encryptioncontext:secretarn=" + secretARN +
			" kms:encryptioncontextkeys=SecretARN,SecretVersionId kms:viaservice=secretsmanager.us-east-1.amazonaws.com"
	}
	held := func(action, service, member string) string {
		return "kms:" + action + " " + cmk + " aws:viaawsservice=true kms:calleraccount=111122223333 kms:encryptioncontext:" + strings.ToLower(member) + "=arn:aws:" + service +
			":us-east-1:111122223333:sealed kms:encryptioncontextkeys=" + member + " kms:viaservice=" + service + ".us-east-1.amazonaws.com"
	}
	until := time.Now().Add(36 * time.Hour).UTC().Format(time.RFC3339)
	for _, test := range []struct {
		name string
		call call
		want []string
	}{
		{"a value by its label", call{service: "secretsmanager", action: "GetSecretValue", body: `{"SecretId":"ssh/web","VersionStage":"AWSPENDING"}`},
			[]string{"secretsmanager:GetSecretValue " + ofSecret + " secretsmanager:versionstage=AWSPENDING", kms("Decrypt")}},
		{"a value's labels are no keys", call{service: "secretsmanager", action: "PutSecretValue", body: `{"SecretId":"ssh/web","VersionStages":["AWSPENDING"]}`},
			[]string{"secretsmanager:PutSecretValue " + ofSecret, kms("GenerateDataKey"), kms("Decrypt")}},
		{"a label", call{service: "secretsmanager", action: "UpdateSecretVersionStage", body: `{"SecretId":"` + secretARN + `","VersionStage":"AWSCURRENT"}`},
			[]string{"secretsmanager:UpdateSecretVersionStage " + ofSecret + " secretsmanager:versionstage=AWSCURRENT"}},
		{"a rotation by the function that the secret has", call{service: "secretsmanager", action: "RotateSecret", body: `{"SecretId":"ssh/web","RotateImmediately":false}`},
			[]string{"secretsmanager:RotateSecret " + ofSecret + " secretsmanager:rotateimmediately=false", "lambda:InvokeFunction " + functionARN}},
		{"a rotation by another function", call{service: "secretsmanager", action: "RotateSecret", body: `{"SecretId":"ssh/web","RotationLambdaARN":"` + functionARN + `2"}`},
			[]string{"secretsmanager:RotateSecret " + ofSecret + " secretsmanager:rotationlambdaarn=" + functionARN + "2", "lambda:InvokeFunction " + functionARN + "2"}},
		{"a secret with tags", call{service: "secretsmanager", action: "CreateSecret", body: `{"Name":"new","Tags":[{"Key":"Env","Value":"dev"}]}`},
			[]string{
				"secretsmanager:CreateSecret arn:aws:secretsmanager:us-east-1:111122223333:secret:new aws:requesttag/env=dev aws:tagkeys=Env secretsmanager:name=new",
				"secretsmanager:TagResource arn:aws:secretsmanager:us-east-1:111122223333:secret:new aws:requesttag/env=dev aws:tagkeys=Env",
			}},
		{"tags that go", call{service: "secretsmanager", action: "UntagResource", body: `{"SecretId":"ssh/web","TagKeys":["Env"]}`},
			[]string{"secretsmanager:UntagResource " + ofSecret + " aws:tagkeys=Env"}},
		{"a list of secrets", call{service: "secretsmanager", action: "ListSecrets"}, []string{"secretsmanager:ListSecrets *"}},
		{"many values", call{service: "secretsmanager", action: "BatchGetSecretValue", body: `{"SecretIdList":["ssh/web"]}`},
			[]string{"secretsmanager:BatchGetSecretValue *", "secretsmanager:GetSecretValue " + ofSecret}},

		{"a document", call{service: "ssm", action: "DescribeDocument", body: `{"Name":"apply"}`},
			[]string{"ssm:DescribeDocument " + documentARN + " aws:resourcetag/env=prod ssm:resourcetag/env=prod"}},
		{"a document of AWS", call{service: "ssm", action: "GetDocument", body: `{"Name":"AWS-RunShellScript"}`},
			[]string{"ssm:GetDocument arn:aws:ssm:us-east-1::document/AWS-RunShellScript"}},
		{"invocations", call{service: "ssm", action: "ListCommandInvocations"}, []string{"ssm:ListCommandInvocations *"}},

		{"an object", call{service: "s3", action: "GetObject", path: "/b/register/k"}, []string{"s3:GetObject arn:aws:s3:::b/register/k"}},
		{"a version of it", call{service: "s3", action: "GetObject", path: "/b/k?versionId=v"}, []string{"s3:GetObjectVersion " + object + " s3:versionid=v"}},
		{"a list below a prefix", call{service: "s3", action: "ListObjectsV2", path: "/b?prefix=register/"}, []string{"s3:ListBucket " + bucket + " s3:prefix=register/"}},
		{"a write under Object Lock", call{service: "s3", action: "PutObject", path: "/b/k", header: map[string]string{
			"If-None-Match": "*", "X-Amz-Object-Lock-Mode": "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date": until}},
			[]string{
				"s3:PutObject " + object + " s3:if-none-match=* s3:object-lock-mode=GOVERNANCE s3:object-lock-remaining-retention-days=2 s3:object-lock-retain-until-date=" + until,
				"s3:PutObjectRetention " + object + " s3:object-lock-mode=GOVERNANCE s3:object-lock-remaining-retention-days=2 s3:object-lock-retain-until-date=" + until,
			}},
		{"a write over what was read", call{service: "s3", action: "PutObject", path: "/b/k", header: map[string]string{"If-Match": "tag"}},
			[]string{"s3:PutObject " + object + " s3:if-match=tag", "s3:GetObject " + object}},
		{"several deletes", call{service: "s3", action: "DeleteObjects", path: "/b?delete", body: `<Delete><Object><Key>k</Key></Object><Object><Key>l</Key><VersionId>v</VersionId></Object></Delete>`},
			[]string{"s3:DeleteObject " + object, "s3:DeleteObjectVersion arn:aws:s3:::b/l"}},
		{"an object with an ACL", call{service: "s3", action: "PutObject", path: "/b/k", header: map[string]string{"X-Amz-Acl": "bucket-owner-full-control"}},
			[]string{"s3:PutObject " + object + " s3:x-amz-acl=bucket-owner-full-control"}},
		{"JSON in an object is no member", call{service: "s3", action: "PutObject", path: "/b/k", body: `{"If-Match":"tag"}`}, []string{"s3:PutObject " + object}},

		{"an invocation", call{service: "lambda", action: "Invoke", path: "/2015-03-31/functions/rotate/invocations", body: `{"Qualifier":"x"}`}, []string{"lambda:InvokeFunction " + functionARN}},
		{"of an alias", call{service: "lambda", action: "Invoke", path: "/2015-03-31/functions/rotate/invocations?Qualifier=reconcile"}, []string{"lambda:InvokeFunction " + functionARN + ":reconcile"}},
		{"by its ARN", call{service: "lambda", action: "Invoke", path: "/2015-03-31/functions/" + strings.ReplaceAll(functionARN, ":", "%3A") + "%3Areconcile/invocations"}, []string{"lambda:InvokeFunction " + functionARN + ":reconcile"}},

		{"a message", call{service: "sns", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "Action=Publish&TopicArn=arn:aws:sns:us-east-1:111122223333:alerts"},
			[]string{"sns:Publish arn:aws:sns:us-east-1:111122223333:alerts"}},
		{"a topic to be made", call{service: "sns", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "Action=CreateTopic&Name=alerts"},
			[]string{"sns:CreateTopic arn:aws:sns:us-east-1:111122223333:alerts"}},
		{"a subscription is its topic's", call{service: "sns", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "Action=Unsubscribe&TopicArn=arn:x&SubscriptionArn=arn:aws:sns:us-east-1:111122223333:alerts:id"},
			[]string{"sns:Unsubscribe arn:aws:sns:us-east-1:111122223333:alerts"}},
		{"several messages", call{service: "sqs", action: "SendMessageBatch", body: `{"QueueUrl":"http://127.0.0.1/111122223333/work","QueueName":"x"}`},
			[]string{"sqs:SendMessage arn:aws:sqs:us-east-1:111122223333:work"}},
		{"a message to a topic with a key", call{service: "sns", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "Action=Publish&TopicArn=arn:aws:sns:us-east-1:111122223333:sealed"},
			[]string{"sns:Publish arn:aws:sns:us-east-1:111122223333:sealed", held("GenerateDataKey", "sns", "aws:sns:topicArn"), held("Decrypt", "sns", "aws:sns:topicArn")}},
		{"a message to a queue with a key", call{service: "sqs", action: "SendMessage", body: `{"QueueUrl":"http://127.0.0.1/111122223333/sealed"}`},
			[]string{"sqs:SendMessage arn:aws:sqs:us-east-1:111122223333:sealed", held("GenerateDataKey", "sqs", "aws:sqs:arn"), held("Decrypt", "sqs", "aws:sqs:arn")}},
		{"messages from there", call{service: "sqs", action: "ReceiveMessage", body: `{"QueueUrl":"http://127.0.0.1/111122223333/sealed"}`},
			[]string{"sqs:ReceiveMessage arn:aws:sqs:us-east-1:111122223333:sealed", held("Decrypt", "sqs", "aws:sqs:arn")}},
		{"AWS's own key needs no right", call{service: "sqs", action: "ReceiveMessage", body: `{"QueueUrl":"http://127.0.0.1/111122223333/aws-sealed"}`},
			[]string{"sqs:ReceiveMessage arn:aws:sqs:us-east-1:111122223333:aws-sealed"}},
		{"a queue to be made", call{service: "sqs", action: "CreateQueue", body: `{"QueueName":"work"}`}, []string{"sqs:CreateQueue arn:aws:sqs:us-east-1:111122223333:work"}},
		{"targets of a rule", call{service: "events", action: "PutTargets", body: `{"Rule":"watch","Name":"x"}`}, []string{"events:PutTargets arn:aws:events:us-east-1:111122223333:rule/watch"}},
		{"events", call{service: "events", action: "PutEvents", body: `{"Entries":[]}`}, []string{"events:PutEvents arn:aws:events:us-east-1:111122223333:event-bus/default"}},
		{"events of the trail", call{service: "cloudtrail", action: "LookupEvents"}, []string{"cloudtrail:LookupEvents *"}},
		{"a trail by its name", call{service: "cloudtrail", action: "GetTrailStatus", body: `{"Name":"management"}`},
			[]string{"cloudtrail:GetTrailStatus arn:aws:cloudtrail:us-east-1:111122223333:trail/management"}},
		{"a trail by its ARN", call{service: "cloudtrail", action: "PutEventSelectors", body: `{"TrailName":"arn:aws:cloudtrail:us-east-1:111122223333:trail/management"}`},
			[]string{"cloudtrail:PutEventSelectors arn:aws:cloudtrail:us-east-1:111122223333:trail/management"}},
		{"all trails", call{service: "cloudtrail", action: "DescribeTrails", body: `{"trailNameList":["management"]}`}, []string{"cloudtrail:DescribeTrails *"}},
		{"who am I", call{service: "sts", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "Action=GetCallerIdentity"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := iam.New(account, region, iam.Options{})
			put(t, e, iam.Role{Name: "worker"}, `{"Effect":"Allow","Action":"*","Resource":"*"}`)
			if err := e.PutResourcePolicy(cmk, policy(grant(`{"AWS":"111122223333"}`, "kms:*"))); err != nil {
				t.Fatal(err)
			}
			form := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			url := serve(t, e, map[string]any{
				"secretsmanager": silent{}, "ssm": silent{}, "cloudtrail": silent{}, "sqs": silent{}, "events": silent{}, "sns": form,
				"s3": named(test.call.action), "lambda": named(test.call.action),
			})
			if status, body := test.call.send(t, url); status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			var got []string
			for _, r := range e.Decisions() {
				got = append(got, describe(r))
			}
			for i, w := range test.want {
				words := strings.Fields(w)
				slices.Sort(words[2:])
				test.want[i] = strings.Join(words, " ")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("permissions (-want +got):\n%s", diff)
			}
		})
	}
}

// Each service refuses in its own form.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func TestDenialsAreThoseOfTheService(t *testing.T) {
	t.Parallel()
	e := engine(t, `{"Effect":"Deny","Action":"ssm:GetDocument","Resource":"*"}`, `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}`)
	form := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	url := serve(t, e, map[string]any{
		"secretsmanager": silent{}, "ssm": silent{}, "cloudtrail": silent{}, "sns": form, "ec2": form,
		"s3": named("GetObject"), "lambda": named("Invoke"),
	})
	query := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for _, test := range []struct {
		call   call
		status int
		want   []string
	}{
		{call{service: "secretsmanager", action: "DescribeSecret", body: `{"SecretId":"ssh/web"}`}, 400, []string{
			`"__type":"AccessDeniedException"`,
			`"Message":"User: ` + session + ` is not authorized to perform: secretsmanager:DescribeSecret on resource: ssh/web because no identity-based policy allows the secretsmanager:DescribeSecret action"`}},
		{call{service: "secretsmanager", action: "ListSecrets"}, 400, []string{
			`is not authorized to perform: secretsmanager:ListSecrets because no identity-based policy allows the secretsmanager:ListSecrets action"`}},
		{call{service: "secretsmanager", action: "GetSecretValue", body: `{"SecretId":"ssh/web"}`}, 400, []string{`"Message":"Access to KMS is not allowed"`}},
		{call{service: "ssm", action: "GetDocument", body: `{"Name":"apply"}`}, 400, []string{
			`ssm:GetDocument on resource: ` + documentARN + ` with an explicit deny in an identity-based policy"`}},
		{call{service: "ssm", action: "GetParameter"}, 400, []string{`AccessDeniedException`, `ssm:GetParameter because the lab's table of calls and permissions does not have it`}},
		{call{service: "s3", action: "GetObject", path: "/b/k"}, 403, []string{
			"<Error><Code>AccessDenied</Code><Message>User: " + session + " is not authorized to perform: s3:GetObject on resource: &#34;arn:aws:s3:::b/k&#34; because no identity-based policy allows the s3:GetObject action</Message>"}},
		{call{service: "lambda", path: "/2015-03-31/functions/rotate/invocations?Qualifier=reconcile"}, 403, []string{
			`lambda:InvokeFunction on resource: ` + functionARN + `:reconcile because no identity-based policy allows the lambda:InvokeFunction action"`}},
		{call{service: "sns", header: query, body: "Action=Publish&TopicArn=arn:aws:sns:us-east-1:111122223333:alerts"}, 403, []string{
			"<Code>AuthorizationError</Code>", "perform: SNS:Publish on resource: arn:aws:sns:us-east-1:111122223333:alerts because no identity-based policy allows the SNS:Publish action"}},
		{call{service: "ec2", header: query, body: "Action=DescribeInstances"}, 403, []string{
			"<Code>UnauthorizedOperation</Code>", "You are not authorized to perform this operation. User: " + session + " is not authorized to perform: ec2:DescribeInstances because no"}},
		{call{service: "cloudtrail", action: "LookupEvents"}, 400, []string{`perform: cloudtrail:LookupEvents because no identity-based policy allows the cloudtrail:LookupEvents action`}},
	} {
		status, body := test.call.send(t, url)
		for _, want := range test.want {
			if status != test.status || !strings.Contains(body, want) {
				t.Errorf("%s %s: %d %s\nwant %d %s", test.call.service, test.call.action, status, body, test.status, want)
			}
		}
	}
}

// The links in SNS's mails are for anybody; the same call of a role is not.
func TestUnsignedCalls(t *testing.T) {
	t.Parallel()
	e := engine(t, `{"Effect":"Allow","Action":"sns:Publish","Resource":"*"}`)
	url := serve(t, e, map[string]any{"sns": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	const subscription = "SubscriptionArn=arn:aws:sns:us-east-1:111122223333:alerts:id"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/?Action=Unsubscribe&"+subscription, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("unsigned: %v (%v)", resp, err)
	}
	resp.Body.Close()
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	if status, body := (call{service: "sns", header: form, body: "Action=Unsubscribe&" + subscription}).send(t, url); status != http.StatusForbidden {
		t.Errorf("signed: %d %s, want a denial", status, body)
	}
}

// host is a managed node that runs nothing.
type host struct {
	id   string
	tags map[string]string
}

func (h host) ID() string { return h.id }

func (h host) Info() ssm.Info { return ssm.Info{Tags: h.tags, State: ssm.Online} }

func (host) Run(context.Context, ssm.Script) ssm.Output { return ssm.Output{} }

// SendCommand has two kinds of resources. A node that is named by its id refuses
// the call; one that is found by its tags refuses its invocation.
func TestSendCommand(t *testing.T) {
	t.Parallel()
	const (
		inside, outside, hybrid = "i-0000000000000001a", "i-0000000000000002b", "mi-0000000000000003c"
		document                = `{"Sid":"Document","Effect":"Allow","Action":"ssm:SendCommand","Resource":"arn:aws:ssm:us-east-1::document/AWS-RunShellScript"}`
		nodes                   = `{"Sid":"Nodes","Effect":"Allow","Action":"ssm:SendCommand","Resource":["arn:aws:ec2:*:*:instance/*","arn:aws:ssm:*:*:managed-instance/*"],
			"Condition":{"StringEquals":{"ssm:resourceTag/Keytrail":"yes"}}}`
		list = `{"Effect":"Allow","Action":"ssm:ListCommandInvocations","Resource":"*"}`
	)
	run := func(t *testing.T, target string, statements ...string) (status int, body string, invocations func() string) {
		e := engine(t, append(statements, list)...)
		g, err := iam.NewGate(e, shelf{})
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]string{"Keytrail": "yes", "Fleet": "web"}
		s := ssm.New(ssm.Options{Authorize: g.MayCommand, Nodes: func() []ssm.Node {
			return []ssm.Node{host{inside, in}, host{outside, map[string]string{"Fleet": "web"}}, host{hybrid, in}}
		}})
		t.Cleanup(s.Close)
		url := serve(t, e, map[string]any{"ssm": s})
		status, body = call{service: "ssm", action: "SendCommand", body: `{"DocumentName":"AWS-RunShellScript","Parameters":{"commands":["true"]},` + target + `}`}.send(t, url)
		return status, body, func() string {
			_, b := call{service: "ssm", action: "ListCommandInvocations"}.send(t, url)
			return b
		}
	}
	refused := func(resource string) string {
		return "not authorized to perform: ssm:SendCommand on resource: " + resource + " because no identity-based policy allows the ssm:SendCommand action"
	}
	const ec2 = "arn:aws:ec2:us-east-1:111122223333:instance/"
	for _, test := range []struct {
		name, target string
		statements   []string
		want         string
	}{
		{"the document alone is not enough", `"InstanceIds":["` + inside + `"]`, []string{document}, refused(ec2 + inside)},
		{"nor are nodes alone", `"InstanceIds":["` + inside + `"]`, []string{nodes}, refused("arn:aws:ssm:us-east-1::document/AWS-RunShellScript")},
		{"both are", `"InstanceIds":["` + inside + `","` + hybrid + `"]`, []string{document, nodes}, `"CommandId"`},
		{"a node without the tag refuses all", `"InstanceIds":["` + inside + `","` + outside + `"]`, []string{document, nodes}, refused(ec2 + outside)},
		{"a hybrid node has an ARN of its own", `"InstanceIds":["` + hybrid + `"]`, []string{document}, refused("arn:aws:ssm:us-east-1:111122223333:managed-instance/" + hybrid)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if status, body, _ := run(t, test.target, test.statements...); !strings.Contains(body, test.want) {
				t.Errorf("%d %s\nwant %s", status, body, test.want)
			}
		})
	}
	t.Run("by tags each node is judged by itself", func(t *testing.T) {
		t.Parallel()
		status, body, invocations := run(t, `"Targets":[{"Key":"tag:Fleet","Values":["web"]}]`, document, nodes)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		deadline := time.Now().Add(30 * time.Second)
		for {
			b := invocations()
			if strings.Count(b, `"StatusDetails":"AccessDenied"`) == 1 && strings.Count(b, `"StatusDetails":"Success"`) == 2 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("invocations: %s", b)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestServicesInvokeByTheFunctionsPolicy(t *testing.T) {
	t.Parallel()
	e := iam.New(account, region, iam.Options{Enforcement: iam.Everyone})
	g, err := iam.NewGate(e, shelf{})
	if err != nil {
		t.Fatal(err)
	}
	statement := func(source string) string {
		return `{"Sid":"Rotate","Effect":"Allow","Principal":{"Service":"secretsmanager.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"` +
			functionARN + `","Condition":{"StringEquals":{"aws:SourceAccount":"` + source + `"}}}`
	}
	for source, want := range map[string]bool{"444455556666": false, account: true} {
		if err := e.PutResourcePolicy(functionARN, policy(statement(source))); err != nil {
			t.Fatal(err)
		}
		if got := g.MayInvoke("secretsmanager.amazonaws.com", functionARN, secretARN); got != want {
			t.Errorf("for account %s it may invoke: %t", source, got)
		}
	}
	if g.MayInvoke("events.amazonaws.com", functionARN, secretARN) || g.MayInvoke("secretsmanager.amazonaws.com", functionARN+":reconcile", secretARN) {
		t.Error("another service may invoke, or the alias may be invoked")
	}
	if err := e.PutResourcePolicy(functionARN, nil); err != nil || g.MayInvoke("secretsmanager.amazonaws.com", functionARN, secretARN) {
		t.Errorf("without a policy it may invoke (%v)", err)
	}
}

// Topics, queues and buckets let services in as the guides of those have it.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html
func TestServicesUseWhatLetsThem(t *testing.T) {
	t.Parallel()
	const (
		topic = "arn:aws:sns:us-east-1:111122223333:alerts"
		queue = "arn:aws:sqs:us-east-1:111122223333:dead"
		rule  = "arn:aws:events:us-east-1:111122223333:rule/watch"
		alarm = "arn:aws:cloudwatch:us-east-1:111122223333:alarm:errors"
		trail = "arn:aws:cloudtrail:us-east-1:111122223333:trail/management"
	)
	e := iam.New(account, region, iam.Options{Enforcement: iam.Everyone})
	g, err := iam.NewGate(e, shelf{})
	if err != nil {
		t.Fatal(err)
	}
	lets := func(service, action, resource, condition string) string {
		return `{"Effect":"Allow","Principal":{"Service":"` + service + `.amazonaws.com"},"Action":"` + action + `","Resource":"` + resource + `","Condition":` + condition + `}`
	}
	for arn, statements := range map[string][]string{
		topic: {
			lets("events", "sns:Publish", topic, `{"ArnEquals":{"aws:SourceArn":"`+rule+`"},"StringEquals":{"aws:SourceAccount":"111122223333"}}`),
			lets("cloudwatch", "SNS:Publish", topic, `{"ArnLike":{"aws:SourceArn":"arn:aws:cloudwatch:*:111122223333:alarm:*"}}`),
		},
		queue: {lets("events", "sqs:SendMessage", queue, `{"ArnLike":{"AWS:SourceArn":"arn:aws:events:us-east-1:111122223333:rule/watch*"},"StringEquals":{"AWS:SourceAccount":"111122223333"}}`)},
		bucket: {
			lets("cloudtrail", "s3:GetBucketAcl", bucket, `{"StringEquals":{"aws:SourceArn":"`+trail+`"}}`),
			lets("cloudtrail", "s3:PutObject", bucket+"/AWSLogs/111122223333/*", `{"StringEquals":{"aws:SourceArn":"`+trail+`","aws:SourceAccount":"111122223333","s3:x-amz-acl":"bucket-owner-full-control"}}`),
		},
	} {
		if err := e.PutResourcePolicy(arn, policy(statements...)); err != nil {
			t.Fatal(err)
		}
	}
	log := iam.Call{Principal: "cloudtrail.amazonaws.com", Action: "s3:PutObject", Resource: bucket + "/AWSLogs/111122223333/CloudTrail/x"}
	owned := log
	owned.Keys = iam.Keys{"s3:x-amz-acl": {"bucket-owner-full-control"}}
	elsewhere := owned
	elsewhere.Resource = bucket + "/register/x"
	for _, test := range []struct {
		name   string
		call   iam.Call
		source string
		want   bool
	}{
		{"a rule publishes", iam.Call{Principal: "events.amazonaws.com", Action: "sns:Publish", Resource: topic}, rule, true},
		{"another rule does not", iam.Call{Principal: "events.amazonaws.com", Action: "sns:Publish", Resource: topic}, rule + "2", false},
		{"an alarm publishes", iam.Call{Principal: "cloudwatch.amazonaws.com", Action: "sns:Publish", Resource: topic}, alarm, true},
		{"an alarm of another account does not", iam.Call{Principal: "cloudwatch.amazonaws.com", Action: "sns:Publish", Resource: topic}, strings.Replace(alarm, account, "444455556666", 1), false},
		{"a service that is not named does not", iam.Call{Principal: "budgets.amazonaws.com", Action: "sns:Publish", Resource: topic}, alarm, false},
		{"a rule buries an event", iam.Call{Principal: "events.amazonaws.com", Action: "sqs:SendMessage", Resource: queue}, rule, true},
		{"an alarm sends nothing to a queue", iam.Call{Principal: "cloudwatch.amazonaws.com", Action: "sqs:SendMessage", Resource: queue}, alarm, false},
		{"a trail looks at its bucket", iam.Call{Principal: "cloudtrail.amazonaws.com", Action: "s3:GetBucketAcl", Resource: bucket}, trail, true},
		{"a trail writes what the owner controls", owned, trail, true},
		{"nothing that the owner does not control", log, trail, false},
		{"nothing elsewhere", elsewhere, trail, false},
		{"nothing for another trail", owned, trail + "2", false},
	} {
		if got := g.MayUse(test.call, test.source); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

// A wrong principal is nobody.
func TestWhoIsNoPrincipal(t *testing.T) {
	t.Parallel()
	e := iam.New(account, region, iam.Options{})
	if d := e.Authorize(t.Context(), iam.Call{Principal: "root", Action: "s3:GetObject", Resource: object}); d.Allowed {
		t.Errorf("%+v", d)
	}
	g, err := iam.NewGate(e, shelf{})
	if err != nil {
		t.Fatal(err)
	}
	if denied, ok := errors.AsType[*wire.Error](g.MayCommand(wire.Identity{ARN: "root"}, documentARN, nil)); !ok || denied.Code != "AccessDeniedException" {
		t.Errorf("%v", denied)
	}
}
