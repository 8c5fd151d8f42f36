package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:team/app-AbCdEf"

// read returns a recorded event as EventBridge would deliver it.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(name, ".envelope.") {
		return b
	}
	var r struct{ EventType, EventTime, AwsRegion string }
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	detailType := map[string]string{"AwsApiCall": apiCall, "AwsServiceEvent": serviceEvent}[r.EventType]
	return deliver(detailType, r.EventTime, r.AwsRegion, string(b))
}

func deliver(detailType, at, region, detail string) []byte {
	return fmt.Appendf(nil, `{"version":"0","id":"envelope-1","detail-type":%q,"source":"aws.secretsmanager",
		"account":"111122223333","time":%q,"region":%q,"resources":[],"detail":%s}`, detailType, at, region, detail)
}

func service(name, rest string) []byte {
	return deliver(serviceEvent, "2026-11-20T12:00:00Z", "us-east-1", `{"eventSource":"secretsmanager.amazonaws.com","eventName":"`+name+
		`","eventID":"e-1","eventTime":"2026-11-20T11:59:58Z","requestParameters":null,"responseElements":null,`+rest+`}`)
}

func call(name, rest string) []byte {
	return deliver(apiCall, "2026-11-20T12:00:00Z", "us-east-1", `{"eventSource":"secretsmanager.amazonaws.com","eventName":"`+name+
		`","eventID":"e-1","eventTime":"2026-11-20T11:59:58Z",`+rest+`}`)
}

