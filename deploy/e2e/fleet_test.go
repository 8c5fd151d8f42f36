package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/rotate/fleet"
)

// TestBothProofs rotates a fleet with forced commands and accounts without a shell, which are
// legitimate, hosts with several addresses and several accounts.
func TestBothProofs(t *testing.T) {
	t.Parallel()
	for _, proof := range []string{"host", "ssh"} {
		t.Run(proof, func(t *testing.T) {
			t.Parallel()
			specs := nodes(4)
			specs[1].Users[0].Shell = "/sbin/nologin"
			specs[2].SSHDConfig = "ForceCommand /usr/bin/true\n"
			specs[3].ID = strings.Replace(specs[3].ID, "i-", "mi-", 1)
			for i := range specs {
				specs[i].Users = append(specs[i].Users, host.User{Name: "backup"})
			}
			w := newWorld(t, specs)
			w.run(keytrail, "KEYTRAIL_LOGIN_PROOF="+proof, "USERNAME=deploy,backup")
			s := w.secret(keytrail, "fleet", "")
			s.mustRotate()
			s.mustRotate()
			for _, u := range []string{user, "backup"} {
				if err := logsIn(s.key(current), u, w.Hosts()...); err != nil {
					t.Error(err)
				}
				if err := refused(s.key(previous), u, w.Hosts()...); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestTheSSHProofLogsInForItself looks at who came: the function, once for each account, with the
// pending key alone.
func TestTheSSHProofLogsInForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(3))
	w.run(keytrail, "KEYTRAIL_LOGIN_PROOF=ssh")
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	for _, h := range w.Hosts() {
		logins := h.Logins()
		if len(logins) != 1 || !logins[0].Accepted || logins[0].User != user || logins[0].Fingerprint != s.key(current).fingerprint() {
			t.Errorf("%s was logged in to as %+v, want once as %s with the new key", h.ID(), logins, user)
		}
	}
}

// TestOurOwnDocuments rotates through the two documents, pinned by version and hash, on agents that
// set variables and on older ones that paste text.
func TestOurOwnDocuments(t *testing.T) {
	t.Parallel()
	specs := nodes(2)
	specs[1].AgentVersion = "3.2.0.0"
	w := newWorld(t, specs)
	refs := map[fleet.Action]string{}
	for _, action := range []fleet.Action{fleet.Apply, fleet.Inspect} {
		name := "Keytrail-" + string(action)
		content := fleet.Document(action)
		out, err := w.systems.CreateDocument(t.Context(), &ssm.CreateDocumentInput{
			Name: &name, Content: aws.String(string(content)), DocumentType: types.DocumentTypeCommand, DocumentFormat: types.DocumentFormatJson,
		})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if hash := hex.EncodeToString(sum[:]); aws.ToString(out.DocumentDescription.Hash) != hash || fleet.Hash(content) != hash {
			t.Errorf("%s has the hash %s, we say %s, it is %s", name, aws.ToString(out.DocumentDescription.Hash), fleet.Hash(content), hash)
		}
		refs[action] = name + ":1:" + fleet.Hash(content)
	}
	w.runByHand(keytrail, "KEYTRAIL_APPLY_DOCUMENT="+refs[fleet.Apply], "KEYTRAIL_INSPECT_DOCUMENT="+refs[fleet.Inspect])
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	first := s.key(current)
	s.mustRotate()
	if err := logsIn(s.key(current), user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	if err := refused(first, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	var sent []string
	for _, c := range w.Front().Calls() {
		if c.Action != "SendCommand" {
			continue
		}
		var in struct{ DocumentName, DocumentVersion, DocumentHash, DocumentHashType string }
		if err := json.Unmarshal(c.Body, &in); err != nil {
			t.Fatal(err)
		}
		if in.DocumentHashType != "Sha256" {
			t.Errorf("hash type %q", in.DocumentHashType)
		}
		sent = append(sent, in.DocumentName+":"+in.DocumentVersion+":"+in.DocumentHash)
	}
	a, i := refs[fleet.Apply], refs[fleet.Inspect]
	if want := []string{a, i, a, a, i, a}; !slices.Equal(sent, want) {
		t.Errorf("documents sent:\n%s\nwant\n%s", strings.Join(sent, "\n"), strings.Join(want, "\n"))
	}
}

// TestTheDocumentThatAWSShipsServesAsWell follows the older guide: no document of our own, no template.
func TestTheDocumentThatAWSShipsServesAsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(2))
	w.runByHand(keytrail)
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	first := s.key(current)
	s.mustRotate()
	if err := errors.Join(logsIn(s.key(current), user, w.Hosts()...), refused(first, user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
}

// TestADocumentThatWasChangedIsNotRun pins a hash and then has somebody change the document.
func TestADocumentThatWasChangedIsNotRun(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(1, old.line))
	content := fleet.Document(fleet.Apply)
	changed := bytes.Replace(content, []byte("Keytrail"), []byte("Keytrai1"), 1)
	if bytes.Equal(content, changed) {
		changed = append(slices.Clone(content), '\n')
	}
	if _, err := w.systems.CreateDocument(t.Context(), &ssm.CreateDocumentInput{
		Name: aws.String("Keytrail-apply"), Content: aws.String(string(changed)), DocumentType: types.DocumentTypeCommand,
	}); err != nil {
		t.Fatal(err)
	}
	w.runByHand(keytrail, fmt.Sprintf("KEYTRAIL_APPLY_DOCUMENT=Keytrail-apply:1:%s", fleet.Hash(content)))
	s := w.secret(keytrail, "fleet", old.value())
	before := homes(t, w.Hosts()...)
	_, err := s.rotate()
	if err := says(err, "setSecret", "send"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, homes(t, w.Hosts()...)); diff != "" {
		t.Errorf("files changed:\n%s", diff)
	}
	if err := logsIn(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}

// TestTheSecretsTagsNarrowTheFleet gives a secret its own accounts and hosts.
func TestTheSecretsTagsNarrowTheFleet(t *testing.T) {
	t.Parallel()
	specs := nodes(3)
	for i := range specs {
		specs[i].Users = append(specs[i].Users, host.User{Name: "backup"})
	}
	specs[0].Tags["Role"], specs[0].Tags["Env"] = "web server", "prod"
	specs[1].Tags["Role"], specs[1].Tags["Env"] = "web server", "test"
	outside := node(4)
	outside.Users = append(outside.Users, host.User{Name: "backup"})
	outside.Tags = map[string]string{"Role": "web server", "Env": "prod"}
	w := newWorld(t, append(specs, outside))
	w.run(keytrail, "USERNAME=deploy backup")
	s := w.secret(keytrail, "fleet", "", "keytrail:target=Role=web server Env=prod", "keytrail:users=backup")
	s.mustRotate()
	if err := logsIn(s.key(current), "backup", w.Hosts()[0]); err != nil {
		t.Error(err)
	}
	if err := refused(s.key(current), user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	if err := refused(s.key(current), "backup", w.Hosts()[1:]...); err != nil {
		t.Error(err)
	}
}

// TestAHostWithManyAccounts has an answer that no listing of Systems Manager shows whole.
func TestAHostWithManyAccounts(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	spec := node(1)
	names := []string{}
	spec.Users = nil
	for i := range 16 {
		name := fmt.Sprintf("service-account-number-%02d", i)
		names = append(names, name)
		spec.Users = append(spec.Users, host.User{Name: name, Keys: []string{old.line}})
	}
	w := newWorld(t, []host.Spec{spec})
	w.run(keytrail, "USERNAME="+strings.Join(names, " "))
	s := w.secret(keytrail, "fleet", old.value())
	s.mustRotate()
	for _, name := range names {
		if err := errors.Join(logsIn(s.key(current), name, w.Hosts()...), refused(old, name, w.Hosts()...)); err != nil {
			t.Error(err)
		}
	}
	if w.Front().Counts()["ssm:GetCommandInvocation"] == 0 {
		t.Error("the whole answer was never read: the test shows nothing")
	}
}

func TestRootIsAnAccountLikeAnyOtherOnceItIsAllowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.run(keytrail, "USERNAME=root", "KEYTRAIL_ALLOW_ROOT=true")
	s := w.secret(keytrail, "fleet", "")
	s.mustRotate()
	if err := logsIn(s.key(current), "root", w.Hosts()...); err != nil {
		t.Error(err)
	}
}

// TestTooManyErrorsStopTheRest goes from host to host and meets a bad one first.
func TestTooManyErrorsStopTheRest(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(3, old.line))
	w.run(keytrail, "KEYTRAIL_MAX_CONCURRENCY=1", "KEYTRAIL_MAX_ERRORS=0")
	if err := w.Hosts()[0].Change(func(s *host.Switches) { s.Answer = host.AnswerGarbage }); err != nil {
		t.Fatal(err)
	}
	before := homes(t, w.Hosts()...)
	s := w.secret(keytrail, "fleet", old.value())
	_, err := s.rotate()
	if err := says(err, node(1).ID, "unverifiable", node(2).ID, node(3).ID, "not asked", "KEYTRAIL_MAX_ERRORS"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, homes(t, w.Hosts()...)); diff != "" {
		t.Errorf("files changed:\n%s", diff)
	}
	if err := logsIn(old, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
}
