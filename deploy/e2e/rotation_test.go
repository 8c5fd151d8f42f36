package e2e

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFirstRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(2))
	w.run(keytrail)
	old := newKey(t, "alice@laptop")
	for name, row := range map[string]struct {
		value  string
		others string // members beside the key pair, afterwards
	}{
		"of a secret without a value":         {"", `{}`},
		"of a secret with two empty values":   {`{"PublicKey":"","PrivateKey":""}`, `{}`},
		"of a secret with an empty object":    {`{}`, `{}`},
		"of a secret with a key made by hand": {old.value(), `{}`},
		"of a secret with other members": {
			old.value("port", "22", "id", "12345678901234567890123", "ratio", "1.10", "tiny", "1e-400", "html", `"<a&b> \u2028"`, "none", "null", "deep", `{"b":[1,2.50],"a":{}}`),
			`{"deep":{"b":[1,2.50],"a":{}},"html":"<a&b> \u2028","id":12345678901234567890123,"none":null,"port":22,"ratio":1.10,"tiny":1e-400}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.in(t).secret(keytrail, strings.ReplaceAll(name, " ", "-"), row.value)
			version := s.mustRotate()
			if labels := s.labels()[version]; !slices.Equal(labels, []string{current, pending}) {
				t.Errorf("labels %q on the new version, want AWSCURRENT, and AWSPENDING left where it was", labels)
			}
			if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(row.others, others(t, s.text(current))); diff != "" {
				t.Errorf("other members (-want +got):\n%s", diff)
			}
		})
	}
}

// others returns a value without its key pair, with every other member as it was written.
func others(t *testing.T, value string) string {
	t.Helper()
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(value), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "PublicKey")
	delete(members, "PrivateKey")
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + name + `":` + string(members[name]))
	}
	return "{" + b.String() + "}"
}

