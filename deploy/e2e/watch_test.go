package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/iam"
)

// watcher is the name of the events function in a world.
const watcher = "keytrail-events"

// onCall reads the mails.
const onCall = "oncall@example.com"

// watched is a world in which the whole template is deployed, policies enforced, and people read mail and
// chat.
type watched struct {
	*world
	stack *cloudformation.Stack
	read  map[string]bool // files of mails
}

// watch starts a world whose stack has both functions. Parameters of the template are given as Name=value,
// what differs in the environment of the events function as KEYTRAIL_NAME=value.
func watch(t testing.TB, hosts []host.Spec, settings []string, edit ...func(*lab.Options)) *watched {
	t.Helper()
	edit = append([]func(*lab.Options){func(o *lab.Options) {
		o.Enforce = iam.Everyone
		// Lambda waits minutes before it tries an event again.
		o.Async.RetryDelays = [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}
	}}, edit...)
	w := &watched{world: newWorld(t, hosts, edit...), read: map[string]bool{}}
	parameters := map[string]string{
		"Users": user, "TagName": boundaryKey, "TagValue": boundaryValue, "BucketName": bucket,
		"AlertEmail": onCall, "SlackWorkspace": "T0123ABCD", "SlackChannel": "C0123ABCD", "Settle": "1s", "SweepMinutes": "1440",
	}
	var env []string
	for _, s := range settings {
		if name, value, _ := strings.Cut(s, "="); strings.HasPrefix(name, "KEYTRAIL_") {
			env = append(env, s)
		} else {
			parameters[name] = value
		}
	}
	var err error
	w.stack, err = w.Deploy(t.Context(), cloudformation.Spec{
		Name: "keytrail", Template: w.template(), Parameters: parameters,
		Programs: map[string][]string{"Rotate": {rotateProgram}, "Events": {eventsProgram}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := w.SNS().Confirm(onCall); n != 1 {
		t.Fatalf("%d subscriptions wait for %s", n, onCall)
	}
	if len(env) > 0 {
		w.alter(watcher, env...)
	}
	w.settle()
	w.mails()                      // that of the subscription
	t.Cleanup(func() { w.chat() }) // which fails for what the chat would drop
	return w
}

// alter changes the environment of a function that a stack made.
func (w *watched) alter(name string, env ...string) {
	w.t.Helper()
	f, ok := w.Lambda().Function(name)
	if !ok {
		w.t.Fatalf("no function %s", name)
	}
	f.Env = maps.Clone(f.Env)
	for _, e := range env {
		key, value, _ := strings.Cut(e, "=")
		f.Env[key] = value
	}
	if err := w.AddFunction(f); err != nil {
		w.t.Fatal(err)
	}
}

// queue returns the URL of a queue of the stack, by its output.
func (w *watched) queue(output string) string {
	w.t.Helper()
	url := w.stack.Outputs()[output]
	if url == "" {
		w.t.Fatalf("the stack has no output %s", output)
	}
	return url
}

func (w *watched) queues() *sqs.Client {
	url := w.URL()
	return sqs.New(sqs.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: operator})
}

// waiting counts the messages that are in a queue or being worked on.
func (w *watched) waiting(output string) string {
	w.t.Helper()
	url := w.queue(output)
	names := []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}
	out, err := w.queues().GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Attributes[string(names[0])] + " and " + out.Attributes[string(names[1])]
}

// settle waits until everything that events led to has been done.
func (w *watched) settle() {
	w.t.Helper()
	quiet := 0
	for deadline := time.Now().Add(3 * time.Minute); quiet < 3; quiet++ {
		w.Secrets().Wait()
		w.Events().Wait()
		w.Lambda().Wait()
		w.SNS().Wait()
		if w.waiting("Checks") != "0 and 0" {
			quiet = -1
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("events are still being worked on; the function's log ends\n%s", tail(w.log(watcher), 4000))
		}
		time.Sleep(20 * time.Millisecond) // a look at the queue, not an expectation of how fast it is
	}
}

func tail(text string, most int) string { return text[max(0, len(text)-most):] }

// sweep has the function look at every secret, as the schedule does, and waits until it has.
func (w *watched) sweep() {
	w.t.Helper()
	now := time.Now().UTC()
	w.deliver(fmt.Sprintf(`{"version":"0","id":"sweep-%d","detail-type":"Scheduled Event","source":"aws.events","account":"111122223333",
		"time":%q,"region":"us-east-1","resources":["arn:aws:events:us-east-1:111122223333:rule/keytrail-sweep"],"detail":{}}`,
		now.UnixNano(), now.Format(time.RFC3339)))
}

// deliver hands the function an event, as EventBridge does, and waits until all is done that it led to.
func (w *watched) deliver(event string) {
	w.t.Helper()
	if err := w.Lambda().InvokeEvent(w.t.Context(), watcher, []byte(event)); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// letter is a mail as its reader sees it.
type letter struct{ subject, text string }

// mails returns what came since the last time, in order.
func (w *watched) mails() []letter {
	w.t.Helper()
	w.SNS().Wait()
	paths, err := filepath.Glob(filepath.Join(w.Dir(), "mail", onCall, "*.eml"))
	if err != nil {
		w.t.Fatal(err)
	}
	var news []letter
	for _, path := range paths {
		if w.read[path] {
			continue
		}
		w.read[path] = true
		f, err := os.Open(path)
		if err != nil {
			w.t.Fatal(err)
		}
		m, err := mail.ReadMessage(f)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(m.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		_ = f.Close() // it was read
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil {
			w.t.Fatal(err)
		}
		news = append(news, letter{subject, strings.ReplaceAll(string(text), "\r\n", "\n")})
	}
	return news
}

// expect fails unless exactly these mails came, in any order, each named by the start of its subject. It
// returns them in the order asked for.
func (w *watched) expect(subjects ...string) []letter {
	w.t.Helper()
	got := w.mails()
	var have []string
	for _, m := range got {
		have = append(have, m.subject)
	}
	found := make([]letter, len(subjects))
	left := slices.Clone(got)
	for i, want := range subjects {
		at := slices.IndexFunc(left, func(m letter) bool { return strings.HasPrefix(m.subject, want) })
		if at < 0 {
			w.t.Fatalf("no mail %q among %q; the function's log ends\n%s", want, have, tail(w.log(watcher), 6000))
		}
		found[i] = left[at]
		left = slices.Delete(left, at, at+1)
	}
	if len(left) > 0 {
		w.t.Fatalf("unexpected mails among %q, which should be %q:\n%s", have, subjects, left[0].text)
	}
	return found
}

// distinct returns the subjects of the mails that came since the last time. One that came twice, under the
// same id, counts once, as it does for people.
func (w *watched) distinct() (subjects []string) {
	w.t.Helper()
	seen := map[string]bool{}
	for _, m := range w.mails() {
		id := regexp.MustCompile(`message\s+kt-[0-9a-f]+-[0-9]+`).FindString(m.text)
		if id == "" {
			w.t.Fatalf("a mail without an id:\n%s", m.text)
		}
		if !seen[id] {
			seen[id] = true
			subjects = append(subjects, m.subject)
		}
	}
	return subjects
}

// chat returns all that the channel shows.
func (w *watched) chat() string {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.Dir(), "chat", "*", "*.txt"))
	if err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range paths {
		if filepath.Base(path) == "dropped.txt" {
			text, _ := os.ReadFile(path)
			w.t.Errorf("messages that the chat drops: %s", text)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&all, "# %s\n%s", filepath.Base(path), text)
	}
	return all.String()
}

// dead returns the messages in the dead letter queue, with the reasons beside them.
func (w *watched) dead() (bodies, reasons []string) {
	w.t.Helper()
	url := w.queue("DeadLetters")
	for {
		out, err := w.queues().ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}, VisibilityTimeout: 600,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return bodies, reasons
		}
		for _, m := range out.Messages {
			bodies = append(bodies, aws.ToString(m.Body))
			reasons = append(reasons, aws.ToString(m.MessageAttributes["ERROR_MESSAGE"].StringValue))
		}
	}
}

