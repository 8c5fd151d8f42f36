package sns

import (
	"encoding/json"
	"errors"
	"math"
	"time"
)

// schedule is when a delivery that failed is tried again, in four phases.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
type schedule struct {
	noDelay, minDelay, backoff, maxDelay int // attempts of each phase
	least, most                          time.Duration
	function                             string
}

var (
	// usualWeb is that of a web server without a policy of its own.
	usualWeb = schedule{backoff: 3, least: 20 * time.Second, most: 20 * time.Second, function: "linear"}
	// managed is that of queues and functions. It ends after 23 days.
	managed = schedule{noDelay: 3, minDelay: 2, backoff: 10, maxDelay: 100_000, least: time.Second, most: 20 * time.Second, function: "exponential"}
)

// longestRetry is how long a policy may try in all.
const longestRetry = 3600 * time.Second

// parseSchedule reads the delivery policy of a subscription, or of a topic.
func parseSchedule(text string) (schedule, error) {
	type policy struct {
		NumRetries         *int   `json:"numRetries"`
		NumNoDelayRetries  int    `json:"numNoDelayRetries"`
		NumMinDelayRetries int    `json:"numMinDelayRetries"`
		NumMaxDelayRetries int    `json:"numMaxDelayRetries"`
		MinDelayTarget     *int   `json:"minDelayTarget"`
		MaxDelayTarget     *int   `json:"maxDelayTarget"`
		BackoffFunction    string `json:"backoffFunction"`
	}
	var document struct {
		Own  *policy `json:"healthyRetryPolicy"`
		HTTP struct {
			Usual *policy `json:"defaultHealthyRetryPolicy"`
		} `json:"http"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return schedule{}, errors.New("failed to parse JSON")
	}
	p := document.Own
	if p == nil {
		p = document.HTTP.Usual
	}
	if p == nil {
		return usualWeb, nil
	}
	retries, least, most := 3, 20, 20
	if p.NumRetries != nil {
		retries = *p.NumRetries
	}
	if p.MinDelayTarget != nil {
		least = *p.MinDelayTarget
	}
	if p.MaxDelayTarget != nil {
		most = *p.MaxDelayTarget
	}
	s := schedule{
		noDelay: p.NumNoDelayRetries, minDelay: p.NumMinDelayRetries, maxDelay: p.NumMaxDelayRetries,
		backoff: retries - p.NumNoDelayRetries - p.NumMinDelayRetries - p.NumMaxDelayRetries,
		least:   time.Duration(least) * time.Second, most: time.Duration(most) * time.Second, function: p.BackoffFunction,
	}
	return s, s.check(retries)
}

func (s schedule) check(retries int) error {
	switch s.function {
	case "", "linear", "arithmetic", "geometric", "exponential":
	default:
		return errors.New("backoffFunction must be one of: linear, arithmetic, geometric, exponential")
	}
	switch {
	case retries < 0 || retries > 100:
		return errors.New("numRetries must be between 0 and 100")
	case s.noDelay < 0 || s.minDelay < 0 || s.maxDelay < 0 || s.backoff < 0:
		return errors.New("numRetries must be at least the sum of the retries of all phases")
	case s.least < time.Second || s.most < s.least:
		return errors.New("minDelayTarget must be at least 1 and at most maxDelayTarget")
	}
	var total time.Duration
	for i := range retries {
		d, _ := s.delay(i)
		total += d
	}
	if total > longestRetry {
		return errors.New("the retries of all phases must not take more than 3600 seconds")
	}
	return nil
}

// delay returns how long to wait before retry i, counted from 0; not ok, when
// there is none.
func (s schedule) delay(i int) (d time.Duration, ok bool) {
	if i < s.noDelay {
		return 0, true
	}
	if i -= s.noDelay; i < s.minDelay {
		return s.least, true
	}
	if i -= s.minDelay; i < s.backoff {
		return s.between(i), true
	}
	return s.most, i-s.backoff < s.maxDelay
}

// between is the delay of the backoff phase, from the least to the most. AWS
// shows its functions as curves only.
func (s schedule) between(i int) time.Duration {
	if s.backoff < 2 {
		return s.least
	}
	share := float64(i) / float64(s.backoff-1)
	switch s.function {
	case "arithmetic":
		share *= share
	case "geometric", "exponential":
		return time.Duration(float64(s.least) * math.Pow(float64(s.most)/float64(s.least), share))
	}
	return s.least + time.Duration(share*float64(s.most-s.least))
}
