package fleet

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

func TestOrdersAreJoinedIntoOneWordOfEachAccount(t *testing.T) {
	t.Parallel()
	prints := func(words ...sshkey.Fingerprint) []sshkey.Fingerprint { return words }
	elsewhere := func(s State, left ...sshkey.Fingerprint) Observation {
		return Observation{Host: "i-1", User: "bob", State: s, Elsewhere: true, CommandID: "c1", Remaining: left}
	}
	asked := func(s State, command string) Observation {
		return Observation{Host: "i-1", User: "bob", State: s, CommandID: command}
	}
	for name, row := range map[string]struct{ first, second, want Observation }{
		"what is asked about goes before what is seen elsewhere": {asked(OK, "c2"), elsewhere(Stale, "a"), asked(OK, "c2")},
		"even an account that could not be reached":              {asked(Unreachable, ""), elsewhere(Stale, "a"), asked(Unreachable, "")},
		"even an answer that could not be read":                  {asked(Unverifiable, "c2"), elsewhere(Stale, "a"), asked(Unverifiable, "c2")},
		"but not where nobody could ask":                         {asked(Unverifiable, ""), elsewhere(Stale, "a"), elsewhere(Stale, "a")},
		"unless that is no better":                               {asked(Unverifiable, ""), elsewhere(Unverifiable, "a"), asked(Unverifiable, "")},
		"what two orders see elsewhere is one":                   {elsewhere(Stale, "a", "b"), elsewhere(Stale, "b", "c"), elsewhere(Stale, "a", "b", "c")},
		"what is certain goes before what may be":                {elsewhere(Unverifiable, "a"), elsewhere(Stale, "b"), elsewhere(Stale, "a", "b")},
	} {
		for _, order := range [][2]Observation{{row.first, row.second}, {row.second, row.first}} {
			got := Join(Observations{order[0]}, Observations{order[1], {Host: "i-2", User: "bob"}})
			want := Observations{row.want, {Host: "i-2", User: "bob"}}
			sorted := cmp.Transformer("set", func(p []sshkey.Fingerprint) map[sshkey.Fingerprint]bool {
				set := map[sshkey.Fingerprint]bool{}
				for _, fp := range p {
					set[fp] = true
				}
				return set
			})
			if diff := cmp.Diff(want, got, sorted); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
	if diff := cmp.Diff(prints("a", "b", "c"), elsewhere(Stale, "a", "b").with(elsewhere(Stale, "b", "c")).Remaining); diff != "" {
		t.Errorf("each key once (-want +got):\n%s", diff)
	}
}
