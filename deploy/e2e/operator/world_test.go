package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/rotate/fleet"
)

const user = "deploy"

// person signs what somebody does beside the command.
var person = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "lab", "")

// world is a lab with the stack "keytrail", and somebody with the command before it.
type world struct {
	*lab.Lab
	t       testing.TB
	stack   *cloudformation.Stack
	secrets *secretsmanager.Client
	env     []string
}

// newWorld starts a lab with some hosts, and deploys the template with these parameters, as Name=value.
func newWorld(t testing.TB, hosts int, parameters ...string) *world {
	t.Helper()
	o := lab.Options{
		Dir: t.TempDir(), Tools: toolsProgram, Trusted: []string{fleet.Script()}, Enforce: iam.Everyone,
		RetryDelay: 100 * time.Millisecond,
	}
	o.Async.RetryDelays = [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}
	for n := range hosts {
		o.Hosts = append(o.Hosts, host.Spec{
			ID: fmt.Sprintf("i-%017x", n+1), Name: fmt.Sprintf("web-%d", n+1), IPAddress: "127.0.0.1",
			Tags: map[string]string{"Fleet": "e2e"}, Users: []host.User{{Name: user}},
		})
	}
	l, err := lab.Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"Users": user, "TagName": "Fleet", "TagValue": "e2e", "BucketName": "keytrail-e2e", "Settle": "0s", "SweepMinutes": "1440", "Heal": "off"}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		all[name] = value
	}
	programs := map[string][]string{"Rotate": {rotateProgram}, "Events": {eventsProgram}}
	if all["Watch"] == "false" {
		delete(programs, "Events")
	}
	w := &world{Lab: l, t: t}
	w.stack, err = l.Deploy(t.Context(), cloudformation.Spec{
		Name: "keytrail", Template: template, Parameters: all, Programs: programs,
	})
	if err != nil {
		t.Fatal(err)
	}
	url := l.URL()
	w.secrets = secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: &url, Region: "us-east-1", Credentials: person,
	})
	w.env = append(l.Env(), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "NO_PROXY=*")
	return w
}

// settle waits until everything that events led to has been done.
func (w *world) settle() {
	w.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for quiet := 0; quiet < 3; quiet++ { // what one service hands to another is nowhere for a moment
		w.Secrets().Wait()
		w.Events().Wait()
		w.Lambda().Wait()
		w.SNS().Wait()
		if w.waiting() != "0 and 0" {
			quiet = -1
		}
		if time.Now().After(deadline) {
			w.t.Fatal("events are still being worked on")
		}
		time.Sleep(20 * time.Millisecond) // a look at the queue, not an expectation of how fast it is
	}
}

// waiting counts the checks of a sweep that wait or are being worked on.
func (w *world) waiting() string {
	w.t.Helper()
	checks, url := w.stack.Outputs()["Checks"], w.URL()
	if checks == "" {
		return "0 and 0" // nothing watches
	}
	client := sqs.New(sqs.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: person})
	names := []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}
	out, err := client.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &checks, AttributeNames: names})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Attributes[string(names[0])] + " and " + out.Attributes[string(names[1])]
}

// answer is what a run of the command came to.
type answer struct {
	out, err string
	code     int
}

// keytrail runs the command, to its end.
func (w *world) keytrail(args ...string) answer {
	w.t.Helper()
	c := exec.CommandContext(w.t.Context(), keytrailProgram, args...)
	c.Env = w.env
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		w.t.Fatal(err)
	}
	a := answer{out.String(), errs.String(), c.ProcessState.ExitCode()}
	if strings.Contains(a.out+a.err, "\x1b") {
		w.t.Errorf("keytrail %s writes control characters to a file: %q", strings.Join(args, " "), a.out+a.err)
	}
	return a
}

// want fails unless the command ended with a code and its answer has all of some texts in it.
func (a answer) want(t testing.TB, code int, texts ...string) {
	t.Helper()
	if a.code != code {
		t.Errorf("exit code %d, want %d\n%s\n%s", a.code, code, a.out, a.err)
	}
	for _, text := range texts {
		if !strings.Contains(a.out, text) {
			t.Errorf("no %q in\n%s\n%s", text, a.out, a.err)
		}
	}
}

// wantError fails unless the command ended with a code, wrote no answer, and said all of some texts.
func (a answer) wantError(t testing.TB, code int, texts ...string) {
	t.Helper()
	if a.code != code || a.out != "" {
		t.Errorf("exit code %d, want %d without an answer\n%s\n%s", a.code, code, a.out, a.err)
	}
	for _, text := range texts {
		if !strings.Contains(a.err, text) {
			t.Errorf("no %q in\n%s", text, a.err)
		}
	}
}

