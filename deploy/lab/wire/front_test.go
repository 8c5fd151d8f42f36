package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// serviceFunc is a Service in one function.
type serviceFunc func(context.Context, wire.Request) (any, error)

func (f serviceFunc) Serve(ctx context.Context, r wire.Request) (any, error) { return f(ctx, r) }

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func newFront(t *testing.T, o wire.Options) (*wire.Front, *httptest.Server) {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	f := wire.New(o)
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, s
}

// secrets is the real SDK client without retries.
func secrets(url, key string) *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: &url, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(key, "secret", ""),
	})
}

func describe(_ context.Context, r wire.Request) (any, error) {
	if r.Action != "DescribeSecret" {
		return nil, wire.UnknownOperation()
	}
	var in secretsmanager.DescribeSecretInput
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	if *in.SecretId == "missing" {
		return nil, &wire.Error{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find the specified secret."}
	}
	return &secretsmanager.DescribeSecretOutput{
		ARN: aws.String("arn"), Name: in.SecretId,
		CreatedDate:        aws.Time(time.UnixMilli(1523477145713)),
		VersionIdsToStages: map[string][]string{"v2": {"AWSCURRENT"}, "v1": {"AWSPREVIOUS"}},
		Tags:               []types.Tag{},
	}, nil
}

func TestGoClient(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{})
	f.Handle("secretsmanager", serviceFunc(describe))
	f.AddIdentity(wire.Identity{AccessKeyID: "AKIAROTATE", ARN: "arn:aws:sts::111122223333:assumed-role/rotate/fn"})
	client := secrets(s.URL, "AKIAROTATE")

	got, err := client.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("alice <key> \"ü\"\n")})
	if err != nil {
		t.Fatal(err)
	}
	if *got.Name != "alice <key> \"ü\"\n" || !got.CreatedDate.Equal(time.UnixMilli(1523477145713)) || got.RotationEnabled != nil {
		t.Errorf("the answer did not survive the wire: %+v", got)
	}
	_, err = client.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("missing")})
	missing, ok := errors.AsType[*types.ResourceNotFoundException](err)
	if !ok || missing.ErrorMessage() != "Secrets Manager can't find the specified secret." {
		t.Errorf("error = %v", err)
	}
	_, err = client.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	if got := code(err); got != "UnknownOperationException" {
		t.Errorf("code of an unknown action = %q", got)
	}

	calls := f.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls recorded, want 3", len(calls))
	}
	c := calls[1]
	if c.Service != "secretsmanager" || c.Action != "DescribeSecret" || c.Region != "us-east-1" || c.Status != 400 ||
		c.ErrorCode != "ResourceNotFoundException" || c.Caller.ARN != "arn:aws:sts::111122223333:assumed-role/rotate/fn" ||
		!c.Time.Equal(noon) || c.SourceIP != "127.0.0.1" || c.Attempt != 1 || !strings.HasPrefix(c.UserAgent, "aws-sdk-go-v2/") {
		t.Errorf("recorded call = %+v", c)
	}
	if diff := cmp.Diff(map[string]int{"secretsmanager:DescribeSecret": 2, "secretsmanager:ListSecrets": 1}, f.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	f.ResetCalls()
	if len(f.Calls()) != 0 || len(f.Counts()) != 0 {
		t.Error("calls are left after the reset")
	}
}

func code(err error) string {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	return e.ErrorCode()
}

