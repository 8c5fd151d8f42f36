package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/ssm"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// The tests in this file are named after the bugs of the function that Keytrail replaces. Each makes a
// claim in one fleet twice: with Keytrail, where it must hold, and with the ancestor, where it must
// not. A claim that the ancestor kept as well would show nothing.
//
// Further claims stand in ancestor_leftover_test.go and ancestor_fleet_test.go. Two bugs are none of a
// function: B14 and B15 are of a template. B27 is of a build that nobody can repeat: .ci/run builds the
// package twice and compares the bytes.

// stage is a fleet, and what is said of it.
type stage struct {
	hosts func(friend key) []host.Spec
	lab   func(*lab.Options)
	env   []string // of the function
	// claim returns what is not so. The secret's value is the pair `old`, which stands nowhere but in
	// the secret; friend is somebody's key that may stand on hosts.
	claim func(t *testing.T, s secret, old, friend key) error
	// broken is in what the claim says of the ancestor: that it fails for the bug and nothing else.
	broken string
}

func (st stage) play(t *testing.T) {
	t.Helper()
	run := func(t *testing.T, function string) error {
		old, friend := newKey(t, "made by hand"), newKey(t, "friend")
		specs := nodes(2)
		if st.hosts != nil {
			specs = st.hosts(friend)
		}
		w := newWorld(t, specs, func(o *lab.Options) {
			if st.lab != nil {
				st.lab(o)
			}
		})
		w.run(keytrail, st.env...)
		w.runAncestor(st.env...)
		return st.claim(t, w.secret(function, "fleet", old.value()), old, friend)
	}
	t.Run("Keytrail keeps the claim", func(t *testing.T) {
		t.Parallel()
		if err := run(t, keytrail); err != nil {
			t.Error(err)
		}
	})
	t.Run("the ancestor breaks it", func(t *testing.T) {
		t.Parallel()
		switch err := run(t, ancestor); {
		case err == nil:
			t.Error("the ancestor keeps the claim as well: it shows nothing")
		case !strings.Contains(err.Error(), st.broken):
			t.Errorf("the ancestor breaks the claim for another reason than %q: %v", st.broken, err)
		}
	})
}

// doneMeansLogin is the claim that a setSecret that succeeded has put the key where it logs in.
func doneMeansLogin(_ *testing.T, s secret, _, _ key) error {
	version := s.begin()
	if err := s.step("createSecret", version); err != nil {
		return err
	}
	if s.step("setSecret", version) != nil {
		return nil // it said so
	}
	return logsIn(s.key(pending), user, s.Hosts()...)
}

func TestB1_AHostWithoutAKeyFileIsNotTakenForDone(t *testing.T) {
	t.Parallel()
	stage{claim: doneMeansLogin, broken: "does not log in"}.play(t)
}

func TestB1_AHostWithoutTheAccountIsNotTakenForDone(t *testing.T) {
	t.Parallel()
	stage{
		hosts:  func(key) []host.Spec { return without(1)(nodes(2)) },
		claim:  doneMeansLogin,
		broken: node(2).ID,
	}.play(t)
}

func TestB2_ALastLineWithoutEndIsNotGluedToTheKey(t *testing.T) {
	t.Parallel()
	stage{
		claim: func(t *testing.T, s secret, old, friend key) error {
			for _, h := range s.Hosts() {
				write(t, h, user, ".ssh/authorized_keys", friend.line)
			}
			return errors.Join(doneMeansLogin(t, s, old, friend), logsIn(friend, user, s.Hosts()...))
		},
		broken: "does not log in",
	}.play(t)
}

func TestB3_AKeyInACommentIsNotTakenForInstalled(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"commented out":        "# %s",
		"with expired options": `expiry-time="20200101" %s`,
		"cut in the middle":    "ssh-rsa AAAAB3 %[1]s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stage{
				claim: func(t *testing.T, s secret, _, _ key) error {
					version := s.begin()
					if err := s.step("createSecret", version); err != nil {
						return err
					}
					pair := s.key(pending)
					for _, h := range s.Hosts() {
						write(t, h, user, ".ssh/authorized_keys", fmt.Sprintf(line, pair.line)+"\n")
					}
					if s.step("setSecret", version) != nil {
						return nil
					}
					return logsIn(pair, user, s.Hosts()...)
				},
				broken: "does not log in",
			}.play(t)
		})
	}
}

func TestB4_ARotationThatReachesNoHostPromotesNothing(t *testing.T) {
	t.Parallel()
	stage{
		env: []string{"TAGVALUE=typo"},
		claim: func(_ *testing.T, s secret, _, _ key) error {
			version, err := s.rotate()
			if s.holder(current) == version {
				return fmt.Errorf("a key that no host knows was promoted, and the rotation says %v", err)
			}
			return says(err, "no managed node")
		},
		broken: "was promoted",
	}.play(t)
}

