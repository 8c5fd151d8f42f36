package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
)

// maxCited is how many findings a result names evidence of. The findings have the rest.
const maxCited = 5

// result decides one control for the chain's secret, once all its records are read.
func (t *trail) result(control int) Result {
	r := Result{Secret: t.out.Name, ARN: t.out.ARN, Evidence: []Evidence{}}
	var broken []*standing
	var mended int
	var longest time.Duration
	for _, s := range t.standings() {
		switch {
		case s.key.control != control || !s.concerns(t.o.From):
		case s.breaks():
			broken = append(broken, s)
		case s.status == Mended:
			mended++
			longest = max(longest, s.longest)
		}
	}
	if len(broken) > 0 {
		r.Status, r.Reason = Fail, broken[0].title
		if n := len(broken); n > 1 {
			r.Reason = fmt.Sprintf("%s, and %s", r.Reason, count(n-1, "more finding", "more findings"))
		}
		for _, s := range broken[:min(len(broken), maxCited)] {
			r.cite(s.first, s.last)
		}
		r.Records = t.tested(control)
		return r
	}
	if why := t.untestable(control); why != "" {
		r.Status, r.Reason = NotTestable, why
		r.idle = t.records > 0 && (control == verifiedAfter || control == alertPath) && len(t.out.Rotations) == 0
		return r
	}
	r.Status, r.Records = Pass, t.tested(control)
	r.Reason = t.passed(control)
	if mended > 0 {
		r.Reason = fmt.Sprintf("%s; %s, the longest after %s", r.Reason, count(mended, "finding was mended", "findings were mended"), span(longest))
	}
	switch control {
	case lastRotation:
		r.cite(t.ended[len(t.ended)-1])
	case verifiedAfter, alertPath:
		for _, row := range t.out.Rotations[max(0, len(t.out.Rotations)-maxCited):] {
			r.Evidence = append(r.Evidence, row.Evidence)
		}
	case onlyRotation, readers:
		r.cite(t.first, t.last)
	default:
		r.cite(t.firstLook, t.lastLook)
	}
	return r
}

// cite names records, each once.
func (r *Result) cite(entries ...entry) {
	for _, e := range entries {
		if c := e.cite(); !slices.Contains(r.Evidence, c) {
			r.Evidence = append(r.Evidence, c)
		}
	}
}

// standings returns the findings, the most severe first.
func (t *trail) standings() []*standing {
	if t.sorted == nil {
		for _, s := range t.all {
			t.sorted = append(t.sorted, s)
		}
		slices.SortFunc(t.sorted, func(a, b *standing) int {
			return compareFindings(a.order(), b.order())
		})
	}
	return t.sorted
}

func (s *standing) order() Finding {
	return Finding{Status: s.status, Severity: s.severity, Control: controls[s.key.control].ID, Scope: s.scope()}
}

// tested is how many records of the period a control was tested by.
func (t *trail) tested(control int) int {
	switch control {
	case lastRotation, verifiedAfter, alertPath:
		return len(t.out.Rotations)
	case onlyRotation, readers:
		return t.records
	}
	return t.verified
}

const noLook = "no verification in the period"

// untestable says why a control that nothing breaks cannot be said to hold.
func (t *trail) untestable(control int) string {
	gone := t.out.Last != nil && t.out.Last.Gone
	switch control {
	case lastRotation:
		if len(t.ended) == 0 {
			return "the evidence has no rotation"
		}
		return ""
	case verifiedAfter, alertPath:
		switch {
		case len(t.out.Rotations) == 0 && control == alertPath:
			return "no rotation ended in the period, so that no event was due"
		case len(t.out.Rotations) == 0:
			return "no rotation ended in the period"
		case control == verifiedAfter && !slices.ContainsFunc(t.out.Rotations, func(r Rotation) bool { return !r.Verified.IsZero() }):
			return "no rotation of the period succeeded, or the time to verify it is not over"
		}
		return ""
	case onlyRotation, readers:
		switch {
		case t.records == 0:
			return "no record in the period"
		case control == readers && t.unwatched:
			return "reads of the private key were not watched all the time: KEYTRAIL_READERS was not set"
		case t.missed():
			return "an event went missing in the period, so that silence proves nothing"
		}
		return ""
	}
	blind, hosts := t.blindHosts()
	switch {
	case t.verified == 0:
		return noLook
	case gone && (control == rotationOn || control == noneStuck || control == keyAge || control == keyType || control == ownKMSKey || control == currentKey):
		return "the secret does not exist any more"
	case control == keyAge:
		return t.untimed
	case control == keyType && t.untyped:
		return "the register does not say of which type the live key is"
	case control == rotationOn || control == noneStuck || control == ownKMSKey || control == keyType:
		return ""
	case hosts == 0:
		return "no host was expected"
	case blind > 0:
		return fmt.Sprintf("%s of %s never gave a definite answer in the period", number(blind), count(hosts, "host", "hosts"))
	case control == noForeign && t.unlisted > 0:
		return fmt.Sprintf("a host had no room to list %s", count(t.unlisted, "further key", "further keys"))
	case control == otherWays && t.skipped > 0:
		return fmt.Sprintf("%s of a host, at least, were not looked at", count(t.skipped, "other account", "other accounts"))
	}
	return ""
}

// missed reports whether an event went missing in the period.
func (t *trail) missed() bool {
	return slices.ContainsFunc(t.standings(), func(s *standing) bool { return s.key.control == alertPath && s.concerns(t.o.From) })
}

func (t *trail) blindHosts() (blind, hosts int) {
	for _, s := range t.known {
		if !s.definite {
			blind++
		}
	}
	return blind, len(t.known)
}

// passed says what was seen.
func (t *trail) passed(control int) string {
	_, hosts := t.blindHosts()
	looks := count(t.verified, "verification", "verifications")
	switch control {
	case keyAge:
		if k := t.out.Key; k != nil && k.LimitSeconds > 0 {
			return fmt.Sprintf("%s old at the last of %s; the limit is %s", span(time.Duration(k.AgeSeconds)*time.Second), looks, span(time.Duration(k.LimitSeconds)*time.Second))
		}
		return "rotated as its schedule says, in " + looks
	case lastRotation:
		last := t.ended[len(t.ended)-1]
		if last.Rotation.Outcome == evidence.Unheard {
			return "it ended well by what hosts and labels show at " + minute(last.At) + " UTC"
		}
		return "it succeeded at " + minute(last.At) + " UTC"
	case verifiedAfter:
		return fmt.Sprintf("%s, each verified within %s", count(len(t.proven()), "rotation", "rotations"), span(t.o.Within))
	case alertPath:
		return fmt.Sprintf("an event told of each of %s", count(len(t.out.Rotations), "rotation", "rotations"))
	case onlyRotation, readers:
		return fmt.Sprintf("nothing else was told of in %s", count(t.records, "record", "records"))
	case currentKey, noRetired, noForeign, honoured, verifiable, otherWays:
		return fmt.Sprintf("%s in %s", count(hosts, "host", "hosts"), looks)
	case keyType:
		k := t.out.Key
		if k.Bits > 0 {
			return fmt.Sprintf("%s, %s bits", k.Type, number(k.Bits))
		}
		return k.Type
	}
	return looks
}

// proven are the rotations of the period that were verified.
func (t *trail) proven() []Rotation {
	return slices.DeleteFunc(slices.Clone(t.out.Rotations), func(r Rotation) bool { return r.Verified.IsZero() })
}
