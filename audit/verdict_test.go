package audit

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

func TestAnAccountThatNobodyAskedAboutSpoilsAVerdictAndNotItsCoverage(t *testing.T) {
	t.Parallel()
	for _, state := range []fleet.State{fleet.Stale, fleet.Unverifiable} {
		v := Verdict{Version: "v2", Places: []Place{{Host: "i-1", User: "deploy", State: fleet.OK}}}
		if !v.Clean() {
			t.Fatal("a clean verdict is not clean")
		}
		v.Places = append(v.Places, Place{Host: "i-1", User: "bob", State: state, Elsewhere: true})
		if v.Clean() || v.Coverage() != (Coverage{Seen: 1, Expected: 1}) {
			t.Errorf("with another account %s: clean %t, coverage %+v", state, v.Clean(), v.Coverage())
		}
		if drifted := len(v.Drifted()) == 1; drifted != (state == fleet.Stale) {
			t.Errorf("another account that is %s has drifted: %t", state, drifted)
		}
		text, err := json.Marshal(v.Places)
		if err != nil || strings.Count(string(text), `"elsewhere":true`) != 1 || strings.Contains(string(text), "false") {
			t.Errorf("%v: %s", err, text)
		}
	}
}

// TestEachAccountIsOnePlace: a host may be asked about its users and, in another order, about those who left.
func TestEachAccountIsOnePlace(t *testing.T) {
	t.Parallel()
	old := []sshkey.Fingerprint{"SHA256:old"}
	seen := func(user string) fleet.Observation {
		return fleet.Observation{Host: "i-1", User: user, State: fleet.Stale, Elsewhere: true, Remaining: old, CommandID: "c"}
	}
	told := fleet.Observations{{Host: "i-1", User: "deploy", State: fleet.OK, CommandID: "c", Skipped: 3}, seen("left"), seen("lost"), seen("bob")}
	left := fleet.Observations{
		{Host: "i-1", User: "left", State: fleet.Stale, Remaining: old, CommandID: "d"}, seen("deploy"), seen("bob"),
		{Host: "i-1", User: "lost", State: fleet.Unverifiable, Reason: "nobody may ask"},
		{Host: "i-2", User: "lost", State: fleet.Unverifiable, Reason: "nobody may ask"},
	}
	want := []Place{
		{Host: "i-1", User: "deploy", State: fleet.OK, CommandID: "c", Skipped: 3},
		{Host: "i-1", User: "left", State: fleet.Stale, CommandID: "d", Stray: true, Retired: old},
		{Host: "i-1", User: "lost", State: fleet.Stale, CommandID: "c", Stray: true, Elsewhere: true, Retired: old},
		{Host: "i-1", User: "bob", State: fleet.Stale, CommandID: "c", Elsewhere: true, Retired: old},
		{Host: "i-2", User: "lost", State: fleet.Unverifiable, Reason: "nobody may ask", Stray: true},
	}
	if diff := cmp.Diff(want, places(told, left, nil)); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}
