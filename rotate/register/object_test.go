package register

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// every returns one fact of each kind.
func every(t testing.TB) []Fact {
	a := public(t, lineA)
	hosts, users := []string{"mi-0123456789abcdef0", "i-0123456789abcdef0", "i-0123456789abcdef0"}, []string{"bob", "alice"}
	var facts []Fact
	for _, f := range []Fact{
		{Kind: Created, Keys: []sshkey.PublicKey{public(t, lineB), a}},
		{Kind: Adopted, Note: "adopted by arn:aws:iam::111122223333:user/operator"},
		{Kind: Installed, Hosts: hosts, Users: users},
		{Kind: Promoted},
		{Kind: Retired, Hosts: hosts, Users: users},
		{Kind: Abandoned, Note: "testSecret: 1 of 3 hosts is <unreachable> & so on, “quoted”"},
		{Kind: Resumed},
		{Kind: Revoked, Fingerprint: a.Fingerprint()},
	} {
		f.Secret, f.At = secretA, noon
		if f.Kind != Revoked {
			f.Version = v1
		}
		facts = append(facts, f.normal())
	}
	return facts
}

func TestEveryKindOfFactComesBackAsItWent(t *testing.T) {
	t.Parallel()
	for _, f := range every(t) {
		got, err := decode(keyOf(f), encode(f))
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if diff := cmp.Diff(f, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f, diff)
		}
	}
}

func TestNoChangeOfOneByteAndNoCutGoesUnseen(t *testing.T) {
	t.Parallel()
	for _, f := range every(t) {
		key, whole := keyOf(f), encode(f)
		for i := range whole {
			if _, err := decode(key, whole[:i]); err == nil {
				t.Fatalf("%s: cut to %d bytes", f, i)
			}
			for _, flip := range []byte{1, 0x20, 0x80} {
				changed := slices.Clone(whole)
				changed[i] ^= flip
				if _, err := decode(key, changed); err == nil {
					t.Fatalf("%s: byte %d changed to %q", f, i, changed[i])
				}
			}
		}
	}
}

