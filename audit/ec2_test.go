package audit

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// wire answers every call with a canned reply, and keeps what was asked.
func wire(t *testing.T, status int, replies ...string) (*EC2, *[]url.Values) {
	t.Helper()
	var asked []url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if scope := r.Header.Get("Authorization"); !strings.Contains(scope, "/eu-west-1/ec2/aws4_request") {
			t.Errorf("authorization %q", scope)
		}
		text, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(text))
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, form)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, replies[min(len(asked), len(replies))-1])
	}))
	t.Cleanup(server.Close)
	return NewEC2(aws.Config{Region: "eu-west-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")}), &asked
}

func page(token string, instances ...string) string {
	var items string
	for i := 0; i < len(instances); i += 2 {
		items += fmt.Sprintf(`<item><reservationId>r</reservationId><instancesSet><item><instanceId>%s</instanceId><instanceState><code>0</code><name>%s</name></instanceState></item></instancesSet></item>`, instances[i], instances[i+1])
	}
	return `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>x</requestId><reservationSet>` + items + `</reservationSet><nextToken>` + token + `</nextToken></DescribeInstancesResponse>`
}

func TestInstancesOfAllPagesAreReadAndEveryTagIsAsked(t *testing.T) {
	t.Parallel()
	const a, b = "i-0123456789abcdef0", "i-0123456789abcdef1"
	client, asked := wire(t, 200, page("more", b, "stopped"), page("", a, "running"))
	got, err := client.Tagged(t.Context(), fleet.Target{{Key: "Fleet", Value: "prod"}, {Key: "Team", Value: `a*b\c?`}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Instance{{a, true}, {b, false}}, got); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	form := (*asked)[0]
	for name, want := range map[string]string{
		"Action": "DescribeInstances", "Version": "2016-11-15",
		"Filter.2.Name": "tag:Fleet", "Filter.2.Value.1": "prod", "Filter.3.Name": "tag:Team", "Filter.3.Value.1": `a\*b\\c\?`,
	} {
		if form.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, form.Get(name), want)
		}
	}
	if len(*asked) != 2 || (*asked)[1].Get("NextToken") != "more" {
		t.Errorf("pages: %v", *asked)
	}
}

func TestOnlyInstancesThatEC2DoesNotKnowAreTerminated(t *testing.T) {
	t.Parallel()
	const there, gone = "i-0123456789abcdef0", "i-0123456789abcdef1"
	client, asked := wire(t, 200, page("", there, "stopped"))
	got, err := client.Terminated(t.Context(), []fleet.InstanceID{"mi-0123456789abcdef0", there, gone})
	if diff := cmp.Diff([]fleet.InstanceID{gone}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if form := (*asked)[0]; form.Get("Filter.1.Value.1") != there || form.Has("Filter.1.Value.3") {
		t.Errorf("asked %v", form)
	}
}

func TestAnErrorOfEC2IsTold(t *testing.T) {
	t.Parallel()
	client, asked := wire(t, 403, `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message></Error></Errors><RequestID>x</RequestID></Response>`)
	_, err := client.Tagged(t.Context(), fleet.Target{{Key: "Fleet", Value: "prod"}})
	if err == nil || !strings.Contains(err.Error(), "UnauthorizedOperation (403): You are not authorized.") || len(*asked) != 1 {
		t.Errorf("after %d calls: %v", len(*asked), err)
	}
}
