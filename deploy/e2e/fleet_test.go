package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate/fleet"
)

// observe is a fault that only looks.
func observe(look func()) func(context.Context, wire.Request) error {
	return func(context.Context, wire.Request) error { look(); return nil }
}

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
	w.run(keytrail, "KEYTRAIL_APPLY_DOCUMENT="+refs[fleet.Apply], "KEYTRAIL_INSPECT_DOCUMENT="+refs[fleet.Inspect])
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
	w.run(keytrail, fmt.Sprintf("KEYTRAIL_APPLY_DOCUMENT=Keytrail-apply:1:%s", fleet.Hash(content)))
	s := w.secret(keytrail, "fleet", old.value())
	before := homes(t, w.Hosts()...)
	_, err := s.rotate()
	if err := says(err, "setSecret", "send"); err != nil {
		t.Error(err)
	}
	if after := homes(t, w.Hosts()...); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("a host was changed")
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
