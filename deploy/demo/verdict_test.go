package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var eventsLog = strings.Join([]string{
	`START RequestId: 1 Version: $LATEST`,
	`{"timestamp":"2026-11-01T10:00:01Z","level":"INFO","message":"event done","kind":"RotationStarted","eventId":"a","outcome":"recorded"}`,
	`{"_aws":{"Timestamp":1793527203000},"Secret":"other","Coverage":100,"HostsExpected":9,"OpenAlerts":9,"Places.ok":9}`,
	`{"timestamp":"2026-11-01T10:00:04Z","level":"INFO","message":"event done","kind":"check","eventId":"c","outcome":"looked at"}`,
	`{"timestamp":"2026-11-01T10:00:03Z","level":"ERROR","message":"event failed","kind":"sweep","eventId":"b","error":"throttled"}`,
	`{"_aws":{"Timestamp":1793527202000},"Secret":"s","Coverage":66.66666666666667,"HostsExpected":3,"OpenAlerts":1,"Places.ok":2,"Places.unreachable":1,"Places.missing":0}`,
	`{"_aws":{"Timestamp":1793527201000},"Secret":"s","Coverage":100,"HostsExpected":3,"OpenAlerts":2,"Places.ok":1,"Places.stale":1,"Places.missing":1}`,
	`{"_aws":{"Timestamp":17935`,
}, "\n")

func TestTheLastVerdictOfASecretIsRead(t *testing.T) {
	t.Parallel()
	for since, want := range map[string]string{
		"2026-11-01T10:00:00Z": "2 of 3 hosts, 2 ok, 1 unreachable; 1 alert open",
		"2026-11-01T10:00:02Z": "2 of 3 hosts, 2 ok, 1 unreachable; 1 alert open",
		"2026-11-01T10:00:03Z": "",
	} {
		if got := parseVerdict(eventsLog, "s", moment(t, since)).String(); got != want {
			t.Errorf("since %s: %q, want %q", since, got, want)
		}
	}
	first, _, _ := strings.Cut(eventsLog, `{"_aws":{"Timestamp":1793527202000}`)
	_, last, _ := strings.Cut(eventsLog, `"Places.missing":0}`)
	if got, want := parseVerdict(first+last, "s", moment(t, "2026-11-01T10:00:00Z")).String(), "3 of 3 hosts, 1 ok, 1 missing, 1 stale; 2 alerts open"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReactionsAreReadInTheirOrder(t *testing.T) {
	t.Parallel()
	var got []string
	for _, r := range parseReactions(eventsLog, moment(t, "2026-11-01T10:00:02Z")) {
		got = append(got, r.ID+" "+r.Outcome+r.Error)
	}
	if diff := cmp.Diff([]string{"b throttled", "c looked at"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEventsThatMatteredAreNamed(t *testing.T) {
	t.Parallel()
	reactions := []reaction{{Kind: "RotationStarted", Outcome: "recorded"}, {Kind: "RotationSucceeded", Outcome: lookedAt}, {Kind: "check", Outcome: lookedAt}}
	named := func(names ...string) []event {
		var all []event
		for _, n := range names {
			all = append(all, event{name: n})
		}
		return all
	}
	for want, events := range map[string][]event{
		"RotationSucceeded": named("RotationStarted", "RotationSucceeded"),
		"Scheduled Event":   named("Scheduled Event"),
		"1 to take down":    named("RotationStarted"),
	} {
		if got := shown(events, reactions); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestOneEventIsDoneWithTwiceOrNot(t *testing.T) {
	t.Parallel()
	done := func(id string) reaction { return reaction{Message: eventDone, ID: id} }
	failed := reaction{Message: eventFailed, ID: "a"}
	if p := twice([]reaction{done("a"), failed, done("a")}); len(p) > 0 {
		t.Error(p)
	}
	for _, r := range [][]reaction{nil, {done("a")}, {done("a"), failed}, {done("a"), done("b")}, {done("a"), done("a"), done("a")}, {done(""), done("")}} {
		if len(twice(r)) == 0 {
			t.Errorf("%v is one event twice", r)
		}
	}
}
