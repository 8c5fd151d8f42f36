package evidence

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"github.com/keytrail/keytrail/rotate/register"
)

// Folder is where all evidence stands in a bucket. Below it each chain has a folder of its own, with a folder of
// records, named by their sequence, and one of manifests, named by their days.
const (
	Folder      = "evidence/"
	recordsName = "records/"
	daysName    = "days/"
	// exceptions is the folder of the one chain that is about no secret.
	exceptions = "exceptions/"
)

// folderOf is that of a chain.
func folderOf(s Secret) (string, error) {
	if s == (Secret{}) {
		return Folder + exceptions, nil
	}
	at, err := register.PathOf(s.ARN)
	if err != nil {
		return "", err
	}
	return Folder + at + "/", nil
}

func recordName(sequence int64) string { return fmt.Sprintf("%s%012d.json", recordsName, sequence) }

// store keeps objects, as a Bucket does.
type store interface {
	Read(ctx context.Context, key string) (body []byte, tag string, err error)
	Create(ctx context.Context, key string, body []byte, keep register.Retention) error
	List(ctx context.Context, prefix, after string) ([]string, error)
}

// Log writes evidence. Any number of processes may do so at once: S3 takes one record for each sequence, so a
// chain never forks. Make it with NewLog.
type Log struct {
	store store
	keep  register.Retention
	stack Stack
}

// NewLog returns a log in a bucket, of which S3 keeps every object as the retention says.
func NewLog(b Bucket, keep register.Retention, stack Stack) Log { return Log{b, keep, stack} }

// Head is the end of a chain as its keeper knows it. An old one costs two calls, the zero one as well unless the
// chain is empty.
type Head struct {
	Sequence int64  `json:"sequence"`
	SHA256   string `json:"sha256"` // of that record, in hex
}

// Append writes records to the end of a secret's chain, and returns the new end. The records' At, Event, Kind and
// the member of their kind are the caller's; the rest is filled in. After an error some of them may be written.
func (l Log) Append(ctx context.Context, secret Secret, head Head, records ...Record) (Head, error) {
	folder, err := folderOf(secret)
	if err != nil {
		return head, fmt.Errorf("write evidence: %w", err)
	}
	for _, r := range records {
		r.Schema, r.Secret, r.Stack = Schema, secret, l.stack
		r.At = r.At.UTC().Truncate(time.Millisecond)
		if head, err = l.append(ctx, folder, head, r); err != nil {
			return head, fmt.Errorf("write evidence of %s: %w", folder, err)
		}
	}
	return head, nil
}

func (l Log) append(ctx context.Context, folder string, head Head, r Record) (Head, error) {
	// Each loss means that another record was written: so many in a row mean that something else is wrong.
	const tries = 12
	var err error
	for n := range tries {
		if n > 0 {
			pause := 10 * time.Millisecond << min(n, 6)
			select {
			case <-ctx.Done():
				return head, context.Cause(ctx)
			case <-time.After(rand.N(pause)):
			}
		}
		r.Sequence, r.Previous = head.Sequence+1, head.SHA256
		body, failure := r.Canonical()
		if failure != nil {
			return head, failure
		}
		next := Head{r.Sequence, Sum(body)}
		if err = l.store.Create(ctx, folder+recordName(r.Sequence), body, l.keep); err == nil {
			return next, nil
		}
		if !errors.Is(err, ErrChanged) {
			return head, err
		}
		end, failure := l.end(ctx, folder, head)
		if failure != nil {
			return head, failure
		}
		if end == next { // it is this very record: the reply to a write got lost
			return next, nil
		}
		head = end
	}
	return head, err
}

// end finds the end of a chain from what is known of it.
func (l Log) end(ctx context.Context, folder string, known Head) (Head, error) {
	after := ""
	if known.Sequence > 0 {
		after = folder + recordName(known.Sequence)
	}
	keys, err := l.store.List(ctx, folder+recordsName, after)
	if err != nil || len(keys) == 0 {
		return known, err
	}
	last := keys[len(keys)-1]
	sequence, ok := sequenceOf(last)
	if !ok {
		return known, fmt.Errorf("%s is no record", last)
	}
	body, _, err := l.store.Read(ctx, last)
	if err != nil {
		return known, err
	}
	return Head{sequence, Sum(body)}, nil
}

// sequenceOf reads the name of a record's object.
func sequenceOf(key string) (int64, bool) {
	var n int64
	if _, err := fmt.Sscanf(path.Base(key), "%d.json", &n); err != nil || n < 1 {
		return 0, false
	}
	return n, path.Base(key) == path.Base(recordName(n))
}

// Close writes the manifest of a day for every record of a secret's chain that no manifest has yet, and reports
// whether there were any. The day is for the name; what was written while it ran late is in it as well. Another
// process that did the same is as good.
func (l Log) Close(ctx context.Context, secret Secret, day time.Time) (bool, error) {
	folder, err := folderOf(secret)
	if err != nil {
		return false, fmt.Errorf("close the day's evidence: %w", err)
	}
	wrote, err := l.close(ctx, folder, secret, day.UTC().Format(time.DateOnly))
	if err != nil {
		return false, fmt.Errorf("close the day's evidence of %s: %w", folder, err)
	}
	return wrote, nil
}

func (l Log) close(ctx context.Context, folder string, secret Secret, day string) (bool, error) {
	days, err := l.store.List(ctx, folder+daysName, "")
	if err != nil {
		return false, err
	}
	m := Manifest{Day: day, Schema: Schema, Secret: secret}
	name, after := folder+daysName+day+".json", ""
	if len(days) > 0 {
		last := days[len(days)-1]
		if last >= name {
			return false, nil
		}
		body, _, err := l.store.Read(ctx, last)
		if err != nil {
			return false, err
		}
		before, err := DecodeManifest(body)
		if err != nil {
			return false, fmt.Errorf("%s: %w", last, err)
		}
		m.Before, m.Previous = Sum(body), before.head().SHA256
		after = folder + recordName(before.head().Sequence)
	}
	keys, err := l.store.List(ctx, folder+recordsName, after)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	if err := l.gather(ctx, &m, keys); err != nil {
		return false, err
	}
	body, err := m.canonical()
	if err != nil {
		return false, err
	}
	if err := l.store.Create(ctx, name, body, l.keep); err != nil && !errors.Is(err, ErrChanged) {
		return false, err
	}
	return true, nil
}

// gather reads records into a manifest.
func (l Log) gather(ctx context.Context, m *Manifest, keys []string) error {
	const part = 64 // bounds what is in memory at once
	add := m.adder()
	for keys := range slices.Chunk(keys, part) {
		bodies, err := readAll(ctx, l.store, keys)
		if err != nil {
			return err
		}
		for i, body := range bodies {
			r, err := Decode(body)
			if err != nil { // it is closed as what it is: Check tells of it
				r = Record{}
				r.Sequence, _ = sequenceOf(keys[i])
			}
			if err := add(r, Sum(body)); err != nil {
				return fmt.Errorf("%s: %w", keys[i], err)
			}
		}
	}
	return nil
}
