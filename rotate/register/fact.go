// Package register keeps the public halves of all versions of all secrets, and what became of them: one
// S3 object for each fact, written once and never changed. It also keeps the lease that makes one
// writer of many, since that is one more conditional object in the same bucket, and copies of the facts that
// spare calls.
//
// No secret is in it, and nothing that looks like a private key gets in. What the facts mean for trust
// is decided in rotate/trust.
package register

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// Kind says what a fact is about.
type Kind string

// The kinds of facts. Each is written by rotate, at the moment given.
const (
	// Created: the version holds these public keys. Written once its value is stored and before any key
	// is sent to a host, since only keys of a Created fact are ever retired.
	Created Kind = "created"
	// Found: the version's value was put by hand, and a later one took its place. Its keys are known from
	// then on so that they can be retired; nothing of it is ever rolled out unless it is adopted.
	Found Kind = "found"
	// Adopted: the version's value was put by hand, and someone asked for it to be registered. It stands
	// beside a Created fact.
	Adopted Kind = "adopted"
	// Installed: the keys may from now on be on these hosts for these users. Written before they are sent.
	Installed Kind = "installed"
	// Promoted: the version got AWSCURRENT. Only the first time of a version is kept.
	Promoted Kind = "promoted"
	// Retired: these hosts answered that the keys are gone for these users.
	Retired Kind = "retired"
	// Abandoned: the version's rotation failed or was abandoned.
	Abandoned Kind = "abandoned"
	// Resumed: a rotation that was recorded as Abandoned, or as Promoted before AWSCURRENT left the version
	// again, goes on, as Secrets Manager retries the same version. Written before the key is sent again.
	Resumed Kind = "resumed"
	// Revoked: trust in one fingerprint ended by hand. It is about no version.
	Revoked Kind = "revoked"
)

// once are the kinds of which a version, or for Revoked a fingerprint, has one fact at most.
var once = []Kind{Created, Found, Adopted, Promoted, Revoked}

// Fact is one entry of the register.
type Fact struct {
	Kind    Kind
	Secret  string    // ARN
	Version string    // id; empty for Revoked
	At      time.Time // kept in milliseconds, UTC

	Keys        []sshkey.PublicKey // Created, Found: one, or two where the halves of a value put by hand differ
	Fingerprint sshkey.Fingerprint // Revoked
	Hosts       []string           // Installed, Retired: ids of managed nodes
	Users       []string           // Installed, Retired
	Note        string             // by whom or why: one line without control characters, or nothing
}

// String names a fact in an error or a log line.
func (f Fact) String() string {
	text := string(f.Kind)
	if f.Version != "" {
		text += " of version " + f.Version
	}
	for _, k := range f.Keys {
		text += " " + string(k.Fingerprint())
	}
	if f.Fingerprint != "" {
		text += " " + string(f.Fingerprint)
	}
	if len(f.Hosts) > 0 {
		text += fmt.Sprintf(" on %d hosts", len(f.Hosts))
	}
	return text + " at " + f.At.Format(timeForm)
}

// normal returns the one spelling of a fact: no comments, sorted lists without duplicates.
func (f Fact) normal() Fact {
	f.At = f.At.UTC().Truncate(time.Millisecond)
	keys := make([]sshkey.PublicKey, len(f.Keys))
	for i, k := range f.Keys {
		keys[i] = k.WithComment("")
	}
	slices.SortFunc(keys, func(a, b sshkey.PublicKey) int { return strings.Compare(a.String(), b.String()) })
	f.Keys = slices.Compact(keys)
	if len(f.Keys) == 0 {
		f.Keys = nil
	}
	f.Hosts, f.Users = sorted(f.Hosts), sorted(f.Users)
	return f
}