func TestRecordedEventsAreDecoded(t *testing.T) {
	t.Parallel()
	operator := Principal{ARN: "arn:aws:iam::111122223333:user/operator", Account: "111122223333", Address: "192.0.2.10"}
	itself := Principal{Account: "111122223333", Service: "secretsmanager.amazonaws.com", Address: "secretsmanager.amazonaws.com"}
	for name, want := range map[string]Event{
		"delete-secret.json": {
			Kind: DeleteSecret, ID: "dbf59de5-4d63-4aca-9fce-a657f5df89c9", At: time.Date(2023, 7, 10, 12, 7, 59, 0, time.UTC),
			Region: "us-east-1", Secret: SecretID{"arn:aws:secretsmanager:us-east-1:111122223333:secret:stratus-red-team-retrieve-secret-7-nFvpuv"},
			By: operator, Forced: true,
		},
		"get-secret-value.json": {
			Kind: GetSecretValue, ID: "0bdf2b9c-2cf9-40dd-a88b-0148e08e5a75", At: time.Date(2023, 7, 10, 11, 57, 50, 0, time.UTC),
			Region: "us-east-1", Secret: SecretID{"arn:aws:secretsmanager:us-east-1:111122223333:secret:stratus-red-team-retrieve-secret-6-fAVH0t"},
			Version: "B36292B7-145C-41BE-81A3-7CF5EAB972C8", By: operator,
		},
		"put-secret-value.awspending.json": {
			Kind: PutSecretValue, ID: "072fe85c-61fa-4963-ade7-a07fde3c7cb2", At: time.Date(2026, 9, 24, 6, 31, 8, 0, time.UTC),
			Region: "us-west-2", Secret: SecretID{"arn:aws:secretsmanager:us-west-2:111122223333:secret:stackd-sm-crypto-f68bbf5715-transition-old-denied-fG4cYW"},
			Version: "6486fba9-82c3-46fc-a4b8-b86b08d45e7b", Labels: []string{"AWSPENDING"},
			By: Principal{ARN: "arn:aws:iam::111122223333:user/Delegated", Account: "111122223333", Address: "192.0.2.10"},
		},
		"rotation-failed.json": {
			Kind: RotationFailed, ID: "EXAMPLE3-90ab-cdef-fedc-ba987EXAMPLE", At: time.Date(2022, 9, 13, 2, 17, 48, 0, time.UTC),
			Region: "us-east-2", Secret: SecretID{"arn:aws:secretsmanager:us-east-2:111122223333:secret:MyDatabaseSecret-a1b2c3"},
			Version: "eeb681b1-a07d-4aeb-9b61-1ee6590ec295", By: itself, Step: "setSecret",
			Function: "arn:aws:lambda:us-east-2:111122223333:function:SecretsManagertest-alternating-users-rotation2",
			Message:  "Error when executing lambda arn:aws:lambda:us-east-2:111122223333:function:SecretsManagertest-alternating-users-rotation2 during setSecret step",
		},
		"rotation-succeeded.envelope.json": {
			Kind: RotationSucceeded, ID: "638c6d2d-e098-4100-a3e0-a4b7b87e5b92", At: time.Date(2021, 8, 13, 19, 17, 16, 0, time.UTC),
			Region: "us-west-2", Secret: SecretID{"arn:aws:secretsmanager:us-west-2:111122223333:secret:Appuser-pyodbc-WoDpmU"},
			Version: "7ac47c8c-f328-423b-9698-6926dd1f293e", By: itself,
		},
		"secret-label-updated.envelope.json": {
			Kind: LabelUpdated, ID: "6a7e8feb-b491-4cf7-a9f1-bf3703467718", At: time.Date(2024, 2, 6, 16, 43, 48, 0, time.UTC),
			Region: "us-west-2", Secret: SecretID{"arn:aws:secretsmanager:us-west-2:111122223333:secret:mySecret-a1b2c3"},
			Version: "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111", Labels: []string{"AWSCURRENT"},
		},
		"start-secret-version-delete.json": {
			Kind: DeletionStarted, ID: "d2ba211c-a040-45b6-86d0-33249cc21647", At: time.Date(2023, 7, 10, 12, 8, 7, 0, time.UTC),
			Region: "us-east-1", Secret: SecretID{"arn:aws:secretsmanager:us-east-1:111122223333:secret:stratus-red-team-retrieve-secret-15-wL771x"},
			By: itself,
		},
	} {
		got, err := Decode(read(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want.Account = "111122223333"
		got.Source, got.DetailType, got.Name = "", "", ""
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(SecretID{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestASecretIsFoundWhereverARecordHasIt(t *testing.T) {
	t.Parallel()
	const token = "eeb681b1-a07d-4aeb-9b61-1ee6590ec295"
	tests := []struct {
		name    string
		raw     []byte
		secret  string
		version string
	}{
		{"additionalEventData", service("RotationStarted", `"additionalEventData":{"SecretId":"`+arn+`"},"requestID":"Rotation-`+arn+"-"+token+`"`), arn, token},
		{"additionalEventData in lower case, with a version", service("RotationAbandoned", `"additionalEventData":{"secretId":"`+arn+`","versionId":"`+token+`"}`), arn, token},
		{"additionalEventData of a deletion", service("EndSecretVersionDelete", `"additionalEventData":{"ARN":"`+arn+`","Name":"team/app"}`), arn, ""},
		{"serviceEventDetails", service("TestRotationFailed", `"serviceEventDetails":{"secretId":"`+arn+`"}`), arn, ""},
		{"resources", service("CancelSecretVersionDelete", `"resources":[{"ARN":"arn:aws:kms:us-east-1:111122223333:key/x"},{"accountId":"111122223333","ARN":"`+arn+`"}]`), arn, ""},
		{"the request id alone", service("RotationSucceeded", `"requestID":"Rotation-`+arn+"-"+token+`"`), arn, token},
		{"the request id, with a name that ends like a token", service("RotationSucceeded",
			`"requestID":"Rotation-`+arn+"-"+token+"-AbCdEf-"+token+`"`), arn + "-" + token + "-AbCdEf", token},
		{"a request id that is something else", service("RotationSucceeded", `"additionalEventData":{"SecretId":"`+arn+`"},"requestID":7`), arn, ""},
		{"a caller's name, where AWS gave no ARN", call("GetSecretValue", `"requestParameters":{"secretId":"team/app"}`), "team/app", ""},
		{"the response before what the caller typed", call("DeleteSecret", `"requestParameters":{"secretId":"team/app"},"responseElements":{"aRN":"`+arn+`"}`), arn, ""},
		{"a label that moves", call("UpdateSecretVersionStage", `"requestParameters":{"secretId":"team/app","versionStage":"AWSCURRENT","moveToVersionId":"`+token+`","removeFromVersionId":"x"}`), "team/app", token},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := Decode(tt.raw)
			if err != nil || e.Secret.String() != tt.secret || e.Version != tt.version {
				t.Errorf("secret %q, version %q, error %v", e.Secret, e.Version, err)
			}
		})
	}
}

func TestTheRoleBehindASessionIsNamed(t *testing.T) {
	t.Parallel()
	const session = `"requestParameters":{"secretId":"x"},"sourceIPAddress":"198.51.100.7","userIdentity":{"type":"AssumedRole","accountId":"111122223333","arn":"arn:aws:sts::111122223333:assumed-role/rotate/keytrail@1"`
	for raw, role := range map[string]string{
		session + `}`: "arn:aws:iam::111122223333:role/rotate",
		session + `,"sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::111122223333:role/path/rotate"}}}`: "arn:aws:iam::111122223333:role/path/rotate",
	} {
		e, err := Decode(call("PutSecretValue", raw))
		if err != nil {
			t.Fatal(err)
		}
		want := Principal{ARN: "arn:aws:sts::111122223333:assumed-role/rotate/keytrail@1", Role: role, Session: "keytrail@1", Account: "111122223333", Address: "198.51.100.7"}
		if diff := cmp.Diff(want, e.By); diff != "" || e.By.String() != role {
			t.Errorf("%s (-want +got):\n%s", e.By, diff)
		}
		if diff := cmp.Diff([]string{"AWSCURRENT"}, e.Labels); diff != "" {
			t.Errorf("a put without labels moves AWSCURRENT (-want +got):\n%s", diff)
		}
	}
}

func TestEveryKindHasARouteOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, k := range serviceKinds {
		if e, err := Decode(service(string(k), `"additionalEventData":{"SecretId":"`+arn+`"}`)); err != nil || e.Kind != k {
			t.Errorf("%s: %s, %v", k, e.Kind, err)
		}
		if e, err := Decode(call(string(k), `"requestParameters":{"secretId":"x"}`)); err != nil || e.Kind != Unknown || e.Name != string(k) {
			t.Errorf("%s as a call: %s, %v", k, e.Kind, err)
		}
	}
	for _, k := range callKinds {
		if e, err := Decode(call(string(k), `"requestParameters":{"secretId":"x"}`)); err != nil || e.Kind != k {
			t.Errorf("%s: %s, %v", k, e.Kind, err)
		}
	}
}

func TestWhatIsNotKnownIsUnknownAndNoError(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`{"source":"aws.ec2","detail-type":"EC2 Instance State-change Notification","detail":{"state":"running"}}`,
		`{"source":"aws.secretsmanager","detail-type":"Secret Something New","detail":"x"}`,
		`{"source":"aws.secretsmanager","detail-type":"` + apiCall + `","detail":{"eventName":"ReplicateSecretToRegions"}}`,
		`{"source":"aws.secretsmanager","detail-type":"` + apiCall + `","detail":{"eventName":["RotateSecret"]}}`,
		`{"source":"impostor","detail-type":"Scheduled Event","detail":{}}`,
	} {
		if e, err := Decode([]byte(raw)); err != nil || e.Kind != Unknown || e.DetailType == "" {
			t.Errorf("%s: %+v, %v", raw, e, err)
		}
	}
}

func TestAMalformedEventSaysWhy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		raw  string
		why  string
	}{
		{"nothing", ``, "no JSON object"},
		{"a list", `[]`, "no JSON object"},
		{"no source", `{"detail-type":"Scheduled Event"}`, "no source"},
		{"a rotation of no secret", string(service("RotationFailed", `"additionalEventData":{}`)), "RotationFailed names no secret"},
		{"a secret that can be none", string(service("RotationFailed", `"additionalEventData":{"SecretId":"a\nb"}`)), "names no secret"},
		{"no time", strings.ReplaceAll(string(service("RotationFailed", `"additionalEventData":{"SecretId":"`+arn+`"}`)), ":00Z", ""), "no time"},
		{"no detail", `{"source":"aws.secretsmanager","detail-type":"Secret Label Updated","id":"1","time":"2026-11-20T12:00:00Z"}`, "no detail"},
		{"a detail that is text", `{"source":"aws.secretsmanager","detail-type":"` + apiCall + `","detail":"x"}`, "no record of CloudTrail"},
		{"no account", `{"source":"aws.scheduler","detail-type":"Scheduled Event","id":"1","time":"2026-11-20T12:00:00Z"}`, "no account"},
		{"too long", `{"source":"` + strings.Repeat("x", maxEvent) + `"}`, "bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode([]byte(tt.raw))
			if m, ok := errors.AsType[*MalformedError](err); !ok || !strings.Contains(m.Reason, tt.why) || len(err.Error()) > 500 {
				t.Errorf("got %v, want a MalformedError that says %q", err, tt.why)
			}
		})
	}
}

