package lambda_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// serve puts a service behind the wire front.
func serve(t *testing.T, f lambda.Function) (s *lambda.Service, front *wire.Front, url string) {
	t.Helper()
	return serveWith(t, lambda.Options{}, f)
}

func serveWith(t *testing.T, o lambda.Options, f lambda.Function) (s *lambda.Service, front *wire.Front, url string) {
	t.Helper()
	front = wire.New(wire.Options{})
	o.Identify = front.AddIdentity
	s = newService(t, o, f)
	front.HandleHTTP("lambda", s.Handler())
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	return s, front, server.URL
}

// request is one call by hand, signed as far as the front looks.
func request(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIALAB/20261101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}

func TestInvokeOverHTTP(t *testing.T) {
	t.Parallel()
	f := function()
	f.Aliases = []string{"reconcile"}
	_, front, url := serve(t, f)
	const arn = "arn:aws:lambda:us-east-1:111122223333:function:sample"
	tests := []struct {
		name, path, body string
		header           []string
		status           int
		want             string
		answer           http.Header // of those that Invoke has
	}{
		{
			name: "an answer", path: "sample/invocations", body: `{"n":1}`,
			status: 200, want: `{"n":1}`, answer: http.Header{"X-Amz-Executed-Version": {"$LATEST"}},
		},
		{
			name: "an error of the function", path: "sample/invocations", body: `{"Do":"error"}`,
			status: 200, want: `{"errorMessage":"no such host","errorType":"errorString"}`,
			answer: http.Header{"X-Amz-Executed-Version": {"$LATEST"}, "X-Amz-Function-Error": {"Unhandled"}},
		},
		{
			name: "a qualifier in the query", path: "sample/invocations?Qualifier=reconcile", body: "1",
			header: []string{"X-Amz-Invocation-Type", "DryRun"}, status: 204, answer: http.Header{},
		},
		{
			name: "an ARN in the path", path: strings.ReplaceAll(arn, ":", "%3A") + "%3Areconcile/invocations", body: "1",
			header: []string{"X-Amz-Invocation-Type", "DryRun"}, status: 204, answer: http.Header{},
		},
		{
			name: "two qualifiers that differ", path: "sample:reconcile/invocations?Qualifier=live", body: "1",
			status: 400, want: `{"Type":"User","message":"The derived qualifier from the function name does not match the specified qualifier."}`,
			answer: http.Header{"X-Amzn-Errortype": {"InvalidParameterValueException"}},
		},
		{
			name: "a function that does not exist", path: "other/invocations", body: "1",
			status: 404, want: `{"Message":"Function not found: arn:aws:lambda:us-east-1:111122223333:function:other","Type":"User"}`,
			answer: http.Header{"X-Amzn-Errortype": {"ResourceNotFoundException"}},
		},
		{
			name: "a kind of invocation that does not exist", path: "sample/invocations", body: "1",
			header: []string{"X-Amz-Invocation-Type", "Later"}, status: 400,
			want: `{"message":"1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy constraint: ` +
				`Member must satisfy enum value set: [Event, RequestResponse, DryRun]"}`,
			answer: http.Header{"X-Amzn-Errortype": {"ValidationException"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, body := request(t, "POST", url+"/2015-03-31/functions/"+tt.path, tt.body, tt.header...)
			if r.StatusCode != tt.status || body != tt.want {
				t.Errorf("status %d, body %s, want %d, %s", r.StatusCode, body, tt.status, tt.want)
			}
			got := http.Header{}
			for _, name := range []string{"X-Amz-Executed-Version", "X-Amz-Function-Error", "X-Amz-Log-Result", "X-Amzn-Errortype"} {
				if v := r.Header.Values(name); v != nil {
					got[name] = v
				}
			}
			if diff := cmp.Diff(tt.answer, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
	t.Cleanup(func() { // when the rows are done
		if n := front.Counts()["lambda:Invoke"]; n != len(tests) {
			t.Errorf("%d calls recorded as Invoke, want %d", n, len(tests))
		}
	})
}

func TestLogTailAndRequestID(t *testing.T) {
	t.Parallel()
	_, _, url := serve(t, function())
	r, body := request(t, "POST", url+"/2015-03-31/functions/sample/invocations", `{"Do":"context"}`, "X-Amz-Log-Type", "Tail")
	var c struct{ ID string }
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	if c.ID == "" || c.ID != r.Header.Get("X-Amzn-Requestid") {
		t.Errorf("the function saw the request %q, its caller %q", c.ID, r.Header.Get("X-Amzn-Requestid"))
	}
	tail, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Log-Result"))
	if err != nil || !strings.HasPrefix(string(tail), "START RequestId: "+c.ID) {
		t.Errorf("tail of the log %q (%v), want that of the request", tail, err)
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	s, _, url := serve(t, function())
	r, body := request(t, "POST", url+"/2015-03-31/functions/sample/invocations", c.event("call"), "X-Amz-Invocation-Type", "Event")
	if r.StatusCode != 202 || body != "" {
		t.Errorf("status %d, body %q, want 202 and nothing while the function runs", r.StatusCode, body)
	}
	wait(t, "the call of the function", c.begun)
	close(c.release)
	s.Wait()
	if lines := logLines(t, s); !cmp.Equal(lines, []string{"START", "END", "REPORT"}) {
		t.Errorf("log %q, want one invocation", lines)
	}
}

func TestEventsWaitForAFreeSandbox(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	f := function()
	f.Concurrency = 1
	s, _, url := serve(t, f)
	for range 3 {
		request(t, "POST", url+"/2015-03-31/functions/sample/invocations", c.event("call"), "X-Amz-Invocation-Type", "Event")
	}
	wait(t, "the first call", c.begun)
	close(c.release)
	s.Wait()
	if n := strings.Count(strings.Join(logLines(t, s), " "), "REPORT"); n != 3 || len(s.Processes()) != 1 {
		t.Errorf("%d invocations in %d sandboxes, want 3 in one", n, len(s.Processes()))
	}
}

// What functions reserve is on top of what the lab was given for all others.
func TestAccountSettings(t *testing.T) {
	t.Parallel()
	f := function()
	f.Concurrency = 10
	_, front, url := serveWith(t, lambda.Options{Concurrency: 100}, f)
	for _, path := range []string{"/2016-08-19/account-settings", "/2016-08-19/account-settings/"} {
		r, body := request(t, "GET", url+path, "")
		want := `{"AccountLimit":{"CodeSizeUnzipped":262144000,"CodeSizeZipped":52428800,"ConcurrentExecutions":110,` +
			`"TotalCodeSize":80530636800,"UnreservedConcurrentExecutions":100},"AccountUsage":{"FunctionCount":1}}`
		if r.StatusCode != 200 || body != want {
			t.Errorf("%s: %d %s\nwant %s", path, r.StatusCode, body, want)
		}
	}
	if n := front.Counts()["lambda:GetAccountSettings"]; n != 2 {
		t.Errorf("it was recorded %d times", n)
	}
}

func TestDescriptions(t *testing.T) {
	t.Parallel()
	f := function()
	f.Env = map[string]string{"USERNAME": "alice"}
	f.Concurrency = 10
	f.Role = "rotate-role"
	_, _, url := serve(t, f)
	want := map[string]any{
		"FunctionName": "sample", "FunctionArn": "arn:aws:lambda:us-east-1:111122223333:function:sample",
		"Runtime": "provided.al2023", "Role": "arn:aws:iam::111122223333:role/rotate-role", "Handler": "bootstrap",
		"Description": "", "Timeout": 60.0, "MemorySize": 128.0, "Version": "$LATEST", "State": "Active",
		"LastUpdateStatus": "Successful", "PackageType": "Zip", "TracingConfig": map[string]any{"Mode": "PassThrough"},
		"LoggingConfig": map[string]any{"LogFormat": "Text", "LogGroup": "/aws/lambda/sample"},
		"Environment":   map[string]any{"Variables": map[string]any{"USERNAME": "alice"}},
	}
	tests := []struct {
		name, path string
		of         func(map[string]any) any // the configuration within the answer
	}{
		{"GetFunctionConfiguration", "/sample/configuration", func(m map[string]any) any { return m }},
		{"GetFunction", "/sample", func(m map[string]any) any { return m["Configuration"] }},
		{"ListFunctions", "", func(m map[string]any) any { return m["Functions"].([]any)[0] }},
		{"ListFunctions as older clients ask", "/", func(m map[string]any) any { return m["Functions"].([]any)[0] }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, body := request(t, "GET", url+"/2015-03-31/functions"+tt.path, "")
			var answer map[string]any
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err)
			}
			got := tt.of(answer).(map[string]any)
			delete(got, "LastModified")
			delete(got, "Architectures")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
	r, _ := request(t, "GET", url+"/2018-10-31/layers", "")
	if code := r.Header.Get("X-Amzn-Errortype"); code != "UnknownOperationException" {
		t.Errorf("an operation that does not exist: %q", code)
	}
}

func TestBadFunctions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		function lambda.Function
		want     []string
	}{
		{"everything that is wrong is named", lambda.Function{
			Name: "a b", Timeout: 3600e9, Aliases: []string{"1"}, Env: map[string]string{"AWS_REGION": "x", "1": "y"},
		}, []string{`function name "a b"`, "timeout 1h0m0s", `alias "1"`, "variable AWS_REGION is reserved", `variable "1"`, "no command"}},
		{"a program that does not exist", lambda.Function{Name: "sample", Command: []string{"./none"}}, []string{"none: no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := lambda.New(lambda.Options{Dir: t.TempDir()}).AddFunction(tt.function)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to name %s", err, want)
				}
			}
		})
	}
}
