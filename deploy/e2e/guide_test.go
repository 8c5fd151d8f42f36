package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	engine "github.com/keytrail/keytrail/deploy/lab/secretsmanager"
)

// The names that the guide gives its things.
const (
	guideFunction = "keytrail-rotate"
	guideSecret   = "ssh/fleet"
	guideUser     = "ec2-user"
)

// byHand returns the chapter of the guide, and the commands in it.
func byHand(t *testing.T) (chapter string, blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, begins := strings.Cut(string(text), "\n## By hand\n")
	chapter, _, ends := strings.Cut(chapter, "\n## ")
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(chapter, -1) {
		blocks = append(blocks, m[1])
	}
	if !begins || !ends || len(blocks) == 0 {
		t.Fatal("deploy/README.md has no chapter \"By hand\" with commands")
	}
	return chapter, blocks
}

// walk is somebody who follows the guide, in a shell with a folder of its own.
type walk struct {
	*world
	dir string
	bin string // of the AWS CLI
}

// newWalk puts a follower of the guide before a lab where every call is judged. The fleet has a host
// outside the boundary.
func newWalk(t *testing.T) walk {
	t.Helper()
	bin := filepath.Dir(awscli(t))
	hosts := nodes(3)
	for i := range hosts {
		hosts[i].Tags = map[string]string{"Fleet": "prod"}
		hosts[i].Users = []host.User{{Name: guideUser}}
	}
	hosts[1].ID = strings.Replace(hosts[1].ID, "i-", "mi-", 1)
	hosts[2].Tags["Fleet"] = "test"
	k := walk{newWorld(t, hosts, func(o *lab.Options) { o.Enforce = iam.Everyone }), t.TempDir(), bin}
	if err := os.Mkdir(filepath.Join(k.dir, "build"), 0o700); err != nil {
		t.Fatal(err)
	}
	k.pack()
	return k
}

// machine is what the guide calls this machine, and the zip for it.
func machine() (architecture, archive string) {
	if runtime.GOARCH == "arm64" {
		return "arm64", "build/rotate-arm64.zip"
	}
	return "x86_64", "build/rotate-amd64.zip"
}

