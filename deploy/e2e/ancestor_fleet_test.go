package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// The tests in this file are about fleets, files and times that the ancestor does not think of, by the
// same rules as those in ancestor_test.go.

// TestB9 brings the host back once a rotation waits for nothing else, so that it ends.
func TestB9_OneHostThatIsOffDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		env:   []string{"KEYTRAIL_MAX_OFFLINE=1"},
		claim: func(t *testing.T, s secret, _, _ key) error {
			on, off := s.Hosts()[0], s.Hosts()[1]
			set(t, off, func(w *host.Switches) { w.State = host.Offline })
			ended := make(chan error, 1)
			go func() {
				_, err := s.rotate()
				ended <- err
			}()
			for {
				select {
				case err := <-ended:
					return errors.Join(err, logsIn(s.key(current), user, on))
				case <-time.After(50 * time.Millisecond):
				}
				if s.answered(on) && s.asked(off) {
					set(t, off, func(w *host.Switches) { w.State = host.Online })
					<-ended
					return fmt.Errorf("the rotation waits for %s, which is off", off.ID())
				}
			}
		},
		broken: "which is off",
	}.play(t)
}

// asked reports whether a host was sent a command, answered whether it has done one.
func (w *world) asked(h *host.Host) bool { return len(w.invocations(h)) > 0 }
func (w *world) answered(h *host.Host) bool {
	return slices.ContainsFunc(w.invocations(h), func(i types.CommandInvocation) bool { return i.Status == types.CommandInvocationStatusSuccess })
}

func (w *world) invocations(h *host.Host) []types.CommandInvocation {
	w.t.Helper()
	list, err := w.systems.ListCommandInvocations(w.t.Context(), &ssm.ListCommandInvocationsInput{InstanceId: aws.String(h.ID())})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.CommandInvocations
}

func TestB13_AHybridNodeIsTestedLikeAnyOther(t *testing.T) {
	t.Parallel()
	hybrid := strings.Replace(node(2).ID, "i-", "mi-", 1)
	stage{
		hosts: func(friend key) []host.Spec {
			specs := settled(friend)
			specs[1].ID = hybrid
			return specs
		},
		env: []string{"KEYTRAIL_LOGIN_PROOF=ssh"},
		claim: func(t *testing.T, s secret, _, friend key) error {
			version := s.begin()
			s.until("testSecret", version)
			if err := s.Host(hybrid).WriteKeys(user, friend.line); err != nil { // somebody's tool writes the file anew
				t.Fatal(err)
			}
			return says(s.step("testSecret", version), "testSecret", hybrid)
		},
		broken: "no error at all",
	}.play(t)
}

func TestB16_ASecretThatIsABareKeyIsToldWhatToBecome(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		claim: func(_ *testing.T, s secret, old, _ key) error {
			_, err := s.secret(s.function, "bare", old.private).rotate()
			return says(err, "bare PEM", `{"PublicKey":"","PrivateKey":""}`)
		},
		broken: "the error does not say",
	}.play(t)
}

// TestB19 has two secrets of one account do everything at the same moment, with a file that takes time
// to copy.
func TestB19_TwoSecretsThatRotateTogetherLoseNothing(t *testing.T) {
	t.Parallel()
	const rounds = 3
	stage{
		hosts: func(friend key) []host.Spec {
			return nodes(1, strings.Repeat("# "+strings.Repeat("-", 97)+"\n", 4000)+friend.line)
		},
		claim: func(t *testing.T, s secret, _, friend key) error {
			pair := []secret{s, s.secret(s.function, "other", newKey(t, "other").value())}
			for _, s := range pair {
				if _, err := s.rotate(); err != nil {
					return err
				}
			}
			s.Front().Inject(wire.Fault{Match: wire.Action("ssm", "SendCommand"), Do: inPairs()})
			for range rounds {
				errs := make([]error, len(pair))
				var group sync.WaitGroup
				for i, s := range pair {
					group.Go(func() { _, errs[i] = s.rotate() })
				}
				group.Wait()
				for _, s := range pair {
					errs = append(errs, logsIn(s.key(current), user, s.Hosts()...), refused(s.key(previous), user, s.Hosts()...))
				}
				if err := errors.Join(append(errs, logsIn(friend, user, s.Hosts()...))...); err != nil {
					return err
				}
			}
			return nil
		},
		broken: " in as " + user + " on " + node(1).ID,
	}.play(t)
}

// inPairs lets calls go on two at a time.
func inPairs() func(context.Context, wire.Request) error {
	meet := make(chan struct{})
	return func(context.Context, wire.Request) error {
		select {
		case meet <- struct{}{}:
		case <-meet:
		case <-time.After(30 * time.Second): // the other rotation has failed
		}
		return nil
	}
}

func TestB20_AKeyFileThatIsALinkStaysOne(t *testing.T) {
	t.Parallel()
	stage{
		claim: func(t *testing.T, s secret, _, friend key) error {
			for _, h := range s.Hosts() {
				write(t, h, user, "keys/mine", friend.line+"\n")
				link(t, h, "../keys/mine")
			}
			for range 2 {
				if _, err := s.rotate(); err != nil {
					return err
				}
			}
			for _, h := range s.Hosts() {
				if target, err := os.Readlink(h.AuthorizedKeys(user)); err != nil || target != "../keys/mine" {
					return fmt.Errorf("%s: the link is gone: %q, %w", h.ID(), target, err)
				}
			}
			return errors.Join(logsIn(s.key(current), user, s.Hosts()...), refused(s.key(previous), user, s.Hosts()...))
		},
		broken: "the link is gone",
	}.play(t)
}

func TestB21_TheCommandOfASetSecretIsNotLookedForByTheClock(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]stage{
		"in another time zone": {env: []string{"TZ=Asia/Tokyo"}},
		"when testSecret is tried again five hours later": {
			lab: func(o *lab.Options) { o.Now = func() time.Time { return time.Now().Add(-5 * time.Hour) } },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.hosts = settled
			row.claim = func(_ *testing.T, s secret, _, _ key) error {
				version := s.begin()
				s.until("testSecret", version)
				return s.step("testSecret", version)
			}
			row.broken = "no Run Command"
			row.play(t)
		})
	}
}

// TestB25 has a pending version that no step can go on with: Secrets Manager then refuses every new
// rotation, and goes on trying the old one.
func TestB25_ARotationThatGoesNoFurtherSaysHowToEndIt(t *testing.T) {
	t.Parallel()
	stage{
		hosts: settled,
		claim: func(_ *testing.T, s secret, _, _ key) error {
			version := s.begin()
			s.putAs(version, `{"PublicKey":"","PrivateKey":""}`, pending)
			_, refusal := s.rotate()
			s.Secrets().Wait()
			if err := errors.Join(says(refusal, "previous rotation isn't complete"), says(s.complaint(), "remove AWSPENDING", "rotate again")); err != nil {
				return err
			}
			s.abandon(version)
			if _, err := s.rotate(); err != nil {
				return err
			}
			return logsIn(s.key(current), user, s.Hosts()...)
		},
		broken: "the error does not say",
	}.play(t)
}
