package register

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

func TestAHistoryFoldsToWhatTrustNeeds(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time {
		return noon.Truncate(time.Second).Add(time.Duration(minutes) * time.Minute)
	}
	const h1, h2 = "i-0123456789abcdef0", "i-0123456789abcdef1"
	fact := func(kind Kind, version string, minutes int, hosts ...string) Fact {
		f := Fact{Kind: kind, Secret: secretA, Version: version, At: at(minutes), Hosts: hosts}
		if len(hosts) > 0 {
			f.Users = []string{"alice", "bob"}
		}
		return f
	}
	r := New(newFakeS3(t), bucketName, Retention{})
	first, second := created(t, secretA, v1, lineA), created(t, secretA, v2, lineB)
	first.At, second.At = at(0), at(10)
	write(t, r, first, second,
		fact(Adopted, v1, 0), fact(Installed, v1, 1, h1, h2), fact(Promoted, v1, 2),
		fact(Installed, v2, 11, h1), fact(Abandoned, v2, 12), fact(Resumed, v2, 13), fact(Installed, v2, 14, h2), fact(Promoted, v2, 15),
		fact(Retired, v1, 16, h1), fact(Abandoned, v2, 9),
		Fact{Kind: Revoked, Secret: secretA, At: at(20), Fingerprint: public(t, lineA).Fingerprint()})
	h, err := r.Read(t.Context(), secretA)
	if err != nil {
		t.Fatal(err)
	}
	want := trust.Secret{
		ARN: secretA,
		Records: []trust.Record{
			{Version: v1, Keys: []sshkey.Fingerprint{public(t, lineA).Fingerprint()}, Hosts: []string{h1, h2}, Created: at(0), Promoted: at(2), Retired: at(16)},
			{Version: v2, Keys: []sshkey.Fingerprint{public(t, lineB).Fingerprint()}, Hosts: []string{h1, h2}, Created: at(10), Promoted: at(15), Abandoned: at(12), Resumed: at(13)},
		},
		Revoked: []sshkey.Fingerprint{public(t, lineA).Fingerprint()},
	}
	if diff := cmp.Diff(want, h.Trust()); diff != "" {
		t.Errorf("trust (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Place{{h2, "alice"}, {h2, "bob"}}, h.Traces(v1)); diff != "" {
		t.Errorf("traces (-want +got):\n%s", diff)
	}
	write(t, r, fact(Installed, v1, 17, h1), fact(Retired, v1, 18, h2))
	if h, err = r.Read(t.Context(), secretA); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Place{{h1, "alice"}, {h1, "bob"}}, h.Traces(v1)); diff != "" {
		t.Errorf("traces after it was installed again (-want +got):\n%s", diff)
	}
	if k, ok := h.PublicKey(public(t, lineB).Fingerprint()); !ok || !k.Equal(public(t, lineB)) {
		t.Error("the public key is not found")
	}
}

func TestAFoundVersionIsWholeOnceItIsAdopted(t *testing.T) {
	t.Parallel()
	r := New(newFakeS3(t), bucketName, Retention{})
	found := created(t, secretA, v1, lineA)
	found.Kind, found.Keys = Found, append(found.Keys, public(t, lineB))
	write(t, r, found)
	record := func() trust.Record {
		h, err := r.Read(t.Context(), secretA)
		if err != nil {
			t.Fatal(err)
		}
		return h.Trust().Records[0]
	}
	if got := record(); !got.Found || len(got.Keys) != 2 {
		t.Errorf("found: %+v", got)
	}
	write(t, r, created(t, secretA, v1, lineA), Fact{Kind: Adopted, Secret: secretA, Version: v1, At: noon})
	if got := record(); got.Found {
		t.Errorf("adopted: %+v", got)
	}
}
