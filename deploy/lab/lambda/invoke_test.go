package lambda_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// uuid matches request ids, which differ from run to run.
var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	limit := 6*1024*1024 + 100
	tests := []struct {
		name, event, want string
		failed            bool
	}{
		{name: "a function's answer is passed on as it is", event: `{"do":"echo","n":1.10}`, want: `{"do":"echo","n":1.10}`},
		{name: "no event is an empty object", event: "", want: "{}"},
		{name: "an error has its type and message", event: `{"Do":"error"}`,
			want: `{"errorMessage":"no such host","errorType":"errorString"}`, failed: true},
		{name: "an exit with a status is an exit error", event: `{"Do":"exit","Code":3}`,
			want: `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 3"}`, failed: true},
		{name: "an exit without a status is one as well", event: `{"Do":"exit"}`,
			want: `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited without providing a reason"}`, failed: true},
		{name: "an answer as large as may be passes", event: fmt.Sprintf(`{"Do":"big","Size":%d}`, limit-2), want: `"` + strings.Repeat("x", limit-2) + `"`},
		{name: "a larger one is an error", event: fmt.Sprintf(`{"Do":"big","Size":%d}`, limit-1),
			want: `{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}`, failed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, s, tt.event)
			if got := uuid.ReplaceAllString(string(r.Payload), "ID"); got != tt.want {
				t.Errorf("payload %.200q, want %.200q", got, tt.want)
			}
			want := ""
			if tt.failed {
				want = "Unhandled"
			}
			if r.FunctionError != want {
				t.Errorf("function error %q, want %q", r.FunctionError, want)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	r := invoke(t, s, `{"Do":"panic"}`)
	var e struct{ ErrorMessage, ErrorType string }
	if err := json.Unmarshal(r.Payload, &e); err != nil {
		t.Fatal(err)
	}
	if r.FunctionError != "Unhandled" || e.ErrorMessage != "out of order" || e.ErrorType != "string" {
		t.Errorf("got %s %s, want what the runtime said of the panic", r.FunctionError, r.Payload)
	}
	if r := invoke(t, s, `{"Do":"pid"}`); r.FunctionError != "" {
		t.Errorf("after a panic: %s, want a new sandbox", r.Payload)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	f := function()
	f.Timeout = 50 * time.Millisecond
	s := newService(t, lambda.Options{}, f)
	r := invoke(t, s, `{"Do":"sleep"}`)
	want := `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ` + r.RequestID + ` Error: Task timed out after 0.05 seconds"}`
	if string(r.Payload) != want || r.FunctionError != "Unhandled" {
		t.Errorf("got %s %s, want %s", r.FunctionError, r.Payload, want)
	}
	if p := s.Processes(); len(p) != 0 {
		t.Errorf("processes %v, want none: the sandbox was killed", p)
	}
}

func TestWarmSandboxIsUsedAgain(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	first, second := invoke(t, s, `{"Do":"pid"}`), invoke(t, s, `{"Do":"pid"}`)
	if string(first.Payload) != string(second.Payload) || len(s.Processes()) != 1 {
		t.Errorf("processes %s and %s, want the same", first.Payload, second.Payload)
	}
	if s.PeakRSS("sample") < 1<<20 {
		t.Errorf("peak of the resident set %d, want more than 1 MiB of a Go process", s.PeakRSS("sample"))
	}
}

func TestReplacedFunction(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	before := invoke(t, s, `{"Do":"pid"}`)
	f := function()
	f.Env = map[string]string{"USERNAME": "alice"}
	if err := s.AddFunction(f); err != nil {
		t.Fatal(err)
	}
	if p := s.Processes(); len(p) != 0 {
		t.Errorf("processes %v, want none of the old configuration", p)
	}
	if after := invoke(t, s, `{"Do":"pid"}`); string(after.Payload) == string(before.Payload) {
		t.Error("the old sandbox serves the new configuration")
	}
	if r := invoke(t, s, `{"Do":"environment"}`); !strings.Contains(string(r.Payload), `"USERNAME=alice"`) {
		t.Errorf("environment %s, want USERNAME", r.Payload)
	}
}

func TestContextOfAnInvocation(t *testing.T) {
	t.Parallel()
	f := function()
	f.Aliases = []string{"reconcile"}
	s := newService(t, lambda.Options{}, f)
	const arn = "arn:aws:lambda:us-east-1:111122223333:function:sample"
	tests := []struct{ name, call, want string }{
		{"the plain name has the plain ARN", "sample", arn},
		{"a partial ARN has it as well", "111122223333:function:sample", arn},
		{"so has the ARN", arn, arn},
		{"an alias is told", "sample:reconcile", arn + ":reconcile"},
		{"so is that of an ARN", arn + ":reconcile", arn + ":reconcile"},
		{"the latest version by name is told", "sample:$LATEST", arn + ":$LATEST"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := time.Now()
			r, err := s.Invoke(t.Context(), tt.call, []byte(`{"Do":"context"}`))
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				ID, ARN  string
				Deadline time.Time
			}
			if err := json.Unmarshal(r.Payload, &c); err != nil {
				t.Fatal(err)
			}
			if c.ARN != tt.want || c.ID != r.RequestID {
				t.Errorf("invoked as %s (%s), want %s (%s)", c.ARN, c.ID, tt.want, r.RequestID)
			}
			if left := c.Deadline.Sub(before); left < time.Minute-time.Millisecond || c.Deadline.After(time.Now().Add(time.Minute)) {
				t.Errorf("deadline after %s, want a minute from the invocation", left)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	const arn = "arn:aws:lambda:us-east-1:111122223333:function:"
	tests := []struct{ name, call, event, want string }{
		{"a function that does not exist", "other", "{}", "ResourceNotFoundException: Function not found: " + arn + "other"},
		{"an alias that does not exist", "sample:live", "{}", "ResourceNotFoundException: Function not found: " + arn + "sample:live"},
		{"a version", "sample:1", "{}", "ResourceNotFoundException: Function not found: " + arn + "sample:1"},
		{"another Region", strings.Replace(arn, "us-east-1", "eu-west-1", 1) + "sample", "{}",
			"ResourceNotFoundException: Function not found: arn:aws:lambda:eu-west-1:111122223333:function:sample"},
		{"an event that is not JSON", "sample", "{", "InvalidRequestContentException"},
		{"an event that is too large", "sample", `"` + strings.Repeat("x", 6<<20) + `"`,
			"RequestTooLargeException: Request must be smaller than 6291456 bytes for the InvokeFunction operation"},
		{"a name that is none", "sam ple", "{}", "ValidationException: 1 validation error detected: Value 'sam ple' at 'functionName'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Invoke(t.Context(), tt.call, []byte(tt.event))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LAB_ONLY", "must not be seen") // so not parallel
	var known wire.Identity
	f := function()
	f.Env = map[string]string{"USERNAME": "alice bob", "TZ": "Europe/Berlin"}
	f.Role = "rotate-role"
	f.MemoryMB = 256
	s := newService(t, lambda.Options{Identify: func(i wire.Identity) { known = i }}, f)
	r := invoke(t, s, `{"Do":"environment"}`)
	var list []string
	if err := json.Unmarshal(r.Payload, &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range list {
		name, value, _ := strings.Cut(v, "=")
		got[name] = value
	}
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "_X_AMZN_TRACE_ID"} {
		if got[name] == "" {
			t.Errorf("%s is not set", name)
		}
		delete(got, name)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"_HANDLER":                        "bootstrap",
		"AWS_ACCESS_KEY_ID":               known.AccessKeyID,
		"AWS_DEFAULT_REGION":              "us-east-1",
		"AWS_EC2_METADATA_DISABLED":       "true",
		"AWS_ENDPOINT_URL":                "http://127.0.0.1:1",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_FUNCTION_NAME":        "sample",
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/sample",
		"AWS_REGION":                      "us-east-1",
		"LAMBDA_TASK_ROOT":                wd,
		"LANG":                            "en_US.UTF-8",
		"NO_PROXY":                        "127.0.0.1,localhost,::1",
		"PATH":                            os.Getenv("PATH"),
		"TZ":                              "Europe/Berlin",
		"USERNAME":                        "alice bob",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if want := "arn:aws:sts::111122223333:assumed-role/rotate-role/sample"; known.ARN != want || !strings.HasPrefix(known.AccessKeyID, "ASIA") {
		t.Errorf("identity %+v, want %s with a temporary key", known, want)
	}
}

func TestInitialisation(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(programs, "garbage")
	tests := []struct {
		name    string
		command []string
		want    string
		log     []string
	}{
		{
			name:    "a process that exits is started twice",
			command: function("exit").Command,
			want:    `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 7"}`,
			log: []string{"cannot start", "INIT_REPORT Phase: init	Status: error	Error Type: Runtime.ExitError",
				"cannot start", "INIT_REPORT Phase: invoke	Status: error	Error Type: Runtime.ExitError",
				"START", "RequestId: ID Error: Runtime exited with error: exit status 7", "Runtime.ExitError",
				"END", "REPORT	Status: error	Error Type: Runtime.ExitError"},
		},
		{
			name:    "a second start may succeed",
			command: function("exit-once", filepath.Join(t.TempDir(), "file")).Command,
			want:    `{}`,
			log:     []string{"INIT_REPORT Phase: init	Status: error	Error Type: Runtime.ExitError", "START", "END", "REPORT"},
		},
		{
			name:    "what the runtime reports is the answer",
			command: function("refuse").Command,
			want:    `{"errorType":"Config.Missing","errorMessage":"no USERNAME"}`,
			log: []string{"refused: 202", "INIT_REPORT Phase: init	Status: error	Error Type: Config.Missing",
				"refused: 202", "INIT_REPORT Phase: invoke	Status: error	Error Type: Config.Missing",
				"START", "END", "REPORT	Status: error	Error Type: Config.Missing"},
		},
		{
			name:    "a program that cannot be run has no entry point",
			command: []string{garbage},
			want:    `{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: ID Error: fork/exec ` + garbage + `: exec format error"}`,
			log: []string{"INIT_REPORT Phase: init	Status: error	Error Type: Runtime.InvalidEntrypoint",
				"INIT_REPORT Phase: invoke	Status: error	Error Type: Runtime.InvalidEntrypoint",
				"START", "RequestId: ID Error: fork/exec " + garbage + ": exec format error", "Runtime.InvalidEntrypoint",
				"END", "REPORT	Status: error	Error Type: Runtime.InvalidEntrypoint"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := function()
			f.Command = tt.command
			s := newService(t, lambda.Options{}, f)
			r := invoke(t, s, "{}")
			if got := strings.Replace(string(r.Payload), r.RequestID, "ID", 1); got != tt.want {
				t.Errorf("payload %s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.log, logLines(t, s)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// logLines returns the log of the sample function without what differs from
// run to run.
func logLines(t *testing.T, s *lambda.Service) []string {
	t.Helper()
	text, err := s.Logs("sample")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ from, to string }{
		{uuid.String(), "ID"},
		{`START RequestId: ID Version: \$LATEST`, "START"},
		{`END RequestId: ID`, "END"},
		{`REPORT RequestId: ID\tDuration: [0-9.]+ ms\tBilled Duration: [0-9]+ ms\tMemory Size: 128 MB\tMax Memory Used: [0-9]+ MB`, "REPORT"},
		{`\tInit Duration: [0-9.]+ ms`, ""},
		{`INIT_REPORT Init Duration: [0-9.]+ ms\t`, "INIT_REPORT "},
		{`[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z`, "TIME"},
	} {
		text = regexp.MustCompile(r.from).ReplaceAllString(text, r.to)
	}
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return l == "" })
}

func TestLog(t *testing.T) {
	t.Parallel()
	s := newService(t, lambda.Options{}, function())
	r := invoke(t, s, `{"Do":"log"}`)
	invoke(t, s, `{"Do":"exit","Code":1}`)
	short := function()
	short.Timeout = 50 * time.Millisecond
	if err := s.AddFunction(short); err != nil {
		t.Fatal(err)
	}
	invoke(t, s, `{"Do":"sleep"}`)
	want := []string{
		"START", "to standard output", "to standard error", "END", "REPORT",
		"START", "RequestId: ID Error: Runtime exited with error: exit status 1", "Runtime.ExitError",
		"END", "REPORT	Status: error	Error Type: Runtime.ExitError",
		"START", "TIME ID Task timed out after 0.05 seconds", "END", "REPORT	Status: timeout",
	}
	if diff := cmp.Diff(want, logLines(t, s)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	tail := string(r.LogTail)
	if !strings.HasPrefix(tail, "START RequestId: "+r.RequestID) || !strings.Contains(tail, "\nto standard error\n") || !strings.Contains(tail, "\nREPORT ") {
		t.Errorf("tail of the log %q, want the whole invocation", tail)
	}
}

func TestPython(t *testing.T) {
	t.Parallel()
	python, err := findPython()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no Python on this machine: ", err)
	}
	f := function()
	f.Command = []string{python, "testdata/function.py"}
	s := newService(t, lambda.Options{}, f)
	tests := []struct{ event, want, failed string }{
		{`{"name":"alice"}`, `{"greeting": "hello alice", "function": "sample"}`, ""},
		{`{}`, `{"errorType": "KeyError", "errorMessage": "name"}`, "Unhandled"},
		{`{"name":"bob"}`, `{"greeting": "hello bob", "function": "sample"}`, ""},
	}
	for _, tt := range tests {
		if r := invoke(t, s, tt.event); string(r.Payload) != tt.want || r.FunctionError != tt.failed {
			t.Errorf("%s: got %s %s, want %s", tt.event, r.FunctionError, r.Payload, tt.want)
		}
	}
	if want := []string{"START", "greeting alice", "END", "REPORT", "START", "END", "REPORT", "START", "greeting bob", "END", "REPORT"}; !cmp.Equal(want, logLines(t, s)) {
		t.Errorf("log %q, want %q", logLines(t, s), want)
	}
}
