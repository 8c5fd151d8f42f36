package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/deploy/lab"
	lambdalab "github.com/keytrail/keytrail/deploy/lab/lambda"
	engine "github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// traces is what a world leaves that others may read, and what must not stand in it. Every world looks
// through all of it when its test ends.
type traces struct {
	mu      sync.Mutex
	secrets sieve
	texts   map[string]string // where each stood, by text
}

func newTraces() *traces { return &traces{texts: map[string]string{}} }

func (t *traces) note(where, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.texts[text] = where
}

// see notes a request on its way to a service. What may stand in the secret store is taken out of it, and
// nothing else may hold it.
func (t *traces) see(_ context.Context, r wire.Request) error {
	where := "a request of " + r.Service + ":" + r.Action
	t.note(where, r.UserAgent)
	if r.Service != "secretsmanager" {
		t.note(where, string(r.Body))
		return nil
	}
	var in map[string]json.RawMessage
	if err := json.Unmarshal(r.Body, &in); err != nil {
		t.note(where, string(r.Body))
		return nil
	}
	t.keep(in)
	delete(in, "SecretString")
	delete(in, "RotationToken")
	rest, err := json.Marshal(in)
	t.note(where, string(rest))
	return err
}

// keep learns the secrets of a request: the rotation token, and the private key of a value.
func (t *traces) keep(request map[string]json.RawMessage) {
	text := func(name string) (s string) {
		_ = json.Unmarshal(request[name], &s) // "" for what is none
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if token := text("RotationToken"); token != "" {
		t.secrets.add("the rotation token "+token, token)
	}
	value := text("SecretString")
	var pair struct{ PrivateKey string }
	if json.Unmarshal([]byte(value), &pair) != nil {
		pair.PrivateKey = value // stored as it is
	}
	if pair.PrivateKey != "" {
		t.secrets.addKey("a private key of "+text("Name")+text("SecretId"), pair.PrivateKey)
	}
}

// emitted notes a service event.
func (t *traces) emitted(e engine.Event) {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and a time
	}
	t.note("a service event", string(text))
}

// outputs notes what hosts answered, as Systems Manager shows it.
func (t *traces) outputs(l *lab.Lab) error {
	next := ""
	for {
		var list ssm.ListCommandInvocationsOutput
		if err := ask(l, &list, "ListCommandInvocations", map[string]any{"NextToken": next}); err != nil {
			return err
		}
		for _, i := range list.CommandInvocations {
			var out ssm.GetCommandInvocationOutput
			if err := ask(l, &out, "GetCommandInvocation", map[string]any{"CommandId": i.CommandId, "InstanceId": i.InstanceId}); err != nil {
				return err
			}
			t.note("the output of a command", aws.ToString(out.StandardOutputContent))
			t.note("the output of a command", aws.ToString(out.StandardErrorContent))
		}
		if next = aws.ToString(list.NextToken); next == "" {
			return nil
		}
	}
}

// ask asks Systems Manager itself, past all faults.
func ask[T any](l *lab.Lab, out *T, action string, in map[string]any) error {
	for name, v := range in {
		if v == "" {
			delete(in, name)
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := l.SSM().Serve(context.Background(), wire.Request{Service: "ssm", Action: action, Body: body})
	if err != nil {
		return fmt.Errorf("ssm:%s: %w", action, err)
	}
	*out = *answer.(*T)
	return nil
}

// files looks through every file below a folder but the secret store.
func (t *traces) files(folder string) error {
	store := filepath.Join(folder, "secrets")
	var errs []error
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // a temporary file
		case err != nil:
			return err
		case path == store:
			return fs.SkipDir
		}
		errs = append(errs, t.look("the name of "+path, path))
		if !d.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		errs = append(errs, t.look(path, string(content)))
		return err
	})
	return errors.Join(append(errs, err)...)
}

func (t *traces) look(where, text string) error {
	if found := t.secrets.find(text); found != nil {
		return fmt.Errorf("%s: %s", where, strings.Join(found, ", "))
	}
	return nil
}

// leaks says where something that must stay secret can be read outside the secret store.
func (w *world) leaks() error {
	errs := []error{w.traces.outputs(w.Lab), w.traces.files(w.Dir())}
	w.traces.mu.Lock()
	defer w.traces.mu.Unlock()
	for _, texts := range []map[string]string{w.traces.texts, running.seen(w.Dir())} {
		for text, where := range texts {
			errs = append(errs, w.traces.look(where, text))
		}
	}
	return errors.Join(errs...)
}

// careless is what TestMain runs instead of the tests when its only argument says so: a function that
// gives away what it is told.
const careless = "careless"

// telltale is the event of the careless function.
type telltale struct{ Where, Text string }

