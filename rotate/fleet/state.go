package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// State is what is known of one user on one host.
type State string

const (
	// OK: every wanted key is in a file that sshd reads and honours, and no retired one is left.
	OK State = "ok"
	// Missing: a wanted key is absent.
	Missing State = "missing"
	// Stale: a retired key is still there.
	Stale State = "stale"
	// Refused: sshd would not honour what is, or would be, in the file.
	Refused State = "refused"
	// NoUser: the host has no such account.
	NoUser State = "nouser"
	// Unverifiable: sshd's settings or the answer could not be read.
	Unverifiable State = "unverifiable"
	// Unreachable: offline, not delivered, or no answer in time.
	Unreachable State = "unreachable"
	// Forged: all is as wanted, and a key that is nobody's carries our marker. Only an auditor says so.
	Forged State = "forged"
	// Stopped: an EC2 instance that does not run.
	Stopped State = "stopped"
	// Unmanaged: an EC2 instance with the tags that Systems Manager does not know.
	Unmanaged State = "unmanaged"
	// Unsupported: not a platform with an authorized_keys file that we manage (Windows).
	Unsupported State = "unsupported"
)

// Observation is what became known of one user on one host in one pass.
type Observation struct {
	Host      InstanceID
	User      string
	State     State
	Reason    string // why, in words; empty for OK
	CommandID string // the Run Command invocation that told, empty when none was sent
	Added     int    // lines written in this pass
	Removed   int    // lines removed in this pass
	Foreign   int    // keys that are neither wanted, known nor retired
	Forged    int    // foreign keys that carry our marker
	// Clean says that every file was read and holds no key of Retire; Remaining are those that are there,
	// or may be.
	Clean     bool
	Remaining []sshkey.Fingerprint
	// Elsewhere: the order did not ask about the account, and a key of its Retire is there, or may be. An
	// order to apply leaves such an account alone.
	Elsewhere bool
	// Skipped is how many accounts of the host, at least, were neither asked about nor looked at.
	Skipped int
	// Keys are those that are foreign or have options, where the order asked for detail, and Omitted how
	// many more there are. Ways are other ways into the account, see [UserAnswer].
	Keys    []SeenKey
	Omitted int
	Ways    string

	// For the ssh proof: where sshd listens and which host keys it has, by the host's own word.
	Sockets  []string // host:port
	HostKeys []sshkey.Fingerprint
}

// with joins what two orders told of the same user: what the first found wrong stands.
func (o Observation) with(later Observation) Observation {
	joined := o
	if o.State == OK || o.Elsewhere && o.State == Unverifiable {
		joined = later
	}
	joined.Added, joined.Removed = o.Added+later.Added, o.Removed+later.Removed
	// A retired key that only the other pass names is foreign to a pass.
	joined.Foreign, joined.Forged = min(o.Foreign, later.Foreign), min(o.Forged, later.Forged)
	joined.Clean = o.Clean && later.Clean
	joined.Skipped = max(o.Skipped, later.Skipped)
	joined.Remaining = slices.Clone(o.Remaining)
	for _, fp := range later.Remaining {
		if !slices.Contains(o.Remaining, fp) {
			joined.Remaining = append(joined.Remaining, fp)
		}
	}
	return joined
}

// Observations are ordered by host, then by the order in which users were asked for.
type Observations []Observation

// Join puts together what several orders told: each account of a host once, where it is told of first.
// What one order saw elsewhere yields to the answer to another, unless that says only that nobody could
// ask about the account.
func Join(orders ...Observations) Observations {
	type account struct {
		host InstanceID
		user string
	}
	at := map[account]int{}
	var out Observations
	for _, o := range slices.Concat(orders...) {
		a := account{o.Host, o.User}
		i, met := at[a]
		switch {
		case !met:
			at[a] = len(out)
			out = append(out, o)
		case out[i].Elsewhere == o.Elsewhere:
			out[i] = out[i].with(o)
		default:
			asked, seen := out[i], o
			if asked.Elsewhere {
				asked, seen = seen, asked
			}
			out[i] = asked
			// No host told of an account that is unverifiable without a command: see wanted's Outside.
			if asked.State == Unverifiable && asked.CommandID == "" && seen.State == Stale {
				out[i] = seen
			}
		}
	}
	return out
}

// Count returns the number of observations in each state.
func (os Observations) Count() map[State]int {
	n := map[State]int{}
	for _, o := range os {
		n[o.State]++
	}
	return n
}

// Hosts returns the number of distinct hosts observed.
func (os Observations) Hosts() int {
	seen := map[InstanceID]bool{}
	for _, o := range os {
		seen[o.Host] = true
	}
	return len(seen)
}

// NotOK returns the observations that are not OK, in order.
func (os Observations) NotOK() Observations {
	return slices.DeleteFunc(slices.Clone(os), func(o Observation) bool { return o.State == OK })
}

// String names the first few observations, for an error that a person reads in one line.
func (os Observations) String() string {
	// Secrets Manager and CloudTrail show a few hundred characters of an error.
	const most = 5
	parts := make([]string, 0, most+1)
	for i, o := range os {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(os)-most))
			break
		}
		part := fmt.Sprintf("%s/%s %s", o.Host, o.User, o.State)
		if o.Reason != "" {
			part += " (" + o.Reason + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// ByHost sorts the observations by host and returns them. Those of one host keep their order.
func (os Observations) ByHost() Observations {
	slices.SortStableFunc(os, func(a, b Observation) int { return cmp.Compare(a.Host, b.Host) })
	return os
}
