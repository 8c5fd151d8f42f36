package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate"
)

// The tests in this file are about keys that stay where they should not, by the same rules as those in
// ancestor_test.go.

// settled is a fleet on which the ancestor can work: there are key files, and their last line ends.
func settled(friend key) []host.Spec { return nodes(2, friend.line) }

func TestB5_ARetryAfterThePromotionRetiresTheOldKey(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		lab:   func(o *lab.Options) { o.Retries = 1 },
		claim: func(t *testing.T, s secret, _, _ key) error {
			if _, err := s.rotate(); err != nil {
				return err
			}
			first := s.key(current)
			s.Front().Inject(wire.Fault{Match: afterPromotion("SendCommand"), Times: 1, Do: wire.Deny})
			if version, err := s.rotate(); err == nil || s.holder(current) != version {
				t.Errorf("the fault came too early or too late to show anything: %v", err)
			}
			return errors.Join(refused(first, user, s.Hosts()...), logsIn(s.key(current), user, s.Hosts()...))
		},
		broken: "logs in as",
	}.play(t)
}

func TestB6_TheKeyOfAnAbandonedRotationIsRetiredByTheNext(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		claim: func(t *testing.T, s secret, _, _ key) error {
			version := s.begin()
			s.until("testSecret", version)
			abandoned := s.key(pending)
			if err := logsIn(abandoned, user, s.Hosts()...); err != nil {
				t.Error(err)
			}
			s.abandon(version)
			if _, err := s.rotate(); err != nil {
				return err
			}
			return refused(abandoned, user, s.Hosts()...)
		},
		broken: "logs in as",
	}.play(t)
}

// abandon takes AWSPENDING off a version, as people do to a rotation that goes no further.
func (s secret) abandon(version string) {
	s.t.Helper()
	if _, err := s.secrets.UpdateSecretVersionStage(s.t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &s.arn, VersionStage: aws.String(pending), RemoveFromVersionId: &version,
	}); err != nil {
		s.t.Fatal(err)
	}
}

func TestB7_TheFirstKeyIsRetiredWhateverItsComment(t *testing.T) {
	t.Parallel()
	stage{
		claim: func(t *testing.T, s secret, old, friend key) error {
			for _, h := range s.Hosts() {
				if err := h.WriteKeys(user, friend.line, old.line); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.rotate(); err != nil {
				return err
			}
			return errors.Join(refused(old, user, s.Hosts()...), logsIn(friend, user, s.Hosts()...))
		},
		broken: "logs in as",
	}.play(t)
}

// withRegister configures the product as it is to be used; the ancestor does not know these.
var withRegister = []string{"KEYTRAIL_BUCKET=" + bucket, "KEYTRAIL_SWEEP=15m", "KEYTRAIL_GRACE=24h"}

// bucketed makes the bucket that withRegister names, before the first step.
func bucketed(claim func(*testing.T, secret, key, key) error) func(*testing.T, secret, key, key) error {
	return func(t *testing.T, s secret, old, friend key) error {
		if _, err := s.objects().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
			t.Fatal(err)
		}
		return claim(t, s, old, friend)
	}
}

func TestB8_ThePreviousKeyIsTrustedForItsGracePeriod(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		env:   withRegister,
		claim: bucketed(func(_ *testing.T, s secret, _, _ key) error {
			for range 2 {
				if _, err := s.rotate(); err != nil {
					return err
				}
			}
			return errors.Join(logsIn(s.key(current), user, s.Hosts()...), logsIn(s.key(previous), user, s.Hosts()...))
		}),
		broken: "does not log in",
	}.play(t)
}

func TestB10_AHostThatJoinsBetweenRotationsGetsTheKey(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		env:   withRegister,
		claim: bucketed(func(t *testing.T, s secret, _, friend key) error {
			if _, err := s.rotate(); err != nil {
				return err
			}
			born, err := s.AddHost(node(3, friend.line))
			if err != nil {
				t.Fatal(err)
			}
			_, said := s.act(rotate.ActionRequest{Action: rotate.Reconcile})
			return errors.Join(logsIn(s.key(current), user, born), said)
		}),
		broken: "does not log in as " + user + " on " + node(3).ID,
	}.play(t)
}

func TestB10_AHostThatLeftWithAnOldKeyIsNotForgotten(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		env:   withRegister[:1],
		claim: bucketed(func(t *testing.T, s secret, _, _ key) error {
			if _, err := s.rotate(); err != nil {
				return err
			}
			if err := s.Hosts()[1].SetTag(boundaryKey, "another"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.rotate(); err != nil {
				return err
			}
			result, said := s.act(rotate.ActionRequest{Action: rotate.Reconcile})
			if !slices.ContainsFunc(result.Hosts, func(r rotate.HostResult) bool { return string(r.Host) == node(2).ID && r.State != "ok" }) {
				return fmt.Errorf("%s trusts a retired key and is forgotten: %w", node(2).ID, said)
			}
			return nil
		}),
		broken: "is forgotten",
	}.play(t)
}
