package ec2

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// ask returns the ids in the answer to a call, or its error's code.
func ask(t *testing.T, form url.Values) (ids []string, token, code string) {
	t.Helper()
	instances := []Instance{
		{"i-3", "stopped", map[string]string{"Fleet": "a*b", "Path": "x/y"}},
		{"i-1", "running", map[string]string{"Fleet": "prod"}},
		{"i-2", "running", map[string]string{"Fleet": "aXb"}},
	}
	for i := range 6 {
		instances = append(instances, Instance{fmt.Sprintf("i-9%d", i), "terminated", nil})
	}
	hr := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	Handler(func() []Instance { return slices.Clone(instances) }).ServeHTTP(w, hr)
	var got struct {
		IDs   []string `xml:"reservationSet>item>instancesSet>item>instanceId"`
		Token string   `xml:"nextToken"`
		Code  string   `xml:"Errors>Error>Code"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got.IDs, got.Token, got.Code
}

func TestFiltersAndPages(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ form, want, code string }{
		{"", "i-1 i-2 i-3 i-90 i-91 i-92 i-93 i-94 i-95", ""},
		{"Filter.1.Name=instance-state-name&Filter.1.Value.1=running&Filter.1.Value.2=stopped", "i-1 i-2 i-3", ""},
		{"Filter.1.Name=tag:Fleet&Filter.1.Value.1=a*b", "i-2 i-3", ""},
		{`Filter.1.Name=tag:Fleet&Filter.1.Value.1=a\*b`, "i-3", ""},
		{"Filter.1.Name=tag:Path&Filter.1.Value.1=x*", "i-3", ""},
		{"Filter.1.Name=tag:Fleet&Filter.1.Value.1=p?od&Filter.2.Name=instance-id&Filter.2.Value.1=i-1&Filter.2.Value.2=i-unknown", "i-1", ""},
		{"MaxResults=5", "i-1 i-2 i-3 i-90 i-91", ""},
		{"MaxResults=5&NextToken=i-91", "i-92 i-93 i-94 i-95", ""},
		{"MaxResults=4", "", "InvalidParameterValue"},
		{"Filter.1.Name=vpc-id&Filter.1.Value.1=x", "", "InvalidParameterValue"},
	} {
		form, err := url.ParseQuery(row.form)
		if err != nil {
			t.Fatal(err)
		}
		form.Set("Action", "DescribeInstances")
		ids, token, code := ask(t, form)
		if got := strings.Join(ids, " "); got != row.want || code != row.code {
			t.Errorf("%s: %s %s, want %s %s", row.form, got, code, row.want, row.code)
		}
		if more := row.form == "MaxResults=5"; more != (token != "") {
			t.Errorf("%s: token %q", row.form, token)
		}
	}
}
