package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/login"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// create stores a new key pair in the rotation's version, unless one stands there already.
func (r *Rotator) create(ctx context.Context, rot rotation) (outcome, error) {
	pending, err := r.vault.value(ctx, rot.secret, rot.version, labelPending)
	if err == nil {
		return r.created(pending, "the pending version has its key pair already")
	}
	if !errors.Is(err, errNoValue) {
		return outcome{}, err
	}
	base := emptyValue()
	if id := rot.secret.version(labelCurrent); id != "" {
		base, err = r.vault.value(ctx, rot.secret, id, labelCurrent)
		if errors.Is(err, errNoValue) {
			base = emptyValue()
		} else if err != nil {
			return outcome{}, err
		}
	}
	key, err := sshkey.Generate(r.config.KeyType, r.config.KeyFormat, comment(rot.secret, rot.version))
	if err != nil {
		return outcome{}, err
	}
	err = r.vault.putPending(ctx, rot.secret, rot.request, base.withPair(key))
	if errors.Is(err, errTaken) {
		// Another run of this step, or a lost reply: what stands is the rotation's key.
		if pending, err = r.vault.value(ctx, rot.secret, rot.version, labelPending); err != nil {
			return outcome{}, err
		}
		return r.created(pending, "the pending version has its key pair already")
	}
	if err != nil {
		return outcome{}, fmt.Errorf("store pending version %s: %w", rot.version, err)
	}
	return outcome{key: key.Public().Fingerprint()}, nil
}

// created accepts a pending value that stood before this run.
func (r *Rotator) created(pending value, note string) (outcome, error) {
	if pending.empty() {
		return outcome{}, permanent(errors.New("the pending version holds an empty key pair: remove AWSPENDING from it and rotate again"))
	}
	key, err := pending.pair()
	if err != nil {
		return outcome{}, permanent(fmt.Errorf("pending version: %w: remove AWSPENDING from it and rotate again", err))
	}
	return outcome{key: key.Public().Fingerprint(), note: note}, nil
}

// comment marks a key for people; Keytrail itself knows keys by their fingerprint.
func comment(s secret, version string) string { return "keytrail:" + s.name + ":" + version }

// marked is the public half as it goes to the hosts.
func marked(rot rotation, key *sshkey.PrivateKey) []sshkey.PublicKey {
	return []sshkey.PublicKey{key.Public().WithComment(comment(rot.secret, rot.version))}
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
	known, err := r.knownBeside(ctx, rot, pending)
	if err != nil {
		return outcome{key: key.Public().Fingerprint()}, err
	}
	order := rot.order
	order.Action = fleet.Apply
	order.Install = marked(rot, key)
	order.Known = known
	hosts, err := r.pass(ctx, rot, order)
	return outcome{key: key.Public().Fingerprint(), hosts: hosts}, err
}

// knownBeside returns the fingerprints of AWSCURRENT, which hosts may trust beside the pending key,
// after the check that Secrets Manager asks of every rotation function: that nothing but the key pair
// differs, so that the pending version cannot lead to other users or hosts than the current one.
func (r *Rotator) knownBeside(ctx context.Context, rot rotation, pending value) ([]sshkey.Fingerprint, error) {
	id := rot.secret.version(labelCurrent)
	if id == "" {
		return nil, nil
	}
	current, err := r.vault.value(ctx, rot.secret, id, labelCurrent)
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
	order := rot.order
	order.Action = fleet.Inspect
	if pending.empty() {
		// A first secret before its first rotation: there is no key to prove, but the hosts, their
		// settings and our permissions can be.
		hosts, err := r.pass(ctx, rot, order)
		return outcome{hosts: hosts, note: "the secret has no key yet: only the hosts were proven"}, err
	}
	key, err := pending.pair()
	if err != nil {
		return outcome{}, permanent(fmt.Errorf("pending version: %w", err))
	}
	order.Install = marked(rot, key)
	result := outcome{key: key.Public().Fingerprint()}
	if r.config.Proof == ProofHost {
		result.hosts, err = r.pass(ctx, rot, order)
		return result, err
	}
	nodes, err := r.resolve(ctx, rot)
	if err != nil {
		return result, err
	}
	asked, err := r.fleet.Run(ctx, nodes, order)
	result.hosts = logIn(ctx, key, asked)
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
	live, err := r.vault.value(ctx, rot.secret, rot.version, "")
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
	order := rot.order
	order.Action = fleet.Apply
	order.Install = marked(rot, key)
	order.Retire, order.Known, err = r.others(ctx, rot, key.Public().Fingerprint())
	if err != nil {
		return result, fmt.Errorf("version %s is AWSCURRENT, older keys are not retired yet: %w", rot.version, err)
	}
	result.hosts, err = r.pass(ctx, rot, order)
	if err != nil {
		err = fmt.Errorf("version %s is AWSCURRENT, older keys are not retired everywhere: %w", rot.version, err)
	}
	return result, err
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

// others reads every other version of the secret and returns the fingerprints to retire, and those
// that are pending: the latter belong to a rotation that began after this one.
func (r *Rotator) others(ctx context.Context, rot rotation, live sshkey.Fingerprint) (retire, pending []sshkey.Fingerprint, err error) {
	ids, err := r.vault.versions(ctx, rot.secret)
	if err != nil {
		return nil, nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == rot.version })
	found := make([][]sshkey.Fingerprint, len(ids))
	// GetSecretValue allows thousands a second; this only bounds connections.
	const parallel = 8
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, id := range ids {
		group.Go(func() error {
			val, err := r.vault.value(gctx, rot.secret, id, "")
			switch {
			case errors.Is(err, errNoValue), isPermanent(err):
				return nil // no value, or none that could ever have been rolled out
			case err != nil:
				return err
			}
			found[i] = fingerprints(val)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		if rot.secret.has(id, labelPending) {
			pending = append(pending, found[i]...)
		}
	}
	for _, fps := range found {
		for _, fp := range fps {
			if fp != live && !slices.Contains(pending, fp) && !slices.Contains(retire, fp) {
				retire = append(retire, fp)
			}
		}
	}
	return retire, pending, nil
}

// pending reads the value of the rotation's version, by id and label both: the label alone could by
// now stand on another rotation's version.
func (r *Rotator) pending(ctx context.Context, rot rotation) (value, error) {
	v, err := r.vault.value(ctx, rot.secret, rot.version, labelPending)
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
