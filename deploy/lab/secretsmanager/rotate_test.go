package secretsmanager_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
)

var errNo = errors.New("no")

func no(event) error { return errNo }

// A rotation shows each step the state that was recorded on AWS.
func TestRotation(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	var seen []string
	l.function.replace = map[string]func(event) error{}
	for _, step := range []string{"createSecret", "setSecret", "testSecret", "finishSecret"} {
		l.function.replace[step] = func(e event) error {
			_, err := l.GetSecretValue(t.Context(), &api.GetSecretValueInput{SecretId: &e.SecretId, VersionStage: aws.String("AWSPENDING")})
			seen = append(seen, step+" "+l.labels()+" "+code(err))
			return l.function.keep(e)
		}
	}
	out := must(l.RotateSecret(t.Context(), &api.RotateSecretInput{SecretId: alice, ClientRequestToken: id(2), RotationLambdaARN: aws.String(functionARN)}))
	if *out.VersionId != *id(2) {
		t.Errorf("VersionId = %s, want the token", *out.VersionId)
	}
	l.service.Wait()

	want := []string{
		"createSecret 1:AWSCURRENT 2:AWSPENDING ResourceNotFoundException",
		"setSecret 1:AWSCURRENT 2:AWSPENDING ",
		"testSecret 1:AWSCURRENT 2:AWSPENDING ",
		"finishSecret 1:AWSCURRENT 2:AWSPENDING ",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("what the steps saw (-want +got):\n%s", diff)
	}
	if got, want := l.labels(), "1:AWSPREVIOUS 2:AWSCURRENT+AWSPENDING"; got != want {
		t.Errorf("labels = %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{"RotationStarted", "RotationSucceeded"}, l.rotationEvents()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	d := l.describe()
	if !*d.RotationEnabled || *d.RotationLambdaARN != functionARN || !d.LastRotatedDate.Equal(monday) || d.NextRotationDate != nil {
		t.Errorf("after the rotation: %+v", d)
	}
	payload := regexp.MustCompile(`^\{"Step":"createSecret","SecretId":"` + *d.ARN + `","ClientRequestToken":"` + *id(2) + `","RotationToken":"[a-zA-Z0-9-]{36}"\}$`)
	if !payload.MatchString(l.function.raw[0]) {
		t.Errorf("payload = %s", l.function.raw[0])
	}
	if l.function.events[0].RotationToken != l.function.events[3].RotationToken {
		t.Error("the rotation token changed between steps")
	}
	if got := said(l.rotate(3)) + l.labels(); got != "2:AWSPREVIOUS 3:AWSCURRENT+AWSPENDING" {
		t.Errorf("a second rotation: %s", got)
	}
}

// A lost reply of RotateSecret is asked for again with the same token.
func TestRotateSecretAgainWithItsToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	for range 2 {
		if err := l.rotate(2); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.function.steps(); got != "create set test finish" {
		t.Errorf("steps = %s", got)
	}
	if got, want := said(l.rotate(1)), "InvalidRequestException"; got[:len(want)] != want {
		t.Errorf("the token of an older version: %s", got)
	}
}

// A secret without a value can be rotated: there is no AWSCURRENT to take the
// label from.
func TestRotationOfASecretWithoutAValue(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	must(l.CreateSecret(t.Context(), &api.CreateSecretInput{Name: alice}))
	if got := said(l.rotate(2)) + l.labels(); got != "2:AWSCURRENT+AWSPENDING" {
		t.Errorf("labels = %s", got)
	}
}

func TestFailedRotation(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"createSecret", "setSecret", "testSecret", "finishSecret"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(o *secretsmanager.Options) { o.Retries = 1 })
			l.create()
			l.function.replace = map[string]func(event) error{step: no}
			if err := l.rotate(2); err != nil {
				t.Fatal(err)
			}
			failed := "RotationFailed: Error when executing lambda " + functionARN + " during " + step + " step"
			if diff := cmp.Diff([]string{"RotationStarted", failed, "RotationStarted", failed}, l.rotationEvents()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if got, want := l.labels(), "1:AWSCURRENT 2:AWSPENDING"; got != want {
				t.Errorf("labels = %s, want %s", got, want)
			}
			if l.describe().LastRotatedDate != nil {
				t.Error("a failed rotation has a date")
			}

			l.function.replace = nil
			if got, want := said(l.rotate(3)), "InvalidRequestException: A previous rotation isn't complete. That rotation will be reattempted."; got != want {
				t.Errorf("rotating again: %s, want %s", got, want)
			}
			if got, want := l.labels(), "1:AWSPREVIOUS 2:AWSCURRENT+AWSPENDING"; got != want {
				t.Errorf("labels after the reattempt = %s, want %s", got, want)
			}
		})
	}
}

