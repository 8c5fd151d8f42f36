package wire

import (
	"net/http"
	"net/url"
	"strings"
)

// scope is what SigV4 says in clear about a request: who, where, which
// service.
type scope struct {
	accessKey, region, service string
}

// scopeOf reads the Credential of the Authorization header, or of a presigned
// URL. An unsigned call that is taken nevertheless has no access key and no
// Region.
func scopeOf(r *http.Request) (scope, error) {
	credential := ""
	if h := r.Header.Get("Authorization"); h != "" {
		rest, ok := strings.CutPrefix(h, "AWS4-HMAC-SHA256")
		if !ok {
			return scope{}, &Error{Code: "IncompleteSignatureException", Message: "Authorization header requires 'AWS4-HMAC-SHA256'."}
		}
		for part := range strings.SplitSeq(rest, ",") {
			if c, ok := strings.CutPrefix(strings.TrimSpace(part), "Credential="); ok {
				credential = c
			}
		}
		if credential == "" {
			return scope{}, &Error{Code: "IncompleteSignatureException", Message: "Authorization header requires 'Credential' parameter."}
		}
	} else if service, ok := unsigned[r.URL.Query().Get("Action")]; ok {
		return scope{service: service}, nil
	} else if credential = r.URL.Query().Get("X-Amz-Credential"); credential == "" {
		return scope{}, &Error{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"}
	}
	p := strings.Split(credential, "/") // KEY/20261101/us-east-1/secretsmanager/aws4_request
	if len(p) != 5 || p[0] == "" || p[2] == "" || p[3] == "" || p[4] != "aws4_request" {
		return scope{}, &Error{Code: "IncompleteSignatureException", Message: "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + credential + "'"}
	}
	return scope{accessKey: p[0], region: p[2], service: p[3]}, nil
}

// unsigned are the actions that AWS takes from anybody: those behind the links
// that SNS sends to people.
var unsigned = map[string]string{"ConfirmSubscription": "sns", "Unsubscribe": "sns"}

// targets are the X-Amz-Target prefixes of the services whose clients were
// seen. CloudTrail has two: Go sends the first, botocore the second.
var targets = map[string][]string{
	"secretsmanager": {"secretsmanager"},
	"ssm":            {"AmazonSSM"},
	"events":         {"AWSEvents"},
	"logs":           {"Logs_20140328"},
	"cloudtrail":     {"CloudTrail_20131101", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101"},
	"sqs":            {"AmazonSQS"},
	"tagging":        {"ResourceGroupsTaggingAPI_20170126"},
}

// targetAction returns the action of an X-Amz-Target header.
func targetAction(service, target string) (string, error) {
	i := strings.LastIndexByte(target, '.')
	if i < 0 || i+1 == len(target) {
		return "", UnknownOperation()
	}
	known, ok := targets[service]
	if !ok {
		return target[i+1:], nil
	}
	for _, prefix := range known {
		if target[:i] == prefix {
			return target[i+1:], nil
		}
	}
	return "", UnknownOperation()
}

// queryAction returns the Action of a request in the query protocol, or "".
func queryAction(r *http.Request, body []byte) string {
	if a := r.URL.Query().Get("Action"); a != "" {
		return a
	}
	if !isForm(r) {
		return ""
	}
	v, _ := url.ParseQuery(string(body))
	return v.Get("Action")
}

func isForm(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}
