package rotate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

// knowledge is what the register and Secrets Manager say of one secret.
type knowledge struct {
	secret   secret
	at       time.Time // before anything of it was read
	versions []trust.Version
	history  register.History
}

// know reads what is known of a secret.
func (r *Rotator) know(ctx context.Context, s secret) (knowledge, error) {
	k := knowledge{secret: s, at: time.Now()}
	var err error
	if k.versions, err = r.vault.versions(ctx, s.arn); err != nil {
		return knowledge{}, err
	}
	k.history, err = r.register.Read(ctx, s.arn)
	return k, err
}

// note writes a fact about the secret to the register, and adds it to what is known.
func (r *Rotator) note(ctx context.Context, k *knowledge, f register.Fact) error {
	f.Secret, f.At = k.secret.arn, time.Now()
	standing, err := r.register.Write(ctx, f)
	if err != nil {
		return err
	}
	k.history.Facts = append(k.history.Facts, standing)
	return nil
}

// current returns the version with AWSCURRENT, or "".
func (k knowledge) current() string {
	for _, v := range k.versions {
		if slices.Contains(v.Labels, labelCurrent) {
			return v.ID
		}
	}
	return ""
}

// promoted returns what is known once a version has AWSCURRENT, which lists may show a moment later.
func (k knowledge) promoted(version string) knowledge {
	before := k.current()
	if before == version {
		return k
	}
	k.versions = slices.Clone(k.versions)
	for i, v := range k.versions {
		labels := slices.DeleteFunc(slices.Clone(v.Labels), func(l string) bool { return l == labelCurrent || l == labelPrevious })
		switch v.ID {
		case version:
			labels = append(labels, labelCurrent)
		case before:
			labels = append(labels, labelPrevious)
		}
		k.versions[i].Labels = labels
	}
	return k
}

// registered reports whether a version's keys may be rolled out: they were made here, or adopted.
func (k knowledge) registered(version string) bool { return k.history.Has(register.Created, version) }

// neighbours are the other secrets that have a key of this one. What Secrets Manager says of one that
// this function may not read is not known, so that nothing shared with it is retired.
func (r *Rotator) neighbours(ctx context.Context, k knowledge) ([]trust.Secret, error) {
	histories, err := r.register.Sharing(ctx, k.history)
	if err != nil {
		return nil, err
	}
	var others []trust.Secret
	for _, h := range histories {
		s := h.Trust()
		s.Versions, err = r.vault.versions(ctx, h.Secret)
		s.Gone = errors.Is(err, errGone)
		s.Unread = err != nil && !s.Gone
		others = append(others, s)
	}
	return others, nil
}

// question is what to ask of trust.Decide about all hosts.
func (r *Rotator) question(ctx context.Context, k knowledge) (trust.Question, error) {
	others, err := r.neighbours(ctx, k)
	if err != nil {
		return trust.Question{}, err
	}
	s := k.history.Trust()
	s.Versions = k.versions
	return trust.Question{Secret: s, Others: others, Grace: r.config.Grace, Now: k.at}, nil
}

// plan is what some hosts are told about one secret.
type plan struct {
	version       string // whose key is installed, or ""
	install       []sshkey.PublicKey
	retire, known []sshkey.Fingerprint
}

// planOf turns a decision into what hosts are told. Only AWSCURRENT's key is ever installed: one in its
// grace period stays where it is.
func (k knowledge) planOf(d trust.Decision) plan {
	var p plan
	for _, key := range d.Live {
		public, ok := k.history.PublicKey(key.Fingerprint)
		if key.Reason == trust.Current && ok {
			p.version = d.Current
			p.install = append(p.install, public.WithComment(comment(k.secret, key.Version)))
			continue
		}
		p.known = append(p.known, key.Fingerprint)
	}
	p.known = append(p.known, prints(d.Pending)...)
	p.retire = prints(d.Retired)
	return p
}

func prints(keys []trust.Key) []sshkey.Fingerprint {
	fps := make([]sshkey.Fingerprint, len(keys))
	for i, k := range keys {
		fps[i] = k.Fingerprint
	}
	return fps
}

// job is one order: some hosts, some of their users, and what they are told.
type job struct {
	nodes []fleet.Node
	users []string
	plan  plan
}

