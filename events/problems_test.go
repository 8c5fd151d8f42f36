package events

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/trust"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const (
	rotateARN  = "arn:aws:lambda:eu-west-1:111122223333:function:keytrail-rotate"
	secretARN1 = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:fleet-AbCdEf"
)

// well is a secret of which all is as it should be: version v2 is current, v1 before it.
func well() situation {
	return situation{
		config: Config{Rotate: rotateARN, Patience: 20 * time.Minute},
		secret: audit.Secret{
			ARN: secretARN1, Name: "fleet", Function: rotateARN, Rotates: true, Rotated: noon.Add(-48 * time.Hour), Next: noon.Add(24 * time.Hour),
			Stages: map[string][]string{"v2": {"AWSCURRENT", "AWSPENDING"}, "v1": {"AWSPREVIOUS"}},
		},
		journal: journal{Begun: noon.Add(-1000 * time.Hour), Rotations: []*rotationSeen{
			{Version: "v2", Started: noon.Add(-48 * time.Hour), Moved: noon.Add(-48 * time.Hour), Succeeded: noon.Add(-48 * time.Hour)},
		}},
		verdict: &audit.Verdict{
			SecretARN: secretARN1, SecretName: "fleet", At: noon, Version: "v2", Fingerprint: "SHA256:2",
			Keys: []audit.Key{
				{Fingerprint: "SHA256:2", Version: "v2", Standing: "live", Reason: trust.Current},
				{Fingerprint: "SHA256:1", Version: "v1", Standing: "retired", Reason: trust.Superseded},
			},
			Places: []audit.Place{{Host: "i-1", User: "deploy", State: fleet.OK}, {Host: "i-2", User: "deploy", State: fleet.OK}},
		},
		now: noon,
	}
}

