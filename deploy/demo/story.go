package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// An act is a part of the story: what a newcomer is told, and what happens.
type act struct {
	title, text string
	play        func(*demo, context.Context) error
}

// acts are the story, in order.
var acts = []act{
	{"The fleet", "Twelve hosts with two accounts each. Their SSH servers read the key files at every login, " +
		"and some of these files are as odd as files get over the years.", (*demo).showFleet},
	{"The first rotation", "A new secret holds two empty values. Turning rotation on makes Secrets Manager " +
		"call the function four times, once for each step.", (*demo).firstRotation},
	{"Logging in with the new key", "The private key goes from the secret into an ssh-agent inside this " +
		"process, and into no file. Host keys are checked strictly.", (*demo).logInEverywhere},
	{"The second rotation", "Before it, somebody copies the key into the second key file of " + withTwoFiles +
		", by hand. Once it is retired, it must open nothing, wherever it was.", (*demo).secondRotation},
	{"An impostor", "From now on " + impostor + " shows another host key than the one that it reported. " +
		"A login there would prove nothing, so the rotation must stop.", (*demo).meetImpostor},
	{"The rotation that stopped", impostor + " shows its own host key again, and the operator asks for a " +
		"rotation once more.", (*demo).resume},
	{"Where every account stands", "A fresh, read-only inspection through Systems Manager, and the files " +
		"themselves. The last columns say whether the new and the old key log in.", (*demo).takeStock},
}

// tell plays the acts. A claim that is not true ends the story after its act,
// since what follows builds on it.
func (d *demo) tell(ctx context.Context) error {
	d.screen.line(d.screen.paint(bold, "Keytrail rotates the SSH keys of twelve hosts, and watches three more, on this machine"))
	d.screen.line("A lab plays AWS; the CloudFormation template, the function, its host script, key files")
	d.screen.line("and logins are real. Every call is judged by the policies of the template.")
	for i, a := range slices.Concat(acts, incidents) {
		d.screen.heading(i+1, a.title)
		d.screen.say(a.text)
		d.screen.blank()
		if err := a.play(d, ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(a.title), err)
		}
		if err := d.claims.verdict(); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) showFleet(ctx context.Context) error {
	t := table{head: []column{{title: "host"}, {title: "name"}, {title: "kind"}, {title: "what is odd about it", least: 12}}}
	for _, m := range d.fleet {
		t.add(cell{m.id(), plain}, cell{m.name, bold}, cell{m.kind(), plain}, cell{m.odd, yellow})
	}
	d.screen.show(t)
	d.screen.blank()

	online, hybrid, err := d.aws.nodes(ctx)
	if err != nil {
		return err
	}
	var problems []string
	for _, m := range d.fleet {
		if !slices.Contains(online, m.id()) {
			problems = append(problems, m.name+" is not online")
		}
	}
	if hybrid != 1 || len(online) != len(d.fleet) {
		problems = append(problems, fmt.Sprintf("%d are online, %d hybrid", len(online), hybrid))
	}
	d.claims.claim("Systems Manager shows all 12 hosts online, one of them hybrid", problems...)

	if d.before, err = d.files(); err != nil {
		return err
	}
	stranger, err := sshkey.Generate("ed25519", "openssh", "stranger")
	if err != nil {
		return err
	}
	if err := d.tryKey(ctx, stranger, refused, d.accounts(), "a key that stands nowhere is refused by all %d accounts"); err != nil {
		return err
	}
	return d.tryAlice(ctx, "alice logs in to "+withForeign+" with her own key")
}

func (d *demo) firstRotation(ctx context.Context) error {
	if err := d.aws.create(ctx); err != nil {
		return err
	}
	r, err := d.rotate(ctx, func() (string, error) {
		return d.aws.turnOn(ctx, d.lab.Lambda().ARN(functionName))
	})
	if err != nil {
		return err
	}
	if !d.claims.claim("the four steps ended well", r.problems()...) {
		return nil
	}
	if err := d.promoted(ctx, r, ""); err != nil {
		return err
	}
	return d.checkFiles()
}

func (d *demo) logInEverywhere(ctx context.Context) error {
	return d.tryKey(ctx, d.live(), accepted, d.accounts(), "%d of %[1]d logins by "+d.client.String()+" succeed")
}

func (d *demo) secondRotation(ctx context.Context) error {
	old := d.live()
	if err := d.copyByHand(old); err != nil {
		return err
	}
	before, err := d.aws.labels(ctx)
	if err != nil {
		return err
	}
	r, err := d.rotate(ctx, func() (string, error) { return d.aws.rotateNow(ctx) })
	if err != nil {
		return err
	}
	if !d.claims.claim("the four steps ended well", r.problems()...) {
		return nil
	}
	if err := d.promoted(ctx, r, before[current]); err != nil {
		return err
	}
	if err := d.checkFiles(); err != nil {
		return err
	}
	if err := d.checkLink(); err != nil {
		return err
	}
	if err := d.tryBoth(ctx); err != nil {
		return err
	}
	return d.tryAlice(ctx, "alice still logs in to "+withForeign)
}

