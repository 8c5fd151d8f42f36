package deploy_test

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keytrail/keytrail/events"
)

// account is what the fake aws answers: contents by file name.
type account map[string]string

// fresh is an account that has nothing of ours yet, and lets us do everything.
func fresh() account {
	return account{
		"sts.get-caller-identity":                                              "111122223333\tarn:aws:iam::111122223333:user/ops\n",
		"cloudformation.describe-stacks.error":                                 "An error occurred (ValidationError): Stack with id keytrail does not exist\n",
		"lambda.get-account-settings":                                          "1000\n",
		"ssm.describe-instance-information":                                    "12\n",
		"s3api.head-bucket.keytrail-artifacts-111122223333-eu-central-1.error": "An error occurred (404) when calling the HeadBucket operation: Not Found\n",
		"s3api.get-bucket-policy.error":                                        "An error occurred (NoSuchBucketPolicy)\n",
		"secretsmanager.describe-secret.error":                                 "An error occurred (ResourceNotFoundException)\n",
		"cloudformation.deploy":                                                "Changeset created successfully. Run the following command to review changes:\naws cloudformation describe-change-set --change-set-name arn:aws:cloudformation:eu-central-1:111122223333:changeSet/x/1\n",
		"cloudformation.describe-change-set":                                   "Add\tAWS::Lambda::Function\tRotate\tNone\nModify\tAWS::IAM::Role\tRotateRole\tFalse\nModify\tAWS::SSM::Document\tApply\tTrue\nAdd\tAWS::Lambda::Alias\tReconcile\tNone\n",
		"output.RotateFunction":                                                "arn:aws:lambda:eu-central-1:111122223333:function:keytrail-rotate\n",
		"output.Reconcile":                                                     "arn:aws:lambda:eu-central-1:111122223333:function:keytrail-rotate:reconcile\n",
		"output.LogGroup":                                                      "/aws/lambda/keytrail-rotate\n",
		"output.EventsFunction":                                                "arn:aws:lambda:eu-central-1:111122223333:function:keytrail-events\n",
		"output.EventsLogGroup":                                                "/aws/lambda/keytrail-events\n",
		"output.AlertsTopic":                                                   "arn:aws:sns:eu-central-1:111122223333:keytrail-alerts\n",
		"parameter.AlertEmail":                                                 "\n",
		"output.Bucket":                                                        "keytrail-bucket-1\n",
		"output.ApplyDocument":                                                 "keytrail-keytrail-apply\n",
		"output.InspectDocument":                                               "keytrail-keytrail-inspect\n",
		"output.ApplyDocumentHash":                                             "abc\n",
		"output.InspectDocumentHash":                                           "abc\n",
		"ssm.describe-document":                                                "abc\n",
	}
}

// standing is an account where the stack is deployed.
func standing() account {
	a := fresh()
	delete(a, "cloudformation.describe-stacks.error")
	a["cloudformation.describe-stacks"] = "UPDATE_COMPLETE\n"
	return a
}

// packager is the program that knows zips, built once.
var packager = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "keytrail-package")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "package")
	if out, err := exec.Command("go", "build", "-o", file, "./cmd/package").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return os.ReadFile(file)
})

// checkout is a copy of what the scripts need of the repository, as `make package` leaves it.
func checkout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"deploy", "build"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"deploy.sh", "undeploy.sh", "common.sh", "template.yaml"} {
		write(t, filepath.Join(root, "deploy", file), read(t, file))
	}
	program, err := packager()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "build", "package"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	for goarch, machine := range map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64} {
		for _, function := range []string{"rotate", "events"} {
			write(t, filepath.Join(root, "build", function+"-"+goarch+".zip"), zipped(t, machine))
		}
	}
	return root
}

