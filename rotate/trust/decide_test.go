package trust_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// version and record are short for tests: version n has the key kn.
func version(id string, labels ...string) trust.Version {
	return trust.Version{ID: id, Labels: labels, Created: ago(time.Hour)}
}

func record(id string, keys ...sshkey.Fingerprint) trust.Record {
	if len(keys) == 0 {
		keys = []sshkey.Fingerprint{sshkey.Fingerprint("k" + id[1:])}
	}
	return trust.Record{Version: id, Keys: keys, Created: ago(time.Hour)}
}

func promoted(r trust.Record, at time.Time) trust.Record  { r.Promoted = at; return r }
func abandoned(r trust.Record, at time.Time) trust.Record { r.Abandoned = at; return r }
func resumed(r trust.Record, at time.Time) trust.Record   { r.Resumed = at; return r }
func retired(r trust.Record, at time.Time) trust.Record   { r.Retired = at; return r }
func created(r trust.Record, at time.Time) trust.Record   { r.Created = at; return r }
func found(r trust.Record) trust.Record                   { r.Found = true; return r }
func on(r trust.Record, hosts ...string) trust.Record     { r.Hosts = hosts; return r }

// outline writes a decision in short: "live k2/current, retired k1/superseded".
func outline(d trust.Decision) map[string]string {
	out := map[string]string{}
	for name, keys := range map[string][]trust.Key{"live": d.Live, "pending": d.Pending, "retired": d.Retired} {
		for _, k := range keys {
			out[string(k.Fingerprint)] = name + " " + string(k.Reason)
		}
	}
	return out
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const cur, prev, pend = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"
	type versions = []trust.Version
	type records = []trust.Record
	tests := []struct {
		name         string
		secret       trust.Secret
		others       []trust.Secret
		hosts        []string
		grace        time.Duration
		want         map[string]string
		unregistered bool
		lockedOut    []string
		unmanaged    []sshkey.Fingerprint
	}{
		{
			name:         "an empty register retires nothing and says that the current version is unregistered",
			secret:       trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)}},
			want:         map[string]string{},
			unregistered: true,
		},
		{
			name: "only AWSCURRENT is live without a grace period",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v3", cur, pend), version("v2", prev), version("v1")},
				Records: records{record("v1"), promoted(record("v2"), ago(time.Hour)), promoted(record("v3"), ago(time.Minute))}},
			want: map[string]string{"k1": "retired unlabelled", "k2": "retired superseded", "k3": "live current"},
		},
		{
			name: "AWSPREVIOUS is live while the grace period lasts",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), promoted(record("v2"), ago(59*time.Minute))}},
			grace: time.Hour,
			want:  map[string]string{"k1": "live grace", "k2": "live current"},
		},
		{
			name: "AWSPREVIOUS is retired at the very end of the grace period",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), promoted(record("v2"), ago(time.Hour))}},
			grace: time.Hour,
			want:  map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "there is no grace without a recorded promotion of AWSCURRENT",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{promoted(record("v1"), ago(time.Second)), record("v2")}},
			grace: time.Hour,
			want:  map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "a longer grace brings back no key that was taken from hosts already",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{retired(record("v1"), ago(time.Minute)), promoted(record("v2"), ago(2*time.Minute))}},
			grace: time.Hour,
			want:  map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "a clock ahead of ours is no grace where none is configured",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), promoted(record("v2"), now.Add(time.Minute))}},
			want: map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "a version that AWSCURRENT went back to is live whatever was recorded before",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), version("v2", prev)},
				Records: records{retired(promoted(record("v1"), ago(3*time.Hour)), ago(2*time.Hour)), promoted(record("v2"), ago(2*time.Hour))}},
			want: map[string]string{"k1": "live current", "k2": "retired superseded"},
		},
		{
			name: "a value put by hand is retired once a registered one took its place, and is never live by AWSCURRENT",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{found(record("v1")), promoted(record("v2"), ago(time.Minute))}},
			want: map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "a found value that got AWSCURRENT back is neither live nor retired, nor is what it replaced",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), version("v2", prev)},
				Records: records{found(record("v1")), promoted(record("v2"), ago(time.Minute))}},
			want:         map[string]string{"k1": "pending unreplaced", "k2": "pending unreplaced"},
			unregistered: true,
		},
		{
			name: "AWSPENDING on a version that was promoted once and then replaced by hand is a label left behind",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", prev, pend), version("v2", cur)},
				Records: records{promoted(record("v1"), ago(time.Minute)), record("v2")}},
			want: map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "such a version is pending again once its rotation goes on",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", prev, pend), version("v2", cur)},
				Records: records{resumed(promoted(record("v1"), ago(time.Minute)), ago(time.Second)), record("v2")}},
			want: map[string]string{"k1": "pending rotating", "k2": "live current"},
		},
		{
			name: "AWSPENDING is pending while its rotation runs",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), version("v2", pend)},
				Records: records{record("v1"), record("v2")}},
			want: map[string]string{"k1": "live current", "k2": "pending rotating"},
		},
		{
			name: "AWSPENDING is retired once its rotation is recorded as abandoned",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), version("v2", pend)},
				Records: records{record("v1"), abandoned(record("v2"), ago(time.Minute))}},
			want: map[string]string{"k1": "live current", "k2": "retired abandoned"},
		},
		{
			name: "AWSPENDING is pending again when its rotation went on after it failed",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), version("v2", pend)},
				Records: records{record("v1"), resumed(abandoned(record("v2"), ago(2*time.Minute)), ago(time.Minute))}},
			want: map[string]string{"k1": "live current", "k2": "pending rotating"},
		},
		{
			name: "a pending key is retired when its label is gone",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur)},
				Records: records{record("v1"), record("v2")}},
			want: map[string]string{"k1": "live current", "k2": "retired unlabelled"},
		},
		{
			name: "a pending key is retired a day after it was created",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), {ID: "v2", Labels: []string{pend}, Created: ago(24 * time.Hour)}},
				Records: records{record("v1"), created(record("v2"), ago(24*time.Hour))}},
			want: map[string]string{"k1": "live current", "k2": "retired expired"},
		},
		{
			name: "of two times of creation the later one counts",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), {ID: "v2", Labels: []string{pend}, Created: ago(25 * time.Hour)}},
				Records: records{record("v1"), created(record("v2"), ago(23*time.Hour))}},
			want: map[string]string{"k1": "live current", "k2": "pending rotating"},
		},
		{
			name: "a pending version of unknown age is pending",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), {ID: "v2", Labels: []string{pend}}},
				Records: records{record("v1"), created(record("v2"), time.Time{})}},
			want: map[string]string{"k1": "live current", "k2": "pending rotating"},
		},
		{
			name: "a version made after the labels were read is pending",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur)},
				Records: records{record("v1"), created(record("v2"), now.Add(time.Second))}},
			want: map[string]string{"k1": "live current", "k2": "pending rotating"},
		},
		{
			name: "a version without a value contributes nothing",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), version("v2", pend)},
				Records: records{record("v1")}},
			want: map[string]string{"k1": "live current"},
		},
		{
			name: "a key that a test rotation copied into AWSPENDING stays live",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur), version("v2", pend)},
				Records: records{record("v1"), abandoned(record("v2", "k1"), ago(time.Minute))}},
			want: map[string]string{"k1": "live current"},
		},
		{
			name: "both keys of an adopted value are live",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur)},
				Records: records{record("v1", "k1", "k1b")}},
			want: map[string]string{"k1": "live current", "k1b": "live current"},
		},
		{
			name: "beside a value put by hand the last live key is kept, an abandoned and a removed one are not",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v4", cur), version("v3", prev)},
				Records: records{retired(promoted(record("v1"), ago(5*time.Hour)), ago(4*time.Hour)), abandoned(record("v2"), ago(4*time.Hour)), promoted(record("v3"), ago(3*time.Hour))}},
			want:         map[string]string{"k1": "retired superseded", "k2": "retired abandoned", "k3": "pending unreplaced"},
			unregistered: true,
		},
		{
			name: "a secret that is gone has only retired keys",
			secret: trust.Secret{ARN: "a-111111", Gone: true, Versions: versions{version("v1", cur)},
				Records: records{record("v1"), record("v2")}},
			want: map[string]string{"k1": "retired deleted", "k2": "retired deleted"},
		},
		{
			name:   "the secret made again under the old name holds what it shares",
			secret: trust.Secret{ARN: "a-111111", Gone: true, Records: records{record("v1"), record("v2")}},
			others: []trust.Secret{{ARN: "a-222222", Versions: versions{version("w1", cur)}, Records: records{record("w1")}}},
			want:   map[string]string{"k1": "pending shared", "k2": "retired deleted"},
		},
		{
			name:   "nothing of a secret that could not be read is retired",
			secret: trust.Secret{ARN: "a", Unread: true, Records: records{record("v1"), abandoned(record("v2"), ago(time.Hour))}},
			want:   map[string]string{"k1": "pending unreplaced", "k2": "pending unreplaced"},
		},
		{
			name: "a retired key that is live for another secret on the same hosts is allowed",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), record("v2")}},
			others: []trust.Secret{{ARN: "b", Versions: versions{version("w1", cur)}, Records: records{on(record("w1"), "i-1", "i-2")}}},
			hosts:  []string{"i-2", "i-3"},
			want:   map[string]string{"k1": "pending shared", "k2": "live current"},
		},
		{
			name: "a retired key that is live for another secret on other hosts is retired",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), record("v2")}},
			others: []trust.Secret{{ARN: "b", Hosts: []string{"i-4"}, Versions: versions{version("w1", cur)}, Records: records{on(record("w1"), "i-1")}}},
			hosts:  []string{"i-2", "i-3"},
			want:   map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "a host that left the other secret's fleet still counts when the key was installed there",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), record("v2")}},
			others: []trust.Secret{{ARN: "b", Hosts: []string{"i-4"}, Versions: versions{version("w1", cur)}, Records: records{on(record("w1"), "i-2")}}},
			hosts:  []string{"i-2"},
			want:   map[string]string{"k1": "pending shared", "k2": "live current"},
		},
		{
			name: "a key of another secret whose hosts are not known is kept everywhere",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), record("v2")}},
			others: []trust.Secret{{ARN: "b", Unread: true, Records: records{record("w1")}}},
			hosts:  []string{"i-2"},
			want:   map[string]string{"k1": "pending shared", "k2": "live current"},
		},
		{
			name: "a key that is retired for both secrets is retired",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), record("v2")}},
			others: []trust.Secret{{ARN: "b", Versions: versions{version("w9", cur)}, Records: records{record("w1"), record("w9")}}},
			want:   map[string]string{"k1": "retired superseded", "k2": "live current"},
		},
		{
			name: "a revoked key is retired in its grace period and while another secret holds it, and the other is named",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), promoted(record("v2"), ago(time.Minute))}, Revoked: []sshkey.Fingerprint{"k1"}},
			others:    []trust.Secret{{ARN: "b", Versions: versions{version("w1", cur)}, Records: records{record("w1")}}},
			grace:     time.Hour,
			want:      map[string]string{"k1": "retired revoked", "k2": "live current"},
			lockedOut: []string{"b"},
		},
		{
			name: "revoking the only live key retires it and says who is locked out",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v2", cur), version("v1", prev)},
				Records: records{record("v1"), record("v2")}, Revoked: []sshkey.Fingerprint{"k2"}},
			want:      map[string]string{"k1": "retired superseded", "k2": "retired revoked"},
			lockedOut: []string{"a"},
		},
		{
			name: "a revoked fingerprint that no record has is not removed but told",
			secret: trust.Secret{ARN: "a", Versions: versions{version("v1", cur)},
				Records: records{record("v1")}, Revoked: []sshkey.Fingerprint{"foreign"}},
			want:      map[string]string{"k1": "live current"},
			unmanaged: []sshkey.Fingerprint{"foreign"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := trust.Decide(trust.Question{Secret: tt.secret, Others: tt.others, Hosts: tt.hosts, Grace: tt.grace, Now: now})
			if diff := cmp.Diff(tt.want, outline(d)); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if d.Unregistered != tt.unregistered {
				t.Errorf("unregistered %v", d.Unregistered)
			}
			if diff := cmp.Diff(tt.lockedOut, d.LockedOut); diff != "" {
				t.Errorf("locked out (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.unmanaged, d.Unmanaged); diff != "" {
				t.Errorf("unmanaged (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheHolderOfASharedKeyIsNamed(t *testing.T) {
	t.Parallel()
	q := trust.Question{
		Secret: trust.Secret{ARN: "a", Versions: []trust.Version{version("v2", "AWSCURRENT")}, Records: []trust.Record{record("v1"), record("v2")}},
		Others: []trust.Secret{{ARN: "b", Versions: []trust.Version{version("w1", "AWSPENDING")}, Records: []trust.Record{record("w1")}}},
		Now:    now,
	}
	want := []trust.Key{{Fingerprint: "k1", Version: "v1", Reason: trust.Shared, Holder: "b"}}
	if diff := cmp.Diff(want, trust.Decide(q).Pending); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
}
