package main

import (
	"context"
	"fmt"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// promoted claims that a rotation moved the labels, and takes the key from
// the secret. old is the version that had AWSCURRENT, "" if none had.
func (d *demo) promoted(ctx context.Context, r rotation, old string) error {
	labels, err := d.aws.labels(ctx)
	if err != nil {
		return err
	}
	key, err := d.aws.key(ctx, current)
	if err != nil {
		return err
	}
	fingerprint := string(key.Public().Fingerprint())
	d.keys = append(d.keys, key)
	d.ours[fingerprint] = true
	problems := same(r.version, labels[current])
	sentence := current + " is the version of this rotation; its key is " + brief(fingerprint)
	if old != "" {
		problems = append(problems, same(old, labels[previous])...)
		sentence = current + " and " + previous + " moved on; the live key is " + brief(fingerprint)
	}
	d.claims.claim(sentence, problems...)
	return nil
}

// checkFiles claims that the live key stands once for each account, no other
// key of ours stands anywhere, and the rest is as it was.
func (d *demo) checkFiles() error {
	after, err := d.files()
	if err != nil {
		return err
	}
	live := string(d.live().Public().Fingerprint())
	found := map[string]int{}
	var leftover, touched []string
	for i, f := range after {
		for _, k := range f.keys() {
			switch {
			case k == live:
				found[f.user+"@"+f.name]++
			case d.ours[k]:
				leftover = append(leftover, fmt.Sprintf("%s holds %s", f, k))
			}
		}
		if p := f.untouched(d.before[i], d.ours); p != "" {
			touched = append(touched, p)
		}
	}
	var missing []string
	for _, a := range d.accounts() {
		if n := found[a.String()]; n != 1 {
			missing = append(missing, fmt.Sprintf("%s has it %d times", a, n))
		}
	}
	d.claims.claim("every account has the live key once, in a file that its sshd reads", missing...)
	if len(d.keys) > 1 {
		d.claims.claim(fmt.Sprintf("no older key is left in any of the %d files", len(after)), leftover...)
	}
	d.claims.claim("whatever else stood in the files is there byte for byte, garbage included", touched...)
	return nil
}

// checkLink claims that the symbolic link is one, and that the key went to
// the file that it leads to.
func (d *demo) checkLink() error {
	files, err := byName(d.fleet, withLink).read()
	if err != nil {
		return err
	}
	f := files[0]
	d.claims.claim("the key file of "+withLink+" still is a link to "+linkTarget, same(linkTarget, f.link)...)
	return nil
}

// tryBoth claims that the live key opens every account and the previous one
// none.
func (d *demo) tryBoth(ctx context.Context) error {
	if err := d.tryKey(ctx, d.live(), accepted, d.accounts(), "the live key opens all %d accounts"); err != nil {
		return err
	}
	return d.tryKey(ctx, d.keys[len(d.keys)-2], refused, d.accounts(), "the previous key is refused by all %d accounts")
}

// tryAlice claims that the owner of a foreign key can log in.
func (d *demo) tryAlice(ctx context.Context, sentence string) error {
	hers := byName(d.fleet, withForeign).accounts()[:1]
	tried, err := d.logIn(ctx, d.client, d.guests.alice, hers)
	if err != nil {
		return err
	}
	d.claims.claim(sentence, expect(accepted, tried)...)
	return nil
}

// tryKey logs in everywhere and claims that every attempt has one outcome. The
// sentence has a %d for the number of accounts.
func (d *demo) tryKey(ctx context.Context, key *sshkey.PrivateKey, want outcome, accounts []account, sentence string) error {
	tried, err := d.logIn(ctx, d.client, key, accounts)
	if err != nil {
		return err
	}
	d.claims.claim(fmt.Sprintf(sentence, len(accounts)), expect(want, tried)...)
	return nil
}

// logIn tries a key on accounts, with a live count.
func (d *demo) logIn(ctx context.Context, c client, key *sshkey.PrivateKey, accounts []account) ([]attempt, error) {
	done := 0
	return c.logIn(ctx, key.Signer(), accounts, func(attempt) {
		done++
		d.screen.status(fmt.Sprintf("%-12s  %s  %2d of %d", "logging in", bar(done, len(accounts)), done, len(accounts)))
	})
}

// stoppedBy is empty if the rotation failed in a step, and no host but one was
// not ok.
func stoppedBy(r rotation, step, id string) []string {
	var problems []string
	if n := len(r.ended); n == 0 || r.ended[n-1].Step != step || r.ended[n-1].Message != stepFailed {
		problems = append(problems, fmt.Sprintf("steps that ended well: %v", r.succeeded()))
	}
	if len(r.failed) == 0 {
		problems = append(problems, "the log names no host")
	}
	for _, e := range r.failed {
		if e.InstanceID != id {
			problems = append(problems, e.InstanceID+" was not ok: "+e.Reason)
		}
	}
	return problems
}

// same is empty if two values are equal.
func same(want, got string) []string {
	if want == got {
		return nil
	}
	return []string{fmt.Sprintf("%q, not %q", got, want)}
}
