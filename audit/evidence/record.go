package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Schema is the version of the records' form, which evidence.schema.json describes. A reader refuses a later
// one.
const Schema = 1

// Kind says what a record is about.
type Kind string

// The kinds. Each has its own member of a Record.
const (
	Verified   Kind = "verification" // the hosts were asked
	Rotated    Kind = "rotation"     // how a rotation ended
	Reconciled Kind = "reconcile"    // rotate was asked to mend something, and what came of it
	Alerted    Kind = "alert"        // people were told
	Excepted   Kind = "exceptions"   // the list of exceptions changed, or could not be read
)

// Record is one entry in a secret's chain. Its members are in the order of their names, so that its one line of
// JSON is in the canonical form of RFC 8785. Texts that people can choose are hostile.
type Record struct {
	Alert *Alert `json:"alert,omitempty"`
	// At is when it was so: when the hosts were asked, or the event happened. UTC, in milliseconds.
	At         time.Time   `json:"at"`
	Event      Event       `json:"event,omitzero"` // that led to it
	Exceptions *Exceptions `json:"exceptions,omitempty"`
	Kind       Kind        `json:"kind"`
	// Previous is the SHA-256 of the record before, in hex, and empty in the first.
	Previous  string     `json:"previous"`
	Reconcile *Reconcile `json:"reconcile,omitempty"`
	Rotation  *Rotation  `json:"rotation,omitempty"`
	Schema    int        `json:"schema"`
	// Secret is what the chain is about. The chain of the exceptions is about none.
	Secret Secret `json:"secret,omitzero"`
	// Sequence is 1 in the first record of a chain.
	Sequence     int64         `json:"sequence"`
	Stack        Stack         `json:"stack"`
	Verification *Verification `json:"verification,omitempty"`
}

// Secret names one.
type Secret struct {
	ARN  string `json:"arn"`
	Name string `json:"name"`
}

// Stack is which deployment wrote a record, and what it was told.
type Stack struct {
	Account string `json:"account"`
	Grace   string `json:"grace,omitempty"` // such as 1h0m0s
	Heal    string `json:"heal"`            // off, missing or all
	// Readers says that reads of the private key are watched.
	Readers bool   `json:"readers"`
	Region  string `json:"region"`
}

// Event is an occurrence that CloudTrail or EventBridge told of, or the schedule.
type Event struct {
	At   time.Time `json:"at,omitzero"`
	ID   string    `json:"id"`
	Name string    `json:"name"` // such as RotationSucceeded, or check for the schedule
}

// Verification is what the hosts of a secret trusted.
type Verification struct {
	// Clean: every account on every host that was expected was seen and is ok, and there is at least one.
	Clean bool `json:"clean"`
	// Commands are the ids of the SSM commands that asked. A User names one by its place here.
	Commands []string `json:"commands,omitempty"`
	Coverage Coverage `json:"coverage"`
	// Fingerprint is that of the live key, as ssh-keygen -l has it: SHA256:…
	Fingerprint string `json:"fingerprint,omitempty"`
	// Gone: Secrets Manager has no such secret any more.
	Gone bool `json:"gone,omitempty"`
	// Held is what the tag keytrail:hold says, where the secret has it.
	Held     *string  `json:"held,omitempty"`
	Hosts    []Host   `json:"hosts,omitempty"` // by id
	Keys     []Key    `json:"keys,omitempty"`  // of all registered versions: live, pending, retired; then by fingerprint
	Settings Settings `json:"settings"`
	// Unregistered: AWSCURRENT holds a value that was put by hand and that nobody adopted.
	Unregistered bool `json:"unregistered,omitempty"`
	// Version is the one with AWSCURRENT.
	Version string `json:"version,omitempty"`
}

// Coverage is how many of the hosts that are expected gave a definite answer.
type Coverage struct {
	Expected int `json:"expected"`
	Seen     int `json:"seen"`
}

// Settings are what Secrets Manager said of the secret. Zero times are not known, or not to come.
type Settings struct {
	// Days is AutomaticallyAfterDays, and Schedule the ScheduleExpression: a rule has one of them.
	Days     int64     `json:"days,omitempty"`
	Deleted  time.Time `json:"deleted,omitzero"`
	Function string    `json:"function,omitempty"` // ARN of the rotation function
	KMSKey   string    `json:"kmsKey,omitempty"`   // none: the account's default key
	Next     time.Time `json:"next,omitzero"`
	// Ours says that the rotation function is Keytrail's.
	Ours     bool      `json:"ours"`
	Pending  string    `json:"pending,omitempty"` // the version with AWSPENDING, where that is not the current one
	Rotated  time.Time `json:"rotated,omitzero"`
	Rotates  bool      `json:"rotates"`
	Schedule string    `json:"schedule,omitempty"`
}

