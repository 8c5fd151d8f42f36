package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/login"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// create stores a new key pair in the rotation's version, unless one stands there already.
func (r *Rotator) create(ctx context.Context, rot rotation) (outcome, error) {
	pending, err := r.vault.value(ctx, rot.ARN, rot.version, labelPending)
	if err == nil {
		return r.created(ctx, rot, pending)
	}
	if !errors.Is(err, errNoValue) {
		return outcome{}, err
	}
	base := emptyValue()
	if id := rot.secret.version(labelCurrent); id != "" {
		base, err = r.vault.value(ctx, rot.ARN, id, labelCurrent)
		if errors.Is(err, errNoValue) {
			base = emptyValue()
		} else if err != nil {
			return outcome{}, err
		}
	}
	key, err := sshkey.Generate(r.config.KeyType, r.config.KeyFormat, wanted.Comment(rot.Name, rot.version))
	if err != nil {
		return outcome{}, err
	}
	err = r.vault.putPending(ctx, rot.secret, rot.request, base.withPair(key))
	if errors.Is(err, errTaken) {
		// Another run of this step, or a lost reply: what stands is the rotation's key.
		if pending, err = r.vault.value(ctx, rot.ARN, rot.version, labelPending); err != nil {
			return outcome{}, err
		}
		return r.created(ctx, rot, pending)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("store pending version %s: %w", rot.version, err)
	}
	return outcome{key: key.Public().Fingerprint()}, r.noteCreated(ctx, rot, key.Public())
}

// noteCreated registers the key of the rotation's version. No host is sent a key that is not registered.
func (r *Rotator) noteCreated(ctx context.Context, rot rotation, key sshkey.PublicKey) error {
	if r.register == nil {
		return nil
	}
	_, err := r.register.Write(ctx, register.Fact{
		Kind: register.Created, Secret: rot.secret.arn, Version: rot.version, At: time.Now(), Keys: []sshkey.PublicKey{key},
	})
	return err
}

// created accepts a pending value that stood before this run.
func (r *Rotator) created(ctx context.Context, rot rotation, pending value) (outcome, error) {
	if pending.empty() {
		return outcome{}, permanent(errors.New("the pending version holds an empty key pair: remove AWSPENDING from it and rotate again"))
	}
	key, err := pending.pair()
	if err != nil {
		return outcome{}, permanent(fmt.Errorf("pending version: %w: remove AWSPENDING from it and rotate again", err))
	}
	result := outcome{key: key.Public().Fingerprint(), note: "the pending version has its key pair already"}
	return result, r.noteCreated(ctx, rot, key.Public())
}

// marked is the public half as it goes to the hosts.
func marked(rot rotation, key *sshkey.PrivateKey) []sshkey.PublicKey {
	return []sshkey.PublicKey{key.Public().WithComment(wanted.Comment(rot.Name, rot.version))}
}

// set puts the pending public key on every host of the target.
func (r *Rotator) set(ctx context.Context, rot rotation) (outcome, error) {
	pending, err := r.pending(ctx, rot)
	if err != nil {
		return outcome{}, err
	}
	key, err := pending.pair()
	if err != nil {
		return outcome{}, permanent(fmt.Errorf("pending version: %w", err))
	}
	result := outcome{key: key.Public().Fingerprint()}
	known, err := r.knownBeside(ctx, rot, pending)
	if err != nil {
		return result, err
	}
	nodes, err := r.resolve(ctx, rot.subject)
	if err != nil {
		return result, err
	}
	var k *wanted.Knowledge
	if r.register != nil {
		if k, err = r.resume(ctx, rot, key.Public()); err != nil {
			return result, err
		}
	}
	result.hosts, err = r.run(ctx, rot.subject, k, fleet.Apply, wanted.Job{Nodes: nodes, Users: rot.Users, Plan: wanted.Plan{
		Version: rot.version, Install: marked(rot, key), Known: known,
	}})
	return result, r.accept(ctx, result.hosts, err)
}

// resume notes that the rotation goes on, in case it was registered to have ended, and its key, in case
// createSecret could not.
func (r *Rotator) resume(ctx context.Context, rot rotation, key sshkey.PublicKey) (*wanted.Knowledge, error) {
	k, err := r.know(ctx, rot.subject)
	if err != nil {
		return nil, err
	}
	if !k.Registered(rot.version) {
		err = r.note(ctx, &k, register.Fact{Kind: register.Created, Version: rot.version, Keys: []sshkey.PublicKey{key}})
	}
	if err == nil && k.History.Ended(rot.version) {
		err = r.note(ctx, &k, register.Fact{Kind: register.Resumed, Version: rot.version})
	}
	return &k, err
}

