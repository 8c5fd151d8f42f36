package secretsmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const functionARN = "arn:aws:lambda:us-east-1:111122223333:function:rotate"

// monday is the day on which the tests begin.
var monday = time.Date(2026, 11, 2, 9, 30, 15, 250e6, time.UTC)

// lab is a service behind a front, the real SDK as its client, a clock that is
// set by hand, and a rotation function in this process.
type lab struct {
	*api.Client
	t        *testing.T
	service  *secretsmanager.Service
	function *function

	mu     sync.Mutex
	now    time.Time
	events []string
}

func newLab(t *testing.T, change ...func(*secretsmanager.Options)) *lab {
	t.Helper()
	l := &lab{t: t, now: monday, function: &function{}}
	o := secretsmanager.Options{
		Seed: 1, Now: l.clock, Invoker: l.function, Emit: l.note,
		MayInvoke: func(arn, _ string) bool { return arn == functionARN },
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if l.service, err = secretsmanager.New(o); err != nil {
		t.Fatal(err)
	}
	front := wire.New(wire.Options{Now: l.clock})
	front.Handle("secretsmanager", l.service)
	server := httptest.NewServer(front)
	t.Cleanup(func() {
		l.service.Close()
		server.Close()
	})
	l.Client = api.New(api.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
	})
	l.function.client = l.Client
	return l
}

func (l *lab) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// advance moves the clock and does what is due.
func (l *lab) advance(d time.Duration) {
	l.mu.Lock()
	l.now = l.now.Add(d)
	l.mu.Unlock()
	l.service.Tick(l.clock())
	l.service.Wait()
}

func (l *lab) note(e secretsmanager.Event) {
	text := e.Name
	if e.Label != "" {
		text += " " + e.Label
	}
	if e.ErrorMessage != "" {
		text += ": " + e.ErrorMessage
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, text)
}

// rotationEvents returns the events so far, label updates left out.
func (l *lab) rotationEvents() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.events), func(e string) bool { return strings.HasPrefix(e, "Secret Label") })
}

// function is a rotation function that keeps the contract, unless a step is
// replaced.
type function struct {
	client  *api.Client
	replace map[string]func(event) error

	mu     sync.Mutex
	events []event
	raw    []string
}

type event struct{ Step, SecretId, ClientRequestToken, RotationToken string }

func (f *function) Invoke(_ context.Context, arn string, payload []byte) (secretsmanager.InvokeResult, error) {
	if arn != functionARN {
		return secretsmanager.InvokeResult{}, fmt.Errorf("no function %s", arn)
	}
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return secretsmanager.InvokeResult{}, err
	}
	f.mu.Lock()
	f.events, f.raw = append(f.events, e), append(f.raw, string(payload))
	f.mu.Unlock()
	do := f.replace[e.Step]
	if do == nil {
		do = f.keep
	}
	if err := do(e); err != nil {
		return secretsmanager.InvokeResult{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"no"}`)}, nil
	}
	return secretsmanager.InvokeResult{Payload: []byte("null")}, nil
}

// keep does what AWS's own templates do.
func (f *function) keep(e event) error {
	ctx := context.Background()
	switch e.Step {
	case "createSecret":
		_, err := f.client.GetSecretValue(ctx, &api.GetSecretValueInput{SecretId: &e.SecretId, VersionId: &e.ClientRequestToken, VersionStage: aws.String("AWSPENDING")})
		if code(err) != "ResourceNotFoundException" {
			return err
		}
		_, err = f.client.PutSecretValue(ctx, &api.PutSecretValueInput{
			SecretId: &e.SecretId, ClientRequestToken: &e.ClientRequestToken, SecretString: aws.String("made for " + e.ClientRequestToken),
			VersionStages: []string{"AWSPENDING"}, RotationToken: &e.RotationToken,
		})
		return err
	case "testSecret":
		_, err := f.client.GetSecretValue(ctx, &api.GetSecretValueInput{SecretId: &e.SecretId, VersionId: &e.ClientRequestToken, VersionStage: aws.String("AWSPENDING")})
		return err
	case "finishSecret":
		d, err := f.client.DescribeSecret(ctx, &api.DescribeSecretInput{SecretId: &e.SecretId})
		if err != nil {
			return err
		}
		var from *string
		for id, labels := range d.VersionIdsToStages {
			if slices.Contains(labels, "AWSCURRENT") {
				if id == e.ClientRequestToken {
					return nil
				}
				from = &id
			}
		}
		_, err = f.client.UpdateSecretVersionStage(ctx, &api.UpdateSecretVersionStageInput{
			SecretId: &e.SecretId, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &e.ClientRequestToken, RemoveFromVersionId: from,
		})
		return err
	}
	return nil
}

// steps returns the steps that were run so far.
func (f *function) steps() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, e := range f.events {
		list = append(list, strings.TrimSuffix(e.Step, "Secret"))
	}
	return strings.Join(list, " ")
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// said words an error as "Code: message"; "" for nil.
func said(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return strings.TrimSuffix(e.ErrorCode()+": "+e.ErrorMessage(), ": ")
	}
	return err.Error()
}

// id is the token, and so the version id, that the tests call by a number.
func id(n int) *string { return aws.String(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)) }

// create makes the secret "alice" with the value "one" under token 1.
func (l *lab) create() {
	l.t.Helper()
	must(l.CreateSecret(l.t.Context(), &api.CreateSecretInput{Name: aws.String("alice"), ClientRequestToken: id(1), SecretString: aws.String("one")}))
}

func (l *lab) put(n int, value string, labels ...string) (*api.PutSecretValueOutput, error) {
	return l.PutSecretValue(l.t.Context(), &api.PutSecretValueInput{
		SecretId: aws.String("alice"), ClientRequestToken: id(n), SecretString: &value, VersionStages: labels,
	})
}

func (l *lab) move(label string, to, from *string) error {
	_, err := l.UpdateSecretVersionStage(l.t.Context(), &api.UpdateSecretVersionStageInput{
		SecretId: aws.String("alice"), VersionStage: &label, MoveToVersionId: to, RemoveFromVersionId: from,
	})
	return err
}

// rotate asks for a rotation with token n and waits until it is over.
func (l *lab) rotate(n int) error {
	_, err := l.RotateSecret(l.t.Context(), &api.RotateSecretInput{
		SecretId: aws.String("alice"), ClientRequestToken: id(n), RotationLambdaARN: aws.String(functionARN),
	})
	l.service.Wait()
	return err
}

func (l *lab) describe() *api.DescribeSecretOutput {
	l.t.Helper()
	return must(l.DescribeSecret(l.t.Context(), &api.DescribeSecretInput{SecretId: aws.String("alice")}))
}

// labels words the labels of alice's versions: "1:AWSPREVIOUS 2:AWSCURRENT+AWSPENDING".
func (l *lab) labels() string {
	l.t.Helper()
	var list []string
	for id, labels := range l.describe().VersionIdsToStages {
		n, err := strconv.Atoi(id[24:])
		name := strconv.Itoa(n)
		if err != nil {
			name = "?"
		}
		list = append(list, name+":"+strings.Join(labels, "+"))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// must is for calls that the test does not doubt.
func must[O any](out O, err error) O {
	if err != nil {
		panic(err)
	}
	return out
}
