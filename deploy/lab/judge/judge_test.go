// Package judge has the lab judged by clients that nobody here wrote: Python
// programs make every call with boto3 and some with awscli, and hold each raw
// answer against botocore's model of the service. There is no Go code beside
// the tests that run them.
package judge_test

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/cloudtrail"
	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/s3"
	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/sns"
	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/ssm"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

const functionARN = "arn:aws:lambda:us-east-1:111122223333:function:judge"

// busy is a rotation function that does not end before the lab does.
type busy struct{}

func (busy) Invoke(ctx context.Context, _ string, payload []byte) (secretsmanager.InvokeResult, error) {
	if bytes.Contains(payload, []byte(`"Step":"testSecret"`)) {
		return secretsmanager.InvokeResult{}, nil
	}
	<-ctx.Done()
	return secretsmanager.InvokeResult{}, ctx.Err()
}

// node is a managed node that is this machine, for the few lines that the
// judge sends it.
type node string

func (n node) ID() string { return string(n) }

func (n node) Info() ssm.Info {
	return ssm.Info{
		ComputerName: "ip-10-0-0-1.ec2.internal", PlatformType: types.PlatformTypeLinux, PlatformName: "Amazon Linux", PlatformVersion: "2023",
		AgentVersion: "3.3.2746.0", IPAddress: "10.0.0.1", Tags: map[string]string{"Fleet": "judge"}, State: ssm.Online,
	}
}

func (n node) Run(ctx context.Context, s ssm.Script) ssm.Output {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", s.Text)
	for k, v := range s.Env {
		c.Env = append(c.Env, k+"="+v)
	}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	out := ssm.Output{Stdout: stdout.String(), Stderr: stderr.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		out.ExitCode = exit.ExitCode()
	} else if err != nil {
		out.ExitCode, out.Stderr = 1, err.Error()
	}
	return out
}

func TestJudge(t *testing.T) {
	t.Parallel()
	needPython(t)
	for program, mount := range map[string]func(*testing.T, *wire.Front){
		"secretsmanager": func(t *testing.T, f *wire.Front) {
			s, err := secretsmanager.New(secretsmanager.Options{
				Dir: t.TempDir(), Invoker: busy{}, MayInvoke: func(arn, _ string) bool { return arn == functionARN },
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			f.Handle("secretsmanager", s)
		},
		"cloudtrail": func(_ *testing.T, f *wire.Front) {
			s := cloudtrail.New(cloudtrail.Options{Rate: 1000}) // its limit is held elsewhere: boto3 would wait
			f.Observe(s.Record)
			f.Handle("cloudtrail", s)
		},
		"events": func(t *testing.T, f *wire.Front) {
			nowhere := func(context.Context, string, string, []byte) error { return nil }
			s := events.New(events.Options{Targets: map[string]events.Target{"lambda": nowhere, "sqs": nowhere}})
			t.Cleanup(s.Close)
			f.Handle("events", s)
		},
		"s3": func(t *testing.T, f *wire.Front) {
			s, err := s3.New(s3.Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			f.HandleHTTP("s3", s)
		},
		"iam": func(_ *testing.T, f *wire.Front) {
			iam.New("111122223333", "us-east-1", iam.Options{}).HandleIn(f)
		},
		"ssm": func(t *testing.T, f *wire.Front) {
			s := ssm.New(ssm.Options{Nodes: func() []ssm.Node { return []ssm.Node{node("i-0000000000000001a"), node("i-0000000000000002a")} }})
			t.Cleanup(s.Close)
			f.Handle("ssm", s)
		},
		"sqs": func(t *testing.T, f *wire.Front) { mountSQS(t, f) },
		"sns": func(t *testing.T, f *wire.Front) {
			s := sns.New(sns.Options{Dir: t.TempDir(), Queues: queues{mountSQS(t, f)}})
			t.Cleanup(s.Close)
			f.HandleQuery("sns", sns.Namespace, s)
		},
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			front := wire.New(wire.Options{})
			mount(t, front)
			server := httptest.NewServer(front)
			t.Cleanup(server.Close)
			c := exec.CommandContext(t.Context(), "python3", program+".py")
			c.Env = environment(server.URL)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			for _, call := range front.Calls() {
				if len(call.Unknown) > 0 {
					t.Errorf("%s was sent %v, which the lab does not know", call.Action, call.Unknown)
				}
			}
		})
	}
}

func mountSQS(t *testing.T, f *wire.Front) *sqs.Service {
	t.Helper()
	s := sqs.New(sqs.Options{})
	t.Cleanup(s.Close)
	f.Handle("sqs", s)
	return s
}

// queues is SQS as SNS sees it.
type queues struct{ service *sqs.Service }

func (q queues) Deliver(ctx context.Context, m sns.QueueMessage) error {
	attributes := map[string]sqs.Attribute{}
	for name, a := range m.Attributes {
		attributes[name] = sqs.Attribute(a)
	}
	return q.service.Deliver(ctx, sqs.Delivery{
		QueueARN: m.QueueARN, Principal: "sns.amazonaws.com", SourceARN: m.TopicARN, Body: m.Body, Attributes: attributes,
	})
}

// TestFilterPolicies asks moto for its opinion on the lab's own table.
func TestFilterPolicies(t *testing.T) {
	t.Parallel()
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import moto.sns.utils").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 with moto is missing")
		}
		t.Skip("needs python3 with moto")
	}
	out, err := exec.CommandContext(t.Context(), "python3", "filters.py", "../sns/testdata/filters.json").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// tampered is a service whose every answer is wrong in one way.