// SSM's filters are among the few members in lower case.
func TestLowerCaseMembers(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{})
	f.Handle("ssm", serviceFunc(func(_ context.Context, r wire.Request) (any, error) {
		var in ssm.ListCommandsInput
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		return &ssm.ListCommandsOutput{NextToken: in.Filters[0].Value}, nil
	}))
	client := ssm.New(ssm.Options{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")})
	out, err := client.ListCommands(t.Context(), &ssm.ListCommandsInput{
		Filters: []ssmtypes.CommandFilter{{Key: ssmtypes.CommandFilterKeyStatus, Value: aws.String("Success")}},
	})
	if err != nil || *out.NextToken != "Success" {
		t.Errorf("ListCommands = %v, %v", out, err)
	}
	if u := f.Calls()[0].Unknown; len(u) > 0 {
		t.Errorf("unknown members %v", u)
	}
}

const authorization = "AWS4-HMAC-SHA256 Credential=AKIA/20261102/us-east-1/%s/aws4_request, SignedHeaders=host, Signature=0"

// raw posts a JSON 1.1 request by hand and returns status, headers and body.
func raw(t *testing.T, url string, header map[string]string, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func scoped(service string) string { return strings.Replace(authorization, "%s", service, 1) }

func TestRequestsOnTheWire(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{})
	f.Handle("secretsmanager", serviceFunc(describe))
	echo := serviceFunc(func(_ context.Context, r wire.Request) (any, error) {
		return map[string]string{"Action": r.Action}, nil
	})
	f.Handle("cloudtrail", echo)
	f.Handle("broken", serviceFunc(func(context.Context, wire.Request) (any, error) { return nil, errors.New("disk full") }))

	for name, test := range map[string]struct {
		header map[string]string
		body   string
		status int
		want   string
	}{
		"no authentication": {
			header: map[string]string{"X-Amz-Target": "secretsmanager.DescribeSecret"}, status: 400,
			want: `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`,
		},
		"another authentication scheme": {
			header: map[string]string{"Authorization": "Bearer x"}, status: 400,
			want: `{"__type":"IncompleteSignatureException","message":"Authorization header requires 'AWS4-HMAC-SHA256'."}`,
		},
		"a credential without a scope": {
			header: map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA"}, status: 400,
			want: `{"__type":"IncompleteSignatureException","message":"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIA'"}`,
		},
		"another Region": {
			header: map[string]string{"Authorization": strings.Replace(scoped("secretsmanager"), "us-east-1", "eu-west-1", 1), "X-Amz-Target": "secretsmanager.DescribeSecret"},
			status: 400,
			want:   `{"__type":"InvalidSignatureException","message":"Credential should be scoped to a valid Region, not 'eu-west-1'."}`,
		},
		"a service that the lab lacks": {
			header: map[string]string{"Authorization": scoped("kms"), "X-Amz-Target": "TrentService.Decrypt"}, status: 400,
			want: `{"__type":"UnknownOperationException","message":"The lab has no service 'kms'."}`,
		},
		"no target": {
			header: map[string]string{"Authorization": scoped("secretsmanager")}, status: 400,
			want: `{"__type":"UnknownOperationException"}`,
		},
		"the target of another service": {
			header: map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "AmazonSSM.DescribeSecret"}, status: 400,
			want: `{"__type":"UnknownOperationException"}`,
		},
		"an unknown action": {
			header: map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "secretsmanager.Nothing"}, status: 400,
			want: `{"__type":"UnknownOperationException"}`,
		},
		"a modelled error": {
			header: map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "secretsmanager.DescribeSecret"},
			body:   `{"SecretId":"missing"}`, status: 400,
			want: `{"Message":"Secrets Manager can't find the specified secret.","__type":"ResourceNotFoundException"}`,
		},
		"a value of the wrong kind": {
			header: map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "secretsmanager.DescribeSecret"},
			body:   `{"SecretId":7}`, status: 400,
			want: `{"__type":"SerializationException","message":"NUMBER_VALUE can not be converted to a String"}`,
		},
		"a body that is cut": {
			header: map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "secretsmanager.DescribeSecret"},
			body:   `{"SecretId":"a`, status: 400,
			want: `{"__type":"SerializationException"}`,
		},
		"unknown members are ignored": {
			header: map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "secretsmanager.DescribeSecret"},
			body:   `{"SecretId":"a","Colour":"red"}`, status: 200,
			want: `{"ARN":"arn","CreatedDate":1.523477145713E9,"Name":"a","Tags":[],"VersionIdsToStages":{"v1":["AWSPREVIOUS"],"v2":["AWSCURRENT"]}}`,
		},
		"CloudTrail as Go spells it": {
			header: map[string]string{"Authorization": scoped("cloudtrail"), "X-Amz-Target": "CloudTrail_20131101.LookupEvents"}, status: 200,
			want: `{"Action":"LookupEvents"}`,
		},
		"CloudTrail as botocore spells it": {
			header: map[string]string{"Authorization": scoped("cloudtrail"), "X-Amz-Target": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"}, status: 200,
			want: `{"Action":"LookupEvents"}`,
		},
		"an error that AWS would not show": {
			header: map[string]string{"Authorization": scoped("broken"), "X-Amz-Target": "Broken.Act"}, status: 500,
			want: `{"__type":"InternalFailure","message":"disk full"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, body := raw(t, s.URL, test.header, test.body)
			if resp.StatusCode != test.status || body != test.want {
				t.Errorf("answer = %d %s\nwant     %d %s", resp.StatusCode, body, test.status, test.want)
			}
			if resp.Header.Get("x-amzn-RequestId") == "" || resp.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
				t.Errorf("headers = %v", resp.Header)
			}
			var e struct {
				Type string `json:"__type"`
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil || resp.Header.Get("x-amzn-ErrorType") != e.Type {
				t.Errorf("x-amzn-ErrorType = %q, want %q (%v)", resp.Header.Get("x-amzn-ErrorType"), e.Type, err)
			}
		})
	}
}

func TestUnknownMembersAreRecorded(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{})
	f.Handle("secretsmanager", serviceFunc(func(_ context.Context, r wire.Request) (any, error) {
		return nil, r.Decode(&secretsmanager.CreateSecretInput{})
	}))
	raw(t, s.URL, map[string]string{"Authorization": scoped("secretsmanager"), "X-Amz-Target": "secretsmanager.CreateSecret"},
		`{"name":"a","Tags":[{"Key":"k","Valeu":"v"}]}`)
	if diff := cmp.Diff([]string{"Tags[0].Valeu", "name"}, f.Calls()[0].Unknown); diff != "" {
		t.Errorf("unknown members (-want +got):\n%s", diff)
	}
}

// handler is a REST service that names its actions.
type handler struct{ http.HandlerFunc }

func (handler) Action(r *http.Request) string {
	if strings.HasSuffix(r.URL.Path, "/invocations") {
		return "Invoke"
	}
	return ""
}

func TestHandlers(t *testing.T) {
	t.Parallel()
	f, s := newFront(t, wire.Options{})
	f.HandleHTTP("lambda", handler{func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, wire.IdentityFrom(r.Context()).ARN+" "+wire.RequestFrom(r.Context()).Action+" "+string(b))
	}})
	f.HandleHTTP("sns", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.FormValue("Action"))
	}))
	form := map[string]string{"Authorization": scoped("sns"), "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

	resp, body := raw(t, s.URL+"/2015-03-31/functions/f/invocations", map[string]string{"Authorization": scoped("lambda")}, "payload")
	if want := "arn:aws:iam::111122223333:user/operator Invoke payload"; resp.StatusCode != 202 || body != want || resp.Header.Get("X-Amz-Executed-Version") != "$LATEST" {
		t.Errorf("Invoke = %d %q %v", resp.StatusCode, body, resp.Header)
	}
	if _, body := raw(t, s.URL, form, "Action=Publish&Message=m"); body != "Publish" {
		t.Errorf("Publish = %q", body)
	}
	if diff := cmp.Diff(map[string]int{"lambda:Invoke": 1, "sns:Publish": 1}, f.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}

	f.Inject(wire.Fault{Do: wire.Deny})
	f.HandleHTTP("s3", http.NotFoundHandler())
	f.HandleHTTP("ec2", http.NotFoundHandler())
	for service, want := range map[string]string{
		"lambda": `"Type":"User"`,
		"sns":    "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code>",
		"ec2":    "<Response><Errors><Error><Code>AccessDeniedException</Code>",
		"s3":     "<Error><Code>AccessDeniedException</Code>",
	} {
		header := map[string]string{"Authorization": scoped(service)}
		if service == "sns" {
			header = form
		}
		if _, body := raw(t, s.URL, header, "Action=Publish"); !strings.Contains(body, want) {
			t.Errorf("%s denies with %s, want %s in it", service, body, want)
		}
	}
}

func TestRequestIDsComeFromTheSeed(t *testing.T) {
	t.Parallel()
	var ids []string
	for range 2 {
		f, s := newFront(t, wire.Options{Seed: 7})
		f.Handle("x", serviceFunc(describe))
		resp, _ := raw(t, s.URL, map[string]string{"Authorization": scoped("x"), "X-Amz-Target": "X.Y"}, "")
		ids = append(ids, resp.Header.Get("x-amzn-RequestId"))
		if f.Calls()[0].ID != ids[len(ids)-1] {
			t.Errorf("recorded id %s, answered %s", f.Calls()[0].ID, ids[len(ids)-1])
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("ids of the same seed differ: %v", ids)
	}
}
