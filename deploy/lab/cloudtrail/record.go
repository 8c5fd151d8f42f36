package cloudtrail

import (
	"encoding/json"
	"strings"
	"time"
)

// record is a CloudTrail record, in the order in which real ones have their
// members.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type record struct {
	EventVersion        string          `json:"eventVersion"`
	UserIdentity        identity        `json:"userIdentity"`
	EventTime           string          `json:"eventTime"`
	EventSource         string          `json:"eventSource"`
	EventName           string          `json:"eventName"`
	AWSRegion           string          `json:"awsRegion"`
	SourceIPAddress     string          `json:"sourceIPAddress"`
	UserAgent           string          `json:"userAgent"`
	ErrorCode           string          `json:"errorCode,omitempty"`
	ErrorMessage        string          `json:"errorMessage,omitempty"`
	RequestParameters   map[string]any  `json:"requestParameters"` // null when there are none
	ResponseElements    map[string]any  `json:"responseElements"`
	AdditionalEventData json.RawMessage `json:"additionalEventData,omitempty"`
	RequestID           string          `json:"requestID"`
	EventID             string          `json:"eventID"`
	ReadOnly            bool            `json:"readOnly"`
	Resources           []resource      `json:"resources,omitempty"`
	EventType           string          `json:"eventType"`
	ManagementEvent     bool            `json:"managementEvent"`
	RecipientAccountID  string          `json:"recipientAccountId"`
	ServiceEventDetails json.RawMessage `json:"serviceEventDetails,omitempty"`
	EventCategory       string          `json:"eventCategory"`
	TLSDetails          *tlsDetails     `json:"tlsDetails,omitempty"`
}

type resource struct {
	AccountID string `json:"accountId"`
	Type      string `json:"type"`
	ARN       string `json:"ARN"`
}

type tlsDetails struct {
	Version  string `json:"tlsVersion"`
	Cipher   string `json:"cipherSuite"`
	Host     string `json:"clientProvidedHostHeader"`
	Exchange string `json:"keyExchange,omitempty"`
}

const (
	apiCall      = "AwsApiCall"
	serviceEvent = "AwsServiceEvent"
)

// entry is a record that was kept.
type entry struct {
	record
	number  int
	time    time.Time
	visible time.Time // to LookupEvents
	text    string    // the record as JSON
	secret  string    // ARN, "" when the record is about none
}

// keep gives a record its id and what all records have, keeps it and passes it
// on.
func (s *Service) keep(at time.Time, r record, secret string) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	r.EventTime = at.UTC().Format("2006-01-02T15:04:05Z")
	r.EventID, r.AWSRegion, r.RecipientAccountID = s.uuid(), s.options.Region, s.options.Account
	r.ManagementEvent, r.EventCategory = true, "Management"
	if r.RequestID == "" {
		r.RequestID = s.uuid()
	}
	text, err := json.Marshal(r)
	if err != nil {
		s.mu.Unlock()
		return // a record holds nothing that has no form in JSON
	}
	late := time.Duration(s.random.Float64() * float64(s.options.Delay))
	s.entries = append(s.entries, entry{
		record: r, number: s.number, time: at.UTC().Truncate(time.Second), visible: at.Add(late), text: string(text), secret: secret,
	})
	s.number++
	if n := len(s.entries) - s.options.Keep; n > 0 {
		s.entries = s.entries[n:]
	}
	passed := s.passes(r.ReadOnly)
	s.mu.Unlock()
	if !passed {
		return
	}
	e := Event{
		Source: "aws." + strings.TrimSuffix(r.EventSource, ".amazonaws.com"), DetailType: "AWS API Call via CloudTrail",
		Time: at, ReadOnly: r.ReadOnly, Record: text,
	}
	if r.EventType == serviceEvent {
		e.DetailType = "AWS Service Event via CloudTrail"
	}
	s.options.Deliver(e)
}
