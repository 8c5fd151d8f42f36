// Package trust decides which of a secret's keys hosts must trust, may trust and must not trust. It is
// the most dangerous rule of the product and stands here alone: one pure function of what Secrets
// Manager and the register say, and of the time.
//
// Where those facts come from lives in rotate/register and rotate; what hosts do about a decision
// lives in rotate/fleet.
package trust

import (
	"time"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// The staging labels that matter here.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version
const (
	labelCurrent  = "AWSCURRENT"
	labelPending  = "AWSPENDING"
	labelPrevious = "AWSPREVIOUS"
)

// PendingFor is how long a rotation may run: an AWSPENDING version older than this is abandoned,
// whatever became of its rotation.
const PendingFor = 24 * time.Hour

// Version is one version of a secret as Secrets Manager lists it. Whether it holds a value does not
// matter: keys come from the register only.
type Version struct {
	ID      string
	Labels  []string
	Created time.Time // zero: not known
}

// Record is what the register says of one version. A zero time says that nothing is recorded.
type Record struct {
	Version string
	Keys    []sshkey.Fingerprint // one, or two for a value put by hand whose halves differ
	Found   bool                 // put by hand and never adopted: its keys may be retired, and are never live by AWSCURRENT
	Hosts   []string             // where the keys may have been installed

	Created   time.Time // of the key pair
	Promoted  time.Time // to AWSCURRENT
	Retired   time.Time // last time that its keys were taken from hosts
	Abandoned time.Time // last time that its rotation was known to have failed or been abandoned
	Resumed   time.Time // last time that its rotation went on after that, or after the promotion
}

// Ended reports whether the version's rotation ended, well or not, and did not go on since. AWSPENDING
// says little about that: Secrets Manager leaves it where it is.
func (r Record) Ended() bool { return latest(r.Promoted, r.Abandoned).After(r.Resumed) }

// Secret is everything known of one secret. One that was deleted and made again under its old name is
// two secrets, with two ARNs.
type Secret struct {
	ARN string
	// Gone: Secrets Manager knows no such secret any more. It has no versions, and all its keys are
	// retired.
	Gone bool
	// Unread: what Secrets Manager says could not be read. Nothing of the secret is retired, for its own
	// sake or another's, unless it is revoked.
	Unread   bool
	Versions []Version
	Records  []Record
	// Revoked are the fingerprints in which trust was ended by hand.
	Revoked []sshkey.Fingerprint
	// Hosts are those of its fleet now; they count beside those of its records.
	Hosts []string
}

// Question is what Decide is asked. No order of its slices matters, and duplicates do no harm.
type Question struct {
	Secret Secret
	// Others are the other secrets of the account whose records share a fingerprint with Secret's.
	// More do no harm. A missing one may cost its users their access.
	Others []Secret
	// Hosts are those that the decision is for; none stands for all. A key that another secret holds on
	// any of them is kept on all of them, so who wants to retire it from the others asks once for each
	// set of hosts.
	Hosts []string
	// Grace is how long AWSPREVIOUS stays trusted after the promotion of AWSCURRENT.
	Grace time.Duration
	// Now is a time before the first of these facts was read. A version made later is taken as pending,
	// since its labels may be missing from what was read.
	Now time.Time
}

// Decision parts the fingerprints of a secret's records: each is in exactly one of the three lists,
// which are ordered by fingerprint.
type Decision struct {
	// Live keys are those to log in with: that of AWSCURRENT must be on every host of the secret, one in
	// its grace period stays where it is.
	Live []Key
	// Pending keys are allowed on hosts and not required: neither installed for their own sake nor
	// removed nor reported.
	Pending []Key
	// Retired keys must be on no host that was asked about.
	Retired []Key

	// Current is the version with AWSCURRENT, or "".
	Current string
	// Unregistered: Current is a version without a record, or one that was only found: a value that was
	// put by hand.
	// Then no key is retired that may be what people log in with.
	Unregistered bool
	// LockedOut are the ARNs of those secrets, of the one asked about and the others, whose AWSCURRENT
	// has a revoked key: who reads its value cannot log in until it is rotated.
	LockedOut []string
	// Unmanaged are revoked fingerprints that no record has. They are nobody's to remove.
	Unmanaged []sshkey.Fingerprint
}

// Key is a fingerprint with what decided about it.
type Key struct {
	Fingerprint sshkey.Fingerprint
	Version     string // whose key it is; of several, the one that decided
	Reason      Reason
	Holder      string // for Shared: the ARN of the secret that holds the key
}

// Reason says why a key is live, pending or retired.
type Reason string

// Reasons for Live.
const (
	// Current: the version has AWSCURRENT.
	Current Reason = "current"
	// Grace: the version has AWSPREVIOUS and its grace period lasts.
	Grace Reason = "grace"
)

// Reasons for Pending.
const (
	// Rotating: the version has AWSPENDING and its rotation may go on.
	Rotating Reason = "rotating"
	// Shared: retired here, but live or pending for another secret on the same hosts.
	Shared Reason = "shared"
	// Unreplaced: no registered version has AWSCURRENT, so this may be the key that people log in with.
	Unreplaced Reason = "unreplaced"
)

// Reasons for Retired, the first that fits.
const (
	// Revoked: trust in the fingerprint was ended by hand.
	Revoked Reason = "revoked"
	// Deleted: the secret is gone.
	Deleted Reason = "deleted"
	// Superseded: the version was promoted once, and others have been since.
	Superseded Reason = "superseded"
	// Abandoned: its rotation failed or was abandoned before it was promoted.
	Abandoned Reason = "abandoned"
	// Expired: it still has AWSPENDING, longer than PendingFor.
	Expired Reason = "expired"
	// Unlabelled: it has no label, and no end of its rotation is recorded.
	Unlabelled Reason = "unlabelled"
)
