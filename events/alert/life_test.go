package alert

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var rules = Rules{Repeat: 24 * time.Hour, Topics: []Topic{Alerts, Chat}}

// drift is a look that found the live key missing on hosts, or with none that it is nowhere missing.
func drift(at time.Time, hosts ...string) Sighting {
	s := Sighting{Secret: fleetKey, At: at, Looked: []ID{DriftMissing, DriftStale}}
	p := Problem{Condition: DriftMissing}
	for _, h := range hosts {
		p.Places = append(p.Places, Place{Host: h, User: "deploy", State: "missing"})
	}
	if len(hosts) > 0 {
		s.Problems = []Problem{p}
	}
	return s
}

func happened(at time.Time, event string) Sighting {
	return Sighting{Secret: fleetKey, At: at, Problems: []Problem{{Condition: PrivateKeyRead, EventID: event}}}
}

// said returns the statuses of what follows from sightings, each observed when it was made.
func said(r record, sightings ...Sighting) (record, []Status) {
	var all []Status
	for _, s := range sightings {
		r.Unsaid = nil
		r = r.observe(s, s.At, rules)
		for _, m := range r.Unsaid {
			all = append(all, m.Status)
		}
	}
	return r, all
}

func TestAnAlertIsSaidWhenThereIsNews(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	const h, m = time.Hour, time.Minute
	tests := []struct {
		name string
		see  []Sighting
		want []Status
	}{
		{"all is well", []Sighting{drift(at(0)), drift(at(m))}, nil},
		{"a problem stays", []Sighting{drift(at(0), "a"), drift(at(m), "a"), drift(at(h), "a")}, []Status{Opened}},
		{"its hosts change", []Sighting{drift(at(0), "a"), drift(at(m), "a", "b"), drift(at(2*m), "b", "a"), drift(at(3*m), "b")}, []Status{Opened, Updated, Updated}},
		{"it stays for days", []Sighting{drift(at(0), "a"), drift(at(23*h), "a"), drift(at(24*h), "a"), drift(at(47*h), "a"), drift(at(48*h), "a")}, []Status{Opened, Repeated, Repeated}},
		{"it ends", []Sighting{drift(at(0), "a"), drift(at(m)), drift(at(2 * m))}, []Status{Opened, Resolved}},
		{"an old look comes late", []Sighting{drift(at(0), "a"), drift(at(2 * m)), drift(at(m), "a")}, []Status{Opened, Resolved}},
		{"an old look comes after a clean first one", []Sighting{drift(at(m)), drift(at(0), "a")}, nil},
		{"the same look comes twice", []Sighting{drift(at(0), "a"), drift(at(0), "a")}, []Status{Opened}},
		{"it comes and goes, and settles as over", []Sighting{
			drift(at(0), "a"), drift(at(5 * m)), drift(at(10*m), "a"), drift(at(15 * m)), drift(at(20*m), "a"), drift(at(25 * m)),
			drift(at(30*m), "a"), drift(at(35 * m)), drift(at(40*m), "a"), drift(at(45 * m)), drift(at(60 * m)), drift(at(105 * m)), drift(at(106 * m)),
		}, []Status{Opened, Resolved, Opened, Resolved, Opened, Resolved, Unstable, Resolved}},
		{"it comes and goes, and settles as there", []Sighting{
			drift(at(0), "a"), drift(at(5 * m)), drift(at(10*m), "a"), drift(at(15 * m)), drift(at(20*m), "a"), drift(at(25 * m)),
			drift(at(30*m), "a"), drift(at(31*m), "a", "b"), drift(at(90*m), "b"), drift(at(91*m), "b"), drift(at(92 * m)),
		}, []Status{Opened, Resolved, Opened, Resolved, Opened, Resolved, Unstable, Updated, Resolved}},
		{"it comes three times an hour", []Sighting{
			drift(at(0), "a"), drift(at(10 * m)), drift(at(25*m), "a"), drift(at(30 * m)), drift(at(50*m), "a"), drift(at(55 * m)), drift(at(75*m), "a"),
		}, []Status{Opened, Resolved, Opened, Resolved, Opened, Resolved, Opened}},
		{"a read again and again", []Sighting{happened(at(0), "1"), happened(at(m), "2"), happened(at(h), "3")}, []Status{Opened}},
		{"a read that goes on for days", []Sighting{happened(at(0), "1"), happened(at(m), "2"), happened(at(25*h), "3")}, []Status{Opened, Repeated}},
		{"a read, delivered again days later", []Sighting{happened(at(0), "1"), happened(at(25*h), "1")}, []Status{Opened}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, got := said(record{}, tt.see...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEventOfOneProblemEndsNoOther(t *testing.T) {
	t.Parallel()
	event := func(at time.Time, version string) Sighting {
		return Sighting{Secret: fleetKey, At: at, Problems: []Problem{{Condition: RotationAbandoned, Scope: version, Version: version}}}
	}
	r, got := said(record{}, event(noon.Add(time.Minute), "b"), event(noon, "a"), Sighting{Secret: fleetKey, At: noon.Add(2 * time.Minute), Looked: []ID{RotationAbandoned}})
	if diff := cmp.Diff([]Status{Opened, Opened, Resolved, Resolved}, got); diff != "" || r.open() != 0 {
		t.Errorf("%d open, said (-want +got):\n%s", r.open(), diff)
	}
}

func TestASightingFromTheFutureHidesNoLaterOne(t *testing.T) {
	t.Parallel()
	r := record{}.observe(drift(noon.AddDate(1, 0, 0), "a"), noon, rules)
	r = r.observe(drift(noon.Add(time.Minute)), noon.Add(time.Minute), rules)
	if len(r.Unsaid) != 2 || r.Unsaid[1].Status != Resolved || r.open() != 0 {
		t.Errorf("%d messages, %d open", len(r.Unsaid), r.open())
	}
}

func TestARecordForgetsWhatIsLongOver(t *testing.T) {
	t.Parallel()
	later := noon.Add(2 * remember)
	r, _ := said(record{}, drift(noon, "a"), drift(noon.Add(time.Minute)), happened(noon, "1"), drift(later))
	if len(r.Alerts) != 0 || r.Sequence != 3 {
		t.Errorf("%d alerts, %d messages", len(r.Alerts), r.Sequence)
	}
}

// TestWhateverTheOrderAnAlertsLifeMakesSense runs random lives: looks that are late, doubled and out of
// order. Whatever comes, messages follow on each other, and in the end the record says what the newest
// look saw.
func TestWhateverTheOrderAnAlertsLifeMakesSense(t *testing.T) {
	t.Parallel()
	for seed := range uint64(600) {
		random := rand.New(rand.NewPCG(seed, 1))
		var looks []Sighting
		now := noon
		for range 1 + random.IntN(40) {
			now = now.Add(time.Duration(1+random.IntN(40*60)) * time.Second)
			looks = append(looks, drift(now, [][]string{nil, nil, {"a"}, {"a", "b"}}[random.IntN(4)]...))
		}
		newest := looks[len(looks)-1]
		arriving := slices.Clone(looks)
		for range random.IntN(10) {
			arriving = append(arriving, looks[random.IntN(len(looks))])
		}
		if seed%2 == 0 { // deliveries near each other change places
			for i := range len(arriving) - 1 {
				if random.IntN(3) == 0 {
					arriving[i], arriving[i+1] = arriving[i+1], arriving[i]
				}
			}
		}
		if err := checkLife(arriving, newest); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func checkLife(arriving []Sighting, newest Sighting) error {
	var r record
	var now, openedAt time.Time
	var last Status
	ids := map[string]bool{}
	openings := []time.Time{}
	for _, s := range arriving {
		if s.At.After(now) {
			now = s.At
		}
		r.Unsaid = nil
		next := r.observe(s, now, rules)
		if again := next.observe(s, now, rules); !reflect.DeepEqual(again, next) {
			return fmt.Errorf("the same look again changes something: %s", cmp.Diff(next, again))
		}
		for _, m := range next.Unsaid {
			follows := map[Status][]Status{
				Opened: {silent, Resolved}, Unstable: {Resolved, Unstable}, Updated: {Opened, Updated, Repeated, Unstable},
				Repeated: {Opened, Updated, Repeated}, Resolved: {Opened, Updated, Repeated, Unstable},
			}
			if !slices.Contains(follows[m.Status], last) {
				return fmt.Errorf("%s after %q", m.Status, last)
			}
			if ids[m.ID] {
				return fmt.Errorf("the id %s is used twice", m.ID)
			}
			ids[m.ID], last = true, m.Status
			if m.Status == Opened {
				openings, openedAt = append(openings, m.At), m.At
			}
			if m.Status == Resolved && m.At.Before(openedAt) {
				return fmt.Errorf("over before it began")
			}
		}
		r = next
	}
	for i := maxOpenings; i < len(openings); i++ {
		if openings[i].Sub(openings[i-maxOpenings]) < flapping {
			return fmt.Errorf("opened %d times within an hour: %v", maxOpenings+1, openings)
		}
	}
	l := r.Alerts[identify(fleetKey.ARN, DriftMissing, "")]
	if want := len(newest.Problems) > 0; l.Open != want {
		return fmt.Errorf("open is %t after %v", l.Open, newest)
	}
	if told := last != silent && last != Resolved; told != l.Open && !l.Unstable {
		return fmt.Errorf("people were told %q, and open is %t", last, l.Open)
	}
	return nil
}