// inFleet returns the jobs for the secret's own fleet. What hosts are told differs only where another
// secret needs a key of this one on some of them.
func (k knowledge) inFleet(q trust.Question, nodes []fleet.Node, users []string) []job {
	if len(q.Others) == 0 {
		return []job{{nodes, users, k.planOf(trust.Decide(q))}}
	}
	var jobs []job
	for _, n := range nodes {
		q.Hosts = []string{string(n.ID)}
		p := k.planOf(trust.Decide(q))
		same := func(j job) bool { return slices.Equal(j.plan.retire, p.retire) && slices.Equal(j.plan.known, p.known) }
		if i := slices.IndexFunc(jobs, same); i >= 0 {
			jobs[i].nodes = append(jobs[i].nodes, n)
			continue
		}
		jobs = append(jobs, job{[]fleet.Node{n}, users, p})
	}
	return jobs
}

// strays returns where retired keys may still be outside of the secret's fleet and users, by host and
// user: they were installed there once.
func (k knowledge) strays(q trust.Question, nodes []fleet.Node, users []string) []register.Place {
	ours := map[fleet.InstanceID]bool{}
	for _, n := range nodes {
		ours[n.ID] = true
	}
	retired := retiredOn(q)
	var places []register.Place
	for _, rec := range q.Secret.Records {
		for _, p := range k.history.Traces(rec.Version) {
			inside := ours[fleet.InstanceID(p.Host)] && slices.Contains(users, p.User)
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
			fps = prints(trust.Decide(q).Retired)
			known[host] = fps
		}
		return fps
	}
}

// byUsers groups hosts by their users, so that one order serves all hosts of a group. Hosts and users
// keep their order.
func byUsers(places []register.Place) (groups []struct{ hosts, users []string }) {
	users := map[string][]string{}
	var hosts []string
	for _, p := range places {
		if users[p.Host] == nil {
			hosts = append(hosts, p.Host)
		}
		users[p.Host] = append(users[p.Host], p.User)
	}
	at := map[string]int{}
	for _, h := range hosts {
		id := strings.Join(users[h], " ")
		i, ok := at[id]
		if !ok {
			i = len(groups)
			at[id] = i
			groups = append(groups, struct{ hosts, users []string }{users: users[h]})
		}
		groups[i].hosts = append(groups[i].hosts, h)
	}
	return groups
}

// noteInstalled records where a job's key may be from now on, before it is sent there.
func (r *Rotator) noteInstalled(ctx context.Context, k *knowledge, j job) error {
	known := map[register.Place]bool{}
	for _, p := range k.history.Traces(j.plan.version) {
		known[p] = true
	}
	var hosts []string
	for _, n := range j.nodes {
		lacks := func(u string) bool { return !known[register.Place{Host: string(n.ID), User: u}] }
		if n.Online && slices.ContainsFunc(j.users, lacks) {
			hosts = append(hosts, string(n.ID))
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	err := r.note(ctx, k, register.Fact{Kind: register.Installed, Version: j.plan.version, Hosts: hosts, Users: j.users})
	if err != nil {
		return fmt.Errorf("nothing was sent: %w", err)
	}
	return nil
}

// noteRetired records where the keys of versions were and are seen to be gone.
func (r *Rotator) noteRetired(ctx context.Context, k *knowledge, retired []sshkey.Fingerprint, seen fleet.Observations) error {
	clean := map[register.Place]bool{}
	for _, o := range seen {
		if o.Clean {
			clean[register.Place{Host: string(o.Host), User: o.User}] = true
		}
	}
	var errs []error
	for _, rec := range k.history.Trust().Records {
		if slices.ContainsFunc(rec.Keys, func(fp sshkey.Fingerprint) bool { return !slices.Contains(retired, fp) }) {
			continue
		}
		gone := slices.DeleteFunc(k.history.Traces(rec.Version), func(p register.Place) bool { return !clean[p] })
		for _, g := range byUsers(gone) {
			errs = append(errs, r.note(ctx, k, register.Fact{Kind: register.Retired, Version: rec.Version, Hosts: g.hosts, Users: g.users}))
		}
	}
	return errors.Join(errs...)
}