// A retry runs all steps again, with the same token.
func TestRetry(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *secretsmanager.Options) { o.Retries = 2 })
	l.create()
	tries := 0
	l.function.replace = map[string]func(event) error{"testSecret": func(event) error {
		if tries++; tries < 3 {
			return errNo
		}
		return nil
	}}
	if err := l.rotate(2); err != nil {
		t.Fatal(err)
	}
	if got, want := l.function.steps(), "create set test create set test create set test finish"; got != want {
		t.Errorf("steps = %s, want %s", got, want)
	}
	for _, e := range l.function.events {
		if e.ClientRequestToken != *id(2) || e.RotationToken != l.function.events[0].RotationToken {
			t.Errorf("%s has other tokens", e.Step)
		}
	}
	if got := l.labels(); got != "1:AWSPREVIOUS 2:AWSCURRENT+AWSPENDING" {
		t.Errorf("labels = %s", got)
	}
}

// A function that does nothing leaves the rotation incomplete.
func TestFunctionThatPromotesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	l.function.replace = map[string]func(event) error{"finishSecret": func(event) error { return nil }}
	if err := l.rotate(2); err != nil {
		t.Fatal(err)
	}
	if got := l.labels(); got != "1:AWSCURRENT 2:AWSPENDING" {
		t.Errorf("labels = %s", got)
	}
	if got := said(l.rotate(3)); got != "InvalidRequestException: A previous rotation isn't complete. That rotation will be reattempted." {
		t.Errorf("rotating again: %s", got)
	}
}

// The step that runs when rotation is cancelled ends as it would have; no
// other follows and nothing is retried.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("the step fails is %t", fails), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(o *secretsmanager.Options) { o.Retries = 5 })
			l.create()
			l.function.replace = map[string]func(event) error{"setSecret": func(e event) error {
				out := must(l.CancelRotateSecret(t.Context(), &api.CancelRotateSecretInput{SecretId: alice}))
				if *out.VersionId != e.ClientRequestToken {
					t.Errorf("VersionId = %s", *out.VersionId)
				}
				if fails {
					return errNo
				}
				return nil
			}}
			must(l.RotateSecret(t.Context(), &api.RotateSecretInput{SecretId: alice, ClientRequestToken: id(2), RotationLambdaARN: aws.String(functionARN),
				RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(7)}}))
			l.service.Wait()
			if got := l.function.steps(); got != "create set" {
				t.Errorf("steps = %s", got)
			}
			if got := l.labels(); got != "1:AWSCURRENT 2:AWSPENDING" {
				t.Errorf("labels = %s", got)
			}
			d := l.describe()
			if *d.RotationEnabled || *d.RotationLambdaARN != functionARN || *d.RotationRules.AutomaticallyAfterDays != 7 || d.NextRotationDate != nil {
				t.Errorf("after cancelling: %+v", d)
			}
			if diff := cmp.Diff([]string{"RotationStarted"}, l.rotationEvents()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			l.advance(30 * 24 * time.Hour)
			if got := l.function.steps(); got != "create set" {
				t.Errorf("steps a month later = %s", got)
			}
		})
	}
}

// A version that somebody else makes during a rotation ends it.
func TestAbandonedRotation(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*lab) error{
		"by PutSecretValue": func(l *lab) error { _, err := l.put(3, "by hand"); return err },
		"by UpdateSecret": func(l *lab) error {
			_, err := l.UpdateSecret(l.t.Context(), &api.UpdateSecretInput{SecretId: alice, ClientRequestToken: id(3), SecretString: aws.String("by hand")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(o *secretsmanager.Options) { o.Retries = 5 })
			l.create()
			l.function.replace = map[string]func(event) error{"setSecret": func(event) error { return write(l) }}
			if err := l.rotate(2); err != nil {
				t.Fatal(err)
			}
			if got := l.function.steps(); got != "create set" {
				t.Errorf("steps = %s", got)
			}
			if got := l.labels(); got != "1:AWSPREVIOUS 3:AWSCURRENT" {
				t.Errorf("labels = %s", got)
			}
			if diff := cmp.Diff([]string{"RotationStarted", "RotationAbandoned"}, l.rotationEvents()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			l.function.replace = nil
			if got := said(l.rotate(4)) + l.labels(); got != "3:AWSPREVIOUS 4:AWSCURRENT+AWSPENDING" {
				t.Errorf("the next rotation: %s", got)
			}
		})
	}
}

