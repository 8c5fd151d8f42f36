package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTroubleIsWhatTheNewestAnswerOfEachAccountSays reads the answers of an order that nobody here sent.
func TestTroubleIsWhatTheNewestAnswerOfEachAccountSays(t *testing.T) {
	t.Parallel()
	scope := Scope("arn:aws:secretsmanager:us-east-1:111122223333:secret:a-AbCdEf")
	answer := func(host, code, users string) string {
		return fmt.Sprintf(`{"Keytrail":1,"Nonce":"nonce123","Host":%q,"Action":"apply","Code":%q,"Users":[%s],"End":"nonce123"}`, host, code, users)
	}
	ok := func(user string) string { return `{"User":"` + user + `","Code":"ok","Present":"y","Remaining":"-"}` }
	full := func(user string) string {
		return `{"User":"` + user + `","Code":"failed","Reason":"write","Present":"-","Remaining":"-"}`
	}
	type row struct {
		command, host, status, output, comment string
		at                                     int
	}
	const a, b, c, d, e = "i-0000000000000000a", "i-0000000000000000b", "i-0000000000000000c", "i-0000000000000000d", "i-0000000000000000e"
	ours := "keytrail apply " + scope
	rows := []row{
		{"1", a, "Success", answer(a, "ok", full("app")+","+ok("ops")), ours, 1},
		{"2", a, "Success", answer(a, "ok", ok("app")+","+full("ops")), ours, 2}, // newer
		{"1", b, "Success", answer(b, "busy", ""), ours, 1},
		{"2", b, "Success", answer(b, "ok", ok("app")), ours, 2},
		{"2", c, "DeliveryTimedOut", "", ours, 2},
		{"2", d, "Success", answer(a, "ok", full("app")), ours, 2}, // another host's answer
		{"9", e, "Success", answer(e, "ok", full("app")), "keytrail apply " + strings.Repeat("0", 32), 3},
		{"8", e, "Success", answer(e, "ok", full("app")), "mine", 3},
	}
	m := &manager{reply: func(action string, in map[string]any) (int, string) {
		if action != "ListCommandInvocations" {
			t.Errorf("%s was called", action)
		}
		page, next := rows[:4], `"NextToken":"more",`
		if in["NextToken"] != nil {
			page, next = rows[4:], ""
		}
		var list []string
		for _, r := range page {
			list = append(list, fmt.Sprintf(`{"CommandId":%q,"InstanceId":%q,"Comment":%q,"StatusDetails":%q,"RequestedDateTime":%d,"CommandPlugins":[{"Output":%q}]}`,
				r.command, r.host, r.comment, r.status, 1_800_000_000+r.at, r.output))
		}
		return 200, `{` + next + `"CommandInvocations":[` + strings.Join(list, ",") + `]}`
	}}
	from := time.Unix(1_800_000_000, 0)
	told, err := New(testConfig(), m.client(t)).Trouble(t.Context(), scope, from, from.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range told {
		got = append(got, fmt.Sprintf("%s/%s %s by %s: %s", o.Host, o.User, o.State, o.CommandID, o.Reason))
	}
	want := []string{
		a + "/ops missing by 2: the key file could not be written: is the disk full or read-only",
		c + "/ unreachable by 2: the node did not take the command within 30s",
		d + "/ unverifiable by 2: " + ErrOther.Error(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trouble (-want +got):\n%s", diff)
	}
	filters := []any{
		map[string]any{"key": "DocumentName", "value": ShellDocument},
		map[string]any{"key": "InvokedAfter", "value": "2027-01-15T08:00:00Z"},
		map[string]any{"key": "InvokedBefore", "value": "2027-01-15T08:01:00Z"},
	}
	if diff := cmp.Diff(filters, m.asked[0]["Filters"]); diff != "" {
		t.Errorf("filters (-want +got):\n%s", diff)
	}
}
