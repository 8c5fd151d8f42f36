package report

import (
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/line"
)

// Exception is a foreign key that people agreed to.
type Exception struct {
	Fingerprint string   // SHA256:…
	User        string   // empty: any
	Hosts       []string // ids, or patterns of path.Match; empty: any
	Owner       string
	Reason      string
	Expires     time.Time // zero: never
}

// inForce is the list of exceptions that the evidence says was in force at a time.
func inForce(archive evidence.Archive, at time.Time) []Exception {
	var list []evidence.Exception
	for _, c := range archive.Chains {
		for _, r := range c.Records {
			if r.Exceptions != nil && r.At.Before(at) {
				list = r.Exceptions.List
			}
		}
	}
	var out []Exception
	for _, e := range list {
		last, err := time.Parse(time.DateOnly, e.Expires)
		if err != nil {
			continue // no such list was ever in force
		}
		out = append(out, Exception{e.Fingerprint, e.User, e.Hosts, e.Owner, e.Reason, last.AddDate(0, 0, 1)})
	}
	return out
}

func (e Exception) covers(host, user, fingerprint string) bool {
	return evidence.Exception{Fingerprint: e.Fingerprint, Hosts: e.Hosts, User: e.User}.Covers(host, user, fingerprint)
}

func (e Exception) expired(at time.Time) bool { return !e.Expires.IsZero() && !at.Before(e.Expires) }

// agreed returns the place of the exception that covers a key at a time, or else of an expired one; -1: none does.
func agreed(list []Exception, host, user, fingerprint string, at time.Time) (i int, valid bool) {
	old := -1
	for i, e := range list {
		if !e.covers(host, user, fingerprint) {
			continue
		}
		if !e.expired(at) {
			return i, true
		}
		old = i
	}
	return old, false
}

// nextExpiry is the first time after at when an exception expires; zero: none does.
func nextExpiry(list []Exception, at time.Time) time.Time {
	var next time.Time
	for _, e := range list {
		if e.Expires.After(at) && (next.IsZero() || e.Expires.Before(next)) {
			next = e.Expires
		}
	}
	return next
}

// use says how an exception was used at the end of a period, by the places where its key was.
func (e Exception) use(end time.Time, places []string) ExceptionUse {
	u := ExceptionUse{
		Fingerprint: line.Plain(e.Fingerprint, maxName), User: line.Plain(e.User, maxName), Owner: line.Plain(e.Owner, maxName),
		Reason: line.Plain(e.Reason, maxText), Expires: e.Expires.UTC(), State: "valid", Places: places,
	}
	for _, h := range e.Hosts {
		u.Hosts = append(u.Hosts, line.Plain(h, maxName))
	}
	switch {
	case e.expired(end):
		u.State = "expired"
	case len(places) == 0:
		u.State = "unused"
	}
	return u
}
