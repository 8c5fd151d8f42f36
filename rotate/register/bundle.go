package register

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A bundle is a copy of a secret's facts in one object, so that whoever knows none of them need not read each
// by itself: the facts' own lines, one after the other. The facts stay as they are.
//
// Nobody trusts a bundle. A list of the register says which facts there are, with the ETag of each. That is
// the MD5 of the object, and an object under Object Lock keeps its own; a line counts only as the fact whose
// ETag is the line's MD5 (and has a SHA-256 of its own, which a line made to collide had to meet as well).
// Every fact that no line is for is read where it stands: of a bundle that is cut, changed, old, of another
// secret, or not there. Where ETags are something else, as under SSE-KMS, no line counts and none is kept.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html

const (
	// few is how many facts are read, or left out of a bundle, before a bundle is worth its call: a rotation
	// records about four.
	few = 4
	// maxBundle bounds what is kept in memory: a rotation of 1,000 hosts records 40 kB. What does not fit is
	// read by itself.
	maxBundle = 8 << 20
)

// tagOf returns the ETag that S3 gives an object.
func tagOf(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// bundleKey returns where the copy of a fact is, by the fact's key.
func bundleKey(fact string) string {
	const segments = 5 // of a secret's folder
	parts := strings.SplitN(fact, "/", segments+1)
	return bundleFolder + strings.Join(parts[1:min(len(parts), segments)], "/") + ".jsonl"
}

// unbundle learns facts of a list from the bundles of secrets of which more than a few are not known. It has
// no error: what cannot be learned so is to be read.
func (r *Register) unbundle(ctx context.Context, list []listed) {
	unknown := map[string]map[string]string{}
	for _, o := range list {
		if _, ok := r.seen.recall(o); !ok {
			at := bundleKey(o.key)
			if unknown[at] == nil {
				unknown[at] = map[string]string{}
			}
			unknown[at][o.tag] = o.key
		}
	}
	const parallel = 4 // of some megabytes each, at worst
	var group errgroup.Group
	group.SetLimit(parallel)
	for at, facts := range unknown {
		if len(facts) > few {
			group.Go(func() error {
				_, _ = r.open(ctx, at, facts)
				return nil
			})
		}
	}
	_ = group.Wait()
}

// open learns those facts from a bundle that are wanted, keys by tag. It returns the bundle's own tag, none
// when there is no bundle, and remembers it.
func (r *Register) open(ctx context.Context, at string, wanted map[string]string) (string, error) {
	body, tag, err := r.bucket.read(ctx, at, maxBundle)
	// Without the right to list, a missing object is denied as well.
	if err != nil && !errors.Is(err, errAbsent) && !errors.Is(err, ErrDenied) {
		return "", err
	}
	for line := range bytes.Lines(body) {
		o := listed{tag: tagOf(line)}
		if o.key = wanted[o.tag]; o.key == "" {
			continue
		}
		if f, err := decode(o.key, line); err == nil {
			r.seen.put(o, f, true)
		}
	}
	r.seen.opened(at, tag)
	return tag, nil
}

// Bundle copies the facts of a history, which must be whole, into the secret's bundle if more than a few of
// them are not in it. Without it later reads take more calls, and nothing else is lost: when another wrote it
// meanwhile, it is left alone.
func (r *Register) Bundle(ctx context.Context, h History) error {
	if err := checkARN(h.Secret); err != nil {
		return err
	}
	at := bundleFolder + pathOf(h.Secret) + ".jsonl"
	body, held, fresh := r.seen.bundle(h)
	tag, known := r.seen.tag(at)
	if fresh > few && !known {
		var err error
		if tag, err = r.open(ctx, at, held); err != nil {
			return fmt.Errorf("bundle the facts of %s: %w", h.Secret, err)
		}
		body, held, fresh = r.seen.bundle(h)
	}
	if fresh <= few {
		return nil
	}
	var err error
	if tag == "" {
		tag, err = r.bucket.create(ctx, at, body, Retention{}, time.Time{})
	} else {
		tag, err = r.bucket.replace(ctx, at, body, tag)
	}
	if err != nil {
		r.seen.closed(at)
		if errors.Is(err, errPrecondition) || errors.Is(err, errAbsent) {
			return nil
		}
		return fmt.Errorf("bundle the facts of %s: %w", h.Secret, err)
	}
	r.seen.opened(at, tag)
	r.seen.bundled(held)
	return nil
}
