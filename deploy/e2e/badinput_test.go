package e2e

import (
	"encoding/json"
	"errors"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/ssm"
)

// mayNotSendTo gives the function a role that may do everything but send
// commands to one host.
func mayNotSendTo(t *testing.T, w *world, id string) {
	t.Helper()
	f, _ := w.Lambda().Function(keytrail)
	role, ok := w.IAM().Role(path.Base(f.Role))
	if !ok {
		t.Fatalf("the function has no role: %+v", f)
	}
	role.Inline["deny"] = json.RawMessage(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Action":"ssm:SendCommand","Resource":"arn:aws:ec2:*:*:instance/` + id + `"}]}`)
	err := w.IAM().PutRole(role)
	if err != nil {
		t.Fatal(err)
	}
}

// unharmed says what a rotation that failed before its promotion has broken.
func unharmed(s secret, version string, old key, hosts ...*host.Host) error {
	var errs []error
	if version == "" || s.holder(current) != version {
		errs = append(errs, errors.New("AWSCURRENT moved"))
	}
	return errors.Join(append(errs, logsIn(old, user, hosts...))...)
}

func TestARequestThatMakesNoSenseIsRefusedAndNamed(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(1, old.line))
	w.run(keytrail)
	s := w.secret(keytrail, "fleet", old.value())
	off := w.secret(keytrail, "off", old.value())
	offVersion := off.begin()
	if _, err := w.secrets.CancelRotateSecret(t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: &off.arn}); err != nil {
		t.Fatal(err)
	}
	started, version := s.holder(current), s.begin()
	unlabelled := s.put(newKey(t, "unlabelled").value(), "MINE")
	before := homes(t, w.Hosts()...)
	for name, row := range map[string]struct {
		event map[string]string
		words []string
	}{
		"unknown step":           {map[string]string{"Step": "create_secret", "SecretId": s.arn, "ClientRequestToken": version}, []string{"create_secret", "createSecret, setSecret, testSecret or finishSecret"}},
		"no step":                {map[string]string{"SecretId": s.arn, "ClientRequestToken": version}, []string{"Step"}},
		"no members at all":      {map[string]string{}, []string{"Step", "SecretId", "ClientRequestToken"}},
		"an action from nowhere": {map[string]string{"Action": "reconcile", "SecretId": s.arn}, []string{"alias reconcile"}},
		"no such secret":         {map[string]string{"Step": "setSecret", "SecretId": s.arn + "x", "ClientRequestToken": version}, []string{s.arn + "x", "not authorized", "DescribeSecret"}},
		"rotation is off":        {map[string]string{"Step": "setSecret", "SecretId": off.arn, "ClientRequestToken": offVersion}, []string{"turned off", "off", "rotate-secret"}},
		"no such version":        {map[string]string{"Step": "setSecret", "SecretId": s.arn, "ClientRequestToken": strings.Repeat("0", 36)}, []string{strings.Repeat("0", 36), "no version"}},
		"not pending":            {map[string]string{"Step": "setSecret", "SecretId": s.arn, "ClientRequestToken": unlabelled}, []string{unlabelled, "AWSPENDING"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := secret{w.in(t), s.name, s.arn, s.function}
			if err := says(s.invoke(row.event), row.words...); err != nil {
				t.Error(err)
			}
			if err := unharmed(s, started, old, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, homes(t, w.Hosts()...)); diff != "" {
				t.Errorf("files changed:\n%s", diff)
			}
		})
	}
}

