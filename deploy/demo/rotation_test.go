package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var logText = strings.Join([]string{
	`START RequestId: 1 Version: $LATEST`,
	`{"timestamp":"2026-11-01T10:00:00.1Z","level":"INFO","message":"rotation step done","step":"createSecret","version":"v1","seconds":0.01}`,
	`{"timestamp":"2026-11-01T10:00:01Z","level":"INFO","message":"rotation step done","step":"createSecret","version":"v2","seconds":0.02,"fingerprint":"SHA256:abc"}`,
	`{"timestamp":"2026-11-01T10:00:02Z","level":"INFO","message":"rotation step done","step":"setSecret","version":"v2","seconds":0.3,"hosts":2,"states":{"ok":4}}`,
	`{"timestamp":"2026-11-01T10:00:03Z","level":"WARN","message":"host not ok","step":"testSecret","version":"v2","instanceId":"i-2","user":"deploy","state":"unverifiable","reason":"another host key"}`,
	`{"timestamp":"2026-11-01T10:00:03.1Z","level":"ERROR","message":"rotation step failed","step":"testSecret","version":"v2","seconds":0.4,"hosts":2,"states":{"ok":3,"unverifiable":1},"error":"3 of 4"}`,
	`{"timestamp":"2026-11-01T10:0`,
}, "\n")

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	m, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheLogIsReadForOneVersionFromAMomentOn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		version, since string
		want           []string
	}{
		{"v1", "2026-11-01T10:00:00Z", []string{"createSecret"}},
		{"v2", "2026-11-01T10:00:00Z", []string{"createSecret", "setSecret", "testSecret", "testSecret"}},
		{"v2", "2026-11-01T10:00:02Z", []string{"setSecret", "testSecret", "testSecret"}},
		{"v3", "2026-11-01T10:00:00Z", nil},
	} {
		var got []string
		for _, e := range parseLog(logText, row.version, moment(t, row.since)) {
			got = append(got, e.Step)
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s since %s: %s", row.version, row.since, diff)
		}
	}
}

func watched(t *testing.T) rotation {
	t.Helper()
	entries := parseLog(logText, "v2", moment(t, "2026-11-01T10:00:00Z"))
	return rotation{version: "v2", ended: filter(entries, stepDone, stepFailed), failed: filter(entries, hostNotOK)}
}

func TestARotationThatStoppedSaysWhere(t *testing.T) {
	t.Parallel()
	want := []string{"steps that ended well: [createSecret setSecret]", "testSecret: 3 of 4"}
	if diff := cmp.Diff(want, watched(t).problems()); diff != "" {
		t.Error(diff)
	}
}

func TestARotationStopsForOneHostAloneOrNot(t *testing.T) {
	t.Parallel()
	r := watched(t)
	if p := stoppedBy(r, "testSecret", "i-2"); len(p) != 0 {
		t.Errorf("i-2 alone stopped it, but: %v", p)
	}
	if diff := cmp.Diff([]string{"i-2 was not ok: another host key"}, stoppedBy(r, "testSecret", "i-1")); diff != "" {
		t.Error(diff)
	}
	if len(stoppedBy(r, "setSecret", "i-2")) == 0 {
		t.Error("a rotation that failed in testSecret is said to have stopped in setSecret")
	}
	r.ended = r.ended[:2]
	if len(stoppedBy(r, "testSecret", "i-2")) == 0 {
		t.Error("a rotation that did not fail in testSecret is said to have stopped there")
	}
}

func TestTheEndOfAStepIsOneLine(t *testing.T) {
	t.Parallel()
	s, b := paper(80)
	d := &demo{screen: s}
	for _, e := range watched(t).ended {
		d.showEnd(e)
	}
	want := "" +
		"   createSecret   0.02 s                     a new key pair waits as AWSPENDING\n" +
		"   setSecret      0.30 s    4 of 4 accounts  the public key is on every host\n" +
		"   testSecret     0.40 s    3 of 4 accounts  failed\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTheEndsOfStepsFitAnEightyColumnScreen(t *testing.T) {
	t.Parallel()
	s, b := paper(usual)
	d := &demo{screen: s}
	for _, step := range steps {
		d.showEnd(entry{Message: stepDone, Step: step.name, Seconds: 99.99, States: map[string]int{"ok": 24}})
	}
	for l := range strings.Lines(b.String()) {
		if n := len(strings.TrimSuffix(l, "\n")); n > usual {
			t.Errorf("%d columns: %s", n, l)
		}
	}
}

func TestTheBarHasOneMarkForEach(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		done int
		want string
	}{{0, "····"}, {1, "■···"}, {4, "■■■■"}, {9, "■■■■"}} {
		if got := bar(row.done, 4); got != row.want {
			t.Errorf("bar(%d, 4) = %q, want %q", row.done, got, row.want)
		}
	}
}
