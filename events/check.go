package events

import (
	"encoding/json"
	"time"
)

// job is one part of what a sweep asks for, as it stands in the queue: an envelope like EventBridge's, so
// that one decoder reads all.
type job struct {
	Version    string    `json:"version"`
	ID         string    `json:"id"`
	Source     string    `json:"source"`
	DetailType string    `json:"detail-type"`
	Account    string    `json:"account"`
	Region     string    `json:"region"`
	Time       time.Time `json:"time"`
	Detail     jobDetail `json:"detail"`
}

type jobDetail struct {
	SecretID text `json:"secretId,omitempty"`
	Period   text `json:"period,omitempty"`
}

// EncodeCheck returns the message that asks for a look at one secret, as a part of a sweep. Decode reads
// it as a Check with the sweep's id, time, account and Region.
func EncodeCheck(sweep Event, secret SecretID) ([]byte, error) {
	return sweep.job(checkSecret, jobDetail{SecretID: text(secret.String())})
}

// EncodeReport returns the message that asks for the report of a period: a day as 2006-01-02, or a month as 2006-01.
// Decode reads it as a Report with the sweep's id, time, account and Region.
func EncodeReport(sweep Event, period string) ([]byte, error) {
	return sweep.job(writeReport, jobDetail{Period: text(period)})
}

func (e Event) job(detailType string, detail jobDetail) ([]byte, error) {
	return json.Marshal(job{
		Version: "0", ID: e.ID, Source: ownSource, DetailType: detailType,
		Account: e.Account, Region: e.Region, Time: e.At, Detail: detail,
	})
}

func (env envelope) readCheck(e *Event) error {
	var d jobDetail
	if err := unmarshal(env.Detail, &d); err != nil {
		return err
	}
	return e.setSecret(d.SecretID)
}

func (env envelope) readReport(e *Event) error {
	var d jobDetail
	if err := unmarshal(env.Detail, &d); err != nil {
		return err
	}
	e.Period = string(d.Period)
	_, _, err := periodOf(e.Period)
	return err
}