// outline writes problems in short: condition, version, and hosts with their keys.
func outline(s situation) []string {
	problems, _ := s.ofSecret()
	if s.verdict != nil {
		more, _ := s.ofHosts()
		problems = append(problems, more...)
	}
	for _, m := range s.missed() {
		problems = append(problems, alert.Problem{Condition: alert.EventMissed, Version: m.Version})
	}
	var out []string
	for _, p := range problems {
		text := string(p.Condition)
		for _, pl := range p.Places {
			text += fmt.Sprintf(" %s%s", pl.Host, strings.Join(pl.Fingerprints, ","))
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

func TestProblemsOfASecretAndItsHosts(t *testing.T) {
	t.Parallel()
	rotation := func(s *situation) *rotationSeen { return s.journal.Rotations[0] }
	pending := func(s *situation, begun time.Time) *rotationSeen {
		s.secret.Stages = map[string][]string{"v3": {"AWSPENDING"}, "v2": {"AWSCURRENT"}, "v1": {"AWSPREVIOUS"}}
		r := &rotationSeen{Version: "v3", Started: begun}
		s.journal.Rotations = append(s.journal.Rotations, r)
		return r
	}
	first := func(s *situation) *audit.Place { return &s.verdict.Places[0] }
	for _, row := range []struct {
		name   string
		change func(*situation)
		want   []string
	}{
		{"all is well", func(*situation) {}, nil},
		{"rotation is off", func(s *situation) { s.secret.Rotates = false }, []string{"rotation-off"}},
		{"another function rotates", func(s *situation) { s.secret.Function = rotateARN + "2" }, []string{"function-changed"}},
		{"it is overdue", func(s *situation) { s.secret.Next = noon.Add(-2 * time.Hour) }, []string{"rotation-overdue"}},
		{"it is due, and there is a little time", func(s *situation) { s.secret.Next = noon.Add(-time.Minute) }, nil},
		{"it is to be deleted", func(s *situation) { s.secret.Deleted = noon }, []string{"secret-deleted"}},
		{"it is gone and hosts trust it", func(s *situation) {
			s.gone, s.verdict.Gone, s.verdict.Version, s.verdict.Fingerprint = true, true, "", ""
			first(s).State, first(s).Retired = fleet.Stale, []sshkey.Fingerprint{"SHA256:2"}
		}, []string{"drift-stale i-1SHA256:2", "secret-deleted"}},
		{"it is gone, and no host trusts it", func(s *situation) { s.gone, s.verdict.Gone = true, true }, nil},
		{"a rotation failed", func(s *situation) {
			pending(s, noon.Add(-time.Hour)).Failed = noon.Add(-time.Hour)
			s.verdict.Places[1].State = fleet.Unreachable
		}, []string{"coverage i-2", "rotation-blocked", "rotation-failed i-2"}},
		{"a rotation failed and was tried again", func(s *situation) {
			r := pending(s, noon.Add(-time.Minute))
			r.Failed = noon.Add(-2 * time.Minute)
		}, nil},
		{"a rotation failed, and a later one succeeded", func(s *situation) {
			s.journal.Rotations = append([]*rotationSeen{{Version: "v1", Started: noon.Add(-50 * time.Hour), Failed: noon.Add(-49 * time.Hour)}}, s.journal.Rotations...)
		}, nil},
		{"a rotation was abandoned", func(s *situation) {
			pending(s, noon.Add(-time.Hour)).Abandoned = noon.Add(-time.Hour)
			s.secret.Stages["v3"] = nil
		}, []string{"rotation-abandoned"}},
		{"a rotation never ended", func(s *situation) { pending(s, noon.Add(-2*time.Hour)) }, []string{"rotation-blocked", "rotation-never-ended"}},
		{"while a rotation is under way, drift is not told of", func(s *situation) {
			pending(s, noon.Add(-time.Minute))
			first(s).State = fleet.Missing
		}, nil},
		{"a label moved a moment ago", func(s *situation) { *rotation(s) = rotationSeen{Version: "v2", Moved: noon.Add(-time.Minute)} }, nil},
		{"a label moved, and no event told of success", func(s *situation) { *rotation(s) = rotationSeen{Version: "v2", Moved: noon.Add(-time.Hour)} }, []string{"event-missed"}},
		{"no event told of the rotation at all", func(s *situation) { s.journal.Rotations = nil }, []string{"event-missed"}},
		{"it was rotated before it was watched", func(s *situation) { s.journal.Rotations, s.journal.Begun = nil, noon }, nil},
		{"the live key is missing", func(s *situation) { first(s).State = fleet.Missing }, []string{"drift-missing i-1SHA256:2"}},
		{"a retired key is back", func(s *situation) {
			first(s).State, first(s).Retired = fleet.Stale, []sshkey.Fingerprint{"SHA256:1"}
		}, []string{"drift-stale i-1SHA256:1"}},
		{"the grace period is over", func(s *situation) {
			s.config.Stack.Grace = time.Hour
			first(s).State, first(s).Retired = fleet.Stale, []sshkey.Fingerprint{"SHA256:1"}
		}, []string{"grace-not-ended i-1SHA256:1"}},
		{"the grace period is over, and another key is back as well", func(s *situation) {
			s.config.Stack.Grace = time.Hour
			first(s).State, first(s).Retired = fleet.Stale, []sshkey.Fingerprint{"SHA256:1", "SHA256:0"}
		}, []string{"drift-stale i-1SHA256:1,SHA256:0"}},
		{"sshd refuses", func(s *situation) { first(s).State = fleet.Refused }, []string{"drift-refused i-1SHA256:2"}},
		{"the account is gone", func(s *situation) { first(s).State = fleet.NoUser }, []string{"drift-nouser i-1"}},
		{"a stranger's key", func(s *situation) {
			first(s).Foreign = []fleet.SeenKey{{Fingerprint: "SHA256:x", Comment: "me"}}
		}, []string{"foreign-key i-1SHA256:x"}},
		{"a stranger's key that claims to be ours", func(s *situation) {
			first(s).State = fleet.Forged
			first(s).Foreign = []fleet.SeenKey{{Fingerprint: "SHA256:x", Comment: "keytrail:fleet:v2"}}
		}, []string{"drift-forged i-1SHA256:x"}},
		{"no host", func(s *situation) { s.verdict.Places = nil }, []string{"no-hosts"}},
		{"a value put by hand", func(s *situation) { s.verdict.Unregistered, s.verdict.Fingerprint = true, "" }, []string{"unregistered-value"}},
		{"a secret that was never rotated", func(s *situation) {
			s.verdict.Unregistered, s.verdict.Keys, s.journal.Rotations = true, nil, nil
			first(s).State = fleet.Missing
		}, nil},
	} {
		s := well()
		row.change(&s)
		if diff := cmp.Diff(row.want, outline(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

func TestEventsMayComeInAnyOrderAndTwice(t *testing.T) {
	t.Parallel()
	secret, err := ParseSecretID(secretARN1)
	if err != nil {
		t.Fatal(err)
	}
	at := func(kind Kind, seconds int) Event {
		return Event{Kind: kind, ID: fmt.Sprint(kind, seconds), At: noon.Add(time.Duration(seconds) * time.Second), Secret: secret, Version: "v3", Step: "setSecret"}
	}
	all := []Event{at(RotationStarted, 0), at(RotationFailed, 5), at(RotationStarted, 60), at(LabelUpdated, 65), at(RotationSucceeded, 66)}
	want := []*rotationSeen{{Version: "v3", Started: all[2].At, Failed: all[1].At, Moved: all[3].At, Succeeded: all[4].At, Step: "setSecret", EventID: all[1].ID}}
	for first := range all {
		var j journal
		for i := range 2 * len(all) {
			j.note(all[(first*3+i*2)%len(all)])
			j.note(all[(first+i)%len(all)])
		}
		if diff := cmp.Diff(want, j.Rotations); diff != "" {
			t.Errorf("beginning with %s (-want +got):\n%s", all[first].ID, diff)
		}
		if r := j.Rotations[0]; r.failed() || !r.ended() {
			t.Errorf("%+v: failed %v, ended %v", r, r.failed(), r.ended())
		}
	}
}

func TestAnEndThatNamesNoVersionIsThatOfTheRotationUnderWay(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	j := journal{Rotations: []*rotationSeen{{Version: "v2", Started: at(0), Succeeded: at(5)}, {Version: "v3", Started: at(60)}, {Version: "mine", ByHand: at(61)}}}
	e := Event{Kind: RotationAbandoned, ID: "1", At: at(61)}
	for range 2 { // it may come again
		if got := j.about(e); got != "v3" {
			t.Errorf("it is told of %q", got)
		}
		j.note(e)
	}
	if r := j.rotation("v3"); !r.Abandoned.Equal(at(61)) || !r.ended() || len(j.Rotations) != 3 {
		t.Errorf("%+v of %d", r, len(j.Rotations))
	}
	var empty journal
	empty.note(e)
	if len(empty.Rotations) != 1 || empty.Rotations[0].Version != "" || empty.Rotations[0].Abandoned.IsZero() {
		t.Errorf("without any rotation: %+v", empty.Rotations)
	}
}

func TestTheRotationIsKnownByItsRole(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:iam::111122223333:role/keytrail/keytrail-RotateRole-1"
	for _, row := range []struct {
		by   Principal
		want bool
	}{
		{Principal{Role: role, Session: "anything"}, true},
		{Principal{Role: "arn:aws:iam::111122223333:role/keytrail-RotateRole-1"}, true}, // of a record without its path
		{Principal{Role: "arn:aws:iam::444455556666:role/keytrail-RotateRole-1"}, false},
		{Principal{Role: "arn:aws:iam::111122223333:role/other", Session: "keytrail-rotate"}, false},
		{Principal{ARN: "arn:aws:iam::111122223333:user/keytrail-RotateRole-1"}, false},
		{Principal{}, false},
	} {
		if got := byRotation(Event{By: row.by}, role); got != row.want {
			t.Errorf("%+v: %v", row.by, got)
		}
	}
}

func TestABadConfigurationIsNamedAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := ParseConfig(func(name string) string {
		return map[string]string{"USERNAME": "deploy", "TAGNAME": "Fleet", "KEYTRAIL_HEAL": "some", "KEYTRAIL_READERS": "alice", "KEYTRAIL_MUTE": "noise", "KEYTRAIL_REPEAT": "0s"}[name]
	})
	for _, word := range []string{"TAGVALUE", "KEYTRAIL_BUCKET", "KEYTRAIL_ROTATE_FUNCTION", "KEYTRAIL_ROTATE_ROLE", "KEYTRAIL_ALERTS_TOPIC", "KEYTRAIL_QUEUE", "KEYTRAIL_DEAD_LETTERS", "KEYTRAIL_HEAL", `"alice"`, `"noise"`, "KEYTRAIL_REPEAT"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not name %s: %v", word, err)
		}
	}
}