// knownBeside returns the fingerprints of AWSCURRENT, which hosts may trust beside the pending key,
// after the check that Secrets Manager asks of every rotation function: that nothing but the key pair
// differs, so that the pending version cannot lead to other users or hosts than the current one.
func (r *Rotator) knownBeside(ctx context.Context, rot rotation, pending value) ([]sshkey.Fingerprint, error) {
	id := rot.secret.version(labelCurrent)
	if id == "" {
		return nil, nil
	}
	current, err := r.vault.value(ctx, rot.ARN, id, labelCurrent)
	if errors.Is(err, errNoValue) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !current.sameOthers(pending) {
		return nil, permanent(fmt.Errorf("versions %s (AWSCURRENT) and %s (AWSPENDING) differ in more than their key pair: remove AWSPENDING from the latter and rotate again", id, rot.version))
	}
	return fingerprints(current), nil
}

// test proves the pending key on every host. Secrets Manager may ask for it alone, with a copy of the
// current value (RotateImmediately=false).
func (r *Rotator) test(ctx context.Context, rot rotation) (outcome, error) {
	pending, err := r.pending(ctx, rot)
	if err != nil {
		return outcome{}, err
	}
	var result outcome
	var p wanted.Plan
	var key *sshkey.PrivateKey
	if pending.empty() {
		// A first secret before its first rotation: there is no key to prove, but the hosts, their
		// settings and our permissions can be.
		result.note = "the secret has no key yet: only the hosts were proven"
	} else {
		if key, err = pending.pair(); err != nil {
			return outcome{}, permanent(fmt.Errorf("pending version: %w", err))
		}
		p.Install = marked(rot, key)
		result.key = key.Public().Fingerprint()
	}
	nodes, err := r.resolve(ctx, rot.subject)
	if err != nil {
		return result, err
	}
	result.hosts, err = r.run(ctx, rot.subject, nil, fleet.Inspect, wanted.Job{Nodes: nodes, Users: rot.Users, Plan: p})
	if key != nil && r.config.Proof == ProofSSH {
		result.hosts = logIn(ctx, key, result.hosts)
	}
	return result, r.accept(ctx, result.hosts, err)
}

// logIn proves the key by a login wherever the host's answer says how: what sshd accepts decides,
// also where the host itself could not tell.
func logIn(ctx context.Context, key *sshkey.PrivateKey, asked fleet.Observations) fleet.Observations {
	var targets []login.Target
	var at []int
	for i, o := range asked {
		if len(o.Sockets) == 0 || o.State == fleet.NoUser {
			continue
		}
		targets = append(targets, login.Target{Host: string(o.Host), Addresses: o.Sockets, User: o.User, HostKeys: o.HostKeys})
		at = append(at, i)
	}
	proven := slices.Clone(asked)
	for i, result := range login.Prove(ctx, key, targets, login.Limits{}) {
		o := &proven[at[i]]
		switch {
		case result.Err == nil:
			o.State, o.Reason = fleet.OK, ""
		case errors.Is(result.Err, login.ErrRefused):
			o.State, o.Reason = fleet.Refused, result.Err.Error()
		case errors.Is(result.Err, login.ErrUnreachable):
			o.State, o.Reason = fleet.Unreachable, result.Err.Error()
		default:
			o.State, o.Reason = fleet.Unverifiable, result.Err.Error()
		}
	}
	return proven
}

// finish promotes the pending version and then retires the keys of every other one. Run again after
// the promotion, it retires what is left.
func (r *Rotator) finish(ctx context.Context, rot rotation) (outcome, error) {
	live, err := r.vault.value(ctx, rot.ARN, rot.version, "")
	if err != nil {
		return outcome{}, err
	}
	key, err := live.pair()
	if err != nil {
		return outcome{}, permanent(fmt.Errorf("version %s: %w", rot.version, err))
	}
	result := outcome{key: key.Public().Fingerprint()}
	if !rot.secret.has(rot.version, labelCurrent) {
		if err := r.promote(ctx, rot); err != nil {
			return result, err
		}
	}
	if r.register == nil {
		err = r.finishByValues(ctx, rot, key, &result)
	} else {
		err = r.finishByRegister(ctx, rot, key, &result)
	}
	if err != nil {
		err = fmt.Errorf("version %s is AWSCURRENT, older keys are not retired everywhere: %w", rot.version, err)
	}
	return result, err
}

// finishByRegister retires what trust decides, wherever it was ever installed.
func (r *Rotator) finishByRegister(ctx context.Context, rot rotation, key *sshkey.PrivateKey, result *outcome) error {
	k, err := r.know(ctx, rot.subject)
	if err != nil {
		return err
	}
	k = k.Promoted(rot.version)
	if err := r.catchUp(ctx, &k, rot.version, key.Public()); err != nil {
		return err
	}
	q, err := k.Question(ctx, r.vault.client, r.register, r.config.Grace)
	if err != nil {
		return err
	}
	nodes, err := r.resolve(ctx, rot.subject)
	if err != nil {
		return err
	}
	out, err := r.settle(ctx, rot.subject, &k, q, fleet.Apply, nodes, nil)
	r.bundle(ctx, k)
	result.hosts, result.strays = out.fleet, out.strays
	return r.accept(ctx, out.fleet, err)
}