func TestTheKeyFromBeforeTheFirstRotationIsRetiredWhateverItsComment(t *testing.T) {
	t.Parallel()
	byHand, friend := newKey(t, "ec2-key-pair no marker at all"), newKey(t, "friend")
	specs := nodes(3, friend.line, byHand.line)
	// The same key under other comments and options is the same key.
	specs[1].Users[0].Keys = []string{strings.Replace(byHand.line, "ec2", "keytrail:ec2", 1), friend.line}
	specs[2].Users[0].Keys = []string{`no-pty ` + byHand.line, friend.line, byHand.line}
	w := newWorld(t, specs)
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", byHand.value())
	if err := logsIn(byHand, user, w.Hosts()...); err != nil {
		t.Fatal(err)
	}
	s.mustRotate()
	if err := refused(byHand, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	for _, k := range []key{friend, s.key(current)} {
		if err := logsIn(k, user, w.Hosts()...); err != nil {
			t.Error(err)
		}
	}
}

func TestASecondRotationRetiresTheFirstKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(2))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", "")
	first := s.mustRotate()
	old := s.key(current)
	second := s.mustRotate()
	want := map[string][]string{first: {previous}, second: {current, pending}}
	if diff := cmp.Diff(want, s.labels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if err := refused(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	for _, h := range w.Hosts() {
		if file := keyFile(t, h, user); strings.Count(file, "\n") != 1 || !strings.Contains(file, s.key(current).blob()) {
			t.Errorf("%s: authorized_keys has more or other lines than the current key:\n%s", h.ID(), file)
		}
	}
}

func TestTurningRotationOnWithoutRotating(t *testing.T) {
	t.Parallel()
	trusted, stranger := newKey(t, "trusted"), newKey(t, "stranger")
	w := newWorld(t, nodes(2, trusted.line))
	w.run(keytrail)
	before := homes(t, w.Hosts()...)
	for name, row := range map[string]struct {
		value string
		words []string // of the error; none is success
	}{
		"passes when the current key stands on the hosts": {trusted.value(), nil},
		"passes while there is no key yet":                {`{"PublicKey":"","PrivateKey":""}`, nil},
		"fails when the hosts do not have the key":        {stranger.value(), []string{"missing", w.Hosts()[0].ID()}},
		"fails when half of the pair is lost":             {`{"PublicKey":"` + trusted.line + `","PrivateKey":""}`, []string{"PrivateKey"}},
		"fails when the halves do not belong together": {
			strings.Replace(trusted.value(), trusted.blob(), stranger.blob(), 1), []string{"public half", stranger.fingerprint()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.in(t).secret(keytrail, strings.ReplaceAll(name, " ", "-"), row.value)
			labels := s.labels()
			err := s.check()
			if row.words == nil && err != nil {
				t.Error(err)
			}
			if row.words != nil {
				if err := says(err, row.words...); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(labels, s.labels()); diff != "" {
				t.Errorf("labels changed:\n%s", diff)
			}
			if diff := cmp.Diff(before, homes(t, w.Hosts()...)); diff != "" {
				t.Errorf("files changed:\n%s", diff)
			}
		})
	}
}

func TestTheRotationTokenGoesToSecretsManagerAndNowhereElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	tokens := 0
	for _, c := range w.Front().Calls() {
		if c.Action != "PutSecretValue" || !byFunction(c.Request) {
			continue
		}
		var in struct{ RotationToken string }
		if err := json.Unmarshal(c.Body, &in); err != nil {
			t.Fatal(err)
		}
		if len(in.RotationToken) < 36 {
			t.Errorf("PutSecretValue without the rotation token")
			continue
		}
		tokens++
		if strings.Contains(w.log(keytrail), in.RotationToken) {
			t.Error("the rotation token was logged")
		}
	}
	if tokens != 1 {
		t.Errorf("%d values were stored with a rotation token, want 1", tokens)
	}
}

func TestEachStepIsOneLineOfTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(3))
	w.run(keytrail, "KEYTRAIL_MAX_OFFLINE=1")
	if err := w.Hosts()[2].SetState("offline"); err != nil {
		t.Fatal(err)
	}
	s := w.secret(keytrail, "fleet", "")
	version := s.mustRotate()
	print := s.key(current).fingerprint()
	type said struct {
		Step, Fingerprint string
		Hosts             int
		States            map[string]int
		Commands          int
	}
	var got []said
	var notOK []line
	for _, l := range w.lines(keytrail) {
		if l.InstanceID != "" {
			notOK = append(notOK, l)
			continue
		}
		if l.SecretARN != s.arn || l.Version != version || l.Seconds == nil {
			t.Errorf("line %+v lacks the secret's ARN, the version or the duration", l)
		}
		got = append(got, said{l.Step, l.Fingerprint, l.Hosts, l.States, len(l.CommandIDs)})
	}
	states := map[string]int{"ok": 2, "unreachable": 1}
	want := []said{
		{"createSecret", print, 0, nil, 0},
		{"setSecret", print, 3, states, 1},
		{"testSecret", print, 3, states, 1},
		{"finishSecret", print, 3, states, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if len(notOK) != 3 {
		t.Errorf("%d lines of hosts that are not ok, want one for each of three steps", len(notOK))
	}
	for _, l := range notOK {
		if l.InstanceID != w.Hosts()[2].ID() || l.User != user || l.State != "unreachable" || l.Reason == "" || l.Step == "" || l.SecretARN != s.arn {
			t.Errorf("line of a host that is not ok: %+v", l)
		}
	}
}

// TestEveryTokenThatSecretsManagerTakesRotates uses that AWS sets no pattern for what becomes the id of
// a version.
func TestEveryTokenThatSecretsManagerTakesRotates(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	w := newWorld(t, nodes(1, friend.line))
	w.run(keytrail)
	for name, token := range map[string]string{
		"dots":             strings.Repeat(".", 32),
		"a command":        "$(:>/pwned) `:>/pwned` ; :>/pwned #",
		"quotes":           `'"'"'"'"` + strings.Repeat("0", 24),
		"line ends":        "\n:>/pwned\n" + strings.Repeat("0", 24),
		"not ASCII":        strings.Repeat("\u00fc\u202e", 16),
		"braces":           "{{ Users }} {{global:DATE}} " + strings.Repeat("0", 8),
		"as long as it is": strings.Repeat("x", 64),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.in(t).secret(keytrail, strings.ReplaceAll(name, " ", "-"), "")
			version, err := s.rotateAs(token)
			if err != nil || version != token {
				t.Fatalf("version %q: %v", version, err)
			}
			if err := errors.Join(logsIn(s.key(current), user, w.Hosts()...), logsIn(friend, user, w.Hosts()...), pwned(w.Hosts()...)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTheKeysOfAllEarlierVersionsAreRetired puts the keys of many versions on a host, with and without
// labels, as abandoned rotations and hand-made values leave them.
func TestTheKeysOfAllEarlierVersionsAreRetired(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	w := newWorld(t, nodes(1))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", "")
	lines := []string{friend.line}
	var keys []key
	for range 90 {
		k := newKey(t, "of an earlier version")
		s.put(k.value(), current)
		keys, lines = append(keys, k), append(lines, k.line)
	}
	h := w.Hosts()[0]
	if err := h.WriteKeys(user, lines...); err != nil {
		t.Fatal(err)
	}
	s.mustRotate()
	if err := errors.Join(logsIn(s.key(current), user, h), logsIn(friend, user, h)); err != nil {
		t.Error(err)
	}
	for _, k := range keys {
		if err := refused(k, user, h); err != nil {
			t.Error(err)
		}
	}
}
