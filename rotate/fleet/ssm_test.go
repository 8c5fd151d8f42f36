package fleet

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// manager answers the calls of the real SDK through reply, and keeps the requests.
type manager struct {
	reply func(action string, in map[string]any) (status int, body string)
	seen  []string
	asked []map[string]any
}

func (m *manager) client(t *testing.T) *ssm.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.")
		text, _ := io.ReadAll(r.Body)
		in := map[string]any{}
		if err := json.Unmarshal(text, &in); err != nil {
			t.Errorf("request body: %v", err)
		}
		m.seen, m.asked = append(m.seen, action), append(m.asked, in)
		status, body := m.reply(action, in)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return ssm.New(ssm.Options{
		Region:           "us-east-1",
		BaseEndpoint:     &server.URL,
		Credentials:      credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		RetryMaxAttempts: 1,
	})
}

func testConfig() Config {
	all := func(n int) int { return n }
	return Config{
		Apply: DocumentRef{Name: ShellDocument}, Inspect: DocumentRef{Name: "inspect", Version: "3", Hash: strings.Repeat("a", 64)},
		MaxConcurrency: all, MaxErrors: all,
		DeliveryTimeout: 30 * time.Second, ExecutionTimeout: 5 * time.Second,
	}
}

func TestNodesOfAllPagesAreReadAndEveryTagIsAsked(t *testing.T) {
	t.Parallel()
	m := &manager{reply: func(_ string, in map[string]any) (int, string) {
		if in["NextToken"] == nil {
			return 200, `{"NextToken":"more","InstanceInformationList":[{"InstanceId":"mi-0123456789abcdef0","PlatformType":"Linux","PingStatus":"ConnectionLost"}]}`
		}
		return 200, `{"InstanceInformationList":[{"InstanceId":"i-0123456789abcdef0","PlatformType":"Linux","PingStatus":"Online","IPAddress":"10.0.0.1"}]}`
	}}
	nodes, err := New(testConfig(), m.client(t)).Nodes(t.Context(), Target{{"Keytrail", "yes"}, {"Team", "web servers"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Node{
		{ID: "i-0123456789abcdef0", Platform: "Linux", Online: true, Address: "10.0.0.1"},
		{ID: "mi-0123456789abcdef0", Platform: "Linux"},
	}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	filters := []any{
		map[string]any{"Key": "tag:Keytrail", "Values": []any{"yes"}},
		map[string]any{"Key": "tag:Team", "Values": []any{"web servers"}},
	}
	if diff := cmp.Diff(filters, m.asked[0]["Filters"]); diff != "" {
		t.Errorf("filters (-want +got):\n%s", diff)
	}
}

func TestNobodyIsAskedWhoIsOfflineOrRunsWindows(t *testing.T) {
	t.Parallel()
	m := &manager{reply: func(action string, _ map[string]any) (int, string) {
		t.Errorf("%s was called", action)
		return 500, `{}`
	}}
	order := Order{Action: Inspect, Users: []string{"a", "b"}}
	got, err := New(testConfig(), m.client(t)).Run(t.Context(), []Node{
		{ID: "mi-0123456789abcdef0", Platform: "Windows", Online: true},
		{ID: "i-0123456789abcdef0", Platform: "Linux"},
	}, order)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, o := range got {
		states = append(states, string(o.Host)+"/"+o.User+" "+string(o.State))
	}
	want := []string{
		"i-0123456789abcdef0/a unreachable", "i-0123456789abcdef0/b unreachable",
		"mi-0123456789abcdef0/a unsupported", "mi-0123456789abcdef0/b unsupported",
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// A caller who knows an order's generation gives it; every other order gets the time.
func TestAnOrderKeepsTheGenerationThatItHas(t *testing.T) {
	t.Parallel()
	for _, given := range []int64{0, 7} {
		before := time.Now().UnixMilli()
		var got int64
		m := &manager{reply: func(_ string, in map[string]any) (int, string) {
			for _, line := range in["Parameters"].(map[string]any)["commands"].([]any) {
				if _, err := fmt.Sscanf(line.(string), "SSM_Generation='%d'", &got); err == nil {
					break
				}
			}
			return 400, `{"__type":"InvalidDocument"}`
		}}
		order := plainOrder(t)
		order.Generation = given
		if _, err := New(testConfig(), m.client(t)).Run(t.Context(), []Node{{ID: "i-0123456789abcdef0", Online: true}}, order); err == nil {
			t.Error("a command that was not sent is no error")
		}
		if given != 0 && got != given || given == 0 && (got < before || got > time.Now().UnixMilli()) {
			t.Errorf("generation %d was sent as %d", given, got)
		}
	}
}

// Every key that has to go is named to the host, however many there are, and one that is left in any
// pass is told.
func TestMoreKeysThanACommandNamesAreRetiredInSeveral(t *testing.T) {
	t.Parallel()
	for _, action := range []Action{Apply, Inspect} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			retireInSeveral(t, action)
		})
	}
}

func retireInSeveral(t *testing.T, action Action) {
	const host = "i-0123456789abcdef0"
	var all []sshkey.Fingerprint
	for i := range 2*maxFingerprint + 3 {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		all = append(all, sshkey.Fingerprint("SHA256:"+base64.RawStdEncoding.EncodeToString(sum[:])))
	}
	left := all[maxFingerprint+1] // in the second pass
	var asked []string
	var output string
	m := &manager{reply: func(call string, in map[string]any) (int, string) {
		if call != "SendCommand" {
			text, _ := json.Marshal(output)
			return 200, `{"CommandInvocations":[{"InstanceId":"` + host + `","StatusDetails":"Success","CommandPlugins":[{"Output":` + string(text) + `}]}]}`
		}
		said := map[string]string{}
		for _, line := range in["Parameters"].(map[string]any)["commands"].([]any) {
			if name, value, ok := strings.Cut(line.(string), "='"); ok {
				said[strings.TrimPrefix(name, "SSM_")] = strings.TrimSuffix(value, "'")
			}
		}
		retire := strings.Fields(said["Retire"])
		asked = append(asked, retire...)
		marks := ""
		for _, fp := range retire {
			if fp == left.Short() {
				marks += "y"
			} else {
				marks += "-"
			}
		}
		others := ""
		if action == Inspect && strings.Contains(marks, "y") {
			others = fmt.Sprintf(`,"others":[{"user":"v","code":"ok","present":"y","remaining":%q}]`, marks)
		}
		output = fmt.Sprintf(`{"keytrail":1,"nonce":%q,"host":%q,"action":%q,"code":"ok","users":[{"user":"u","code":"ok","present":"y","remaining":%q,"removed":1}]%s,"end":%q}`,
			said["Nonce"], host, action, marks, others, said["Nonce"])
		return 200, `{"Command":{"CommandId":"c"}}`
	}}
	order := plainOrder(t)
	order.Action, order.Users, order.Retire = action, []string{"u"}, all
	config := testConfig()
	config.Inspect = config.Apply
	got, err := New(config, m.client(t)).Run(t.Context(), []Node{{ID: host, Platform: "Linux", Online: true}}, order)
	if err != nil {
		t.Fatal(err)
	}
	if action == Inspect {
		if len(got) != 2 || got[1].User != "v" || !got[1].Elsewhere || !slices.Equal(got[1].Remaining, []sshkey.Fingerprint{left}) {
			t.Fatalf("another account that holds the key: %+v", got)
		}
		got = got[:1]
	}
	if len(got) != 1 || got[0].State != Stale || got[0].Clean || got[0].Removed != 3 || !slices.Equal(got[0].Remaining, []sshkey.Fingerprint{left}) {
		t.Errorf("got %+v", got)
	}
	if len(asked) != len(all) || asked[len(all)-1] != all[len(all)-1].Short() {
		t.Errorf("%d of %d keys were named", len(asked), len(all))
	}
}

// The parent command's status says nothing about a host, and neither does success of its invocation
// without an answer.
func TestEveryStatusOfAnInvocationHasItsState(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]State{
		"Success":           Unverifiable, // with output that is no answer
		"Failed":            Unverifiable,
		"ExecutionTimedOut": Unverifiable,
		"DeliveryTimedOut":  Unreachable,
		"Undeliverable":     Unreachable,
		"Terminated":        Unreachable,
		"Cancelled":         Unreachable,
		"AccessDenied":      Unreachable,
		"InvalidPlatform":   Unsupported,
		"SomethingNew":      Unreachable,
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			m := &manager{reply: func(action string, _ map[string]any) (int, string) {
				if action == "SendCommand" {
					return 200, `{"Command":{"CommandId":"c-1"}}`
				}
				return 200, `{"CommandInvocations":[{"InstanceId":"i-0123456789abcdef0","StatusDetails":"` + status + `","CommandPlugins":[{"Output":"hello"}]}]}`
			}}
			got, err := New(testConfig(), m.client(t)).Run(t.Context(),
				[]Node{{ID: "i-0123456789abcdef0", Platform: "Linux", Online: true}},
				Order{Action: Apply, Scope: Scope("arn:s"), Users: []string{"a"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].State != want || got[0].Reason == "" || got[0].CommandID != "c-1" {
				t.Errorf("got %+v, want %s", got, want)
			}
		})
	}
}

func TestAPinnedDocumentIsSentWithItsHash(t *testing.T) {
	t.Parallel()
	m := &manager{reply: func(string, map[string]any) (int, string) {
		return 400, `{"__type":"InvalidDocument","Message":"no"}`
	}}
	_, err := New(testConfig(), m.client(t)).Run(t.Context(),
		[]Node{{ID: "i-0123456789abcdef0", Platform: "Linux", Online: true}},
		Order{Action: Inspect, Scope: Scope("arn:s"), Users: []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "send inspect command to 1 hosts") {
		t.Errorf("error %v", err)
	}
	in := m.asked[0]
	if in["DocumentName"] != "inspect" || in["DocumentVersion"] != "3" || in["DocumentHash"] != strings.Repeat("a", 64) || in["TimeoutSeconds"] != 30.0 {
		t.Errorf("request %v", in)
	}
}

func TestTargetsAreKeyValuePairs(t *testing.T) {
	t.Parallel()
	got, err := ParseTarget("Env=prod Team=web servers Note=a=b")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Target{{"Env", "prod"}, {"Team", "web servers"}, {"Note", "a=b"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"prod", "=x", "Env=", "Env=a;b", "Env=$(id)"} {
		if got, err := ParseTarget(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func TestTagsAreAsLongAsTheServiceAllows(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		key, value int
		want       bool
	}{{128, 256, true}, {129, 256, false}, {128, 257, false}, {0, 1, false}, {1, 0, false}} {
		if _, err := ParseTag(strings.Repeat("k", row.key), strings.Repeat("v", row.value)); (err == nil) != row.want {
			t.Errorf("a key of %d and a value of %d characters: %v", row.key, row.value, err)
		}
	}
}