// zipped is a function's zip whose program has a header and nothing else.
func zipped(t *testing.T, machine elf.Machine) string {
	t.Helper()
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64,
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	file, err := z.Create("bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	if err := binary.Write(file, binary.LittleEndian, header); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// run runs a script with the fake aws and returns what it said and which calls it made.
func run(t *testing.T, script string, a account, variables ...string) (out string, calls []string, err error) {
	t.Helper()
	fake, root := t.TempDir(), checkout(t)
	for name, content := range a {
		write(t, filepath.Join(fake, name), content)
	}
	bin, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/bin/sh", filepath.Join(root, "deploy", script))
	c.Env = append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "FAKE=" + fake}, variables...)
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err = c.Run()
	text, readErr := os.ReadFile(filepath.Join(fake, "calls"))
	if readErr == nil {
		calls = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	return both.String(), calls, err
}

var fleetVariables = []string{"REGION=eu-central-1", "TAGNAME=Fleet", "TAGVALUE=web servers", "USERNAME=ec2-user, deploy", "YES=1"}

// changing are the calls that make, change or delete something.
func changing(calls []string) []string {
	var list []string
	for _, c := range calls {
		for _, verb := range []string{
			"s3 mb", "s3api put", "cloudformation package", "cloudformation deploy", "cloudformation execute", "cloudformation delete",
		} {
			if strings.HasPrefix(c, verb) {
				list = append(list, c)
			}
		}
	}
	return list
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	out, calls, err := run(t, "deploy.sh", fresh(), append(fleetVariables, "PARAMETERS=FirstSecret=fleet\nMaxOffline=5%")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	did := strings.Join(changing(calls), "\n")
	for _, want := range []string{
		"s3 mb s3://keytrail-artifacts-111122223333-eu-central-1",
		"cloudformation deploy --no-execute-changeset",
		"--parameter-overrides Architecture=arm64 TagName=Fleet TagValue=web servers Users=ec2-user, deploy FirstSecret=fleet MaxOffline=5%",
		"cloudformation execute-change-set --change-set-name arn:aws:cloudformation:eu-central-1:111122223333:changeSet/x/1",
	} {
		if !strings.Contains(did, want) {
			t.Errorf("it did not call %q:\n%s", want, did)
		}
	}
	for _, want := range []string{
		"account    111122223333", "12 with Fleet=web servers are managed", "has to be made",
		// Like changes stand together.
		"\n  Add     AWS::Lambda::Alias               Reconcile\n  Add     AWS::Lambda::Function            Rotate\n" +
			"  Modify  AWS::IAM::Role                   RotateRole\n  Modify  AWS::SSM::Document               Apply  replaced\n",
		"--rotation-lambda-arn arn:aws:lambda:eu-central-1:111122223333:function:keytrail-rotate\n",
		"aws logs tail --region eu-central-1 --follow /aws/lambda/keytrail-rotate", "function:keytrail-rotate:reconcile",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if n := len(calls); n > 22 {
		t.Errorf("the AWS CLI was started %d times, a second each:\n%s", n, strings.Join(calls, "\n"))
	}
	// The change set is shown before it is executed.
	shown := slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, "cloudformation describe-change-set") })
	if executed := slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, "cloudformation execute") }); shown < 0 || shown > executed {
		t.Errorf("shown as call %d, executed as call %d", shown, executed)
	}
}

func TestDeployOfAnUpdateKeepsWhatIsNotGiven(t *testing.T) {
	t.Parallel()
	a := standing()
	delete(a, "s3api.head-bucket.keytrail-artifacts-111122223333-eu-central-1.error")
	a["cloudformation.deploy"] = "No changes to deploy. Stack keytrail is up to date\n"
	a["parameter.AlertEmail"] = "ops@example.com\n"
	a["sns.list-subscriptions-by-topic"] = "arn:aws:sns:eu-central-1:111122223333:keytrail-alerts:1\n"
	out, calls, err := run(t, "deploy.sh", a, "REGION=eu-central-1", "ARCH=x86_64", "YES=1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := len(calls); n > 9 {
		t.Errorf("the AWS CLI was started %d times, a second each:\n%s", n, strings.Join(calls, "\n"))
	}
	did := strings.Join(changing(calls), "\n")
	if !strings.HasSuffix(did, "--parameter-overrides Architecture=x86_64") || strings.Contains(did, "s3 mb") || strings.Contains(did, "execute-change-set") {
		t.Errorf("it called:\n%s", did)
	}
	if !strings.Contains(out, "Nothing to change") || strings.Contains(out, "Deployed") {
		t.Errorf("it says:\n%s", out)
	}
	if !strings.Contains(out, "alerts are mailed to ops@example.com") || strings.Contains(out, "confirm") {
		t.Errorf("an address that was confirmed is asked to confirm:\n%s", out)
	}
}

