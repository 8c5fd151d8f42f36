package events

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
)

// agreed is what people agreed on of foreign keys.
type agreed struct {
	// Known says that there is a list, or was one: until then nobody was asked.
	Known bool                 `json:"known"`
	List  []evidence.Exception `json:"list,omitempty"` // the last one that could be read
	// Seen is the SHA-256 of the object that this was decided by, and empty when there was none.
	Seen   string        `json:"seen"`
	Schema int           `json:"schema"`
	Proof  evidence.Head `json:"proof,omitzero"`
}

// exceptions keeps what people agreed on: one S3 object beside the journals, which outlives a list that cannot be
// read. It may be used by many at once.
type exceptions struct {
	store store
	proof evidence.Log
	mu    sync.Mutex
	last  *agreed
}

const agreedKey = "watch/exceptions.json"

// agreed returns what is in force. A list that is new is written into the evidence, by one of all processes that
// see it. The error says that the list could not be fetched: what was in force before still is.
func (x *exceptions) agreed(ctx context.Context) (agreed, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	body, _, err := x.store.Read(ctx, evidence.ExceptionsKey)
	seen := ""
	if err == nil {
		seen = evidence.Sum(body)
	} else if errors.Is(err, evidence.ErrAbsent) {
		err = nil
	}
	if x.last != nil && (err != nil || x.last.Seen == seen) {
		return *x.last, err
	}
	for {
		a, tag, failure := x.read(ctx)
		if failure != nil || err != nil {
			return a, errors.Join(err, failure)
		}
		if a.Seen != seen {
			a, failure = x.take(ctx, a, tag, seen, body)
		}
		if errors.Is(failure, evidence.ErrChanged) {
			continue
		}
		if failure == nil {
			x.last = &a
		}
		return a, failure
	}
}

func (x *exceptions) read(ctx context.Context) (agreed, string, error) {
	body, tag, err := x.store.Read(ctx, agreedKey)
	if errors.Is(err, evidence.ErrAbsent) {
		return agreed{Schema: journalSchema}, "", nil
	}
	var a agreed
	if err == nil {
		if err = json.Unmarshal(body, &a); err == nil && a.Schema > journalSchema {
			err = fmt.Errorf("its schema is %d, this release writes %d", a.Schema, journalSchema)
		}
	}
	if err != nil {
		return agreed{}, "", fmt.Errorf("read what was agreed on: %w", err)
	}
	return a, tag, nil
}

// take puts a list that was not seen before in force, if it can be read.
func (x *exceptions) take(ctx context.Context, a agreed, tag, seen string, body []byte) (agreed, error) {
	a.Seen = seen
	r, before := evidence.Exceptions{SHA256: seen}, a.List
	list, err := evidence.ParseExceptions(body)
	switch {
	case seen == "":
		a.List = nil // people took the list away: nothing is agreed on any more
	case err != nil:
		r.Error = err.Error()
	default:
		a.Known, a.List = true, list
	}
	r.List, r.Added, r.Removed = a.List, without(a.List, before), without(before, a.List)
	if a.Proof, err = x.proof.Append(ctx, evidence.Secret{}, a.Proof, evidence.Record{Kind: evidence.Excepted, At: time.Now(), Exceptions: &r}); err != nil {
		return a, err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return a, err
	}
	_, err = x.store.Write(ctx, agreedKey, text, tag)
	return a, err
}

// without are the fingerprints of a list that no exception of another is about, sorted.
func without(list, other []evidence.Exception) []string {
	var out []string
	for _, e := range list {
		if !slices.ContainsFunc(other, func(o evidence.Exception) bool { return o.Fingerprint == e.Fingerprint }) {
			out = append(out, e.Fingerprint)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// accountKey is a foreign key in an account, on whatever host.
type accountKey struct {
	Fingerprint string `json:"fingerprint"`
	User        string `json:"user"`
}

// baseline is what a first look finds of foreign keys, in their order.
func baseline(v audit.Verdict) []accountKey {
	found := []accountKey{}
	for _, p := range v.Places {
		for _, k := range p.Foreign {
			if one := (accountKey{string(k.Fingerprint), p.User}); !k.Forged() && !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
	}
	slices.SortFunc(found, func(a, b accountKey) int {
		return cmp.Or(strings.Compare(a.Fingerprint, b.Fingerprint), strings.Compare(a.User, b.User))
	})
	return found
}

// BaselineFolder is where the foreign keys that a secret's first look found wait for somebody to answer for them,
// in the form of a list of exceptions whose owners, reasons and ends are to be filled in.
const BaselineFolder = "baseline/"

// offer writes a baseline for a person to accept. One that is there already stays.
func (c *Consumer) offer(ctx context.Context, named alert.Secret, keys []accountKey) error {
	at, err := register.PathOf(named.ARN)
	if err != nil || len(keys) == 0 {
		return err
	}
	list := make([]evidence.Exception, len(keys))
	for i, k := range keys {
		list[i] = evidence.Exception{Fingerprint: k.Fingerprint, User: k.User}
	}
	body, err := evidence.FormatExceptions(list)
	if err != nil {
		return err
	}
	err = c.objects.Create(ctx, BaselineFolder+at+".json", body, register.Retention{})
	if errors.Is(err, evidence.ErrChanged) {
		return nil
	}
	return err
}

// unanswered reports of a foreign key that it was there at the first look, and that nobody was asked about it yet.
func (s situation) unanswered(p audit.Place, k fleet.SeenKey) bool {
	return !s.agreed.Known && slices.Contains(s.journal.Baseline, accountKey{string(k.Fingerprint), p.User})
}

// answered reports that somebody answers for a foreign key.
func (s situation) answered(p audit.Place, k fleet.SeenKey) bool {
	return evidence.Answered(s.agreed.List, string(p.Host), p.User, string(k.Fingerprint), s.now)
}
