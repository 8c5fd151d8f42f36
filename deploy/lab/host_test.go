package lab_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
)

// tools builds the hosts' program once.
var tools = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(rotator), "hosttools")
	return path, host.Build(context.Background(), path)
})

const (
	first  = "i-00000000000000001"
	second = "i-00000000000000002"
)

func withHosts(t *testing.T, o lab.Options) lab.Options {
	t.Helper()
	var err error
	if o.Tools, err = tools(); err != nil {
		t.Fatal(err)
	}
	users := []host.User{{Name: "alice"}}
	tags := map[string]string{"Fleet": "web"}
	o.Hosts = []host.Spec{{ID: first, Users: users, Tags: tags}, {ID: second, Users: users, Tags: tags}}
	return o
}

// send runs a foreign script on the fleet, and returns how each node answered.
func send(t *testing.T, l *lab.Lab, script string) map[string]string {
	t.Helper()
	c := ssm.NewFromConfig(clientConfig(t, l))
	sent, err := c.SendCommand(t.Context(), &ssm.SendCommandInput{
		DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: ids(l), Parameters: map[string][]string{"commands": {script}},
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{}
	for _, id := range ids(l) {
		waiter := ssm.NewCommandExecutedWaiter(c, func(o *ssm.CommandExecutedWaiterOptions) {
			o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
		})
		out, err := waiter.WaitForOutput(t.Context(), &ssm.GetCommandInvocationInput{CommandId: sent.Command.CommandId, InstanceId: &id}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		answers[id] = *out.StandardOutputContent
	}
	return answers
}

func ids(l *lab.Lab) []string {
	var list []string
	for _, h := range l.Hosts() {
		list = append(list, h.ID())
	}
	return list
}

func TestCommandReachesHosts(t *testing.T) {
	t.Parallel()
	l := start(t, withHosts(t, lab.Options{Dir: t.TempDir()}))
	got := send(t, l, "mkdir -p ~alice/.ssh && echo key >> ~alice/.ssh/authorized_keys && wc -l < ~alice/.ssh/authorized_keys")
	if diff := cmp.Diff(map[string]string{first: "1\n", second: "1\n"}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	for _, h := range l.Hosts() {
		path := filepath.Join(l.Dir(), "hosts", h.ID(), "home", "alice", ".ssh", "authorized_keys")
		if keys, err := os.ReadFile(path); err != nil || string(keys) != "key\n" {
			t.Errorf("%s: %q, %v, want the key", path, keys, err)
		}
	}
}

func TestHostsOfAnEarlierRun(t *testing.T) {
	t.Parallel()
	o := withHosts(t, lab.Options{Dir: t.TempDir()})
	l, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Host(first).WriteKeys("alice", "a key"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.Hosts = append(o.Hosts, host.Spec{ID: "mi-00000000000000001"})
	l = start(t, o)
	if diff := cmp.Diff([]string{first, second, "mi-00000000000000001"}, ids(l)); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if keys, err := os.ReadFile(l.Host(first).AuthorizedKeys("alice")); err != nil || strings.TrimSpace(string(keys)) != "a key" {
		t.Errorf("keys %q, %v, want those of the earlier run", keys, err)
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	o := withHosts(t, lab.Options{Latency: time.Minute})
	o.Hosts[0].Switches.Latency = host.Duration(time.Second)
	l := start(t, o)
	added, err := l.AddHost(host.Spec{ID: "i-00000000000000003"})
	if err != nil {
		t.Fatal(err)
	}
	got := []time.Duration{}
	for _, h := range l.Hosts() {
		got = append(got, time.Duration(h.Info().Latency))
	}
	if diff := cmp.Diff([]time.Duration{time.Second, time.Minute, time.Minute}, got); diff != "" || l.Host(added.ID()) != added {
		t.Errorf("latency of the hosts (-want +got):\n%s", diff)
	}
}

func TestHostThatExists(t *testing.T) {
	t.Parallel()
	l := start(t, withHosts(t, lab.Options{}))
	before := l.Host(first)
	if _, err := l.AddHost(host.Spec{ID: first}); err == nil {
		t.Error("a second host of the same id was made")
	}
	if l.Host(first) != before {
		t.Error("the first host was replaced")
	}
}

// TestCloseWithACommandUnderWay ends scripts with the lab.
func TestCloseWithACommandUnderWay(t *testing.T) {
	t.Parallel()
	l := start(t, withHosts(t, lab.Options{}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := ssm.NewFromConfig(clientConfig(t, l)).SendCommand(ctx, &ssm.SendCommandInput{
		DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: ids(l), Parameters: map[string][]string{"commands": {"sleep 3600"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if ctx.Err() != nil {
		t.Error("the lab waited for a script")
	}
}
