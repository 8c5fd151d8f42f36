package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// bucketOf is the bucket of a stack's register, and bucket that of the product's.
func bucketOf(stack string) string { return stack + "-register" }

var bucket = bucketOf(strings.TrimSuffix(keytrail, "-rotate"))

// objects returns the operator's client of S3.
func (w *world) objects() *s3.Client {
	url := w.URL()
	return s3.New(s3.Options{BaseEndpoint: &url, Region: "us-east-1", UsePathStyle: true, Credentials: operator})
}

// keep runs the product with its register.
func (w *world) keep(env ...string) {
	w.t.Helper()
	w.configure(keytrail, env)
}

// history returns what the register says of the secret.
func (s secret) history() register.History {
	s.t.Helper()
	h, err := register.New(s.objects(), bucket, register.Retention{}).Read(s.t.Context(), s.arn)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// facts counts those of a version by kind.
func (s secret) facts(version string) map[register.Kind]int {
	s.t.Helper()
	n := map[register.Kind]int{}
	for _, f := range s.history().Facts {
		if f.Version == version {
			n[f.Kind]++
		}
	}
	return n
}

// act asks for an action on the secret. The error is the function's.
func (s secret) act(req rotate.ActionRequest) (rotate.ActionResult, error) {
	s.t.Helper()
	req.SecretID = cmp.Or(req.SecretID, s.arn)
	payload, err := json.Marshal(req)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.through(":"+rotate.ActionAlias, payload)
	if err != nil {
		return rotate.ActionResult{}, err
	}
	var result rotate.ActionResult
	if err := json.Unmarshal(answer, &result); err != nil {
		s.t.Fatalf("answer %s: %v", answer, err)
	}
	return result, nil
}

// mustAct is act for what must succeed.
func (s secret) mustAct(req rotate.ActionRequest) rotate.ActionResult {
	s.t.Helper()
	result, err := s.act(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// reconcile brings the hosts to what the secret says.
func (s secret) reconcile() rotate.ActionResult {
	s.t.Helper()
	return s.mustAct(rotate.ActionRequest{Action: rotate.Reconcile})
}

// on is the result of one host.
func on(t testing.TB, result rotate.ActionResult, h *host.Host) rotate.HostResult {
	t.Helper()
	i := slices.IndexFunc(result.Hosts, func(r rotate.HostResult) bool { return string(r.Host) == h.ID() })
	if i < 0 {
		t.Fatalf("%s is not in the answer: %+v", h.ID(), result)
	}
	return result.Hosts[i]
}

// set turns switches of a host.
func set(t testing.TB, h *host.Host, change func(*host.Switches)) {
	t.Helper()
	if err := h.Change(change); err != nil {
		t.Fatal(err)
	}
}

// outline is a host's result in short: "missing to ok, +1 -0".
func outline(r rotate.HostResult) string {
	return fmt.Sprintf("%s to %s, +%d -%d", r.Was, r.State, r.Added, r.Removed)
}

func TestEveryRotationIsRegistered(t *testing.T) {
	t.Parallel()
	byHand := newKey(t, "made by hand")
	w := newWorld(t, nodes(2, byHand.line))
	w.keep()
	s := w.secret(keytrail, "fleet", byHand.value())
	zeroth := s.holder(current)
	first := s.mustRotate()
	if err := refused(byHand, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	second := s.mustRotate()
	for version, want := range map[string]map[register.Kind]int{
		zeroth: {register.Found: 1}, // put by hand, and retired without ever having been rolled out from here
		first:  {register.Created: 1, register.Installed: 1, register.Promoted: 1, register.Retired: 1},
		second: {register.Created: 1, register.Installed: 1, register.Promoted: 1},
	} {
		if got := s.facts(version); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("facts of %s: %v, want %v", version, got, want)
		}
	}
	h := s.history()
	if places := h.Traces(first); len(places) > 0 {
		t.Errorf("the retired key may still be at %v", places)
	}
	if places := h.Traces(second); len(places) != 2 {
		t.Errorf("the live key is at %v, want two places", places)
	}
	if result := s.reconcile(); !result.Clean || result.Version != second {
		t.Errorf("reconcile after a rotation: %+v", result)
	}
	if got := s.facts(second); got[register.Installed] != 1 {
		t.Errorf("a reconcile that changes nothing registers something: %v", got)
	}
}

func TestReconcileBringsEveryHostToWhatTheSecretSays(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	w := newWorld(t, nodes(4, friend.line))
	w.keep("KEYTRAIL_MAX_OFFLINE=1")
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	old := s.key(current)
	hosts := w.Hosts()
	away := hosts[3]
	set(t, away, func(s *host.Switches) { s.State = host.Offline })
	s.mustRotate()
	live := s.key(current)
	set(t, away, func(s *host.Switches) { s.State = host.Online })
	if err := hosts[0].WriteKeys(user, friend.line); err != nil { // somebody removes the live key
		t.Fatal(err)
	}
	if err := hosts[1].WriteKeys(user, friend.line, live.line, old.line); err != nil { // a backup comes back
		t.Fatal(err)
	}
	born, err := w.AddHost(node(5))
	if err != nil {
		t.Fatal(err)
	}
	hosts = append(hosts, born)
	want := []string{"missing to ok, +1 -0", "stale to ok, +0 -1", "ok to ok, +0 -0", "missing to ok, +1 -1", "missing to ok, +1 -0"}
	inspected := []string{"missing to missing, +0 -0", "stale to stale, +0 -0", "ok to ok, +0 -0", "missing to missing, +0 -0", "missing to missing, +0 -0"}

	files, facts := homes(t, hosts...), len(s.history().Facts)
	dry := s.mustAct(rotate.ActionRequest{Action: rotate.Reconcile, DryRun: true})
	for i, h := range hosts {
		if got := outline(on(t, dry, h)); got != inspected[i] {
			t.Errorf("dry run, host %d: %s, want %s", i+1, got, inspected[i])
		}
	}
	if dry.Clean || fmt.Sprint(files) != fmt.Sprint(homes(t, hosts...)) || len(s.history().Facts) != facts {
		t.Error("the dry run changed something, or calls the fleet clean")
	}

	one := s.mustAct(rotate.ActionRequest{Action: rotate.Reconcile, Hosts: []fleet.InstanceID{fleet.InstanceID(hosts[0].ID())}})
	if len(one.Hosts) != 1 || outline(one.Hosts[0]) != want[0] {
		t.Errorf("of one host: %+v", one)
	}
	result := s.reconcile()
	for i, h := range hosts[1:] {
		if got := outline(on(t, result, h)); got != want[i+1] {
			t.Errorf("host %d: %s, want %s", i+2, got, want[i+1])
		}
	}
	if !result.Clean {
		t.Errorf("not clean: %+v", result)
	}
	if err := errors.Join(logsIn(live, user, hosts...), refused(old, user, hosts...), logsIn(friend, user, hosts[:4]...)); err != nil {
		t.Error(err)
	}
}

func TestAHostThatLeftTheFleetIsFollowedUntilItIsClean(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	specs := nodes(3)
	for i := range specs {
		specs[i].Tags["Tier"] = "web"
	}
	specs[1].Users[0].Keys = []string{friend.line}
	w := newWorld(t, specs)
	w.keep()
	s := w.secret(keytrail, "fleet", "", "keytrail:target=Tier=web")
	s.mustRotate()
	old := s.key(current)
	stays, befriended, lonely := w.Hosts()[0], w.Hosts()[1], w.Hosts()[2]
	for _, h := range []*host.Host{befriended, lonely} {
		if err := h.SetTag("Tier", "db"); err != nil {
			t.Fatal(err)
		}
	}
	s.mustRotate()
	live := s.key(current)
	if err := errors.Join(logsIn(live, user, stays), refused(old, user, stays, befriended), refused(live, user, befriended, lonely), logsIn(friend, user, befriended)); err != nil {
		t.Error(err)
	}
	// The retired key is the only one that opens the account.
	if err := logsIn(old, user, lonely); err != nil {
		t.Error(err)
	}
	result := s.reconcile()
	got := on(t, result, lonely)
	if result.Clean || got.State != fleet.Stale || !slices.Equal(got.Trusted, []sshkey.Fingerprint{sshkey.Fingerprint(old.fingerprint())}) {
		t.Errorf("the host that keeps its last key: %+v", got)
	}
	if err := lonely.WriteKeys(user, old.line, friend.line); err != nil {
		t.Fatal(err)
	}
	if result = s.reconcile(); !result.Clean {
		t.Errorf("once there is another key: %+v", result)
	}
	if err := errors.Join(refused(old, user, lonely), logsIn(friend, user, lonely)); err != nil {
		t.Error(err)
	}
	if result = s.reconcile(); len(result.Hosts) != 1 {
		t.Errorf("hosts that left and are clean are still asked: %+v", result.Hosts)
	}
}

func TestAValuePutByHandIsRolledOutOnlyOnceItIsAdopted(t *testing.T) {
	t.Parallel()
	friend, byHand := newKey(t, "friend"), newKey(t, "put by hand")
	w := newWorld(t, nodes(2, friend.line))
	w.keep()
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	before := s.key(current)
	version := s.put(byHand.value())
	for range 2 {
		if result := s.reconcile(); result.Clean || !result.Unregistered {
			t.Errorf("an unregistered value: %+v", result)
		}
		if err := errors.Join(refused(byHand, user, w.Hosts()...), logsIn(before, user, w.Hosts()...)); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if got := s.mustAct(rotate.ActionRequest{Action: rotate.Adopt}); got.Version != version || !slices.Contains(got.Live, sshkey.Fingerprint(byHand.fingerprint())) {
			t.Errorf("adopt: %+v", got)
		}
	}
	if err := refused(byHand, user, w.Hosts()...); err != nil {
		t.Errorf("adopt changes no host: %v", err)
	}
	if result := s.reconcile(); !result.Clean {
		t.Errorf("reconcile: %+v", result)
	}
	if err := errors.Join(logsIn(byHand, user, w.Hosts()...), refused(before, user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
}

func TestRevokeEndsTrustWhateverTheGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(2))
	w.keep("KEYTRAIL_GRACE=24h", "KEYTRAIL_SWEEP=15m")
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	old := s.key(current)
	s.mustRotate()
	if result := s.reconcile(); !result.Clean {
		t.Errorf("in the grace period: %+v", result)
	}
	live, hosts := s.key(current), w.Hosts()
	if err := errors.Join(logsIn(old, user, hosts...), logsIn(live, user, hosts...)); err != nil {
		t.Errorf("in the grace period: %v", err)
	}
	set(t, hosts[1], func(s *host.Switches) { s.State = host.Offline })
	revoke := func(k key) rotate.ActionResult {
		return s.mustAct(rotate.ActionRequest{Action: rotate.Revoke, Fingerprint: sshkey.Fingerprint(k.fingerprint())})
	}
	if result := revoke(old); result.Clean || on(t, result, hosts[1]).State != fleet.Unreachable {
		t.Errorf("revoked while a host is offline: %+v", result)
	}
	set(t, hosts[1], func(s *host.Switches) { s.State = host.Online })
	if result := revoke(old); !result.Clean {
		t.Errorf("revoked again: %+v", result)
	}
	if err := errors.Join(refused(old, user, hosts...), logsIn(live, user, hosts...)); err != nil {
		t.Error(err)
	}

	// A live key that is the last to open the accounts goes once there is another one.
	result := revoke(live)
	if result.Clean || !slices.Equal(result.LockedOut, []string{s.arn}) || result.Counts[fleet.Stale] != 2 {
		t.Errorf("the live key revoked: %+v", result)
	}
	if err := logsIn(live, user, hosts...); err != nil {
		t.Errorf("a host lost its last working key: %v", err)
	}
	s.mustRotate()
	if err := errors.Join(refused(live, user, hosts...), logsIn(s.key(current), user, hosts...)); err != nil {
		t.Error(err)
	}
	if _, err := s.act(rotate.ActionRequest{Action: rotate.Revoke, Fingerprint: sshkey.Fingerprint(newKey(t, "x").fingerprint())}); says(err, "no key of the secret") != nil {
		t.Errorf("a key of nobody: %v", err)
	}
}

func TestTheGracePeriodEndsByReconcile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.keep("KEYTRAIL_GRACE=24h", "KEYTRAIL_SWEEP=15m")
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	oldest := s.key(current)
	s.mustRotate()
	old := s.key(current)
	s.mustRotate()
	live := s.key(current)
	if err := errors.Join(refused(oldest, user, w.Hosts()...), logsIn(old, user, w.Hosts()...), logsIn(live, user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
	w.keep("KEYTRAIL_GRACE=1ms", "KEYTRAIL_SWEEP=15m")
	if result := s.reconcile(); !result.Clean {
		t.Errorf("when it is over: %+v", result)
	}
	if err := errors.Join(refused(old, user, w.Hosts()...), logsIn(live, user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
}

func TestThePendingKeyOfAFailedRotationIsRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(2))
	w.keep()
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	live, hosts := s.key(current), w.Hosts()
	set(t, hosts[1], func(s *host.Switches) { s.DiskFull = true })
	version, err := s.rotate()
	if err := says(err, "setSecret", hosts[1].ID()); err != nil {
		t.Fatal(err)
	}
	set(t, hosts[1], func(s *host.Switches) { s.DiskFull = false })
	left := s.key(pending)
	s.reconcile()
	if err := logsIn(left, user, hosts[0]); err != nil {
		t.Errorf("its rotation may go on: %v", err)
	}
	for range 2 {
		if result := s.mustAct(rotate.ActionRequest{Action: rotate.Reconcile, Abandoned: version}); !result.Clean {
			t.Errorf("it failed: %+v", result)
		}
	}
	if err := errors.Join(refused(left, user, hosts[0]), logsIn(live, user, hosts...)); err != nil {
		t.Error(err)
	}
	// Secrets Manager tries the same version again all the same.
	for _, step := range steps {
		if err := s.step(step, version); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
	if err := errors.Join(logsIn(left, user, hosts...), refused(live, user, hosts...)); err != nil {
		t.Error(err)
	}
}

func TestAHeldSecretIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.keep()
	s := w.secret(keytrail, "fleet", "", "keytrail:hold=incident 7")
	files := homes(t, w.Hosts()...)
	if _, err := s.rotate(); says(err, "keytrail:hold", "incident 7") != nil {
		t.Errorf("rotate: %v", err)
	}
	for _, req := range []rotate.ActionRequest{
		{Action: rotate.Reconcile}, {Action: rotate.Adopt}, {Action: rotate.Revoke, Fingerprint: sshkey.Fingerprint(newKey(t, "x").fingerprint())},
	} {
		if _, err := s.act(req); says(err, "keytrail:hold") != nil {
			t.Errorf("%s: %v", req.Action, err)
		}
	}
	if fmt.Sprint(files) != fmt.Sprint(homes(t, w.Hosts()...)) {
		t.Error("a file changed")
	}
	if _, err := s.act(rotate.ActionRequest{Action: rotate.Reconcile, DryRun: true}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
}

func TestStepsAndActionsHaveTheirOwnDoors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.keep()
	s := w.secret(keytrail, "fleet", "")
	version := s.begin()
	for _, row := range [][3]string{
		{"", `{"Action":"reconcile","SecretId":"fleet"}`, "through the alias reconcile alone"},
		{":reconcile", `{"Step":"createSecret","SecretId":"` + s.arn + `","ClientRequestToken":"` + version + `"}`, "own ARN alone"},
		{":reconcile", `{"Action":"reconcile","Step":"createSecret","SecretId":"fleet"}`, "both a Step and an Action"},
		{":reconcile", `{"Action":"remove","SecretId":"fleet"}`, `unknown Action "remove"`},
		{":reconcile", `{"Action":"adopt"}`, "SecretId is missing"},
		{":reconcile", `{"Action":"revoke","SecretId":"fleet","Fingerprint":"MD5:x"}`, "fingerprint"},
		{":reconcile", `{"Action":"reconcile","SecretId":"fleet","Hosts":["db-1"]}`, "managed node"},
		{":reconcile", `{"Action":"adopt","SecretId":"fleet","DryRun":true}`, "DryRun does not go with adopt"},
		{":reconcile", `[]`, "no JSON object"},
	} {
		if _, err := s.through(row[0], []byte(row[1])); says(err, row[2]) != nil {
			t.Errorf("%s through %q: %v", row[1], row[0], err)
		}
	}
	if s.holder(current) != "" || len(s.history().Facts) > 0 {
		t.Error("something was done")
	}
}

func TestReconcileWorksWithoutARegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	old := s.key(current)
	s.mustRotate()
	h := w.Hosts()[0]
	if err := h.WriteKeys(user, old.line); err != nil {
		t.Fatal(err)
	}
	if result := s.reconcile(); !result.Clean || outline(on(t, result, h)) != "missing to ok, +1 -1" {
		t.Errorf("%+v", result)
	}
	if err := errors.Join(logsIn(s.key(current), user, h), refused(old, user, h)); err != nil {
		t.Error(err)
	}
	if _, err := s.act(rotate.ActionRequest{Action: rotate.Adopt}); says(err, "KEYTRAIL_BUCKET") != nil {
		t.Errorf("adopt: %v", err)
	}
}