func TestAValueThatIsNoKeyPairIsRefusedWithoutShowingIt(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(1, old.line))
	w.run(keytrail)
	before := homes(t, w.Hosts()...)
	const hint = `JSON object`
	for name, row := range map[string]struct {
		value string
		words []string
	}{
		"a bare PEM":    {old.private, []string{"bare PEM", `{"PublicKey":"","PrivateKey":""}`}},
		"a string":      {`"hunter2"`, []string{hint}},
		"an array":      {`["hunter2"]`, []string{hint}},
		"a number":      {`42`, []string{hint}},
		"null":          {`null`, []string{hint}},
		"no JSON":       {`user=deploy password=hunter2`, []string{hint}},
		"two documents": {`{"a":"hunter2"}{"b":1}`, []string{hint}},
		"cut JSON":      {old.value()[:len(old.value())/2], []string{hint}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.in(t).secret(keytrail, strings.ReplaceAll(name, " ", "-"), row.value)
			version := s.holder(current)
			_, err := s.rotate()
			if err := says(err, append(row.words, "createSecret", version)...); err != nil {
				t.Error(err)
			}
			if strings.Contains(w.log(keytrail), "hunter2") {
				t.Error("the value was logged")
			}
			if err := unharmed(s, version, old, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, homes(t, w.Hosts()...)); diff != "" {
				t.Errorf("files changed:\n%s", diff)
			}
		})
	}
}

