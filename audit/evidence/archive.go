package evidence

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/register"
)

// Archive is what a folder or a bucket of evidence holds. Nothing that is not as it was written is left out in
// silence: it is a Fault.
type Archive struct {
	Chains []Chain // by ARN; the chain of the exceptions, which is about no secret, comes first
	Faults []Fault // by path, then sequence
}

// Chain is the records of one secret, by sequence. What lies before the first of them is not part of the
// archive; a gap between two is a Fault.
type Chain struct {
	Secret  Secret
	Records []Record
	// Sums are the SHA-256 of the records as they were written, in hex.
	Sums []string
}

// Fault is something in an archive that is not as it was written.
type Fault struct {
	Path   string // of the object, below the archive's top
	Secret Secret // where that is known
	// Sequence of the record, 0 where it is not known.
	Sequence int64
	What     FaultKind
	Detail   string // one sentence
}

// String says it in one line.
func (f Fault) String() string { return fmt.Sprintf("%s: %s: %s", f.Path, f.What, f.Detail) }

// FaultKind says what is wrong.
type FaultKind string

// The faults.
const (
	Cut       FaultKind = "damaged" // an object that is cut, changed, or no record
	Broken    FaultKind = "broken"  // a record or manifest that names another predecessor than the one that is there
	Missing   FaultKind = "missing" // a record that its successor names, and that is not there
	Doubled   FaultKind = "doubled" // two different records with one sequence
	Misplaced FaultKind = "foreign" // a whole record that belongs under another name
	Later     FaultKind = "later"   // written by a later release
	Backward  FaultKind = "clock"   // a verification that says it was before the one before it
)

// Open reads the evidence in a folder: manifests, and the records that none of them has. The links between
// records are looked at; that each record is what its manifest says is left to Check. The error is one of the file
// system.
func Open(folder fs.FS) (Archive, error) { return readFolder(folder, false) }

// Check is Open, reads every record, and writes every record of a manifest out again to compare its SHA-256.
func Check(folder fs.FS) (Archive, error) { return readFolder(folder, true) }

func readFolder(folder fs.FS, all bool) (Archive, error) {
	var names []string
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return Archive{}, fmt.Errorf("read evidence: %w", err)
	}
	return read(names, func(name string) ([]byte, error) { return fs.ReadFile(folder, name) }, all)
}

// read reads the objects that have names of evidence.
func read(names []string, get func(string) ([]byte, error), all bool) (Archive, error) {
	chains := map[string]*reader{}
	for _, name := range slices.Sorted(slices.Values(names)) {
		dir, base := path.Split(name)
		kind := path.Base(dir) + "/"
		if kind != recordsName && kind != daysName {
			continue
		}
		at := path.Dir(path.Clean(dir))
		if chains[at] == nil {
			chains[at] = &reader{get: get, at: at, all: all, found: map[int64]entry{}}
		}
		if kind == daysName {
			chains[at].days = append(chains[at].days, base)
		} else {
			chains[at].records = append(chains[at].records, base)
		}
	}
	var a Archive
	for _, at := range slices.Sorted(maps.Keys(chains)) {
		r := chains[at]
		if err := r.read(); err != nil {
			return Archive{}, fmt.Errorf("read evidence: %w", err)
		}
		if c := r.chain(); len(c.Records) > 0 {
			a.Chains = append(a.Chains, c)
		}
		a.Faults = append(a.Faults, r.faults...)
	}
	slices.SortStableFunc(a.Chains, func(x, y Chain) int { return strings.Compare(x.Secret.ARN, y.Secret.ARN) })
	slices.SortStableFunc(a.Faults, func(x, y Fault) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), cmp.Compare(x.Sequence, y.Sequence))
	})
	return a, nil
}

// reader reads one chain.
type reader struct {
	get           func(name string) ([]byte, error)
	at            string
	all           bool
	days, records []string // names, sorted
	found         map[int64]entry
	faults        []Fault
}

// entry is a record as it was found.
type entry struct {
	record Record
	sum    string
	path   string
	torn   bool // only its sum is known
}

func (r *reader) fault(name string, sequence int64, what FaultKind, format string, args ...any) {
	r.faults = append(r.faults, Fault{Path: name, Sequence: sequence, What: what, Detail: fmt.Sprintf(format, args...)})
}

