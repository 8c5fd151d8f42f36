package conformance

import (
	"strings"
	"testing"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// keyring holds the keys of all rows by the names that rows call them: new is what orders install, old
// what they retire, other is somebody's own.
type keyring struct {
	keys  map[string]*sshkey.PrivateKey
	lines *strings.Replacer // {new} becomes the line of the key new, {new.blob} its blob alone
}

func newKeyring(t *testing.T) *keyring {
	t.Helper()
	r := &keyring{keys: map[string]*sshkey.PrivateKey{}}
	var pairs []string
	for name, k := range map[string]struct {
		kind    sshkey.Type
		comment string
	}{
		"new":    {"ed25519", "keytrail:web:v2"},
		"old":    {"ed25519", "keytrail:web:v1"},
		"second": {"ecdsa-p256", "keytrail:db:v1"},
		"other":  {"ed25519", "friend@home"},
		"host":   {"ed25519", "root@web"},
		"rsa":    {"rsa-2048", "keytrail:web:v3"},
	} {
		key, err := sshkey.Generate(k.kind, "openssh", k.comment)
		must(t, err)
		r.keys[name] = key
		pairs = append(pairs, "{"+name+"}", key.Public().String(), "{"+name+".blob}", key.Public().Blob())
	}
	r.lines = strings.NewReplacer(pairs...)
	return r
}

func (r *keyring) expand(text string) string { return r.lines.Replace(text) }

func (r *keyring) public(names string) (keys []sshkey.PublicKey) {
	for _, name := range strings.Fields(names) {
		keys = append(keys, r.keys[name].Public())
	}
	return keys
}

func (r *keyring) prints(names string) (prints []sshkey.Fingerprint) {
	for _, k := range r.public(names) {
		prints = append(prints, k.Fingerprint())
	}
	return prints
}
