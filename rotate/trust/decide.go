package trust

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// Decide parts the keys of a secret into live, pending and retired.
//
// It never retires a live key, nor a pending one while its rotation may go on, unless it is revoked.
// As time goes by and nothing else changes, keys only go from live to pending to retired. Only keys
// of the secret's own records are ever retired, so an empty register retires nothing.
func Decide(q Question) Decision {
	all := append([]Secret{q.Secret}, q.Others...)
	revoked := map[sshkey.Fingerprint]bool{}
	for _, s := range all {
		for _, fp := range s.Revoked {
			revoked[fp] = true
		}
	}
	own := judge(q.Secret, q.Grace, q.Now)
	for _, other := range q.Others {
		if other.ARN != q.Secret.ARN {
			own.share(other, judge(other, q.Grace, q.Now), q.Hosts)
		}
	}
	d := Decision{Current: own.current, Unregistered: own.unregistered}
	for _, fp := range slices.Sorted(maps.Keys(own.keys)) {
		k := own.keys[fp]
		if revoked[fp] {
			k.standing, k.Reason, k.Holder = retired, Revoked, ""
		}
		switch k.standing {
		case live:
			d.Live = append(d.Live, k.Key)
		case pending:
			d.Pending = append(d.Pending, k.Key)
		case retired:
			d.Retired = append(d.Retired, k.Key)
		}
	}
	d.LockedOut = lockedOut(all, revoked)
	d.Unmanaged = unmanaged(all, revoked)
	return d
}

// standing orders what a key can be. The highest of its versions decides.
type standing int

const (
	retired standing = iota
	pending
	live
)

// judged is a key with its standing.
type judged struct {
	Key
	standing standing
}

// better reports whether k decides over l. It is a total order over the judgements of one
// fingerprint, so that the order of the input cannot matter.
func (k judged) better(l judged) bool {
	return cmp.Or(
		cmp.Compare(k.standing, l.standing),
		cmp.Compare(rank[k.Reason], rank[l.Reason]),
		cmp.Compare(l.Version, k.Version), // the smaller id
		cmp.Compare(l.Holder, k.Holder),
	) > 0
}

// rank orders the reasons within one standing.
var rank = map[Reason]int{
	Current: 2, Grace: 1,
	Rotating: 3, Unreplaced: 2, Shared: 1,
	Deleted: 5, Superseded: 4, Abandoned: 3, Expired: 2, Unlabelled: 1,
}

// judgement is what one secret by itself makes of its keys.
type judgement struct {
	keys         map[sshkey.Fingerprint]judged
	current      string
	unregistered bool
}

// judge looks at one secret alone, and at no revocation.
func judge(s Secret, grace time.Duration, now time.Time) judgement {
	versions, records := joinVersions(s), joinRecords(s.Records)
	j := judgement{keys: map[sshkey.Fingerprint]judged{}}
	var promoted time.Time // of AWSCURRENT
	for _, id := range slices.Sorted(maps.Keys(versions)) {
		if !versions[id].has(labelCurrent) {
			continue
		}
		if j.current == "" {
			j.current = id
		}
		if r, ok := records[id]; ok && len(r.Keys) > 0 && !r.Found {
			promoted = latest(promoted, r.Promoted)
		} else {
			j.unregistered = true
		}
	}
	replaced := j.current != "" && !j.unregistered
	for id, r := range records {
		c := circumstances{version: versions[id], record: r, gone: s.Gone, unread: s.Unread,
			replaced: replaced, promoted: promoted, grace: grace, now: now}
		standing, reason := c.judge()
		for _, fp := range r.Keys {
			j.add(judged{Key{Fingerprint: fp, Version: id, Reason: reason}, standing})
		}
	}
	return j
}

func (j judgement) add(k judged) {
	if old, ok := j.keys[k.Fingerprint]; !ok || k.better(old) {
		j.keys[k.Fingerprint] = k
	}
}

// share keeps those keys of j that another secret holds on any of the hosts.
func (j judgement) share(other Secret, held judgement, hosts []string) {
	for fp, h := range held.keys {
		k, ok := j.keys[fp]
		if !ok || h.standing == retired || !meet(hosts, whereabouts(other, fp)) {
			continue
		}
		k.standing, k.Reason, k.Holder = pending, Shared, other.ARN
		j.add(k)
	}
}

// whereabouts returns the hosts that may trust a secret's key; none stands for any.
func whereabouts(s Secret, fp sshkey.Fingerprint) []string {
	hosts := slices.Clone(s.Hosts)
	for _, r := range s.Records {
		if slices.Contains(r.Keys, fp) {
			hosts = append(hosts, r.Hosts...)
		}
	}
	return hosts
}

// meet reports whether two sets of hosts have one in common. An empty set is not known, so it may.
func meet(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(host string) bool { return slices.Contains(b, host) })
}

