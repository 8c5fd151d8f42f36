package fleet

import (
	"slices"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// judge says in one state what a host's answer means for what was ordered. What keeps people out goes
// before what lets too many in.
func judge(u UserAnswer) Observation {
	o := Observation{User: u.User, State: OK, Added: u.Added, Removed: u.Removed, Foreign: u.Foreign, Forged: u.Forged}
	o.Reason = reasons[u.Reason]
	present := func(p Presence) bool { return p != Absent }
	o.Clean = u.Remaining != nil && !slices.ContainsFunc(u.Remaining, present)
	switch {
	case u.Code == CodeNoUser:
		o.State, o.Reason = NoUser, "the host has no such account"
	case u.Code == CodeUnverifiable:
		o.State = Unverifiable
	case u.Code == CodeRefused, slices.Contains(u.Present, NotAllowed):
		o.State = Refused
	case slices.Contains(u.Present, Absent):
		o.State = Missing
		if o.Reason == "" {
			o.Reason = "the key is in no file that sshd reads"
		}
	case slices.ContainsFunc(u.Remaining, present):
		o.State = Stale
		if o.Reason == "" {
			o.Reason = "a retired key is still there"
		}
	case u.Code == CodeFailed:
		// All is as ordered, whatever went wrong on the way.
	}
	return o
}

// judgeOther says what an answer about an account means that was not asked about.
func judgeOther(u UserAnswer, retire []sshkey.Fingerprint) Observation {
	o := Observation{User: u.User, Elsewhere: true, Remaining: remaining(u, retire)}
	if slices.Contains(u.Remaining, Honoured) {
		o.State, o.Reason = Stale, "the account was not asked about, and trusts a retired key"
		return o
	}
	o.State, o.Reason = Unverifiable, "the account was not asked about, and may trust a retired key"
	if why := reasons[u.Reason]; why != "" {
		o.Reason += ": " + why
	}
	if u.Remaining == nil { // its file was not read at all
		o.Remaining = retire
	}
	return o
}

// remaining are the keys of an order that are there, or may be.
func remaining(u UserAnswer, retire []sshkey.Fingerprint) []sshkey.Fingerprint {
	var out []sshkey.Fingerprint
	for i, p := range u.Remaining {
		if p != Absent {
			out = append(out, retire[i])
		}
	}
	return out
}