// Key is one registered key of the secret.
type Key struct {
	Bits        int       `json:"bits,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Fingerprint string    `json:"fingerprint"`
	Reason      string    `json:"reason"`
	Standing    string    `json:"standing"`       // live, pending or retired
	Type        string    `json:"type,omitempty"` // as in an authorized_keys line: ssh-ed25519, ssh-rsa
	Version     string    `json:"version"`
}

// Host is one managed node or EC2 instance.
type Host struct {
	ID    string `json:"id"`
	Users []User `json:"users"` // by name
}

// User is one account of a host.
type User struct {
	// Command is the place of the SSM command in Commands, from 1; 0 when no command reached the host.
	Command int `json:"command,omitempty"`
	// Elsewhere: nobody asked about the account, and a retired key is there, or may be.
	Elsewhere bool      `json:"elsewhere,omitempty"`
	Foreign   []Foreign `json:"foreign,omitempty"` // keys that no secret registered
	Name      string    `json:"name"`
	Reason    string    `json:"reason,omitempty"`
	Retired   []string  `json:"retired,omitempty"` // fingerprints of retired keys that are there, or may be
	Skipped   int       `json:"skipped,omitempty"` // other accounts of the host, at least, that were not looked at
	// State is ok, missing, stale, refused, nouser, forged; or, where nothing is known, unverifiable,
	// unreachable, stopped, unmanaged, unsupported.
	State    string `json:"state"`
	Stray    bool   `json:"stray,omitempty"`    // not of the secret's fleet any more
	Unlisted int    `json:"unlisted,omitempty"` // further keys that the host had no room to list
	// Ways are other ways into the account: k an AuthorizedKeysCommand, c TrustedUserCAKeys, l a line of a
	// certificate authority.
	Ways string `json:"ways,omitempty"`
}

// Foreign is a key that no secret registered.
type Foreign struct {
	Comment     string `json:"comment,omitempty"`
	Fingerprint string `json:"fingerprint"`
	// Forged says that its line claims to be one of Keytrail's.
	Forged  bool   `json:"forged,omitempty"`
	Line    int    `json:"line"`
	Options string `json:"options,omitempty"` // letters, as fleet.SeenKey has them
	Path    string `json:"path"`
	Type    string `json:"type"` // as ssh-keygen has it: ED25519, RSA
}

// Rotation is how one ended.
type Rotation struct {
	// Failure is Secrets Manager's message, where it failed.
	Failure  string    `json:"failure,omitempty"`
	Function string    `json:"function,omitempty"`
	Outcome  Outcome   `json:"outcome"`
	Started  time.Time `json:"started,omitzero"` // as far as an event told
	Step     string    `json:"step,omitempty"`   // that failed
	Version  string    `json:"version,omitempty"`
}

// Outcome is how a rotation ended.
type Outcome string

// The outcomes. Unheard: the hosts and labels show that it ended well, and no event told of it.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
	Abandoned Outcome = "abandoned"
	Unheard   Outcome = "unheard"
)

// Reconcile is what rotate was asked for and answered.
type Reconcile struct {
	Error string `json:"error,omitempty"`
	// Hosts are those where something was changed, or could not be: by id, then user.
	Hosts []Change `json:"hosts,omitempty"`
	Why   string   `json:"why"` // heal, grace or abandoned
}

// Change is one account before and after.
type Change struct {
	Command string `json:"command,omitempty"` // id of the SSM command
	Host    string `json:"host"`
	Reason  string `json:"reason,omitempty"`
	State   string `json:"state"`
	User    string `json:"user"`
	Was     string `json:"was"`
}

// Alert is a message that people were sent.
type Alert struct {
	Condition string    `json:"condition"`
	Hosts     int       `json:"hosts,omitempty"`
	ID        string    `json:"id"` // of the problem: the same in all its messages
	Message   string    `json:"message"`
	Reason    string    `json:"reason,omitempty"`
	Severity  string    `json:"severity"`
	Since     time.Time `json:"since"`
	Status    string    `json:"status"`        // opened, updated, repeated, unstable, resolved
	Who       string    `json:"who,omitempty"` // the principal that did it
}

// Exceptions is the list of exceptions from now on. Where it cannot be read, the one before stays in force.
type Exceptions struct {
	Added   []string    `json:"added,omitempty"` // fingerprints that no exception was about before
	Error   string      `json:"error,omitempty"` // why it cannot be read
	List    []Exception `json:"list,omitempty"`
	Removed []string    `json:"removed,omitempty"` // fingerprints that no exception is about any more
	SHA256  string      `json:"sha256,omitempty"`  // of the object; none when it is gone
}

// Canonical returns the record as it stands in the bucket: one line in the canonical form of RFC 8785.
func (r Record) Canonical() ([]byte, error) {
	body, err := line(r)
	if err != nil {
		return nil, fmt.Errorf("encode record %d: %w", r.Sequence, err)
	}
	return body, nil
}

// Sum is the SHA-256 of a record's canonical form, in hex: what the next one names.
func Sum(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// What is wrong with an object that should be a record.
var (
	// ErrDamaged: it is cut, changed, or no record.
	ErrDamaged = errors.New("damaged: cut, changed, or no record")
	// ErrLater: a later release wrote it.
	ErrLater = errors.New("written by a later release: its form is not known here")
)

// Decode reads what Canonical wrote, and nothing else: one byte more or less is ErrDamaged.
func Decode(body []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(body, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if r.Schema > Schema {
		return Record{}, fmt.Errorf("schema %d: %w", r.Schema, ErrLater)
	}
	again, err := r.Canonical()
	if err != nil || !bytes.Equal(again, body) {
		return Record{}, ErrDamaged
	}
	return r, nil
}
