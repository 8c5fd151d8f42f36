package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	engine "github.com/keytrail/keytrail/deploy/lab/secretsmanager"
)

// terminal is somebody before a clone of the repository, with the AWS CLI.
type terminal struct {
	*watched
	root string
	env  []string
}

// newTerminal puts somebody before a lab with two hosts, where every call is judged.
func newTerminal(t *testing.T) *terminal {
	t.Helper()
	command := awscli(t)
	w := newWorld(t, nodes(2), func(o *lab.Options) {
		o.Enforce = iam.Everyone
		o.Async.RetryDelays = [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}
	})
	m := &terminal{watched: &watched{world: w, read: map[string]bool{}}, root: t.TempDir()}
	// Version 1 of the AWS CLI has old addresses of SQS for some Regions, which AWS_ENDPOINT_URL does not replace.
	m.put("bin/aws", fmt.Sprintf("#!/bin/sh\nexec '%s' --endpoint-url '%s' \"$@\"\n", command, w.URL()))
	for _, name := range []string{"deploy.sh", "undeploy.sh", "common.sh", "template.yaml"} {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		m.put("deploy/"+name, string(text))
	}
	m.pack()
	m.env = []string{
		"PATH=" + filepath.Join(m.root, "bin") + ":" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1",
		"AWS_ENDPOINT_URL=" + w.URL(), "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=lab",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_MAX_ATTEMPTS=1",
	}
	return m
}

// awscli finds the AWS CLI. A shim of pyenv takes as long to start as the program behind it.
func awscli(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("awscli is missing")
		}
		t.Skip("needs awscli")
	}
	if filepath.Base(filepath.Dir(path)) == "shims" {
		if out, err := exec.CommandContext(t.Context(), "pyenv", "which", "aws").Output(); err == nil {
			return strings.TrimSpace(string(out))
		}
	}
	return path
}

// put writes a file that can be run.
func (m *terminal) put(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		m.t.Fatal(err)
	}
}

// pack leaves what make package does, for the processor of this machine.
func (m *terminal) pack() {
	m.t.Helper()
	if runtime.GOOS != "linux" {
		m.t.Skip("the functions of this machine are not for Lambda")
	}
	pack := filepath.Join(m.root, "build", "package")
	if err := os.Mkdir(filepath.Dir(pack), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := build(pack, "../cmd/package"); err != nil {
		m.t.Fatal(err)
	}
	for name, program := range map[string]string{"rotate": rotateProgram, "events": eventsProgram} {
		if out, err := exec.CommandContext(m.t.Context(), pack, pack[:len(pack)-len("package")]+name+"-"+runtime.GOARCH+".zip", program).CombinedOutput(); err != nil {
			m.t.Fatalf("%v\n%s", err, out)
		}
	}
}

// run types a command, with variables, and waits until all is done that it led to. It must succeed.
func (m *terminal) run(command string, variables ...string) (out string) {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), "/bin/sh", "-euc", command)
	c.Dir, c.Env = m.root, append(slices.Clone(m.env), variables...)
	text, err := c.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", command, err, text)
	}
	if m.stack != nil {
		m.settle()
	}
	return string(text)
}

// printed finds the command that a text tells to run, by words in it, and what it says of it.
func printed(t *testing.T, out, words string) (comment, command string) {
	t.Helper()
	_, next, ok := strings.Cut(out, "\nNext:\n\n")
	for paragraph := range strings.SplitSeq(next, "\n\n") {
		if !strings.Contains(paragraph, words) {
			continue
		}
		for line := range strings.Lines(paragraph) {
			if line = strings.TrimPrefix(line, "  "); strings.HasPrefix(line, "# ") {
				comment += line
			} else {
				command += line
			}
		}
		return comment, command
	}
	t.Fatalf("it does not say how to %q (%v):\n%s", words, ok, out)
	return "", ""
}

