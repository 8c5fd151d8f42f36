package secretsmanager

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The steps of a rotation, as AWS spells them on the wire.
var steps = []string{"createSecret", "setSecret", "testSecret", "finishSecret"}

const testStep = "testSecret"

// payload is what a rotation function is invoked with.
type payload struct {
	Step               string
	SecretID           string `json:"SecretId"` // the ARN, whatever RotateSecret was given
	ClientRequestToken string
	RotationToken      string
}

// launch runs a rotation in the background. The caller holds mu.
func (s *Service) launch(arn, token string) {
	s.running[arn] = token
	go s.run(arn, token)
}

// landed notes that nothing runs for a secret any more.
func (s *Service) landed(arn string) {
	s.mu.Lock()
	delete(s.running, arn)
	s.idle.Broadcast()
	s.mu.Unlock()
}

// run rotates: all four steps, and all of them again after a failure.
func (s *Service) run(arn, token string) {
	defer s.landed(arn)
	defer s.flush()
	for attempt := 0; ; attempt++ {
		if s.attempt(arn, token) || s.ctx.Err() != nil {
			return
		}
		if attempt == s.options.Retries {
			s.update(arn, token, func(sec *secret) { sec.Rotation.Flight.Stuck = true })
			return
		}
		retry := time.NewTimer(s.options.RetryDelay)
		select {
		case <-retry.C:
		case <-s.ctx.Done():
			retry.Stop()
			return
		}
	}
}

// attempt runs the four steps once and reports whether the rotation is over:
// done, or not this run's business any more.
func (s *Service) attempt(arn, token string) (over bool) {
	ours := s.update(arn, token, func(sec *secret) { s.emit(Event{Name: RotationStarted, VersionID: token}, sec) })
	s.flush()
	for _, step := range steps {
		if !ours {
			return true
		}
		if !s.invoke(arn, token, step) {
			return !s.fail(arn, token, step)
		}
		ours = s.update(arn, token, nil)
	}
	if !ours {
		return true
	}
	promoted := false
	s.update(arn, token, func(sec *secret) {
		if v := sec.version(token); v == nil || !v.has(current) {
			return
		}
		promoted = true
		sec.Rotation.Flight = nil
		sec.Rotated, sec.Changed = s.now(), s.now()
		sec.Rotation.reschedule(sec.Rotated)
		s.emit(Event{Name: RotationSucceeded, VersionID: token}, sec)
	})
	// A function that ends without having promoted the version leaves the
	// rotation incomplete. Which event AWS sends then was not seen; the lab
	// says that the last step failed.
	return promoted || !s.fail(arn, token, steps[len(steps)-1])
}

// fail tells of a failed step. It reports false when the rotation was given up
// meanwhile, which is no failure.
func (s *Service) fail(arn, token, step string) bool {
	if s.ctx.Err() != nil {
		return false // the lab is closing
	}
	failed := s.update(arn, token, func(sec *secret) {
		s.emit(Event{Name: RotationFailed, VersionID: token, ErrorMessage: stepFailed(sec, step)}, sec)
	})
	s.flush()
	return failed
}

func stepFailed(sec *secret, step string) string {
	return fmt.Sprintf("Error when executing lambda %s during %s step", sec.Rotation.Function, step)
}

// update changes a secret whose rotation is still the one with this token, and
// reports whether it is. A change that cannot be stored is lost, as in a
// crash: the rotation is then taken up again.
func (s *Service) update(arn, token string, do func(*secret)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.secrets[arn]
	if sec == nil || sec.deleted() {
		return false
	}
	if f := sec.rotating(); f == nil || f.Token != token {
		return false
	}
	if do == nil {
		return true
	}
	sec = sec.clone()
	_, err := commit(s, sec, func() (any, error) { do(sec); return nil, nil })
	return err == nil
}

// invoke runs one step and reports whether the function succeeded.
func (s *Service) invoke(arn, token, step string) bool {
	s.mu.Lock()
	sec := s.secrets[arn]
	if sec == nil || sec.rotating() == nil {
		s.mu.Unlock()
		return false
	}
	function := sec.Rotation.Function
	event := payload{Step: step, SecretID: arn, ClientRequestToken: token, RotationToken: sec.Rotation.Flight.RotationToken}
	s.mu.Unlock()
	b, err := json.Marshal(event)
	if err != nil {
		return false
	}
	result, err := s.options.Invoker.Invoke(s.ctx, function, b)
	return err == nil && result.FunctionError == ""
}

// runTest runs the test step with the version that has been made for it, and
// removes that version whatever comes of it.
func (s *Service) runTest(arn, token string) {
	defer s.landed(arn)
	defer s.flush()
	s.update(arn, token, func(sec *secret) { s.emit(Event{Name: TestRotationStarted, VersionID: token}, sec) })
	s.flush()
	succeeded := s.invoke(arn, token, testStep)
	s.update(arn, token, func(sec *secret) {
		e := Event{Name: TestRotationSucceeded, VersionID: token}
		if !succeeded {
			e = Event{Name: TestRotationFailed, VersionID: token, ErrorMessage: stepFailed(sec, testStep)}
		}
		sec.endTest()
		s.emit(e, sec)
	})
}

// endTest removes the version of a rotation test.
func (sec *secret) endTest() {
	token := sec.Rotation.Flight.Token
	sec.Rotation.Flight = nil
	sec.Versions = slices.DeleteFunc(sec.Versions, func(v *version) bool { return v.ID == token })
}
