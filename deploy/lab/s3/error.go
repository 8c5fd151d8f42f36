package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"net/http"

	"github.com/johannesboyne/gofakes3"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// hostID stands for the machine that answered.
const hostID = "bGFiLWxhYi1sYWItbGFiLWxhYi1sYWItbGFiLWxhYi1sYWItbGFi"

// Codes that gofakes3 does not have.
const (
	errAccessDenied    gofakes3.ErrorCode = "AccessDenied"
	errBucketOwned     gofakes3.ErrorCode = "BucketAlreadyOwnedByYou"
	errBucketState     gofakes3.ErrorCode = "InvalidBucketState"
	errInvalidRequest  gofakes3.ErrorCode = "InvalidRequest"
	errMalformedPolicy gofakes3.ErrorCode = "MalformedPolicy"
	errNoBlock         gofakes3.ErrorCode = "NoSuchPublicAccessBlockConfiguration"
	errNoLock          gofakes3.ErrorCode = "ObjectLockConfigurationNotFoundError"
	errNoPolicy        gofakes3.ErrorCode = "NoSuchBucketPolicy"
	errNoRetention     gofakes3.ErrorCode = "NoSuchObjectLockConfiguration"
	errSHA256          gofakes3.ErrorCode = "XAmzContentSHA256Mismatch"
)

// texts are the messages of AWS for errors that bring none.
var texts = map[gofakes3.ErrorCode]string{
	errAccessDenied:                        "Access Denied",
	errBucketOwned:                         "Your previous request to create the named bucket succeeded and you already own it.",
	errNoBlock:                             "The public access block configuration was not found",
	errNoLock:                              "Object Lock configuration does not exist for this bucket",
	errNoPolicy:                            "The bucket policy does not exist",
	errNoRetention:                         "The specified object does not have a ObjectLock configuration",
	errSHA256:                              "The provided 'x-amz-content-sha256' header does not match what was computed.",
	gofakes3.ErrBadDigest:                  "The Content-MD5 you specified did not match what we received.",
	gofakes3.ErrBucketNotEmpty:             "The bucket you tried to delete is not empty",
	gofakes3.ErrConditionalRequestConflict: "The conditional request cannot succeed due to a conflicting operation against this resource.",
	gofakes3.ErrIncompleteBody:             "The request body terminated unexpectedly",
	gofakes3.ErrInternal:                   "We encountered an internal error. Please try again.",
	gofakes3.ErrInvalidDigest:              "The Content-MD5 you specified was invalid.",
	gofakes3.ErrInvalidRange:               "The requested range is not satisfiable",
	gofakes3.ErrKeyTooLong:                 "Your key is too long",
	gofakes3.ErrMalformedXML:               "The XML you provided was not well-formed or did not validate against our published schema",
	gofakes3.ErrMetadataTooLarge:           "Your metadata headers exceed the maximum allowed metadata size",
	gofakes3.ErrMethodNotAllowed:           "The specified method is not allowed against this resource.",
	gofakes3.ErrMissingContentLength:       "You must provide the Content-Length HTTP header.",
	gofakes3.ErrNoSuchBucket:               "The specified bucket does not exist",
	gofakes3.ErrNoSuchKey:                  "The specified key does not exist.",
	gofakes3.ErrNoSuchVersion:              "The specified version does not exist.",
	gofakes3.ErrNotImplemented:             "A header you provided implies functionality that is not implemented",
	gofakes3.ErrPreconditionFailed:         "At least one of the pre-conditions you specified did not hold",
}

// statusOf returns the HTTP status of a code.
func statusOf(code gofakes3.ErrorCode) int {
	switch code {
	case errAccessDenied:
		return http.StatusForbidden
	case errBucketOwned, errBucketState:
		return http.StatusConflict
	case errInvalidRequest, errMalformedPolicy, errSHA256:
		return http.StatusBadRequest
	case errNoBlock, errNoLock, errNoPolicy, errNoRetention:
		return http.StatusNotFound
	case gofakes3.ErrMethodNotAllowed:
		return http.StatusMethodNotAllowed
	default:
		return code.Status()
	}
}

// refusal is the body of an error.
type refusal struct {
	XMLName   xml.Name `xml:"Error"`
	Code      gofakes3.ErrorCode
	Message   string
	Resource  string `xml:",omitempty"`
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

// refuse returns an error with a message of its own.
func refuse(code gofakes3.ErrorCode, message string) error {
	return gofakes3.ErrorMessage(code, message)
}

// describe returns the code and message of any error. Those that are not of S3
// are internal.
func describe(err error) (gofakes3.ErrorCode, string) {
	switch err := err.(type) {
	case *gofakes3.ErrorResponse:
		return err.Code, cmp.Or(err.Message, texts[err.Code])
	case gofakes3.Error:
		return err.ErrorCode(), texts[err.ErrorCode()]
	default:
		return gofakes3.ErrInternal, texts[gofakes3.ErrInternal] + " " + err.Error()
	}
}

func writeError(w http.ResponseWriter, r *http.Request, err error) {
	code, message := describe(err)
	status := statusOf(code)
	if status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	writeXML(w, refusal{Code: code, Message: message, Resource: r.URL.Path,
		RequestID: wire.RequestFrom(r.Context()).ID, HostID: hostID})
}

func writeXML(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/xml")
	b, _ := xml.Marshal(v) // plain structs of strings always have a form
	_, _ = w.Write(append([]byte(xml.Header), b...))
}

// denied is the refusal of a permission that no policy of the caller grants.
func denied(r *http.Request, permission, resource string) error {
	return refuse(errAccessDenied, denial(wire.IdentityFrom(r.Context()).ARN, permission, ` on resource: "`+resource+`"`))
}

func denial(caller, permission, where string) string {
	return "User: " + caller + " is not authorized to perform: " + permission + where +
		" because no identity-based policy allows the " + permission + " action"
}

// Deny is a wire.Fault's Do that answers as S3 does when no policy allows the
// call.
func Deny(_ context.Context, r wire.Request) error {
	return &wire.Error{Code: string(errAccessDenied), Status: http.StatusForbidden,
		Message: denial(r.Caller.ARN, cmp.Or(permissions[r.Action], "s3:"+r.Action), "")}
}

// SlowDown is a wire.Fault's Do that answers as S3 does above a rate.
func SlowDown(context.Context, wire.Request) error {
	return &wire.Error{Code: "SlowDown", Status: http.StatusServiceUnavailable, Message: "Please reduce your request rate."}
}

// Unavailable is a wire.Fault's Do that answers with S3's status 503.
func Unavailable(context.Context, wire.Request) error {
	return &wire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "Please reduce your request rate."}
}

// Conflict is a wire.Fault's Do that answers 409 to the call whatever its
// conditions; see also Options.ConflictRate.
func Conflict(context.Context, wire.Request) error {
	code := gofakes3.ErrConditionalRequestConflict
	return &wire.Error{Code: string(code), Status: statusOf(code), Message: texts[code]}
}
