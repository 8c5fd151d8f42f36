package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate"
)

func TestARotationThatSucceededIsVerifiedAndNobodyIsTroubled(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), nil)
	s := w.rotated("fleet")
	if m := w.metrics("fleet"); m["Coverage"] != 100 || m["Places.ok"] != 2 || m["HostsExpected"] != 2 || m["OpenAlerts"] != 0 || m["KeyAgeDays"] <= 0 || m["KeyAgeDays"] > 0.1 {
		t.Errorf("metrics: %v", m)
	}
	s.mustRotate()
	w.sweep()
	w.expect()
	if chat := w.chat(); chat != "" {
		t.Errorf("the chat says\n%s", chat)
	}
	if bodies, reasons := w.dead(); len(bodies) > 0 {
		t.Errorf("dead letters: %q %q", bodies, reasons)
	}
	w.noneDenied("s3:ListBucket") // of a lease that nobody took yet
}

func TestSuccessIsToldToWhomWantsToHearOfIt(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), []string{"Mute=none"})
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	w.settle()
	m := w.expect("[INFO] rotated and proven: fleet")[0]
	if !strings.Contains(m.text, s.key(current).fingerprint()) {
		t.Errorf("the mail does not name the key:\n%s", m.text)
	}
}

func TestAKeyThatWasRemovedIsToldOfPutBackAndOver(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), nil)
	s := w.rotated("fleet")
	h := w.Hosts()[1]
	if err := h.WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	all := w.expect("[CRITICAL] live key missing: fleet (1 host)", "[INFO] drift mended: fleet (1 host)", "[RESOLVED, was critical] live key missing: fleet")
	if !strings.Contains(all[0].text, "The live key of fleet is missing on host "+h.ID()) || !strings.Contains(all[0].text, user+" on "+h.ID()) {
		t.Errorf("the mail:\n%s", all[0].text)
	}
	if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	chat := w.chat()
	if strings.Count(chat, "# thread-") != 1 || strings.Count(chat, "    | Amazon Q Developer") != 2 {
		t.Errorf("not one thread with two replies:\n%s", chat)
	}
	w.noneDenied("s3:ListBucket") // of a lease that nobody took yet
}

func TestWithoutHealingDriftIsLeftToPeople(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), []string{"Heal=off"})
	s := w.rotated("fleet")
	if err := w.Hosts()[0].WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	m := w.expect("[CRITICAL] live key missing")[0]
	w.sweep() // nothing is new
	w.expect()
	if err := refused(s.key(current), user, w.Hosts()[0]); err != nil {
		t.Error(err)
	}
	// A reader does what the mail says.
	if command := commandIn(t, m, "aws lambda invoke"); !strings.Contains(command, `{"Action":"reconcile","SecretId":"`+s.arn+`"}`) {
		t.Errorf("the command is %s", command)
	}
	s.reconcile()
	w.sweep()
	w.expect("[RESOLVED, was critical] live key missing")
}

func TestARetiredKeyThatIsBackIsToldOfUntilItIsGone(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), nil)
	s := w.rotated("fleet")
	old := s.key(current)
	s.mustRotate()
	w.settle()
	h := w.Hosts()[0]
	if err := h.WriteKeys(user, s.key(current).line, old.line); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	m := w.expect("[CRITICAL] retired key still trusted: fleet (1 host)")[0]
	if !strings.Contains(m.text, old.fingerprint()) {
		t.Errorf("the mail does not name the key:\n%s", m.text)
	}
	if err := logsIn(old, user, h); err != nil {
		t.Errorf("it was healed unasked: %v", err)
	}
	s.reconcile()
	w.sweep()
	w.expect("[RESOLVED, was critical] retired key still trusted")
}

func TestARetiredKeyIsTakenAwayWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), []string{"Heal=all"})
	s := w.rotated("fleet")
	old := s.key(current)
	s.mustRotate()
	w.settle()
	if err := w.Hosts()[0].WriteKeys(user, s.key(current).line, old.line); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[CRITICAL] retired key still trusted", "[INFO] drift mended", "[RESOLVED, was critical] retired key still trusted")
	if err := refused(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

func TestARetiredKeyInAnAccountThatNobodyAskedAboutIsToldOf(t *testing.T) {
	t.Parallel()
	spec := node(1)
	spec.Users = append(spec.Users, host.User{Name: "bob"})
	w := watch(t, []host.Spec{spec}, []string{"Heal=all"})
	s := w.rotated("fleet")
	old := s.key(current)
	s.mustRotate()
	w.settle()
	if err := w.Hosts()[0].WriteKeys("bob", old.line); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	m := w.expect("[CRITICAL] retired key still trusted: fleet (1 host)")[0]
	if !strings.Contains(m.text, "bob on "+spec.ID) || !strings.Contains(m.text, old.fingerprint()) {
		t.Errorf("the mail:\n%s", m.text)
	}
	if text := keyFile(t, w.Hosts()[0], "bob"); text != old.line+"\n" {
		t.Errorf("bob's file was touched:\n%s", text)
	}
	if err := w.Hosts()[0].WriteKeys("bob"); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[RESOLVED, was critical] retired key still trusted")
}

func TestAStrangersKeyAndAForgedOneAreToldApart(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), nil)
	s := w.rotated("fleet")
	other := w.rotated("other") // whose key is on the same account, and no stranger's
	rogue, forged := newKey(t, "rogue"), newKey(t, "keytrail:fleet:"+s.holder(current))
	for i, k := range []key{rogue, forged} {
		if err := w.Hosts()[i].WriteKeys(user, s.key(current).line, other.key(current).line, k.line); err != nil {
			t.Fatal(err)
		}
	}
	w.sweep()
	all := w.expect("[HIGH] unknown key trusted: fleet (1 host)", "[CRITICAL] forged key: fleet (1 host)", "[HIGH] unknown key trusted: other", "[CRITICAL] forged key: other")
	if !strings.Contains(all[0].text, rogue.fingerprint()) || !strings.Contains(all[1].text, forged.fingerprint()) {
		t.Errorf("the mails do not name the keys:\n%s\n%s", all[0].text, all[1].text)
	}
	for _, h := range w.Hosts() {
		if err := h.WriteKeys(user, s.key(current).line, other.key(current).line); err != nil {
			t.Fatal(err)
		}
	}
	w.sweep()
	w.expect("[RESOLVED, was high] unknown key trusted: fleet", "[RESOLVED, was critical] forged key: fleet", "[RESOLVED, was high] unknown key trusted: other", "[RESOLVED, was critical] forged key: other")
}

func TestAHomeThatOthersMayWriteIsToldOf(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	w.rotated("fleet")
	home := w.Hosts()[0].Path("/home/" + user)
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[CRITICAL] sshd refuses the live key: fleet (1 host)")
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[RESOLVED, was critical] sshd refuses the live key")
}

func TestAHostThatWasOfflineDuringARotationIsServedOnceItIsBack(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), []string{"MaxOffline=1"})
	s := w.rotated("fleet")
	old, late := s.key(current), w.Hosts()[1]
	if err := late.SetState(host.Offline); err != nil {
		t.Fatal(err)
	}
	s.mustRotate()
	w.settle()
	w.expect("[MEDIUM] hosts could not be checked: fleet (1 host)")
	if err := late.SetState(host.Online); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[RESOLVED, was medium] hosts could not be checked", "[CRITICAL] live key missing: fleet (1 host)", "[INFO] drift mended", "[RESOLVED, was critical] live key missing")
	if err := logsIn(s.key(current), user, late); err != nil {
		t.Error(err)
	}
	if err := refused(old, user, late); err != nil {
		t.Error(err)
	}
}

func TestAFailedRotationIsToldWithItsStepItsHostsAndWhatToDo(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), nil)
	s := w.rotated("fleet")
	live, bad := s.key(current), w.Hosts()[1]
	if err := bad.SetState(host.Offline); err != nil {
		t.Fatal(err)
	}
	version, err := s.rotate()
	if err == nil {
		t.Fatal("it succeeded")
	}
	w.settle()
	m := w.expect("[HIGH] rotation failed: fleet (1 host)", "[MEDIUM] hosts could not be checked: fleet", "[HIGH] next rotation blocked: fleet")[0]
	for _, word := range []string{"failed in setSecret", version, bad.ID(), "unreachable", "aws secretsmanager rotate-secret", `"Abandoned":"` + version + `"`} {
		if !strings.Contains(m.text, word) {
			t.Errorf("the mail lacks %q:\n%s", word, m.text)
		}
	}
	// The key of the rotation that failed was on the other host, and is not any more.
	for text := range strings.Lines(keyFile(t, w.Hosts()[0], user)) {
		if strings.Contains(text, version) {
			t.Errorf("the abandoned key is still there: %s", text)
		}
	}
	if err := logsIn(live, user, w.Hosts()[0]); err != nil {
		t.Error(err)
	}
	if err := bad.SetState(host.Online); err != nil {
		t.Fatal(err)
	}
	if _, err := s.rotate(); says(err, "will be reattempted") != nil {
		t.Fatal(err)
	}
	w.settle()
	w.expect("[RESOLVED, was high] rotation failed", "[RESOLVED, was medium] hosts could not be checked", "[RESOLVED, was high] next rotation blocked")
}

