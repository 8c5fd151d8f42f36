package cloudtrail_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/cloudtrail"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// record records one thing and returns what is found of it.
func record(t *testing.T, seed uint64, do func(*cloudtrail.Service)) map[string]any {
	t.Helper()
	l := newLab(t, cloudtrail.Options{Seed: seed})
	do(l.service)
	list := l.records(`{}`)
	if len(list) != 1 {
		t.Fatalf("%d records, want one", len(list))
	}
	return list[0]
}

func tree(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// An event of each recorded kind is, member by member, what a real record is.
func TestServiceEvents(t *testing.T) {
	t.Parallel()
	rest := `"eventSource":"secretsmanager.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"secretsmanager.amazonaws.com",
		"userAgent":"secretsmanager.amazonaws.com","userIdentity":{"accountId":"111122223333","invokedBy":"secretsmanager.amazonaws.com"},
		"requestParameters":null,"responseElements":null,"readOnly":false,"eventType":"AwsServiceEvent","managementEvent":true,
		"recipientAccountId":"111122223333","eventCategory":"Management","eventTime":"2026-11-02T09:30:15Z"`
	for name, members := range map[string]string{
		"RotationSucceeded": `"additionalEventData":{"SecretId":"` + secret + `"},"requestID":"Rotation-` + secret + `-eeb681b1-a07d-4aeb-9b61-1ee6590ec295"`,
		"RotationFailed": `"additionalEventData":{"SecretId":"` + secret + `"},"requestID":"Rotation-` + secret + `-eeb681b1-a07d-4aeb-9b61-1ee6590ec295",
			"errorMessage":"Error when executing lambda arn:aws:lambda:us-east-1:111122223333:function:rotate during setSecret step"`,
		"StartSecretVersionDelete": `"additionalEventData":{"ARN":"` + secret + `","Name":"fleet/key"},"requestID":"SecretDeleteMessage:` + secret + `:2026-11-02T09:30:00Z:Forced"`,
		"EndSecretVersionDelete":   `"additionalEventData":{"ARN":"` + secret + `","Name":"fleet/key"},"requestID":"SecretDeleteMessage:` + secret + `:2026-11-02T09:30:00Z:Forced"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := record(t, 1, func(s *cloudtrail.Service) { s.RecordService(serviceEvent(name)) })
			want := tree(t, `{"eventName":"`+name+`",`+members+`,`+rest+`}`)
			want["eventID"], want["eventVersion"] = got["eventID"], got["eventVersion"]
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestALabelIsNoEventOfCloudTrail(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{})
	l.service.RecordService(serviceEvent("Secret Label Updated"))
	if names := l.names(`{}`); names != "" {
		t.Errorf("recorded %s", names)
	}
}

// Where no record was found, some seed has each shape, and one seed always the
// same.
func TestEveryWorldIsSomeSeed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"RotationStarted", "RotationAbandoned", "TestRotationStarted", "TestRotationSucceeded", "TestRotationFailed",
		"CancelSecretVersionDelete", "SecretVersionDeletion",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			places, ids := map[string]bool{}, map[string]bool{}
			for seed := range uint64(100) {
				do := func(s *cloudtrail.Service) { s.RecordService(serviceEvent(name)) }
				r := record(t, seed, do)
				if diff := cmp.Diff(r, record(t, seed, do)); diff != "" {
					t.Fatalf("seed %d is two worlds:\n%s", seed, diff)
				}
				places[place(r)] = true
				id, _, _ := strings.Cut(r["requestID"].(string), "-")
				ids[map[bool]string{true: id, false: "UUID"}[strings.HasSuffix(id, "Rotation")]] = true
				if _, has := r["errorMessage"]; has != strings.HasSuffix(name, "Failed") || r["errorCode"] != nil {
					t.Errorf("seed %d: message %v, code %v", seed, r["errorMessage"], r["errorCode"])
				}
			}
			want := []string{"additionalEventData ARN", "additionalEventData SecretId", "resources", "serviceEventDetails"}
			if diff := cmp.Diff(want, slices.Sorted(maps.Keys(places))); diff != "" {
				t.Errorf("places (-want +got):\n%s", diff)
			}
			wantIDs := []string{"Rotation", "UUID"}
			if strings.HasPrefix(name, "Test") {
				wantIDs = []string{"Rotation", "TestRotation", "UUID"}
			}
			if diff := cmp.Diff(wantIDs, slices.Sorted(maps.Keys(ids))); diff != "" {
				t.Errorf("request ids (-want +got):\n%s", diff)
			}
		})
	}
}

// place tells where a record names the secret, and fails to where it does not.
func place(r map[string]any) string {
	if m, ok := r["additionalEventData"].(map[string]any); ok {
		for _, name := range []string{"SecretId", "ARN"} {
			if m[name] == secret {
				return "additionalEventData " + name
			}
		}
	}
	if m, ok := r["serviceEventDetails"].(map[string]any); ok && m["secretId"] == secret {
		return "serviceEventDetails"
	}
	if list, ok := r["resources"].([]any); ok && list[0].(map[string]any)["ARN"] == secret {
		return "resources"
	}
	return "nowhere"
}

func TestCalls(t *testing.T) {
	t.Parallel()
	about := `"resources":[{"accountId":"111122223333","type":"AWS::SecretsManager::Secret","ARN":"` + secret + `"}]`
	for name, tt := range map[string]struct {
		call wire.Served
		want string // what the record says beside what all have
	}{
		"PutSecretValue hides the value, and says no version": {
			call("PutSecretValue", `{"SecretId":"fleet/key","ClientRequestToken":"t","SecretString":"PRIVATE","RotationToken":"r","VersionStages":["AWSPENDING"]}`,
				`{"ARN":"`+secret+`","Name":"fleet/key","VersionId":"t","VersionStages":["AWSPENDING"]}`),
			`{"requestParameters":{"secretId":"fleet/key","clientRequestToken":"t","versionStages":["AWSPENDING"]},"responseElements":{"arn":"` + secret + `"},"readOnly":false,` + about + `}`,
		},
		"PutSecretValue without labels names none": {
			call("PutSecretValue", `{"SecretId":"`+secret+`","ClientRequestToken":"t","SecretBinary":"UFJJVkFURQ=="}`, `{"ARN":"`+secret+`"}`),
			`{"requestParameters":{"secretId":"` + secret + `","clientRequestToken":"t"},"responseElements":{"arn":"` + secret + `"},"readOnly":false,` + about + `}`,
		},
		"CreateSecret is about no secret that there was": {
			call("CreateSecret", `{"Name":"fleet/key","ClientRequestToken":"t","SecretString":"PRIVATE"}`, `{"ARN":"`+secret+`","Name":"fleet/key","VersionId":"t"}`),
			`{"requestParameters":{"name":"fleet/key","clientRequestToken":"t"},"responseElements":{"arn":"` + secret + `"},"readOnly":false}`,
		},
		"GetSecretValue answers nothing": {
			call("GetSecretValue", `{"SecretId":"fleet/key","VersionStage":"AWSCURRENT"}`, `{"ARN":"`+secret+`","SecretString":"PRIVATE"}`),
			`{"requestParameters":{"secretId":"fleet/key","versionStage":"AWSCURRENT"},"responseElements":null,"readOnly":true,` + about + `}`,
		},
		"PutResourcePolicy": {
			call("PutResourcePolicy", `{"SecretId":"fleet/key","ResourcePolicy":"{}","BlockPublicPolicy":true}`, `{"ARN":"`+secret+`","Name":"fleet/key"}`),
			`{"requestParameters":{"secretId":"fleet/key","resourcePolicy":"{}","blockPublicPolicy":true},"responseElements":{"arn":"` + secret + `","name":"fleet/key"},"readOnly":false,` + about + `}`,
		},
		"TagResource finds the secret by its name": {
			call("TagResource", `{"SecretId":"fleet/key","Tags":[{"Key":"k","Value":"v"}]}`, `{}`),
			`{"requestParameters":{"secretId":"fleet/key","tags":[{"key":"k","value":"v"}]},"responseElements":null,"readOnly":false,` + about + `}`,
		},
		"ListSecrets without parameters": {
			call("ListSecrets", `{}`, `{"SecretList":[]}`), `{"requestParameters":null,"responseElements":null,"readOnly":true}`,
		},
		"a secret that cannot be found": {
			refused(call("GetSecretValue", `{"SecretId":"${SECRET}"}`, ``), "ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
			`{"requestParameters":{"secretId":"${SECRET}"},"responseElements":null,"readOnly":true,
				"errorCode":"ResourceNotFoundException","errorMessage":"Secrets Manager can't find the specified secret."}`,
		},
		"denied": {
			refused(call("PutSecretValue", `{"SecretId":"other","SecretString":"PRIVATE"}`, ``), "AccessDeniedException", "Access to KMS is not allowed"),
			`{"requestParameters":{"secretId":"other"},"responseElements":null,"readOnly":false,"errorCode":"AccessDenied","errorMessage":"Access to KMS is not allowed"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := record(t, 1, func(s *cloudtrail.Service) { s.Record(tt.call) })
			want := tree(t, tt.want)
			maps.Copy(want, tree(t, `{"eventVersion":"1.11","eventTime":"2026-11-02T09:30:15Z","eventSource":"secretsmanager.amazonaws.com","awsRegion":"us-east-1",
				"sourceIPAddress":"127.0.0.1","userAgent":"aws-cli","requestID":"11111111-2222-4333-8444-555555555555","eventType":"AwsApiCall",
				"managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","eventName":"`+tt.call.Action+`",
				"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/operator","accountId":"111122223333","accessKeyId":"AKIAIOSFODNN7EXAMPLE","userName":"operator"},
				"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"secretsmanager.us-east-1.amazonaws.com","keyExchange":"X25519MLKEM768"}}`))
			want["eventID"] = got["eventID"]
			principal, _ := got["userIdentity"].(map[string]any)["principalId"].(string)
			want["userIdentity"].(map[string]any)["principalId"] = principal
			if !strings.HasPrefix(principal, "AIDA") || len(principal) != 21 {
				t.Errorf("principal id %q", principal)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if text, _ := json.Marshal(got); strings.Contains(string(text), "PRIVATE") || strings.Contains(string(text), "UFJJ") {
				t.Errorf("the record has the value of the secret: %s", text)
			}
		})
	}
}

func refused(c wire.Served, code, message string) wire.Served {
	c.ErrorCode, c.ErrorMessage, c.Status, c.Answer = code, message, 400, nil
	return c
}

func TestDeleteSecretHasEitherSpellingAndAPersonsDate(t *testing.T) {
	t.Parallel()
	got := map[string]bool{}
	for seed := range uint64(60) {
		r := record(t, seed, func(s *cloudtrail.Service) {
			s.Record(call("DeleteSecret", `{"SecretId":"fleet/key","ForceDeleteWithoutRecovery":true}`, `{"ARN":"`+secret+`","Name":"fleet/key","DeletionDate":1.793611815E9}`))
		})
		m := r["responseElements"].(map[string]any)
		for _, name := range []string{"arn", "aRN"} {
			if m[name] == secret {
				got[name+" "+m["deletionDate"].(string)] = true
			}
		}
	}
	want := []string{}
	for _, name := range []string{"aRN", "arn"} {
		want = append(want, name+" Nov 2, 2026 9:30:15 AM", name+" Nov 2, 2026, 9:30:15 AM", name+" Nov 2, 2026, 9:30:15\u202fAM")
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRotateSecretInEveryWorld(t *testing.T) {
	t.Parallel()
	functions, answers := map[string]bool{}, map[string]bool{}
	for seed := range uint64(100) {
		r := record(t, seed, func(s *cloudtrail.Service) {
			s.Record(call("RotateSecret", `{"SecretId":"fleet/key","ClientRequestToken":"t","RotationLambdaARN":"f","RotationRules":{"AutomaticallyAfterDays":30},"RotateImmediately":false}`,
				`{"ARN":"`+secret+`","Name":"fleet/key","VersionId":"t"}`))
		})
		p := r["requestParameters"].(map[string]any)
		for _, name := range []string{"rotationLambdaARN", "rotationLambdaArn"} {
			if p[name] == "f" {
				functions[name] = true
			}
			delete(p, name)
		}
		want := tree(t, `{"secretId":"fleet/key","clientRequestToken":"t","rotationRules":{"automaticallyAfterDays":30},"rotateImmediately":false}`)
		if diff := cmp.Diff(want, p); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		m, _ := r["responseElements"].(map[string]any)
		answers[strings.Join(slices.Sorted(maps.Keys(m)), " ")] = true
	}
	if len(functions) != 2 || !maps.Equal(answers, map[string]bool{"": true, "arn": true, "aRN": true, "arn name versionId": true, "aRN name versionId": true}) {
		t.Errorf("functions %v, answers %v", functions, answers)
	}
}

func TestAFunctionIsKnownByItsRole(t *testing.T) {
	t.Parallel()
	c := call("SendCommand", `{"DocumentName":"d","InstanceIds":["i-1"],"Parameters":{"commands":["PRIVATE"]}}`,
		`{"Command":{"CommandId":"c","Parameters":{"commands":["PRIVATE"]},"RequestedDateTime":1.793611815E9,"TargetCount":1}}`)
	c.Service = "ssm"
	c.Caller = wire.Identity{AccessKeyID: "ASIAROTATE", ARN: "arn:aws:sts::111122223333:assumed-role/rotate-role/rotate"}
	l := newLab(t, cloudtrail.Options{})
	l.service.Record(c)
	r := l.records(`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"rotate"}]}`)[0]
	id := r["userIdentity"].(map[string]any)
	issuer := id["sessionContext"].(map[string]any)["sessionIssuer"].(map[string]any)
	if id["type"] != "AssumedRole" || id["arn"] != c.Caller.ARN || id["accessKeyId"] != "ASIAROTATE" || issuer["arn"] != "arn:aws:iam::111122223333:role/rotate-role" ||
		issuer["userName"] != "rotate-role" || id["principalId"] != issuer["principalId"].(string)+":rotate" || id["userName"] != nil {
		t.Errorf("identity %v", id)
	}
	want := tree(t, `{"requestParameters":{"documentName":"d","instanceIds":["i-1"],"parameters":"HIDDEN_DUE_TO_SECURITY_REASONS"}}`)
	if diff := cmp.Diff(want["requestParameters"], r["requestParameters"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	command := r["responseElements"].(map[string]any)["command"].(map[string]any)
	if command["parameters"] != "HIDDEN_DUE_TO_SECURITY_REASONS" || command["commandId"] != "c" || r["resources"] != nil {
		t.Errorf("response %v, resources %v", command, r["resources"])
	}
}

func TestABatchIsRecordedWithEachOfItsSecrets(t *testing.T) {
	t.Parallel()
	l := newLab(t, cloudtrail.Options{})
	l.service.Record(call("BatchGetSecretValue", `{"SecretIdList":["fleet/key"]}`, `{"SecretValues":[{"ARN":"`+secret+`","SecretString":"PRIVATE"}]}`))
	list := l.records(`{}`)
	if len(list) != 2 || list[0]["eventName"] != "GetSecretValue" || list[1]["eventName"] != "BatchGetSecretValue" {
		t.Fatalf("records %v", list)
	}
	id := list[0]["userIdentity"].(map[string]any)
	if list[0]["requestID"] != "11111111-2222-4333-8444-555555555555:"+secret || list[0]["sourceIPAddress"] != "secretsmanager.amazonaws.com" ||
		id["invokedBy"] != "secretsmanager.amazonaws.com" || id["accessKeyId"] != nil || list[0]["resources"] != nil {
		t.Errorf("record %v", list[0])
	}
	if list[1]["sourceIPAddress"] != "127.0.0.1" || list[1]["resources"] != nil {
		t.Errorf("record of the batch %v", list[1])
	}
}
