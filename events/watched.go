package events

import (
	"context"
	"time"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
)

// Watched is what the function remembers of a secret, for whoever may read its bucket.
type Watched struct {
	Begun     time.Time      // when the secret was first watched, zero if it never was
	Rotations []Rotation     // that events told of, oldest first
	Verdict   *audit.Verdict // the newest, nil before the first
}

// Rotation is one rotation, or one value that somebody put, as events told of it.
type Rotation struct {
	Version string
	Began   time.Time // when it is first known to have done anything
	Started time.Time // as far as an event told
	Outcome evidence.Outcome
	Ended   time.Time // zero while it is not known how
	// Of a failure.
	Step, Message string
}

// Beside how a rotation ended, as evidence has it:
const (
	Running evidence.Outcome = "running" // as far as is known
	ByHand  evidence.Outcome = "by hand" // no rotation: somebody put a value or moved a label
)

// ReadWatched reads what is remembered of a secret, by its ARN.
func ReadWatched(ctx context.Context, bucket evidence.Bucket, arn string) (Watched, error) {
	j, err := journals{bucket}.read(ctx, alert.Secret{ARN: arn})
	if err != nil {
		return Watched{}, err
	}
	w := Watched{Begun: j.Begun, Verdict: j.Verdict}
	for _, r := range j.Rotations {
		w.Rotations = append(w.Rotations, r.told())
	}
	return w, nil
}

// told is the rotation by how it ended last.
func (r *rotationSeen) told() Rotation {
	t := Rotation{Version: r.Version, Began: r.begun(), Started: r.Started, Outcome: Running, Step: r.Step, Message: r.Message}
	if r.Started.IsZero() && !r.ByHand.IsZero() {
		t.Outcome, t.Ended = ByHand, r.ByHand
	}
	if r.ended() {
		t.Ended, t.Outcome = r.last()
	}
	return t
}

// Find returns the rotation of a version.
func (w Watched) Find(version string) (Rotation, bool) {
	for _, r := range w.Rotations {
		if r.Version == version {
			return r, true
		}
	}
	return Rotation{}, false
}
