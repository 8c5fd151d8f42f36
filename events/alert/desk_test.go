package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
)

// shelf is a bucket in memory that refuses what S3 refuses.
type shelf struct {
	mu      sync.Mutex
	objects map[string]string
	tags    map[string]int
	writes  int
	// before, if set, may fail a call before it takes effect, and after when it has.
	before, after func(call string) error
}

func newShelf() *shelf { return &shelf{objects: map[string]string{}, tags: map[string]int{}} }

func (s *shelf) Read(_ context.Context, key string) ([]byte, string, error) {
	if s.before != nil {
		if err := s.before("read"); err != nil {
			return nil, "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.objects[key]
	if !ok {
		return nil, "", evidence.ErrAbsent
	}
	return []byte(body), fmt.Sprint(s.tags[key]), nil
}

func (s *shelf) Write(_ context.Context, key string, body []byte, tag string) (string, error) {
	if s.before != nil {
		if err := s.before("write"); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok != (tag != "") || ok && tag != fmt.Sprint(s.tags[key]) {
		return "", evidence.ErrChanged
	}
	s.objects[key] = string(body)
	s.tags[key]++
	s.writes++
	if s.after != nil {
		if err := s.after("write"); err != nil {
			return "", err
		}
	}
	return fmt.Sprint(s.tags[key]), nil
}

// crowd hears what is published.
type crowd struct {
	mu    sync.Mutex
	heard []string // id, status and topic
	// before, if set, may fail a publish before it is heard, and after when it was.
	before, after func(topic Topic) error
	takes         time.Duration
}

func (c *crowd) Publish(ctx context.Context, topic Topic, m Message) error {
	if c.before != nil {
		if err := c.before(topic); err != nil {
			return err
		}
	}
	if c.takes > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(c.takes):
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, fmt.Sprintf("%s %s %s", m.ID, m.Status, topic))
	if c.after != nil {
		return c.after(topic)
	}
	return nil
}

func (c *crowd) statuses(topic Topic) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, h := range c.heard {
		if f := strings.Fields(h); f[2] == string(topic) {
			all = append(all, f[1])
		}
	}
	return all
}

func TestConcurrentDeliveriesEndInOneMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := newShelf(), &crowd{takes: 200 * time.Millisecond}
		look := drift(time.Now(), "a", "b")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if result, err := newDesk(s, c, rules).Tell(t.Context(), look); err != nil || result.Open != 1 {
					t.Errorf("%+v, %v", result, err)
				}
			})
		}
		wg.Wait()
		if len(c.heard) != 2 {
			t.Errorf("heard %q, want one message on each topic", c.heard)
		}
	})
}

func TestConcurrentLooksAreToldInTheOrderTheyWereMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := newShelf(), &crowd{takes: time.Second}
		var wg sync.WaitGroup
		for _, look := range [][]string{{"a"}, {"a", "b"}, nil} {
			at := time.Now()
			wg.Go(func() {
				if _, err := newDesk(s, c, rules).Tell(t.Context(), drift(at, look...)); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(100 * time.Millisecond) // of the bubble's time: the first is still publishing
		}
		wg.Wait()
		want := []string{"opened", "updated", "resolved"}
		if got := c.statuses(Alerts); !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}

var errKilled = errors.New("killed")

// TestAKillAtAnyCallLosesNothing ends a process at each of its calls, before or after it took effect, and
// lets the event be delivered again.
func TestAKillAtAnyCallLosesNothing(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 6; n++ {
		for _, when := range []string{"before", "after"} {
			t.Run(fmt.Sprintf("%s call %d", when, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, c := newShelf(), &crowd{}
					calls, dead := 0, false
					step := func() error {
						if calls++; calls == n || dead {
							dead = true
							return errKilled
						}
						return nil
					}
					if when == "before" {
						s.before = func(string) error { return step() }
						c.before = func(Topic) error { return step() }
					} else {
						s.before = func(string) error {
							if dead {
								return errKilled
							}
							return nil
						}
						s.after = func(string) error { return step() }
						c.before = func(Topic) error {
							if dead {
								return errKilled
							}
							return nil
						}
						c.after = func(Topic) error { return step() }
					}
					look := drift(time.Now(), "a")
					_, err := newDesk(s, c, rules).Tell(t.Context(), look)
					if dead && err == nil {
						t.Fatal("killed, and no error")
					}
					s.before, s.after, c.before, c.after = nil, nil, nil, nil
					time.Sleep(time.Minute) // of the bubble's time: Lambda tries again
					if _, err := newDesk(s, c, rules).Tell(t.Context(), look); err != nil {
						t.Fatal(err)
					}
					for _, topic := range []Topic{Alerts, Chat} {
						if got := len(c.statuses(topic)); got < 1 || got > 2 {
							t.Errorf("%s heard %d times: %q", topic, got, c.heard)
						}
					}
					ids := map[string]bool{}
					for _, h := range c.heard {
						ids[strings.Fields(h)[0]] = true
					}
					if len(ids) != 1 {
						t.Errorf("ids %v, want one", ids)
					}
				})
			})
		}
	}
}