type tampered struct{}

func (tampered) Serve(_ context.Context, r wire.Request) (any, error) {
	var in struct{ SecretId string }
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	switch in.SecretId {
	case "unknown":
		return map[string]any{"ARN": "arn:aws:secretsmanager:x", "Arn": "x"}, nil
	case "type":
		return map[string]any{"CreatedDate": "2026-11-02"}, nil
	case "nested":
		return map[string]any{"Tags": []any{map[string]string{"Key": "k", "Valeu": "v"}}}, nil
	case "null":
		return map[string]any{"Description": nil}, nil
	case "error":
		return nil, &wire.Error{Code: "SecretNotFound", Message: "no"}
	default:
		return nil, &wire.Error{Code: "ResourceNotFoundException", Message: "no", Members: map[string]any{"Id": "x"}}
	}
}

// The judge itself is judged: it sees each of these.
func TestJudgeSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	needPython(t)
	front := wire.New(wire.Options{})
	front.Handle("secretsmanager", tampered{})
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	c := exec.CommandContext(t.Context(), "python3", "-c", `
from model import Judge
judge = Judge("secretsmanager")
for secret in "unknown", "type", "nested", "null":
    judge.call("describe_secret", SecretId=secret)
for secret in "error", "member":
    judge.refused("describe_secret", "ResourceNotFoundException", SecretId=secret)
judge.close()`)
	c.Env = environment(server.URL)
	out, err := c.CombinedOutput()
	if err == nil {
		t.Error("the judge found nothing wrong")
	}
	for _, want := range []string{
		"answer has Arn, which is unknown", "answer.CreatedDate is not a timestamp: '2026-11-02'", "answer.Tags[0] has Valeu, which is unknown",
		"answer.Description is null", "SecretNotFound is no error of DescribeSecret", "ResourceNotFoundException has Id, which is unknown",
		"0 passed, 6 failed",
	} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the judge does not say %q:\n%s", want, out)
		}
	}
}

// tamperedXML is a service of the query protocol, wrong in one way for each
// topic.
type tamperedXML struct{}

func (tamperedXML) Serve(_ context.Context, r wire.Request) (any, error) {
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, err
	}
	switch form.Get("TopicArn") {
	case "member":
		return struct{ MessageID string }{"x"}, nil
	case "nested":
		return struct {
			MessageId struct{ X string }
		}{}, nil
	case "result":
		return nil, nil
	default:
		return nil, &wire.Error{Code: "TopicNotFound"}
	}
}

// The judge sees these as well.
func TestJudgeSeesWhatIsWrongInXML(t *testing.T) {
	t.Parallel()
	needPython(t)
	front := wire.New(wire.Options{})
	front.HandleQuery("sns", sns.Namespace, tamperedXML{})
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	c := exec.CommandContext(t.Context(), "python3", "-c", `
from model import Judge
judge = Judge("sns")
for topic in "member", "nested":
    judge.call("publish", TopicArn=topic, Message="x")
try:
    judge.call("publish", TopicArn="result", Message="x")
except KeyError:
    judge._line("publish", "", judge.found)
judge.refused("publish", "NotFound", TopicArn="error", Message="x")
judge.close()`)
	c.Env = environment(server.URL)
	out, err := c.CombinedOutput()
	if err == nil {
		t.Error("the judge found nothing wrong")
	}
	for _, want := range []string{
		"answer has MessageID, which is unknown", "answer.MessageId has elements", "the answer lacks PublishResult", "TopicNotFound is no error of Publish",
		"0 passed, 4 failed",
	} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the judge does not say %q:\n%s", want, out)
		}
	}
}

// environment is what the programs see: the lab, and nothing of the caller's
// own AWS configuration.
func environment(url string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8",
		"AWS_ENDPOINT_URL=" + url, "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=", "NO_PROXY=*",
		"KEYTRAIL_JUDGE_FUNCTION=" + functionARN,
	}
}

// needPython skips where the judge is missing, except in CI.
func needPython(t *testing.T) {
	t.Helper()
	err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3, shutil, sys; sys.exit(shutil.which('aws') is None)").Run()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal("python3 with boto3 and awscli is missing")
	default:
		t.Skip("needs python3 with boto3 and awscli")
	}
}
