package secretsmanager

import (
	"time"

	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// rotateSecret configures rotation and starts it in the background, or, with
// RotateImmediately false, runs the test step before it returns.
func (s *Service) rotateSecret(in *api.RotateSecretInput) (*api.RotateSecretOutput, error) {
	if err := checkRotate(in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	out, test, err := s.startRequested(in)
	s.mu.Unlock()
	if err == nil && test {
		s.runTest(*out.ARN, *in.ClientRequestToken)
	}
	return out, err
}

func checkRotate(in *api.RotateSecretInput) error {
	if err := length("rotationLambdaARN", in.RotationLambdaARN, 0, 2048); err != nil {
		return err
	}
	if in.RotationRules != nil {
		if err := length("rotationRules.scheduleExpression", in.RotationRules.ScheduleExpression, 1, 256); err != nil {
			return err
		}
	}
	if in.ExternalSecretRotationMetadata != nil || in.ExternalSecretRotationRoleArn != nil {
		return badParameter("The lab rotates no external secrets.")
	}
	return checkToken(in.ClientRequestToken, "InvalidParameterException")
}

// startRequested starts what RotateSecret asks for. The caller holds mu, and
// runs the test if there is one.
func (s *Service) startRequested(in *api.RotateSecretInput) (out *api.RotateSecretOutput, test bool, err error) {
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, false, err
	}
	token := *in.ClientRequestToken
	out = &api.RotateSecretOutput{ARN: &sec.ARN, Name: &sec.Name, VersionId: &token}
	if v := sec.version(token); v != nil {
		if f := sec.rotating(); v.has(current) || f != nil && f.Token == token {
			return out, false, nil // asked again, as after a lost reply
		}
		return nil, false, badRequest("You can't use ClientRequestToken " + token + " because that value is already in use for a version of secret " + sec.ARN + ".")
	}
	if err := s.configure(sec, in); err != nil {
		return nil, false, err
	}
	if p := sec.holder(pending); p != nil && !p.has(current) {
		s.reattempt(sec.ARN)
		return nil, false, badRequest("A previous rotation isn't complete. That rotation will be reattempted.")
	}
	test = in.RotateImmediately != nil && !*in.RotateImmediately
	sec.Rotation.Flight = &flight{Token: token, RotationToken: s.uuid("rotation token"), Test: test}
	v := &version{ID: token, Created: s.now()}
	if c := sec.holder(current); test && c != nil {
		v.Text, v.Binary = c.Text, c.Binary
	}
	sec.Versions = append(sec.Versions, v)
	out, err = commit(s, sec, func() (*api.RotateSecretOutput, error) {
		s.move(sec, pending, v)
		return out, s.withinQuotas(sec)
	})
	if err != nil {
		return nil, false, err
	}
	if test {
		out.VersionId = nil // the version is gone when the caller reads this
		s.running[sec.ARN] = token
	} else {
		s.launch(sec.ARN, token)
	}
	return out, test, nil
}

// configure puts a request's function and rules into a secret.
func (s *Service) configure(sec *secret, in *api.RotateSecretInput) error {
	if sec.Rotation == nil {
		sec.Rotation = &rotation{}
	}
	r := sec.Rotation
	if f := nonEmpty(in.RotationLambdaARN); f != nil {
		r.Function = *f
	}
	if r.Function == "" {
		return badRequest("No Lambda rotation function ARN is associated with this secret.")
	}
	if s.options.Invoker == nil || s.options.MayInvoke != nil && !s.options.MayInvoke(r.Function, sec.ARN) {
		return &wire.Error{Code: "AccessDeniedException", Message: "Secrets Manager cannot invoke the specified Lambda function. " +
			"Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."}
	}
	rules, err := newSchedule(in.RotationRules)
	if err != nil {
		return err
	}
	if rules != nil {
		r.Rules = *in.RotationRules
	}
	r.Enabled = true
	r.reschedule(s.now())
	return nil
}

// cancelRotateSecret turns rotation off. The step that runs is not
// interrupted, no other follows, and AWSPENDING stays where it is.
func (s *Service) cancelRotateSecret(in *api.CancelRotateSecretInput) (*api.CancelRotateSecretOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.change(in.SecretId)
	if err != nil {
		return nil, err
	}
	return commit(s, sec, func() (*api.CancelRotateSecretOutput, error) {
		out := &api.CancelRotateSecretOutput{ARN: &sec.ARN, Name: &sec.Name}
		if sec.Rotation == nil {
			return out, nil // never configured is no error
		}
		if p := sec.holder(pending); p != nil {
			out.VersionId = &p.ID
		}
		sec.Rotation.Enabled, sec.Rotation.Flight = false, nil
		return out, nil
	})
}

// abandon ends the rotation under way because somebody else made a version:
// its AWSPENDING is removed. The caller stores the secret.
func (s *Service) abandon(sec *secret, token string) {
	f := sec.rotating()
	if f == nil || f.Token == token {
		return
	}
	sec.Rotation.Flight = nil
	if v := sec.version(f.Token); v != nil && v.has(pending) && !v.has(current) {
		sec.detach(pending)
	}
	s.emit(Event{Name: RotationAbandoned, VersionID: f.Token}, sec)
}

// due reports whether a secret's rotation is to be started or taken up.
func (s *Service) due(sec *secret, now time.Time) bool {
	if !sec.rotates() || sec.deleted() || s.running[sec.ARN] != "" {
		return false
	}
	if f := sec.rotating(); f != nil && !f.Stuck {
		return true // cut off by a restart
	}
	return !sec.Rotation.Opens.IsZero() && !now.Before(sec.Rotation.Opens)
}

// startScheduled starts the rotation of a secret that is due, or goes on with
// the one that is not complete. The caller holds mu.
func (s *Service) startScheduled(sec *secret, now time.Time) error {
	sec = sec.clone()
	sec.Changed = s.now()
	if !now.Before(sec.Rotation.Opens) {
		sec.Rotation.reschedule(now)
	}
	_, err := commit(s, sec, func() (any, error) {
		if sec.takeUp(s.uuid("rotation token")) {
			return nil, nil
		}
		token := s.uuid("scheduled rotation of " + sec.ARN)
		sec.Rotation.Flight = &flight{Token: token, RotationToken: s.uuid("rotation token")}
		v := &version{ID: token, Created: s.now()}
		sec.Versions = append(sec.Versions, v)
		s.move(sec, pending, v)
		return nil, s.withinQuotas(sec)
	})
	if err != nil {
		return err
	}
	s.launch(sec.ARN, sec.Rotation.Flight.Token)
	return nil
}

// takeUp readies a rotation that is not complete to be run again, with the
// version that has AWSPENDING. It reports false where there is none.
func (sec *secret) takeUp(rotationToken string) bool {
	p := sec.holder(pending)
	if p == nil || p.has(current) {
		return false
	}
	f := sec.rotating()
	if f == nil || f.Token != p.ID {
		f = &flight{Token: p.ID, RotationToken: rotationToken}
	}
	f.Stuck = false
	sec.Rotation.Flight = f
	return true
}

// reattempt runs the incomplete rotation of a secret again unless it is
// running, or rotation is off: what the refusal of RotateSecret announces. That
// it happens at once is the lab's choice. The caller holds mu.
func (s *Service) reattempt(arn string) {
	sec := s.secrets[arn].clone()
	if !sec.rotates() || s.running[arn] != "" || !sec.takeUp(s.uuid("rotation token")) {
		return
	}
	if s.put(sec) == nil {
		s.launch(arn, sec.Rotation.Flight.Token)
	}
}