func TestMessagesOfADeadProcessAreSaidByTheNextThatLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := newShelf(), &crowd{}
		s.after = func(string) error { return errKilled } // the claim is written, and nothing after it
		s.before = func(string) error {
			if s.writes > 0 {
				return errKilled
			}
			return nil
		}
		c.before = func(Topic) error { return errKilled }
		_, _ = newDesk(s, c, rules).Tell(t.Context(), drift(time.Now(), "a"))
		s.before, s.after, c.before = nil, nil, nil
		time.Sleep(time.Second)
		start := time.Now()
		if _, err := newDesk(s, c, rules).Tell(t.Context(), drift(time.Now(), "a")); err != nil {
			t.Fatal(err)
		}
		if got := c.statuses(Alerts); !slices.Equal(got, []string{"opened"}) {
			t.Errorf("heard %q", got)
		}
		if waited := time.Since(start); waited > claimTime+maxPause {
			t.Errorf("waited %s for a dead process's claim", waited)
		}
	})
}

func TestATopicThatFailsKeepsNoMessageFromTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := newShelf(), &crowd{}
		down := errors.New("no such topic")
		c.before = func(topic Topic) error {
			if topic == Chat {
				return down
			}
			return nil
		}
		look := drift(time.Now(), "a")
		desk := newDesk(s, c, rules)
		for range 3 {
			if _, err := desk.Tell(t.Context(), look); !errors.Is(err, down) {
				t.Fatalf("got %v", err)
			}
		}
		c.before = nil
		if _, err := desk.Tell(t.Context(), look); err != nil {
			t.Fatal(err)
		}
		if a, b := c.statuses(Alerts), c.statuses(Chat); len(a) != 1 || len(b) != 1 {
			t.Errorf("alerts heard %q, chat %q", a, b)
		}
	})
}

func TestALostReplyToAWriteDoublesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := newShelf(), &crowd{}
		s.after = func(string) error {
			if s.writes%2 == 1 {
				return evidence.ErrChanged // what the SDK's second try of the same write gets
			}
			return nil
		}
		if _, err := newDesk(s, c, rules).Tell(t.Context(), drift(time.Now(), "a")); err != nil {
			t.Fatal(err)
		}
		if got := c.statuses(Alerts); !slices.Equal(got, []string{"opened"}) {
			t.Errorf("heard %q", got)
		}
	})
}

func TestAWaitForAnotherEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := newShelf(), &crowd{takes: 5 * time.Second}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = newDesk(s, c, rules).Tell(t.Context(), drift(time.Now(), "a")) })
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := newDesk(s, c, rules).Tell(ctx, drift(time.Now())); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		wg.Wait()
		if got := c.statuses(Alerts); !slices.Equal(got, []string{"opened", "resolved"}) {
			t.Errorf("heard %q: what the second process saw was handed to the first", got)
		}
	})
}

func TestDamagedStateIsAnErrorAndStaysAsItIs(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{", `{"schema":2}`, "null"} {
		s, c := newShelf(), &crowd{}
		s.objects[keyOf(fleetKey.ARN)] = body
		_, err := newDesk(s, c, rules).Tell(t.Context(), drift(noon, "a"))
		if !errors.Is(err, ErrDamaged) || s.objects[keyOf(fleetKey.ARN)] != body || len(c.heard) > 0 {
			t.Errorf("%q: %v, heard %q", body, err, c.heard)
		}
	}
}

func TestMutedConditionsAreKeptAndNotSaid(t *testing.T) {
	t.Parallel()
	c := &crowd{}
	muted := rules
	muted.Mute = []ID{DriftMissing}
	result, err := newDesk(newShelf(), c, muted).Tell(t.Context(), drift(noon, "a"))
	if err != nil || result.Open != 1 || len(c.heard) != 0 {
		t.Errorf("%+v, %v, heard %q", result, err, c.heard)
	}
}

func TestASightingThatNobodyCanBeToldOfIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Sighting){
		"no secret":             func(s *Sighting) { s.Secret = Secret{} },
		"no time":               func(s *Sighting) { s.At = time.Time{} },
		"an unknown condition":  func(s *Sighting) { s.Problems[0].Condition = "drift" },
		"an unknown look":       func(s *Sighting) { s.Looked = []ID{"all"} },
		"about what is unknown": func(s *Sighting) { s.Problems[0].About = "drift" },
	} {
		s, look := newShelf(), drift(noon, "a")
		spoil(&look)
		if _, err := newDesk(s, &crowd{}, rules).Tell(t.Context(), look); !errors.Is(err, ErrSighting) || s.writes > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