func runCareless() {
	if len(os.Args) > 2 || os.Getenv("TEXT") != "" {
		time.Sleep(time.Hour) // the child below
		return
	}
	lambda.Start(func(e telltale) error {
		switch e.Where {
		case "log":
			fmt.Println("about to use", e.Text)
		case "answer":
			return errors.New("no such key: " + e.Text)
		case "arguments":
			return exec.Command(os.Args[0], careless, e.Text).Start()
		case "environment":
			child := exec.Command(os.Args[0], careless)
			child.Env = append(os.Environ(), "TEXT="+e.Text)
			return child.Start()
		}
		return nil
	})
}

// TestASecretIsFoundWhereverItIsRead plants a key of its own in each place where the product could leave
// one, by what would carry it there, and looks through the world as is done after every test.
func TestASecretIsFoundWhereverItIsRead(t *testing.T) {
	t.Parallel()
	const trusted = "export SSM_Leak\nexec sleep 600\n"
	w := startWorld(t, nodes(1), func(o *lab.Options) { o.Trusted = append(o.Trusted, trusted) })
	h := w.Hosts()[0]
	w.add(lambdalab.Function{Name: careless, Command: []string{os.Args[0], careless}}, nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	send := func(commands ...string) {
		t.Helper()
		_, err := w.systems.SendCommand(t.Context(), &ssm.SendCommandInput{
			DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: []string{h.ID()}, Parameters: map[string][]string{"commands": commands},
		})
		must(err)
	}
	file := func(path, text string) {
		t.Helper()
		must(errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)))
	}
	object := func(body string) {
		t.Helper()
		client := w.objects()
		_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("reports")})
		must(err)
		_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("reports"), Key: aws.String("r"), Body: strings.NewReader(body)})
		must(err)
	}
	seed := func(k key) string { return hex.EncodeToString(secretNumbers(k.private)[0]) }
	missing := map[string]string{} // what must be found and where, until it is
	for name, row := range map[string]struct {
		plant func(s secret, k key)
		found string
	}{
		"log":         {func(s secret, k key) { must(s.invoke(telltale{"log", k.private})) }, "/logs/"},
		"answer":      {func(s secret, k key) { _ = s.invoke(telltale{"answer", k.private}) }, "the answer of a function"},
		"arguments":   {func(s secret, k key) { must(s.invoke(telltale{"arguments", k.private})) }, "the arguments of a process"},
		"environment": {func(s secret, k key) { must(s.invoke(telltale{"environment", k.value()})) }, "the environment of a process"},
		"event": {func(s secret, k key) {
			_, err := s.secrets.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
				SecretId: &s.arn, ClientRequestToken: aws.String(seed(k)), RotationLambdaARN: aws.String(w.Lambda().ARN(careless)), RotationRules: rules,
			})
			must(err)
		}, "a service event"},
		"parameter":          {func(_ secret, k key) { send("true # " + k.private) }, "a request of ssm:SendCommand"},
		"script-arguments":   {func(_ secret, k key) { send("tail -f /etc/passwd " + seed(k)) }, "the arguments of a process"},
		"script-environment": {func(_ secret, k key) { send("SSM_Leak='"+seed(k)+"'", trusted) }, "the environment of a process"},
		"output": {func(_ secret, k key) {
			file(h.Path("/root/key"), k.private)
			send("cat /root/key >&2")
		}, "the output of a command"},
		"request":   {func(_ secret, k key) { object(k.private) }, "a request of s3:PutObject"},
		"object":    {func(_ secret, k key) { file(filepath.Join(w.Dir(), "s3", "reports", "k", "@9"), k.value()) }, "/s3/"},
		"host":      {func(_ secret, k key) { file(h.Path("/home/"+user+"/.ssh/.key"), k.private) }, "/hosts/"},
		"mail":      {func(_ secret, k key) { file(filepath.Join(w.Dir(), "mails", "1.eml"), "key=3D\r\n"+k.private) }, "/mails/1.eml"},
		"file-name": {func(_ secret, k key) { file(h.Path("/tmp/"+seed(k)), "") }, "the name of "},
		"nowhere":   {func(secret, key) {}, ""},
	} {
		k := newKey(t, "planted")
		row.plant(w.secret(careless, name, k.value()), k)
		if strings.HasSuffix(row.found, " of a process") && !haveProc(t) {
			continue
		}
		if row.found != "" {
			missing[name] = row.found
		}
	}
	deadline := time.Now().Add(time.Minute) // for the scripts to come up
	for err := w.leaks(); ; err = w.leaks() {
		if err == nil {
			t.Fatal("nothing was found")
		}
		for line := range strings.Lines(err.Error()) {
			maps.DeleteFunc(missing, func(name, found string) bool {
				return strings.Contains(line, found) && strings.Contains(line, "of "+name)
			})
			if strings.Contains(line, "nowhere") {
				t.Fatalf("found what is in the secret store alone: %s", line)
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not found: %q, only\n%v", missing, err)
		}
	}
}

// haveProc reports whether the kernel shows what processes have in their arguments and environments.
func haveProc(t *testing.T) bool {
	t.Helper()
	_, err := os.Stat("/proc/self/environ")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	return err == nil
}