// pack zips the function.
func (k walk) pack() {
	k.t.Helper()
	program, err := os.ReadFile(rotateProgram)
	if err != nil {
		k.t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("bootstrap")
	if err == nil {
		_, err = w.Write(program)
	}
	_, name := machine()
	if err := errors.Join(err, z.Close(), os.WriteFile(filepath.Join(k.dir, name), b.Bytes(), 0o600)); err != nil {
		k.t.Fatal(err)
	}
}

// run runs one block, with the variables of those before it, and waits until Secrets Manager is done.
func (k walk) run(block string) (output string, err error) {
	k.t.Helper()
	c := exec.CommandContext(k.t.Context(), "/bin/sh", "-euc", "set -a\n[ ! -e variables ] || . ./variables\n"+block+"\nexport -p >variables\n")
	c.Dir = k.dir
	c.Env = []string{
		"PATH=" + k.bin + ":" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LC_ALL=C.UTF-8", "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1",
		"AWS_ENDPOINT_URL=" + k.URL(), "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=lab",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_MAX_ATTEMPTS=1",
	}
	out, err := c.CombinedOutput()
	k.Secrets().Wait()
	return string(out), err
}

// follow runs all blocks, edited, and returns what each printed. Each must succeed.
func (k walk) follow(blocks []string, edits ...string) (outputs []string) {
	k.t.Helper()
	architecture, archive := machine()
	edits = append([]string{"ARCH=arm64 ZIP=build/rotate-arm64.zip", "ARCH=" + architecture + " ZIP=" + archive}, edits...)
	for i := 0; i < len(edits); i += 2 {
		if n := strings.Count(strings.Join(blocks, ""), edits[i]); n != 1 {
			k.t.Fatalf("the guide says %q %d times, not once", edits[i], n)
		}
	}
	for _, block := range blocks {
		out, err := k.run(strings.NewReplacer(edits...).Replace(block))
		if err != nil {
			k.t.Fatalf("%v\n%s\n%s", err, block, out)
		}
		outputs = append(outputs, out)
	}
	return outputs
}

// secret is the guide's.
func (k walk) secret() secret {
	k.t.Helper()
	s, ok := k.Secrets().Look(guideSecret)
	if !ok {
		k.t.Fatalf("there is no secret %s", guideSecret)
	}
	return secret{k.world, guideSecret, s.ARN, guideFunction}
}

// usedForUs are the rights that no call of the function's in this walk needs, with the reason for each.
var usedForUs = map[string]string{
	"logs:CreateLogStream":     "Lambda writes the function's log in its name",
	"logs:PutLogEvents":        "Lambda writes the function's log in its name",
	"ssm:CancelCommand":        "a step that runs out of time takes back what no host has begun",
	"ssm:GetCommandInvocation": "an answer that is too long for a listing: TestAHostWithManyAccounts",
}

// TestTheGuideByHand follows the chapter to its end, with no right but those that it gives.
func TestTheGuideByHand(t *testing.T) {
	t.Parallel()
	_, blocks := byHand(t)
	k := newWalk(t)
	printed := strings.Join(k.follow(blocks), "")
	s := k.secret()
	rotation := []string{engine.RotationStarted, engine.RotationSucceeded}
	if events := k.events(s); !slices.Equal(events, append(slices.Clone(rotation), rotation...)) {
		t.Errorf("events %q: %v", events, s.complaint())
	}
	hosts := k.Hosts()
	outside := slices.IndexFunc(hosts, func(h *host.Host) bool { return h.Info().Tags["Fleet"] == "test" })
	inside := slices.Delete(slices.Clone(hosts), outside, outside+1)
	if err := errors.Join(logsIn(s.key(current), guideUser, inside...), refused(s.key(previous), guideUser, hosts...),
		refused(s.key(current), guideUser, hosts[outside])); err != nil {
		t.Error(err)
	}
	for _, word := range []string{inside[0].ID(), inside[1].ID(), "finishSecret", `"Clean":true`, `"DryRun":true`, current} {
		if !strings.Contains(printed, word) {
			t.Errorf("nothing that was printed has %s", word)
		}
	}
	if strings.Contains(printed, hosts[outside].ID()) {
		t.Error("the host outside the boundary was shown")
	}
	if calls := k.secretsManagerCalls(); calls > 2*25 {
		t.Errorf("two rotations called Secrets Manager %d times, more than 25 each", calls)
	}
	k.noneDenied()
	k.leastPrivilege(7, usedForUs) // five of the role, one of who may assume it, one of who may invoke the function
}

// secretsManagerCalls counts the calls of the function to Secrets Manager.
func (k walk) secretsManagerCalls() (n int) {
	for _, c := range k.Front().Calls() {
		if c.Service == "secretsmanager" && byFunction(c.Request) {
			n++
		}
	}
	return n
}

// TestTheGuidesPolicyIsTheTemplates compares what the role of each may do. They differ in the documents,
// and the guide's has no register.
func TestTheGuidesPolicyIsTheTemplates(t *testing.T) {
	t.Parallel()
	_, blocks := byHand(t)
	k := newWalk(t)
	i := slices.IndexFunc(blocks, func(b string) bool { return strings.Contains(b, "put-role-policy") })
	k.follow(append([]string{blocks[0]}, blocks[i]))
	role, _ := k.IAM().Role(guideFunction)
	guide := statements(t, role.Inline)

	template, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l := newWorld(t, nil)
	if _, err := l.Deploy(t.Context(), cloudformation.Spec{
		Name: "keytrail", Template: template, Programs: map[string][]string{"Rotate": {rotateProgram}},
		Parameters: map[string]string{"TagName": "Fleet", "TagValue": "prod", "Users": guideUser, "Watch": "false"},
	}); err != nil {
		t.Fatal(err)
	}
	inline := map[string]json.RawMessage{}
	for _, r := range l.Policies().Roles() {
		for name, document := range r.Inline {
			inline[r.Name+"/"+name] = document
		}
	}
	stack := statements(t, inline)
	for _, sid := range []string{"Register", "LeasesAndBundles", "Lists"} {
		if stack[sid] == nil || guide[sid] != nil {
			t.Errorf("%s: the stack alone has it, it was said", sid)
		}
		delete(stack, sid)
	}
	for _, s := range []map[string]any{guide["Documents"], stack["Documents"]} {
		delete(s, "Resource")
	}
	if diff := cmp.Diff(stack, guide); diff != "" {
		t.Errorf("the guide's policy differs from the template's (-template +guide):\n%s", diff)
	}
}

// statements returns the statements of policies by their ids. A list of one is that one.
func statements(t *testing.T, documents map[string]json.RawMessage) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for name, document := range documents {
		var policy struct{ Statement []map[string]any }
		if err := json.Unmarshal(document, &policy); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range policy.Statement {
			all[fmt.Sprint(s["Sid"])] = s
		}
	}
	return all
}

// TestThePoliciesOfTheAncestorAreDenied follows the guide with two mistakes of policies that were
// published for rotators of SSH keys. The commands succeed; the rotation does not, and says why in AWS's
// own words.
func TestThePoliciesOfTheAncestorAreDenied(t *testing.T) {
	t.Parallel()
	chapter, blocks := byHand(t)
	begin := strings.Index(chapter, "    {\n      \"Sid\": \"Hosts\"")
	end := strings.Index(chapter, "    {\n      \"Sid\": \"Answers\"")
	if begin < 0 || end < begin {
		t.Fatal("the guide has no statement Hosts before Answers")
	}
	for name, edit := range map[string][2]string{
		"B14: a tag's key that is not the function's": {"ssm:resourceTag/$TAGNAME", "ssm:resourceTag/RotateSSHKeys"},
		"B15: commands on the document alone":         {chapter[begin:end], ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newWalk(t)
			before := homes(t, k.Hosts()...)
			last := slices.IndexFunc(blocks, func(b string) bool { return strings.Contains(b, "filter-log-events") })
			printed := k.follow(blocks[:last+1], edit[0], edit[1])
			s := k.secret()
			if events := k.events(s); len(events) < 2 || events[len(events)-1] != engine.RotationFailed || slices.Contains(events, engine.RotationSucceeded) {
				t.Errorf("events %q", events)
			}
			for _, words := range []string{
				"User: arn:aws:sts::111122223333:assumed-role/keytrail-rotate/keytrail-rotate is not authorized to perform: ssm:SendCommand on resource: arn:aws:",
				"because no identity-based policy allows the ssm:SendCommand action", "setSecret",
			} {
				if !strings.Contains(printed[last], words) {
					t.Errorf("the log does not say %q:\n%s", words, printed[last])
				}
			}
			if diff := cmp.Diff(before, homes(t, k.Hosts()...)); diff != "" {
				t.Errorf("files changed:\n%s", diff)
			}
		})
	}
}
