package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/line"
)

// Texts from outside are no longer than this in a report.
const (
	maxName = 600 // the longest name of a secret has 512 bytes
	maxText = 1000
)

// issue is what is wrong at one look.
type issue struct {
	control  int
	scope    string
	title    string
	detail   string
	severity Severity
	places   []string // host/user
}

// view is what one list of hosts says. Lists that say the same share one.
type view struct {
	issues   []issue
	blind    map[string]bool // places of which nothing is known
	known    map[string]bool // hosts that are expected, and whether every account has a definite state
	excepted map[int][]string
	states   map[string]int
	unlisted int
	skipped  int
	drift    bool
}

// blindState reports whether a state tells nothing. audit.Unknown says the same of a fleet.State; a state that is
// new to this release tells nothing either.
func blindState(state string) bool {
	switch state {
	case "ok", "missing", "stale", "refused", "nouser", "forged":
		return false
	}
	return true
}

func placeOf(h evidence.Host, u evidence.User) string {
	return line.Plain(h.ID, maxName) + "/" + line.Plain(u.Name, maxName)
}

// look reads a list of hosts as it was at a time.
func look(hosts []evidence.Host, exceptions []Exception, at time.Time) *view {
	v := &view{blind: map[string]bool{}, known: map[string]bool{}, excepted: map[int][]string{}, states: map[string]int{}}
	keys := map[string]*issue{} // foreign ones, by fingerprint
	for _, h := range hosts {
		for _, u := range h.Users {
			place := placeOf(h, u)
			blind := blindState(u.State)
			v.states[u.State]++
			v.drift = v.drift || !blind && u.State != "ok"
			v.unlisted += u.Unlisted
			v.skipped = max(v.skipped, u.Skipped)
			if blind {
				v.blind[place] = true
			}
			if !u.Elsewhere {
				if was, met := v.known[h.ID]; !met || was {
					v.known[h.ID] = !blind
				}
			}
			v.account(u, place, blind)
			for _, f := range u.Foreign {
				v.foreign(keys, h.ID, u.Name, place, f, exceptions, at)
			}
		}
	}
	for _, fp := range slices.Sorted(maps.Keys(keys)) {
		i := *keys[fp]
		if n := len(i.places); n > 1 {
			i.detail = fmt.Sprintf("%s; on %s accounts", i.detail, number(n))
		}
		v.issues = append(v.issues, i)
	}
	return v
}

// account finds what is wrong with one account.
func (v *view) account(u evidence.User, place string, blind bool) {
	reason := line.Plain(u.Reason, maxText)
	add := func(control int, severity Severity, title, detail string) {
		v.issues = append(v.issues, issue{control, place, title, detail, severity, []string{place}})
	}
	switch u.State {
	case "missing":
		add(currentKey, Critical, "The current key is missing", reason)
	case "nouser":
		add(currentKey, High, "The account does not exist", reason)
	case "refused":
		add(honoured, Critical, "sshd refuses the current key", reason)
	}
	if u.State == "stale" || len(u.Retired) > 0 && (!blind || u.Elsewhere) {
		title := "A retired key is still trusted"
		if blind {
			title = "A retired key may still be trusted"
		}
		var prints []string
		for _, fp := range u.Retired {
			prints = append(prints, line.Plain(fp, maxName))
		}
		add(noRetired, Critical, title, joined("; ", strings.Join(prints, ", "), reason))
	}
	if u.State == "forged" && !slices.ContainsFunc(u.Foreign, func(f evidence.Foreign) bool { return f.Forged }) {
		add(noForeign, Critical, "A key claims to be Keytrail's, and is not", reason)
	}
	for _, way := range [...]struct{ letter, title string }{
		{"k", "sshd asks an AuthorizedKeysCommand"}, {"c", "sshd trusts certificate authorities"}, {"l", "A line of the key file trusts a certificate authority"},
	} {
		if strings.Contains(u.Ways, way.letter) {
			v.issues = append(v.issues, issue{otherWays, place + " " + way.letter, way.title, "", Medium, []string{place}})
		}
	}
}

func (v *view) foreign(keys map[string]*issue, host, user, place string, f evidence.Foreign, exceptions []Exception, at time.Time) {
	i, valid := agreed(exceptions, host, user, f.Fingerprint, at)
	if valid && !f.Forged {
		v.excepted[i] = append(v.excepted[i], place)
		return
	}
	found := keys[f.Fingerprint]
	if found == nil {
		comment := line.Plain(f.Comment, maxText)
		if comment != "" {
			comment = "“" + comment + "”"
		}
		found = &issue{control: noForeign, scope: line.Plain(f.Fingerprint, maxName), title: "A key that nobody agreed to is trusted", severity: High,
			detail: joined(" ", line.Plain(f.Type, maxName), line.Plain(f.Fingerprint, maxName), comment, "in "+line.Plain(f.Path, maxText))}
		keys[f.Fingerprint] = found
	}
	switch {
	case f.Forged:
		found.title, found.severity = "A key claims to be Keytrail's, and is not", Critical
	case i >= 0 && found.severity == High:
		found.title = "A key is trusted whose exception has expired"
	}
	found.places = append(found.places, place)
}

// joined joins what is not empty.
func joined(by string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(t string) bool { return t == "" }), by)
}

// sameHosts reports whether two lists say the same. The compacted reader shares lists, so that mostly one look at
// where they begin tells.
func sameHosts(a, b []evidence.Host) bool {
	if len(a) != len(b) || len(a) == 0 {
		return len(a) == len(b)
	}
	return &a[0] == &b[0] || slices.EqualFunc(a, b, func(x, y evidence.Host) bool {
		return x.ID == y.ID && slices.EqualFunc(x.Users, y.Users, sameUser)
	})
}

// sameUser leaves out which command asked.
func sameUser(a, b evidence.User) bool {
	return a.Name == b.Name && a.State == b.State && a.Reason == b.Reason && a.Elsewhere == b.Elsewhere && a.Stray == b.Stray &&
		a.Skipped == b.Skipped && a.Unlisted == b.Unlisted && a.Ways == b.Ways && slices.Equal(a.Retired, b.Retired) && slices.Equal(a.Foreign, b.Foreign)
}

// accounts lists the accounts of a verification: what is wrong first, then what is not known, then what is ok.
func accounts(v *evidence.Verification) []HostState {
	out := []HostState{}
	for _, h := range v.Hosts {
		for _, u := range h.Users {
			s := HostState{
				Host: line.Plain(h.ID, maxName), User: line.Plain(u.Name, maxName), State: line.Plain(u.State, maxName), Reason: line.Plain(u.Reason, maxText),
				Foreign: len(u.Foreign) + u.Unlisted, Ways: line.Plain(u.Ways, maxName), Stray: u.Stray,
			}
			if n := u.Command; n > 0 && n <= len(v.Commands) {
				s.Command = line.Plain(v.Commands[n-1], maxName)
			}
			out = append(out, s)
		}
	}
	rank := func(s HostState) int {
		switch {
		case s.State == "ok":
			return 2
		case blindState(s.State):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b HostState) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Host, b.Host), strings.Compare(a.User, b.User))
	})
	return out
}
