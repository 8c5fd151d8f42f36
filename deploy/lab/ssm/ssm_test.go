package ssm_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/keytrail/keytrail/deploy/lab/ssm"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// node is a managed node whose scripts are functions.
type node struct {
	id  string
	run func(context.Context, ssm.Script) ssm.Output

	mu      sync.Mutex
	info    ssm.Info
	scripts []ssm.Script
}

func (n *node) ID() string { return n.id }

func (n *node) Info() ssm.Info {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.info
}

func (n *node) change(f func(*ssm.Info)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.info)
}

func (n *node) set(s ssm.State) { n.change(func(i *ssm.Info) { i.State = s }) }

func (n *node) Run(ctx context.Context, s ssm.Script) ssm.Output {
	n.mu.Lock()
	n.scripts = append(n.scripts, s)
	n.mu.Unlock()
	if n.run == nil {
		return ssm.Output{}
	}
	return n.run(ctx, s)
}

// ran returns the scripts that were started.
func (n *node) ran() []ssm.Script {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.scripts)
}

// id returns the k-th instance id.
func id(k int) string {
	const digits = "0123456789abcdef"
	b := []byte("i-00000000000000000")
	for p := len(b) - 1; k > 0; p-- {
		b[p] = digits[k%16]
		k /= 16
	}
	return string(b)
}

// fleet returns n nodes that are online and tagged Env=Dev.
func fleet(n int) []*node {
	var list []*node
	for k := range n {
		list = append(list, &node{id: id(k + 1), info: ssm.Info{
			State: ssm.Online, AgentVersion: "3.3.2746.0", PlatformName: "Amazon Linux", PlatformVersion: "2023",
			IPAddress: "192.0.2.1", ComputerName: "host.example", Tags: map[string]string{"Env": "Dev"},
		}})
	}
	return list
}

// exits makes a node answer every script with this code.
func exits(code int) func(context.Context, ssm.Script) ssm.Output {
	return func(context.Context, ssm.Script) ssm.Output { return ssm.Output{ExitCode: code} }
}

// takes makes a node need so long for every script.
func takes(d time.Duration) func(context.Context, ssm.Script) ssm.Output {
	return func(ctx context.Context, _ ssm.Script) ssm.Output {
		select {
		case <-time.After(d):
			return ssm.Output{Stdout: "done"}
		case <-ctx.Done():
			return ssm.Output{Stdout: "stopped", ExitCode: -1}
		}
	}
}

// lab is a service behind a front, and the real SDK in front of it.
type lab struct {
	*awsssm.Client
	t       *testing.T
	service *ssm.Service
	front   *wire.Front
}

// direct lets an HTTP client call a handler without a network, so that tests
// can run under a fake clock.
type direct struct{ handler http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

func start(t *testing.T, nodes []*node, o ssm.Options) *lab {
	t.Helper()
	o.Nodes = func() []ssm.Node {
		list := make([]ssm.Node, len(nodes))
		for k, n := range nodes {
			list[k] = n
		}
		return list
	}
	l := &lab{t: t, service: ssm.New(o), front: wire.New(wire.Options{})}
	t.Cleanup(l.service.Close)
	l.front.Handle("ssm", l.service)
	l.Client = client(direct{l.front}, "http://lab.invalid")
	return l
}

func client(h awsssm.HTTPClient, endpoint string) *awsssm.Client {
	return awsssm.New(awsssm.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, HTTPClient: h, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
}

// shell is a request that runs a script on nodes.
func shell(nodes ...*node) *awsssm.SendCommandInput {
	in := &awsssm.SendCommandInput{DocumentName: new("AWS-RunShellScript"), Parameters: map[string][]string{"commands": {"true"}}}
	for _, n := range nodes {
		in.InstanceIds = append(in.InstanceIds, n.id)
	}
	return in
}

// tagged is a request that runs a script where a tag has one of the values.
func tagged(key string, values ...string) *awsssm.SendCommandInput {
	in := shell()
	in.Targets = []types.Target{{Key: new("tag:" + key), Values: values}}
	return in
}

func (l *lab) send(in *awsssm.SendCommandInput) *types.Command {
	l.t.Helper()
	out, err := l.SendCommand(l.t.Context(), in)
	if err != nil {
		l.t.Fatal(err)
	}
	return out.Command
}

func (l *lab) command(id string) types.Command {
	l.t.Helper()
	out, err := l.ListCommands(l.t.Context(), &awsssm.ListCommandsInput{CommandId: &id})
	if err != nil {
		l.t.Fatal(err)
	}
	if len(out.Commands) != 1 {
		l.t.Fatalf("ListCommands returned %d commands, want 1", len(out.Commands))
	}
	return out.Commands[0]
}

func (l *lab) invocations(id string) map[string]types.CommandInvocation {
	l.t.Helper()
	found := map[string]types.CommandInvocation{}
	pages := awsssm.NewListCommandInvocationsPaginator(l.Client, &awsssm.ListCommandInvocationsInput{CommandId: &id, Details: true})
	for pages.HasMorePages() {
		page, err := pages.NextPage(l.t.Context())
		if err != nil {
			l.t.Fatal(err)
		}
		for _, i := range page.CommandInvocations {
			found[*i.InstanceId] = i
		}
	}
	return found
}

// details counts a command's invocations by StatusDetails.
func (l *lab) details(id string) map[string]int {
	counts := map[string]int{}
	for _, i := range l.invocations(id) {
		counts[*i.StatusDetails]++
	}
	return counts
}

// bubble runs a test under a fake clock, in which waiting costs nothing.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Parallel()
	synctest.Test(t, test)
}

// failure returns an error's code and message as "Code: message".
func failure(t *testing.T, err error) string {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		t.Fatalf("error is %v, want one of the API", err)
	}
	return e.ErrorCode() + ": " + e.ErrorMessage()
}

