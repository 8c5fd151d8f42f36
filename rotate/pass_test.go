package rotate

import (
	"errors"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/rotate/fleet"
)

func observations(pairs ...string) fleet.Observations {
	var out fleet.Observations
	for _, p := range pairs {
		host, rest, _ := strings.Cut(p, "/")
		user, state, _ := strings.Cut(rest, " ")
		out = append(out, fleet.Observation{Host: fleet.InstanceID(host), User: user, State: fleet.State(state)})
	}
	return out
}

func TestWhichObservationsLetAStepSucceed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		env     []string
		hosts   fleet.Observations
		sendErr error
		want    bool
	}{
		{"all are ok", nil, observations("a/u ok", "b/u ok"), nil, true},
		{"one key is missing", nil, observations("a/u ok", "b/u missing"), nil, false},
		{"one is unverifiable", []string{"KEYTRAIL_MAX_OFFLINE", "5"}, observations("a/u ok", "b/u unverifiable"), nil, false},
		{"one is unreachable and none may be", nil, observations("a/u ok", "b/u unreachable"), nil, false},
		{"one is unreachable and one may be", []string{"KEYTRAIL_MAX_OFFLINE", "1"}, observations("a/u ok", "a/w ok", "b/u unreachable", "b/w unreachable"), nil, true},
		{"two are unreachable and one may be", []string{"KEYTRAIL_MAX_OFFLINE", "1"}, observations("a/u ok", "b/u unreachable", "c/u unreachable"), nil, false},
		{"a percentage is of all hosts", []string{"KEYTRAIL_MAX_OFFLINE", "50%"}, observations("a/u ok", "b/u unreachable"), nil, true},
		{"all are unreachable, however many may be", []string{"KEYTRAIL_MAX_OFFLINE", "100%"}, observations("a/u unreachable"), nil, false},
		{"a host lacks a user", nil, observations("a/u ok", "a/w nouser"), nil, false},
		{"a host may lack a user", []string{"KEYTRAIL_MISSING_USER", "skip"}, observations("a/u ok", "a/w nouser"), nil, true},
		{"no host may lack every user", []string{"KEYTRAIL_MISSING_USER", "skip"}, observations("a/u ok", "b/u nouser"), nil, false},
		{"the command was not sent", nil, observations("a/u ok"), errors.New("denied"), false},
		{"nobody was asked", nil, nil, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conf, err := ParseConfig(getenv(row.env...))
			if err != nil {
				t.Fatal(err)
			}
			r := &Rotator{config: conf}
			if err := r.accept(t.Context(), row.hosts, row.sendErr); (err == nil) != row.want {
				t.Errorf("accepted: %t, want %t: %v", err == nil, row.want, err)
			}
		})
	}
}
