package wire

import (
	"cmp"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"strings"
)

const (
	jsonType   = "application/x-amz-json-1.1"
	json10Type = "application/x-amz-json-1.0"
)

// Error is an error as AWS answers it.
type Error struct {
	Code    string // ResourceNotFoundException
	Message string // may be empty: some modelled errors have no message
	Status  int    // 0 is 400
	// Query is the code that the error had when its service spoke the query
	// protocol; SQS sends it along in a header, and SDKs show it as the code.
	Query string
	// Members are further members of the modelled error. A "message" here
	// takes the place of Message, for the shapes that spell it in lower case.
	Members map[string]any
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

func (e *Error) status() int { return cmp.Or(e.Status, http.StatusBadRequest) }

// ErrDropped, returned by a service or a fault, closes the connection without
// a reply.
var ErrDropped = errors.New("reply dropped")

// UnknownOperation is the error for an action that a service does not have.
func UnknownOperation() *Error { return &Error{Code: "UnknownOperationException"} }

// asError returns the error to answer for any error of a service.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}

// common are the errors of AWS's own front, which spell "message" in lower
// case whatever the service.
var common = map[string]bool{
	"IncompleteSignatureException":        true,
	"InternalFailure":                     true,
	"InvalidSignatureException":           true,
	"MissingAuthenticationTokenException": true,
	"RequestEntityTooLargeException":      true,
	"SerializationException":              true,
	"ServiceUnavailableException":         true,
	"ThrottlingException":                 true,
	"UnknownOperationException":           true,
	"ValidationException":                 true,
}

// dialect is how a protocol spells errors.
type dialect int

const (
	json11 dialect = iota
	json10
	restJSON
	queryXML
	ec2XML
	s3XML
)

func dialectOf(service string, r *http.Request) dialect {
	switch {
	case service == "s3":
		return s3XML
	case service == "ec2":
		return ec2XML
	case r.Header.Get("X-Amz-Target") != "":
		return jsonDialect(r)
	case isForm(r), r.URL.Query().Get("Action") != "":
		return queryXML
	case service == "" && r.Method == http.MethodPost:
		return json11
	default:
		return restJSON
	}
}

// jsonDialect tells the two versions of AWS JSON apart, which differ in the
// name of their content type.
func jsonDialect(r *http.Request) dialect {
	if strings.HasPrefix(r.Header.Get("Content-Type"), json10Type) {
		return json10
	}
	return json11
}

// contentType is that of answers in AWS JSON.
func (d dialect) contentType() string {
	if d == json10 {
		return json10Type
	}
	return jsonType
}

// encode returns the body of an error and sets its headers.
func (d dialect) encode(h http.Header, e *Error, r Request) []byte {
	switch d {
	case queryXML:
		return xmlError(h, queryError{XMLName: xml.Name{Space: r.namespace, Local: "ErrorResponse"}, Type: sender(e), Code: e.Code, Message: e.Message, RequestID: r.ID})
	case ec2XML:
		return xmlError(h, ec2Error{Code: e.Code, Message: e.Message, RequestID: r.ID})
	case s3XML:
		h.Set("x-amz-request-id", r.ID)
		return xmlError(h, s3Error{Code: e.Code, Message: e.Message, RequestID: r.ID})
	}
	h.Set("Content-Type", d.contentType())
	h.Set("x-amzn-ErrorType", e.Code)
	if e.Query != "" {
		h.Set("x-amzn-query-error", e.Query+";"+sender(e))
	}
	m := map[string]any{}
	maps.Copy(m, e.Members)
	if d != restJSON {
		m["__type"] = e.Code
	} else {
		h.Set("Content-Type", "application/json")
		m["Type"] = map[string]string{"Sender": "User", "Receiver": "Service"}[sender(e)]
	}
	if _, spelled := m["message"]; !spelled && e.Message != "" {
		if d == json10 || d == json11 && common[e.Code] { // SQS, which alone speaks 1.0 here, has lower case in its model
			m["message"] = e.Message
		} else {
			m["Message"] = e.Message
		}
	}
	text, err := Encode(m)
	if err != nil { // only Members that cannot be encoded
		text, _ = Encode(map[string]any{"__type": "InternalFailure", "message": err.Error()})
	}
	return text
}

func sender(e *Error) string {
	if e.status() >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

type queryError struct {
	XMLName   xml.Name
	Type      string `xml:"Error>Type"`
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

type ec2Error struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string   `xml:"RequestID"`
}

type s3Error struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string   `xml:"Code"`
	Message   string   `xml:"Message"`
	RequestID string   `xml:"RequestId"`
}

func xmlError(h http.Header, v any) []byte {
	h.Set("Content-Type", "text/xml")
	b, err := xml.Marshal(v)
	if err != nil {
		return nil
	}
	return append([]byte(xml.Header), b...)
}
