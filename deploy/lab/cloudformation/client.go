package cloudformation

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// client makes the calls of a stack operation to the lab's services, with the
// access key of whoever asked for the operation, as CloudFormation does where a
// stack has no role of its own. They go the way of all calls, so that they are
// recorded, judged and made to fail as those are.
type client struct {
	front     http.Handler
	region    string
	accessKey string
}

// source is where CloudTrail says that CloudFormation's calls come from.
const source = "cloudformation.amazonaws.com"

// refusal is the error of a call.
type refusal struct {
	Service, Code, Message string
	Status                 int
	RequestID              string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s (Service: %s, Status Code: %d, Request ID: %s)", r.Message, r.Service, r.Status, r.RequestID)
}

// isCode tells whether an error is a refusal with one of some codes.
func isCode(err error, codes ...string) bool {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if r.Code == c {
			return true
		}
	}
	return false
}

// json calls an action of AWS JSON by its target, "AmazonSSM.CreateDocument".
func (c client) json(ctx context.Context, service, target string, in, out any) error {
	body, err := marshal(in)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, service, http.MethodPost, "/", http.Header{
		"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {target},
	}, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// do makes any call and returns the body of its answer.
func (c client) do(ctx context.Context, service, method, path string, header http.Header, body []byte) (_ []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("User-Agent", source)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.accessKey+"/20260101/"+c.region+"/"+service+
		"/aws4_request, SignedHeaders=host, Signature=0")
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), source+":443"
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			err = errors.New("the connection was closed")
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	c.front.ServeHTTP(w, r)
	answer := w.Body.Bytes()
	if w.Code < 300 {
		return answer, nil
	}
	e := &refusal{Service: serviceNames[service], Status: w.Code, RequestID: w.Header().Get("X-Amzn-Requestid")}
	e.read(w.Header(), answer)
	return nil, e
}

// serviceNames are as the errors of the SDK for Java, which CloudFormation's
// handlers are written with, spell them.
var serviceNames = map[string]string{
	"s3": "S3", "ssm": "Ssm", "secretsmanager": "SecretsManager", "sns": "Sns", "sqs": "Sqs", "events": "EventBridge",
	"scheduler": "Scheduler", "lambda": "Lambda", "cloudtrail": "CloudTrail", "logs": "CloudWatchLogs",
}

// read takes code and message out of an error in JSON or XML.
func (r *refusal) read(h http.Header, body []byte) {
	r.Code, _, _ = strings.Cut(h.Get("X-Amzn-Errortype"), ":")
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		var e struct {
			Code, Message string
			Error         struct{ Code, Message string }
		}
		_ = xml.Unmarshal(body, &e) // what is not XML has no code
		r.Code, r.Message = e.Code+e.Error.Code, e.Message+e.Error.Message
		return
	}
	var e struct {
		Type    string `json:"__type"`
		Message string // any case
	}
	_ = json.Unmarshal(body, &e)
	if r.Code == "" {
		r.Code = e.Type
	}
	r.Message = e.Message
	if r.Message == "" {
		r.Message = r.Code
	}
}

// marshal writes JSON whose strings stand as they are: a document's hash is of
// each byte.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// escaped makes a path of an object's key.
func escaped(parts ...string) string {
	var path strings.Builder
	for _, part := range parts {
		path.WriteByte('/')
		path.WriteString(strings.ReplaceAll(url.PathEscape(part), "%2F", "/"))
	}
	return path.String()
}
