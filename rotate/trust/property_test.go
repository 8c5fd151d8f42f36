package trust_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

// cases is how many questions each property is tried on. They come from a small world, so that
// versions, keys, hosts and times meet often.
const cases = 10_000

// question makes the n-th question. Labels stand on at most one version each, as Secrets Manager has it.
func question(n uint64) (trust.Question, *rand.Rand) {
	r := rand.New(rand.NewPCG(n, 7))
	q := trust.Question{
		Secret: randomSecret(r, "a"),
		Grace:  []time.Duration{0, 0, time.Hour, 48 * time.Hour}[r.IntN(4)],
		Now:    now,
		Hosts:  randomHosts(r),
	}
	for i := range r.IntN(3) {
		q.Others = append(q.Others, randomSecret(r, string(rune('b'+i))))
	}
	return q, r
}

func randomSecret(r *rand.Rand, arn string) trust.Secret {
	s := trust.Secret{ARN: arn, Gone: r.IntN(12) == 0, Unread: r.IntN(12) == 0, Hosts: randomHosts(r)}
	size := r.IntN(7)
	if r.IntN(200) == 0 {
		size = 100 // what Secrets Manager keeps at most
	}
	labels := make([][]string, size)
	for _, l := range []string{"AWSCURRENT", "AWSPREVIOUS", "AWSPENDING", "custom"} {
		if size > 0 && r.IntN(5) > 0 {
			i := r.IntN(size)
			labels[i] = append(labels[i], l)
		}
	}
	for i := range size {
		id := fmt.Sprintf("%s%02d", arn, i)
		if len(labels[i]) > 0 || r.IntN(2) == 0 {
			s.Versions = append(s.Versions, trust.Version{ID: id, Labels: labels[i], Created: randomTime(r)})
		}
		if r.IntN(5) == 0 {
			continue // unregistered, or without a value
		}
		rec := trust.Record{Version: id, Found: r.IntN(8) == 0, Created: randomTime(r), Hosts: randomHosts(r)}
		for range 1 + r.IntN(8)/7 {
			rec.Keys = append(rec.Keys, randomKey(r))
		}
		for _, at := range []*time.Time{&rec.Promoted, &rec.Retired, &rec.Abandoned, &rec.Resumed} {
			if r.IntN(3) == 0 {
				*at = randomTime(r)
			}
		}
		s.Records = append(s.Records, rec)
	}
	if r.IntN(4) == 0 {
		s.Revoked = append(s.Revoked, randomKey(r))
	}
	return s
}

func randomKey(r *rand.Rand) sshkey.Fingerprint {
	return sshkey.Fingerprint(fmt.Sprintf("k%d", r.IntN(8)))
}

func randomHosts(r *rand.Rand) []string {
	var hosts []string
	for range r.IntN(3) {
		hosts = append(hosts, fmt.Sprintf("i-%d", r.IntN(4)))
	}
	return hosts
}

// randomTime is never, or within two days of now, often exactly a day or an hour from it.
func randomTime(r *rand.Rand) time.Time {
	switch r.IntN(8) {
	case 0:
		return time.Time{}
	case 1:
		return now
	case 2:
		return ago(24 * time.Hour)
	case 3:
		return ago(time.Hour)
	default:
		return now.Add(time.Duration(r.IntN(60)-48) * time.Hour)
	}
}

func labelled(s trust.Secret, label string) string {
	if s.Gone || s.Unread {
		return ""
	}
	for _, v := range s.Versions {
		if slices.Contains(v.Labels, label) {
			return v.ID
		}
	}
	return ""
}

func recordOf(s trust.Secret, id string) trust.Record {
	for _, r := range s.Records {
		if r.Version == id {
			return r
		}
	}
	return trust.Record{}
}

func revokedIn(q trust.Question, fp sshkey.Fingerprint) bool {
	for _, s := range append([]trust.Secret{q.Secret}, q.Others...) {
		if slices.Contains(s.Revoked, fp) {
			return true
		}
	}
	return false
}

func contains(keys []trust.Key, fp sshkey.Fingerprint) bool {
	return slices.ContainsFunc(keys, func(k trust.Key) bool { return k.Fingerprint == fp })
}

// each runs a property on every question.
func each(t *testing.T, property func(q trust.Question, r *rand.Rand) string) {
	t.Helper()
	t.Parallel()
	for n := range uint64(cases) {
		q, r := question(n)
		if broken := property(q, r); broken != "" {
			t.Fatalf("question %d: %s\n%+v\n%+v", n, broken, q, trust.Decide(q))
		}
	}
}

