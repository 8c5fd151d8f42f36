package secretsmanager_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// counting is a function that always fails.
type counting struct{ n atomic.Int32 }

func (c *counting) Invoke(context.Context, string, []byte) (secretsmanager.InvokeResult, error) {
	c.n.Add(1)
	return secretsmanager.InvokeResult{FunctionError: "Unhandled"}, nil
}

// direct calls a service without HTTP.
func direct(t *testing.T, s *secretsmanager.Service, action, body string) {
	t.Helper()
	if _, err := s.Serve(t.Context(), wire.Request{Action: action, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

// A lab that is started again has the secrets that it had, in files that only
// their owner can read.
func TestStoreIsFoundAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	in := func(o *secretsmanager.Options) { o.Dir = dir }
	first := newLab(t, in)
	first.create()
	must(first.TagResource(t.Context(), &api.TagResourceInput{SecretId: alice, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}))
	if err := first.rotate(2); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x/", 250)
	must(first.CreateSecret(t.Context(), &api.CreateSecretInput{Name: &long, SecretBinary: []byte{0, 255}}))

	second := newLab(t, in)
	if diff := cmp.Diff(first.describe(), second.describe(), cmpopts.IgnoreUnexported(api.DescribeSecretOutput{}, types.Tag{}), cmpopts.IgnoreFields(api.DescribeSecretOutput{}, "ResultMetadata")); diff != "" {
		t.Errorf("alice after a restart (-want +got):\n%s", diff)
	}
	v := must(second.GetSecretValue(t.Context(), &api.GetSecretValueInput{SecretId: &long}))
	if string(v.SecretBinary) != "\x00\xff" {
		t.Errorf("value after a restart = %q", v.SecretBinary)
	}
	files := must(os.ReadDir(dir))
	if len(files) != 2 {
		t.Errorf("%d files for two secrets", len(files))
	}
	for _, f := range files {
		info := must(f.Info())
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
		if strings.HasPrefix(f.Name(), "alice-") && !json.Valid(must(os.ReadFile(filepath.Join(dir, f.Name())))) {
			t.Errorf("%s is not JSON", f.Name())
		}
	}
	if got := must(os.Stat(dir)).Mode().Perm(); got != 0o700 {
		t.Errorf("the folder has mode %v", got)
	}
}

// A rotation that was cut off by the end of the lab goes on at the next Tick;
// a test that was is undone.
func TestRestartDuringARotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(o *secretsmanager.Options) { o.Dir = dir }
	first := newLab(t, in)
	first.create()
	reached, release := make(chan struct{}), make(chan struct{})
	first.function.replace = map[string]func(event) error{"setSecret": func(event) error {
		close(reached)
		<-release
		return errNo
	}}
	go func() { _ = first.rotate(2) }()
	<-reached
	second := newLab(t, in) // what a killed lab leaves behind
	close(release)
	first.service.Close()
	second.advance(time.Second)
	if got := second.function.steps() + " " + second.labels(); got != "create set test finish 1:AWSPREVIOUS 2:AWSCURRENT+AWSPENDING" {
		t.Errorf("after the restart: %s", got)
	}

	third := newLab(t, in)
	reached, release = make(chan struct{}), make(chan struct{})
	third.function.replace = map[string]func(event) error{"testSecret": func(event) error {
		close(reached)
		<-release
		return nil
	}}
	done := make(chan error, 1)
	go func() {
		_, err := third.RotateSecret(t.Context(), &api.RotateSecretInput{SecretId: alice, RotateImmediately: aws.Bool(false)})
		done <- err
	}()
	select {
	case <-reached:
	case err := <-done:
		t.Fatalf("the test ended before it was cut off: %v", err)
	}
	fourth := newLab(t, in)
	if got := fourth.labels(); got != "1:AWSPREVIOUS 2:AWSCURRENT" {
		t.Errorf("labels after a test was cut off: %s", got)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStoreThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte(`{"ARN": "private`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := secretsmanager.New(secretsmanager.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "bad.json") || strings.Contains(err.Error(), "private") {
		t.Errorf("error = %v", err)
	}
}

// A change that cannot be stored did not happen.
func TestStoreThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	l := newLab(t, func(o *secretsmanager.Options) { o.Dir = dir })
	l.create()
	if err := os.Rename(dir, dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	_, err := l.put(2, "two")
	if code(err) != "InternalServiceError" {
		t.Errorf("error = %v", err)
	}
	if got := l.labels(); got != "1:AWSCURRENT" {
		t.Errorf("labels = %s", got)
	}
	if len(l.events) != 1 {
		t.Errorf("events = %v", l.events)
	}
}

// What was deleted for good leaves no file.
func TestDeletion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLab(t, func(o *secretsmanager.Options) { o.Dir, o.Linger = dir, 5*time.Second })
	l.create()
	arn := *l.describe().ARN
	out := must(l.DeleteSecret(t.Context(), &api.DeleteSecretInput{SecretId: alice, RecoveryWindowInDays: aws.Int64(7)}))
	if want := monday.AddDate(0, 0, 7); !out.DeletionDate.Equal(want) || !l.describe().DeletedDate.Equal(want) {
		t.Errorf("DeletionDate = %v, DeletedDate = %v, want %v", out.DeletionDate, l.describe().DeletedDate, want)
	}
	must(l.RestoreSecret(t.Context(), &api.RestoreSecretInput{SecretId: alice}))
	must(l.GetSecretValue(t.Context(), &api.GetSecretValueInput{SecretId: alice}))
	if l.describe().DeletedDate != nil {
		t.Error("a restored secret has a date of deletion")
	}

	must(l.DeleteSecret(t.Context(), &api.DeleteSecretInput{SecretId: alice}))
	must(l.DeleteSecret(t.Context(), &api.DeleteSecretInput{SecretId: alice, ForceDeleteWithoutRecovery: aws.Bool(true)}))
	if l.describe().DeletedDate == nil {
		t.Error("a secret that was deleted by force does not linger")
	}
	if _, err := l.RestoreSecret(t.Context(), &api.RestoreSecretInput{SecretId: alice}); code(err) != "ResourceNotFoundException" {
		t.Errorf("restoring it: %v", err)
	}
	again := must(l.CreateSecret(t.Context(), &api.CreateSecretInput{Name: alice}))
	if *again.ARN == arn {
		t.Error("the new secret has the old one's ARN")
	}
	l.advance(5 * time.Second)
	if _, err := l.DescribeSecret(t.Context(), &api.DescribeSecretInput{SecretId: &arn}); code(err) != "ResourceNotFoundException" {
		t.Errorf("describing it later: %v", err)
	}
	must(l.DeleteSecret(t.Context(), &api.DeleteSecretInput{SecretId: alice}))
	l.advance(30 * 24 * time.Hour)
	if files := must(os.ReadDir(dir)); len(files) > 0 {
		t.Errorf("%s is left", files[0].Name())
	}
	want := []string{
		"StartSecretVersionDelete", "CancelSecretVersionDelete", "StartSecretVersionDelete", "StartSecretVersionDelete", "EndSecretVersionDelete",
		"StartSecretVersionDelete", "EndSecretVersionDelete",
	}
	if diff := cmp.Diff(want, l.rotationEvents()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
