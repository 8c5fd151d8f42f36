package rotate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
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

// Rotator runs the steps of rotations. Make it with New.
type Rotator struct {
	config Config
	vault  vault
	fleet  *fleet.Fleet
	log    *slog.Logger
}

// New returns a Rotator that works through the given clients.
func New(config Config, secrets *secretsmanager.Client, systems fleet.SystemsManager, log *slog.Logger) *Rotator {
	return &Rotator{config, vault{secrets}, fleet.New(config.Fleet, systems), log}
}

// rotation is one step of one rotation while it runs.
type rotation struct {
	request
	secret secret
	order  fleet.Order  // what does not change from pass to pass: users and scope
	target fleet.Target // boundary and the secret's own narrowing
}

// outcome is what a step has to say in its log line.
type outcome struct {
	key   sshkey.Fingerprint // of the version that the step was about; empty when it has none
	hosts fleet.Observations
	note  string
}

// Rotate runs one step. Every step may be run again after any interruption: it reads before it
// writes, and what stands already is left alone.
func (r *Rotator) Rotate(ctx context.Context, event events.SecretsManagerSecretRotationEvent) error {
	started := time.Now()
	req, err := parseRequest(event)
	if err != nil {
		return err
	}
	ctx, cancel := shortOfDeadline(ctx)
	defer cancel()
	result, err := r.step(ctx, req)
	r.logStep(ctx, req, result, time.Since(started), err)
	if err != nil {
		return fmt.Errorf("%s: %w", req.step, err)
	}
	return nil
}

func (r *Rotator) step(ctx context.Context, req request) (outcome, error) {
	s, err := r.vault.describe(ctx, req.secretID)
	if err != nil {
		return outcome{}, err
	}
	rot, err := r.admit(s, req)
	if err != nil {
		return outcome{}, permanent(err)
	}
	promoted := s.has(req.version, labelCurrent)
	switch {
	case req.step == FinishSecret:
		return r.finish(ctx, rot)
	case promoted:
		return outcome{note: "the version is AWSCURRENT already: nothing to do"}, nil
	case req.step == CreateSecret:
		return r.create(ctx, rot)
	case req.step == SetSecret:
		return r.set(ctx, rot)
	default:
		return r.test(ctx, rot)
	}
}

// The tags of a secret that narrow what the stack allows.
const (
	tagTarget = "keytrail:target"
	tagUsers  = "keytrail:users"
)

// admit makes the checks that come before any step, and reads the secret's tags: they may narrow the
// users and the target, never widen them.
func (r *Rotator) admit(s secret, req request) (rotation, error) {
	labels, known := s.stages[req.version]
	switch {
	case s.disabled:
		return rotation{}, fmt.Errorf("rotation is turned off for %s: turn it on with rotate-secret", s.name)
	case !known:
		return rotation{}, fmt.Errorf("%s has no version %s: ClientRequestToken must be that of a rotation", s.name, req.version)
	case !slices.Contains(labels, labelPending) && !slices.Contains(labels, labelCurrent):
		return rotation{}, fmt.Errorf("version %s of %s is not staged AWSPENDING: its rotation is over or was abandoned", req.version, s.name)
	}
	users := r.config.Users
	if text, ok := s.tags[tagUsers]; ok {
		narrowed, err := ParseUsers(text)
		if err != nil {
			return rotation{}, fmt.Errorf("tag %s: %w", tagUsers, err)
		}
		for _, u := range narrowed {
			if !slices.Contains(users, u) {
				return rotation{}, fmt.Errorf("tag %s names %s, which USERNAME does not allow (%s)", tagUsers, u, strings.Join(users, " "))
			}
		}
		users = narrowed
	}
	target := fleet.Target{r.config.Boundary}
	if text, ok := s.tags[tagTarget]; ok {
		narrowed, err := fleet.ParseTarget(text)
		if err != nil {
			return rotation{}, fmt.Errorf("tag %s: want Key=Value pairs: %w", tagTarget, err)
		}
		if len(narrowed) == 0 {
			return rotation{}, fmt.Errorf("tag %s is empty: want Key=Value pairs, or no such tag", tagTarget)
		}
		target = append(target, narrowed...)
	}
	order := fleet.Order{Scope: fleet.Scope(s.arn), Users: users, AllowRoot: r.config.AllowRoot}
	return rotation{req, s, order, target}, nil
}
