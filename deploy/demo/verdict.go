package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// reaction is what the events function logged of one event.
type reaction struct {
	Time    time.Time `json:"timestamp"`
	Message string    `json:"message"`
	Kind    string    `json:"kind"`
	ID      string    `json:"eventId"`
	Outcome string    `json:"outcome"`
	Error   string    `json:"error"`
}

// The messages of the events function, and the outcomes that say more than
// that an event was taken down.
const (
	eventDone   = "event done"
	eventFailed = "event failed"
	lookedAt    = "looked at"
	told        = "told"
)

// parseReactions returns what was done with events from a moment on, by time.
func parseReactions(text string, since time.Time) []reaction {
	var all []reaction
	for line := range strings.Lines(text) {
		var r reaction
		if json.Unmarshal([]byte(line), &r) == nil && (r.Message == eventDone || r.Message == eventFailed) && !r.Time.Before(since) {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(x, y reaction) int { return x.Time.Compare(y.Time) })
	return all
}

// verdict is what the events function logged of one look at the hosts of a
// secret: metrics, in the embedded format of CloudWatch. The zero value is none.
type verdict struct {
	Secret string  `json:"Secret"`
	Seen   float64 `json:"Coverage"` // percent of the hosts
	Hosts  float64 `json:"HostsExpected"`
	Alerts float64 `json:"OpenAlerts"`
	AWS    struct {
		Timestamp int64
	} `json:"_aws"`
	places map[string]float64 // accounts by state
}

// parseVerdict returns the last verdict on a secret from a moment on.
func parseVerdict(text, secret string, since time.Time) verdict {
	var last verdict
	for line := range strings.Lines(text) {
		var v verdict
		if !strings.Contains(line, `"_aws"`) || json.Unmarshal([]byte(line), &v) != nil || v.Secret != secret {
			continue
		}
		if v.AWS.Timestamp < max(since.UnixMilli(), last.AWS.Timestamp) {
			continue
		}
		var metrics map[string]json.RawMessage
		if json.Unmarshal([]byte(line), &metrics) != nil {
			continue
		}
		v.places = map[string]float64{}
		for name, value := range metrics {
			var n float64
			if state, ok := strings.CutPrefix(name, "Places."); ok && json.Unmarshal(value, &n) == nil {
				v.places[state] = n
			}
		}
		last = v
	}
	return last
}

// String says how many hosts were seen, how their accounts are, and how many
// alerts are open after that.
func (v verdict) String() string {
	if v.places == nil {
		return ""
	}
	states := []string{fmt.Sprintf("%.0f ok", v.places["ok"])}
	var others []string
	for state, n := range v.places {
		if state != "ok" && n > 0 {
			others = append(others, fmt.Sprintf("%.0f %s", n, state))
		}
	}
	slices.Sort(others)
	alerts := map[float64]string{0: "no alert", 1: "1 alert"}[v.Alerts]
	if alerts == "" {
		alerts = fmt.Sprintf("%.0f alerts", v.Alerts)
	}
	return fmt.Sprintf("%.0f of %.0f hosts, %s; %s open", math.Round(v.Seen*v.Hosts/100), v.Hosts,
		strings.Join(append(states, others...), ", "), alerts)
}
