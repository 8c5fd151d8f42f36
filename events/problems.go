package events

import (
	"fmt"
	"slices"
	"time"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

// Secrets Manager rotates "on or before" NextRotationDate, as far as its own clock and load let it.
const lateness = time.Hour

// steps is how many a rotation has, each of which may take as long as the function's time-out lets it.
const steps = 4

// situation is all that is known of a secret at one moment.
type situation struct {
	config  Config
	secret  audit.Secret
	gone    bool // Secrets Manager does not have it any more
	journal journal
	agreed  agreed
	verdict *audit.Verdict // nil when the hosts were not asked
	now     time.Time
}

// longest is how long a whole rotation may take.
func (s situation) longest() time.Duration { return steps * s.config.Patience }

// registered reports that rotate once made a key for the secret.
func (s situation) registered() bool { return s.verdict != nil && len(s.verdict.Keys) > 0 }

// underWay reports that a rotation may be changing hosts and labels just now, so that what hosts were
// seen to trust may be over already. What comes of it is looked at when it has ended.
func (s situation) underWay() bool {
	return slices.ContainsFunc(s.journal.Rotations, func(r *rotationSeen) bool {
		switch {
		case r.ended() || s.superseded(r) || !r.ByHand.IsZero():
			return false
		case r.Started.IsZero():
			return s.now.Sub(r.Moved) < s.config.Patience
		}
		return s.now.Sub(r.Started) < s.longest()
	})
}

// superseded reports that another rotation ended well after this one began.
func (s situation) superseded(r *rotationSeen) bool {
	return slices.ContainsFunc(s.journal.Rotations, func(o *rotationSeen) bool {
		return o != r && (o.Succeeded.After(r.begun()) || o.Missed.After(r.begun()))
	})
}

// ofSecret are the problems that need no host: what Secrets Manager says, and what events told or did not.
// looked are the conditions that would have been among them.
func (s situation) ofSecret() (problems []alert.Problem, looked []alert.ID) {
	looked = []alert.ID{alert.RotationOff, alert.FunctionChanged, alert.SecretDeleted, alert.RotationFailed,
		alert.RotationAbandoned, alert.RotationOverdue, alert.RotationNeverEnded, alert.RotationBlocked}
	add := func(id alert.ID, p alert.Problem) { problems = append(problems, s.by(id, p)) }
	if s.gone {
		if s.verdict == nil || s.verdict.Count()[fleet.OK] != len(s.verdict.Places) {
			add(alert.SecretDeleted, alert.Problem{})
		}
		return problems, looked
	}
	if !s.secret.Deleted.IsZero() {
		add(alert.SecretDeleted, alert.Problem{})
		return problems, looked
	}
	switch {
	case s.secret.Function != "" && s.secret.Function != s.config.Rotate:
		add(alert.FunctionChanged, alert.Problem{Function: s.secret.Function})
	case !s.secret.Rotates && s.secret.Function != "": // one that never rotated was not switched off
		add(alert.RotationOff, alert.Problem{Function: s.config.Rotate})
	case !s.secret.Next.IsZero() && s.now.After(s.secret.Next.Add(lateness)):
		add(alert.RotationOverdue, alert.Problem{Reason: "it was due by " + s.secret.Next.UTC().Format(time.RFC3339)})
	}
	current, pending := s.secret.Version("AWSCURRENT"), s.secret.Version("AWSPENDING")
	for _, r := range s.journal.Rotations {
		if s.superseded(r) {
			continue
		}
		told := alert.Problem{Version: r.Version, Step: r.Step, Function: r.Function, Reason: r.Message, EventID: r.EventID}
		switch {
		case r.failed():
			told.EventName, told.EventTime, told.Places = string(RotationFailed), r.Failed, s.inTheWay(r)
			add(alert.RotationFailed, told)
		case !r.Abandoned.IsZero() && r.Succeeded.Before(r.Abandoned) && r.Missed.Before(r.Abandoned):
			add(alert.RotationAbandoned, alert.Problem{Version: r.Version, EventName: string(RotationAbandoned), EventTime: r.Abandoned})
		case !r.ended() && !r.Started.IsZero() && s.now.Sub(r.Started) >= s.longest() && r.Version != current:
			add(alert.RotationNeverEnded, alert.Problem{Version: r.Version, EventName: string(RotationStarted), EventTime: r.Started})
		}
	}
	if pending != "" && pending != current && !s.underWay() && s.stuck(pending) {
		add(alert.RotationBlocked, alert.Problem{Version: pending})
	}
	return problems, looked
}

// stuck reports that no rotation is at work on a version any more, as far as can be known.
func (s situation) stuck(version string) bool {
	if r := s.journal.find(version); r != nil {
		return r.ended() || s.now.Sub(r.begun()) >= s.longest()
	}
	// No event told of it. A version of an unknown age is left until it has one.
	return s.journal.Begun.Before(s.now.Add(-s.longest()))
}

// by adds who did it, where a call of somebody led to the problem.
func (s situation) by(id alert.ID, p alert.Problem) alert.Problem {
	p.Condition = id
	call, ok := map[alert.ID]Kind{
		alert.RotationOff: CancelRotateSecret, alert.FunctionChanged: RotateSecret, alert.SecretDeleted: DeleteSecret,
	}[id]
	if c, known := s.journal.Changes[call]; ok && known {
		p.EventID, p.EventName, p.EventTime, p.Who = c.EventID, string(call), c.At, c.Who
	}
	return p
}

// inTheWay are the hosts that stood in the way of a rotation by their own answers to it, and those that may have
// by what they show now.
func (s situation) inTheWay(r *rotationSeen) []alert.Place {
	places := slices.Clone(r.InTheWay)
	if s.verdict == nil {
		return places
	}
	for _, p := range s.verdict.Places {
		told := slices.ContainsFunc(r.InTheWay, func(t alert.Place) bool {
			return t.Host == string(p.Host) && (t.User == p.User || t.User == "")
		})
		if p.State != fleet.OK && !p.Stray && !p.Elsewhere && !told {
			places = append(places, place(p, nil))
		}
	}
	return places
}

// missed are the rotations that ended well without an event that told so.
func (s situation) missed() []*rotationSeen {
	if s.gone || s.verdict == nil || s.verdict.Version == "" || s.verdict.Unregistered || !s.registered() {
		return nil
	}
	version := s.verdict.Version
	r := s.journal.find(version)
	if r == nil {
		// Nothing told of it at all: it was rotated since the secret is watched, and long enough ago.
		if s.secret.Rotated.After(s.journal.Begun) && s.now.Sub(s.secret.Rotated) >= s.config.Patience {
			return []*rotationSeen{{Version: version, Missed: s.now}}
		}
		return nil
	}
	late := s.now.Sub(r.Moved) >= s.config.Patience
	if r.Moved.IsZero() {
		late = s.now.Sub(r.begun()) >= s.longest()
	}
	if r.ended() || !late || !r.ByHand.IsZero() {
		return nil
	}
	return []*rotationSeen{r}
}

// ofHosts are the problems that hosts show.
func (s situation) ofHosts() (problems []alert.Problem, looked []alert.ID) {
	v := s.verdict
	looked = []alert.ID{alert.Coverage, alert.NoHosts, alert.NotVerified, alert.UnregisteredValue, alert.ForeignKey, alert.ForeignBaseline, alert.DriftForged}
	coverage := v.Coverage()
	add := func(id alert.ID, places []alert.Place, p alert.Problem) {
		if len(places) > 0 {
			p.Condition, p.Places, p.Version, p.Seen, p.Expected = id, places, v.Version, coverage.Seen, coverage.Expected
			problems = append(problems, p)
		}
	}
	add(alert.Coverage, s.places(func(p audit.Place) bool { return audit.Unknown(p.State) }, nil), alert.Problem{})
	if len(v.Places) == 0 && !v.Gone {
		problems = append(problems, alert.Problem{Condition: alert.NoHosts, Version: v.Version})
	}
	if v.Unregistered && s.registered() {
		problems = append(problems, alert.Problem{Condition: alert.UnregisteredValue, Version: v.Version})
	}
	add(alert.ForeignKey, s.places(func(p audit.Place) bool { return len(s.strangers(p)) > 0 }, s.strangers), alert.Problem{})
	add(alert.ForeignBaseline, s.places(func(p audit.Place) bool { return len(s.waiting(p)) > 0 }, s.waiting), alert.Problem{})
	add(alert.DriftForged, s.places(func(p audit.Place) bool { return p.State == fleet.Forged || len(forged(p)) > 0 }, forged), alert.Problem{})
	if s.underWay() || !s.registered() {
		return problems, looked
	}
	// A key that is to be seen nowhere is told of only where a live one is known.
	looked = append(looked, alert.DriftMissing, alert.DriftStale, alert.DriftRefused, alert.DriftNoUser, alert.GraceNotEnded)
	live := func(audit.Place) []sshkey.Fingerprint { return []sshkey.Fingerprint{v.Fingerprint} }
	stale := func(p audit.Place) []sshkey.Fingerprint { return p.Retired }
	is := func(state fleet.State) func(audit.Place) bool {
		return func(p audit.Place) bool { return p.State == state }
	}
	if v.Fingerprint != "" {
		add(alert.DriftMissing, s.places(is(fleet.Missing), live), alert.Problem{})
		add(alert.DriftRefused, s.places(is(fleet.Refused), live), alert.Problem{})
	}
	add(alert.DriftNoUser, s.places(is(fleet.NoUser), nil), alert.Problem{})
	id := alert.DriftStale
	if s.graceOver() {
		id = alert.GraceNotEnded
	}
	add(id, s.places(func(p audit.Place) bool { return p.State == fleet.Stale }, stale), alert.Problem{})
	return problems, looked
}

// graceOver reports that all retired keys that hosts still trust are the one whose grace period has
// ended: nothing took them away yet.
func (s situation) graceOver() bool {
	previous := s.secret.Version("AWSPREVIOUS")
	if s.config.Stack.Grace == 0 || previous == "" || s.verdict == nil {
		return false
	}
	over, some := map[sshkey.Fingerprint]bool{}, false
	for _, k := range s.verdict.Keys {
		over[k.Fingerprint] = k.Version == previous && k.Reason == trust.Superseded
	}
	for _, p := range s.verdict.Places {
		for _, fp := range p.Retired {
			if !over[fp] {
				return false
			}
			some = some || p.State == fleet.Stale
		}
	}
	return some
}

// places are those that a problem is about, each with the keys that it is about.
func (s situation) places(about func(audit.Place) bool, keys func(audit.Place) []sshkey.Fingerprint) []alert.Place {
	var all []alert.Place
	for _, p := range s.verdict.Places {
		if about(p) {
			all = append(all, place(p, keys))
		}
	}
	return all
}

func place(p audit.Place, keys func(audit.Place) []sshkey.Fingerprint) alert.Place {
	out := alert.Place{Host: string(p.Host), User: p.User, State: string(p.State), Reason: p.Reason, CommandID: p.CommandID}
	if keys != nil {
		for _, fp := range keys(p) {
			out.Fingerprints = append(out.Fingerprints, string(fp))
		}
	}
	if p.Stray {
		out.Reason = fmt.Sprintf("it is not of the secret's fleet any more; %s", out.Reason)
	}
	return out
}

// strangers are the keys of a place that nobody registered or answers for, and that do not claim to be ours.
func (s situation) strangers(p audit.Place) []sshkey.Fingerprint {
	return prints(p, func(k fleet.SeenKey) bool { return !k.Forged() && !s.unanswered(p, k) && !s.answered(p, k) })
}

// waiting are those of which nobody was asked yet whether they are strangers.
func (s situation) waiting(p audit.Place) []sshkey.Fingerprint {
	return prints(p, func(k fleet.SeenKey) bool { return !k.Forged() && s.unanswered(p, k) })
}

// forged are those that claim to be ours.
func forged(p audit.Place) []sshkey.Fingerprint { return prints(p, fleet.SeenKey.Forged) }

func prints(p audit.Place, is func(fleet.SeenKey) bool) []sshkey.Fingerprint {
	var all []sshkey.Fingerprint
	for _, k := range p.Foreign {
		if is(k) {
			all = append(all, k.Fingerprint)
		}
	}
	return all
}
