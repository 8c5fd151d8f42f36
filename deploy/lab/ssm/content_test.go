package ssm_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/ssm"
)

// make creates a document.
func (l *lab) make(name, content string) *types.DocumentDescription {
	l.t.Helper()
	out, err := l.CreateDocument(l.t.Context(), &awsssm.CreateDocumentInput{Name: &name, Content: &content, DocumentType: types.DocumentTypeCommand})
	if err != nil {
		l.t.Fatal(err)
	}
	return out.DocumentDescription
}

// document is one of schema 2.2 with these parameters and one step of these
// lines.
func document(parameters string, lines ...string) string {
	command, _ := json.Marshal(lines)
	return `{"schemaVersion":"2.2","parameters":{` + parameters + `},"mainSteps":[{"action":"aws:runShellScript","name":"only",` +
		`"precondition":{"StringEquals":["platformType","Linux"]},"inputs":{"timeoutSeconds":"60","runCommand":` + string(command) + `}}]}`
}

func TestParametersReachTheScript(t *testing.T) {
	const (
		plain = `"Users":{"type":"String"}`
		env   = `"Users":{"type":"String","interpolationType":"ENV_VAR"}`
		list  = `"Lines":{"type":"StringList"}`
	)
	users := func(v string) map[string][]string { return map[string][]string{"Users": {v}} }
	tests := []struct {
		name    string
		agent   string
		content string
		given   map[string][]string
		text    string
		env     string // of SSM_Users
	}{
		{"pasted into the text", "3.3.2746.0", document(plain, "echo {{ Users }} {{Users}}"), users("alice"), "echo alice alice\n", ""},
		{"whatever it holds", "3.3.2746.0", document(plain, "echo '{{ Users }}'"), users("'; id; '"), "echo ''; id; ''\n", ""},
		{"a value is not looked at again", "3.3.2746.0", document(plain+`,"Other":{"type":"String","default":"x"}`, "echo {{ Users }} {{ Other }}"), users("{{ Other }}"), "echo {{ Other }} x\n", ""},
		{"two dollars become one", "3.3.2746.0", document(plain, "echo {{ Users }}"), users("$$HOME"), "echo $HOME\n", ""},
		{"in the environment, with the text as it stands", "3.3.2746.0", document(env, "U=${SSM_Users-'{{ Users }}'}"), users("$(id)"), "U=${SSM_Users-'{{ Users }}'}\n", "$(id)"},
		{"a newer agent does so as well", "3.10.0.0", document(env, "U=${SSM_Users-'{{ Users }}'}"), users("alice"), "U=${SSM_Users-'{{ Users }}'}\n", "alice"},
		{"an older agent pastes", "3.3.2745.9", document(env, "U=${SSM_Users-'{{ Users }}'}"), users("alice"), "U=${SSM_Users-'alice'}\n", ""},
		{"a list is as many lines", "3.3.2746.0", document(list, "first", "{{ Lines }}", "last"), map[string][]string{"Lines": {"a", "b"}}, "first\na\nb\nlast\n", ""},
		{"a list within a line is JSON", "3.3.2746.0", document(list, "echo {{ Lines }}"), map[string][]string{"Lines": {"a", `"b"`}}, `echo ["a","\"b\""]` + "\n", ""},
		{"a default", "3.3.2746.0", document(`"Users":{"type":"String","default":"bob"}`, "echo {{ Users }}"), nil, "echo bob\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				nodes[0].info.AgentVersion = tt.agent
				l := start(t, nodes, ssm.Options{})
				l.make("Doc", tt.content)
				in := shell(nodes...)
				in.DocumentName, in.Parameters = new("Doc"), tt.given
				l.send(in)
				wait()
				s := nodes[0].ran()[0]
				if diff := cmp.Diff([]string{tt.text, tt.env}, []string{s.Text, s.Env["SSM_Users"]}); diff != "" {
					t.Error(diff)
				}
				if s.Timeout.Seconds() != 60 || s.Env["AWS_SSM_INSTANCE_ID"] != nodes[0].id || s.Env["AWS_SSM_REGION_NAME"] != "us-east-1" {
					t.Errorf("script is %+v", s)
				}
			})
		})
	}
}

