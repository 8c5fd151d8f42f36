package lab_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	engine "github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// rotator is a rotation function that stores the token as the new value.
var rotator string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rotator")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rotator = filepath.Join(dir, "rotator")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", rotator, "./testdata/rotator")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	return m.Run()
}

func start(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// operator returns a client with what the lab exports.
func operator(t *testing.T, l *lab.Lab) *secretsmanager.Client {
	t.Helper()
	return secretsmanager.NewFromConfig(clientConfig(t, l))
}

func clientConfig(t *testing.T, l *lab.Lab) aws.Config {
	t.Helper()
	env := map[string]string{}
	for _, v := range l.Env() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	c, err := config.LoadDefaultConfig(t.Context(),
		config.WithRegion(env["AWS_REGION"]),
		config.WithBaseEndpoint(env["AWS_ENDPOINT_URL"]),
		config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: env["AWS_ACCESS_KEY_ID"], SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"]}, nil
		})))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func function() lambda.Function {
	return lambda.Function{Name: "rotate", Command: []string{rotator}, Timeout: time.Minute, Role: "rotate-role"}
}

// TestRotation rotates a secret with a real function process: Secrets Manager
// invokes it, and it calls Secrets Manager under its own name.
func TestRotation(t *testing.T) {
	t.Parallel()
	events := make(chan engine.Event, 100)
	l := start(t, lab.Options{
		Dir:       t.TempDir(),
		Functions: []lambda.Function{function()},
		Emit:      func(e engine.Event) { events <- e },
	})
	sm := operator(t, l)
	created, err := sm.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("ssh"), SecretString: aws.String("first")})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := sm.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: created.ARN, RotationLambdaARN: aws.String(l.Lambda().ARN("rotate")),
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Secrets().Wait()
	value, err := sm.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: created.ARN})
	if err != nil {
		t.Fatal(err)
	}
	if *value.VersionId != *rotated.VersionId || *value.SecretString != "value of "+*rotated.VersionId {
		log, _ := l.Lambda().Logs("rotate")
		t.Errorf("AWSCURRENT is %s %q, want that of the rotation %s; the function says:\n%s", *value.VersionId, *value.SecretString, *rotated.VersionId, log)
	}
	callers := map[string]bool{}
	for _, c := range l.Front().Calls() {
		callers[c.Action+" by "+c.Caller.ARN] = true
	}
	const (
		operator = "arn:aws:iam::111122223333:user/operator"
		session  = "arn:aws:sts::111122223333:assumed-role/rotate-role/rotate"
	)
	want := map[string]bool{
		"CreateSecret by " + operator: true, "RotateSecret by " + operator: true, "GetSecretValue by " + operator: true,
		"DescribeSecret by " + session: true, "PutSecretValue by " + session: true, "UpdateSecretVersionStage by " + session: true,
	}
	if diff := cmp.Diff(want, callers); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	var names []string
	for len(names) < 2 {
		select {
		case e := <-events:
			if e.Name != engine.SecretLabelUpdated {
				names = append(names, e.Name)
			}
		case <-t.Context().Done():
			t.Fatalf("events %q, want two", names)
		}
	}
	if want := []string{engine.RotationStarted, engine.RotationSucceeded}; !cmp.Equal(want, names) {
		t.Errorf("events %q, want %q", names, want)
	}
}

// TestKillAtACall kills the function while Secrets Manager serves its call.
func TestKillAtACall(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Options{Dir: t.TempDir(), Functions: []lambda.Function{function()}, Retries: 1})
	sm := operator(t, l)
	created, err := sm.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("ssh"), SecretString: aws.String("first")})
	if err != nil {
		t.Fatal(err)
	}
	l.Front().Inject(wire.Fault{
		Match: wire.Action("secretsmanager", "PutSecretValue"), Times: 1,
		Do: func(context.Context, wire.Request) error { l.Lambda().Kill("rotate"); return wire.ErrDropped },
	})
	if _, err := sm.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: created.ARN, RotationLambdaARN: aws.String(l.Lambda().ARN("rotate")),
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)},
	}); err != nil {
		t.Fatal(err)
	}
	l.Secrets().Wait()
	log, err := l.Lambda().Logs("rotate")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "Runtime exited with error: signal: killed") {
		t.Errorf("log %s, want the kill", log)
	}
	if n := l.Front().Counts()["secretsmanager:PutSecretValue"]; n != 2 {
		t.Errorf("PutSecretValue was called %d times, want the retry to call it again", n)
	}
}

// TestClose is not parallel: it looks at all goroutines of this process.
func TestClose(t *testing.T) {
	dir := t.TempDir()
	l, err := lab.Start(t.Context(), lab.Options{Dir: dir, Functions: []lambda.Function{function()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Lambda().Invoke(t.Context(), "rotate", nil); err != nil {
		t.Fatal(err)
	}
	processes := l.Lambda().Processes()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, p := range processes {
		if err := syscall.Kill(p.PID, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: %v, want none", p.PID, err)
		}
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(l.URL(), "http://")); err == nil {
		t.Error("something listens where the lab did")
		_ = c.Close()
	}
	left := goroutines()
	for deadline := time.Now().Add(10 * time.Second); left != "" && time.Now().Before(deadline); left = goroutines() {
		runtime.Gosched() // one that has nothing left to do may still be about to end
	}
	if left != "" {
		t.Errorf("goroutines are left:\n%s", left)
	}
	again, err := lab.Start(t.Context(), lab.Options{Dir: dir})
	if err != nil {
		t.Fatalf("the folder cannot be used again: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// goroutines returns the stacks of those that the lab started.
func goroutines() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(g, "keytrail/deploy/lab") && !strings.Contains(g, "testing.tRunner(") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

func TestEndOfTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := lab.Start(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := l.Close(); err != nil { // waits for the end, whoever began it
		t.Error(err)
	}
	if _, err := os.Stat(l.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary folder: %v, want it gone", err)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, lab.Options{Dir: dir})
	tests := []struct {
		name    string
		options lab.Options
		want    string
	}{
		{"an address that others can reach", lab.Options{Address: "0.0.0.0:0"}, "loopback only"},
		{"a folder that another lab has", lab.Options{Dir: dir}, "another lab runs in the folder"},
		{"a function that does not exist", lab.Options{Functions: []lambda.Function{{Name: "none", Command: []string{"/none"}}}}, "function none"},
		{"a limit without a service", lab.Options{Throttle: map[string]float64{"SendCommand": 5}}, "throttle SendCommand"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := lab.Start(t.Context(), tt.options)
			if err == nil {
				_ = l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	stopped := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	l := start(t, lab.Options{
		Now:      func() time.Time { return stopped },
		Throttle: map[string]float64{"secretsmanager:ListSecrets": 2},
	})
	sm := operator(t, l)
	once := func(o *secretsmanager.Options) { o.RetryMaxAttempts = 1 }
	for n := range 3 {
		_, err := sm.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{}, once)
		throttled := err != nil && strings.Contains(err.Error(), "ThrottlingException")
		if throttled != (n == 2) {
			t.Errorf("call %d: %v, want the third of a limit of two to be throttled", n+1, err)
		}
	}
}

func TestExports(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Options{Region: "eu-west-1"})
	sh := exec.Command("/bin/sh", "-c", `eval "$1"; env`, "sh", strings.Join(l.Exports(), "\n"))
	sh.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "AWS_") {
			got[strings.TrimSpace(line)] = true
		}
	}
	want := map[string]bool{}
	for _, v := range l.Env() {
		want[v] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || !got["AWS_REGION=eu-west-1"] {
		t.Errorf("environment after eval (-want +got):\n%s", diff)
	}
}
