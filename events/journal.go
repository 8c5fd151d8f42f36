package events

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
)

// journal is what events told of one secret, and what was seen when its hosts were last asked: one S3
// object, below watch/.
type journal struct {
	Schema int          `json:"schema"`
	Secret alert.Secret `json:"secret"`
	// Begun is when the secret was first watched. What happened before it, no event could tell.
	Begun time.Time `json:"begun"`
	// Rotations are those that events told of, oldest first.
	Rotations []*rotationSeen `json:"rotations,omitempty"`
	// Changes are the newest calls of people that changed what holds for the secret, by kind.
	Changes map[Kind]change `json:"changes,omitempty"`
	// Verdict is the newest, and Cause the id of the event that asked for it.
	Verdict *audit.Verdict `json:"verdict,omitempty"`
	Cause   string         `json:"cause,omitempty"`
	// Look is who asks the hosts at this moment.
	Look claim `json:"look,omitzero"`
	// Proof is the end of the secret's evidence.
	Proof evidence.Head `json:"proof,omitzero"`
	// Baseline are the foreign keys that the first look found; nil before it.
	Baseline []accountKey `json:"baseline"`
	// Closed is the last day whose evidence has a manifest, as 2006-01-02.
	Closed string `json:"closed,omitempty"`
}

// rotationSeen is one rotation, or one value that somebody put, as events told of it.
type rotationSeen struct {
	Version   string    `json:"version"`
	Started   time.Time `json:"started,omitzero"`
	Moved     time.Time `json:"moved,omitzero"` // AWSCURRENT came to it
	Succeeded time.Time `json:"succeeded,omitzero"`
	Failed    time.Time `json:"failed,omitzero"`
	Abandoned time.Time `json:"abandoned,omitzero"`
	ByHand    time.Time `json:"byHand,omitzero"` // somebody put a value or moved a label
	// Missed: a sweep found that it ended well, and no event had told.
	Missed time.Time `json:"missed,omitzero"`
	// Kept is the time of the ending that stands in the evidence.
	Kept time.Time `json:"kept,omitzero"`
	// Of the failure.
	Step     string `json:"step,omitempty"`
	Function string `json:"function,omitempty"`
	Message  string `json:"message,omitempty"`
	EventID  string `json:"eventId,omitempty"`
	// InTheWay is what hosts answered to it, once SSM was asked.
	InTheWay []alert.Place `json:"inTheWay,omitempty"`
}

// change is one call.
type change struct {
	EventID string    `json:"eventId"`
	At      time.Time `json:"at"`
	Who     alert.Who `json:"who"`
}