func TestEveryRegisteredKeyIsExactlyOneOfLivePendingRetired(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		d := trust.Decide(q)
		seen := map[sshkey.Fingerprint]int{}
		for _, k := range slices.Concat(d.Live, d.Pending, d.Retired) {
			seen[k.Fingerprint]++
			if !slices.Contains(recordOf(q.Secret, k.Version).Keys, k.Fingerprint) {
				return fmt.Sprintf("%s is not a key of version %s", k.Fingerprint, k.Version)
			}
		}
		registered := map[sshkey.Fingerprint]int{}
		for _, r := range q.Secret.Records {
			for _, fp := range r.Keys {
				registered[fp] = 1
			}
		}
		return cmp.Diff(registered, seen)
	})
}

func TestALiveKeyIsNeverRetired(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		d := trust.Decide(q)
		current := recordOf(q.Secret, labelled(q.Secret, "AWSCURRENT"))
		for _, fp := range current.Keys {
			if revokedIn(q, fp) {
				if !slices.Contains(d.LockedOut, q.Secret.ARN) {
					return fmt.Sprintf("AWSCURRENT's %s was revoked in silence", fp)
				}
				continue
			}
			if !contains(d.Live, fp) && !current.Found {
				return fmt.Sprintf("AWSCURRENT's %s is not live", fp)
			}
			if contains(d.Retired, fp) {
				return fmt.Sprintf("AWSCURRENT's %s is retired", fp)
			}
		}
		previous := recordOf(q.Secret, labelled(q.Secret, "AWSPREVIOUS"))
		graceful := q.Grace > 0 && !current.Found && !current.Promoted.IsZero() && q.Now.Before(current.Promoted.Add(q.Grace)) && previous.Retired.IsZero()
		for _, fp := range previous.Keys {
			if graceful && !revokedIn(q, fp) && !contains(d.Live, fp) {
				return fmt.Sprintf("AWSPREVIOUS's %s is not live in its grace period", fp)
			}
		}
		return ""
	})
}

func TestNothingButAWSCURRENTAndAGracefulAWSPREVIOUSIsLive(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		for _, k := range trust.Decide(q).Live {
			switch {
			case k.Version == labelled(q.Secret, "AWSCURRENT") && k.Reason == trust.Current && !recordOf(q.Secret, k.Version).Found:
			case k.Version == labelled(q.Secret, "AWSPREVIOUS") && k.Reason == trust.Grace && q.Grace > 0:
			default:
				return fmt.Sprintf("%s of %s is live", k.Fingerprint, k.Version)
			}
		}
		return ""
	})
}

func TestAPendingKeyIsNeverRetiredWhileItsRotationMayGoOn(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		d := trust.Decide(q)
		for _, s := range append([]trust.Secret{q.Secret}, q.Others...) {
			id := labelled(s, "AWSPENDING")
			rec := recordOf(s, id)
			if id == "" || rec.Ended() || rec.Created.IsZero() || !q.Now.Before(rec.Created.Add(trust.PendingFor)) {
				continue
			}
			if s.ARN != q.Secret.ARN && len(q.Hosts) > 0 {
				continue // which hosts meet is for the tests by example
			}
			for _, fp := range rec.Keys {
				if contains(d.Retired, fp) && !revokedIn(q, fp) {
					return fmt.Sprintf("%s of %s is retired while its rotation may go on", fp, id)
				}
			}
		}
		return ""
	})
}

func TestARevokedKeyIsRetiredAtOnce(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		d := trust.Decide(q)
		for _, k := range slices.Concat(d.Live, d.Pending) {
			if revokedIn(q, k.Fingerprint) {
				return fmt.Sprintf("revoked %s is %s", k.Fingerprint, k.Reason)
			}
		}
		return ""
	})
}

func TestAKeyThatAnotherSecretNeedsIsNotRetired(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		q.Hosts = nil // all hosts
		d := trust.Decide(q)
		for _, other := range q.Others {
			for _, fp := range recordOf(other, labelled(other, "AWSCURRENT")).Keys {
				if contains(d.Retired, fp) && !revokedIn(q, fp) {
					return fmt.Sprintf("%s is AWSCURRENT's of %s and retired", fp, other.ARN)
				}
			}
		}
		return ""
	})
}

