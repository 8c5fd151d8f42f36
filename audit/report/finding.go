package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/line"
)

// entry is a record of a chain.
type entry struct {
	*evidence.Record
	sum *string // empty until it is needed, where the archive was not read from where sums stand
}

// cite names a record. What follows :secret: in an ARN is unique in an account, also where a name was used twice.
func (e entry) cite() Evidence {
	name := "exceptions"
	if e.Secret.ARN != "" {
		_, name, _ = strings.Cut(e.Secret.ARN, ":secret:")
	}
	if *e.sum == "" {
		if body, err := e.Canonical(); err == nil {
			*e.sum = evidence.Sum(body)
		}
	}
	sum := *e.sum
	const prefix = 16
	return Evidence{ID: line.Plain(name, maxName) + "#" + itoa(e.Sequence), At: e.At.UTC(), SHA256: sum[:min(prefix, len(sum))]}
}

// identify makes the id of a finding.
func identify(arn, control, scope string) string {
	sum := sha256.Sum256([]byte(arn + "\x00" + control + "\x00" + scope))
	return "kt-" + hex.EncodeToString(sum[:12])
}

type key struct {
	control int
	scope   string
}

// standing is a finding as it grows while the records of a chain are read.
type standing struct {
	issue
	key
	status              FindingStatus
	times               int
	first, last, mended entry
	opened              time.Time // this time
	longest             time.Duration
	unseen              bool // nothing is known any more of where it was
}

// group is the findings that one sort of record decides on.
type group struct {
	open map[key]*standing
	last entry // that decided
}

// ledger is the findings of one chain.
type ledger struct {
	all map[key]*standing
}

func (l *ledger) standing(e entry, i issue) *standing {
	k := key{i.control, i.scope}
	s := l.all[k]
	if s == nil {
		s = &standing{key: k, first: e}
		l.all[k] = s
	}
	s.issue = i
	return s
}

// occurred notes what has happened.
func (l *ledger) occurred(e entry, i issue) {
	s := l.standing(e, i)
	s.status, s.last = Occurred, e
	s.times++
}

// update notes what is wrong at a record, and that what is not any more was mended. What was seen in a place that
// is blind now is neither.
func (l *ledger) update(g *group, e entry, issues []issue, blind map[string]bool) {
	now := map[key]bool{}
	for _, i := range issues {
		s := l.standing(e, i)
		now[s.key] = true
		if g.open[s.key] == nil {
			s.status, s.opened, s.mended = Open, e.At, entry{}
			s.times++
			g.open[s.key] = s
		}
		s.unseen = false
	}
	for k, s := range g.open {
		switch {
		case now[k]:
		case slices.ContainsFunc(s.places, func(p string) bool { return blind[p] }):
			if !s.unseen {
				s.unseen, s.last = true, g.last
			}
		default:
			if !s.unseen {
				s.last = g.last
			}
			s.status, s.mended = Mended, e
			s.longest = max(s.longest, e.At.Sub(s.opened))
			delete(g.open, k)
		}
	}
	g.last = e
}

// end closes the books: what is open was seen last by the last record of its group.
func (g *group) end() {
	for _, s := range g.open {
		if !s.unseen {
			s.last = g.last
		}
	}
}

// concerns reports whether something of it is part of a period that begins at from.
func (s *standing) concerns(from time.Time) bool {
	return s.status == Open || !s.last.At.Before(from) || !s.mended.empty() && !s.mended.At.Before(from)
}

func (e entry) empty() bool { return e.Record == nil }

// finding returns it as reports have it.
func (s *standing) finding(secret evidence.Secret) Finding {
	c := controls[s.key.control]
	f := Finding{
		ID: identify(secret.ARN, c.ID, s.scope()), Control: c.ID, Secret: line.Plain(secret.Name, maxName), ARN: line.Plain(secret.ARN, 2*maxName),
		Scope: s.scope(), Places: s.places, Title: s.title, Detail: s.detail, Severity: s.severity, Status: s.status, Times: s.times,
		FirstSeen: s.first.At.UTC(), LastSeen: s.last.At.UTC(), Evidence: []Evidence{s.first.cite()},
	}
	if f.Places == nil {
		f.Places = []string{}
	}
	if s.last.Record != s.first.Record {
		f.Evidence = append(f.Evidence, s.last.cite())
	}
	if s.status == Mended {
		f.Mended = s.mended.At.UTC()
		f.Evidence = append(f.Evidence, s.mended.cite())
	}
	return f
}

func (s *standing) scope() string { return s.key.scope }

// breaks reports whether it fails its control.
func (s *standing) breaks() bool {
	return s.severity != Info && (s.status != Mended || controls[s.key.control].strict)
}

var (
	severityRank = map[Severity]int{Critical: 0, High: 1, Medium: 2, Low: 3, Info: 4}
	standingRank = map[FindingStatus]int{Open: 0, Occurred: 0, Mended: 1}
)

func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(standingRank[a.Status], standingRank[b.Status]), cmp.Compare(severityRank[a.Severity], severityRank[b.Severity]),
		controlOrder(a.Control, b.Control), strings.Compare(a.Secret, b.Secret), strings.Compare(a.ARN, b.ARN), strings.Compare(a.Scope, b.Scope))
}

// controlOrder puts KT-2 before KT-10.
func controlOrder(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) }