// TestAFailedRotationNamesTheHostThatCouldNotWrite: nobody who only looks at the host sees that its disk is full.
func TestAFailedRotationNamesTheHostThatCouldNotWrite(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(2), nil)
	s := w.rotated("fleet")
	bad := w.Hosts()[1]
	full := func(is bool) {
		t.Helper()
		if err := bad.Change(func(s *host.Switches) { s.DiskFull = is }); err != nil {
			t.Fatal(err)
		}
	}
	full(true)
	if _, err := s.rotate(); err == nil {
		t.Fatal("it succeeded")
	}
	full(false) // when the hosts are looked at, nothing is to be seen any more
	w.settle()
	m := w.expect("[HIGH] rotation failed: fleet (1 host)", "[HIGH] next rotation blocked: fleet")[0]
	for _, word := range []string{bad.ID() + ": unverifiable", "is the disk full or read-only"} {
		if !strings.Contains(strings.Join(strings.Fields(m.text), " "), word) {
			t.Errorf("the mail lacks %q:\n%s", word, m.text)
		}
	}
	w.sweep()
	w.settle()
	w.expect() // the sweep sees the same, and nobody is told twice
}

func TestARotationThatWasAbandonedIsToldWithWhatUnblocksIt(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	live, mine := s.key(current), newKey(t, "by hand")
	// Somebody puts a value while setSecret runs.
	var once sync.Once
	remove := w.Front().Inject(wire.Fault{Match: wire.Action("ssm", "SendCommand"), When: wire.After, Do: func(context.Context, wire.Request) error {
		once.Do(func() { s.put(mine.value()) })
		return nil
	}})
	version, err := s.rotate()
	remove()
	if err == nil {
		t.Fatal("it succeeded")
	}
	w.settle()
	subjects := w.distinct()
	for _, want := range []string{"[HIGH] rotation abandoned: fleet", "[HIGH] value or label changed: fleet", "[HIGH] value put by hand: fleet"} {
		if !slices.ContainsFunc(subjects, func(subject string) bool { return strings.HasPrefix(subject, want) }) {
			t.Errorf("no mail %q among %q", want, subjects)
		}
	}
	if text := keyFile(t, w.Hosts()[0], user); strings.Contains(text, version) {
		t.Errorf("the abandoned key is still there:\n%s", text)
	}
	if err := logsIn(live, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	// The reader does what the mail says.
	s.mustRotate()
	w.settle()
	subjects = w.distinct()
	for _, want := range []string{"[RESOLVED, was high] rotation abandoned", "[RESOLVED, was high] value put by hand"} {
		if !slices.ContainsFunc(subjects, func(subject string) bool { return strings.HasPrefix(subject, want) }) {
			t.Errorf("no mail %q among %q", want, subjects)
		}
	}
	if err := refused(live, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

// TestASweepLooksAtEverySecret has more secrets than a page, one that only the register knows, and one that
// is nobody's of ours.
func TestASweepLooksAtEverySecret(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), []string{"Mute=rotation-succeeded,no-hosts"})
	const many = 105
	for i := range many {
		w.secret(keytrail, fmt.Sprintf("secret-%03d", i), "", "keytrail:target=Team=none")
	}
	w.secret(keytrail, "not-ours", "")
	gone := w.rotated("gone")
	gone.delete()
	w.settle()
	w.mails()
	w.sweep()
	seen := map[string]bool{}
	for _, text := range strings.Split(w.log(watcher), "\n") {
		var m struct{ Secret string }
		if strings.Contains(text, `"_aws"`) && json.Unmarshal([]byte(text), &m) == nil && m.Secret != "" {
			seen[m.Secret] = true
		}
	}
	if len(seen) != many+1 || !seen["gone"] || !seen["secret-104"] || seen["not-ours"] {
		t.Errorf("looked at %d secrets: %q", len(seen), slices.Sorted(maps.Keys(seen)))
	}
	w.noneDenied("s3:ListBucket")
}

func TestARotationThatNoEventTellsOfIsFound(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	end := w.deaf("svc")
	s.mustRotate()
	end()
	w.settle()
	w.alter(watcher, "KEYTRAIL_PATIENCE=1ms") // it is long ago
	w.sweep()
	m := w.expect("[MEDIUM] rotation without an event: fleet")[0]
	if !strings.Contains(m.text, s.holder(current)) {
		t.Errorf("the mail does not name the version:\n%s", m.text)
	}
	w.sweep()
	w.expect()
}

func TestAValuePutByHandIsToldOfAndNeverRolledOut(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	live, mine := s.key(current), newKey(t, "by hand")
	s.put(mine.value())
	w.settle()
	all := w.expect("[HIGH] value or label changed: fleet", "[HIGH] value put by hand: fleet",
		"[HIGH] next rotation blocked: fleet") // by the label of the rotation before, which nobody moves now
	if !strings.Contains(all[0].text, "arn:aws:iam::111122223333:") {
		t.Errorf("the mail does not say who:\n%s", all[0].text)
	}
	w.sweep()
	w.expect()
	if err := logsIn(live, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	s.mustAct(rotate.ActionRequest{Action: rotate.Adopt})
	s.reconcile()
	w.alter(watcher, "KEYTRAIL_PATIENCE=1ms")
	w.sweep()
	w.expect("[RESOLVED, was high] value put by hand: fleet")
	if err := logsIn(mine, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

func TestAHeldSecretIsWatchedAndNotTouched(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	if _, err := w.secrets.TagResource(t.Context(), &secretsmanager.TagResourceInput{SecretId: &s.arn, Tags: []types.Tag{{Key: aws.String("keytrail:hold"), Value: aws.String("incident 7")}}}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.expect("[MEDIUM] tags changed: fleet")
	if err := w.Hosts()[0].WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[CRITICAL] live key missing")
	if text := keyFile(t, w.Hosts()[0], user); text != "" {
		t.Errorf("it was healed:\n%s", text)
	}
}

func TestChangesOfASecretAreToldWithWhoMadeThem(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	ctx := t.Context()
	for _, row := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"rotation is switched off", func() error {
			_, err := w.secrets.CancelRotateSecret(ctx, &secretsmanager.CancelRotateSecretInput{SecretId: &s.arn})
			return err
		}, []string{"[HIGH] rotation switched off: fleet"}},
		{"and on again", func() error {
			s.mustRotate()
			return nil
		}, []string{"[RESOLVED, was high] rotation switched off: fleet"}},
		{"its policy is changed", func() error {
			_, err := w.secrets.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: &s.arn, ResourcePolicy: aws.String(
				`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:PutSecretValue","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"444455556666"}}}]}`)})
			return err
		}, []string{"[HIGH] resource policy changed: fleet"}},
		{"it is deleted", func() error {
			_, err := w.secrets.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &s.arn})
			return err
		}, []string{"[CRITICAL] secret deleted: fleet"}},
		{"and restored", func() error {
			_, err := w.secrets.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &s.arn})
			return err
		}, []string{"[RESOLVED, was critical] secret deleted: fleet"}},
	} {
		if err := row.do(); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		w.settle()
		w.sweep() // which finds the same
		for i, m := range w.expect(row.want...) {
			if !strings.HasPrefix(row.want[i], "[RESOLVED") && !strings.Contains(m.text, "arn:aws:iam::111122223333:") {
				t.Errorf("%s: the mail does not say who:\n%s", row.name, m.text)
			}
		}
	}
}

