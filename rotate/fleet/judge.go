package fleet

import "slices"

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
