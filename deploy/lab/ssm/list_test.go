package ssm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/ssm"
)

// writes makes a node answer every script with this output.
func writes(stdout, stderr string, code int) func(context.Context, ssm.Script) ssm.Output {
	return func(context.Context, ssm.Script) ssm.Output {
		return ssm.Output{Stdout: stdout, Stderr: stderr, ExitCode: code}
	}
}

func (l *lab) invocation(command, node string) *awsssm.GetCommandInvocationOutput {
	l.t.Helper()
	out, err := l.GetCommandInvocation(l.t.Context(), &awsssm.GetCommandInvocationInput{CommandId: &command, InstanceId: &node})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func TestOutputIsCut(t *testing.T) {
	const (
		errorTitle = "\n----------ERROR-------\n"
		outCut     = "\n---Output truncated---"
		errCut     = "\n---Error truncated----"
	)
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name                      string
		stdout, stderr            string
		listed, content, problems string
	}{
		{"both fit", "out", "err", "out" + errorTitle + "err", "out", "err"},
		{"2,499 bytes fit in a listing", long(2499), "", long(2499), long(2499), ""},
		{"2,500 do not", long(2500), "", long(2477) + outCut, long(2500), ""},
		{"stderr takes room from stdout", long(2300), long(500), long(2500-24-23-500) + outCut + errorTitle + long(500), long(2300), long(500)},
		{"long stderr is cut where stdout is short", "out", long(3000), "out" + errorTitle + long(2500-24-23-3) + errCut, "out", long(3000)},
		{"far more than any answer shows", long(1 << 20), long(1 << 20), long(1215) + outCut + errorTitle + long(1215) + errCut, long(23980) + "--output truncated--", long(7980) + "--output truncated--"},
		{"both long", long(3000), long(3000), long(1215) + outCut + errorTitle + long(1215) + errCut, long(3000), long(3000)},
		{"24,000 bytes of stdout are cut", long(24000), "", long(2477) + outCut, long(23980) + "--output truncated--", ""},
		{"8,000 bytes of stderr are cut", "", long(8000), errorTitle + long(2453) + errCut, "", long(7980) + "--output truncated--"},
		{"a character that is cut through", long(2476) + "ä" + long(100), "", long(2476) + "\uFFFD" + outCut, long(2476) + "ä" + long(100), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				nodes[0].run = writes(tt.stdout, tt.stderr, 0)
				l := start(t, nodes, ssm.Options{})
				c := l.send(shell(nodes...))
				wait()
				if diff := cmp.Diff(tt.listed, *l.invocations(*c.CommandId)[nodes[0].id].CommandPlugins[0].Output); diff != "" {
					t.Error("listing:", diff)
				}
				out := l.invocation(*c.CommandId, nodes[0].id)
				if diff := cmp.Diff([]string{tt.content, tt.problems}, []string{*out.StandardOutputContent, *out.StandardErrorContent}); diff != "" {
					t.Error("invocation:", diff)
				}
			})
		})
	}
}