func TestParametersAreChecked(t *testing.T) {
	t.Parallel()
	nodes := fleet(1)
	l := start(t, nodes, ssm.Options{})
	l.make("None", document("", "true"))
	l.make("Doc", document(`"A":{"type":"String","allowedPattern":"^[a-z]*$","maxChars":5,"minChars":1,"default":"x"},`+
		`"B":{"type":"String","allowedValues":["yes","no"],"default":"no"},"C":{"type":"StringList","minItems":1,"maxItems":2,"allowedPattern":"[0-9]","default":["1"]}`, "true"))
	const bad = "InvalidParameters: Parameters provided in document are invalid or not supported."
	tests := []struct {
		name, document string
		given          map[string][]string
		want           string
	}{
		{"a document without parameters", "None", map[string][]string{"A": {"x"}}, "InvalidParameters: document None does not support parameters."},
		{"a pattern", "Doc", map[string][]string{"A": {"ABC"}}, bad},
		{"a newline behind what matches", "Doc", map[string][]string{"A": {"abc\n"}}, bad},
		{"too long", "Doc", map[string][]string{"A": {"abcdef"}}, bad},
		{"too short", "Doc", map[string][]string{"A": {""}}, bad},
		{"none of the values", "Doc", map[string][]string{"B": {"Yes"}}, bad},
		{"too many items", "Doc", map[string][]string{"C": {"1", "2", "3"}}, bad},
		{"too few items", "Doc", map[string][]string{"C": {}}, bad},
		{"one item that does not match", "Doc", map[string][]string{"C": {"1", "x"}}, bad},
		{"an unanchored pattern means the whole value", "Doc", map[string][]string{"C": {"12"}}, bad},
		{"all as they should be", "Doc", map[string][]string{"A": {"abc"}, "B": {"yes"}, "C": {"1", "2"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := shell(nodes...)
			in.DocumentName, in.Parameters = &tt.document, tt.given
			_, err := l.SendCommand(t.Context(), in)
			got := ""
			if err != nil {
				got = failure(t, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStepsFollowEachOther(t *testing.T) {
	step := func(name, more, line string) string {
		return `{"action":"aws:runShellScript","name":"` + name + `"` + more + `,"inputs":{"runCommand":["` + line + `"]` + `}}`
	}
	tests := []struct {
		name  string
		first string
		want  string // details of both steps and of the command
		ran   int
	}{
		{"a failed step does not stop the next", step("one", "", "exit 1"), "Failed/1 Success/0 Failed", 2},
		{"onFailure does", strings.Replace(step("one", "", "exit 1"), `"inputs":{`, `"inputs":{"onFailure":"exit",`, 1), "Failed/1 Success/0 Failed", 1},
		{"exit code 168 ends the document as a success", step("one", "", "exit 168"), "Success/168 Success/0 Success", 1},
		{"exit code 169 ends it as a failure", step("one", "", "exit 169"), "Failed/169 Success/0 Failed", 1},
		{"a step for another platform is skipped", step("one", `,"precondition":{"StringEquals":["platformType","MacOS"]}`, "exit 1"), "Success/0 Success/0 Success", 1},
	}
	codes := map[string]int{"exit 1\n": 1, "exit 168\n": 168, "exit 169\n": 169}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(1)
				nodes[0].run = func(_ context.Context, s ssm.Script) ssm.Output { return ssm.Output{ExitCode: codes[s.Text]} }
				l := start(t, nodes, ssm.Options{})
				l.make("Two", `{"schemaVersion":"2.2","mainSteps":[`+tt.first+`,`+step("two", "", "true")+`]}`)
				in := shell(nodes...)
				in.DocumentName, in.Parameters = new("Two"), nil
				c := l.send(in)
				wait()
				i := l.invocations(*c.CommandId)[nodes[0].id]
				var got []string
				for _, p := range i.CommandPlugins {
					got = append(got, *p.StatusDetails+"/"+strconv.Itoa(int(p.ResponseCode)))
				}
				got = append(got, *i.StatusDetails)
				if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" || len(nodes[0].ran()) != tt.ran {
					t.Error(diff, len(nodes[0].ran()))
				}
				_, err := l.Client.GetCommandInvocation(t.Context(), &awsssm.GetCommandInvocationInput{CommandId: c.CommandId, InstanceId: &nodes[0].id})
				if got := failure(t, err); got != "InvalidPluginName: " {
					t.Errorf("without a plugin's name: %s", got)
				}
				if _, err := l.Client.GetCommandInvocation(t.Context(), &awsssm.GetCommandInvocationInput{CommandId: c.CommandId, InstanceId: &nodes[0].id, PluginName: new("only-two")}); failure(t, err) != "InvalidPluginName: " {
					t.Errorf("with another's: %v", err)
				}
			})
		})
	}
}