// claim is one process's right to ask the hosts of a secret, until it ends.
type claim struct {
	Holder string    `json:"holder,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

const (
	journalSchema = 1
	// Rotations that are kept: months of them, and whatever retries add.
	maxRotations = 30
)

// begun is when the rotation is first known to have done anything.
func (r *rotationSeen) begun() time.Time {
	for _, at := range []time.Time{r.Started, r.Moved, r.Succeeded, r.Failed, r.Abandoned, r.Missed, r.ByHand} {
		if !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// last is the newest ending that is known, and what it was.
func (r *rotationSeen) last() (time.Time, evidence.Outcome) {
	at, what := r.Succeeded, evidence.Succeeded
	if r.Failed.After(at) {
		at, what = r.Failed, evidence.Failed
	}
	if r.Abandoned.After(at) {
		at, what = r.Abandoned, evidence.Abandoned
	}
	if r.Missed.After(at) {
		at, what = r.Missed, evidence.Unheard
	}
	return at, what
}

// failed reports that it failed and that neither a retry nor anything else ended it well since.
func (r *rotationSeen) failed() bool {
	return !r.Failed.IsZero() && !r.Failed.Before(r.Started) && r.Succeeded.Before(r.Failed) && r.Missed.Before(r.Failed)
}

// ended reports that events told how it ended, and that it did not start again.
func (r *rotationSeen) ended() bool {
	last, _ := r.last()
	return !last.IsZero() && !last.Before(r.Started)
}

// find returns the rotation of a version, nil if no event told of it.
func (j *journal) find(version string) *rotationSeen {
	if i := slices.IndexFunc(j.Rotations, func(r *rotationSeen) bool { return r.Version == version }); i >= 0 {
		return j.Rotations[i]
	}
	return nil
}

// rotation is find with a new rotation in place of none.
func (j *journal) rotation(version string) *rotationSeen {
	r := j.find(version)
	if r == nil {
		r = &rotationSeen{Version: version}
		j.Rotations = append(j.Rotations, r)
	}
	return r
}

// about returns the version that an event tells of. Not every record names one: how a rotation ended is then
// told of the newest that started before and is not known to have ended, or of "" where there is none.
func (j *journal) about(e Event) string {
	if e.Version != "" {
		return e.Version
	}
	for _, r := range slices.Backward(j.Rotations) {
		// A value that somebody put may have moved AWSCURRENT before it is known who put it: it never started.
		if !r.Started.IsZero() && !r.Started.After(e.At) && (!r.ended() || r.Abandoned.Equal(e.At) || r.Failed.Equal(e.At)) {
			return r.Version
		}
	}
	return ""
}

// ends are the kinds that tell how a rotation ended.
func ends(k Kind) bool {
	return k == RotationSucceeded || k == RotationFailed || k == RotationAbandoned
}

// note takes in what an event tells. Events come late, twice and in any order: for each moment the newest
// counts.
func (j *journal) note(e Event) {
	if c, ok := changes[e.Kind]; ok && !e.Refused() && e.At.After(j.Changes[c].At) {
		if j.Changes == nil {
			j.Changes = map[Kind]change{}
		}
		j.Changes[c] = change{EventID: e.ID, At: e.At, Who: who(e.By)}
	}
	var at *time.Time
	version := j.about(e)
	if version == "" && !ends(e.Kind) {
		return
	}
	switch r := j.rotation(version); e.Kind {
	case RotationStarted:
		at = &r.Started
	case RotationSucceeded:
		at = &r.Succeeded
	case RotationAbandoned:
		at = &r.Abandoned
	case LabelUpdated:
		at = &r.Moved
	case PutSecretValue, UpdateSecret, UpdateSecretVersionStage:
		at = &r.ByHand
	case RotationFailed:
		at = &r.Failed
		if !e.At.Before(r.Failed) {
			if e.ID != r.EventID {
				r.InTheWay = nil
			}
			r.Step, r.Function, r.Message, r.EventID = e.Step, e.Function, e.Message, e.ID
		}
	}
	if at != nil && e.At.After(*at) {
		*at = e.At
	}
	j.Rotations = slices.DeleteFunc(j.Rotations, func(r *rotationSeen) bool { return r.begun().IsZero() })
	slices.SortStableFunc(j.Rotations, func(a, b *rotationSeen) int { return a.begun().Compare(b.begun()) })
	j.Rotations = j.Rotations[max(0, len(j.Rotations)-maxRotations):]
}

// changes are the calls that a state of the secret follows from, by the kind that they are remembered as.
var changes = map[Kind]Kind{
	CancelRotateSecret: CancelRotateSecret, RotateSecret: RotateSecret, DeleteSecret: DeleteSecret,
}

// shares reports whether what was last seen answers an event of a time: the hosts were asked after it. The
// times of events are whole seconds.
func (j *journal) shares(at time.Time) bool {
	return j.Verdict != nil && j.Verdict.At.After(at.Add(time.Second))
}

// store keeps objects. A write demands the tag that was read, or with an empty tag that there is none;
// evidence.ErrChanged says that this is not so.
type store interface {
	Read(ctx context.Context, key string) (body []byte, tag string, err error)
	Write(ctx context.Context, key string, body []byte, tag string) (string, error)
}

// journals keeps one journal for each secret.
type journals struct{ store store }

// kept is a journal as it stands in the store, with the tag that it has there.
type kept struct {
	journal
	tag string
}

func journalKey(arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return "watch/" + hex.EncodeToString(sum[:10]) + ".json"
}

func (s journals) read(ctx context.Context, secret alert.Secret) (kept, error) {
	key := journalKey(secret.ARN)
	j := kept{journal: journal{Schema: journalSchema, Secret: secret}}
	body, tag, err := s.store.Read(ctx, key)
	switch {
	case errors.Is(err, evidence.ErrAbsent):
		return j, nil
	case err != nil:
		return j, err
	}
	if err := json.Unmarshal(body, &j.journal); err != nil {
		return j, fmt.Errorf("read %s: %w", key, err)
	}
	if j.Schema != journalSchema {
		return j, fmt.Errorf("read %s: its schema is %d, this release writes %d", key, j.Schema, journalSchema)
	}
	j.tag = tag
	return j, nil
}

// update changes a journal, again and again while others do so too. The change may be asked for more than
// once, each time about what stands by then.
func (s journals) update(ctx context.Context, secret alert.Secret, change func(*journal)) (kept, error) {
	j, err := s.read(ctx, secret)
	if err != nil {
		return j, err
	}
	return s.change(ctx, j, secret, change)
}

// change is update for whoever knows the journal already. If it is another one by now, that is read.
func (s journals) change(ctx context.Context, j kept, secret alert.Secret, change func(*journal)) (kept, error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		before, _ := json.Marshal(j.journal) // it was read from JSON
		if j.Begun.IsZero() {
			j.Begun = time.Now().UTC()
		}
		j.Secret = secret
		change(&j.journal)
		body, err := json.Marshal(j.journal)
		if err != nil {
			return j, fmt.Errorf("encode the journal of %s: %w", secret.Name, err)
		}
		if j.tag != "" && string(body) == string(before) {
			return j, nil
		}
		j.tag, err = s.store.Write(ctx, journalKey(secret.ARN), body, j.tag)
		if !errors.Is(err, evidence.ErrChanged) {
			return j, err
		}
		if err := sleep(ctx, pause); err != nil {
			return j, err
		}
		if j, err = s.read(ctx, secret); err != nil {
			return j, err
		}
	}
}

// claimTime is how long one invocation looks at a secret by itself. One that died leaves its claim for so
// long to all but its own retry; one that takes longer has another look beside it, which does no harm.
const claimTime = 2 * time.Minute

// turn is what begin comes to.
type turn struct {
	kept
	version string // that the event tells of
	holder  string // of the claim; "" when another look answers the event
	waited  bool   // time has passed
}

// startPatience is how long the end of a rotation that names no version waits for the event of its start, which
// may come later. After that it is the end of an unknown one.
const startPatience = 5 * time.Second

// begin takes an event down, claims the next look at its secret for a holder, and waits while another has it.
// There is no claim when that other look answers the event.
func (s journals) begin(ctx context.Context, secret alert.Secret, holder string, e Event) (turn, error) {
	t, pause, noted := turn{version: e.Version}, 100*time.Millisecond, false
	for patience := time.Now().Add(startPatience); ; t.waited = true {
		var early, shared, busy bool
		var err error
		t.kept, err = s.update(ctx, secret, func(j *journal) {
			shared, busy = false, false
			if !noted { // once it is taken down, about would find another
				if ends(e.Kind) {
					t.version = j.about(e)
				}
				if early = t.version == "" && ends(e.Kind) && time.Now().Before(patience); early {
					return
				}
				j.note(e)
			}
			now := time.Now().UTC()
			shared = j.shares(e.At)
			busy = j.Look.Holder != "" && j.Look.Holder != holder && now.Before(j.Look.Until)
			if !shared && !busy {
				j.Look = claim{holder, now.Add(claimTime)}
			}
		})
		noted = !early
		switch {
		case err != nil:
			return turn{}, err
		case shared:
			return t, nil
		case !busy && !early:
			t.holder = holder
			return t, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return turn{}, fmt.Errorf("wait for another look at %s: %w", secret.Name, err)
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// sleep returns early, with the cause, when the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func who(p Principal) alert.Who {
	return alert.Who{Principal: p.String(), Session: p.Session, Address: p.Address}
}
