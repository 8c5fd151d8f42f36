package evidence

// Archive is what a folder or a bucket of evidence holds. Nothing that is not as it was written is left out in
// silence: it is a Fault.
type Archive struct {
	Chains []Chain // by ARN; the chain of the exceptions, which is about no secret, comes first
	Faults []Fault // by path
}

// Chain is the records of one secret, by sequence. What lies before the first of them is not part of the
// archive; a gap between two is a Fault.
type Chain struct {
	Secret  Secret
	Records []Record
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

// FaultKind says what is wrong.
type FaultKind string

// The faults.
const (
	Cut       FaultKind = "damaged" // an object that is cut, changed, or no record
	Broken    FaultKind = "broken"  // a record that names another predecessor than the one that is there
	Missing   FaultKind = "missing" // a record that its successor or a manifest names, and that is not there
	Doubled   FaultKind = "doubled" // two different records with one sequence
	Misplaced FaultKind = "foreign" // a whole record that belongs under another name
	Later     FaultKind = "later"   // written by a later release
	Backward  FaultKind = "clock"   // a record that says it was before its predecessor by more than an hour
)