func TestThrottling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := start(t, fleet(1), ssm.Options{Rate: map[string]float64{"ListCommands": 2}})
		list := func() string {
			if _, err := l.ListCommands(t.Context(), &awsssm.ListCommandsInput{}); err != nil {
				return failure(t, err)
			}
			return ""
		}
		const refused = "ThrottlingException: Rate exceeded"
		got := []string{list(), list(), list()}
		time.Sleep(500 * time.Millisecond)
		got = append(got, list(), list())
		if want := []string{"", "", refused, "", refused}; !slices.Equal(got, want) {
			t.Errorf("answers are %q, want %q", got, want)
		}
		if _, err := l.ListCommandInvocations(t.Context(), &awsssm.ListCommandInvocationsInput{}); err != nil {
			t.Errorf("another action: %v", err)
		}
	})
}

// TestOverTCP is the one test in which the SDK sees a network.
func TestOverTCP(t *testing.T) {
	t.Parallel()
	nodes := fleet(50)
	ran := make(chan string, len(nodes))
	for _, n := range nodes {
		n.run = func(context.Context, ssm.Script) ssm.Output {
			ran <- n.id
			return ssm.Output{Stdout: "hello"}
		}
	}
	l := start(t, nodes, ssm.Options{})
	server := httptest.NewServer(l.front)
	t.Cleanup(server.Close)
	l.Client = client(server.Client(), server.URL)
	c := l.send(shell(nodes...))
	for range nodes {
		<-ran
	}
	for *l.command(*c.CommandId).StatusDetails == "InProgress" {
	}
	for id, i := range l.invocations(*c.CommandId) {
		if *i.StatusDetails != "Success" || *i.CommandPlugins[0].Output != "hello" {
			t.Errorf("%s: %s, %q", id, *i.StatusDetails, *i.CommandPlugins[0].Output)
		}
	}
}

func BenchmarkCommandOn50Nodes(b *testing.B) {
	var nodes []ssm.Node
	for _, n := range fleet(50) {
		nodes = append(nodes, n)
	}
	s := ssm.New(ssm.Options{Nodes: func() []ssm.Node { return nodes }})
	defer s.Close()
	front := wire.New(wire.Options{})
	front.Handle("ssm", s)
	server := httptest.NewServer(front)
	defer server.Close()
	c := client(server.Client(), server.URL)
	in := shell()
	for _, n := range nodes {
		in.InstanceIds = append(in.InstanceIds, n.ID())
	}
	polls := 0
	for b.Loop() {
		out, err := c.SendCommand(b.Context(), in)
		if err != nil {
			b.Fatal(err)
		}
		for done := 0; done < len(nodes); {
			polls++
			page, err := c.ListCommandInvocations(b.Context(), &awsssm.ListCommandInvocationsInput{CommandId: out.Command.CommandId, Details: true})
			if err != nil {
				b.Fatal(err)
			}
			done = 0
			for _, i := range page.CommandInvocations {
				if i.Status == types.CommandInvocationStatusSuccess {
					done++
				}
			}
		}
	}
	b.ReportMetric(float64(polls)/b.Elapsed().Seconds(), "polls/s")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}
