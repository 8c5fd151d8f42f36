package iam

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// question is a call off the wire, read as far as IAM needs it.
type question struct {
	wire.Request
	gate *Gate
	http *http.Request
	json map[string]any
	form url.Values // members of the query protocol, or parameters of the URL
}

// newQuestion reads a request. A body that cannot be read has no members: the
// service will say so.
func newQuestion(g *Gate, r wire.Request, hr *http.Request) *question {
	q := &question{Request: r, gate: g, http: hr, form: hr.URL.Query()}
	switch {
	case hr.Header.Get("X-Amz-Target") != "", r.Service == "lambda" && r.Action != "Invoke":
		_ = json.Unmarshal(r.Body, &q.json)
	case strings.HasPrefix(hr.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		if form, err := url.ParseQuery(string(r.Body)); err == nil {
			q.form = form
		}
	}
	return q
}

// members returns the texts of a member, a parameter or a header.
func (q *question) members(name string) []string {
	if q.json != nil {
		return scalars(q.json[name])
	}
	if values := q.form[name]; len(values) > 0 {
		return values
	}
	return q.http.Header.Values(name)
}

// member returns the first text of a member.
func (q *question) member(name string) string {
	if v := q.members(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// has tells whether a request has a member that says something.
func (q *question) has(name string) bool {
	if list, ok := q.json[name].([]any); ok {
		return len(list) > 0
	}
	v := q.member(name)
	return v != "" && v != "false"
}

// scalars returns a JSON value's texts; those of a list are its members'.
func scalars(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{strconv.FormatBool(v)}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case []any:
		for _, e := range v {
			list = append(list, scalars(e)...)
		}
	}
	return list
}

// applies tells whether the request needs a permission at all.
func (n need) applies(q *question) bool {
	return (n.present == "" || q.has(n.present)) && (n.absent == "" || !q.has(n.absent))
}

// keys returns the condition keys of a permission that come from the request
// and the resource.
func (q *question) keys(n need, on resource) Keys {
	k := Keys{
		"aws:SourceIp":  {q.SourceIP},
		"aws:UserAgent": {q.UserAgent},
	}
	if until, err := date(q.member("x-amz-object-lock-retain-until-date")); err == nil && q.Service == "s3" {
		days := until.Sub(q.gate.engine.options.Now()).Hours() / 24
		k["s3:object-lock-remaining-retention-days"] = []string{strconv.Itoa(int(math.Ceil(days)))}
	}
	for key, member := range n.keys {
		k[key] = q.members(member)
	}
	for name, value := range q.requestTags() {
		k["aws:RequestTag/"+name] = []string{value}
		k["aws:TagKeys"] = append(k["aws:TagKeys"], name)
	}
	k["aws:TagKeys"] = append(k["aws:TagKeys"], scalars(q.json["TagKeys"])...) // of tags that go
	slices.Sort(k["aws:TagKeys"])
	return k.with(on.keys)
}

// requestTags returns the tags that a request sets.
func (q *question) requestTags() map[string]string {
	tags := map[string]string{}
	list, _ := q.json["Tags"].([]any)
	for _, e := range list {
		t, _ := e.(map[string]any)
		name, value := scalars(t["Key"]), scalars(t["Value"])
		if len(name) == 1 {
			tags[name[0]] = strings.Join(value, "")
		}
	}
	return tags
}
