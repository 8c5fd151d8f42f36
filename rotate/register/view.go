package register

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// View is the register as one list shows it, made when something is first asked of the view. What was
// written later is not in it. Whoever needs several answers spares a list for each, and gets them of one
// moment. It may be used by many at once. Make it with Register.View.
type View struct {
	register *Register

	mu   sync.Mutex
	made bool
	list []listed
}

// View returns a view that has not looked yet.
func (r *Register) View() *View { return &View{register: r} }

// Read is like that of the Register.
func (v *View) Read(ctx context.Context, secretARN string) (History, error) {
	if err := checkARN(secretARN); err != nil {
		return History{}, err
	}
	own := folderOf(secretARN)
	list, err := v.objects(ctx, func(key string) bool { return strings.HasPrefix(key, own) })
	histories, err := v.register.histories(ctx, list, err)
	if len(histories) == 0 {
		return History{Secret: secretARN}, err
	}
	return histories[0], err
}

// Sharing returns the histories of those other secrets that have a key of this one, by ARN:
// trust.Decide must be told of them. Of all the others it reads the keys alone. Its error is that of
// Read: with one, a secret may be missing.
func (v *View) Sharing(ctx context.Context, h History) ([]History, error) {
	own := folderOf(h.Secret)
	list, err := v.objects(ctx, func(key string) bool { return holdsKeys(key) && !strings.HasPrefix(key, own) })
	if err != nil {
		return nil, joined([]error{err})
	}
	keys, errs := v.register.facts(ctx, list)
	var sharing []History
	for _, other := range histories(keys) {
		if h.shares(other) {
			whole, err := v.Read(ctx, other.Secret)
			sharing, errs = append(sharing, whole), append(errs, err)
		}
	}
	return sharing, joined(errs)
}

// Fingerprints returns the keys of all secrets in the register, each with the ARN of a secret that has
// it. Its error is that of Read: then some may be missing.
func (v *View) Fingerprints(ctx context.Context) (map[sshkey.Fingerprint]string, error) {
	list, err := v.objects(ctx, holdsKeys)
	if err != nil {
		return nil, joined([]error{err})
	}
	facts, errs := v.register.facts(ctx, list)
	all := map[sshkey.Fingerprint]string{}
	for _, f := range facts {
		for _, k := range f.Keys {
			all[k.Fingerprint()] = f.Secret
		}
	}
	return all, joined(errs)
}

// objects returns those of the list whose keys are wanted. With an error it returns those listed before it,
// and the next call lists again.
func (v *View) objects(ctx context.Context, wanted func(key string) bool) ([]listed, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var err error
	if !v.made {
		v.list, err = v.register.bucket.list(ctx, registerFolder)
		v.made = err == nil
	}
	return slices.DeleteFunc(slices.Clone(v.list), func(o listed) bool { return !wanted(o.key) }), err
}