func TestABadConfigurationIsNamedAllAtOnce(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(1, old.line))
	for name, row := range map[string]struct {
		env   []string
		words []string
	}{
		"unknown key type": {[]string{"KEYTRAIL_KEY_TYPE=dsa-1024"}, []string{"KEYTRAIL_KEY_TYPE", "dsa-1024", "ed25519"}},
		"three mistakes": {
			[]string{"USERNAME=deploy; rm -rf /", "KEYTRAIL_LOGIN_PROOF=maybe", "KEYTRAIL_MAX_OFFLINE=-1"},
			[]string{"USERNAME", "KEYTRAIL_LOGIN_PROOF", "maybe", "KEYTRAIL_MAX_OFFLINE", "-1"},
		},
		"nothing at all":    {[]string{"USERNAME=", "TAGNAME=", "TAGVALUE="}, []string{"USERNAME", "TAGNAME", "TAGVALUE"}},
		"empty tag value":   {[]string{"TAGVALUE="}, []string{"TAGVALUE", "empty"}},
		"grace without end": {[]string{"KEYTRAIL_GRACE=24h"}, []string{"KEYTRAIL_GRACE", "KEYTRAIL_BUCKET"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, id := w.in(t), strings.ReplaceAll(name, " ", "-")+"-rotate"
			w.run(id, row.env...)
			s := w.secret(id, id, old.value())
			version := s.holder(current)
			_, err := s.rotate()
			if err := says(err, row.words...); err != nil {
				t.Error(err)
			}
			if err := unharmed(s, version, old, w.Hosts()...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAFleetThatCannotBeServedFailsTheRotation has one row for each way; what is possible all the same
// has no words.
func TestAFleetThatCannotBeServedFailsTheRotation(t *testing.T) {
	t.Parallel()
	all := func(change func(*host.Switches)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			for _, h := range w.Hosts() {
				if err := h.Change(change); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	second := func(change func(*host.Switches)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			if err := w.Hosts()[1].Change(change); err != nil {
				t.Fatal(err)
			}
		}
	}
	down := func(s *host.Switches) { s.State = host.Offline }
	answer := func(a host.Answer) func(*host.Switches) { return func(s *host.Switches) { s.Answer = a } }
	bad := node(2).ID
	for name, row := range map[string]struct {
		edit    func([]host.Spec) []host.Spec
		lab     func(*lab.Options)
		prepare func(*testing.T, *world)
		env     []string
		tags    []string
		words   []string
	}{
		"no hosts": {env: []string{"TAGVALUE=typo"}, words: []string{"setSecret", "no managed node", boundaryKey + "=typo", "TAGVALUE"}},
		"no hosts that the secret's target leaves": {
			tags: []string{"keytrail:target=Role=web"}, words: []string{"no managed node", "Role=web", "keytrail:target"},
		},
		"none online":                      {prepare: all(down), words: []string{node(1).ID, bad, "offline", "KEYTRAIL_MAX_OFFLINE"}},
		"none online, and all may be away": {prepare: all(down), env: []string{"KEYTRAIL_MAX_OFFLINE=100%"}, words: []string{"none of 3 hosts is online"}},
		"one offline, and none may be":     {prepare: second(down), words: []string{"1 of 3 hosts are offline", bad, "KEYTRAIL_MAX_OFFLINE"}},
		"one offline, and one may be":      {prepare: second(down), env: []string{"KEYTRAIL_MAX_OFFLINE=1"}},
		"one offline, and a third may be":  {prepare: second(down), env: []string{"KEYTRAIL_MAX_OFFLINE=34%"}},
		"a host answers garbage":           {prepare: second(answer(host.AnswerGarbage)), words: []string{"setSecret", bad, "unverifiable"}},
		"a host's answer is cut":           {prepare: second(answer(host.AnswerCut)), words: []string{"setSecret", bad, "unverifiable"}},
		"a host gives another's answer":    {prepare: second(answer(host.AnswerOther)), words: []string{"setSecret", bad, "unverifiable"}},
		"a host does not end the script": {
			prepare: second(func(s *host.Switches) { s.Latency = host.Duration(time.Minute) }), env: []string{"KEYTRAIL_EXECUTION_TIMEOUT=5s"},
			words: []string{"setSecret", bad, "unverifiable", "5s"},
		},
		"Systems Manager cannot deliver to a host": {
			lab: func(o *lab.Options) {
				o.SSM.Fate = func(d ssm.Delivery) ssm.Fate { return ssm.Fate{Undeliverable: d.NodeID == bad} }
			},
			words: []string{"setSecret", bad, "unreachable", "Undeliverable"},
		},
		"the role may not send to a host": {
			prepare: func(t *testing.T, w *world) { mayNotSendTo(t, w, bad) },
			words:   []string{"setSecret", bad},
		},
		"a host's disk is full":              {prepare: second(func(s *host.Switches) { s.DiskFull = true }), words: []string{"setSecret", bad}},
		"Windows is in the fleet":            {edit: func(h []host.Spec) []host.Spec { h[1].PlatformType = "Windows"; return h }, words: []string{bad, "unsupported", "Windows", "keytrail:target"}},
		"an account is missing":              {edit: without(1), words: []string{"setSecret", bad + "/" + user, "nouser"}},
		"an account may be missing, not all": {edit: without(1), env: []string{"KEYTRAIL_MISSING_USER=skip"}, words: []string{bad + "/" + user, "nouser"}},
		"an account is missing and may be":   {edit: other(1), env: []string{"USERNAME=deploy backup", "KEYTRAIL_MISSING_USER=skip"}},
		"uid 0 without leave":                {env: []string{"USERNAME=deploy root"}, words: []string{"/root", "KEYTRAIL_ALLOW_ROOT"}},
		"sshd would not honour the file":     {edit: sshd(1, "PubkeyAuthentication no\n"), words: []string{"setSecret", bad, "refused"}},
		"sshd reads no file":                 {edit: sshd(1, "AuthorizedKeysFile none\n"), words: []string{"setSecret", bad, "refused"}},
		"sshd refuses the account":           {edit: sshd(1, "DenyUsers deploy\n"), words: []string{"setSecret", bad, "refused"}},
		"a tag names an account too many":    {tags: []string{"keytrail:users=deploy root"}, words: []string{"keytrail:users", "root", "USERNAME"}},
		"a tag names a hostile account":      {tags: []string{"keytrail:users=deploy $(id)"}, words: []string{"keytrail:users", "$(id)"}},
		"a tag names no account":             {tags: []string{"keytrail:users=  "}, words: []string{"keytrail:users"}},
		"a target that is no pair":           {tags: []string{"keytrail:target=web"}, words: []string{"keytrail:target", "Key=Value"}},
		"a target that is empty":             {tags: []string{"keytrail:target="}, words: []string{"keytrail:target", "Key=Value"}},
		"a target with an empty value":       {tags: []string{"keytrail:target=Role="}, words: []string{"keytrail:target", "Key=Value"}},
		"a target with a pattern":            {tags: []string{"keytrail:target=Role=*"}, words: []string{"keytrail:target", `"*"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newKey(t, "made by hand")
			specs := nodes(3, old.line)
			if row.edit != nil {
				specs = row.edit(specs)
			}
			w := newWorld(t, specs, func(o *lab.Options) {
				if row.lab != nil {
					row.lab(o)
				}
			})
			w.run(keytrail, row.env...)
			if row.prepare != nil {
				row.prepare(t, w)
			}
			could := map[string]bool{} // where the old key logs in before
			for _, h := range w.Hosts() {
				could[h.ID()] = h.Login(user, old.signer) == nil
			}
			s := w.secret(keytrail, "fleet", old.value(), row.tags...)
			version := s.holder(current)
			_, err := s.rotate()
			if row.words == nil {
				if err != nil {
					t.Error(err)
				}
				for _, h := range w.Hosts() {
					if could[h.ID()] {
						if err := errors.Join(logsIn(s.key(current), user, h), refused(old, user, h)); err != nil {
							t.Error(err)
						}
					}
				}
				return
			}
			if err := says(err, row.words...); err != nil {
				t.Error(err)
			}
			if s.holder(current) != version {
				t.Error("AWSCURRENT moved")
			}
			for _, h := range w.Hosts() {
				if could[h.ID()] {
					if err := logsIn(old, user, h); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// without takes the managed account off the n-th host.
func without(n int) func([]host.Spec) []host.Spec {
	return func(h []host.Spec) []host.Spec { h[n].Users = nil; return h }
}

// other adds a second account to all hosts but the n-th.
func other(n int) func([]host.Spec) []host.Spec {
	return func(hosts []host.Spec) []host.Spec {
		for i := range hosts {
			if i != n {
				hosts[i].Users = append(hosts[i].Users, host.User{Name: "backup"})
			}
		}
		return hosts
	}
}

// sshd configures the n-th host.
func sshd(n int, text string) func([]host.Spec) []host.Spec {
	return func(h []host.Spec) []host.Spec { h[n].SSHDConfig = text; return h }
}

// TestTheSSHProofBelievesNoStranger has hosts whose SSH server is not what the host said of itself.
func TestTheSSHProofBelievesNoStranger(t *testing.T) {
	t.Parallel()
	const proof = "KEYTRAIL_LOGIN_PROOF=ssh"
	for name, row := range map[string]struct {
		change func(*host.Switches)
		words  []string
	}{
		"another host key":  {func(s *host.Switches) { s.WrongHostKey = true }, []string{"unverifiable", "host key"}},
		"no answer in time": {func(s *host.Switches) { s.Silent = true }, []string{"unreachable", "no answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newKey(t, "made by hand")
			w := newWorld(t, nodes(2, old.line))
			w.run(keytrail, proof)
			s := w.secret(keytrail, "fleet", old.value())
			started, version := s.holder(current), s.begin()
			s.until("testSecret", version)
			if err := w.Hosts()[1].Change(row.change); err != nil {
				t.Fatal(err)
			}
			w.hurry(keytrail, proof, "TIMEOUT=20s")
			if err := says(s.step("testSecret", version), append(row.words, "testSecret", "1 of 2", node(2).ID)...); err != nil {
				t.Error(err)
			}
			if err := w.Hosts()[1].Change(func(s *host.Switches) { s.WrongHostKey, s.Silent = false, false }); err != nil {
				t.Fatal(err)
			}
			if err := unharmed(s, started, old, w.Hosts()...); err != nil {
				t.Error(err)
			}
		})
	}
}