func TestNeitherOrderNorCommentsNorDuplicatesMakeAnotherFact(t *testing.T) {
	t.Parallel()
	a, b := public(t, lineA), public(t, lineB)
	one := Fact{Kind: Created, Secret: secretA, Version: v1, At: noon, Keys: []sshkey.PublicKey{a, b}}.normal()
	two := Fact{Kind: Created, Secret: secretA, Version: v1, At: noon.In(time.FixedZone("x", 3600)), Keys: []sshkey.PublicKey{b.WithComment("x"), a, a.WithComment("y")}}.normal()
	if diff := cmp.Diff(string(encode(one)), string(encode(two))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNoFactIsRefused(t *testing.T) {
	t.Parallel()
	a := public(t, lineA)
	good := Fact{Kind: Created, Secret: secretA, Version: v1, At: noon, Keys: []sshkey.PublicKey{a}}
	places := Fact{Kind: Installed, Secret: secretA, Version: v1, At: noon, Hosts: []string{"i-0123456789abcdef0"}, Users: []string{"alice"}}
	promoted := Fact{Kind: Promoted, Secret: secretA, Version: v1, At: noon}
	revoked := Fact{Kind: Revoked, Secret: secretA, At: noon, Fingerprint: a.Fingerprint()}
	for _, f := range []Fact{good, places, promoted, revoked} {
		if err := f.check(); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		fact  Fact
		spoil func(*Fact)
	}{
		{"a secret's name in place of its ARN", good, func(f *Fact) { f.Secret = "team/app/key" }},
		{"an ARN of another service", good, func(f *Fact) { f.Secret = "arn:aws:ssm:us-east-1:111122223333:secret:x" }},
		{"an ARN with a line end", good, func(f *Fact) { f.Secret += "\n" }},
		{"an ARN that is too long", good, func(f *Fact) { f.Secret += strings.Repeat("x", 519) }},
		{"no kind", good, func(f *Fact) { f.Kind = "" }},
		{"no time", good, func(f *Fact) { f.At = time.Time{} }},
		{"no version", good, func(f *Fact) { f.Version = "" }},
		{"a short version", good, func(f *Fact) { f.Version = "revoked" }},
		{"a version with a control character", good, func(f *Fact) { f.Version = strings.Repeat("x", 40) + "\x1b" }},
		{"created without a key", good, func(f *Fact) { f.Keys = nil }},
		{"created with an empty key", good, func(f *Fact) { f.Keys = []sshkey.PublicKey{{}} }},
		{"created with three keys", good, func(f *Fact) { f.Keys = []sshkey.PublicKey{a, a, a} }},
		{"created with hosts", good, func(f *Fact) { f.Hosts = places.Hosts }},
		{"promoted with a key", promoted, func(f *Fact) { f.Keys = good.Keys }},
		{"promoted with a fingerprint", promoted, func(f *Fact) { f.Fingerprint = a.Fingerprint() }},
		{"revoked without a fingerprint", revoked, func(f *Fact) { f.Fingerprint = "" }},
		{"revoked with half a fingerprint", revoked, func(f *Fact) { f.Fingerprint = "SHA256:x" }},
		{"revoked with a version", revoked, func(f *Fact) { f.Version = v1 }},
		{"installed without hosts", places, func(f *Fact) { f.Hosts = nil }},
		{"installed without users", places, func(f *Fact) { f.Users = nil }},
		{"a host that is none", places, func(f *Fact) { f.Hosts = []string{"web-1"} }},
		{"a user that is none", places, func(f *Fact) { f.Users = []string{"../root"} }},
		{"a note with a line end", good, func(f *Fact) { f.Note = "a\nb" }},
		{"a note with a right-to-left override", good, func(f *Fact) { f.Note = "a\u202eb" }},
		{"a note that is not UTF-8", good, func(f *Fact) { f.Note = "a\xffb" }},
		{"a long note", good, func(f *Fact) { f.Note = strings.Repeat("x ", 300) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := tt.fact
			tt.spoil(&f)
			if err := f.check(); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestNothingThatLooksLikeAPrivateKeyGetsIn(t *testing.T) {
	t.Parallel()
	for kind, format := range map[sshkey.Type][]sshkey.Format{"ed25519": {"openssh", "pkcs8"}, "ecdsa-p256": {"sec1"}, "rsa-2048": {"pkcs1"}} {
		for _, form := range format {
			key, err := sshkey.Generate(kind, form, "x")
			if err != nil {
				t.Fatal(err)
			}
			pem := strings.TrimSpace(string(key.PEM()))
			for _, text := range append(strings.Split(pem, "\n"), strings.ReplaceAll(pem, "\n", `\n`), strings.ReplaceAll(pem, "\n", " ")) {
				if len(text) < 40 && !strings.Contains(text, "BEGIN") {
					continue // a remainder
				}
				f := newFakeS3(t)
				_, err := New(f, bucketName, Retention{}).Write(t.Context(), Fact{Kind: Promoted, Secret: secretA, Version: v1, At: noon, Note: text})
				if (err == nil || len(f.calls) > 0) && len(text) >= 64 {
					t.Errorf("%s %s: a line of %d characters got in", kind, form, len(text))
				}
				if err != nil && strings.Contains(err.Error(), text) {
					t.Errorf("%s %s: the error repeats the line", kind, form)
				}
			}
		}
	}
}

func TestKeysOfObjects(t *testing.T) {
	t.Parallel()
	longest := "arn:aws-us-gov:secretsmanager:us-gov-west-1:111122223333:secret:" + strings.Repeat("/", 512) + "-AbCdEf"
	odd := "../../" + strings.Repeat(".", 58)
	var all []string
	for _, f := range []Fact{
		created(t, secretA, v1, lineA),
		created(t, secretB, v1, lineA),
		created(t, longest, v1, lineA),
		created(t, longest[:len(longest)-1]+"g", v1, lineA),
		created(t, secretA, odd, lineA),
		created(t, "arn:aws:secretsmanager:us-east-1:111122223333:secret:../x-AbCdEf", v1, lineA),
		created(t, "arn:aws:secretsmanager:us-east-1:111122223333:secret:team+app+key-AbCdEf", v1, lineA),
		created(t, "arn:aws:secretsmanager:us-east-1:111122223333:secret:team/app/key-AbCdEf/more-AbCdEf", v1, lineA),
	} {
		f = f.normal()
		if err := f.check(); err != nil {
			t.Fatal(err)
		}
		key := keyOf(f)
		if len(key) > 1024 || key != path.Clean(key) || strings.Contains(key, "..") && path.Clean("/"+key) != "/"+key || strings.Count(key, "/") != 6 {
			t.Errorf("key %s", key)
		}
		for _, part := range strings.Split(key, "/") {
			if len(part) > 255 {
				t.Errorf("segment of %d bytes", len(part))
			}
		}
		for _, other := range all {
			if key == other || strings.HasPrefix(other, folderOf(f.Secret)) && f.Secret != secretA {
				t.Errorf("%s and %s meet", key, other)
			}
		}
		all = append(all, key)
		if got, err := decode(key, encode(f)); err != nil || got.Secret != f.Secret {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, fact := range every(f) {
		f.Add(keyOf(fact), encode(fact))
	}
	f.Add("register/x", []byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, key string, body []byte) {
		fact, err := decode(key, body)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrLater) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		if string(encode(fact)) != string(body) || keyOf(fact) != key {
			t.Errorf("accepted %q under %q, which is not its form", body, key)
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add("a/b", "a!b")
	f.Add(".", "..")
	f.Fuzz(func(t *testing.T, a, b string) {
		s := segment(a)
		if a != b && s == segment(b) {
			t.Errorf("%q and %q are both %q", a, b, s)
		}
		if a != "" && (strings.Contains(s, "/") || s[0] == '.' || len(s) > 255) {
			t.Errorf("segment %q", s)
		}
	})
}