func TestGetCommandInvocation(t *testing.T) {
	type summary struct {
		Status, Details, Plugin, Start, End, Elapsed, Stdout, Stderr string
		Code                                                         int32
	}
	tests := []struct {
		name  string
		edit  func(*node)
		after time.Duration
		want  summary
	}{
		{"not delivered", func(n *node) { n.set(ssm.Offline) }, time.Second,
			summary{"Delayed", "Delayed", "aws:runShellScript", "", "", "", "", "", -1}},
		{"running", func(n *node) { n.run = takes(time.Hour) }, time.Second,
			summary{"InProgress", "InProgress", "aws:runShellScript", "2000-01-01T00:00:00.000Z", "", "", "", "", -1}},
		{"done: the end is given as the start", func(n *node) { n.run = takes(91 * time.Millisecond) }, time.Second,
			summary{"Success", "Success", "aws:runShellScript", "2000-01-01T00:00:00.000Z", "2000-01-01T00:00:00.000Z", "PT0.091S", "done", "", 0}},
		{"failed: the agent adds the exit status", func(n *node) { n.run = writes("out", "err", 3) }, time.Second,
			summary{"Failed", "Failed", "aws:runShellScript", "2000-01-01T00:00:00.000Z", "2000-01-01T00:00:00.000Z", "PT0S", "out", "err\nfailed to run commands: exit status 3", 3}},
		{"timed out by the node's own watch", func(n *node) {
			n.run = func(context.Context, ssm.Script) ssm.Output { return ssm.Output{Stdout: "part", TimedOut: true} }
		}, time.Second, summary{"TimedOut", "ExecutionTimedOut", "aws:runShellScript", "2000-01-01T00:00:00.000Z", "2000-01-01T00:00:00.000Z", "PT0S", "part", "", 137}},
		{"timed out", func(n *node) { n.run = takes(2 * time.Hour) }, time.Hour + time.Second,
			summary{"TimedOut", "ExecutionTimedOut", "aws:runShellScript", "2000-01-01T00:00:00.000Z", "2000-01-01T00:00:00.000Z", "PT1H", "stopped", "", 137}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				tt.edit(nodes[0])
				l := start(t, nodes, ssm.Options{})
				c := l.send(shell(nodes...))
				time.Sleep(tt.after)
				synctest.Wait()
				o := l.invocation(*c.CommandId, nodes[0].id)
				got := summary{string(o.Status), *o.StatusDetails, *o.PluginName, *o.ExecutionStartDateTime, *o.ExecutionEndDateTime,
					*o.ExecutionElapsedTime, *o.StandardOutputContent, *o.StandardErrorContent, o.ResponseCode}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestGetCommandInvocationRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(2)
		l := start(t, nodes, ssm.Options{})
		c := l.send(shell(nodes[0]))
		wait()
		tests := []struct {
			name                  string
			command, node, plugin string
			want                  string
		}{
			{"a node that is no target", *c.CommandId, nodes[1].id, "", "InvocationDoesNotExist: "},
			{"a command that does not exist", "00000000-0000-4000-8000-000000000000", nodes[0].id, "", "InvocationDoesNotExist: "},
			{"an id that is none", strings.Repeat("z", 36), nodes[0].id, "", "InvalidCommandId: "},
			{"a plugin that the document does not have", *c.CommandId, nodes[0].id, "runShellScript", "InvalidPluginName: "},
		}
		for _, tt := range tests {
			in := &awsssm.GetCommandInvocationInput{CommandId: &tt.command, InstanceId: &tt.node}
			if tt.plugin != "" {
				in.PluginName = &tt.plugin
			}
			_, err := l.Client.GetCommandInvocation(t.Context(), in)
			if got := failure(t, err); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		}
	})
}

func TestANewCommandIsNotFoundAtFirst(t *testing.T) {
	tests := []struct {
		name  string
		o     ssm.Options
		after time.Duration
	}{
		{"for a time", ssm.Options{Settle: 2 * time.Second}, 2 * time.Second},
		{"for some reads", ssm.Options{SettleReads: 3}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				l := start(t, nodes, tt.o)
				c := l.send(shell(nodes...))
				wait()
				_, err := l.Client.GetCommandInvocation(t.Context(), &awsssm.GetCommandInvocationInput{CommandId: c.CommandId, InstanceId: &nodes[0].id})
				if got := failure(t, err); got != "InvocationDoesNotExist: " {
					t.Errorf("GetCommandInvocation: %s", got)
				}
				if n := len(l.invocations(*c.CommandId)); n != 0 {
					t.Errorf("%d invocations are listed", n)
				}
				out, err := l.ListCommands(t.Context(), &awsssm.ListCommandsInput{CommandId: c.CommandId})
				if err != nil || len(out.Commands) != 0 {
					t.Errorf("%d commands are listed, %v", len(out.Commands), err)
				}
				time.Sleep(tt.after)
				if n := len(l.invocations(*c.CommandId)); n != 1 {
					t.Errorf("%d invocations are listed in the end", n)
				}
			})
		})
	}
}

func TestListsAreNewestFirstInPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(7)
		l := start(t, nodes, ssm.Options{})
		var sent []string
		for range 5 {
			time.Sleep(time.Second)
			sent = append([]string{*l.send(shell(nodes...)).CommandId}, sent...)
		}
		wait()
		var commands, invocations []string
		p := awsssm.NewListCommandsPaginator(l.Client, &awsssm.ListCommandsInput{MaxResults: new(int32(2))})
		for p.HasMorePages() {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Commands {
				commands = append(commands, *c.CommandId)
			}
		}
		if diff := cmp.Diff(sent, commands); diff != "" {
			t.Error("commands:", diff)
		}
		q := awsssm.NewListCommandInvocationsPaginator(l.Client, &awsssm.ListCommandInvocationsInput{MaxResults: new(int32(3))})
		pages := 0
		for q.HasMorePages() {
			page, err := q.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, i := range page.CommandInvocations {
				invocations = append(invocations, *i.CommandId)
				if i.CommandPlugins == nil || len(i.CommandPlugins) > 0 {
					t.Errorf("without Details there are plugins: %v", i.CommandPlugins)
				}
			}
		}
		var want []string
		for _, c := range sent {
			want = append(want, slices.Repeat([]string{c}, 7)...)
		}
		if diff := cmp.Diff(want, invocations); diff != "" || pages != 12 {
			t.Error("invocations:", pages, diff)
		}
	})
}

