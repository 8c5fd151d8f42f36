package events

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/audit/report"
	"github.com/keytrail/keytrail/rotate"
)

// asked is one call as it came in.
type asked struct{ URI, Target, Body string }

// wire answers every call with one reply, and keeps what was asked.
func wire(t *testing.T, status int, header map[string]string, body string) (aws.Config, *[]asked) {
	t.Helper()
	var all []asked
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		all = append(all, asked{r.Method + " " + r.URL.RequestURI(), r.Header.Get("X-Amz-Target"), string(text)})
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")}, &all
}

const (
	functionARN = "arn:aws:lambda:us-east-1:111122223333:function:keytrail-rotate"
	checksURL   = "https://sqs.us-east-1.amazonaws.com/111122223333/keytrail-checks"
	deadURL     = "https://sqs.us-east-1.amazonaws.com/111122223333/keytrail-dead-letters"
)

func TestAnActionIsAskedForThroughItsAlias(t *testing.T) {
	t.Parallel()
	config, all := wire(t, 200, nil, `{"Action":"reconcile","Version":"v"}`)
	result, err := NewRotator(config, functionARN).Ask(t.Context(), rotate.ActionRequest{Action: rotate.Reconcile, SecretID: "arn"})
	if err != nil || result.Version != "v" {
		t.Errorf("%+v, %v", result, err)
	}
	want := []asked{{"POST /2015-03-31/functions/keytrail-rotate/invocations?Qualifier=reconcile", "", `{"Action":"reconcile","SecretId":"arn"}`}}
	if diff := cmp.Diff(want, *all); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestWhyAnActionFailedIsTold(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   string
	}{
		{"the function's own error", 200, map[string]string{"X-Amz-Function-Error": "Unhandled"}, `{"errorMessage":"the secret is held","errorType":"E"}`, "the secret is held"},
		{"an error without a message", 200, map[string]string{"X-Amz-Function-Error": "Unhandled"}, `null`, "Unhandled"},
		{"Lambda's error", 403, map[string]string{"X-Amzn-Errortype": "AccessDeniedException:http://internal.amazon.com/"}, `{"Message":"not you"}`, "invoke keytrail-rotate: AccessDeniedException (403): not you"},
		{"no JSON", 200, nil, `<html>`, "read the answer of keytrail-rotate: invalid character '<' looking for beginning of value"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			config, _ := wire(t, row.status, row.header, row.body)
			if _, err := NewRotator(config, functionARN).Ask(t.Context(), rotate.ActionRequest{}); err == nil || err.Error() != row.want {
				t.Errorf("error %v, want %s", err, row.want)
			}
		})
	}
}

func TestChecksAreAskedForInBatches(t *testing.T) {
	t.Parallel()
	config, all := wire(t, 200, nil, `{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"x"}]}`)
	var messages []string
	for i := range 11 {
		messages = append(messages, fmt.Sprintf(`{"n":%d}`, i))
	}
	if err := newQueues(config, checksURL, deadURL).ask(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	if len(*all) != 2 || !strings.Contains((*all)[0].Body, `{"Id":"9","MessageBody":"{\"n\":9}"}`) {
		t.Fatalf("asked %+v", *all)
	}
	want := asked{"POST /", "AmazonSQS.SendMessageBatch", `{"QueueUrl":"` + checksURL + `","Entries":[{"Id":"0","MessageBody":"{\"n\":10}"}]}`}
	if diff := cmp.Diff(want, (*all)[1]); diff != "" {
		t.Errorf("the second call (-want +got):\n%s", diff)
	}
}

func TestAMalformedEventIsSentWithItsReason(t *testing.T) {
	t.Parallel()
	config, all := wire(t, 200, nil, `{"MessageId":"m","MD5OfMessageBody":"x"}`)
	if err := newQueues(config, checksURL, deadURL).bury(t.Context(), []byte("a\x00b"), &MalformedError{ID: "7", Reason: "no time"}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		QueueURL          string `json:"QueueUrl"`
		MessageBody       string
		MessageAttributes map[string]map[string]string
	}
	if err := json.Unmarshal([]byte((*all)[0].Body), &got); err != nil {
		t.Fatal(err)
	}
	if got.QueueURL != deadURL || got.MessageBody != "a\uFFFDb" || got.MessageAttributes["ERROR_CODE"]["DataType"] != "String" ||
		!strings.Contains(got.MessageAttributes["ERROR_MESSAGE"]["StringValue"], "no time") || (*all)[0].Target != "AmazonSQS.SendMessage" {
		t.Errorf("sent %+v", *all)
	}
}

func TestWhatAQueueRefusesIsTold(t *testing.T) {
	t.Parallel()
	config, _ := wire(t, 200, nil, `{"Failed":[{"Id":"0","Code":"InternalError","Message":"later","SenderFault":false}]}`)
	if err := newQueues(config, checksURL, deadURL).ask(t.Context(), []string{"a", "b"}); err == nil || err.Error() != "ask for checks: 1 of 2: InternalError: later" {
		t.Errorf("error %v", err)
	}
	config, _ = wire(t, 400, nil, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`)
	if err := newQueues(config, checksURL, deadURL).ask(t.Context(), []string{"a"}); err == nil || err.Error() != "ask for checks: QueueDoesNotExist (400): no such queue" {
		t.Errorf("error %v", err)
	}
}

// TestFindingsAreImportedWhereSecurityHubTakesThem posts a report as BatchImportFindings has it, and tells which
// finding was not taken and why.
func TestFindingsAreImportedWhereSecurityHubTakesThem(t *testing.T) {
	t.Parallel()
	r := report.Report{Stack: report.Stack{Account: "111122223333", Region: "us-east-1"}, Findings: []report.Finding{
		{ID: "f-1", Control: "KT-6", Title: "A retired key is still trusted", Severity: report.Critical, Status: report.Open},
		{ID: "f-2", Control: "KT-6", Title: "A retired key is still trusted", Severity: report.Critical, Status: report.Mended},
	}}
	config, all := wire(t, 200, nil, `{"FailedCount":0,"SuccessCount":2,"FailedFindings":[]}`)
	if err := newHub(config).take(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var sent struct {
		Findings []struct{ ID, RecordState string }
	}
	if err := json.Unmarshal([]byte((*all)[0].Body), &sent); err != nil || len(*all) != 1 || (*all)[0].URI != "POST /findings/import" {
		t.Fatalf("%+v, %v", *all, err)
	}
	if f := sent.Findings; len(f) != 2 || f[0].RecordState != "ACTIVE" || f[1].RecordState != "ARCHIVED" || f[0].ID == f[1].ID {
		t.Errorf("%+v", f)
	}
	config, _ = wire(t, 200, nil, `{"FailedCount":1,"SuccessCount":1,"FailedFindings":[{"Id":"f-2","ErrorCode":"InvalidInput","ErrorMessage":"too long"}]}`)
	if err := newHub(config).take(t.Context(), r); err == nil || !strings.Contains(err.Error(), "f-2: InvalidInput: too long") {
		t.Errorf("the error is %v", err)
	}
	config, _ = wire(t, 403, map[string]string{"X-Amzn-Errortype": "InvalidAccessException"}, `{"Message":"Account is not subscribed to AWS Security Hub"}`)
	if err := newHub(config).take(t.Context(), r); err == nil || !strings.Contains(err.Error(), "InvalidAccessException (403): Account is not subscribed") {
		t.Errorf("the error is %v", err)
	}
}