func TestARefusedCallMayHaveNamedAnything(t *testing.T) {
	t.Parallel()
	e, err := Decode(call("GetSecretValue", `"errorCode":"AccessDenied","requestParameters":{"secretId":"no such\u0000secret"}`))
	if err != nil || !e.Refused() || !e.Secret.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestASweepAsksForOneLookAtEachSecret(t *testing.T) {
	t.Parallel()
	sweep, err := Decode([]byte(`{"version":"0","id":"s-1","detail-type":"Scheduled Event","source":"aws.scheduler","account":"111122223333","time":"2026-11-20T12:00:00Z","region":"us-east-1","resources":[],"detail":"{}"}`))
	if err != nil || sweep.Kind != Sweep {
		t.Fatalf("%+v, %v", sweep, err)
	}
	body, err := EncodeCheck(sweep, SecretID{arn})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Decode(body)
	if err != nil || e.Kind != Check || e.Secret.String() != arn || e.ID != "s-1" || !e.At.Equal(sweep.At) || !e.In("111122223333", "us-east-1") {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestEventsOfOtherPlacesAreKnown(t *testing.T) {
	t.Parallel()
	e, err := Decode(service("RotationSucceeded", `"additionalEventData":{"SecretId":"arn:aws:secretsmanager:eu-west-1:444455556666:secret:x-AbCdEf"}`))
	if err != nil || e.In("111122223333", "us-east-1") {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestABatchIsPartedAndAnsweredMessageByMessage(t *testing.T) {
	t.Parallel()
	event := string(read(t, "rotation-failed.json"))
	body, _ := json.Marshal(event)
	all, batch := Deliveries(fmt.Appendf(nil, `{"Records":[{"messageId":"m-1","body":%s,"eventSource":"aws:sqs"},{"messageId":"m-2","body":"garbage","eventSource":"aws:sqs"}]}`, body))
	if !batch || len(all) != 2 {
		t.Fatalf("%d deliveries, batch %t", len(all), batch)
	}
	if e, err := Decode(all[0].Body); err != nil || e.Kind != RotationFailed {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := Decode(all[1].Body); err == nil {
		t.Error("garbage was decoded")
	}
	answer, _ := json.Marshal(Answer(all[1:]))
	if want := `{"batchItemFailures":[{"itemIdentifier":"m-2"}]}`; string(answer) != want {
		t.Errorf("answer %s, want %s", answer, want)
	}
	if answer, _ := json.Marshal(Answer(nil)); string(answer) != `{"batchItemFailures":[]}` {
		t.Errorf("answer %s", answer)
	}
	if all, batch := Deliveries([]byte(event)); batch || len(all) != 1 || string(all[0].Body) != event {
		t.Errorf("direct: %d deliveries, batch %t", len(all), batch)
	}
}

func FuzzDecode(f *testing.F) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			f.Add(read(f, e.Name()))
		}
	}
	f.Add(call("PutSecretValue", `"requestParameters":{"secretId":"x","versionStages":"AWSCURRENT"},"resources":{}`))
	f.Add([]byte(`{"source":"aws.events","detail-type":"Scheduled Event","id":"1"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Decode(raw)
		if err != nil {
			if _, ok := errors.AsType[*MalformedError](err); !ok || !utf8.ValidString(err.Error()) {
				t.Fatalf("no readable MalformedError: %q", err)
			}
			return
		}
		if e.Kind == Unknown {
			return
		}
		if e.ID == "" || e.At.IsZero() || e.Secret.IsZero() && e.Kind != Sweep && !e.Refused() {
			t.Fatalf("half an event: %+v", e)
		}
		if id := e.Secret; !id.IsZero() {
			if again, err := ParseSecretID(id.String()); err != nil || again != id {
				t.Fatalf("secret %q: %v", id, err)
			}
		}
		if all, batch := Deliveries(raw); !batch && string(all[0].Body) != string(raw) {
			t.Fatal("the event changed on its way")
		}
	})
}
