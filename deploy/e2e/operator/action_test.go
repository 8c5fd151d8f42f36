package operator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

func TestReconcileMendsWhatADryRunOnlyTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.secret("fleet")
	live, _ := w.key("fleet", "AWSCURRENT")
	const friend = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS friend"
	if err := w.Hosts()[0].WriteKeys(user, friend); err != nil {
		t.Fatal(err)
	}
	w.keytrail("reconcile", "fleet", "--dry-run").want(t, 1, "i-00000000000000001  deploy  missing  missing", "drift: 1 missing, 1 ok; nothing was changed")
	if w.holders(live) != 1 {
		t.Error("a dry run changed a host")
	}
	w.keytrail("reconcile", "fleet", "--host", "i-00000000000000002").want(t, 0, "clean: 1 account as fleet says; 0 accounts changed")
	w.keytrail("reconcile", "fleet").want(t, 0, "i-00000000000000001  deploy  missing  ok", "1 line added", "clean: 2 accounts as fleet says; 1 account changed")
	if w.holders(live) != 2 || w.holders(friend) != 1 {
		t.Errorf("%d hosts have the live key, %d the friend's", w.holders(live), w.holders(friend))
	}
	var r struct{ Clean bool }
	if w.keytrail("reconcile", "fleet", "--output", "json").read(t, &r); !r.Clean {
		t.Error("the JSON says that it is not clean")
	}
}

func TestRevokeGoesOnUntilNobodyTrustsTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "Grace=24h")
	w.secret("fleet")
	old, oldPrint := w.key("fleet", "AWSCURRENT")
	w.rotate("fleet")
	_, livePrint := w.key("fleet", "AWSCURRENT")
	if w.holders(old) != 3 {
		t.Fatal("the grace left no previous key to revoke")
	}
	h := w.Hosts()[1]
	if err := h.SetState(host.Offline); err != nil {
		t.Fatal(err)
	}
	w.keytrail("revoke", "fleet", oldPrint, "--timeout", "1s").want(t, 2, "unreachable", "not known: 1 account could not be asked")
	if err := h.SetState(host.Online); err != nil {
		t.Fatal(err)
	}
	w.keytrail("revoke", "fleet", oldPrint).want(t, 0, "revoked: nobody trusts "+oldPrint+" any more: 3 accounts seen without it")
	if w.holders(old) != 0 {
		t.Errorf("%d hosts have the key still", w.holders(old))
	}
	w.keytrail("revoke", "fleet", livePrint).wantError(t, 1, livePrint+" is the live key of fleet", "keytrail rotate fleet")
	w.keytrail("revoke", "fleet", "MD5:00").wantError(t, 64, "ssh-keygen")
	w.keytrail("revoke", "fleet", "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").wantError(t, 69, "no key of the secret", "aws logs tail /aws/lambda/keytrail-rotate")
}

func TestAdoptLetsAValueThatWasPutByHandBeRolledOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.secret("fleet")
	line, value := handmade(t)
	name := "fleet"
	if _, err := w.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.keytrail("verify", "fleet").want(t, 1, "unregistered:", "keytrail adopt fleet")
	w.keytrail("reconcile", "fleet").want(t, 1, "unregistered:")
	w.keytrail("adopt", "fleet").want(t, 0, "adopted: version", "keytrail reconcile fleet")
	w.keytrail("reconcile", "fleet").want(t, 0, "clean:")
	w.keytrail("verify", "fleet").want(t, 0, "clean:")
	w.keytrail("adopt", "fleet").want(t, 0, "registered already")
	if w.holders(line) != 2 {
		t.Errorf("%d hosts have the key", w.holders(line))
	}
}

// handmade makes a key pair as people did before they had Keytrail: its line, and a secret's value.
func handmade(t *testing.T) (line, value string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p)))
	text, err := json.Marshal(map[string]string{"PublicKey": line, "PrivateKey": string(pem.EncodeToMemory(block))})
	if err != nil {
		t.Fatal(err)
	}
	return line, string(text)
}

func TestUnblockGivesAStuckRotationUpAfterAYes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.secret("fleet")
	w.keytrail("unblock", "fleet").want(t, 0)
	full := w.Hosts()[1]
	if err := full.Change(func(s *host.Switches) { s.DiskFull = true }); err != nil {
		t.Fatal(err)
	}
	w.rotate("fleet")
	if err := full.Change(func(s *host.Switches) { s.DiskFull = false }); err != nil {
		t.Fatal(err)
	}
	pending, _ := w.key("fleet", "AWSPENDING")
	w.keytrail("unblock", "fleet").wantError(t, 64, "has AWSPENDING", "its rotation failed", "nobody is there to ask", "--yes")
	if stages := w.stages("fleet"); !slices.Contains(stages, "AWSPENDING") {
		t.Errorf("labels %v: something was done without a yes", stages)
	}
	w.keytrail("unblock", "fleet", "--yes").want(t, 0, "unblocked: version", "clean:")
	if w.holders(pending) != 0 || slices.Contains(w.stages("fleet"), "AWSPENDING") {
		t.Errorf("%d hosts have the pending key; labels %v", w.holders(pending), w.stages("fleet"))
	}
	w.keytrail("verify", "fleet").want(t, 0, "clean:")
}

// stages are the labels that versions of a secret have, beside those that come with AWSCURRENT.
func (w *world) stages(secret string) (labels []string) {
	w.t.Helper()
	out, err := w.secrets.DescribeSecret(context.WithoutCancel(w.t.Context()), &secretsmanager.DescribeSecretInput{SecretId: &secret})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, list := range out.VersionIdsToStages {
		if slices.Contains(list, "AWSCURRENT") {
			list = []string{"AWSCURRENT"}
		}
		labels = append(labels, list...)
	}
	return labels
}

func TestNothingIsChangedWhileASecretIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.secret("fleet")
	w.tag("fleet", "keytrail:hold", "ticket 7")
	before, err := os.ReadFile(w.Hosts()[0].AuthorizedKeys(user))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"reconcile", "fleet"}, {"adopt", "fleet"}} {
		w.keytrail(args...).wantError(t, 69, "ticket 7", "keytrail:hold")
	}
	w.keytrail("reconcile", "fleet", "--dry-run").want(t, 0, "clean:")
	after, err := os.ReadFile(w.Hosts()[0].AuthorizedKeys(user))
	if err != nil || string(after) != string(before) {
		t.Errorf("the key file changed (%v)", err)
	}
}
