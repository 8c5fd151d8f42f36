package sqs

import (
	"fmt"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// modelled is an error of the model with the code it had in the query
// protocol, which boto3 and awscli show. AWS puts a namespace before the code,
// which clients cut off.
func modelled(code, query, message string) *wire.Error {
	return &wire.Error{Code: code, Query: query, Message: message}
}

func errNoQueue() *wire.Error {
	return modelled("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

func errQueueExists(attribute string) *wire.Error {
	return modelled("QueueNameExists", "QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute "+attribute)
}

func errQueueDeleted() *wire.Error {
	return modelled("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently",
		"You must wait 60 seconds after deleting a queue before you can create another with the same name.")
}

func errPurging(name string) *wire.Error {
	e := modelled("PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress",
		"Only one PurgeQueue operation on "+name+" is allowed every 60 seconds.")
	e.Status = 403
	return e
}

// errValue is not in the model of most actions, but what AWS answers.
func errValue(value, parameter, reason string) *wire.Error {
	return errParameter(fmt.Sprintf("Value %s for parameter %s is invalid. Reason: %s", value, parameter, reason))
}

func errParameter(message string) *wire.Error {
	return modelled("InvalidParameterValueException", "InvalidParameterValue", message)
}

func errMissing(parameter string) *wire.Error {
	return modelled("MissingRequiredParameterException", "MissingParameter", "The request must contain the parameter "+parameter+".")
}

func errAttributeName(name string) *wire.Error {
	return modelled("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute "+name+".")
}

func errAttributeValue(name string) *wire.Error {
	return modelled("InvalidAttributeValue", "InvalidAttributeValue", "Invalid value for the parameter "+name+".")
}

func errHandle(handle string) *wire.Error {
	return modelled("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", `The input receipt handle "`+handle+`" is not a valid receipt handle.`)
}

func errNotInFlight(handle string) *wire.Error {
	return errValue(handle, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change.")
}

func errTooMany(n int) *wire.Error {
	return modelled("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
		fmt.Sprintf("Maximum number of entries per request are 10. You have sent %d.", n))
}

func errEmptyBatch() *wire.Error {
	return modelled("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one "+
		"entry in the request.")
}

func errBatchID() *wire.Error {
	return modelled("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId",
		"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
}

func errSameBatchID(id string) *wire.Error {
	return modelled("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id "+id+" repeated.")
}

func errBatchTooLong(size int) *wire.Error {
	return modelled("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
		fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessage, size))
}

func errInvalidContents() *wire.Error {
	return modelled("InvalidMessageContents", "InvalidMessageContents",
		"Invalid binary character was found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
}

func errDenied(caller wire.Identity, action, arn string) *wire.Error {
	e := modelled("AccessDeniedException", "AccessDenied", "User: "+caller.ARN+" is not authorized to perform: sqs:"+action+" on resource: "+arn+
		" because no identity-based policy allows the sqs:"+action+" action")
	e.Status = 403
	return e
}

// errServiceDenied is what a service that delivers to a queue is told; no
// caller sees it.
func errServiceDenied(principal, arn string) *wire.Error {
	e := modelled("AccessDeniedException", "AccessDenied", principal+" is not authorized to perform: sqs:sendmessage on resource: "+arn+
		" because no resource-based policy allows the sqs:sendmessage action")
	e.Status = 403
	return e
}

// errKey is what a service is told that delivers to a queue under a key that
// does not let it.
func errKey(q *queue) *wire.Error {
	return modelled("KmsAccessDenied", "KMS.AccessDeniedException", "The key "+q.attributes["KmsMasterKeyId"]+" of "+q.arn+" does not let the service use it.")
}
