package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/ec2"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/ssm"
)

// secretsManager is who invokes rotation functions, lambdaService who assumes
// their roles.
const (
	secretsManager = "secretsmanager.amazonaws.com"
	lambdaService  = "lambda.amazonaws.com"
)

// invoker is Lambda as Secrets Manager sees it: each invocation needs the
// function's own policy.
type invoker struct {
	service *lambda.Service
	gate    *iam.Gate
}

func (i invoker) Invoke(ctx context.Context, functionARN string, payload []byte) (secretsmanager.InvokeResult, error) {
	var event struct{ SecretId string }
	if err := json.Unmarshal(payload, &event); err != nil {
		return secretsmanager.InvokeResult{}, err
	}
	if !i.gate.MayInvoke(secretsManager, functionARN, event.SecretId) {
		return secretsmanager.InvokeResult{}, fmt.Errorf("%s may not invoke %s for %s", secretsManager, functionARN, event.SecretId)
	}
	r, err := i.service.Invoke(ctx, functionARN, payload)
	return secretsmanager.InvokeResult{Payload: r.Payload, FunctionError: r.FunctionError}, err
}

// mayRotate tells whether a function exists and lets Secrets Manager invoke it
// for a secret.
func (l *Lab) mayRotate(functionARN, secretARN string) bool {
	return l.lambda.Has(functionARN) && l.gate.MayInvoke(secretsManager, functionARN, secretARN)
}

// directory is what IAM sees of the services.
type directory struct{ lab *Lab }

func (d directory) Secret(id string) (iam.Secret, bool) {
	s, ok := d.lab.secrets.Look(id)
	return iam.Secret(s), ok
}

func (d directory) Tags(arn string) map[string]string { return d.lab.ssm.DocumentTags(arn) }

func (d directory) Key(arn string) string {
	if strings.HasPrefix(arn, "arn:aws:sns:") {
		return d.lab.sns.Key(arn)
	}
	return d.lab.sqs.Key(arn)
}

// nodes returns all hosts as Systems Manager sees them.
func (l *Lab) nodes() []ssm.Node {
	hosts := l.Hosts()
	list := make([]ssm.Node, len(hosts))
	for i, h := range hosts {
		list[i] = node{h}
	}
	return list
}

// instances returns the hosts that are EC2 instances, as EC2 sees them.
func (l *Lab) instances() []ec2.Instance {
	var list []ec2.Instance
	for _, h := range l.Hosts() {
		if !strings.HasPrefix(h.ID(), "i-") {
			continue
		}
		i := h.Info()
		state := "running"
		if i.State == host.Stopped {
			state = "stopped"
		}
		list = append(list, ec2.Instance{ID: h.ID(), State: state, Tags: i.Tags})
	}
	return list
}

// node is a host as Systems Manager sees it.
type node struct{ host *host.Host }

func (n node) ID() string { return n.host.ID() }

func (n node) Info() ssm.Info {
	i := n.host.Info()
	return ssm.Info{
		Name:            i.Name,
		ComputerName:    i.ComputerName,
		ResourceType:    types.ResourceType(i.ResourceType),
		PlatformType:    types.PlatformType(i.PlatformType),
		PlatformName:    i.PlatformName,
		PlatformVersion: i.PlatformVersion,
		AgentVersion:    i.AgentVersion,
		IPAddress:       i.IPAddress,
		Tags:            i.Tags,
		State:           ssm.State(i.State),
	}
}

func (n node) Run(ctx context.Context, s ssm.Script) ssm.Output {
	out := n.host.Run(ctx, host.Script{Text: s.Text, Env: s.Env, Timeout: s.Timeout})
	return ssm.Output{Stdout: out.Stdout, Stderr: out.Stderr, ExitCode: out.ExitCode, TimedOut: out.TimedOut}
}
