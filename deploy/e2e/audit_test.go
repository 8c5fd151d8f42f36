package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// auditor looks at the fleet as the stack's auditor does: with the same boundary and register.
func (w *world) auditor() *audit.Auditor {
	url := w.URL()
	all := func(n int) int { return n }
	hosts := fleet.New(fleet.Config{
		Apply: fleet.DocumentRef{Name: "none"}, Inspect: fleet.DocumentRef{Name: fleet.ShellDocument},
		MaxConcurrency: all, MaxErrors: all, DeliveryTimeout: 30 * time.Second, ExecutionTimeout: time.Minute,
	}, w.systems)
	config := audit.Config{Limits: wanted.Limits{Users: []string{user}, Boundary: fleet.Tag{Key: boundaryKey, Value: boundaryValue}}}
	return audit.New(config, w.secrets, register.New(w.objects(), bucket, register.Retention{}), hosts, audit.NewEC2(aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "lab", ""),
	}))
}

// verify asks the hosts of the secret.
func (s secret) verify(a *audit.Auditor) (audit.Verdict, error) {
	described, err := a.Describe(s.t.Context(), s.arn)
	if err != nil {
		return audit.Verdict{}, err
	}
	return a.Verify(s.t.Context(), described)
}

func TestAVerdictTellsEveryStateApart(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	w := newWorld(t, nodes(8, friend.line))
	w.keep()
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	old := s.key(current)
	version := s.mustRotate()
	live := s.key(current)
	auditor := w.auditor()

	v, err := s.verify(auditor)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Clean() || v.Coverage() != (audit.Coverage{Seen: 8, Expected: 8}) || v.Version != version || string(v.Fingerprint) != live.fingerprint() {
		t.Errorf("after a rotation: %+v", v)
	}

	forged := newKey(t, "keytrail:fleet:00000000-0000-0000-0000-000000000000")
	hosts := w.Hosts()
	err = errors.Join(
		hosts[1].WriteKeys(user, friend.line),                            // the live key is gone
		hosts[2].WriteKeys(user, friend.line, live.line, old.line),       // a retired one is back
		hosts[3].WriteKeys(user, live.line, forged.line),                 // an impostor
		hosts[4].SetState(host.Offline), hosts[5].SetState(host.Stopped), // nobody there to ask
		hosts[6].RemoveTag(boundaryKey),                 // left the boundary, and had the key that is live
		hosts[7].Configure("PubkeyAuthentication no\n"), // sshd would not take it
	)
	if err != nil {
		t.Fatal(err)
	}
	files := homes(t, hosts...)
	if v, err = s.verify(auditor); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range v.Places {
		got = append(got, fmt.Sprintf("%s %s %d", p.Host[len(p.Host)-1:], p.State, len(p.Foreign)))
	}
	want := []string{"1 ok 1", "2 missing 1", "3 stale 1", "4 forged 1", "5 unreachable 0", "6 stopped 0", "8 refused 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if v.Clean() || v.Coverage() != (audit.Coverage{Seen: 5, Expected: 7}) || len(v.Drifted()) != 4 {
		t.Errorf("coverage %+v, drifted %d", v.Coverage(), len(v.Drifted()))
	}
	stale := v.Places[2]
	if len(stale.Retired) != 1 || string(stale.Retired[0]) != old.fingerprint() || stale.CommandID == "" ||
		!slices.ContainsFunc(stale.Foreign, func(k fleet.SeenKey) bool {
			return string(k.Fingerprint) == friend.fingerprint() && k.Comment == "friend"
		}) {
		t.Errorf("the host with a retired key: %+v", stale)
	}
	if diff := cmp.Diff(files, homes(t, hosts...)); diff != "" {
		t.Errorf("the auditor changed something:\n%s", diff)
	}
}

