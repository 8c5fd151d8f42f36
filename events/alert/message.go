package alert

import "time"

// Topic is where messages go.
type Topic string

const (
	Alerts Topic = "alerts" // mails and machines
	Chat   Topic = "chat"
)

// Message is one thing to say about one alert. It is kept until it is published, so that it is the same
// message, under the same id, however often that is tried.
type Message struct {
	ID        string    `json:"id"`
	Alert     string    `json:"alert"`
	Status    Status    `json:"status"`
	Condition ID        `json:"condition"`
	Secret    Secret    `json:"secret"`
	At        time.Time `json:"at"`    // when it was seen
	Since     time.Time `json:"since"` // when the alert opened
	Times     int       `json:"times,omitempty"`
	Problem   Problem   `json:"problem"`
	// Left are the topics that it was not published to yet.
	Left []Topic `json:"left,omitempty"`
}
