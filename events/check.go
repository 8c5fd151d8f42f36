package events

import (
	"encoding/json"
	"time"
)

// job is the event of one secret of a sweep, as it stands in the queue: an envelope like EventBridge's, so
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
	SecretID text `json:"secretId"`
}

// EncodeCheck returns the message that asks for a look at one secret, as a part of a sweep. Decode reads
// it as a Check with the sweep's id, time, account and Region.
func EncodeCheck(sweep Event, secret SecretID) ([]byte, error) {
	return json.Marshal(job{
		Version: "0", ID: sweep.ID, Source: ownSource, DetailType: checkSecret,
		Account: sweep.Account, Region: sweep.Region, Time: sweep.At, Detail: jobDetail{text(secret.String())},
	})
}

func (env envelope) readCheck(e *Event) error {
	var d jobDetail
	if err := unmarshal(env.Detail, &d); err != nil {
		return err
	}
	return e.setSecret(d.SecretID)
}