func TestAnotherFunctionThatRotatesASecretIsToldOf(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	w.runByHand("stranger")
	w.mayRotate("stranger")
	_, err := w.secrets.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: &s.arn, RotationLambdaARN: aws.String(w.Lambda().ARN("stranger")), RotationRules: rules, RotateImmediately: aws.Bool(false),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	m := w.expect("[HIGH] rotation function changed: fleet")[0]
	if !strings.Contains(m.text, "stranger") {
		t.Errorf("the mail does not name the function:\n%s", m.text)
	}
}

func TestAPrivateKeyThatSomebodyElseReadsIsToldOf(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), []string{"Readers=arn:aws:iam::111122223333:role/apps/*"})
	s := w.rotated("fleet")
	s.key(current) // the operator reads it
	w.settle()
	m := w.expect("[CRITICAL] private key read: fleet")[0]
	if !strings.Contains(m.text, "not among KEYTRAIL_READERS") {
		t.Errorf("the mail:\n%s", m.text)
	}
	s.key(current)
	w.settle()
	w.expect() // once in a day
}

func TestASecretThatIsGoneIsFollowedUntilNoHostTrustsIt(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	live := s.key(current)
	s.delete()
	w.settle()
	w.sweep()
	w.expect("[CRITICAL] secret deleted: fleet", "[CRITICAL] retired key still trusted: fleet (1 host)")
	if err := w.Hosts()[0].WriteKeys(user, newKey(t, "friend").line); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[RESOLVED, was critical] secret deleted", "[RESOLVED, was critical] retired key still trusted", "[HIGH] unknown key trusted")
	if err := refused(live, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

func TestTheEndOfAGracePeriodIsBroughtAbout(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), []string{"Grace=1h"})
	s := w.rotated("fleet")
	old := s.key(current)
	s.mustRotate()
	w.settle()
	w.sweep()
	w.expect()
	if err := logsIn(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	// An hour later: the grace is over for both functions alike.
	w.alter(keytrail, "KEYTRAIL_GRACE=1ms")
	w.alter(watcher, "KEYTRAIL_GRACE=1ms")
	w.sweep()
	w.expect()
	if err := refused(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

func TestAnEventThatComesTwiceIsToldOnce(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil, func(o *lab.Options) { o.Events.Duplicates = 1; o.Async.Duplicates = 1 })
	s := w.rotated("fleet")
	if _, err := w.secrets.CancelRotateSecret(t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: &s.arn}); err != nil {
		t.Fatal(err)
	}
	s.put(newKey(t, "by hand").value())
	w.settle()
	w.expect("[HIGH] rotation switched off: fleet", "[HIGH] value or label changed: fleet", "[HIGH] value put by hand: fleet", "[HIGH] next rotation blocked: fleet")
}

func TestAMalformedEventIsBuriedOnceWithItsReason(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	w.deliver(`{"id":"8","source":"aws.secretsmanager","detail-type":"AWS Service Event via CloudTrail","account":"111122223333","region":"us-east-1","detail":{"eventName":"RotationSucceeded"}}`)
	bodies, reasons := w.dead()
	if len(bodies) != 1 || !strings.Contains(bodies[0], `"RotationSucceeded"`) || !strings.Contains(reasons[0], "malformed event") {
		t.Errorf("dead letters: %q, reasons %q", bodies, reasons)
	}
	for name, event := range map[string]string{
		"of another account":                           `{"id":"1","source":"aws.secretsmanager","detail-type":"AWS Service Event via CloudTrail","account":"444455556666","region":"us-east-1","time":"2026-11-20T12:00:00Z","detail":{"eventName":"RotationFailed","additionalEventData":{"SecretId":"arn:aws:secretsmanager:us-east-1:444455556666:secret:x-AbCdEf"}}}`,
		"of another Region":                            `{"id":"2","source":"aws.secretsmanager","detail-type":"AWS Service Event via CloudTrail","account":"111122223333","region":"eu-west-1","time":"2026-11-20T12:00:00Z","detail":{"eventName":"RotationFailed","additionalEventData":{"SecretId":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:x-AbCdEf"}}}`,
		"of a secret that is gone, and was never ours": `{"id":"3","source":"aws.secretsmanager","detail-type":"AWS Service Event via CloudTrail","account":"111122223333","region":"us-east-1","time":"2026-11-20T12:00:00Z","detail":{"eventName":"RotationFailed","additionalEventData":{"SecretId":"arn:aws:secretsmanager:us-east-1:111122223333:secret:x-AbCdEf"}}}`,
		"of a kind that nobody knows":                  `{"id":"4","source":"aws.secretsmanager","detail-type":"News","account":"111122223333","region":"us-east-1","time":"2026-11-20T12:00:00Z","detail":{}}`,
	} {
		w.deliver(event)
		if bodies, _ := w.dead(); len(bodies) > 0 {
			t.Errorf("an event %s is a dead letter", name)
		}
	}
	w.expect()
}

func TestAnEventFromTheFutureMakesNothingLookOld(t *testing.T) {
	t.Parallel()
	w := watch(t, nodes(1), nil)
	s := w.rotated("fleet")
	w.deliver(fmt.Sprintf(`{"id":"5","source":"aws.secretsmanager","detail-type":"AWS Service Event via CloudTrail","account":"111122223333","region":"us-east-1","time":"2126-11-20T12:00:00Z","detail":{"eventName":"RotationSucceeded","eventTime":"2126-11-20T12:00:00Z","eventID":"f","additionalEventData":{"SecretId":%q},"requestID":"Rotation-%s-%s"}}`, s.arn, s.arn, s.holder(current)))
	if err := w.Hosts()[0].WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.expect("[CRITICAL] live key missing", "[INFO] drift mended", "[RESOLVED, was critical] live key missing")
}

// TestWhateverCallFailsTheAlertArrivesOrTheEventIsKept has each call of the events function fail, once and
// for good, and its process die around it.
func TestWhateverCallFailsTheAlertArrivesOrTheEventIsKept(t *testing.T) {
	long(t)
	w := watch(t, nodes(1), []string{"Heal=off"})
	s := w.rotated("fleet")
	line, h := s.key(current).line, w.Hosts()[0]
	byWatcher := func(r wire.Request) bool { return strings.Contains(r.Caller.ARN, "/"+watcher) }
	number := 0
	check := func() {
		number++
		w.deliver(fmt.Sprintf(`{"version":"0","id":"check-%d","detail-type":"Check Secret","source":"keytrail","account":"111122223333",
			"region":"us-east-1","time":%q,"detail":{"secretId":%q}}`, number, time.Now().UTC().Format(time.RFC3339), s.arn))
	}
	var mu sync.Mutex
	calls := map[string]bool{}
	remember := w.Front().Inject(wire.Fault{Match: byWatcher, Do: func(_ context.Context, r wire.Request) error {
		mu.Lock()
		defer mu.Unlock()
		calls[r.Service+":"+r.Action] = true
		return nil
	}})
	for _, row := range []struct {
		lines []string
		want  string
	}{
		{nil, "[CRITICAL] live key missing"},
		{[]string{line}, "[RESOLVED, was critical] live key missing"},
		{nil, "[CRITICAL] live key missing"},
	} {
		if err := h.WriteKeys(user, row.lines...); err != nil {
			t.Fatal(err)
		}
		check()
		w.expect(row.want)
	}
	remember()
	names := slices.Sorted(maps.Keys(calls))
	if len(names) < 8 {
		t.Fatalf("the function only makes the calls %q", names)
	}
	kill := func(context.Context, wire.Request) error {
		w.Lambda().Kill(watcher)
		return wire.ErrDropped
	}
	for _, name := range names {
		service, action, _ := strings.Cut(name, ":")
		match := func(r wire.Request) bool { return byWatcher(r) && wire.Action(service, action)(r) }
		for _, fault := range []struct {
			what string
			wire.Fault
		}{
			{"throttled", wire.Fault{Match: match, Times: 1, Do: wire.Throttle}},
			{"not available", wire.Fault{Match: match, Times: 1, Do: wire.Unavailable}},
			{"denied", wire.Fault{Match: match, Times: 1, Do: wire.Deny}},
			{"without a reply", wire.Fault{Match: match, Times: 1, When: wire.After, Do: wire.Drop}},
			{"the last one before the process dies", wire.Fault{Match: match, Times: 1, Do: kill}},
			{"the one after which the process dies", wire.Fault{Match: match, Times: 1, When: wire.After, Do: kill}},
			{"denied for good", wire.Fault{Match: match, Do: wire.Deny}},
		} {
			w.forgetAlerts()
			remove := w.Front().Inject(fault.Fault)
			check()
			remove()
			bodies, _ := w.dead()
			arrived := w.distinct()
			alerted := slices.ContainsFunc(arrived, func(subject string) bool {
				return strings.HasPrefix(subject, "[CRITICAL] live key missing") || strings.HasPrefix(subject, "[HIGH] hosts were not asked")
			})
			switch {
			case fault.Times == 1 && (!alerted || len(bodies) > 0):
				t.Errorf("%s %s: mails %q, %d dead letters", name, fault.what, arrived, len(bodies))
			case !alerted && len(bodies) == 0:
				t.Errorf("%s %s: no mail, and no dead letter", name, fault.what)
			}
		}
	}
}
