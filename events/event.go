package events

import "time"

// Kind is what happened.
type Kind string

// The kinds that are told apart. Whatever else is delivered is Unknown.
const (
	Unknown Kind = "unknown"

	// What Secrets Manager did by itself.
	RotationStarted       Kind = "RotationStarted"
	RotationSucceeded     Kind = "RotationSucceeded"
	RotationFailed        Kind = "RotationFailed"
	RotationAbandoned     Kind = "RotationAbandoned"
	TestRotationStarted   Kind = "TestRotationStarted" // of RotateSecret with RotateImmediately false
	TestRotationSucceeded Kind = "TestRotationSucceeded"
	TestRotationFailed    Kind = "TestRotationFailed"
	DeletionStarted       Kind = "StartSecretVersionDelete"
	DeletionEnded         Kind = "EndSecretVersionDelete"
	DeletionCancelled     Kind = "CancelSecretVersionDelete"
	VersionDeleted        Kind = "SecretVersionDeletion" // a version without labels was purged

	// What somebody asked of Secrets Manager, granted or not: see Event.Refused.
	RotateSecret             Kind = "RotateSecret"
	CancelRotateSecret       Kind = "CancelRotateSecret"
	PutSecretValue           Kind = "PutSecretValue"
	UpdateSecret             Kind = "UpdateSecret"
	UpdateSecretVersionStage Kind = "UpdateSecretVersionStage"
	DeleteSecret             Kind = "DeleteSecret"
	RestoreSecret            Kind = "RestoreSecret"
	PutResourcePolicy        Kind = "PutResourcePolicy"
	DeleteResourcePolicy     Kind = "DeleteResourcePolicy"
	TagResource              Kind = "TagResource"
	UntagResource            Kind = "UntagResource"
	GetSecretValue           Kind = "GetSecretValue"

	// LabelUpdated is Secrets Manager's own event: a label other than AWSPENDING and AWSPREVIOUS moved.
	LabelUpdated Kind = "Secret Label Updated"
	// Sweep is the schedule: look at every secret.
	Sweep Kind = "sweep"
	// Check is a part of a sweep: look at one secret.
	Check Kind = "check"
	// Report asks for the report of a period.
	Report Kind = "report"
)

// Event is one occurrence. Only Decode makes one. Beside Kind, ID and the envelope's fields, a field is
// there when the record told it. Texts that people can choose (Principal, Refusal, Message) are hostile.
type Event struct {
	Kind Kind
	ID   string    // CloudTrail's event id, or the envelope's: the same for each delivery of one occurrence
	At   time.Time // when it happened, UTC, to the second
	// Account and Region are where it was delivered from.
	Account, Region string
	// Source, DetailType and Name are what an Unknown event was dispatched by.
	Source, DetailType, Name string

	Secret SecretID // none for Sweep, Report and, maybe, for a refused call
	// Version is the version that it is about: the rotation's token, the new version of a put, the one that
	// gets a label, the one that was read.
	Version string
	// Labels are those that moved to Version. PutSecretValue without labels moves AWSCURRENT.
	Labels []string
	// From is the version that loses the label, for UpdateSecretVersionStage.
	From string

	By Principal

	// Refusal is CloudTrail's error code of a call that was not granted: nothing changed.
	Refusal string
	// Message is CloudTrail's error message, of a refused call or a failed rotation.
	Message string
	// Step and Function are read from a RotationFailed message that has the documented form. Function is
	// also the ARN that a RotateSecret call sent.
	Step, Function string
	// Period is what a Report is of: a day as 2006-01-02, or a month as 2006-01.
	Period string
	// Forced says that DeleteSecret left no recovery window.
	Forced bool
}

// Refused says that the call was not granted, so that nothing changed.
func (e Event) Refused() bool { return e.Refusal != "" }

// In says that the event and its secret are of an account and Region.
func (e Event) In(account, region string) bool {
	return e.Account == account && e.Region == region && e.Secret.In(account, region)
}

// Principal is who called.
type Principal struct {
	ARN string // of the user or of the role's session; empty for AWS services
	// Role is the ARN of the role behind an assumed role's session: what policies and settings name.
	Role    string
	Session string // the name that the caller gave the session
	Account string
	Service string // the AWS service that called on somebody's behalf
	Address string // an IP address, or the name of a service
}

// String names the principal as a person would look it up: the role before its session.
func (p Principal) String() string {
	for _, name := range []string{p.Role, p.ARN, p.Service, p.Account} {
		if name != "" {
			return name
		}
	}
	return ""
}