func (d *demo) meetImpostor(ctx context.Context) error {
	bad := byName(d.fleet, impostor)
	if err := bad.Change(func(s *host.Switches) { s.WrongHostKey = true }); err != nil {
		return err
	}
	before, err := d.aws.labels(ctx)
	if err != nil {
		return err
	}
	r, err := d.rotate(ctx, func() (string, error) { return d.aws.rotateNow(ctx) })
	if err != nil {
		return err
	}
	for _, reason := range d.reasons(r.failed) {
		d.screen.item("log", dim, reason)
	}
	d.screen.blank()
	d.claims.claim("the rotation stopped in testSecret, because of "+impostor+" alone", stoppedBy(r, "testSecret", bad.id())...)
	after, err := d.aws.labels(ctx)
	if err != nil {
		return err
	}
	d.claims.claim(current+" has not moved", same(before[current], after[current])...)
	if key, err := d.aws.key(ctx, pending); err == nil {
		d.ours[string(key.Public().Fingerprint())] = true
	}
	good := slices.DeleteFunc(d.accounts(), func(a account) bool { return a.host == bad.id() })
	if err := d.tryKey(ctx, d.live(), accepted, good, "the live key still opens all %d accounts of the other hosts"); err != nil {
		return err
	}
	return d.tryKey(ctx, d.live(), strangeKey, bad.accounts(), "our own %d logins to "+impostor+" stop at its host key as well")
}

func (d *demo) resume(ctx context.Context) error {
	bad := byName(d.fleet, impostor)
	if err := bad.Change(func(s *host.Switches) { s.WrongHostKey = false }); err != nil {
		return err
	}
	if err := d.tryKey(ctx, d.live(), accepted, bad.accounts(), "the live key opens the %d accounts of "+impostor+" as well"); err != nil {
		return err
	}
	before, err := d.aws.labels(ctx)
	if err != nil {
		return err
	}
	r, err := d.rotate(ctx, func() (string, error) {
		_, err := d.aws.rotateNow(ctx)
		if message, ok := refusal(err); ok {
			// That is how Secrets Manager says yes here.
			d.screen.item("aws", dim, clean(message))
			d.screen.blank()
			return before[pending], nil
		}
		return "", errors.Join(errors.New("a new rotation began although one is pending"), err)
	})
	if err != nil {
		return err
	}
	if !d.claims.claim("the same version went through the four steps", r.problems()...) {
		return nil
	}
	if err := d.promoted(ctx, r, before[current]); err != nil {
		return err
	}
	return d.checkFiles()
}

// copyByHand adds a public key to the second file of the host that has two.
func (d *demo) copyByHand(key *sshkey.PrivateKey) error {
	m := byName(d.fleet, withTwoFiles)
	for _, f := range d.before {
		if f.name == m.name && f.user == users[0] && strings.HasSuffix(f.path, secondFile) {
			return write(m.Host, f.user, secondFile, string(f.content)+key.Public().String()+"\n")
		}
	}
	return fmt.Errorf("%s has no second key file", m.name)
}

// live is the key that AWSCURRENT has.
func (d *demo) live() *sshkey.PrivateKey { return d.keys[len(d.keys)-1] }

// accounts returns all accounts of the fleet.
func (d *demo) accounts() []account {
	var all []account
	for _, m := range d.fleet {
		all = append(all, m.accounts()...)
	}
	return all
}

// files reads all key files of the fleet.
func (d *demo) files() ([]keyFile, error) {
	var all []keyFile
	for _, m := range d.fleet {
		files, err := m.read()
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

// reasons says in the function's own words why hosts were not ok; accounts of
// one host with the same reason share a line.
func (d *demo) reasons(failed []entry) []string {
	var reasons []string
	for i, e := range failed {
		alike := func(o entry) bool {
			return o.InstanceID == e.InstanceID && o.State == e.State && o.Reason == e.Reason
		}
		if slices.ContainsFunc(failed[:i], alike) {
			continue
		}
		var names []string
		for _, o := range failed[i:] {
			if alike(o) {
				names = append(names, o.User)
			}
		}
		reasons = append(reasons, clean(fmt.Sprintf("%s, %s: %s: %s",
			d.nameOf(e.InstanceID), strings.Join(names, " and "), e.State, e.Reason)))
	}
	return reasons
}

// nameOf returns the name of a host, or its id if it is none of ours.
func (d *demo) nameOf(id string) string {
	for _, m := range d.fleet {
		if m.id() == id {
			return m.name
		}
	}
	return id
}