func (r *reader) read() error {
	var before, last string
	seen := known{fleets: map[string][]Host{}, hosts: map[string]Host{}}
	for _, base := range r.days {
		name := path.Join(r.at, daysName, base)
		body, err := r.get(name)
		if err != nil {
			return err
		}
		m, err := seen.manifest(body)
		if err != nil {
			r.unreadable(name, 0, err)
			before = ""
			continue
		}
		if m.Day+".json" != base || !r.owns(m.Secret) {
			r.fault(name, 0, Misplaced, "it is the manifest of %s on %s", nameOf(m.Secret), m.Day)
		}
		if last != "" && m.Before != before {
			r.fault(name, 0, Broken, "it follows another manifest than %s, or that one was changed", last)
		}
		before, last = Sum(body), base
		r.manifest(name, m)
	}
	for _, base := range r.records {
		if err := r.record(path.Join(r.at, recordsName, base)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) manifest(name string, m Manifest) {
	for _, e := range m.Entries {
		n := e.Record.Sequence
		found := entry{record: m.whole(e), sum: e.SHA256, path: name, torn: e.Record.Schema == 0}
		switch was, double := r.found[n]; {
		case double && was.sum != found.sum:
			r.fault(name, n, Doubled, "record %d is in %s as well, and another one there", n, was.path)
			continue
		case double:
			continue
		}
		if r.all && !found.torn {
			if body, err := found.record.Canonical(); err != nil || Sum(body) != e.SHA256 {
				r.fault(name, n, Cut, "record %d is not what its SHA-256 says", n)
			}
		}
		if found.torn {
			r.fault(name, n, Cut, "record %d could not be read when the day was closed", n)
		}
		r.found[n] = found
	}
}

func (r *reader) record(name string) error {
	n, ok := sequenceOf(name)
	if !ok {
		r.fault(name, 0, Misplaced, "no record has such a name")
		return nil
	}
	closed, known := r.found[n]
	if known && !r.all {
		return nil
	}
	body, err := r.get(name)
	if err != nil {
		return err
	}
	if known {
		if Sum(body) != closed.sum {
			r.fault(name, n, Cut, "record %d is not the one that %s closed", n, closed.path)
		}
		return nil
	}
	record, err := Decode(body)
	switch {
	case err != nil:
		r.unreadable(name, n, err)
		r.found[n] = entry{sum: Sum(body), path: name, torn: true, record: Record{Sequence: n}}
		return nil
	case record.Sequence != n || !r.owns(record.Secret):
		r.fault(name, n, Misplaced, "it is record %d of %s", record.Sequence, nameOf(record.Secret))
		r.found[n] = entry{sum: Sum(body), path: name, torn: true, record: Record{Sequence: n}}
		return nil
	}
	r.found[n] = entry{record: record, sum: Sum(body), path: name}
	return nil
}

func (r *reader) unreadable(name string, n int64, err error) {
	what := Cut
	if errors.Is(err, ErrLater) {
		what = Later
	}
	r.fault(name, n, what, "%s", err)
}

// owns reports whether the chain's folder is that of a secret.
func (r *reader) owns(s Secret) bool {
	if s == (Secret{}) {
		return path.Base(r.at)+"/" == exceptions
	}
	at, err := register.PathOf(s.ARN)
	return err == nil && (r.at == at || strings.HasSuffix(r.at, "/"+at))
}

func nameOf(s Secret) string {
	if s == (Secret{}) {
		return "the exceptions"
	}
	return s.ARN
}

// backward is how far the clock of one invocation may be behind another's.
const backward = time.Minute

// chain joins what was found, and looks at every link.
func (r *reader) chain() Chain {
	var c Chain
	var before entry
	var seen time.Time
	for i, n := range slices.Sorted(maps.Keys(r.found)) {
		e := r.found[n]
		linked := !e.torn
		switch {
		case i == 0 && n == 1 && linked && e.record.Previous != "":
			r.fault(e.path, n, Broken, "record 1 follows another record")
		case i > 0 && n != before.record.Sequence+1:
			r.fault(e.path, n, Missing, "records %d to %d are missing", before.record.Sequence+1, n-1)
		case i > 0 && linked && e.record.Previous != before.sum:
			r.fault(e.path, n, Broken, "record %d follows another record than the one before it, or that one was changed", n)
		}
		before = e
		if e.torn {
			continue
		}
		if e.record.Kind == Verified {
			if e.record.At.Before(seen.Add(-backward)) {
				r.fault(e.path, n, Backward, "record %d says %s, after one that says %s", n, e.record.At.Format(time.RFC3339), seen.Format(time.RFC3339))
			}
			seen = e.record.At
		}
		c.Secret = e.record.Secret
		c.Records, c.Sums = append(c.Records, e.record), append(c.Sums, e.sum)
	}
	for i := range r.faults {
		r.faults[i].Secret = c.Secret
	}
	return c
}
