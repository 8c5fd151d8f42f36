package ssm

import (
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// The errors of the service. "Recorded" means that this code and message were
// seen in answers of AWS; the other messages are the lab's own words for what
// AWS documents without a text. Errors without a message have none in AWS's
// model either, where they are an empty structure.

// Recorded. Callers of 2021 saw "Instances [[i-…]] not in a valid state for
// account 111122223333", those of 2026 this.
func errInstancesNotValid() error {
	return &wire.Error{Code: "InvalidInstanceId", Message: "Instances not in a valid state for account"}
}

// Recorded.
func errPlatform(id, platform string) error {
	return &wire.Error{Code: "UnsupportedPlatformType", Message: "Cannot perform operation for instance id " + id + " of platform type " + platform}
}

// Recorded.
func errNoParameters(document string) error {
	return &wire.Error{Code: "InvalidParameters", Message: "document " + document + " does not support parameters."}
}

// Recorded, for a value that is not among the allowed ones. AWS does not say
// which parameter is wrong or why; the lab says so in its log.
func errParameters() error {
	return &wire.Error{Code: "InvalidParameters", Message: "Parameters provided in document are invalid or not supported."}
}

func errParameterStore(names []string) error {
	return &wire.Error{Code: "InvalidParameters", Message: "Parameter Store parameters not found: [" + strings.Join(names, ", ") + "]"}
}

// Recorded.
func errNoDocument(name string) error {
	return &wire.Error{Code: "InvalidDocument", Message: "Document with name " + name + " does not exist."}
}

func errDocument(message string) error {
	return &wire.Error{Code: "InvalidDocument", Message: message}
}

func errDocumentVersion(name, version string) error {
	return &wire.Error{Code: "InvalidDocumentVersion", Message: "Version " + version + " of document " + name + " does not exist."}
}

// Recorded.
func errDocumentExists(name string) error {
	return &wire.Error{Code: "DocumentAlreadyExists", Message: "Document with same name " + name + " already exists"}
}

func errContent(message string) error {
	return &wire.Error{Code: "InvalidDocumentContent", Message: message}
}

func errSchemaVersion(message string) error {
	return &wire.Error{Code: "InvalidDocumentSchemaVersion", Message: message}
}

// Message of AWS's model.
func errDocumentSize() error {
	return &wire.Error{Code: "MaxDocumentSizeExceeded", Message: "The size limit of a document is 64 KB."}
}

// Message of AWS's model.
func errSameContent() error {
	return &wire.Error{Code: "DuplicateDocumentContent", Message: "The content of the association document matches another document. Change the content of the document and try again."}
}

// Message of AWS's model.
func errSameVersionName() error {
	return &wire.Error{Code: "DuplicateDocumentVersionName", Message: "The version name has already been used in this document. Specify a different version name, and then try again."}
}

func errDocumentOperation(message string) error {
	return &wire.Error{Code: "InvalidDocumentOperation", Message: message}
}

func errUnknownInstances(ids []string) error {
	return &wire.Error{Code: "InvalidInstanceId", Message: "Managed nodes do not exist: [" + strings.Join(ids, ", ") + "]"}
}

func errValidation(message string) error {
	return &wire.Error{Code: "ValidationException", Message: message}
}

// Message of AWS's model.
func errNextToken() error {
	return &wire.Error{Code: "InvalidNextToken", Message: "The specified token isn't valid."}
}

func errFilterValue(message string) error {
	return &wire.Error{Code: "InvalidInstanceInformationFilterValue", Members: map[string]any{"message": message}}
}

func errFilterKey() error         { return &wire.Error{Code: "InvalidFilterKey"} }
func errCommandID() error         { return &wire.Error{Code: "InvalidCommandId"} }
func errPluginName() error        { return &wire.Error{Code: "InvalidPluginName"} }
func errNoInvocation() error      { return &wire.Error{Code: "InvocationDoesNotExist"} }
func errDuplicateInstance() error { return &wire.Error{Code: "DuplicateInstanceId"} }
func errResourceType() error      { return &wire.Error{Code: "InvalidResourceType"} }
func errResourceID() error        { return &wire.Error{Code: "InvalidResourceId"} }
