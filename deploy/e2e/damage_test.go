package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/wire"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
)

// object returns the register's object with the key of a version.
func (s secret) object(version string) (name string, content []byte) {
	s.t.Helper()
	list, err := s.objects().ListObjectsV2(s.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String("register/")})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range list.Contents {
		if !strings.HasSuffix(*o.Key, "/"+version+"/created.json") {
			continue
		}
		out, err := s.objects().GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: o.Key})
		if err != nil {
			s.t.Fatal(err)
		}
		content, err = io.ReadAll(out.Body)
		if err := errors.Join(err, out.Body.Close()); err != nil {
			s.t.Fatal(err)
		}
		return *o.Key, content
	}
	s.t.Fatalf("the register has nothing of version %s", version)
	return "", nil
}

// store writes an object of the register, or deletes it for nil.
func (w *world) store(name string, content []byte) {
	w.t.Helper()
	var err error
	if content == nil {
		_, err = w.objects().DeleteObject(w.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &name})
	} else {
		_, err = w.objects().PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &name, Body: bytes.NewReader(content)})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestWhileTheRegisterCannotBeReadNothingChanges damages what the register says of the key that is
// AWSCURRENT. Mended, the same rotation goes through.
func TestWhileTheRegisterCannotBeReadNothingChanges(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		damage func(content, stranger []byte) []byte
		words  string
	}{
		"cut":               {func(c, _ []byte) []byte { return c[:len(c)/2] }, "created.json"},
		"changed":           {func(c, _ []byte) []byte { return bytes.Replace(c, []byte("SHA256:"), []byte("SHA256:A"), 1) }, "created.json"},
		"of another secret": {func(_, stranger []byte) []byte { return stranger }, "another"},
		"missing":           {func(_, _ []byte) []byte { return nil }, "created.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nodes(1))
			w.keep()
			s, other := w.secret(keytrail, "fleet", ""), w.secret(keytrail, "other", "")
			first := s.mustRotate()
			_, stranger := other.object(other.mustRotate())
			name, whole := s.object(first)
			damaged := row.damage(whole, stranger)
			if bytes.Equal(whole, damaged) {
				t.Fatal("nothing was damaged")
			}
			w.store(name, damaged)
			old, files := s.key(current), homes(t, w.Hosts()...)
			version, err := s.rotate()
			if err := says(err, "setSecret", "register", row.words, first); err != nil {
				t.Error(err)
			}
			if _, err := s.act(rotate.ActionRequest{Action: rotate.Reconcile}); says(err, "register", row.words) != nil {
				t.Errorf("reconcile: %v", err)
			}
			if err := unharmed(s, first, old, w.Hosts()...); err != nil {
				t.Error(err)
			}
			for path, was := range files {
				if now := homes(t, w.Hosts()...)[path]; now != was {
					t.Errorf("%s changed", path)
				}
			}
			w.store(name, whole)
			for _, step := range steps {
				if err := s.step(step, version); err != nil {
					t.Errorf("%s, after it was mended: %v", step, err)
				}
			}
			if err := errors.Join(logsIn(s.key(current), user, w.Hosts()...), logsIn(other.key(current), user, w.Hosts()...), refused(old, user, w.Hosts()...)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWithoutItsBucketTheFunctionChangesNothing lets S3 answer a rotation with an error each time.
func TestWithoutItsBucketTheFunctionChangesNothing(t *testing.T) {
	t.Parallel()
	answers := func(e *wire.Error) wire.Fault {
		return wire.Fault{
			Match: func(r wire.Request) bool { return r.Service == "s3" && byFunction(r) },
			Do:    func(context.Context, wire.Request) error { return e },
		}
	}
	busy := answers(&wire.Error{Code: "ConditionalRequestConflict", Status: 409})
	busy.Match = func(r wire.Request) bool { return r.Action == "PutObject" && byFunction(r) }
	for name, row := range map[string]struct {
		fault wire.Fault
		words string
	}{
		"it denies":              {answers(&wire.Error{Code: "AccessDenied", Message: "Access Denied", Status: 403}), "denied by S3"},
		"it is gone":             {answers(&wire.Error{Code: "NoSuchBucket", Status: 404}), "the bucket does not exist"},
		"it answers 409 ever on": {busy, "other writes to the object are under way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			friend := newKey(t, "friend")
			w := newWorld(t, nodes(1, friend.line))
			w.keep()
			s := w.secret(keytrail, "fleet", "")
			first := s.mustRotate()
			old, file := s.key(current), keyFile(t, w.Hosts()[0], user)
			remove := w.Front().Inject(row.fault)
			version, err := s.rotate()
			if err := says(err, "createSecret", row.words, bucket); err != nil {
				t.Error(err)
			}
			if _, err := s.act(rotate.ActionRequest{Action: rotate.Reconcile}); says(err, row.words, bucket) != nil {
				t.Errorf("reconcile: %v", err)
			}
			if err := unharmed(s, first, old, w.Hosts()...); err != nil {
				t.Error(err)
			}
			if now := keyFile(t, w.Hosts()[0], user); now != file {
				t.Errorf("the key file changed:\n%s", now)
			}
			remove()
			for _, step := range steps {
				if err := s.step(step, version); err != nil {
					t.Errorf("%s, after it was mended: %v", step, err)
				}
			}
			if err := errors.Join(logsIn(s.key(current), user, w.Hosts()...), logsIn(friend, user, w.Hosts()...), refused(old, user, w.Hosts()...)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAKeyThatTwoSecretsShareStaysUntilNeitherHoldsIt(t *testing.T) {
	t.Parallel()
	shared := newKey(t, "shared")
	w := newWorld(t, nodes(1, shared.line))
	w.keep()
	one, two := w.secret(keytrail, "one", shared.value()), w.secret(keytrail, "two", shared.value())
	for _, s := range []secret{one, two} {
		if err := s.check(); err != nil { // turns rotation on: before, the function may not touch the secret
			t.Fatal(err)
		}
		s.mustAct(rotate.ActionRequest{Action: rotate.Adopt})
	}
	one.mustRotate()
	if err := errors.Join(logsIn(shared, user, w.Hosts()...), logsIn(one.key(current), user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
	two.mustRotate()
	if err := errors.Join(refused(shared, user, w.Hosts()...), logsIn(one.key(current), user, w.Hosts()...), logsIn(two.key(current), user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
}

// TestASecretMadeAgainUnderItsOldNameIsAnotherSecret: it has another ARN, and what the register says of
// the one that was deleted is none of its own.
func TestASecretMadeAgainUnderItsOldNameIsAnotherSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nodes(1))
	w.keep()
	gone := w.secret(keytrail, "fleet", "")
	gone.mustRotate()
	left := gone.key(current)
	gone.delete()
	s := w.secret(keytrail, "fleet", "")
	if s.arn == gone.arn {
		t.Fatal("it has the ARN of the one that was deleted")
	}
	s.mustRotate()
	old := s.key(current)
	s.mustRotate()
	if err := errors.Join(logsIn(s.key(current), user, w.Hosts()...), refused(old, user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
	// The register cannot say whether anybody still uses the key of a secret that is gone.
	if err := logsIn(left, user, w.Hosts()...); err != nil {
		t.Error(err)
	}
	if result := s.reconcile(); !result.Clean {
		t.Errorf("reconcile: %+v", result)
	}
}

// TestManyVersionsAndOneWithoutAValue fills a secret with as many versions as it can have, put by hand,
// and one that a rotation left before it had a value.
func TestManyVersionsAndOneWithoutAValue(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	w := newWorld(t, nodes(1))
	w.keep()
	s := w.secret(keytrail, "fleet", "")
	s.abandon(s.begin())
	lines, keys := []string{friend.line}, []key{}
	for range 98 { // a secret keeps 100
		k := newKey(t, "put by hand")
		s.put(k.value(), current)
		keys, lines = append(keys, k), append(lines, k.line)
	}
	if err := w.Hosts()[0].WriteKeys(user, lines...); err != nil {
		t.Fatal(err)
	}
	s.mustRotate()
	if err := errors.Join(logsIn(s.key(current), user, w.Hosts()...), logsIn(friend, user, w.Hosts()...)); err != nil {
		t.Error(err)
	}
	for _, k := range keys {
		if err := refused(k, user, w.Hosts()...); err != nil {
			t.Error(err)
		}
	}
}

func TestATargetThatMovesToAnotherHostDuringARotation(t *testing.T) {
	t.Parallel()
	friend := newKey(t, "friend")
	specs := nodes(2, friend.line)
	specs[0].Tags["Tier"] = "web"
	w := newWorld(t, specs)
	w.keep()
	s := w.secret(keytrail, "fleet", "", "keytrail:target=Tier=web")
	first := s.mustRotate()
	left, joined := w.Hosts()[0], w.Hosts()[1]
	old, version := s.key(current), s.begin()
	s.until("testSecret", version)
	for h, tier := range map[*host.Host]string{left: "db", joined: "web"} {
		if err := h.SetTag("Tier", tier); err != nil {
			t.Fatal(err)
		}
	}
	if err := says(s.step("testSecret", version), joined.ID(), "missing"); err != nil {
		t.Error(err)
	}
	if err := unharmed(s, first, old, left); err != nil {
		t.Error(err)
	}
	for _, step := range steps { // as Secrets Manager tries again
		if err := s.step(step, version); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
	if err := errors.Join(logsIn(s.key(current), user, joined), refused(old, user, left, joined), logsIn(friend, user, left, joined)); err != nil {
		t.Error(err)
	}
	if result := s.reconcile(); !result.Clean || on(t, result, joined).State != fleet.OK {
		t.Errorf("reconcile: %+v", result)
	}
}