// RotateImmediately=false runs testSecret alone, inside the call, with a copy
// of the current value in a version that is gone afterwards.
func TestRotationTest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		step  func(event) error
		event string
	}{
		{nil, "TestRotationSucceeded"},
		{no, "TestRotationFailed: Error when executing lambda " + functionARN + " during testSecret step"},
	} {
		t.Run(test.event, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(o *secretsmanager.Options) { o.Retries = 5 })
			l.create()
			var value, labels string
			l.function.replace = map[string]func(event) error{"testSecret": func(e event) error {
				v := must(l.GetSecretValue(t.Context(), &api.GetSecretValueInput{SecretId: &e.SecretId, VersionId: &e.ClientRequestToken, VersionStage: aws.String("AWSPENDING")}))
				value, labels = *v.SecretString, l.labels()
				if !*l.describe().RotationEnabled {
					t.Error("rotation is off during its test")
				}
				if test.step != nil {
					return test.step(e)
				}
				return nil
			}}
			must(l.RotateSecret(t.Context(), &api.RotateSecretInput{
				SecretId: alice, ClientRequestToken: id(2), RotationLambdaARN: aws.String(functionARN), RotateImmediately: aws.Bool(false),
				RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(7)},
			}))
			if got := l.function.steps(); got != "test" {
				t.Errorf("steps = %s", got)
			}
			if value != "one" || labels != "1:AWSCURRENT 2:AWSPENDING" {
				t.Errorf("the test saw %q, labels %s", value, labels)
			}
			list := must(l.ListSecretVersionIds(t.Context(), &api.ListSecretVersionIdsInput{SecretId: alice, IncludeDeprecated: aws.Bool(true)}))
			if len(list.Versions) != 1 || l.labels() != "1:AWSCURRENT" {
				t.Errorf("%d versions are left, labels %s", len(list.Versions), l.labels())
			}
			if diff := cmp.Diff([]string{"TestRotationStarted", test.event}, l.rotationEvents()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if d := l.describe(); d.LastRotatedDate != nil || d.NextRotationDate == nil || !*d.RotationEnabled {
				t.Errorf("after the test: %+v", d)
			}
		})
	}
}

// A rotation token that is not this rotation's is refused.
func TestForeignRotationToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	var err error
	l.function.replace = map[string]func(event) error{"createSecret": func(e event) error {
		e.RotationToken = *id(9)
		err = l.function.keep(e)
		return err
	}}
	if err := l.rotate(2); err != nil {
		t.Fatal(err)
	}
	if code(err) != "InvalidParameterException" {
		t.Errorf("another rotation's token: %v", err)
	}
}

// A scheduled rotation starts with its window, and not twice.
func TestScheduledRotation(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	must(l.RotateSecret(t.Context(), &api.RotateSecretInput{
		SecretId: alice, ClientRequestToken: id(2), RotationLambdaARN: aws.String(functionARN),
		RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("rate(10 days)")},
	}))
	l.service.Wait()
	if d := l.describe(); *d.RotationRules.AutomaticallyAfterDays != 10 || !d.NextRotationDate.Equal(time.Date(2026, 11, 12, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("next = %v, rules %v", d.NextRotationDate, *d.RotationRules.AutomaticallyAfterDays)
	}
	for _, step := range []struct {
		advance time.Duration
		started string
	}{
		{9 * 24 * time.Hour, "create set test finish"}, // the 11th
		{15 * time.Hour, "create set test finish create set test finish"},
		{time.Hour, "create set test finish create set test finish"},
	} {
		l.advance(step.advance)
		if got := l.function.steps(); got != step.started {
			t.Errorf("steps at %v = %s", l.clock(), got)
		}
	}
	if d := l.describe(); !d.NextRotationDate.Equal(time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("next = %v", d.NextRotationDate)
	}
	must(l.put(7, "by hand"))
	l.advance(time.Hour)
	if d := l.describe(); !d.NextRotationDate.Equal(time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("next after a value by hand = %v", d.NextRotationDate)
	}
}

// A rotation that failed in one window is gone on with in the next.
func TestFailedRotationIsReattemptedInTheNextWindow(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	l.function.replace = map[string]func(event) error{"setSecret": no}
	must(l.RotateSecret(t.Context(), &api.RotateSecretInput{
		SecretId: alice, ClientRequestToken: id(2), RotationLambdaARN: aws.String(functionARN),
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(1)},
	}))
	l.service.Wait()
	l.function.replace = nil
	l.advance(time.Hour)
	if got := l.function.steps(); got != "create set" {
		t.Errorf("steps an hour later = %s", got)
	}
	l.advance(24 * time.Hour)
	if got := l.function.steps() + " " + l.labels(); got != "create set create set test finish 1:AWSPREVIOUS 2:AWSCURRENT+AWSPENDING" {
		t.Errorf("the next day: %s", got)
	}
}

// Retries wait for their delay; closing does not wait for them.
func TestRetryDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fn := &counting{}
		s := must(secretsmanager.New(secretsmanager.Options{Invoker: fn, Retries: 3, RetryDelay: time.Minute}))
		direct(t, s, "CreateSecret", `{"Name":"alice","ClientRequestToken":"`+*id(1)+`","SecretString":"one"}`)
		direct(t, s, "RotateSecret", `{"SecretId":"alice","ClientRequestToken":"`+*id(2)+`","RotationLambdaARN":"f"}`)
		for want := int32(1); want <= 2; want++ {
			synctest.Wait()
			if got := fn.n.Load(); got != want {
				t.Errorf("invoked %d times, want %d", got, want)
			}
			time.Sleep(time.Minute)
		}
		began := time.Now()
		s.Close()
		if took := time.Since(began); took >= time.Minute {
			t.Errorf("closing took %v", took)
		}
	})
}
