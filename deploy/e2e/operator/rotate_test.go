package operator

import (
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

func TestRotateFollowsARotationUntilItIsVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.secret("fleet")
	old, _ := w.key("fleet", "AWSCURRENT")
	w.keytrail("rotate", "fleet").want(t, 0, "createSecret", "setSecret", "testSecret", "finishSecret", "done  2 hosts: 2 ok", "clean: 2 of 2 hosts trust version")
	live, print := w.key("fleet", "AWSCURRENT")
	if w.holders(live) != 2 || w.holders(old) != 0 || live == old {
		t.Errorf("%d hosts have the new key, %d the old one", w.holders(live), w.holders(old))
	}
	var r struct {
		Version string
		Steps   []struct{ Step, Message string }
		Verdict struct {
			Clean                bool
			Version, Fingerprint string
		}
	}
	w.keytrail("rotate", "fleet", "--output", "json").read(t, &r)
	if _, now := w.key("fleet", "AWSCURRENT"); !r.Verdict.Clean || r.Version != r.Verdict.Version || r.Verdict.Fingerprint != now || now == print || len(r.Steps) != 4 {
		t.Errorf("JSON: %+v", r)
	}
	w.tag("fleet", "keytrail:hold", "ticket 7")
	w.keytrail("rotate", "fleet").wantError(t, 69, "ticket 7")
}

func TestRotateNamesTheHostThatARotationFailedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.secret("fleet")
	live, _ := w.key("fleet", "AWSCURRENT")
	if err := w.Hosts()[1].Change(func(s *host.Switches) { s.DiskFull = true }); err != nil {
		t.Fatal(err)
	}
	a := w.keytrail("rotate", "fleet")
	a.want(t, 1, "i-00000000000000002 deploy: ", "setSecret", "failed:")
	if a.err == "" || w.holders(live) != 2 {
		t.Errorf("%d hosts have the live key; it says %s", w.holders(live), a.err)
	}
}
