package e2e

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	engine "github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
)

// The boundary tag of all hosts, and the account that is managed on them.
const (
	boundaryKey   = "Fleet"
	boundaryValue = "e2e"
	user          = "deploy"
)

// The names that functions have in a world.
const (
	keytrail = "keytrail-rotate"
	ancestor = "ancestor"
)

// The staging labels.
const (
	current  = "AWSCURRENT"
	pending  = "AWSPENDING"
	previous = "AWSPREVIOUS"
)

// world is one lab with its fleet, and the operator who looks at it.
type world struct {
	*lab.Lab
	t       testing.TB
	secrets *secretsmanager.Client
	systems *ssm.Client
	seen    *sightings
	traces  *traces
}

// sightings are the service events of a lab, in order.
type sightings struct {
	mu     sync.Mutex
	events []engine.Event
}

// newWorld starts a lab with these hosts. It ends with the test, which fails if anything secret then
// stands outside the secret store.
func newWorld(t testing.TB, hosts []host.Spec, edit ...func(*lab.Options)) *world {
	t.Helper()
	w := startWorld(t, hosts, edit...)
	t.Cleanup(func() {
		if err := w.leaks(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// operator signs what a person does.
var operator = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "lab", "")

// startWorld is newWorld for a world that may leak.
func startWorld(t testing.TB, hosts []host.Spec, edit ...func(*lab.Options)) *world {
	t.Helper()
	w := &world{t: t, seen: &sightings{}, traces: newTraces()}
	o := lab.Options{
		Dir:     t.TempDir(),
		Tools:   toolsProgram,
		Trusted: []string{fleet.Script()},
		Hosts:   hosts,
		Emit: func(e engine.Event) {
			w.traces.emitted(e)
			w.seen.mu.Lock()
			defer w.seen.mu.Unlock()
			w.seen.events = append(w.seen.events, e)
		},
	}
	for _, e := range edit {
		e(&o)
	}
	l, err := lab.Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	stop := running.follow(l.Dir(), l.URL())
	t.Cleanup(func() {
		stop()
		client.CloseIdleConnections()
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	w.Lab = l
	l.Front().Inject(wire.Fault{Do: w.traces.see})
	url := l.URL()
	w.secrets = secretsmanager.New(secretsmanager.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: operator, HTTPClient: client})
	w.systems = ssm.New(ssm.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: operator, HTTPClient: client})
	return w
}

// in returns the world for a subtest.
func (w *world) in(t testing.TB) *world {
	c := *w
	c.t = t
	return &c
}

// node describes the n-th host of a fleet: an EC2 instance inside the boundary, with the managed
// account and its key lines.
func node(n int, keys ...string) host.Spec {
	return host.Spec{
		ID:        fmt.Sprintf("i-%017x", n),
		Name:      fmt.Sprintf("web-%d", n),
		IPAddress: "127.0.0.1",
		Tags:      map[string]string{boundaryKey: boundaryValue},
		Users:     []host.User{{Name: user, Keys: keys}},
	}
}

// nodes describes a fleet of n hosts.
func nodes(n int, keys ...string) []host.Spec {
	list := make([]host.Spec, n)
	for i := range list {
		list[i] = node(i+1, keys...)
	}
	return list
}

// run deploys the product from its template, unless that was done, as the function of that name: a
// stack's name and "-rotate". Role, policies, documents, time-out and environment are the template's; what
// differs in the environment is given as NAME=value. No register is kept.
func (w *world) run(name string, env ...string) {
	w.t.Helper()
	w.configure(name, append([]string{"KEYTRAIL_BUCKET=", "KEYTRAIL_RETENTION="}, env...))
}

// runByHand adds the product as somebody does who follows no template: a function that no policy judges,
// with the document that AWS ships.
func (w *world) runByHand(name string, env ...string) {
	w.t.Helper()
	w.add(lambda.Function{Name: name, Command: []string{rotateProgram}, Aliases: []string{rotate.ActionAlias}}, env)
}

// configure is run with a register.
func (w *world) configure(name string, env []string) {
	w.t.Helper()
	stack := strings.TrimSuffix(name, "-rotate")
	s := w.CloudFormation().Stack(stack)
	if s == nil {
		var err error
		s, err = w.Deploy(w.t.Context(), cloudformation.Spec{
			Name: stack, Template: w.template(),
			Parameters: map[string]string{
				"Users": user, "TagName": boundaryKey, "TagValue": boundaryValue, "BucketName": bucketOf(stack), "Watch": "false",
			},
			Programs: map[string][]string{"Rotate": {rotateProgram}},
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	f, ok := w.Lambda().Function(name)
	if !ok {
		w.t.Fatalf("the stack %s has no function %s", stack, name)
	}
	w.add(f, append(environment(w.t, s), env...))
}

// template is the one that ships.
func (w *world) template() []byte {
	w.t.Helper()
	text, err := os.ReadFile("../template.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// environment is that of the function in a stack, as NAME=value.
func environment(t testing.TB, s *cloudformation.Stack) []string {
	t.Helper()
	text, err := json.Marshal(s.Properties("Rotate"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Environment struct{ Variables map[string]string }
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(p.Environment.Variables)) {
		list = append(list, name+"="+p.Environment.Variables[name])
	}
	return list
}

// runAncestor adds the negative control.
func (w *world) runAncestor(env ...string) {
	w.t.Helper()
	addresses := map[string]string{}
	for _, h := range w.Hosts() {
		if strings.HasPrefix(h.ID(), "i-") {
			addresses[h.ID()] = h.Address()
		}
	}
	text, err := json.Marshal(addresses)
	if err != nil {
		w.t.Fatal(err)
	}
	w.add(lambda.Function{Name: ancestor, Command: []string{ancestorProgram}, Aliases: []string{rotate.ActionAlias}}, append([]string{"ADDRESSES=" + string(text)}, env...))
}

// add adds a function. The name TIMEOUT in env is its time-out.
func (w *world) add(f lambda.Function, env []string) {
	w.t.Helper()
	f.Timeout = 15 * time.Minute // however busy the machine is
	f.Env = map[string]string{
		"USERNAME": user, "TAGNAME": boundaryKey, "TAGVALUE": boundaryValue,
		"AWS_LAMBDA_LOG_FORMAT": "JSON", // as Lambda sets it for a function whose LogFormat that is
	}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case name == "TIMEOUT":
			var err error
			if f.Timeout, err = time.ParseDuration(value); err != nil {
				w.t.Fatal(err)
			}
		case value == "":
			delete(f.Env, name)
		default:
			f.Env[name] = value
		}
	}
	if err := w.AddFunction(f); err != nil {
		w.t.Fatal(err)
	}
}

// hurry gives a function little time from now on, but as much as a busy machine needs for a step that
// has nothing to wait for.
func (w *world) hurry(function string, env ...string) {
	w.t.Helper()
	env = append([]string{"TIMEOUT=12s"}, env...)
	if function == ancestor {
		w.runAncestor(env...)
		return
	}
	w.run(function, env...)
}

// log returns everything that a function logged.
func (w *world) log(function string) string {
	w.t.Helper()
	text, err := w.Lambda().Logs(function)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// line is one structured line of the product's log.
type line struct {
	Level       string         `json:"level"`
	Message     string         `json:"message"`
	Step        string         `json:"step"`
	SecretARN   string         `json:"secretArn"`
	Version     string         `json:"version"`
	Fingerprint string         `json:"fingerprint"`
	Hosts       int            `json:"hosts"`
	States      map[string]int `json:"states"`
	CommandIDs  []string       `json:"commandIds"`
	InstanceID  string         `json:"instanceId"`
	User        string         `json:"user"`
	State       string         `json:"state"`
	Reason      string         `json:"reason"`
	CommandID   string         `json:"commandId"`
	Note        string         `json:"note"`
	Error       string         `json:"error"`
	Permanent   bool           `json:"permanent"`
	Seconds     *float64       `json:"seconds"`
}

// lines returns the structured lines that a function logged.
func (w *world) lines(function string) []line {
	w.t.Helper()
	var list []line
	for text := range strings.Lines(w.log(function)) {
		var l line
		if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &l) == nil && l.Message != "" {
			list = append(list, l)
		}
	}
	return list
}

// events returns the names of the service events of a secret, without those that a label moved.
func (w *world) events(s secret) []string {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	var names []string
	for _, e := range w.seen.events {
		if e.SecretARN == s.arn && e.Name != engine.SecretLabelUpdated {
			names = append(names, e.Name)
		}
	}
	return names
}

// secret is one secret and the function that rotates it.
type secret struct {
	*world
	name, arn, function string
}

// secret creates a secret with a value, or without any if it is "", and tags as Key=Value.
func (w *world) secret(function, name, value string, tags ...string) secret {
	w.t.Helper()
	in := &secretsmanager.CreateSecretInput{Name: &name}
	if value != "" {
		in.SecretString = &value
	}
	for _, t := range tags {
		k, v, _ := strings.Cut(t, "=")
		in.Tags = append(in.Tags, types.Tag{Key: &k, Value: &v})
	}
	out, err := w.secrets.CreateSecret(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return secret{w, name, aws.ToString(out.ARN), function}
}

// rules turn rotation on; the lab's clock never gets there.
var rules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}

// rotate rotates the secret and waits until Secrets Manager is done with it. The error is what the
// function said, unless the new version is AWSCURRENT and all steps succeeded.
func (s secret) rotate() (version string, err error) {
	s.t.Helper()
	return s.rotateAs("")
}

// rotateAs is rotate with a client request token, which becomes the version.
func (s secret) rotateAs(token string) (version string, err error) {
	s.t.Helper()
	in := &secretsmanager.RotateSecretInput{
		SecretId: &s.arn, RotationLambdaARN: aws.String(s.Lambda().ARN(s.function)), RotationRules: rules,
	}
	if token != "" {
		in.ClientRequestToken = &token
	}
	before := len(s.events(s))
	out, err := s.secrets.RotateSecret(s.t.Context(), in)
	if err != nil {
		return "", fmt.Errorf("start rotation: %w", err)
	}
	s.Secrets().Wait()
	version = aws.ToString(out.VersionId)
	if events := s.events(s)[before:]; !slices.Equal(events, []string{engine.RotationStarted, engine.RotationSucceeded}) {
		return version, fmt.Errorf("events %q: %w", events, s.complaint())
	}
	return version, nil
}

// mustRotate is rotate for what must succeed.
func (s secret) mustRotate() (version string) {
	s.t.Helper()
	version, err := s.rotate()
	if err != nil {
		s.t.Fatal(err)
	}
	return version
}

// check has the function test the current version, as RotateImmediately=false does.
func (s secret) check() error {
	s.t.Helper()
	before := len(s.events(s))
	if _, err := s.secrets.RotateSecret(s.t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: &s.arn, RotationLambdaARN: aws.String(s.Lambda().ARN(s.function)), RotationRules: rules, RotateImmediately: aws.Bool(false),
	}); err != nil {
		return fmt.Errorf("start the test of a rotation: %w", err)
	}
	s.Secrets().Wait()
	if events := s.events(s)[before:]; !slices.Contains(events, engine.TestRotationSucceeded) {
		return fmt.Errorf("events %q: %w", events, s.complaint())
	}
	return nil
}

// complaint is the last thing that the function logged about the secret as an error, or else the end
// of its log.
func (s secret) complaint() error {
	s.t.Helper()
	for _, l := range slices.Backward(s.lines(s.function)) {
		if l.Error != "" && (l.SecretARN == s.arn || l.SecretARN == "") {
			return errors.New(l.Step + ": " + l.Error)
		}
	}
	log := s.log(s.function)
	return errors.New(log[max(0, len(log)-2000):])
}

// begin starts a rotation that stops before its first step has done anything, and returns its version:
// its steps can be run one by one.
func (s secret) begin() (version string) {
	s.t.Helper()
	return s.beginAs("")
}

// beginAs is begin with a client request token.
func (s secret) beginAs(token string) (version string) {
	s.t.Helper()
	remove := s.Front().Inject(wire.Fault{
		Match: func(r wire.Request) bool {
			return r.Action == "DescribeSecret" && byFunction(r) && strings.Contains(string(r.Body), s.arn)
		},
		Times: 1,
		Do:    wire.Deny,
	})
	defer remove()
	version, err := s.rotateAs(token)
	if version == "" || err == nil {
		s.t.Fatalf("begin a rotation: version %q, %v", version, err)
	}
	return version
}

// byFunction matches calls that a function made.
func byFunction(r wire.Request) bool { return strings.Contains(r.Caller.ARN, ":assumed-role/") }

// step runs one step of a rotation. The error is the function's.
func (s secret) step(step, version string) error {
	s.t.Helper()
	return s.invoke(map[string]string{"Step": step, "SecretId": s.arn, "ClientRequestToken": version})
}

// until runs the steps before this one.
func (s secret) until(step, version string) {
	s.t.Helper()
	for _, before := range steps[:slices.Index(steps, step)] {
		if err := s.step(before, version); err != nil {
			s.t.Fatalf("%s: %v", before, err)
		}
	}
}

// invoke invokes the secret's function.
func (s secret) invoke(event any) error {
	s.t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.through("", payload)
	return err
}

// through invokes the secret's function by its own name, or by ":" and an alias. The error is the
// function's.
func (s secret) through(alias string, event []byte) (answer []byte, err error) {
	s.t.Helper()
	result, err := s.Lambda().Invoke(s.t.Context(), s.function+alias, event)
	if err != nil {
		s.t.Fatal(err)
	}
	s.traces.note("the answer of a function", string(result.Payload))
	if result.FunctionError == "" {
		return result.Payload, nil
	}
	var e struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(result.Payload, &e); err != nil {
		s.t.Fatalf("error of the function: %s", result.Payload)
	}
	return nil, errors.New(cmp.Or(e.ErrorMessage, e.ErrorType))
}

// labels returns the labels of each version, sorted; versions without one are left out.
func (s secret) labels() map[string][]string {
	s.t.Helper()
	out, err := s.secrets.DescribeSecret(s.t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &s.arn})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, labels := range out.VersionIdsToStages {
		slices.Sort(labels)
	}
	return out.VersionIdsToStages
}

// holder returns the version that has a label, or "".
func (s secret) holder(label string) string {
	s.t.Helper()
	for version, labels := range s.labels() {
		if slices.Contains(labels, label) {
			return version
		}
	}
	return ""
}

// text returns the value of the version that has a label.
func (s secret) text(label string) string {
	s.t.Helper()
	out, err := s.secrets.GetSecretValue(s.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &s.arn, VersionStage: &label})
	if err != nil {
		s.t.Fatal(err)
	}
	return aws.ToString(out.SecretString)
}

// put stores a value in a new version with these labels, and returns its id.
func (s secret) put(value string, labels ...string) (version string) {
	s.t.Helper()
	out, err := s.secrets.PutSecretValue(s.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &s.arn, SecretString: &value, VersionStages: labels})
	if err != nil {
		s.t.Fatal(err)
	}
	return aws.ToString(out.VersionId)
}

// delete deletes the secret, beyond recovery.
func (s secret) delete() {
	s.t.Helper()
	_, err := s.secrets.DeleteSecret(s.t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &s.arn, ForceDeleteWithoutRecovery: aws.Bool(true)})
	if err != nil {
		s.t.Fatal(err)
	}
}

// key returns the key pair of the version that has a label.
func (s secret) key(label string) key {
	s.t.Helper()
	k, err := parseKey(s.text(label))
	if err != nil {
		s.t.Fatalf("%s of %s: %v", label, s.name, err)
	}
	return k
}

// key is a key pair as its owner has it.
type key struct {
	signer  ssh.Signer
	line    string // of authorized_keys
	private string // PEM
}

// parseKey reads the key pair in a secret's value with another reader than the product's.
func parseKey(value string) (key, error) {
	var pair struct{ PublicKey, PrivateKey string }
	if err := json.Unmarshal([]byte(value), &pair); err != nil {
		return key{}, err
	}
	signer, err := ssh.ParsePrivateKey([]byte(pair.PrivateKey))
	if err != nil {
		return key{}, err
	}
	public, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(pair.PublicKey))
	if err != nil {
		return key{}, err
	}
	if len(rest) > 0 || !slices.Equal(public.Marshal(), signer.PublicKey().Marshal()) {
		return key{}, errors.New("the two halves do not belong together")
	}
	return key{signer, pair.PublicKey, pair.PrivateKey}, nil
}

// newKey makes a key pair by hand, as people did before they had Keytrail.
func newKey(t testing.TB, comment string) key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(p)), "\n") + " " + comment
	return key{signer, line, string(pem.EncodeToMemory(block))}
}