// catchUp notes what the register does not say yet of a secret whose AWSCURRENT has just moved: the new
// version's key and promotion, and the keys of values that were put by hand and are superseded.
func (r *Rotator) catchUp(ctx context.Context, k *wanted.Knowledge, version string, key sshkey.PublicKey) error {
	if !k.Registered(version) {
		if err := r.note(ctx, k, register.Fact{Kind: register.Created, Version: version, Keys: []sshkey.PublicKey{key}}); err != nil {
			return err
		}
	}
	if !k.History.Has(register.Promoted, version) {
		if err := r.note(ctx, k, register.Fact{Kind: register.Promoted, Version: version}); err != nil {
			return err
		}
	}
	var unknown []string
	for _, v := range k.Versions {
		if !k.Registered(v.ID) && !k.History.Has(register.Found, v.ID) && !slices.Contains(v.Labels, labelPending) {
			unknown = append(unknown, v.ID)
		}
	}
	found, err := r.keysOf(ctx, k.Subject.ARN, unknown)
	if err != nil {
		return err
	}
	for i, keys := range found {
		if len(keys) == 0 {
			continue
		}
		if err := r.note(ctx, k, register.Fact{Kind: register.Found, Version: unknown[i], Keys: keys}); err != nil {
			return err
		}
	}
	return nil
}

// finishByValues retires the keys of all versions that Secrets Manager still keeps.
func (r *Rotator) finishByValues(ctx context.Context, rot rotation, key *sshkey.PrivateKey, result *outcome) error {
	p, err := r.planByValues(ctx, rot.subject, rot.version, key)
	if err != nil {
		return err
	}
	nodes, err := r.resolve(ctx, rot.subject)
	if err != nil {
		return err
	}
	result.hosts, err = r.run(ctx, rot.subject, nil, fleet.Apply, wanted.Job{Nodes: nodes, Users: rot.Users, Plan: p})
	return r.accept(ctx, result.hosts, err)
}

// planByValues is what hosts are told where no register is kept: the key of AWSCURRENT goes in, those of
// all other versions go. While one of these is pending nothing goes: without a lease its rotation may be
// at work now, and its own finishSecret retires the rest.
func (r *Rotator) planByValues(ctx context.Context, subj subject, version string, key *sshkey.PrivateKey) (wanted.Plan, error) {
	p := wanted.Plan{Version: version, Install: []sshkey.PublicKey{key.Public().WithComment(wanted.Comment(subj.Name, version))}}
	versions, err := wanted.Versions(ctx, r.vault.client, subj.ARN)
	if err != nil {
		return wanted.Plan{}, err
	}
	var ids []string
	pending := false
	for _, v := range versions {
		if v.ID != version {
			ids = append(ids, v.ID)
			pending = pending || slices.Contains(v.Labels, labelPending)
		}
	}
	found, err := r.keysOf(ctx, subj.ARN, ids)
	if err != nil {
		return wanted.Plan{}, err
	}
	var others []sshkey.Fingerprint
	for _, k := range slices.Concat(found...) {
		if fp := k.Fingerprint(); fp != key.Public().Fingerprint() && !slices.Contains(others, fp) {
			others = append(others, fp)
		}
	}
	if pending {
		p.Known = others
	} else {
		p.Retire = others
	}
	return p, nil
}

// keysOf reads the public keys of versions, in their order: none for one without a value, or with one
// that can never have been rolled out.
func (r *Rotator) keysOf(ctx context.Context, arn string, ids []string) ([][]sshkey.PublicKey, error) {
	keys := make([][]sshkey.PublicKey, len(ids))
	// GetSecretValue allows thousands a second; this only bounds connections.
	const parallel = 8
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, id := range ids {
		group.Go(func() error {
			val, err := r.vault.value(gctx, arn, id, "")
			switch {
			case errors.Is(err, errNoValue), isPermanent(err):
				return nil
			case err != nil:
				return err
			}
			keys[i] = val.publicKeys()
			return nil
		})
	}
	return keys, group.Wait()
}

// promote moves AWSCURRENT to the rotation's version. A call whose reply was lost is refused when the
// SDK sends it again, so an error counts only while the label really is elsewhere.
func (r *Rotator) promote(ctx context.Context, rot rotation) error {
	err := r.vault.promote(ctx, rot.secret, rot.version)
	if err == nil {
		return nil
	}
	if s, again := r.vault.describe(ctx, rot.secret.arn); again == nil && s.has(rot.version, labelCurrent) {
		return nil
	}
	return fmt.Errorf("promote version %s: %w", rot.version, err)
}

// pending reads the value of the rotation's version, by id and label both: the label alone could by
// now stand on another rotation's version.
func (r *Rotator) pending(ctx context.Context, rot rotation) (value, error) {
	v, err := r.vault.value(ctx, rot.ARN, rot.version, labelPending)
	if errors.Is(err, errNoValue) {
		return value{}, permanent(fmt.Errorf("pending version %s has no value: createSecret did not run", rot.version))
	}
	return v, err
}

func fingerprints(v value) []sshkey.Fingerprint {
	var fps []sshkey.Fingerprint
	for _, k := range v.publicKeys() {
		fps = append(fps, k.Fingerprint())
	}
	return fps
}