// What to do next is what there is to do: an address that was given wants to be confirmed, and without one nobody
// is told. The event that sweeps by hand is one that the function takes for a sweep.
func TestDeployTellsHowToWatch(t *testing.T) {
	t.Parallel()
	a := fresh()
	a["parameter.AlertEmail"] = "ops@example.com\n"
	out, calls, err := run(t, "deploy.sh", a, append(fleetVariables, "EMAIL=ops@example.com")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	did := strings.Join(calls, "\n")
	for _, want := range []string{"Users=ec2-user, deploy AlertEmail=ops@example.com", "events list-rules", "sns list-topics", "sqs list-queues", "events:PutRule", "sns:Subscribe"} {
		if !strings.Contains(did, want) {
			t.Errorf("it did not call %q:\n%s", want, did)
		}
	}
	for _, want := range []string{
		"confirm the subscription, in the mail that AWS sent to ops@example.com", "--topic-arn arn:aws:sns:eu-central-1:111122223333:keytrail-alerts",
		"--function-name arn:aws:lambda:eu-central-1:111122223333:function:keytrail-events", "--follow /aws/lambda/keytrail-events",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	_, echo, _ := strings.Cut(out, `echo '{"id"`)
	echo, _, _ = strings.Cut(echo, " |\n")
	event, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", `echo '{"id"`+echo).Output()
	if err != nil {
		t.Fatal(err)
	}
	if e, err := events.Decode(event); err != nil || e.Kind != events.Sweep || e.Account != "111122223333" || e.Region != "eu-central-1" {
		t.Errorf("the event by hand is %+v, %v:\n%s", e, err, event)
	}

	out, _, err = run(t, "deploy.sh", fresh(), fleetVariables...)
	if err != nil || !strings.Contains(out, "nobody is told of alerts yet") || !strings.Contains(out, "aws sns subscribe --region eu-central-1") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A stack that watches nothing needs none of the services that watching does.
func TestDeployOfRotateAlone(t *testing.T) {
	t.Parallel()
	a := fresh()
	delete(a, "output.EventsFunction")
	out, calls, err := run(t, "deploy.sh", a, append(fleetVariables, "PARAMETERS=Watch=false")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, call := range calls {
		for _, no := range []string{"events ", "sns ", "sqs "} {
			if strings.HasPrefix(call, no) || strings.Contains(call, "events:PutRule") {
				t.Errorf("it called %s", call)
			}
		}
	}
	if strings.Contains(out, "alert") || strings.Contains(out, "Scheduled Event") {
		t.Errorf("it says:\n%s", out)
	}
}

func TestDeployWithoutAnAnswerMakesNothing(t *testing.T) {
	t.Parallel()
	out, calls, err := run(t, "deploy.sh", fresh(), fleetVariables[:4]...)
	if did := changing(calls); err == nil || !strings.Contains(out, "set YES=1") || len(did) > 0 {
		t.Errorf("%v, %q\n%s", err, did, out)
	}
}

// Bad input is named with its fix, and nothing was made until then.
func TestDeployRefuses(t *testing.T) {
	t.Parallel()
	with := func(a account, changes account) account {
		maps.Copy(a, changes)
		return a
	}
	denied := "An error occurred (AccessDeniedException): User is not authorized to perform\n"
	for name, row := range map[string]struct {
		account   account
		variables []string
		say       []string
	}{
		"no credentials": {
			with(fresh(), account{"sts.get-caller-identity.error": "Unable to locate credentials\n"}), nil,
			[]string{"no AWS credentials", "aws configure"},
		},
		"expired credentials": {
			with(fresh(), account{"sts.get-caller-identity.error": "An error occurred (ExpiredToken)\n"}), nil,
			[]string{"have expired", "log in again"},
		},
		"a Region without a service": {
			with(fresh(), account{"ssm.describe-instance-information.error": "Could not connect to the endpoint URL: \"https://ssm.eu-central-1.amazonaws.com/\"\n"}), nil,
			[]string{"eu-central-1 has no ssm", "set REGION"},
		},
		"no right to a service": {
			with(fresh(), account{"secretsmanager.list-secrets.error": denied}), nil,
			[]string{"may not call secretsmanager:ListSecrets", "get that right"},
		},
		"no right to make a role": {
			with(fresh(), account{"iam.simulate-principal-policy": "iam:CreateRole\tiam:PassRole\n"}), nil,
			[]string{"may not: iam:CreateRole", "get these rights"},
		},
		"a bucket for artifacts that is taken": {
			with(fresh(), account{"s3api.head-bucket.theirs.error": "An error occurred (403) when calling the HeadBucket operation: Forbidden\n"}),
			[]string{"BUCKET=theirs"},
			[]string{"the bucket theirs belongs to someone else", "set BUCKET"},
		},
		"a bucket that the network does not reach": {
			with(fresh(), account{"s3api.head-bucket.far.error": "Connection was closed before we received a valid response\n"}),
			[]string{"PARAMETERS=ExistingBucket=far"},
			[]string{"the bucket far cannot be looked at: Connection was closed"},
		},
		"a bucket for the register that is taken": {
			with(fresh(), account{"s3api.head-bucket.theirs.error": "An error occurred (403) when calling the HeadBucket operation: Forbidden\n"}),
			[]string{"PARAMETERS=BucketName=theirs"},
			[]string{"the bucket theirs (BucketName) is taken", "choose another"},
		},
		"a bucket that does not exist": {
			with(fresh(), account{"s3api.head-bucket.gone.error": "An error occurred (404): Not Found\n"}),
			[]string{"PARAMETERS=ExistingBucket=gone"},
			[]string{"(ExistingBucket) is not there"},
		},
		"a first secret that exists": {
			func() account { a := fresh(); delete(a, "secretsmanager.describe-secret.error"); return a }(),
			[]string{"PARAMETERS=FirstSecret=fleet"},
			[]string{"the secret fleet (FirstSecret) is there already", "leave FirstSecret out"},
		},
		"a stack that is rolling back": {
			with(standing(), account{"cloudformation.describe-stacks": "UPDATE_ROLLBACK_IN_PROGRESS\n"}), nil,
			[]string{"UPDATE_ROLLBACK_IN_PROGRESS", "wait"},
		},
		"a stack that was rolled back": {
			with(standing(), account{"cloudformation.describe-stacks": "ROLLBACK_COMPLETE\n"}), nil,
			[]string{"can only delete it", "aws cloudformation delete-stack --region eu-central-1 --stack-name keytrail"},
		},
		"a zip for another processor": {
			fresh(), []string{"ARCH=x86_64", "ZIP=build/rotate-arm64.zip"},
			[]string{"build/rotate-arm64.zip is not for ARCH x86_64", "EM_AARCH64"},
		},
		"a zip of the other function for another processor": {
			fresh(), []string{"EVENTS_ZIP=build/events-amd64.zip"},
			[]string{"build/events-amd64.zip is not for ARCH arm64", "EM_X86_64"},
		},
		"a zip that is not there":    {fresh(), []string{"ZIP=build/none.zip"}, []string{"there is no zip", "make package"}},
		"the other zip is not there": {fresh(), []string{"EVENTS_ZIP=build/none.zip"}, []string{"there is no zip", "make package"}},
		"an address that is none":    {fresh(), []string{"EMAIL=ops"}, []string{"EMAIL 'ops' is no address"}},
		"two addresses":              {fresh(), []string{"EMAIL=a@example.com, b@example.com"}, []string{"is no address"}},
		"a Region without EventBridge": {
			with(fresh(), account{"events.list-rules.error": "Could not connect to the endpoint URL: \"https://events.eu-central-1.amazonaws.com/\"\n"}), nil,
			[]string{"eu-central-1 has no events", "set REGION"},
		},
		"no right to topics": {
			with(fresh(), account{"sns.list-topics.error": denied}), nil,
			[]string{"may not call sns:ListTopics", "get that right"},
		},
		"no right to queues": {
			with(fresh(), account{"sqs.list-queues.error": denied}), nil,
			[]string{"may not call sqs:ListQueues", "get that right"},
		},
		"a tag value with a comma": {
			fresh(), []string{"TAGVALUE=web,db"},
			[]string{"TAGVALUE 'web,db' has a comma", "the one tag that all hosts share"},
		},
		"a tag value of two lines":       {fresh(), []string{"TAGVALUE=web\ndb"}, []string{"is no tag"}},
		"a user that is a shell command": {fresh(), []string{"USERNAME=$(id)"}, []string{"does not name accounts"}},
		"no tag":                         {fresh(), []string{"TAGNAME="}, []string{"TAGNAME is missing"}},
		"a stack name that is too long":  {fresh(), []string{"STACK=" + strings.Repeat("k", 58)}, []string{"at most 57"}},
		"a Region that is none":          {fresh(), []string{"REGION=Frankfurt"}, []string{"is no Region"}},
		"a reserve that is too small":    {fresh(), []string{"PARAMETERS=ReservedConcurrency=5"}, []string{"less than 10"}},
		"a reserve that the account does not have": {
			with(fresh(), account{"lambda.get-account-settings": "105\n"}), []string{"PARAMETERS=ReservedConcurrency=10"},
			[]string{"less than 100 of the 105"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, calls, err := run(t, "deploy.sh", row.account, append(slices.Clone(fleetVariables), row.variables...)...)
			if err == nil {
				t.Error("it went on")
			}
			for _, want := range append(row.say, "error: ", "fix: ") {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			if did := changing(calls); len(did) > 0 {
				t.Errorf("before it stopped, it called:\n%s", strings.Join(did, "\n"))
			}
		})
	}
}

func TestDeployOfAFailingStackSaysWhy(t *testing.T) {
	t.Parallel()
	a := fresh()
	a["cloudformation.wait.error"] = "Waiter StackCreateComplete failed\n"
	a["cloudformation.describe-stack-events"] = strings.Join([]string{ // the newest first
		"AWS::CloudFormation::Stack\tROLLBACK_COMPLETE\tkeytrail\tNone",
		"AWS::Lambda::Function\tDELETE_COMPLETE\tRotate\tNone",
		"AWS::CloudFormation::Stack\tROLLBACK_IN_PROGRESS\tkeytrail\tThe following resource(s) failed to create: [Bucket, Alerts, Sweep]. Rollback requested by user.",
		"AWS::Events::Rule\tCREATE_FAILED\tSweep\tResource creation cancelled",
		"AWS::SNS::Topic\tCREATE_FAILED\tAlerts\ta topic too many",
		"AWS::S3::Bucket\tCREATE_FAILED\tBucket\tkeytrail already exists",
		"AWS::S3::Bucket\tCREATE_IN_PROGRESS\tBucket\tNone",
		"AWS::CloudFormation::Stack\tCREATE_IN_PROGRESS\tkeytrail\tUser Initiated",
		"AWS::CloudFormation::Stack\tREVIEW_IN_PROGRESS\tkeytrail\tUser Initiated",
		"AWS::SQS::Queue\tUPDATE_FAILED\tChecks\tof another time",
	}, "\n") + "\n"
	out, calls, err := run(t, "deploy.sh", a, fleetVariables...)
	want := "\n  Bucket: keytrail already exists\n  Alerts: a topic too many\nerror: the deployment failed"
	if err == nil || !strings.Contains(out, want) || !strings.Contains(out, "aws cloudformation delete-stack --region eu-central-1 --stack-name keytrail, and run this again") {
		t.Errorf("%v, want %q\n%s", err, want, out)
	}
	for _, no := range []string{"cancelled", "of another time", "Waiter"} {
		if strings.Contains(out, no) {
			t.Errorf("it says %q:\n%s", no, out)
		}
	}
	// A roll-back of so many resources is told before its reasons.
	if !slices.ContainsFunc(calls, func(c string) bool {
		return strings.HasPrefix(c, "cloudformation describe-stack-events") && strings.Contains(c, "--max-items 500")
	}) {
		t.Errorf("it called %q", calls)
	}

	a = standing()
	a["cloudformation.wait.error"] = "Waiter StackUpdateComplete failed: Max attempts exceeded\n"
	out, _, err = run(t, "deploy.sh", a, fleetVariables...)
	if err == nil || !strings.Contains(out, "Max attempts exceeded") || strings.Contains(out, "delete-stack") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What the AWS CLI says of how far an upload is does not stand between its reasons.
func TestDeployThatCannotUploadSaysWhy(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"package", "deploy"} {
		a := fresh()
		a["cloudformation."+command+".error"] = "\rUploading to keytrail/0  1 / 2.0  (50.00%)\rUploading to keytrail/0  2 / 2.0  (100.00%)\n\nan upload too many\n"
		out, _, err := run(t, "deploy.sh", a, fleetVariables...)
		if err == nil || !strings.Contains(out, "an upload too many\nerror: ") || strings.Contains(out, "%") {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
}

// A document that is not what the function pins would stop every rotation: the deployment says so.
func TestDeployComparesTheDocuments(t *testing.T) {
	t.Parallel()
	a := fresh()
	a["ssm.describe-document"] = "def\n"
	out, _, err := run(t, "deploy.sh", a, fleetVariables...)
	if err == nil || !strings.Contains(out, "has hash def, and the function expects abc") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUndeployKeepsTheBucketAndSaysSo(t *testing.T) {
	t.Parallel()
	out, calls, err := run(t, "undeploy.sh", standing(), "REGION=eu-central-1", "YES=1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if did := changing(calls); len(did) != 1 || did[0] != "cloudformation delete-stack --stack-name keytrail" {
		t.Errorf("it called %q", did)
	}
	if !strings.Contains(out, "The bucket keytrail-bucket-1 stays") || !strings.Contains(out, "ExistingBucket=keytrail-bucket-1") {
		t.Errorf("it says:\n%s", out)
	}
	if !strings.Contains(out, "nobody is told any more") {
		t.Errorf("it says:\n%s", out)
	}
	alone := standing()
	delete(alone, "output.EventsFunction")
	if out, _, err := run(t, "undeploy.sh", alone, "REGION=eu-central-1", "YES=1"); err != nil || strings.Contains(out, "told") {
		t.Errorf("%v, without the function that watches:\n%s", err, out)
	}
	for name, row := range map[string]struct {
		account   account
		variables []string
		say       string
	}{
		"no stack":  {fresh(), []string{"YES=1"}, "there is no stack keytrail"},
		"no answer": {standing(), nil, "set YES=1"},
	} {
		out, calls, err := run(t, "undeploy.sh", row.account, append(row.variables, "REGION=eu-central-1")...)
		if err == nil || !strings.Contains(out, row.say) || len(changing(calls)) > 0 {
			t.Errorf("%s: %v, %q\n%s", name, err, changing(calls), out)
		}
	}
}
