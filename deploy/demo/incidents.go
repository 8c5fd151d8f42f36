package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// incidents are what happens in the shop, in order.
var incidents = []act{
	{"A second fleet, which is watched", "The same template again, for three hosts with one account each, now with its " +
		"second function, a mail address and a Slack channel. The schedule has that function look at all hosts once a day; " +
		"this program does not wait, and hands it the Scheduled Event. After an event stands what the function saw: " +
		"hosts, the state of their accounts, open alerts.",
		inShop((*shop).begins)},
	{"A key that is gone", "A tool that knows nothing of it writes the key file on " + shop2 + " anew. The first mail and the first " +
		"thread stand here whole, but for words that fit no line; of later mails what happened and where, as far as that " +
		"is new, and of later messages, which say the same, the title.", inShop((*shop).keyGone)},
	{"A key that nobody knows", "Somebody adds his own key on " + shop1 + ", with a comment that clears screens and calls the " +
		"whole channel.", inShop((*shop).unknownKey)},
	{"A home that others may write", "On " + shop3 + " somebody makes the home group-writable. The key is in place, but sshd does not " +
		"honour it any more.", inShop((*shop).openHome)},
	{"A host that was away", shop3 + " is offline while the secret is rotated, which this stack allows for one host. Then it is back, " +
		"with the old key.", inShop((*shop).awayHost)},
	{"A retired key put back", "On " + shop1 + " the line of the previous key is taken from a backup. Taking keys away is left to people, " +
		"unless the stack says Heal=all.", inShop((*shop).retiredKey)},
	{"A rotation that fails", "The disk of " + shop1 + " is full, and a rotation begins.", inShop((*shop).failingRotation)},
	{"A rotation that no event tells of", "The rule for what Secrets Manager does by itself is disabled during a rotation, and enabled again. " +
		"Then the function is told to wait a second for such an event in place of 20 minutes.", inShop((*shop).untoldRotation)},
	{"A value put by hand", "Somebody stores a key pair of his own in the secret, past any rotation.", inShop((*shop).valueByHand)},
	{"An event that comes twice", "Somebody switches rotation off. EventBridge promises to hand an event over at least once; here it " +
		"does so twice.", inShop((*shop).eventTwice)},
	{"The operator and the auditor", "What the command keytrail tells the one who runs the fleet, and the one who trusts nobody.",
		inShop((*shop).audited)},
}

func (s *shop) begins(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	var names []string
	for _, m := range s.hosts {
		names = append(names, m.name+" is "+m.id())
	}
	s.note("hosts", strings.Join(names, ", "))
	if err := s.aws.create(ctx); err != nil {
		return err
	}
	r, err := s.rotate(ctx, func(ctx context.Context) (string, error) {
		return s.aws.turnOn(ctx, s.demo.lab.Lambda().ARN(shopRotate))
	})
	if err != nil {
		return err
	}
	s.find("the first rotation ended well in its four steps", r.problems()...)
	_, err = s.learn("the function looked at the hosts by itself, and troubled nobody", "3 of 3 hosts, 3 ok; no alert open", 0)
	return err
}

func (s *shop) keyGone(ctx context.Context) error {
	if err := s.host(shop2).WriteKeys(shopUser); err != nil {
		return err
	}
	if err := s.try(ctx, "without its line, "+shop2+" refuses the live key", s.live(), refused, shop2); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	gone := critical("live key missing", 1)
	_, err := s.learn("three mails and one thread: missing, mended, over; and nothing else came",
		"3 of 3 hosts, 3 ok; no alert open", 1, gone, info("drift mended", 1), resolved(gone))
	if err != nil {
		return err
	}
	return s.try(ctx, shop2+" takes the live key again", s.live(), accepted, shop2)
}

func (s *shop) unknownKey(ctx context.Context) error {
	key, err := sshkey.Generate("ed25519", "openssh", "")
	if err != nil {
		return err
	}
	undo, err := s.addLine(shop1, key.Public().String()+" \x1b[2J<!channel>")
	if err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	unknown := high("unknown key trusted").on(1)
	p, err := s.learn("people hear of it once, and nothing of the comment's tricks reaches them", "3 of 3 hosts, 3 ok; 1 alert open", 1, unknown)
	if err != nil {
		return err
	}
	s.find("the mail names the key by its fingerprint", p.lacks(unknown, shopSecret, string(key.Public().Fingerprint()))...)
	if err := s.try(ctx, "whoever has it logs in to "+shop1+": foreign keys are left to people", key, accepted, shop1); err != nil {
		return err
	}
	s.note("then", "a person takes the line out")
	if err := undo(); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	if _, err := s.learn("then they hear that it is over", "3 of 3 hosts, 3 ok; no alert open", 1, resolved(unknown)); err != nil {
		return err
	}
	return s.try(ctx, "and no host takes it", key, refused)
}