// deaf keeps a rule of the stack from delivering, until it is ended.
func (w *watched) deaf(rule string) (end func()) {
	w.t.Helper()
	url := w.URL()
	client := eventbridge.New(eventbridge.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: operator})
	name := "keytrail-" + rule
	if _, err := client.DisableRule(w.t.Context(), &eventbridge.DisableRuleInput{Name: &name}); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if _, err := client.EnableRule(w.t.Context(), &eventbridge.EnableRuleInput{Name: &name}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// rotated returns a secret that was rotated and looked at, with nothing to tell.
func (w *watched) rotated(name string, tags ...string) secret {
	w.t.Helper()
	s := w.secret(keytrail, name, "", tags...)
	s.mustRotate()
	w.settle()
	for _, m := range w.mails() {
		if !strings.Contains(m.subject, "tags changed") {
			w.t.Fatalf("after a rotation: %s\n%s", m.subject, m.text)
		}
	}
	return s
}

// metrics returns the numbers that the function reported of a secret last.
func (w *watched) metrics(secret string) map[string]float64 {
	w.t.Helper()
	var last map[string]float64
	for text := range strings.Lines(w.log(watcher)) {
		var m map[string]any
		if !strings.Contains(text, `"_aws"`) || json.Unmarshal([]byte(text), &m) != nil || m["Secret"] != secret {
			continue
		}
		last = map[string]float64{}
		for name, v := range m {
			if n, ok := v.(float64); ok {
				last[name] = n
			}
		}
	}
	return last
}

// commandIn finds the command that a mail gives for a step.
func commandIn(t testing.TB, m letter, start string) string {
	t.Helper()
	text := regexp.MustCompile(`(?m)^ +` + regexp.QuoteMeta(start) + `.*$`).FindString(m.text)
	if text == "" {
		t.Fatalf("no command %q in\n%s", start, m.text)
	}
	return strings.TrimSpace(text)
}

// mayRotate lets Secrets Manager invoke a function that no stack made.
func (w *watched) mayRotate(name string) {
	w.t.Helper()
	url := w.URL()
	_, err := lambda.New(lambda.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: operator}).AddPermission(w.t.Context(), &lambda.AddPermissionInput{
		FunctionName: &name, StatementId: aws.String("rotate"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("secretsmanager.amazonaws.com"),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// asWatcher returns a client of S3 with the rights of the events function.
func (w *watched) asWatcher() *s3.Client {
	w.t.Helper()
	role, err := w.Lambda().Identity(watcher)
	if err != nil {
		w.t.Fatal(err)
	}
	url := w.URL()
	return s3.New(s3.Options{BaseEndpoint: &url, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(role.AccessKeyID, "lab", "")})
}

// remember changes what the events function keeps of the one secret that it watches.
func (w *watched) remember(change func(journal map[string]any)) {
	w.t.Helper()
	client, name, prefix := w.asWatcher(), bucket, "watch/"
	list, err := client.ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: &name, Prefix: &prefix})
	if err != nil {
		w.t.Fatal(err)
	}
	journals := slices.DeleteFunc(list.Contents, func(o s3types.Object) bool { return strings.HasSuffix(*o.Key, "s.json") }) // reports, exceptions
	if len(journals) != 1 {
		w.t.Fatalf("%d journals", len(journals))
	}
	key := journals[0].Key
	out, err := client.GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: &name, Key: key})
	if err != nil {
		w.t.Fatal(err)
	}
	journal := map[string]any{}
	if err := json.NewDecoder(out.Body).Decode(&journal); err != nil {
		w.t.Fatal(err)
	}
	change(journal)
	body, err := json.Marshal(journal)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := client.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &name, Key: key, Body: strings.NewReader(string(body))}); err != nil {
		w.t.Fatal(err)
	}
}

// evidence downloads what stands below evidence/.
func (w *watched) evidence() fstest.MapFS {
	w.t.Helper()
	client, name, prefix := w.asWatcher(), bucket, evidence.Folder
	files := fstest.MapFS{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range page.Contents {
			out, err := client.GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: &name, Key: o.Key})
			if err != nil {
				w.t.Fatal(err)
			}
			body, err := io.ReadAll(out.Body)
			if err != nil {
				w.t.Fatal(err)
			}
			files[*o.Key] = &fstest.MapFile{Data: body}
		}
	}
	return files
}

// forgetAlerts empties what is kept of alerts, with the rights of the events function: nobody else has them.
func (w *watched) forgetAlerts() {
	w.t.Helper()
	client, name, prefix := w.asWatcher(), bucket, "alerts/"
	list, err := client.ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: &name, Prefix: &prefix})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range list.Contents {
		if _, err := client.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &name, Key: o.Key, Body: strings.NewReader(`{"schema":1}`)}); err != nil {
			w.t.Fatal(err)
		}
	}
}
