package alert

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var fleetKey = Secret{ARN: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:fleet/deploy-AbCdEf", Name: "fleet/deploy"}

var site = Site{Rotate: "keytrail-rotate", Runbook: "https://github.com/keytrail/keytrail/blob/main/deploy/README.md", Report: "https://reports.example.com/keytrail/"}

const (
	version = "eeb681b1-a07d-4aeb-9b61-1ee6590ec295"
	print1  = "SHA256:VPpM0zECrnpuNte6YTMeHljH/Uuhwp3SadwCCP88zW8"
	command = "0b1f6a2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b"
	eventID = "638c6d2d-e098-4100-a3e0-a4b7b87e5b92"
)

var operator = Who{Principal: "arn:aws:iam::111122223333:role/operators", Session: "maria", Address: "198.51.100.7"}

// sample returns a problem as it would come, for each condition.
func sample(id ID) Problem {
	web1 := Place{Host: "i-0a1b2c3d4e5f60001", User: "deploy", CommandID: command}
	web2 := Place{Host: "i-0a1b2c3d4e5f60002", User: "deploy", CommandID: command}
	at := func(state, reason string, prints ...string) []Place {
		a, b := web1, web2
		a.State, a.Reason, a.Fingerprints = state, reason, prints
		b.State, b.Reason, b.Fingerprints = state, reason, prints
		return []Place{a, b}
	}
	call := func(name string) Problem {
		return Problem{Condition: id, EventID: eventID, EventName: name, EventTime: noon.Add(-2 * time.Minute), Who: operator}
	}
	p := Problem{Condition: id, Version: version}
	switch id {
	case DriftMissing:
		p.Places = at("missing", "")
	case DriftStale:
		p.Places = at("stale", "in /etc/ssh/keys/deploy", print1)[:1]
	case DriftRefused:
		p.Places = at("refused", "/home/deploy is writable by its group")[:1]
	case DriftNoUser:
		p.Places = at("nouser", "")[:1]
	case DriftForged:
		p.Places = at("forged", "", print1)[:1]
	case ForeignKey, ForeignBaseline:
		p.Places = at("ok", "in /home/deploy/.ssh/authorized_keys", print1)
	case Coverage:
		p.Places, p.Seen, p.Expected = at("unreachable", "the SSM agent has not answered since 11:02 UTC"), 10, 12
		p.Places[0].CommandID, p.Places[1].CommandID = "", ""
	case NoHosts:
		p.Reason = "no managed node has the tags Keytrail=yes and Team=web"
	case NotVerified:
		p = Problem{Condition: id, Reason: "ssm:SendCommand is denied to the events function"}
	case RotationFailed:
		p.Step, p.Function = "setSecret", "arn:aws:lambda:eu-west-1:111122223333:function:keytrail-rotate"
		p.Places = at("unreachable", "the command was not delivered within 60 seconds")[:1]
		p.Reason, p.EventID, p.EventName, p.EventTime = "1 of 12 hosts did not answer", eventID, "RotationFailed", noon.Add(-time.Minute)
	case RotationAbandoned:
		p.EventID, p.EventName, p.EventTime = eventID, "RotationAbandoned", noon.Add(-time.Minute)
	case RotationBlocked:
	case RotationOverdue:
		p = Problem{Condition: id, Reason: "due on 18 November 2026, last rotated on 19 October 2026"}
	case RotationNeverEnded:
		p.EventID, p.EventName, p.EventTime = eventID, "RotationStarted", noon.Add(-time.Hour)
	case RotationOff:
		p = call("CancelRotateSecret")
		p.Function = "arn:aws:lambda:eu-west-1:111122223333:function:keytrail-rotate"
	case FunctionChanged:
		p = call("RotateSecret")
		p.Function = "arn:aws:lambda:eu-west-1:111122223333:function:other"
	case GraceNotEnded:
		p.Places, p.Reason = at("stale", "", print1)[:1], "reconcile was throttled"
	case ValueChanged:
		p = call("PutSecretValue")
		p.Version = version
	case SecretDeleted:
		p = call("DeleteSecret")
		p.Reason = "it is gone for good on 20 December 2026"
	case PolicyChanged:
		p = call("PutResourcePolicy")
	case TagsChanged:
		p = call("TagResource")
	case PrivateKeyRead:
		p = call("GetSecretValue")
	case HealDone:
		p.Places, p.About = at("ok", "the live key was put back")[:1], DriftMissing
	case HealFailed:
		p.Places = at("refused", "/home/deploy is writable by its group")[:1]
	case EventMissed, UnregisteredValue, RotationSucceeded:
	}
	return p
}

func message(id ID, status Status) Message {
	m := Message{ID: identify(fleetKey.ARN, id, "") + "-7", Alert: identify(fleetKey.ARN, id, ""), Status: status,
		Condition: id, Secret: fleetKey, At: noon, Since: noon, Times: 3, Problem: sample(id)}
	if status != Opened {
		m.Since = noon.Add(-26 * time.Hour)
	}
	return m
}

func render(t testing.TB, m Message) page {
	t.Helper()
	p, err := m.page(site)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// golden compares, or with KEYTRAIL_UPDATE_GOLDEN=1 rewrites.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("KEYTRAIL_UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (KEYTRAIL_UPDATE_GOLDEN=1 writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestEveryMessageReadsAsItWasReviewed(t *testing.T) {
	var all []Message
	for _, c := range Conditions() {
		all = append(all, message(c.ID, Opened))
	}
	for _, s := range []Status{Updated, Repeated, Unstable, Resolved} {
		all = append(all, message(DriftMissing, s))
	}
	all = append(all, message(PrivateKeyRead, Repeated))
	for _, m := range all {
		name := string(m.Condition)
		if m.Status != Opened {
			name += "." + string(m.Status)
		}
		p := render(t, m)
		golden(t, "mail/"+name+".txt", []byte("Subject: "+p.subject()+"\n\n"+p.mail()))
		golden(t, "chat/"+name+".json", indented(t, must(t, p.chat)))
		golden(t, "document/"+name+".json", indented(t, must(t, func() ([]byte, error) { return p.document(maxPlaces) })))
	}
}

func must(t testing.TB, f func() ([]byte, error)) []byte {
	t.Helper()
	b, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func indented(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}
