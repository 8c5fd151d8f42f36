// Package audit proves what a secret's hosts trust. It reads what Secrets Manager and the register say,
// asks every host that could be concerned, and joins the answers into one verdict: which key stands
// where, by which version, seen by which command, and how much of the fleet could be seen at all.
//
// It reads no private key and changes no host. What is done about a verdict lives in events.
package audit

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

// Verdict is what the hosts of one secret trust, at one time.
type Verdict struct {
	SecretARN  string    `json:"secretArn"`
	SecretName string    `json:"secretName"`
	At         time.Time `json:"at"` // before anything was read
	// Version is the one with AWSCURRENT, "" when there is none, and Fingerprint its key's.
	Version     string             `json:"version,omitempty"`
	Fingerprint sshkey.Fingerprint `json:"fingerprint,omitempty"`
	// Unregistered: AWSCURRENT holds a value that was put by hand and that nobody adopted.
	Unregistered bool `json:"unregistered,omitempty"`
	// Gone: Secrets Manager has no such secret any more; all its keys are retired.
	Gone bool `json:"gone,omitempty"`
	// Held is what the tag keytrail:hold says, where the secret has it.
	Held   *string `json:"held,omitempty"`
	Keys   []Key   `json:"keys,omitempty"`   // of all registered versions, by standing, then fingerprint
	Places []Place `json:"places,omitempty"` // by host, then user
}

// Key is one registered key of the secret.
type Key struct {
	Fingerprint sshkey.Fingerprint `json:"fingerprint"`
	Version     string             `json:"version"`
	Standing    string             `json:"standing"` // live, pending or retired
	Reason      trust.Reason       `json:"reason"`
	Created     time.Time          `json:"created,omitzero"` // as far as the register says
	Type        string             `json:"type,omitempty"`   // as in an authorized_keys line
	Bits        int                `json:"bits,omitempty"`
}

// Place is one account on one host.
type Place struct {
	Host      fleet.InstanceID `json:"host"`
	User      string           `json:"user"`
	State     fleet.State      `json:"state"`
	Reason    string           `json:"reason,omitempty"`
	CommandID string           `json:"commandId,omitempty"`
	// Stray: the host or the account is not of the secret's fleet any more, and had its key once.
	Stray bool `json:"stray,omitempty"`
	// Elsewhere: nobody asked about the account, and a retired key is there, or may be. No rotation and no
	// reconcile of the secret touches it.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Skipped is how many other accounts of the host, at least, were not looked at: what is in their files
	// is not known.
	Skipped int `json:"skipped,omitempty"`
	// Retired are the retired keys that are there, or may be.
	Retired []sshkey.Fingerprint `json:"retired,omitempty"`
	// Foreign are keys that no secret registered, as the host tells them. Unlisted is how many more keys the
	// host had to say something about and no room to list.
	Foreign  []fleet.SeenKey `json:"foreign,omitempty"`
	Unlisted int             `json:"unlisted,omitempty"`
	// Ways are other ways into the account: k an AuthorizedKeysCommand, c TrustedUserCAKeys, l a line
	// of a certificate authority.
	Ways string `json:"ways,omitempty"`
}

// Coverage is how much of what is expected was seen.
type Coverage struct {
	Seen     int `json:"seen"`     // hosts of which every account that was asked about has a definite state
	Expected int `json:"expected"` // hosts
}

// Ratio is between 0 and 1. Of no hosts nothing is known: 0.
func (c Coverage) Ratio() float64 {
	if c.Expected == 0 {
		return 0
	}
	return float64(c.Seen) / float64(c.Expected)
}

// Unknown reports whether a state tells nothing: neither that all is well nor that something is wrong.
func Unknown(s fleet.State) bool {
	switch s {
	case fleet.Unverifiable, fleet.Unreachable, fleet.Stopped, fleet.Unmanaged, fleet.Unsupported:
		return true
	}
	return false
}

// Drift reports whether a state says that something is wrong.
func Drift(s fleet.State) bool { return s != fleet.OK && !Unknown(s) }

// Coverage counts hosts.
func (v Verdict) Coverage() Coverage {
	blind := map[fleet.InstanceID]bool{}
	for _, p := range v.Places {
		if !p.Elsewhere { // nobody expected it
			blind[p.Host] = blind[p.Host] || Unknown(p.State)
		}
	}
	c := Coverage{Expected: len(blind)}
	for _, b := range blind {
		if !b {
			c.Seen++
		}
	}
	return c
}

// Count returns the number of places in each state.
func (v Verdict) Count() map[fleet.State]int {
	n := map[fleet.State]int{}
	for _, p := range v.Places {
		n[p.State]++
	}
	return n
}

// Drifted returns the places where something is wrong.
func (v Verdict) Drifted() []Place {
	return slices.DeleteFunc(slices.Clone(v.Places), func(p Place) bool { return !Drift(p.State) })
}

// Clean reports whether every account on every host was seen and is ok, and there is at least one: N of
// N hosts trust the version, and none trusts any before it, in whatever account.
func (v Verdict) Clean() bool {
	return v.Version != "" && !v.Unregistered && !v.Gone && len(v.Places) > 0 && v.Count()[fleet.OK] == len(v.Places)
}

// sort puts a verdict into its order.
func (v *Verdict) sort() {
	slices.SortStableFunc(v.Places, func(a, b Place) int {
		return cmp.Or(strings.Compare(string(a.Host), string(b.Host)), strings.Compare(a.User, b.User))
	})
}
