package rotate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// The two members of a secret's value that belong to Keytrail.
const (
	publicMember  = "PublicKey"
	privateMember = "PrivateKey"
)

// value is the JSON object in one version of a secret: a key pair and whatever else its owners keep
// beside it. It holds a private key, so it shows as "[redacted]" wherever it is printed, logged or
// encoded, and the members sit in a closure.
type value struct {
	sshkey.Redacted
	members func() map[string]json.RawMessage
}

// parseValue reads a secret's text. Its errors say what the text looks like, never what it says.
func parseValue(text string) (value, error) {
	trimmed := strings.TrimSpace(text)
	if strings.HasPrefix(trimmed, "-----BEGIN") {
		return value{}, errors.New(`the value is a bare PEM key: store {"PublicKey":"","PrivateKey":""} or a JSON object with both members`)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(trimmed), &members); err != nil || members == nil {
		return value{}, errors.New(`the value is not a JSON object with the members PublicKey and PrivateKey`)
	}
	return valueOf(members), nil
}

// emptyValue is what a secret without any value starts from.
func emptyValue() value { return valueOf(map[string]json.RawMessage{}) }

func valueOf(members map[string]json.RawMessage) value {
	return value{members: func() map[string]json.RawMessage { return members }}
}

// withPair returns the value with another key pair. All other members stay byte for byte.
func (v value) withPair(key *sshkey.PrivateKey) value {
	members := map[string]json.RawMessage{}
	for name, raw := range v.members() {
		members[name] = raw
	}
	members[publicMember] = encodeString(key.Public().String())
	members[privateMember] = encodeString(string(key.PEM()))
	return valueOf(members)
}

// text is the JSON to store. Members come in alphabetical order; their bytes are not touched.
func (v value) text() string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.members()); err != nil {
		panic(err) // every member came from a decoder or from encodeString
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// empty reports whether the value holds no key at all, as a secret does before its first rotation.
func (v value) empty() bool { return v.member(publicMember) == "" && v.member(privateMember) == "" }

// pair returns the key pair. Both halves must be there and belong together.
func (v value) pair() (*sshkey.PrivateKey, error) {
	private := v.member(privateMember)
	if private == "" {
		return nil, errors.New("the value has no PrivateKey")
	}
	key, err := sshkey.ParsePrivate([]byte(private))
	if err != nil {
		return nil, err
	}
	public, err := sshkey.ParsePublic(v.member(publicMember))
	if err != nil {
		return nil, fmt.Errorf("the value's PublicKey: %w", err)
	}
	if !public.Equal(key.Public()) {
		return nil, fmt.Errorf("the value's PublicKey %s is not the public half of its PrivateKey %s",
			public.Fingerprint(), key.Public().Fingerprint())
	}
	return key, nil
}

// publicKeys returns every public key that this value may have put on a host: its PublicKey, and the
// public half of its PrivateKey where that is another one or the only one. Hand-made values hold
// either, so a member that cannot be read is passed over: it cannot have been rolled out from here.
func (v value) publicKeys() []sshkey.PublicKey {
	var keys []sshkey.PublicKey
	if public, err := sshkey.ParsePublic(v.member(publicMember)); err == nil {
		keys = append(keys, public)
	}
	if private, err := sshkey.ParsePrivate([]byte(v.member(privateMember))); err == nil {
		if len(keys) == 0 || !keys[0].Equal(private.Public()) {
			keys = append(keys, private.Public())
		}
	}
	return keys
}

// sameOthers reports whether two values agree in everything but the key pair.
func (v value) sameOthers(w value) bool {
	return v.others() == w.others()
}

func (v value) others() string {
	rest := map[string]json.RawMessage{}
	for name, raw := range v.members() {
		if name != publicMember && name != privateMember {
			rest[name] = raw
		}
	}
	return valueOf(rest).text()
}

// member returns a string member, or "" when it is absent or no string.
func (v value) member(name string) string {
	var s string
	if json.Unmarshal(v.members()[name], &s) != nil {
		return ""
	}
	return strings.TrimSpace(s)
}

func encodeString(s string) json.RawMessage {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return raw
}
