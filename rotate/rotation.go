package rotate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// Step is one of the four steps of a rotation.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
type Step string

// The steps, in order, as Secrets Manager spells them on the wire.
const (
	CreateSecret Step = "createSecret"
	SetSecret    Step = "setSecret"
	TestSecret   Step = "testSecret"
	FinishSecret Step = "finishSecret"
)

// request is a rotation event, checked. The rotation token is sensitive: it goes to PutSecretValue
// and nowhere else.
type request struct {
	step          Step
	secretID      string
	version       string
	rotationToken string
}

func parseRequest(e events.SecretsManagerSecretRotationEvent) (request, error) {
	var errs []error
	step := Step(e.Step)
	if !slices.Contains([]Step{CreateSecret, SetSecret, TestSecret, FinishSecret}, step) {
		errs = append(errs, fmt.Errorf("unknown Step %q: want createSecret, setSecret, testSecret or finishSecret", e.Step))
	}
	if e.SecretID == "" {
		errs = append(errs, errors.New("SecretId is missing"))
	}
	if e.ClientRequestToken == "" {
		errs = append(errs, errors.New("ClientRequestToken is missing"))
	}
	if len(errs) > 0 {
		return request{}, permanent(fmt.Errorf("read rotation event: %w", errors.Join(errs...)))
	}
	return request{step, e.SecretID, e.ClientRequestToken, e.RotationToken}, nil
}

// Rotator runs the steps of rotations, and the actions beside them. Make it with New.
type Rotator struct {
	config   Config
	vault    vault
	fleet    *fleet.Fleet
	register *register.Register // nil without a bucket, and so leases
	leases   *register.Leases
	log      *slog.Logger
}

// New returns a Rotator that works through the given clients. The one for S3 is needed only where the
// configuration names a bucket.
func New(config Config, secrets *secretsmanager.Client, systems fleet.SystemsManager, objects *s3.Client, log *slog.Logger) *Rotator {
	r := &Rotator{config: config, vault: vault{secrets}, fleet: fleet.New(config.Fleet, systems), log: log}
	if config.Bucket != "" {
		r.register = register.New(objects, config.Bucket, config.Retention)
		r.leases = register.NewLeases(objects, config.Bucket)
	}
	return r
}

// subject is a secret as Secrets Manager describes it, with what it is for.
type subject struct {
	wanted.Subject
	secret     secret
	generation int64 // of its orders; 0 while none was fixed
}

// rotation is one step of one rotation while it runs.
type rotation struct {
	request
	subject
}

// outcome is what a step has to say in its log line.
type outcome struct {
	key    sshkey.Fingerprint // of the version that the step was about; empty when it has none
	hosts  fleet.Observations
	strays fleet.Observations
	note   string
}

// rotate runs one step. Every step may be run again after any interruption: it reads before it writes,
// and what stands already is left alone.
func (r *Rotator) rotate(ctx context.Context, event events.SecretsManagerSecretRotationEvent) error {
	started := time.Now()
	req, err := parseRequest(event)
	if err != nil {
		return err
	}
	result, err := r.step(ctx, req)
	r.logStep(ctx, req, result, time.Since(started), err)
	if err != nil {
		return fmt.Errorf("%s: %w", req.step, err)
	}
	return nil
}

func (r *Rotator) step(ctx context.Context, req request) (result outcome, err error) {
	rot, err := r.admit(ctx, req)
	if err != nil {
		return outcome{}, err
	}
	promoted := rot.secret.has(req.version, labelCurrent)
	switch {
	case promoted && req.step != FinishSecret:
		return outcome{note: "the version is AWSCURRENT already: nothing to do"}, nil
	case req.step == CreateSecret:
		return r.create(ctx, rot)
	case req.step == TestSecret:
		return r.test(ctx, rot)
	}
	// A retry of a rotation takes its lease over: it does the same work.
	err = r.exclusively(ctx, rot.secret.arn, "rotation "+req.version, func(ctx context.Context, generation int64) error {
		// What stood before the lease may be another's work by now.
		if rot, err = r.admit(ctx, req); err != nil {
			return err
		}
		rot.generation = generation
		if req.step == SetSecret {
			result, err = r.set(ctx, rot)
		} else {
			result, err = r.finish(ctx, rot)
		}
		return err
	})
	return result, err
}

// admit reads the secret and makes the checks that come before any step.
func (r *Rotator) admit(ctx context.Context, req request) (rotation, error) {
	s, err := r.vault.describe(ctx, req.secretID)
	if err != nil {
		return rotation{}, err
	}
	of, err := r.config.limits().Subject(s.arn, s.name, s.tags)
	if err := cmp.Or(admissible(s, req.version), wanted.CheckHold(s.tags), err); err != nil {
		return rotation{}, permanent(err)
	}
	return rotation{req, subject{of, s, 0}}, nil
}

// admissible refuses a rotation that Secrets Manager would not have asked for.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
func admissible(s secret, version string) error {
	labels, known := s.stages[version]
	switch {
	case s.disabled:
		return fmt.Errorf("rotation is turned off for %s: turn it on with rotate-secret", s.name)
	case !known:
		return fmt.Errorf("%s has no version %s: ClientRequestToken must be that of a rotation", s.name, version)
	case !slices.Contains(labels, labelPending) && !slices.Contains(labels, labelCurrent):
		return fmt.Errorf("version %s of %s is not staged AWSPENDING: its rotation is over or was abandoned", version, s.name)
	}
	return nil
}