// value is the key pair as a secret's value, with other members as name, JSON.
func (k key) value(others ...string) string {
	members := map[string]json.RawMessage{}
	for i := 0; i < len(others); i += 2 {
		members[others[i]] = json.RawMessage(others[i+1])
	}
	members["PublicKey"], _ = json.Marshal(k.line)
	members["PrivateKey"], _ = json.Marshal(k.private)
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // members as they are
	if err := e.Encode(members); err != nil {
		panic(err) // the caller's own JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// fingerprint identifies the key.
func (k key) fingerprint() string { return ssh.FingerprintSHA256(k.signer.PublicKey()) }

// blob is the second field of the key's line, which is the key itself.
func (k key) blob() string { return strings.Fields(k.line)[1] }

// logsIn says where a key does not log in, though it should.
func logsIn(k key, user string, hosts ...*host.Host) error {
	var errs []error
	for _, h := range hosts {
		if err := h.Login(user, k.signer); err != nil {
			errs = append(errs, fmt.Errorf("%s does not log in as %s on %s: %w", k.fingerprint(), user, h.ID(), err))
		}
	}
	return errors.Join(errs...)
}

// refused says where a key is not refused by the host's own word.
func refused(k key, user string, hosts ...*host.Host) error {
	var errs []error
	for _, h := range hosts {
		if h.Login(user, k.signer) == nil {
			errs = append(errs, fmt.Errorf("%s logs in as %s on %s", k.fingerprint(), user, h.ID()))
			continue
		}
		heard := slices.ContainsFunc(h.Logins(), func(l host.Login) bool {
			return l.Fingerprint == k.fingerprint() && l.User == user && !l.Accepted
		})
		if !heard {
			errs = append(errs, fmt.Errorf("%s did not refuse %s: it was never asked", h.ID(), k.fingerprint()))
		}
	}
	return errors.Join(errs...)
}

// keyFile returns what stands in the account's authorized_keys; "" when there is none.
func keyFile(t testing.TB, h *host.Host, user string) string {
	t.Helper()
	b, err := os.ReadFile(h.AuthorizedKeys(user))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// write puts a file on a host, below the account's home.
func write(t testing.TB, h *host.Host, user, name, content string) {
	t.Helper()
	path := h.Path("/home/" + user + "/" + name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// homes returns every file below the homes of hosts, with what a change of it would change.
func homes(t testing.TB, hosts ...*host.Host) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, h := range hosts {
		root := h.Path("/home")
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			content := []byte("link")
			if info.Mode().IsRegular() {
				if content, err = os.ReadFile(path); err != nil {
					return err
				}
			}
			name, err := filepath.Rel(root, path)
			files[h.ID()+":"+name] = fmt.Sprintf("%s %s\n%s", info.Mode(), info.ModTime().Format(time.RFC3339Nano), content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// says reports whether an error's text has all of these words in it.
func says(err error, words ...string) error {
	if err == nil {
		return errors.New("no error at all")
	}
	var missing []string
	for _, w := range words {
		if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(w)) {
			missing = append(missing, w)
		}
	}
	if missing != nil {
		return fmt.Errorf("the error does not say %q: %w", missing, err)
	}
	return nil
}
