package cloudformation_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
)

// rotator is a rotation function that stores the token as the new value.
var rotator string

func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		lambda.Start(tell) // a function of the stack in testdata/events.yaml
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rotator")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rotator = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", rotator, "../testdata/rotator")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	return m.Run()
}

// world is a lab with clients of it.
type world struct {
	*testing.T
	*lab.Lab
	secrets *secretsmanager.Client
	ssm     *ssm.Client
	s3      *s3.Client
}

func start(t *testing.T) world {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(l.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "x", "")}
	return world{T: t, Lab: l, secrets: secretsmanager.NewFromConfig(c), ssm: ssm.NewFromConfig(c),
		s3: s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })}
}

func every(t *testing.T, name string) cloudformation.Spec {
	t.Helper()
	text, err := os.ReadFile("testdata/every.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return cloudformation.Spec{Name: name, Template: text, Programs: map[string][]string{"Function": {rotator}}, Tags: map[string]string{"team": "keys"}}
}

func (w world) deploy(spec cloudformation.Spec) *cloudformation.Stack {
	w.Helper()
	s, err := w.Lab.Deploy(w.Context(), spec)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// TestEveryType deploys every resource type, and has the services tell what
// they were given.
func TestEveryType(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.deploy(every(t, "trail"))
	if got := s.Status(); got != cloudformation.CreateComplete {
		t.Errorf("the stack is %s: %s", got, s.StatusReason())
	}
	if diff := cmp.Diff(cloudformation.Types(), slices.Sorted(maps.Keys(s.Resources()))); diff != "" {
		t.Errorf("types of the stack (-all +deployed):\n%s", diff)
	}
	w.Secrets().Wait()
	w.checkRotated(s)
	w.checkFunction(s)
	w.checkDocuments(s, "1", "echo one")
	w.checkBucket(s)
	w.checkPolicies(s)
	if got := fmt.Sprint(s.Properties("Alarm")["Dimensions"]); !strings.Contains(got, w.physical(s, "Function")) {
		t.Errorf("the alarm is about %s", got)
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.checkGone(s)
}

func (w world) physical(s *cloudformation.Stack, id string) string {
	w.Helper()
	p, ok := s.Resource(id)
	if !ok {
		w.Fatalf("there is no resource %s", id)
	}
	return p
}

// checkRotated sees the secret of the stack rotated by the stack's function.
func (w world) checkRotated(s *cloudformation.Stack) {
	w.Helper()
	arn := s.Outputs()["Secret"]
	d, err := w.secrets.DescribeSecret(w.Context(), &secretsmanager.DescribeSecretInput{SecretId: &arn})
	if err != nil {
		w.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range d.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if diff := cmp.Diff(map[string]string{"keytrail:users": "deploy", "team": "keys"}, tags); diff != "" {
		w.Errorf("tags (-want +got):\n%s", diff)
	}
	key, _ := s.Attribute("Key", "Arn")
	if aws.ToString(d.Description) != "of trail" || aws.ToString(d.KmsKeyId) != key || !aws.ToBool(d.RotationEnabled) ||
		aws.ToString(d.RotationLambdaARN) != s.Outputs()["FunctionArn"] || aws.ToInt64(d.RotationRules.AutomaticallyAfterDays) != 30 {
		w.Errorf("the secret is %+v", d)
	}
	v, err := w.secrets.GetSecretValue(w.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		w.Fatal(err)
	}
	if *v.SecretString != "value of "+*v.VersionId {
		log, _ := w.Lambda().Logs(w.physical(s, "Function"))
		w.Errorf("the secret was not rotated: %s\n%s", *v.SecretString, log)
	}
	policy, err := w.secrets.GetResourcePolicy(w.Context(), &secretsmanager.GetResourcePolicyInput{SecretId: &arn})
	if err != nil || !strings.Contains(aws.ToString(policy.ResourcePolicy), "role/other") {
		w.Errorf("the secret's policy is %v, %v", policy, err)
	}
}

func (w world) checkFunction(s *cloudformation.Stack) {
	w.Helper()
	f, ok := w.Lambda().Function(w.physical(s, "Function"))
	if !ok {
		w.Fatal("there is no function")
	}
	role := w.physical(s, "Role")
	want := map[string]string{"GREETING": "hello", "DOCUMENT": w.physical(s, "Document"), "FLAG": "true", "NUMBER": "0"}
	if diff := cmp.Diff(want, f.Env); diff != "" {
		w.Errorf("environment (-want +got):\n%s", diff)
	}
	if f.Timeout != time.Minute || f.MemoryMB != 256 || f.Role != "trail/"+role || f.Concurrency != 10 ||
		f.LogFormat != "JSON" || f.LogLevel != "DEBUG" || f.LogGroup != "/aws/lambda/trail" {
		w.Errorf("the function is %+v", f)
	}
	for _, name := range []string{s.Outputs()["FunctionArn"], s.Outputs()["Alias"], w.physical(s, "Version")} {
		if !w.Lambda().Has(name) {
			w.Errorf("%s cannot be invoked", name)
		}
	}
	if w.Lambda().Has(s.Outputs()["FunctionArn"] + ":2") {
		w.Error("there is a second version")
	}
	callers := map[string]bool{}
	for _, c := range w.Front().Calls() {
		if c.Action == "PutSecretValue" {
			callers[c.Caller.ARN] = true
		}
	}
	if session := "arn:aws:sts::111122223333:assumed-role/" + role + "/" + f.Name; !callers[session] {
		w.Errorf("callers of PutSecretValue are %v, want %s", callers, session)
	}
}

// checkDocuments sees the text of the template's document, byte for byte, in the
// version that Run Command takes.
func (w world) checkDocuments(s *cloudformation.Stack, version, script string) {
	w.Helper()
	d, err := w.ssm.DescribeDocument(w.Context(), &ssm.DescribeDocumentInput{Name: aws.String(w.physical(s, "Document"))})
	if err != nil {
		w.Fatal(err)
	}
	text := `{"schemaVersion":"2.2","description":"<&>","mainSteps":[{"action":"aws:runShellScript","name":"s","inputs":{"runCommand":["` + script + `"]}}]}`
	sum := sha256.Sum256([]byte(text))
	if got := d.Document; *got.Hash != hex.EncodeToString(sum[:]) || *got.DefaultVersion != version {
		w.Errorf("the default version is %s with hash %s, want %s with %x", *got.DefaultVersion, *got.Hash, version, sum)
	}
	o, err := w.ssm.GetDocument(w.Context(), &ssm.GetDocumentInput{Name: aws.String(w.physical(s, "ObjectDocument"))})
	if err != nil || !strings.Contains(*o.Content, script) {
		w.Errorf("the other document is %v, %v", o, err)
	}
}

func (w world) checkBucket(s *cloudformation.Stack) {
	w.Helper()
	bucket := s.Outputs()["Bucket"]
	if !strings.HasPrefix(bucket, "trail-bucket-") {
		w.Errorf("the bucket is %s", bucket)
	}
	v, err := w.s3.GetBucketVersioning(w.Context(), &s3.GetBucketVersioningInput{Bucket: &bucket})
	if err != nil || v.Status != "Enabled" {
		w.Errorf("versioning is %v, %v", v, err)
	}
	if _, err := w.s3.GetObjectLockConfiguration(w.Context(), &s3.GetObjectLockConfigurationInput{Bucket: &bucket}); err != nil {
		w.Error(err)
	}
	p, err := w.s3.GetBucketPolicy(w.Context(), &s3.GetBucketPolicyInput{Bucket: &bucket})
	if err != nil || !strings.Contains(*p.Policy, `"arn:aws:s3:::`+bucket+`/*"`) {
		w.Errorf("the bucket's policy is %v, %v", p, err)
	}
}

func (w world) checkPolicies(s *cloudformation.Stack) {
	w.Helper()
	role := w.Policies().Roles()[w.physical(s, "Role")]
	if got, want := slices.Sorted(maps.Keys(role.Inline)), []string{"bucket", "list", "queue", "secrets", "text"}; !slices.Equal(got, want) {
		w.Errorf("the role has the policies %v, want %v", got, want)
	}
	managed := []string{"arn:aws:iam::111122223333:policy/trail-managed", "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}
	if !slices.Equal(role.Managed, managed) || role.Boundary != w.physical(s, "Boundary") || role.Path != "/trail/" {
		w.Errorf("the role is %+v", role)
	}
	arn := s.Outputs()["FunctionArn"]
	var policy struct {
		Statement []struct {
			Sid, Action, Resource string
			Principal             map[string]string
			Condition             map[string]map[string]string
		}
	}
	if err := json.Unmarshal(w.Policies().ResourcePolicies()[arn], &policy); err != nil || len(policy.Statement) != 1 {
		w.Fatalf("the function's policy is %+v, %v", policy, err)
	}
	if st := policy.Statement[0]; st.Resource != arn || st.Principal["Service"] != "secretsmanager.amazonaws.com" || st.Condition["StringEquals"]["AWS:SourceAccount"] != "111122223333" {
		w.Errorf("the function's policy is %+v", st)
	}
	if got := string(w.Policies().ResourcePolicies()[arn+":live"]); !strings.Contains(got, `"ArnLike":{"AWS:SourceArn":"arn:aws:events:us-east-1:111122223333:rule/*"}`) {
		w.Errorf("the alias's policy is %s", got)
	}
}

// checkGone sees nothing left but the bucket.
func (w world) checkGone(s *cloudformation.Stack) {
	w.Helper()
	if s.Status() != cloudformation.DeleteComplete || w.CloudFormation().Stack(s.Name()) != nil || w.CloudFormation().Stack(s.ID()) != s {
		w.Errorf("the stack is %s", s.Status())
	}
	if roles, resources := w.Policies().Roles(), w.Policies().ResourcePolicies(); len(roles)+len(resources)+len(w.Policies().Managed()) != 0 {
		w.Errorf("left: %v, %v", roles, resources)
	}
	secrets, err := w.secrets.ListSecrets(w.Context(), &secretsmanager.ListSecretsInput{})
	if err != nil || len(secrets.SecretList) != 0 {
		w.Errorf("left: %v, %v", secrets, err)
	}
	buckets, err := w.s3.ListBuckets(w.Context(), &s3.ListBucketsInput{})
	if err != nil || len(buckets.Buckets) != 1 {
		w.Errorf("the bucket was to be retained: %v, %v", buckets, err)
	}
	for _, e := range s.Events() {
		if e.LogicalID == "Function" && e.Status == cloudformation.DeleteComplete && w.Lambda().Has(e.PhysicalID) {
			w.Error("the function is left")
		}
	}
}

// TestUpdate changes what changed, keeps the rest, and goes back when a change
// fails.
func TestUpdate(t *testing.T) {
	t.Parallel()
	w := start(t)
	spec := every(t, "trail")
	s := w.deploy(spec)
	w.Secrets().Wait()
	was := map[string]string{}
	for _, id := range []string{"Function", "Document", "ObjectDocument", "Secret", "Bucket"} {
		was[id] = w.physical(s, id)
	}
	if err := s.Update(t.Context(), spec); err == nil || err.Error() != "No updates are to be performed." {
		t.Errorf("an update without a change: %v", err)
	}
	w.Front().ResetCalls()
	spec.Parameters = map[string]string{"Greeting": "hi", "Script": "echo two"}
	if err := s.Update(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	w.checkDocuments(s, "2", "echo two")
	for id, before := range was {
		if same := w.physical(s, id) == before; same != (id != "ObjectDocument") {
			t.Errorf("%s was %s and is %s", id, before, w.physical(s, id))
		}
	}
	f, _ := w.Lambda().Function(was["Function"])
	if f.Env["GREETING"] != "hi" || !slices.Equal(f.Aliases, []string{"live"}) {
		t.Errorf("the function is %+v", f)
	}
	for _, c := range w.Front().Calls() {
		if c.UserAgent == "cloudformation.amazonaws.com" && c.Service != "ssm" {
			t.Errorf("the update calls %s, of what did not change", c.Action)
		}
	}

	// A period that Secrets Manager refuses comes after the function and the documents.
	spec.Parameters = map[string]string{"Greeting": "bye", "Script": "echo three", "Period": "1001"}
	err := s.Update(t.Context(), spec)
	want := `update stack trail: AWS::SecretsManager::RotationSchedule Rotation: Resource handler returned message: "RotationRules.AutomaticallyAfterDays must be within 1-1000.`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a change that is refused: %v", err)
	}
	if s.Status() != cloudformation.UpdateRollbackComplete {
		t.Errorf("the stack is %s: %s", s.Status(), s.StatusReason())
	}
	w.checkDocuments(s, "2", "echo two")
	if f, _ := w.Lambda().Function(was["Function"]); f.Env["GREETING"] != "hi" {
		t.Errorf("after the rollback the function has %v", f.Env)
	}
}

// TestRollback takes back a stack that cannot be made, and says why.
func TestRollback(t *testing.T) {
	t.Parallel()
	w := start(t)
	if _, err := w.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("taken")}); err != nil {
		t.Fatal(err)
	}
	spec := every(t, "trail")
	spec.Parameters = map[string]string{"SecretName": "taken"}
	s, err := w.Lab.Deploy(t.Context(), spec)
	if err == nil {
		t.Fatal("the name of the secret is taken, and the stack was made")
	}
	for _, part := range []string{
		"create stack trail: AWS::SecretsManager::Secret Secret: Resource handler returned message: ",
		"The operation failed because the secret taken already exists.", "(Service: SecretsManager, Status Code: 400, Request ID: ", "HandlerErrorCode: AlreadyExists)",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q: %v", part, err)
		}
	}
	if s.Status() != cloudformation.RollbackComplete {
		t.Errorf("the stack is %s", s.Status())
	}
	if buckets, err := w.s3.ListBuckets(t.Context(), &s3.ListBucketsInput{}); err != nil || len(buckets.Buckets) != 0 {
		t.Errorf("left: %v, %v", buckets, err)
	}
	if roles := w.Policies().Roles(); len(roles) != 0 {
		t.Errorf("left: %v", roles)
	}
	if _, err := w.Lab.Deploy(t.Context(), spec); err == nil || err.Error() != "Stack [trail] already exists" {
		t.Errorf("the name of a stack that was rolled back: %v", err)
	}
	if err := s.Update(t.Context(), spec); err == nil || !strings.HasSuffix(err.Error(), "is in ROLLBACK_COMPLETE state and can not be updated.") {
		t.Errorf("an update of a stack that was rolled back: %v", err)
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec.Parameters = nil
	w.deploy(spec)
}

// TestTwoStacks has two stacks of one template in one lab.
func TestTwoStacks(t *testing.T) {
	t.Parallel()
	w := start(t)
	one, two := w.deploy(every(t, "one")), w.deploy(every(t, "two"))
	for id, first := range one.Outputs() {
		if two.Outputs()[id] == first {
			t.Errorf("both stacks have the %s %s", id, first)
		}
	}
	w.Secrets().Wait()
	if err := one.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.checkDocuments(two, "1", "echo one")
	if !w.Lambda().Has(two.Outputs()["Alias"]) {
		t.Error("the other stack's function is gone")
	}
}

// TestRefused names what is wrong before anything is made.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	for text, want := range map[string]string{
		"Resources: {A: {Type: AWS::DynamoDB::Table}, B: {Type: AWS::EC2::Instance}}":                                             "Template format error: Unrecognized resource types: [AWS::DynamoDB::Table, AWS::EC2::Instance]",
		"Resources: {A: {Type: AWS::Logs::LogGroup}, B: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !GetAtt A.Name}}}": "Template error: resource A does not support attribute type Name in Fn::GetAtt",
		"Resources: {A: {Type: AWS::Logs::LogGroup}}\nOutputs: {O: {Value: !GetAtt A.Nmae}}":                                      "Template error: resource A does not support attribute type Nmae in Fn::GetAtt",
		"Parameters: {P: {Type: String}}\nResources: {A: {Type: AWS::Logs::LogGroup}}":                                            "Parameters: [P] must have values",
	} {
		_, err := w.Lab.Deploy(t.Context(), cloudformation.Spec{Name: "s", Template: []byte(text)})
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if w.CloudFormation().Stack("s") != nil {
		t.Error("there is a stack")
	}
	for properties, want := range map[string]string{
		"{LogGroupNam: x}":                          "[#: extraneous key [LogGroupNam] is not permitted]",
		"{RetentionInDays: many}":                   "[#/RetentionInDays: expected type: Integer, found: String]",
		"{Tags: {a: b}}":                            "[#/Tags: expected type: JSONArray, found: JSONObject]",
		"{Tags: [{Key: a, Vale: b}], KmsKeyId: []}": "[#/KmsKeyId: expected type: String, found: JSONArray, #/Tags/0: extraneous key [Vale] is not permitted, #/Tags/0: required key [Value] not found]",
	} {
		s, err := w.Lab.Deploy(t.Context(), cloudformation.Spec{Name: "p", Template: []byte("Resources: {A: {Type: AWS::Logs::LogGroup, Properties: " + properties + "}}")})
		if want := "create stack p: AWS::Logs::LogGroup A: Properties validation failed for resource A with message: " + want; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if err := s.Delete(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
}