func TestB11_ALoginIsNotToldAsACommandThatRan(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec {
			specs := nodes(2, friend.line)
			specs[0].Users[0].Shell = "/sbin/nologin"
			specs[1].SSHDConfig = "ForceCommand /usr/bin/false\n"
			return specs
		},
		env: []string{"KEYTRAIL_LOGIN_PROOF=ssh"},
		claim: func(_ *testing.T, s secret, _, _ key) error {
			if _, err := s.rotate(); err != nil {
				return err // both are legitimate accounts
			}
			if log := s.log(s.function); strings.Contains(log, "executed") {
				return errors.New("the log says that a command was executed, where none can be")
			}
			return logsIn(s.key(current), user, s.Hosts()...)
		},
		broken: "the log says that a command was executed",
	}.play(t)
}

func TestB12_AHostWithAnotherHostKeyDoesNotCountAsTested(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(2, friend.line) },
		env:   []string{"KEYTRAIL_LOGIN_PROOF=ssh"},
		claim: func(t *testing.T, s secret, _, _ key) error {
			if err := s.Hosts()[1].Change(func(w *host.Switches) { w.WrongHostKey = true }); err != nil {
				t.Fatal(err)
			}
			version, err := s.rotate()
			if s.holder(current) == version {
				return fmt.Errorf("%s was not asked, whoever answered for it, and the key was promoted", node(2).ID)
			}
			return says(err, node(2).ID, "host key")
		},
		broken: "was promoted",
	}.play(t)
}

func TestB12_AHostThatSaysNothingIsNamedInTime(t *testing.T) {
	t.Parallel()
	const proof = "KEYTRAIL_LOGIN_PROOF=ssh"
	stage{
		hosts: func(friend key) []host.Spec { return nodes(2, friend.line) },
		env:   []string{proof},
		claim: func(t *testing.T, s secret, _, _ key) error {
			version := s.begin()
			s.until("testSecret", version)
			if err := s.Hosts()[0].Change(func(w *host.Switches) { w.Silent = true }); err != nil {
				t.Fatal(err)
			}
			s.hurry(s.function, proof)
			return says(s.step("testSecret", version), "testSecret", node(1).ID)
		},
		broken: "Task timed out",
	}.play(t)
}

func TestB17_TheRotationTokenIsNotLogged(t *testing.T) {
	t.Parallel()
	stage{
		claim: func(_ *testing.T, s secret, _, _ key) error {
			const token = "5c1f2d9e-0000-4000-8000-e2e0e2e0e2e0"
			version := s.begin()
			for _, step := range []string{"nonsense", "setSecret", "testSecret", "finishSecret"} {
				_ = s.invoke(map[string]string{"Step": step, "SecretId": s.arn, "ClientRequestToken": version, "RotationToken": token})
			}
			if strings.Contains(s.log(s.function), token) {
				return errors.New("the rotation token was logged")
			}
			return nil
		},
		broken: "was logged",
	}.play(t)
}

func TestB17_TheRotationTokenReachesSecretsManager(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		claim: func(_ *testing.T, s secret, _, _ key) error {
			version, err := s.rotate()
			for _, c := range s.Front().Calls() {
				if c.Action == "PutSecretValue" && strings.Contains(string(c.Body), version) && !strings.Contains(string(c.Body), `"RotationToken"`) {
					return errors.New("the value was stored without the rotation token")
				}
			}
			return err
		},
		broken: "without the rotation token",
	}.play(t)
}

// TestB18 lets somebody who may store values choose the id of the version that is current.
func TestB18_AVersionIDIsNeverCode(t *testing.T) {
	t.Parallel()
	const friendLost = "does not log in as " + user
	for name, row := range map[string]struct{ id, broken string }{
		"a command":               {"$(:>/pwned)-" + strings.Repeat("0", 24), ranCommand},
		"a command in backticks":  {"`:>/pwned`-" + strings.Repeat("0", 24), ranCommand},
		"a pattern for all lines": {strings.Repeat(".", 32), friendLost},
		"commands of sed":         {"x/d;s/^/#/;/" + strings.Repeat("0", 24), friendLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stage{
				hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
				claim: func(_ *testing.T, s secret, old, friend key) error {
					s.putAs(row.id, old.value(), current)
					_, err := s.rotate()
					return errors.Join(pwned(s.Hosts()...), logsIn(friend, user, s.Hosts()...), err)
				},
				broken: row.broken,
			}.play(t)
		})
	}
}

const ranCommand = "ran a command that came with a value"

// pwned says on which hosts a command of an attacker ran.
func pwned(hosts ...*host.Host) error {
	var errs []error
	for _, h := range hosts {
		if _, err := os.Stat(h.Path("/pwned")); err == nil {
			errs = append(errs, errors.New(h.ID()+" "+ranCommand))
		}
	}
	return errors.Join(errs...)
}

