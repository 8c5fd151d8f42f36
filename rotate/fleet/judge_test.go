package fleet

import "testing"

func TestOnlyWhatWasSeenIsClean(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		code  Code
		left  []Presence
		clean bool
		state State
	}{
		"every key is gone":            {CodeOK, []Presence("--"), true, OK},
		"there was none to go":         {CodeOK, []Presence{}, true, OK},
		"one is left":                  {CodeOK, []Presence("-y"), false, Stale},
		"the last key stays":           {CodeFailed, []Presence("y"), false, Stale},
		"refused, but gone":            {CodeRefused, []Presence("-"), true, Refused},
		"a file could not be read":     {CodeRefused, []Presence("?"), false, Refused},
		"the host did not come so far": {CodeRefused, nil, false, Refused},
		"no such user":                 {CodeNoUser, nil, false, NoUser},
		"the answer is no answer":      {CodeUnverifiable, nil, false, Unverifiable},
	} {
		got := judge(UserAnswer{Code: row.code, Remaining: row.left})
		if got.Clean != row.clean || got.State != row.state {
			t.Errorf("%s: clean %t and %s, want %t and %s", name, got.Clean, got.State, row.clean, row.state)
		}
	}
}