func (s *shop) openHome(ctx context.Context) error {
	home := s.host(shop3).Path("/home/" + shopUser)
	if err := os.Chmod(home, 0o775); err != nil {
		return err
	}
	if err := s.try(ctx, shop3+" refuses the live key", s.live(), refused, shop3); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	refuses := critical("sshd refuses the live key", 1)
	if _, err := s.learn("people hear of it once", "3 of 3 hosts, 2 ok, 1 refused; 1 alert open", 1, refuses); err != nil {
		return err
	}
	s.note("then", "a person mends the mode")
	if err := os.Chmod(home, 0o755); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	if _, err := s.learn("then they hear that it is over", "3 of 3 hosts, 3 ok; no alert open", 1, resolved(refuses)); err != nil {
		return err
	}
	return s.try(ctx, "and "+shop3+" takes the live key", s.live(), accepted, shop3)
}

func (s *shop) awayHost(ctx context.Context) error {
	if err := s.host(shop3).SetState(host.Offline); err != nil {
		return err
	}
	r, err := s.rotate(ctx, s.aws.rotateNow)
	if err != nil {
		return err
	}
	s.find("the rotation ended well without it", r.problems()...)
	unseen := medium("hosts could not be checked", 1)
	if _, err := s.learn("people hear that it could not be checked", "2 of 3 hosts, 2 ok, 1 unreachable; 1 alert open", 1, unseen); err != nil {
		return err
	}
	s.note("then", shop3+" is back")
	if err := s.host(shop3).SetState(host.Online); err != nil {
		return err
	}
	if err := s.try(ctx, "back again, it takes the old key still", s.old(), accepted, shop3); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	gone := critical("live key missing", 1)
	// That it was mended happened before on this day.
	_, err = s.learn("then they hear that it was seen, lacked the key, and has it; that such was mended is said once a day",
		"3 of 3 hosts, 3 ok; no alert open", 2, resolved(unseen), gone, resolved(gone))
	if err != nil {
		return err
	}
	if err := s.try(ctx, "every host takes the live key", s.live(), accepted); err != nil {
		return err
	}
	return s.try(ctx, "and none the old one", s.old(), refused)
}

func (s *shop) retiredKey(ctx context.Context) error {
	if _, err := s.addLine(shop1, s.old().Public().String()); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	stale := critical("retired key still trusted", 1)
	p, err := s.learn("people hear of it once", "3 of 3 hosts, 2 ok, 1 stale; 1 alert open", 1, stale)
	if err != nil {
		return err
	}
	if err := s.try(ctx, shop1+" takes the retired key until somebody does what the mail says", s.old(), accepted, shop1); err != nil {
		return err
	}
	if err := s.obey(ctx, p, stale, 1); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	if _, err := s.learn("then they hear that it is over", "3 of 3 hosts, 3 ok; no alert open", 1, resolved(stale)); err != nil {
		return err
	}
	return s.try(ctx, "and no host takes it", s.old(), refused)
}

func (s *shop) failingRotation(ctx context.Context) error {
	bad := s.host(shop1)
	if err := bad.Change(func(w *host.Switches) { w.DiskFull = true }); err != nil {
		return err
	}
	r, err := s.rotate(ctx, s.aws.rotateNow)
	if err != nil {
		return err
	}
	for _, e := range r.failed {
		s.note("log", clean(fmt.Sprintf("%s, %s: %s: %s", bad.name, e.User, e.State, e.Reason)))
	}
	s.find("the rotation stopped in setSecret, because of "+shop1+" alone", stoppedBy(r, "setSecret", bad.id())...)
	failed, blocked := high("rotation failed").on(1), high("next rotation blocked")
	p, err := s.learn("people hear of it, and that it stands in the way of the next one", "3 of 3 hosts, 3 ok; 2 alerts open", 2, failed, blocked)
	if err != nil {
		return err
	}
	if err := s.abandoned(ctx, r); err != nil {
		return err
	}
	s.note("then", "the disk has room again, and somebody does what the mail says")
	if err := bad.Change(func(w *host.Switches) { w.DiskFull = false }); err != nil {
		return err
	}
	if err := s.obey(ctx, p, failed, 1); err != nil {
		return err
	}
	_, err = s.learn("then they hear that both are over", "3 of 3 hosts, 3 ok; no alert open", 2, resolved(failed), resolved(blocked))
	if err != nil {
		return err
	}
	if err := s.promoted(ctx); err != nil {
		return err
	}
	return s.try(ctx, "and every host takes the new key", s.live(), accepted)
}

// abandoned finds that the key of a rotation that failed was on the other
// hosts, and is nowhere.
func (s *shop) abandoned(ctx context.Context, r rotation) error {
	key, err := s.aws.key(ctx, pending)
	if err != nil {
		return err
	}
	problems, err := s.holders(key)
	if err != nil {
		return err
	}
	if n := len(r.ended); n > 0 {
		if ok, all := r.ended[n-1].accounts(); ok != 2 || all != 3 {
			problems = append(problems, fmt.Sprintf("it came to %d of %d hosts", ok, all))
		}
	}
	s.find("the key that it made came to two hosts, and was taken away there", problems...)
	return s.try(ctx, "every host takes the live key", s.live(), accepted)
}