func TestListFilters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(3)
		nodes[1].run, nodes[2].run = exits(1), takes(2*time.Hour)
		l := start(t, nodes, ssm.Options{})
		names := map[string]string{}
		for k, n := range nodes {
			names[*l.send(shell(n)).CommandId] = fmt.Sprint(k)
			time.Sleep(time.Minute)
		}
		names[*l.send(tagged("Env", "None")).CommandId] = "none"
		wait()
		filter := func(key types.CommandFilterKey, value string) []types.CommandFilter {
			return []types.CommandFilter{{Key: key, Value: &value}}
		}
		tests := []struct {
			name    string
			filters []types.CommandFilter
			node    string
			want    string // commands, newest first
		}{
			{"by status", filter("Status", "Failed"), "", "1"},
			{"by detail", filter("Status", "NoInstancesInTag"), "", "none"},
			{"a success without nodes is one", filter("Status", "Success"), "", "none 0"},
			{"what runs", filter("ExecutionStage", "Executing"), "", "2"},
			{"what is over", filter("ExecutionStage", "Complete"), "", "none 1 0"},
			{"after a time", filter("InvokedAfter", "2000-01-01T00:01:30Z"), "", "none 2"},
			{"before a time", filter("InvokedBefore", "2000-01-01T00:01:30Z"), "", "1 0"},
			{"by document", filter("DocumentName", "AWS-RunPowerShellScript"), "", ""},
			{"by node", nil, nodes[2].id, "2"},
			{"two filters", append(filter("Status", "Success"), filter("InvokedBefore", "2000-01-01T00:01:30Z")...), "", "0"},
		}
		for _, tt := range tests {
			in := &awsssm.ListCommandsInput{Filters: tt.filters}
			if tt.node != "" {
				in.InstanceId = &tt.node
			}
			out, err := l.ListCommands(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range out.Commands {
				got = append(got, names[*c.CommandId])
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
		}
		_, err := l.ListCommandInvocations(t.Context(), &awsssm.ListCommandInvocationsInput{Filters: filter("ExecutionStage", "Executing")})
		if got := failure(t, err); got != "InvalidFilterKey: " {
			t.Errorf("ExecutionStage for invocations: %s", got)
		}
	})
}

func TestListsRefuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := start(t, fleet(0), ssm.Options{})
		tests := []struct {
			name string
			in   awsssm.ListCommandInvocationsInput
			want string
		}{
			{"51 results", awsssm.ListCommandInvocationsInput{MaxResults: new(int32(51))},
				"ValidationException: 1 validation error detected: Value '51' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 50"},
			{"no result", awsssm.ListCommandInvocationsInput{MaxResults: new(int32(0))},
				"ValidationException: 1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"},
			{"a token that is none", awsssm.ListCommandInvocationsInput{NextToken: new("next")}, "InvalidNextToken: The specified token isn't valid."},
			{"a short command id", awsssm.ListCommandInvocationsInput{CommandId: new("1")},
				"ValidationException: 1 validation error detected: Value '1' at 'commandId' failed to satisfy constraint: Member must have length greater than or equal to 36"},
		}
		for _, tt := range tests {
			_, err := l.ListCommandInvocations(t.Context(), &tt.in)
			if got := failure(t, err); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		}
	})
}

func TestATokenFitsOnlyItsQuery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(2)
		l := start(t, nodes, ssm.Options{})
		l.send(shell(nodes...))
		wait()
		page, err := l.ListCommandInvocations(t.Context(), &awsssm.ListCommandInvocationsInput{MaxResults: new(int32(1))})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.ListCommandInvocations(t.Context(), &awsssm.ListCommandInvocationsInput{NextToken: page.NextToken, InstanceId: &nodes[0].id})
		if got := failure(t, err); got != "InvalidNextToken: The specified token isn't valid." {
			t.Error(got)
		}
	})
}
