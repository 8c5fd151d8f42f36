package cloudtrail

import (
	"encoding/json"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const secretType = "AWS::SecretsManager::Secret"

// nameless are the calls whose records have no resources: they are not about a
// secret that there was.
var nameless = map[string]bool{"BatchGetSecretValue": true, "CreateSecret": true, "GetRandomPassword": true, "ListSecrets": true}

// ofSecret gives the record of a call of Secrets Manager what it says about the
// secret, and returns its ARN.
func (s *Service) ofSecret(r *record, c wire.Served) string {
	arn, _ := object(c.Answer)["aRN"].(string)
	if id, ok := r.RequestParameters["secretId"].(string); ok && arn == "" {
		arn = s.options.SecretARN(id)
	}
	s.spell(r)
	// Whether a call that was refused names the secret is not known.
	if arn != "" && !nameless[c.Action] && (c.ErrorCode == "" || s.choose("resources of refused calls", 2) == 0) {
		r.Resources = []resource{{s.options.Account, secretType, arn}}
	}
	return arn
}

// spell gives the response of a call the members that its record has. Those
// of PutSecretValue, UpdateSecret, CreateSecret, PutResourcePolicy and
// DeleteSecret were seen; the others are what the API answers, less of it, or
// nothing.
func (s *Service) spell(r *record) {
	lambda, ok := r.RequestParameters["rotationLambdaARN"]
	if ok && s.choose("rotationLambdaARN", 2) == 1 {
		delete(r.RequestParameters, "rotationLambdaARN")
		r.RequestParameters["rotationLambdaArn"] = lambda
	}
	answer := r.ResponseElements
	if answer == nil {
		return
	}
	name := "arn"
	shape := []string{"arn"}
	switch r.EventName {
	case "CreateSecret", "PutSecretValue", "UpdateSecret":
	case "PutResourcePolicy", "DeleteResourcePolicy":
		shape = []string{"arn", "name"}
	case "DeleteSecret": // aRN until February 2024, says the guide, and tells to expect both
		name = s.arnName()
		shape = []string{"arn", "name", "deletionDate"}
	default:
		name = s.arnName()
		shape = [][]string{{"arn", "name", "versionId"}, {"arn"}, nil}[s.choose("response of "+r.EventName, 3)]
	}
	r.ResponseElements = nil
	for _, member := range shape {
		value, ok := answer[member]
		spelled := member
		if member == "arn" {
			value, ok = answer["aRN"]
			spelled = name
		}
		if ok && r.ResponseElements == nil {
			r.ResponseElements = map[string]any{}
		}
		if ok {
			r.ResponseElements[spelled] = value
		}
	}
}

func (s *Service) arnName() string { return []string{"arn", "aRN"}[s.choose("arn", 2)] }

// recordEach records a GetSecretValue for each secret that BatchGetSecretValue
// read, as Secrets Manager does on behalf of the caller.
func (s *Service) recordEach(batch record, c wire.Served) {
	var answer struct {
		SecretValues []struct{ ARN string }
	}
	if json.Unmarshal(c.Answer, &answer) != nil {
		return
	}
	for _, v := range answer.SecretValues {
		r := batch
		r.EventName, r.RequestID, r.TLSDetails = "GetSecretValue", batch.RequestID+":"+v.ARN, nil
		r.SourceIPAddress, r.UserAgent = principal, principal
		r.UserIdentity.InvokedBy, r.UserIdentity.AccessKeyID = principal, ""
		r.RequestParameters = map[string]any{"secretId": v.ARN}
		s.keep(c.Received, r, v.ARN)
	}
}

const principal = "secretsmanager.amazonaws.com"

// RecordService records what Secrets Manager did by itself. "Secret Label
// Updated" is no event of CloudTrail: it goes to EventBridge alone.
func (s *Service) RecordService(e secretsmanager.Event) {
	if e.Name == secretsmanager.SecretLabelUpdated {
		return
	}
	r := record{
		EventVersion:    []string{"1.08", "1.11"}[s.choose("version of service events", 2)],
		UserIdentity:    identity{AccountID: s.options.Account, InvokedBy: principal},
		EventSource:     principal,
		EventName:       e.Name,
		SourceIPAddress: principal,
		UserAgent:       principal,
		ErrorMessage:    e.ErrorMessage, // without an errorCode
		RequestID:       "Rotation-" + e.SecretARN + "-" + e.VersionID,
		EventType:       serviceEvent,
	}
	place := placeSecretID
	switch e.Name {
	case secretsmanager.RotationSucceeded, secretsmanager.RotationFailed: // as seen
	case secretsmanager.StartSecretVersionDelete, secretsmanager.EndSecretVersionDelete: // as seen, of a deletion by force
		place = placeARN
		r.RequestID = "SecretDeleteMessage:" + e.SecretARN + ":" + e.Time.UTC().Format("2006-01-02T15:04:00Z") + ":Forced"
	default:
		place = s.choose("place of the secret in "+e.Name, places)
		r.RequestID = s.requestID(e)
	}
	s.place(&r, place, e)
	s.keep(e.Time, r, e.SecretARN)
}

// Where a service event names its secret. The first two were seen.
const (
	placeSecretID = iota
	placeARN
	placeDetails
	placeResources
	places
)

func (s *Service) place(r *record, place int, e secretsmanager.Event) {
	switch place {
	case placeSecretID:
		r.AdditionalEventData = members("SecretId", e.SecretARN)
	case placeARN:
		r.AdditionalEventData = members("ARN", e.SecretARN, "Name", e.SecretName)
	case placeDetails:
		r.ServiceEventDetails = members("secretId", e.SecretARN)
	case placeResources:
		r.Resources = []resource{{s.options.Account, secretType, e.SecretARN}}
	}
}

// requestID returns one of the forms that the id of an event may have of which
// no record was found; "" has keep make a UUID.
func (s *Service) requestID(e secretsmanager.Event) string {
	prefix := "Rotation-"
	switch {
	case strings.HasPrefix(e.Name, "TestRotation") && s.choose("request id of tests", 2) == 1:
		prefix = "TestRotation-"
	case s.choose("request id of "+e.Name, 2) == 1 || e.VersionID == "":
		return ""
	}
	return prefix + e.SecretARN + "-" + e.VersionID
}

// members returns a JSON object of names and values.
func members(pairs ...string) json.RawMessage {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	b, _ := json.Marshal(m) // strings always have a form in JSON
	return b
}