func (s *shop) untoldRotation(ctx context.Context) error {
	rule := aws.String(shopStack + "-svc")
	if _, err := s.aws.bus.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: rule}); err != nil {
		return err
	}
	r, err := s.rotate(ctx, s.aws.rotateNow)
	if err != nil {
		return err
	}
	s.find("the rotation ended well", r.problems()...)
	if _, err := s.learn("nobody looked, and nobody heard of it", "", 0); err != nil {
		return err
	}
	if _, err := s.aws.bus.EnableRule(ctx, &eventbridge.EnableRuleInput{Name: rule}); err != nil {
		return err
	}
	before, err := s.patience("1s")
	if err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	missed := medium("rotation without an event", 0)
	p, err := s.learn("the next look finds it, and people hear of it once", "3 of 3 hosts, 3 ok; no alert open", 1, missed)
	if err != nil {
		return err
	}
	s.find("the mail names the version, and says that nothing will tell of an end",
		slices.Concat(p.lacks(missed, shopSecret, r.version), p.lacks(missed, shopSecret, "no message will say that it is over"))...)
	_, err = s.patience(before)
	return err
}

func (s *shop) valueByHand(ctx context.Context) error {
	mine, err := sshkey.Generate("ed25519", "openssh", "mine")
	if err != nil {
		return err
	}
	s.made = append(s.made, mine)
	s.begin("the function looks at the hosts")
	if err := s.aws.put(ctx, mine); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	// The label AWSPENDING stays where the rotation before left it.
	changed, byHand, blocked := high("value or label changed"), high("value put by hand"), high("next rotation blocked")
	p, err := s.learn("people hear of it, that nobody adopted it, and what it blocks",
		"3 of 3 hosts, 3 ok; 2 alerts open", 3, changed, byHand, blocked)
	if err != nil {
		return err
	}
	s.find("and who did it", p.lacks(changed, shopSecret, "arn:aws:iam::111122223333:user/operator changed the value")...)
	if err := s.try(ctx, "nothing of it is rolled out: every host refuses it,", mine, refused); err != nil {
		return err
	}
	if err := s.try(ctx, "and takes the key from before", s.live(), accepted); err != nil {
		return err
	}
	s.note("then", "somebody trusts the value, and does what the mails say")
	for _, step := range []struct {
		of      notice
		command int
	}{{byHand, 1}, {byHand, 2}, {blocked, 1}} {
		if err := s.obey(ctx, p, step.of, step.command); err != nil {
			return err
		}
	}
	_, err = s.learn("then they hear that both are over", "3 of 3 hosts, 3 ok; no alert open", 2, resolved(byHand), resolved(blocked))
	if err != nil {
		return err
	}
	if err := s.try(ctx, "every host takes the adopted key", mine, accepted); err != nil {
		return err
	}
	return s.try(ctx, "and none the one from before", s.live(), refused)
}

func (s *shop) eventTwice(ctx context.Context) error {
	s.begin("rotation is switched off")
	s.demo.bus.repeat(true)
	_, err := s.aws.secrets.CancelRotateSecret(ctx, &secretsmanager.CancelRotateSecretInput{SecretId: &s.aws.secret})
	if err := errors.Join(err, s.settle(ctx)); err != nil {
		return err
	}
	s.demo.bus.repeat(false)
	copies := s.demo.bus.peek()
	off := high("rotation switched off")
	p, err := s.learn("people hear of it once", "", 1, off)
	if err != nil {
		return err
	}
	s.find("the function was done with both copies, which have one id", twice(s.reactions)...)
	if err := s.obey(ctx, p, off, 1); err != nil {
		return err
	}
	if _, err := s.learn("then they hear that it is over", "3 of 3 hosts, 3 ok; no alert open", 1, resolved(off)); err != nil {
		return err
	}
	if err := s.promoted(ctx); err != nil {
		return err
	}
	s.note("then", "the same event comes a third time, late")
	s.begin("an old event")
	if len(copies) == 0 {
		return errors.New("no event told that rotation was switched off")
	}
	if err := s.hand(ctx, copies[0].body); err != nil {
		return err
	}
	if _, err := s.learn("and nothing when the event is late", "", 0); err != nil {
		return err
	}
	leaks, err := s.demo.findPrivateKeys(slices.Concat(s.made, s.keys))
	if err != nil {
		return err
	}
	s.find("in no mail, message, log or record stands a part of a private key", leaks...)
	return nil
}

// twice is empty if the function was done with one event two times.
func twice(reactions []reaction) []string {
	var ids []string
	for _, r := range reactions {
		if r.Message == eventDone {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] == "" {
		return []string{fmt.Sprintf("it was done with the events %q", ids)}
	}
	return nil
}
