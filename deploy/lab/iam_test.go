package lab_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	engine "github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	labsqs "github.com/keytrail/keytrail/deploy/lab/sqs"
)

const rotatePolicy = `{"Version":"2012-10-17","Statement":[
	{"Sid":"Secrets","Effect":"Allow","Action":["secretsmanager:DescribeSecret","secretsmanager:PutSecretValue","secretsmanager:UpdateSecretVersionStage"],
	 "Resource":"arn:aws:secretsmanager:*:${aws:PrincipalAccount}:secret:*",
	 "Condition":{"ArnEquals":{"secretsmanager:resource/AllowRotationLambdaArn":"arn:aws:lambda:us-east-1:111122223333:function:rotate"}}},
	{"Sid":"TooMuch","Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`

const rotatePermission = `{"Version":"2012-10-17","Statement":{"Sid":"Rotate","Effect":"Allow","Principal":{"Service":"secretsmanager.amazonaws.com"},
	"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:111122223333:function:rotate",
	"Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}}}`

const assumedByLambda = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}`

// TestEveryoneIsJudged rotates a secret where nothing is allowed, then as little
// as it needs, and asks the records which rights it did need.
func TestEveryoneIsJudged(t *testing.T) {
	t.Parallel()
	failures := make(chan string, 10)
	l := start(t, lab.Options{
		Dir: t.TempDir(), Functions: []lambda.Function{function()}, Enforce: iam.Everyone,
		Emit: func(e engine.Event) {
			if e.Name == engine.RotationFailed {
				failures <- e.ErrorMessage
			}
		},
	})
	sm := operator(t, l)
	created, err := sm.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("ssh"), SecretString: aws.String("first")})
	if err != nil {
		t.Fatal(err)
	}
	arn := l.Lambda().ARN("rotate")
	rotate := func() error {
		_, err := sm.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
			SecretId: created.ARN, RotationLambdaARN: &arn, RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)},
		})
		l.Secrets().Wait()
		return err
	}
	if err := rotate(); err == nil || !strings.Contains(err.Error(), "Secrets Manager cannot invoke the specified Lambda function") {
		t.Errorf("without a policy of the function: %v", err)
	}
	if err := l.IAM().PutResourcePolicy(arn, json.RawMessage(rotatePermission)); err != nil {
		t.Fatal(err)
	}
	if err := rotate(); err != nil {
		t.Fatal(err)
	}
	if got, want := <-failures, "Error when executing lambda "+arn+" during createSecret step"; got != want {
		t.Errorf("without a role: %s", got)
	}
	log, err := l.Lambda().Logs("rotate")
	if want := "is not authorized to perform: secretsmanager:PutSecretValue on resource: " + *created.ARN + " because no identity-based policy allows"; err != nil || !strings.Contains(log, want) {
		t.Errorf("the function says (%v):\n%s\nwant %s", err, log, want)
	}
	if _, err := sm.CancelRotateSecret(t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: created.ARN}); err != nil {
		t.Fatal(err)
	}
	pending, err := sm.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: created.ARN})
	if err != nil {
		t.Fatal(err)
	}
	for id, labels := range pending.VersionIdsToStages {
		if labels[0] == "AWSPENDING" {
			if _, err := sm.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
				SecretId: created.ARN, VersionStage: aws.String("AWSPENDING"), RemoveFromVersionId: &id,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}

	if err := l.IAM().PutRole(iam.Role{
		Name: "rotate-role", AssumeRolePolicy: json.RawMessage(assumedByLambda), Inline: map[string]json.RawMessage{"rotate": json.RawMessage(rotatePolicy)},
	}); err != nil {
		t.Fatal(err)
	}
	if err := rotate(); err != nil || len(failures) > 0 {
		t.Fatalf("with a role: %v, %d failures", err, len(failures))
	}
	needed := map[string]bool{}
	for _, g := range l.IAM().Grants() {
		if g.Policy != "arn:aws:iam::111122223333:role/rotate-role" {
			needed[g.String()] = len(l.IAM().Needing(g.Statement, "")) > 0
		}
	}
	want := map[string]bool{"rotate-role/rotate Secrets": true, "rotate-role/rotate TooMuch": false, arn + " Rotate": true}
	if diff := cmp.Diff(want, needed); diff != "" {
		t.Errorf("statements that calls needed (-want +got):\n%s", diff)
	}
}

// TestPoliciesOfServicesAreEnforced puts policies through the services that keep
// them; they bind the operator as well, after a restart too.
func TestPoliciesOfServicesAreEnforced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := start(t, lab.Options{Dir: dir, Enforce: iam.Everyone})
	objects := func() *s3.Client {
		return s3.NewFromConfig(clientConfig(t, l), func(o *s3.Options) { o.UsePathStyle = true })
	}
	bucket, sm := aws.String("keytrail"), operator(t, l)
	if _, err := objects().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	secret, err := sm.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("ssh"), SecretString: aws.String("x")})
	if err != nil {
		t.Fatal(err)
	}
	deny := `{"Version":"2012-10-17","Statement":[{"Sid":"No","Effect":"Deny","Principal":"*","Action":"ACTION","Resource":"RESOURCE"}]}`
	policy := func(action, resource string) *string {
		return aws.String(strings.NewReplacer("ACTION", action, "RESOURCE", resource).Replace(deny))
	}
	_, err = objects().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(strings.Replace(*policy("s3:*", "*"), `"Sid"`, `"Cid"`, 1))})
	if e, ok := apiError(err); !ok || e.ErrorCode() != "MalformedPolicy" || !strings.Contains(e.ErrorMessage(), `element "Cid" is not known`) {
		t.Errorf("a malformed policy: %v", err)
	}
	if _, err := objects().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: policy("s3:PutObject", "arn:aws:s3:::keytrail/register/*")}); err != nil {
		t.Fatal(err)
	}
	if _, err := sm.PutResourcePolicy(t.Context(), &secretsmanager.PutResourcePolicyInput{SecretId: secret.ARN, ResourcePolicy: policy("secretsmanager:GetSecretValue", "*")}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = objects().PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("register/x"), Body: strings.NewReader("x")})
		if e, ok := apiError(err); !ok || e.ErrorCode() != "AccessDenied" || !strings.Contains(e.ErrorMessage(), "with an explicit deny in a resource-based policy") {
			t.Errorf("put below register: %v", err)
		}
		if _, err = objects().PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("lease/x"), Body: strings.NewReader("x")}); err != nil {
			t.Errorf("put below lease: %v", err)
		}
		_, err = operator(t, l).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: secret.ARN})
		if e, ok := apiError(err); !ok || e.ErrorCode() != "AccessDeniedException" {
			t.Errorf("get the value: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = start(t, lab.Options{Dir: dir, Enforce: iam.Everyone})
	}
	if _, err := objects().DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	if _, err = objects().PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("register/x"), Body: strings.NewReader("x")}); err != nil {
		t.Errorf("put after the policy went: %v", err)
	}
}

// TestPoliciesOfTopicsAndQueuesAreEnforced puts them over the wire: they are
// judged for roles and for services alike, and which statement was needed is
// recorded.
func TestPoliciesOfTopicsAndQueuesAreEnforced(t *testing.T) {
	t.Parallel()
	const (
		topic = "arn:aws:sns:us-east-1:111122223333:alerts"
		queue = "arn:aws:sqs:us-east-1:111122223333:work"
		alarm = "arn:aws:cloudwatch:us-east-1:111122223333:alarm:errors"
	)
	l := start(t, lab.Options{Functions: []lambda.Function{function()}})
	statement := func(effect, principal, action, resource, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Sid":"One","Effect":"` + effect + `","Principal":` + principal + `,"Action":"` + action + `","Resource":"` + resource + `"` + condition + `}]}`
	}
	c := clientConfig(t, l)
	topics, queues := sns.NewFromConfig(c), sqs.NewFromConfig(c)
	_, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts"), Attributes: map[string]string{
		"Policy": statement("Allow", `{"Service":"cloudwatch.amazonaws.com"}`, "sns:Publish", topic, `,"Condition":{"ArnLke":{"aws:SourceArn":"`+alarm+`"}}`),
	}})
	if e, ok := apiError(err); !ok || e.ErrorCode() != "InvalidParameter" || !strings.Contains(e.ErrorMessage(), `operator "ArnLke" is not known`) {
		t.Errorf("a policy with a misspelled operator: %v", err)
	}
	_, err = topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts"), Attributes: map[string]string{
		"Policy": statement("Allow", `{"Service":"cloudwatch.amazonaws.com"}`, "sns:Publish", topic, `,"Condition":{"ArnLike":{"aws:SourceArn":"`+alarm+`*"},"StringEquals":{"aws:SourceAccount":"111122223333"}}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work"), Attributes: map[string]string{
		"Policy": statement("Deny", `"*"`, "sqs:SendMessage", queue, `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"111122223333"}}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]bool{alarm: true, strings.Replace(alarm, "alarm", "dashboard", 1): false} {
		if err := l.SNS().PublishAs(t.Context(), "cloudwatch.amazonaws.com", source, topic, "too many errors"); (err == nil) != want {
			t.Errorf("%s publishes: %v", source, err)
		}
	}
	needed := iam.Statement{Policy: topic, ID: "One"}
	if got := l.IAM().Needing(needed, ""); len(got) != 1 || got[0].Principal != "cloudwatch.amazonaws.com" {
		t.Errorf("the topic's statement is needed by %v", got)
	}

	if err := l.IAM().PutRole(iam.Role{Name: "rotate-role", AssumeRolePolicy: json.RawMessage(assumedByLambda), Inline: map[string]json.RawMessage{
		"all": json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`),
	}}); err != nil {
		t.Fatal(err)
	}
	session, err := l.Lambda().Identity("rotate")
	if err != nil {
		t.Fatal(err)
	}
	c.Credentials = credentials.NewStaticCredentialsProvider(session.AccessKeyID, "secret", "")
	send := func() error {
		_, err := sqs.NewFromConfig(c).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("x")})
		return err
	}
	if e, ok := apiError(send()); !ok || !strings.Contains(e.ErrorMessage(), "with an explicit deny in a resource-based policy") {
		t.Errorf("the queue's policy denies the role: %v", e)
	}
	if _, err := queues.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: made.QueueUrl, Attributes: map[string]string{"Policy": ""}}); err != nil {
		t.Fatal(err)
	}
	if err := send(); err != nil {
		t.Errorf("after the policy went: %v", err)
	}
}

// TestKeysOfTopicsAndQueuesAreEnforced: who uses what is encrypted needs the key
// as well, services by its policy and roles by their own.
func TestKeysOfTopicsAndQueuesAreEnforced(t *testing.T) {
	t.Parallel()
	const (
		topic = "arn:aws:sns:us-east-1:111122223333:alerts"
		queue = "arn:aws:sqs:us-east-1:111122223333:work"
		rule  = "arn:aws:events:us-east-1:111122223333:rule/watch"
		key   = "arn:aws:kms:us-east-1:111122223333:key/1"
	)
	l := start(t, lab.Options{Functions: []lambda.Function{function()}})
	lets := func(action, resource string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"` + action + `","Resource":"` + resource + `"}]}`
	}
	c := clientConfig(t, l)
	if _, err := sns.NewFromConfig(c).CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts"), Attributes: map[string]string{
		"Policy": lets("sns:Publish", topic), "KmsMasterKeyId": "1",
	}}); err != nil {
		t.Fatal(err)
	}
	made, err := sqs.NewFromConfig(c).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work"), Attributes: map[string]string{
		"Policy": lets("sqs:SendMessage", queue), "KmsMasterKeyId": key,
	}})
	if err != nil {
		t.Fatal(err)
	}
	session, err := l.Lambda().Identity("rotate")
	if err != nil {
		t.Fatal(err)
	}
	c.Credentials = credentials.NewStaticCredentialsProvider(session.AccessKeyID, "secret", "")
	const (
		account  = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}`
		services = `{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":["kms:GenerateDataKey*","kms:Decrypt"],"Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":"` + rule + `"}}}`
		send     = `{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}`
		sealed   = `{"Effect":"Allow","Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"` + key + `","Condition":{"StringEquals":{"kms:EncryptionContext:aws:sqs:arn":"` + queue + `"}}}`
	)
	document := func(statements string) json.RawMessage {
		return json.RawMessage(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
	}
	for _, test := range []struct {
		name, key, role string
		service, sends  bool
	}{
		{"a key for the account alone, a role without a right to it", account, send, false, false},
		{"a key for the service as well", account + "," + services, send, true, false},
		{"a role with the right to it", account, send + "," + sealed, false, true},
	} {
		if err := l.IAM().PutResourcePolicy(key, document(test.key)); err != nil {
			t.Fatal(err)
		}
		if err := l.IAM().PutRole(iam.Role{Name: "rotate-role", AssumeRolePolicy: json.RawMessage(assumedByLambda), Inline: map[string]json.RawMessage{"work": document(test.role)}}); err != nil {
			t.Fatal(err)
		}
		if err := l.SNS().PublishAs(t.Context(), "events.amazonaws.com", rule, topic, "x"); (err == nil) != test.service {
			t.Errorf("%s: the rule publishes: %v", test.name, err)
		}
		if err := l.SQS().Deliver(t.Context(), labsqs.Delivery{QueueARN: queue, Principal: "events.amazonaws.com", SourceARN: rule, Body: "x"}); (err == nil) != test.service {
			t.Errorf("%s: the rule sends: %v", test.name, err)
		}
		if _, err := sqs.NewFromConfig(c).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("x")}); (err == nil) != test.sends {
			t.Errorf("%s: the role sends: %v", test.name, err)
		}
	}
}

func apiError(err error) (smithy.APIError, bool) {
	return errors.AsType[smithy.APIError](err)
}
