package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// ErrConflict: the register holds another fact where this one belongs.
var ErrConflict = errors.New("the register says otherwise")

// ObjectError names the object that could not be read as a fact. Its cause is ErrDamaged, ErrForeign,
// ErrLater, ErrMissing, or what S3 answered.
type ObjectError struct {
	Bucket, Key string
	Err         error
}

func (e *ObjectError) Error() string {
	return fmt.Sprintf("register object s3://%s/%s: %v", e.Bucket, e.Key, e.Err)
}

func (e *ObjectError) Unwrap() error { return e.Err }

// Register is the register in one bucket. It may be used by many at once. Make it with New.
type Register struct {
	bucket    bucket
	retention Retention
	seen      *seen
}

// New returns the register of a bucket. Facts are written under the given retention.
func New(client objects, bucketName string, retention Retention) *Register {
	return &Register{bucket: bucket{client, bucketName}, retention: retention, seen: newSeen()}
}

// Write records a fact and returns the one that stands. It may be called again with the same fact
// after any interruption. Of Created, Adopted, Promoted and Revoked the first one stands, with its
// time and note; another one that differs in anything else is ErrConflict, and the error tells both.
func (r *Register) Write(ctx context.Context, f Fact) (Fact, error) {
	f = f.normal()
	if err := f.check(); err != nil {
		return Fact{}, err
	}
	key := keyOf(f)
	// Between "there is one" and reading it, it may be gone again, but hardly more than once.
	const tries = 3
	var err error
	for range tries {
		var tag string
		tag, err = r.bucket.create(ctx, key, encode(f), r.retention, f.At)
		if err == nil {
			r.seen.put(listed{key, tag}, f, false)
			return f, nil
		}
		if !errors.Is(err, errPrecondition) {
			return Fact{}, fmt.Errorf("record %s: %w", f, err)
		}
		var standing Fact
		standing, err = r.fetch(ctx, key)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			return Fact{}, fmt.Errorf("record %s: %w", f, err)
		}
		if !same(standing, f) {
			return standing, fmt.Errorf("record %s: %w: s3://%s/%s holds %s", f, ErrConflict, r.bucket.name, key, standing)
		}
		return standing, nil
	}
	return Fact{}, fmt.Errorf("record %s: %w", f, err)
}

// same compares two facts under one key: the first time of a repeated fact stands, with its note.
func same(a, b Fact) bool {
	a.At, a.Note = b.At, b.Note
	return string(encode(a)) == string(encode(b))
}

// Read returns the history of one secret, which is empty for one that is not registered. What cannot
// be read is in the joined error, object by object (ObjectError), and all the rest in the history:
// with an error it is not whole, and nobody may retire a key by it.
func (r *Register) Read(ctx context.Context, secretARN string) (History, error) {
	if err := checkARN(secretARN); err != nil {
		return History{}, err
	}
	histories, err := r.read(ctx, folderOf(secretARN))
	if len(histories) == 0 {
		return History{Secret: secretARN}, err
	}
	return histories[0], err
}

// All returns the histories of all secrets in the register, by ARN. Its error is that of Read; a
// history in it may lack what the error names.
func (r *Register) All(ctx context.Context) ([]History, error) {
	return r.read(ctx, registerFolder)
}

// Sharing is that of a new View.
func (r *Register) Sharing(ctx context.Context, h History) ([]History, error) {
	return r.View().Sharing(ctx, h)
}

// Fingerprints is that of a new View.
func (r *Register) Fingerprints(ctx context.Context) (map[sshkey.Fingerprint]string, error) {
	return r.View().Fingerprints(ctx)
}

// read returns the histories of all facts below a prefix.
func (r *Register) read(ctx context.Context, prefix string) ([]History, error) {
	list, err := r.bucket.list(ctx, prefix)
	return r.histories(ctx, list, err)
}

// histories returns those of all facts in a list, which is whole unless making it ended with an error.
func (r *Register) histories(ctx context.Context, list []listed, listErr error) ([]History, error) {
	facts, errs := r.facts(ctx, list)
	histories := histories(facts)
	if listErr == nil {
		errs = append(errs, r.missing(histories)...)
	}
	return histories, joined(append(errs, listErr))
}

// facts reads objects, those that it can.
func (r *Register) facts(ctx context.Context, list []listed) ([]Fact, []error) {
	r.unbundle(ctx, list)
	facts := make([]Fact, len(list))
	errs := make([]error, len(list))
	// S3 serves thousands a second for one prefix; this only bounds connections and memory.
	const parallel = 16
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, o := range list {
		group.Go(func() error {
			var ok bool
			if facts[i], ok = r.seen.recall(o); !ok {
				facts[i], errs[i] = r.fetch(ctx, o.key)
			}
			return nil
		})
	}
	_ = group.Wait() // every error has its place in errs
	var whole []Fact
	for i, f := range facts {
		if errs[i] == nil {
			whole = append(whole, f)
		}
	}
	return whole, errs
}

// unread joins what could not be read. Its text names the first few, as one denial may meet every
// object.
type unread []error

func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return unread(errs)
}

func (u unread) Error() string {
	const most = 5
	var parts []string
	for _, err := range u[:min(len(u), most)] {
		parts = append(parts, err.Error())
	}
	if len(u) > most {
		parts = append(parts, fmt.Sprintf("and %d more", len(u)-most))
	}
	return "the register cannot be read whole: " + strings.Join(parts, "; ")
}

func (u unread) Unwrap() []error { return u }

// missing returns an error for each version that facts tell of and none tells the keys.
func (r *Register) missing(all []History) []error {
	var errs []error
	for _, h := range all {
		for _, version := range h.versions() {
			if !h.Has(Created, version) && !h.Has(Found, version) {
				key := keyOf(Fact{Kind: Created, Secret: h.Secret, Version: version})
				errs = append(errs, &ObjectError{r.bucket.name, key, ErrMissing})
			}
		}
	}
	return errs
}

// fetch reads, decodes and remembers one object.
func (r *Register) fetch(ctx context.Context, key string) (Fact, error) {
	body, tag, err := r.bucket.read(ctx, key, maxObject)
	if err != nil {
		return Fact{}, &ObjectError{r.bucket.name, key, err}
	}
	f, err := decode(key, body)
	if err != nil {
		return Fact{}, &ObjectError{r.bucket.name, key, err}
	}
	r.seen.put(listed{key, tag}, f, false)
	return f, nil
}

func checkARN(arn string) error {
	if !secretARN().MatchString(arn) {
		return fmt.Errorf("%q is not the ARN of a secret", arn)
	}
	return nil
}
