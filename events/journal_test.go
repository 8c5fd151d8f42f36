package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
)

// shelf is a store of one object, which counts what was written to it.
type shelf struct {
	mu     sync.Mutex
	body   []byte
	writes int
}

func (s *shelf) Read(context.Context, string) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes == 0 {
		return nil, "", evidence.ErrAbsent
	}
	return s.body, fmt.Sprint(s.writes), nil
}

func (s *shelf) Write(_ context.Context, _ string, body []byte, tag string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tag != "" && tag != fmt.Sprint(s.writes) || tag == "" && s.writes > 0 {
		return "", evidence.ErrChanged
	}
	s.body, s.writes = body, s.writes+1
	return fmt.Sprint(s.writes), nil
}

// Two rotations are open, and a record that names none tells that one succeeded. Whoever takes it down waits for
// another look: meanwhile the rotation that it tells of has ended, and the other must not be taken for it.
func TestAnEventIsTakenDownOnceHoweverLongItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		named, at := alert.Secret{ARN: secretARN1, Name: "fleet"}, time.Now().UTC().Truncate(time.Second)
		j := journals{&shelf{}}
		_, err := j.update(t.Context(), named, func(j *journal) {
			j.Rotations = []*rotationSeen{{Version: "v1", Started: at.Add(-2 * time.Hour)}, {Version: "v2", Started: at.Add(-time.Hour)}}
			j.Look = claim{"another", at.Add(time.Minute)}
		})
		if err != nil {
			t.Fatal(err)
		}
		turn, err := j.begin(t.Context(), named, "we", Event{Kind: RotationSucceeded, At: at})
		if err != nil {
			t.Fatal(err)
		}
		if turn.version != "v2" || turn.holder != "we" || !turn.waited || time.Since(at) < time.Minute {
			t.Errorf("after %s: version %q, holder %q, waited %t", time.Since(at), turn.version, turn.holder, turn.waited)
		}
		if r := turn.find("v1"); r.ended() {
			t.Errorf("the other rotation: %+v", r)
		}
		if r := turn.find("v2"); !r.Succeeded.Equal(at) || len(turn.Rotations) != 2 {
			t.Errorf("the rotation: %+v of %d", r, len(turn.Rotations))
		}
	})
}

// Somebody puts a value while a rotation runs, and the record of the abandoned rotation names none. It overtakes
// both the rotation's start and the call that says who put the value; that AWSCURRENT moved is known already.
func TestTheEndOfARotationWaitsForItsStart(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		starts time.Duration // how long the start is under way; 0: for ever
		want   string
	}{
		"which comes":       {2 * time.Second, "v2"},
		"which never comes": {0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				named, at := alert.Secret{ARN: secretARN1, Name: "fleet"}, time.Now().UTC()
				j := journals{&shelf{}}
				note := func(e Event) {
					if _, err := j.update(t.Context(), named, func(j *journal) { j.note(e) }); err != nil {
						t.Error(err)
					}
				}
				note(Event{Kind: LabelUpdated, Version: "v3", At: at})
				if row.starts > 0 {
					time.AfterFunc(row.starts, func() { note(Event{Kind: RotationStarted, Version: "v2", At: at}) })
				}
				turn, err := j.begin(t.Context(), named, "we", Event{Kind: RotationAbandoned, At: at})
				if err != nil {
					t.Fatal(err)
				}
				if r := turn.find(row.want); turn.version != row.want || r == nil || !r.Abandoned.Equal(at) || turn.holder != "we" {
					t.Errorf("version %q, holder %q, %+v", turn.version, turn.holder, r)
				}
				if r := turn.find("v3"); !r.Abandoned.IsZero() {
					t.Errorf("the value that was put: %+v", r)
				}
			})
		})
	}
}

func TestAJournalThatIsKnownIsChangedWithoutReadingItUnlessOthersDidSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		named, s := alert.Secret{ARN: secretARN1, Name: "fleet"}, &shelf{}
		j := journals{s}
		known, err := j.update(t.Context(), named, func(j *journal) { j.Cause = "first" })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.update(t.Context(), named, func(j *journal) { j.rotation("v1").Started = noon }); err != nil {
			t.Fatal(err)
		}
		after, err := j.change(t.Context(), known, named, func(j *journal) { j.Cause = "second" })
		if err != nil || after.find("v1") == nil || after.Cause != "second" || s.writes != 3 {
			t.Errorf("%+v after %d writes, %v", after, s.writes, err)
		}
		if again, err := j.change(t.Context(), after, named, func(*journal) {}); err != nil || again.tag != after.tag || s.writes != 3 {
			t.Errorf("nothing was changed: %d writes, %v", s.writes, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		over := errors.New("time is over")
		cancel(over)
		if _, err := j.change(ctx, known, named, func(j *journal) { j.Cause = "third" }); !errors.Is(err, over) {
			t.Errorf("error %v", err)
		}
	})
}