// TestARetiredKeyIsFoundInWhateverAccount: a key that was copied to other accounts opens them until somebody
// takes it away, which no rotation does.
func TestARetiredKeyIsFoundInWhateverAccount(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	w := newWorld(t, nodes(3, friend.line))
	w.keep()
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	old := s.key(current)
	s.mustRotate()
	live := s.key(current)
	hosts := w.Hosts()
	err := errors.Join(
		hosts[0].AddUser(host.User{Name: "backup", Keys: []string{friend.line, live.line}}),
		hosts[1].AddUser(host.User{Name: "backup", Keys: []string{friend.line, "no-pty " + old.line}}),
		hosts[2].AddUser(host.User{Name: "root", Keys: []string{old.line}}),
		hosts[2].AddUser(host.User{Name: "empty"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	files := homes(t, hosts...)
	v, err := s.verify(w.auditor())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range v.Places {
		line := fmt.Sprintf("%s %s %s %t", p.Host[len(p.Host)-1:], p.User, p.State, p.Elsewhere)
		if p.Elsewhere {
			line += fmt.Sprintf(" %t, %d foreign", p.Retired[0] == sshkey.Fingerprint(old.fingerprint()) && len(p.Retired) == 1, len(p.Foreign))
		}
		got = append(got, line)
	}
	want := []string{"1 deploy ok false", "2 backup stale true true, 0 foreign", "2 deploy ok false", "3 deploy ok false", "3 root stale true true, 0 foreign"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if v.Clean() || v.Coverage() != (audit.Coverage{Seen: 3, Expected: 3}) || len(v.Drifted()) != 2 {
		t.Errorf("clean %t, coverage %+v, drifted %d", v.Clean(), v.Coverage(), len(v.Drifted()))
	}
	if p := v.Drifted()[0]; p.Reason != "the account was not asked about, and trusts a retired key" || p.CommandID == "" {
		t.Errorf("the other account: %+v", p)
	}

	dry := s.mustAct(rotate.ActionRequest{Action: rotate.Reconcile, DryRun: true})
	if dry.Clean || len(dry.Hosts) != 5 || dry.Counts[fleet.Stale] != 2 || !dry.Hosts[2].Elsewhere || dry.Hosts[2].User != "backup" {
		t.Errorf("a dry run says %+v", dry)
	}
	if result := s.reconcile(); !result.Clean || len(result.Hosts) != 3 {
		t.Errorf("reconcile says %+v", result)
	}
	if diff := cmp.Diff(files, homes(t, hosts...)); diff != "" {
		t.Errorf("an account that is nobody's was changed:\n%s", diff)
	}
}

func TestTheKeysOfASecretThatIsGoneAreLookedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(2, newKey(t, "friend").line))
	w.keep()
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	s.delete()
	v, err := w.auditor().VerifyGone(t.Context(), s.arn)
	if err != nil {
		t.Fatal(err)
	}
	if v.Clean() || !v.Gone || v.SecretName != "fleet" || v.Count()[fleet.Stale] != 2 {
		t.Errorf("%+v", v)
	}
	if _, err := s.verify(w.auditor()); !errors.Is(err, wanted.ErrGone) {
		t.Errorf("verify: %v", err)
	}
}

func TestAKeyThatAnotherSecretGetsMeanwhileIsNoStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.keep()
	s, other := w.secret(keytrail, "fleet", ""), w.secret(keytrail, "other", "")
	s.mustRotate()
	var rotated error
	w.Front().Inject(wire.Fault{
		Match: func(r wire.Request) bool { return r.Action == "SendCommand" && !byFunction(r) },
		Times: 1,
		Do: func(context.Context, wire.Request) error {
			_, rotated = other.rotate()
			return nil
		},
	})
	v, err := s.verify(w.auditor())
	if err := errors.Join(err, rotated); err != nil {
		t.Fatal(err)
	}
	if len(v.Places) != 1 || v.Places[0].State != fleet.OK || len(v.Places[0].Foreign) != 0 {
		t.Errorf("%+v", v)
	}
	if err := logsIn(other.key(current), user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}