// TestB18_APublicKeyIsNeverCode lets somebody who may store values choose the pending one.
func TestB18_APublicKeyIsNeverCode(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		claim: func(t *testing.T, s secret, _, friend key) error {
			version := s.begin()
			k := newKey(t, "x $(:>/pwned) `:>/pwned`")
			s.putAs(version, k.value(), pending)
			_ = s.step("setSecret", version)
			return errors.Join(pwned(s.Hosts()...), logsIn(friend, user, s.Hosts()...))
		},
		broken: ranCommand,
	}.play(t)
}

// putAs stores a value in the version with this id.
func (s secret) putAs(version, value string, labels ...string) {
	s.t.Helper()
	if _, err := s.secrets.PutSecretValue(s.t.Context(), &secretsmanager.PutSecretValueInput{
		SecretId: &s.arn, SecretString: &value, VersionStages: labels, ClientRequestToken: aws.String(version),
	}); err != nil {
		s.t.Fatal(err)
	}
}

func TestB22_ACommandThatCannotBeListedYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		lab:   func(o *lab.Options) { o.SSM.SettleReads = 3 },
		claim: func(_ *testing.T, s secret, _, _ key) error {
			_, err := s.rotate()
			return err
		},
		broken: "IndexError",
	}.play(t)
}

func TestB22_ACommandThatMissedAHostIsNoSuccess(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(2, friend.line) },
		lab: func(o *lab.Options) {
			o.SSM.Fate = func(d ssm.Delivery) ssm.Fate { return ssm.Fate{Undeliverable: d.NodeID == node(2).ID} }
		},
		claim:  doneMeansLogin,
		broken: node(2).ID,
	}.play(t)
}

func TestB23_ASecretWithoutAValueRotates(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		claim: func(_ *testing.T, s secret, _, _ key) error {
			empty := s.secret(s.function, "never-valued", "")
			if _, err := empty.rotate(); err != nil {
				return err
			}
			return logsIn(empty.key(current), user, s.Hosts()...)
		},
		broken: "can't find the specified secret value for staging label: " + current,
	}.play(t)
}

func TestB23_AStepCanBeTriedBeforeRotationIsEverTurnedOn(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		claim: func(t *testing.T, s secret, _, _ key) error {
			if s.function == keytrail {
				s.runByHand(keytrail) // the template's role may not touch a secret that is not attached yet
			}
			k := newKey(t, "try")
			if err := s.step("setSecret", s.put(k.value(), pending)); err != nil {
				return err
			}
			return logsIn(k, user, s.Hosts()...)
		},
		broken: "RotationEnabled",
	}.play(t)
}

// TestB24 moves AWSPENDING while setSecret runs, as an overlapping PutSecretValue does.
func TestB24_TheKeyOfAnotherVersionIsNotRolledOut(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		claim: func(t *testing.T, s secret, _, _ key) error {
			version := s.begin()
			if err := s.step("createSecret", version); err != nil {
				return err
			}
			stranger := newKey(t, "stranger")
			var once sync.Once
			remove := s.Front().Inject(wire.Fault{
				Match: func(r wire.Request) bool {
					return r.Action == "GetSecretValue" && byFunction(r) && strings.Contains(string(r.Body), version)
				},
				When: wire.After,
				Do: func(context.Context, wire.Request) error {
					once.Do(func() { s.put(stranger.value(), pending) })
					return nil
				},
			})
			defer remove()
			said := s.step("setSecret", version)
			if strings.Contains(keyFile(t, s.Hosts()[0], user), stranger.blob()) {
				return fmt.Errorf("the key of another version is on the host, and setSecret says %v", said)
			}
			if s.holder(pending) == version {
				t.Error("AWSPENDING did not move: the test shows nothing")
			}
			return nil
		},
		broken: "the key of another version is on the host",
	}.play(t)
}

func TestB26_TheKeyIsOfTheTypeThatWasAskedFor(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		env:   []string{"KEYTRAIL_KEY_TYPE=ecdsa-p384"},
		claim: func(_ *testing.T, s secret, _, _ key) error {
			if _, err := s.rotate(); err != nil {
				return err
			}
			if kind := s.key(current).signer.PublicKey().Type(); kind != "ecdsa-sha2-nistp384" {
				return fmt.Errorf("the new key is a %s", kind)
			}
			return nil
		},
		broken: "the new key is a ssh-rsa",
	}.play(t)
}

func TestB26_AKeyOfAnyTypeCanBeTested(t *testing.T) {
	t.Parallel()
	stage{
		hosts: func(friend key) []host.Spec { return nodes(1, friend.line) },
		env:   []string{"KEYTRAIL_LOGIN_PROOF=ssh"},
		claim: func(t *testing.T, s secret, _, _ key) error {
			version := s.begin()
			s.putAs(version, newKey(t, "ed25519 by hand").value(), pending)
			return errors.Join(s.step("setSecret", version), s.step("testSecret", version))
		},
		broken: "not a valid RSA private key",
	}.play(t)
}