// read decodes the JSON of an answer.
func (a answer) read(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.out), into); err != nil {
		t.Fatalf("%v\n%s\n%s", err, a.out, a.err)
	}
}

// secret makes a secret and rotates it once. Tags are Key=Value.
func (w *world) secret(name string) string {
	w.t.Helper()
	value := `{"PublicKey":"","PrivateKey":""}`
	out, err := w.secrets.CreateSecret(w.t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err != nil {
		w.t.Fatal(err)
	}
	w.rotate(aws.ToString(out.ARN))
	return aws.ToString(out.ARN)
}

// rotate rotates a secret as Secrets Manager does, and waits for all that it leads to.
func (w *world) rotate(secret string) {
	w.t.Helper()
	if _, err := w.secrets.RotateSecret(w.t.Context(), rotation(w, secret)); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

func rotation(w *world, secret string) *secretsmanager.RotateSecretInput {
	return &secretsmanager.RotateSecretInput{SecretId: &secret, RotationLambdaARN: aws.String(w.Lambda().ARN("keytrail-rotate")), RotationRules: rules}
}

// key is the public half of the key pair in the version with a label, as a line of authorized_keys.
func (w *world) key(secret, label string) (line, fingerprint string) {
	w.t.Helper()
	out, err := w.secrets.GetSecretValue(w.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &secret, VersionStage: &label})
	if err != nil {
		w.t.Fatal(err)
	}
	var pair struct{ PublicKey string }
	if err := json.Unmarshal([]byte(aws.ToString(out.SecretString)), &pair); err != nil {
		w.t.Fatal(err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pair.PublicKey))
	if err != nil {
		w.t.Fatal(err)
	}
	return pair.PublicKey, ssh.FingerprintSHA256(public)
}

// holders counts the hosts in whose key file a line's key stands.
func (w *world) holders(line string) int {
	w.t.Helper()
	n := 0
	for _, h := range w.Hosts() {
		text, err := os.ReadFile(h.AuthorizedKeys(user))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Fatal(err)
		}
		if strings.Contains(string(text), strings.Fields(line)[1]) {
			n++
		}
	}
	return n
}

// sweep has the events function look at every secret, as the schedule does, and waits until it has.
func (w *world) sweep() {
	w.t.Helper()
	now := time.Now().UTC()
	w.deliver(fmt.Sprintf(`{"version":"0","id":"sweep-%d","detail-type":"Scheduled Event","source":"aws.events","account":"111122223333",
		"time":%q,"region":"us-east-1","resources":["arn:aws:events:us-east-1:111122223333:rule/keytrail-sweep"],"detail":{}}`,
		now.UnixNano(), now.Format(time.RFC3339)))
}

// deliver hands the events function an event, as EventBridge does, and waits until all is done that it led to.
func (w *world) deliver(event string) {
	w.t.Helper()
	if err := w.Lambda().InvokeEvent(w.t.Context(), "keytrail-events", []byte(event)); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// deaf has no rule hand anything over while something is done.
func (w *world) deaf(do func()) {
	w.t.Helper()
	url := w.URL()
	client := eventbridge.New(eventbridge.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: person})
	rules, err := client.ListRules(w.t.Context(), &eventbridge.ListRulesInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rules.Rules {
		if _, err := client.DisableRule(w.t.Context(), &eventbridge.DisableRuleInput{Name: r.Name}); err != nil {
			w.t.Fatal(err)
		}
	}
	do()
	for _, r := range rules.Rules {
		if _, err := client.EnableRule(w.t.Context(), &eventbridge.EnableRuleInput{Name: r.Name}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// tag gives a secret a tag.
func (w *world) tag(secret, key, value string) {
	w.t.Helper()
	_, err := w.secrets.TagResource(w.t.Context(), &secretsmanager.TagResourceInput{SecretId: &secret, Tags: []smtypes.Tag{{Key: &key, Value: &value}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// objects are what the functions keep of alerts, looks and evidence, by name and content.
func (w *world) objects() string {
	w.t.Helper()
	url, name := w.URL(), "keytrail-e2e"
	client := s3.New(s3.Options{BaseEndpoint: &url, Region: "us-east-1", UsePathStyle: true, Credentials: person})
	list, err := client.ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	for _, o := range list.Contents {
		fmt.Fprintln(&all, aws.ToString(o.Key), aws.ToString(o.ETag))
	}
	return all.String()
}

// mails counts what came to the person on call.
func (w *world) mails() int {
	w.t.Helper()
	all, err := filepath.Glob(filepath.Join(w.Dir(), "mail", "oncall@example.com", "*.eml"))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(all)
}