func sorted(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// Limits of a fact, with room to spare.
const (
	maxVersion = 64 // https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
	minVersion = 32
	maxKeys    = 2
	maxHosts   = 20_000
	maxUsers   = 1000
	maxNote    = 500 // bytes
)

var (
	// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html: a name has at
	// most 512 characters, and Secrets Manager adds a hyphen and six.
	secretARN = lazily(`^arn:(aws[a-z-]{0,20}):secretsmanager:([a-z0-9-]{1,30}):([0-9]{12}):secret:([A-Za-z0-9/_+=.@-]{1,519})$`)
	hostID    = lazily(`^(i|mi)-[0-9a-f]{8,17}$`)
	userName  = lazily(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
)

// lazily compiles a pattern when it is first needed: a function without a register starts sooner.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// check refuses a fact that is not whole, says more than its kind has, or could hold a secret.
func (f Fact) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !secretARN().MatchString(f.Secret) {
		bad("%q is not the ARN of a secret", f.Secret)
	}
	if year := f.At.Year(); year < 2000 || year > 9999 {
		bad("its time is missing or out of range")
	}
	if err := checkVersion(f); err != nil {
		errs = append(errs, err)
	}
	hasKeys, hasFingerprint, hasPlaces := false, false, false
	switch f.Kind {
	case Created, Found:
		hasKeys = true
	case Installed, Retired:
		hasPlaces = true
	case Revoked:
		hasFingerprint = true
	case Adopted, Promoted, Abandoned, Resumed:
	default:
		bad("unknown kind %q", f.Kind)
	}
	if n := len(f.Keys); (n > 0) != hasKeys || n > maxKeys {
		bad("%s with %d keys", f.Kind, n)
	}
	if slices.ContainsFunc(f.Keys, sshkey.PublicKey.IsZero) {
		bad("a key is empty")
	}
	if (f.Fingerprint != "") != hasFingerprint {
		bad("%s with fingerprint %q", f.Kind, f.Fingerprint)
	} else if _, err := sshkey.ParseFingerprint(string(f.Fingerprint)); hasFingerprint && err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, checkPlaces(f, hasPlaces), checkNote(f.Note))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check fact %q: %w", f.Kind, err)
	}
	return nil
}

func checkVersion(f Fact) error {
	if f.Kind == Revoked {
		if f.Version != "" {
			return errors.New("a revocation is of a fingerprint, not of a version")
		}
		return nil
	}
	if n := len(f.Version); n < minVersion || n > maxVersion || strings.ContainsFunc(f.Version, unprintable) {
		return fmt.Errorf("%q is not the id of a version", f.Version)
	}
	return nil
}

func checkPlaces(f Fact, wanted bool) error {
	if !wanted {
		if len(f.Hosts)+len(f.Users) > 0 {
			return fmt.Errorf("%s has no hosts and users", f.Kind)
		}
		return nil
	}
	if len(f.Hosts) == 0 || len(f.Users) == 0 || len(f.Hosts) > maxHosts || len(f.Users) > maxUsers {
		return fmt.Errorf("%s with %d hosts and %d users", f.Kind, len(f.Hosts), len(f.Users))
	}
	for _, h := range f.Hosts {
		if !hostID().MatchString(h) {
			return fmt.Errorf("%q is not the id of a managed node", h)
		}
	}
	for _, u := range f.Users {
		if !userName().MatchString(u) {
			return fmt.Errorf("%q is not a user name", u)
		}
	}
	return nil
}

// privateMarks are what a private key has in it, whatever its form: headers, and what headers and the
// OpenSSH form look like in base64. A line of a PEM body is 64 characters of base64 or more.
var privateMarks = lazily(`(?i:private[ _-]?key|openssh-key-v1|-----begin)|b3BlbnNzaC1rZXkt|LS0tLS1CRUdJ|[A-Za-z0-9+/_-]{64}`)

// checkNote never repeats the note in its error: it may be what must not be seen.
func checkNote(note string) error {
	switch {
	case len(note) > maxNote:
		return fmt.Errorf("the note is longer than %d bytes", maxNote)
	case strings.ContainsFunc(note, unprintable):
		return errors.New("the note has a line end or another unprintable character")
	case privateMarks().MatchString(note):
		return errors.New("the note looks like a private key")
	}
	return nil
}

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
