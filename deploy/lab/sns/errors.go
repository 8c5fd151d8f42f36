package sns

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func errParameter(about string) *wire.Error {
	return &wire.Error{Code: "InvalidParameter", Message: "Invalid parameter: " + about}
}

func errNoTopic() *wire.Error {
	return &wire.Error{Code: "NotFound", Message: "Topic does not exist", Status: http.StatusNotFound}
}

func errNoSubscription() *wire.Error {
	return &wire.Error{Code: "NotFound", Message: "Subscription does not exist", Status: http.StatusNotFound}
}

func errAttribute(message string) *wire.Error {
	return &wire.Error{Code: "ParameterValueInvalid", Message: message}
}

// errNull is what AWS's front says of a member that is missing.
func errNull(path string) *wire.Error {
	return &wire.Error{Code: "ValidationError", Message: "1 validation error detected: Value null at '" + path +
		"' failed to satisfy constraint: Member must not be null"}
}

func errDenied(caller wire.Identity, action, arn string) *wire.Error {
	return &wire.Error{Code: "AuthorizationError", Status: http.StatusForbidden, Message: "User: " + caller.ARN + " is not authorized to perform: SNS:" + action +
		" on resource: " + arn + " because no identity-based policy allows the SNS:" + action + " action"}
}

// errServiceDenied is what a service that publishes is told; no caller sees it.
func errServiceDenied(principal, arn string) *wire.Error {
	return &wire.Error{Code: "AuthorizationError", Status: http.StatusForbidden, Message: "User: " + principal + " is not authorized to perform: SNS:Publish on resource: " +
		arn + " because no resource-based policy allows the SNS:Publish action"}
}

// errKey is what a service is told that publishes to a topic under a key that
// does not let it.
func errKey(t *topic) *wire.Error {
	return &wire.Error{Code: "KMSAccessDenied", Message: "The key " + t.attributes["KmsMasterKeyId"] + " of " + t.arn + " does not let the service use it."}
}

// errNotHere refuses what the lab does not have.
func errNotHere(what string) *wire.Error { return errParameter("the lab has no " + what) }

// checkARN refuses what is no ARN of the service, in the words of AWS.
func checkARN(parameter, arn string) error {
	if arn == "" {
		return errParameter(parameter + " Reason: no value for required parameter")
	}
	if n := len(strings.Split(arn, ":")); n < 6 {
		return errParameter(fmt.Sprintf("%s Reason: An ARN must have at least 6 elements, not %d", parameter, n))
	}
	return nil
}