func TestAnotherSecretNeverMakesAKeyLive(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		alone := q
		alone.Others = nil
		for i := range q.Others {
			q.Others[i].Revoked = nil
		}
		return cmp.Diff(trust.Decide(alone).Live, trust.Decide(q).Live)
	})
}

func TestBesideAnUnregisteredCurrentVersionTheLastPromotedKeyIsKept(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		d := trust.Decide(q)
		if !d.Unregistered {
			return ""
		}
		for _, r := range q.Secret.Records {
			for _, fp := range r.Keys {
				if !r.Promoted.IsZero() && r.Retired.IsZero() && contains(d.Retired, fp) && !revokedIn(q, fp) {
					return fmt.Sprintf("%s may be what people log in with and is retired", fp)
				}
			}
		}
		return ""
	})
}

// Higher is more trusted.
func standings(d trust.Decision) map[sshkey.Fingerprint]int {
	at := map[sshkey.Fingerprint]int{}
	for i, keys := range [][]trust.Key{d.Retired, d.Pending, d.Live} {
		for _, k := range keys {
			at[k.Fingerprint] = i
		}
	}
	return at
}

func TestTimeAloneNeverBringsTrustBack(t *testing.T) {
	each(t, func(q trust.Question, r *rand.Rand) string {
		before := standings(trust.Decide(q))
		for range 4 {
			q.Now = q.Now.Add(time.Duration(r.Int64N(int64(30 * time.Hour))))
			after := standings(trust.Decide(q))
			for fp, was := range before {
				if after[fp] > was {
					return fmt.Sprintf("%s rose at %s", fp, q.Now)
				}
			}
			before = after
		}
		return ""
	})
}

func TestAShorterGraceNeverBringsTrustBack(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		before := standings(trust.Decide(q))
		q.Grace /= 2
		for fp, after := range standings(trust.Decide(q)) {
			if after > before[fp] {
				return fmt.Sprintf("%s rose", fp)
			}
		}
		return ""
	})
}

func TestNeitherOrderNorDuplicatesMatter(t *testing.T) {
	each(t, func(q trust.Question, r *rand.Rand) string {
		want := trust.Decide(q)
		shuffled := q
		shuffled.Secret = shuffle(r, q.Secret)
		shuffled.Others = nil
		for _, o := range slices.Concat(q.Others, q.Others) {
			shuffled.Others = append(shuffled.Others, shuffle(r, o))
		}
		mix(r, shuffled.Others)
		shuffled.Hosts = slices.Concat(q.Hosts, q.Hosts)
		mix(r, shuffled.Hosts)
		return cmp.Diff(want, trust.Decide(shuffled))
	})
}

func shuffle(r *rand.Rand, s trust.Secret) trust.Secret {
	s.Versions = slices.Concat(s.Versions, s.Versions)
	mix(r, s.Versions)
	s.Records = slices.Concat(s.Records, s.Records)
	mix(r, s.Records)
	s.Revoked = slices.Concat(s.Revoked, s.Revoked)
	return s
}

func mix[T any](r *rand.Rand, s []T) { r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) }

func TestTheQuestionIsNotChanged(t *testing.T) {
	t.Parallel()
	for n := range uint64(2000) {
		q, _ := question(n)
		trust.Decide(q)
		fresh, _ := question(n)
		if diff := cmp.Diff(fresh, q); diff != "" {
			t.Fatalf("question %d (-want +got):\n%s", n, diff)
		}
	}
}

func TestAnEmptyRegisterRetiresNothing(t *testing.T) {
	each(t, func(q trust.Question, _ *rand.Rand) string {
		q.Secret.Records = nil
		d := trust.Decide(q)
		if n := len(d.Live) + len(d.Pending) + len(d.Retired); n > 0 {
			return fmt.Sprintf("%d keys", n)
		}
		return ""
	})
}

func BenchmarkDecideOneHundredVersions(b *testing.B) {
	s := trust.Secret{ARN: "a"}
	for i := range 100 {
		id := fmt.Sprintf("v%03d", i)
		s.Versions = append(s.Versions, version(id))
		s.Records = append(s.Records, promoted(record(id), ago(time.Duration(100-i)*time.Hour)))
	}
	s.Versions[99].Labels = []string{"AWSCURRENT"}
	s.Versions[98].Labels = []string{"AWSPREVIOUS"}
	other := s
	other.ARN = "b"
	q := trust.Question{Secret: s, Others: []trust.Secret{other}, Now: now}
	for b.Loop() {
		trust.Decide(q)
	}
}