// circumstances are all that decides about the keys of one version.
type circumstances struct {
	version      Version // without labels when Secrets Manager does not list it
	record       Record
	gone, unread bool
	replaced     bool      // a registered version has AWSCURRENT
	promoted     time.Time // when that was promoted
	grace        time.Duration
	now          time.Time
}

func (c circumstances) judge() (standing, Reason) {
	switch {
	case c.unread:
		return pending, Unreplaced
	case c.gone:
		return retired, Deleted
	case c.version.has(labelCurrent) && c.record.Found:
		return pending, Unreplaced
	case c.version.has(labelCurrent):
		return live, Current
	case c.inGrace():
		return live, Grace
	case c.rotating():
		return pending, Rotating
	case !c.replaced && c.wasLive():
		return pending, Unreplaced
	case !c.record.Promoted.IsZero(), c.version.has(labelPrevious):
		return retired, Superseded
	case c.abandoned():
		return retired, Abandoned
	case c.version.has(labelPending):
		return retired, Expired
	default:
		return retired, Unlabelled
	}
}

// inGrace: AWSPREVIOUS stays live for a while after the promotion of AWSCURRENT. Where that time is
// not recorded there is no grace, and none comes back for a key that was taken from hosts since, as a
// longer grace in the configuration would have it.
func (c circumstances) inGrace() bool {
	return c.version.has(labelPrevious) && c.grace > 0 && !c.promoted.IsZero() &&
		c.now.Before(c.promoted.Add(c.grace)) && c.record.Retired.Before(c.promoted)
}

// rotating: the version's rotation may go on.
func (c circumstances) rotating() bool {
	if c.record.Ended() {
		return false
	}
	created := latest(c.version.Created, c.record.Created)
	if created.After(c.now) {
		return true
	}
	// Of an unknown age it cannot be said that a day has passed.
	return c.version.has(labelPending) && (created.IsZero() || c.now.Before(created.Add(PendingFor)))
}

// abandoned: the end of the rotation is recorded, and that it went on later is not.
func (c circumstances) abandoned() bool { return c.record.Abandoned.After(c.record.Resumed) }

// wasLive: people may log in with the key as far as is known. It was not taken from hosts after it
// was last promoted, and it is no pending key whose rotation is over.
func (c circumstances) wasLive() bool {
	if !c.record.Retired.IsZero() && !c.record.Retired.Before(c.record.Promoted) {
		return c.version.has(labelPrevious)
	}
	if !c.record.Promoted.IsZero() || c.version.has(labelPrevious) {
		return true
	}
	return !c.abandoned() && !c.version.has(labelPending)
}

// lockedOut names the secrets that have a revoked key in AWSCURRENT.
func lockedOut(all []Secret, revoked map[sshkey.Fingerprint]bool) []string {
	var arns []string
	for _, s := range all {
		versions := joinVersions(s)
		for id, r := range joinRecords(s.Records) {
			if versions[id].has(labelCurrent) && slices.ContainsFunc(r.Keys, func(fp sshkey.Fingerprint) bool { return revoked[fp] }) {
				arns = append(arns, s.ARN)
			}
		}
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// unmanaged returns the revoked fingerprints that are in no record.
func unmanaged(all []Secret, revoked map[sshkey.Fingerprint]bool) []sshkey.Fingerprint {
	rest := maps.Clone(revoked)
	for _, s := range all {
		for _, r := range s.Records {
			for _, fp := range r.Keys {
				delete(rest, fp)
			}
		}
	}
	return slices.Sorted(maps.Keys(rest))
}

func (v Version) has(label string) bool { return slices.Contains(v.Labels, label) }

// joinVersions makes one of what is told twice of a version. A secret that is gone has none.
func joinVersions(s Secret) map[string]Version {
	joined := map[string]Version{}
	if s.Gone || s.Unread {
		return joined
	}
	for _, v := range s.Versions {
		j := joined[v.ID]
		joined[v.ID] = Version{v.ID, slices.Concat(j.Labels, v.Labels), latest(j.Created, v.Created)}
	}
	return joined
}

// joinRecords makes one of what is told twice of a version.
func joinRecords(records []Record) map[string]Record {
	joined := map[string]Record{}
	for _, r := range records {
		j, twice := joined[r.Version]
		joined[r.Version] = Record{
			Version:   r.Version,
			Found:     r.Found && (j.Found || !twice),
			Keys:      slices.Concat(j.Keys, r.Keys),
			Hosts:     slices.Concat(j.Hosts, r.Hosts),
			Created:   latest(j.Created, r.Created),
			Promoted:  latest(j.Promoted, r.Promoted),
			Retired:   latest(j.Retired, r.Retired),
			Abandoned: latest(j.Abandoned, r.Abandoned),
			Resumed:   latest(j.Resumed, r.Resumed),
		}
	}
	return joined
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