// TestOneCommand deploys as the guide says, with the AWS CLI of this machine, does what the command prints, and takes
// the stack away again. Nothing is handed to the lab but what went over the wire.
func TestOneCommand(t *testing.T) {
	t.Parallel()
	m := newTerminal(t)
	architecture, _ := machine()
	always := []string{"REGION=us-east-1", "ARCH=" + architecture, "YES=1"}
	deployed := m.run("deploy/deploy.sh", append(always, "TAGNAME="+boundaryKey, "TAGVALUE="+boundaryValue, "USERNAME="+user, "EMAIL="+onCall,
		"PARAMETERS=Settle=1s\nSweepMinutes=1440")...) // the functions' own schedule is not waited for
	if m.stack = m.CloudFormation().Stack("keytrail"); m.stack == nil {
		t.Fatalf("there is no stack\n%s", deployed)
	}
	for _, want := range []string{"\nrights     yes", "\nhosts      2 with Fleet=e2e", "\n  Add     AWS::Lambda::Function            Events\n", "\nDeployed.\n"} {
		if !strings.Contains(deployed, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	m.runsWhatWasPacked()

	comment, look := printed(t, deployed, "list-subscriptions-by-topic")
	m.expect("AWS Notification - Subscription Confirmation")
	if n := m.SNS().Confirm(onCall); n != 1 || !strings.Contains(comment, "confirm") || !strings.Contains(comment, onCall) {
		t.Errorf("%d subscriptions waited: %s", n, comment)
	}
	if out := m.run(look); strings.Count(out, `"Endpoint": "`+onCall+`"`) != 1 || strings.Contains(out, "PendingConfirmation") {
		t.Errorf("the subscriptions are\n%s", out)
	}

	_, attach := printed(t, deployed, "rotate-secret")
	m.run(strings.ReplaceAll(attach, "NAME", "fleet"))
	state, ok := m.Secrets().Look("fleet")
	if !ok {
		t.Fatal("there is no secret")
	}
	s := secret{m.world, "fleet", state.ARN, keytrail}
	if events := m.events(s); !slices.Equal(events, []string{engine.RotationStarted, engine.RotationSucceeded}) {
		t.Fatalf("events %q: %v", events, s.complaint())
	}
	key := s.key(current)
	if err := logsIn(key, user, m.Hosts()...); err != nil {
		t.Error(err)
	}
	if n := m.metrics("fleet"); n["Coverage"] != 100 || n["Places.ok"] != 2 || n["OpenAlerts"] != 0 {
		t.Errorf("nobody verified the rotation: metrics %v; the function's log ends\n%s", n, tail(m.log(watcher), 2000))
	}
	m.expect()

	_, compare := printed(t, deployed, `"DryRun"`)
	if out := m.run(strings.ReplaceAll(compare, "NAME", "fleet")); !strings.Contains(out, `"Clean":true`) || !strings.Contains(out, m.Hosts()[1].ID()) {
		t.Errorf("hosts and secret were compared:\n%s", out)
	}

	h := m.Hosts()[1]
	if err := h.WriteKeys(user); err != nil {
		t.Fatal(err)
	}
	_, sweep := printed(t, deployed, `"Scheduled Event"`)
	m.run(sweep)
	told := m.expect("[CRITICAL] live key missing: fleet (1 host)", "[INFO] drift mended: fleet (1 host)", "[RESOLVED, was critical] live key missing: fleet")
	if !strings.Contains(told[0].text, h.ID()) {
		t.Errorf("the mail:\n%s", told[0].text)
	}
	if err := logsIn(key, user, m.Hosts()...); err != nil {
		t.Errorf("after the sweep: %v", err)
	}

	again := m.run("deploy/deploy.sh", always...)
	if n := m.Front().Counts()["cloudformation:ExecuteChangeSet"]; n != 1 || !strings.Contains(again, "\nNothing to change") || strings.Contains(again, "Deployed") {
		t.Errorf("%d change sets were executed, and it says\n%s", n, again)
	}
	if comment, _ := printed(t, again, "list-subscriptions-by-topic"); !strings.Contains(comment, "alerts are mailed to "+onCall) {
		t.Errorf("it says of an address that was confirmed:\n%s", comment)
	}

	m.undeploy(s, key)
	m.noneDenied("s3:ListBucket") // of a lease or a bundle that nobody wrote yet
}

// runsWhatWasPacked sees that the functions are the programs in the zips, unpacked by the lab.
func (m *terminal) runsWhatWasPacked() {
	m.t.Helper()
	for name, program := range map[string]string{keytrail: rotateProgram, watcher: eventsProgram} {
		want, err := os.ReadFile(program)
		if err != nil {
			m.t.Fatal(err)
		}
		f, ok := m.Lambda().Function(name)
		if !ok || len(f.Command) != 1 || !strings.HasPrefix(f.Command[0], m.Dir()) {
			m.t.Fatalf("%s is %+v", name, f)
		}
		if got, err := os.ReadFile(f.Command[0]); err != nil || !bytes.Equal(got, want) {
			m.t.Errorf("%s is not what was packed (%v)", f.Command[0], err)
		}
	}
}

// undeploy takes the stack away, and sees what stays: the register, the secret, and its key on the hosts.
func (m *terminal) undeploy(s secret, live key) {
	m.t.Helper()
	register := m.stack.Outputs()["Bucket"]
	m.stack = nil // nothing of it is to be waited for
	out := m.run("deploy/undeploy.sh", "REGION=us-east-1", "YES=1")
	if !strings.Contains(out, "bucket  "+register) || !strings.Contains(out, "nobody is told") || !strings.Contains(out, "\nDeleted.\n") {
		m.t.Errorf("it says\n%s", out)
	}
	list, err := m.objects().ListObjectsV2(m.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(register)})
	if err != nil || len(list.Contents) == 0 {
		m.t.Errorf("the register has %v, %v", list, err)
	}
	if s.key(current).fingerprint() != live.fingerprint() {
		m.t.Error("the secret has another key")
	}
	if err := logsIn(live, user, m.Hosts()...); err != nil {
		m.t.Error(err)
	}
	for _, name := range []string{keytrail, watcher} {
		if _, ok := m.Lambda().Function(name); ok {
			m.t.Errorf("%s is left", name)
		}
	}
	if roles := m.Policies().Roles(); len(roles) > 0 {
		m.t.Errorf("left: %v", roles)
	}
}
