package cloudtrail

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// recorded are the services whose calls are recorded, those that speak AWS
// JSON, and the calls of them that are not management events.
var recorded = map[string][]string{
	"cloudtrail":     nil,
	"events":         {"PutEvents"},
	"secretsmanager": nil,
	"ssm":            nil,
	"tagging":        nil,
}

// reading begins the names of calls that change nothing.
var reading = []string{"BatchGet", "Describe", "Get", "List", "Lookup", "Test"}

// Record records a call that the wire front served: give it to
// [wire.Front.Observe].
func (s *Service) Record(c wire.Served) {
	data, known := recorded[c.Service]
	if !known || slices.Contains(data, c.Action) || c.ErrorCode == "UnknownOperationException" {
		return
	}
	r := record{
		EventVersion:    "1.11",
		UserIdentity:    identify(c.Caller, c.Received),
		EventSource:     c.Service + ".amazonaws.com",
		EventName:       c.Action,
		SourceIPAddress: c.SourceIP,
		UserAgent:       c.UserAgent,
		ErrorCode:       c.ErrorCode,
		ErrorMessage:    c.ErrorMessage,
		RequestID:       c.ID,
		ReadOnly:        slices.ContainsFunc(reading, func(p string) bool { return strings.HasPrefix(c.Action, p) }),
		EventType:       apiCall,
		TLSDetails: &tlsDetails{
			Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Host: c.Service + "." + s.options.Region + ".amazonaws.com", Exchange: "X25519MLKEM768",
		},
	}
	if strings.HasPrefix(r.ErrorCode, "AccessDenied") {
		r.ErrorCode = "AccessDenied"
	}
	r.RequestParameters = object(c.Body)
	hide(c.Service, r.RequestParameters)
	if c.ErrorCode == "" && !r.ReadOnly {
		r.ResponseElements = object(c.Answer)
		hide(c.Service, r.ResponseElements)
		dates(r.ResponseElements, dateFormats[s.choose("dates", len(dateFormats))])
	}
	secret := ""
	if c.Service == "secretsmanager" {
		secret = s.ofSecret(&r, c)
	}
	s.keep(c.Received, r, secret)
	if c.Action == "BatchGetSecretValue" && c.ErrorCode == "" {
		s.recordEach(r, c)
	}
}

// object reads a body and spells its members as CloudTrail does: every name
// with its first letter in lower case, so that ARN becomes aRN. It is nil when
// there are none.
func object(body []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var tree map[string]any
	if d.Decode(&tree) != nil || len(tree) == 0 {
		return nil
	}
	return lower(tree).(map[string]any)
}

func lower(tree any) any {
	switch tree := tree.(type) {
	case map[string]any:
		m := map[string]any{}
		for name, value := range tree {
			switch {
			case value == nil:
			case name == "Parameters" || name == "InputPathsMap": // maps of their callers
				m[lowerFirst(name)] = value
			default:
				m[lowerFirst(name)] = lower(value)
			}
		}
		return m
	case []any:
		list := make([]any, len(tree))
		for i, value := range tree {
			list[i] = lower(value)
		}
		return list
	default:
		return tree
	}
}

func lowerFirst(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToLower(name[:1]) + name[1:]
}

// hide takes out what CloudTrail does not show: the values of secrets are
// absent, the parameters of commands are masked.
func hide(service string, elements map[string]any) {
	switch service {
	case "secretsmanager":
		for _, name := range []string{"secretString", "secretBinary", "rotationToken"} {
			delete(elements, name)
		}
	case "ssm":
		mask(elements)
		if command, ok := elements["command"].(map[string]any); ok {
			mask(command)
		}
	}
}

func mask(elements map[string]any) {
	if _, ok := elements["parameters"]; ok {
		elements["parameters"] = hidden
	}
}

// dateFormats are the ways in which records were seen to spell a time in a
// response, and the one of current Java, with a narrow space.
var dateFormats = []string{"Jan 2, 2006 3:04:05 PM", "Jan 2, 2006, 3:04:05 PM", "Jan 2, 2006, 3:04:05\u202fPM"}

// dates spells the times of a response as a person would.
func dates(tree any, format string) {
	switch tree := tree.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			if n, ok := tree[name].(json.Number); ok && isDate(name) {
				if f, err := n.Float64(); err == nil {
					tree[name] = time.UnixMilli(int64(f * 1000)).UTC().Format(format)
				}
			}
			dates(tree[name], format)
		}
	case []any:
		for _, value := range tree {
			dates(value, format)
		}
	}
}

func isDate(name string) bool {
	return strings.HasSuffix(name, "Date") || strings.HasSuffix(name, "DateTime") || name == "expiresAfter"
}
