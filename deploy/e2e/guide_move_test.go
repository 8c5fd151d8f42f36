package e2e

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMovingFromTheAncestorAndBack follows that chapter of the guide: at every moment the secret's key
// opens each account, and what the other function put there goes.
func TestMovingFromTheAncestorAndBack(t *testing.T) {
	t.Parallel()
	old := newKey(t, "made by hand")
	w := newWorld(t, nodes(2, old.line))
	w.runAncestor()
	w.run(keytrail, "KEYTRAIL_KEY_TYPE=rsa-2048", "KEYTRAIL_PRIVATE_KEY_FORMAT=pkcs1")
	s := w.secret(ancestor, "fleet", old.value())
	s.mustRotate()
	theirs := s.key(current)
	if err := logsIn(theirs, user, w.Hosts()...); err != nil {
		t.Fatal(err)
	}

	before := homes(t, w.Hosts()...)
	s.function = keytrail
	if err := s.check(); err != nil {
		t.Errorf("attached without rotating: %v", err)
	}
	if diff := cmp.Diff(before, homes(t, w.Hosts()...)); diff != "" {
		t.Errorf("the test changed files:\n%s", diff)
	}
	s.mustRotate()
	ours := s.key(current)
	if err := errors.Join(logsIn(ours, user, w.Hosts()...), refused(theirs, user, w.Hosts()...), refused(old, user, w.Hosts()...)); err != nil {
		t.Errorf("there: %v", err)
	}

	s.function = ancestor
	if s.check() == nil {
		t.Error("the ancestor tested a key that it did not send, which the guide says it cannot")
	}
	s.mustRotate()
	if err := errors.Join(logsIn(s.key(current), user, w.Hosts()...), refused(ours, user, w.Hosts()...)); err != nil {
		t.Errorf("back: %v", err)
	}
}
