package wanted

import (
	"cmp"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

// Plan is what some hosts are told about one secret.
type Plan struct {
	Version       string // whose key is installed, or ""
	Install       []sshkey.PublicKey
	Retire, Known []sshkey.Fingerprint
}

// Job is one order: some hosts, some of their users, and what they are told.
type Job struct {
	Nodes []fleet.Node
	Users []string
	Plan  Plan
}

// Comment marks a key for people; Keytrail itself knows keys by their fingerprint.
func Comment(secretName, version string) string { return "keytrail:" + secretName + ":" + version }

// plan turns a decision into what hosts are told. Only AWSCURRENT's key is ever installed: one in its
// grace period stays where it is.
func (k Knowledge) plan(d trust.Decision) Plan {
	var p Plan
	for _, key := range d.Live {
		public, ok := k.History.PublicKey(key.Fingerprint)
		if key.Reason == trust.Current && ok {
			p.Version = d.Current
			p.Install = append(p.Install, public.WithComment(Comment(k.Subject.Name, key.Version)))
			continue
		}
		p.Known = append(p.Known, key.Fingerprint)
	}
	p.Known = append(p.Known, Prints(d.Pending)...)
	p.Retire = Prints(d.Retired)
	return p
}

// Prints returns the fingerprints of keys.
func Prints(keys []trust.Key) []sshkey.Fingerprint {
	fps := make([]sshkey.Fingerprint, len(keys))
	for i, k := range keys {
		fps[i] = k.Fingerprint
	}
	return fps
}

// InFleet returns the jobs for nodes of the secret's own fleet. What hosts are told differs only where
// another secret needs a key of this one on some of them.
func (k Knowledge) InFleet(q trust.Question, nodes []fleet.Node, users []string) []Job {
	if len(q.Others) == 0 {
		return []Job{{nodes, users, k.plan(trust.Decide(q))}}
	}
	var jobs []Job
	for _, n := range nodes {
		q.Hosts = []string{string(n.ID)}
		p := k.plan(trust.Decide(q))
		same := func(j Job) bool {
			return slices.Equal(j.Plan.Retire, p.Retire) && slices.Equal(j.Plan.Known, p.Known)
		}
		if i := slices.IndexFunc(jobs, same); i >= 0 {
			jobs[i].Nodes = append(jobs[i].Nodes, n)
			continue
		}
		jobs = append(jobs, Job{[]fleet.Node{n}, users, p})
	}
	return jobs
}

// Strays returns where retired keys may still be outside of the secret's fleet and users, by host and
// user: they were installed there once.
func (k Knowledge) Strays(q trust.Question, nodes []fleet.Node) []register.Place {
	ours := map[fleet.InstanceID]bool{}
	for _, n := range nodes {
		ours[n.ID] = true
	}
	retired := retiredOn(q)
	var places []register.Place
	for _, rec := range q.Secret.Records {
		for _, p := range k.History.Traces(rec.Version) {
			inside := ours[fleet.InstanceID(p.Host)] && slices.Contains(k.Subject.Users, p.User)
			if !inside && slices.ContainsFunc(rec.Keys, func(fp sshkey.Fingerprint) bool { return slices.Contains(retired(p.Host), fp) }) {
				places = append(places, p)
			}
		}
	}
	slices.SortFunc(places, func(a, b register.Place) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.User, b.User))
	})
	return slices.Compact(places)
}

// retiredOn returns the function that tells which keys are retired on a host.
func retiredOn(q trust.Question) func(host string) []sshkey.Fingerprint {
	known := map[string][]sshkey.Fingerprint{}
	return func(host string) []sshkey.Fingerprint {
		if len(q.Others) == 0 {
			host = "" // the same everywhere
		}
		fps, ok := known[host]
		if !ok {
			q.Hosts = nil
			if host != "" {
				q.Hosts = []string{host}
			}
			fps = Prints(trust.Decide(q).Retired)
			known[host] = fps
		}
		return fps
	}
}

// Outside returns the jobs for strays, and the observations of those that cannot be asked: only hosts
// in the boundary and users within the limits are ever touched. Strays get no new key.
func (k Knowledge) Outside(q trust.Question, strays []register.Place, bounded []fleet.Node, managed []string) (jobs []Job, lost fleet.Observations) {
	known := map[fleet.InstanceID]fleet.Node{}
	for _, n := range bounded {
		known[n.ID] = n
	}
	var askable []register.Place
	for _, p := range strays {
		reason, state := "", fleet.Unreachable
		switch _, ok := known[fleet.InstanceID(p.Host)]; {
		case !ok:
			reason = "had a key of the secret and is no managed node with the boundary tag any more"
		case !slices.Contains(managed, p.User):
			reason, state = "had a key of the secret and is not in USERNAME any more", fleet.Unverifiable
		default:
			askable = append(askable, p)
			continue
		}
		lost = append(lost, fleet.Observation{Host: fleet.InstanceID(p.Host), User: p.User, State: state, Reason: reason})
	}
	for _, g := range ByUsers(askable) {
		nodes := make([]fleet.Node, len(g.Hosts))
		for i, h := range g.Hosts {
			nodes[i] = known[fleet.InstanceID(h)]
		}
		for _, j := range k.InFleet(q, nodes, g.Users) {
			j.Plan.Version, j.Plan.Install = "", nil
			jobs = append(jobs, j)
		}
	}
	return jobs, lost
}

// Group is some hosts with the same users.
type Group struct{ Hosts, Users []string }

// ByUsers groups places by the users of their host, so that one order, or one fact, serves all hosts of
// a group. The order of hosts and of users stays.
func ByUsers(places []register.Place) []Group {
	users := map[string][]string{}
	var hosts []string
	for _, p := range places {
		if users[p.Host] == nil {
			hosts = append(hosts, p.Host)
		}
		users[p.Host] = append(users[p.Host], p.User)
	}
	var groups []Group
	at := map[string]int{}
	for _, h := range hosts {
		id := strings.Join(users[h], " ")
		i, ok := at[id]
		if !ok {
			i = len(groups)
			at[id] = i
			groups = append(groups, Group{Users: users[h]})
		}
		groups[i].Hosts = append(groups[i].Hosts, h)
	}
	return groups
}
