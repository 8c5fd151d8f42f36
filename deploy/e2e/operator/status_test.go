package operator

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

// rules turn rotation on; the lab's clock never gets there.
var rules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}

func TestVerifyAndStatusSayWhatStandsOnTheHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.keytrail("status").want(t, 0, "no secret has the function keytrail-rotate")
	arn := w.secret("fleet")
	old, oldPrint := w.key("fleet", "AWSCURRENT")
	w.rotate("fleet")
	live, livePrint := w.key("fleet", "AWSCURRENT")

	w.keytrail("verify", "fleet").want(t, 0, "i-00000000000000003  deploy  ok", "clean: 3 of 3 hosts trust version", "and none any before it")
	w.keytrail("status").want(t, 0, "fleet", "3 of 3", "none")
	var v struct {
		Clean       bool
		SecretARN   string
		Fingerprint string
		Coverage    struct{ Seen, Expected int }
		Places      []struct{ Host, User, State string }
	}
	w.keytrail("verify", arn, "--output", "json").read(t, &v)
	if !v.Clean || v.SecretARN != arn || v.Fingerprint != livePrint || v.Coverage.Seen != 3 || len(v.Places) != 3 {
		t.Errorf("JSON: %+v", v)
	}

	// A retired key is back on one host, and another cannot be asked.
	hosts := w.Hosts()
	if err := hosts[0].WriteKeys(user, live, old); err != nil {
		t.Fatal(err)
	}
	if err := hosts[1].SetState(host.Offline); err != nil {
		t.Fatal(err)
	}
	a := w.keytrail("verify", "fleet")
	a.want(t, 1, "i-00000000000000001  deploy  stale", "retired: "+oldPrint, "deploy  unreachable", "drift: 1 account of fleet: 1 ok, 1 stale, 1 unreachable; 2 of 3 hosts seen")
	w.keytrail("verify", "fleet", "--host", "i-00000000000000003").want(t, 0, "clean: 1 of 1 hosts")
	w.keytrail("verify", "fleet", "--host", "i-00000000000000002").want(t, 2, "not known: 0 of 1 hosts seen")
	w.keytrail("status").want(t, 0, "3 of 3") // nothing looked since
	w.sweep()
	w.keytrail("status").want(t, 1, "1 account", "2 of 3", "retired key still trusted")
	var st struct {
		Secrets []struct {
			Secret  string
			Drifted int
			Alerts  []struct{ Condition, Severity string }
		}
	}
	b := w.keytrail("status", "--output=json")
	b.read(t, &st)
	if b.code != 1 || len(st.Secrets) != 1 || st.Secrets[0].Drifted != 1 || len(st.Secrets[0].Alerts) != 2 || st.Secrets[0].Alerts[0].Condition != "drift-stale" {
		t.Errorf("code %d, JSON %s", b.code, b.out)
	}
	if w.holders(old) != 1 {
		t.Error("the command changed a host")
	}
}

func TestErrorsNameWhatWasAskedAndWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.keytrail("verify", "nothing").wantError(t, 66, "keytrail verify:", "describe secret nothing", "do: keytrail status lists the secrets")
	w.keytrail("verify").wantError(t, 64, "keytrail verify:", "keytrail verify --help")
	w.keytrail("verfy").wantError(t, 64, "unknown command", "keytrail --help")
	w.keytrail("status", "--outputs", "x").wantError(t, 64, "unknown flag")
	w.keytrail("status", "--output", "xml").wantError(t, 64, "table or json")
	w.keytrail("verify", "fleet", "--host", "web-1").wantError(t, 64, "web-1", "i-0123456789abcdef0")
	w.keytrail("status", "--stack", "other").wantError(t, 78, "there is no function other-rotate in us-east-1", "--stack")
	w.keytrail("status", "--endpoint-url", "http://127.0.0.1:1", "--region", "us-east-1").wantError(t, 69, "--endpoint-url")
	w.keytrail("status", "--profile", "nobody").wantError(t, 78, "nobody", "--profile")
	w.secret("fleet")
	w.keytrail("verify", "fleet", "--host", "i-0000000000000000f").wantError(t, 66, "i-0000000000000000f is no host of fleet")

	var env []string
	for _, e := range w.env {
		if !strings.HasPrefix(e, "AWS_ACCESS") && !strings.HasPrefix(e, "AWS_SECRET") {
			env = append(env, e)
		}
	}
	w.env = env
	w.keytrail("status").wantError(t, 77, "no AWS credentials that work", "aws sso login")
}
