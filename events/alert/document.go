package alert

import (
	"encoding/json"
	"strings"
	"time"
)

// documentForm names the form of a Document; schema.json describes it. Members may be added under the
// same name; whatever else changes gets another.
const documentForm = "keytrail-alert-1"

// Document is a message for machines: what every subscriber but mail gets.
type Document struct {
	Form string `json:"form"`
	ID   string `json:"id"` // the same when it is delivered again
	// DedupKey is the alert's id, and Action what an incident with that key should do. PagerDuty calls them
	// dedup_key and event_action, Opsgenie alias and create or close.
	DedupKey          string   `json:"dedupKey"`
	Action            string   `json:"action"` // trigger, resolve
	Status            Status   `json:"status"`
	Severity          Severity `json:"severity"`
	PagerDutySeverity string   `json:"pagerDutySeverity"`
	OpsgeniePriority  string   `json:"opsgeniePriority"`
	// Resolves says that a resolve follows once it is over. Without, people close the incident.
	Resolves bool `json:"resolves"`

	Condition ID             `json:"condition"`
	Title     string         `json:"title"`
	Summary   string         `json:"summary"`
	Meaning   string         `json:"meaning"`
	Steps     []documentStep `json:"steps"`

	Secret  Secret    `json:"secret"`
	Account string    `json:"account"`
	Region  string    `json:"region"`
	At      time.Time `json:"at"`
	Since   time.Time `json:"since"`

	Problem Problem `json:"problem"`
	// Hosts counts those of the problem, also where the places are not all listed.
	Hosts int    `json:"hosts"`
	Links []link `json:"links"`
}

type documentStep struct {
	Do  string `json:"do"`
	Run string `json:"run,omitempty"`
}

var (
	pagerDuty = map[Severity]string{Critical: "critical", High: "error", Medium: "warning", Low: "info", Info: "info"}
	opsgenie  = map[Severity]string{Critical: "P1", High: "P2", Medium: "P3", Low: "P4", Info: "P5"}
)

// document returns the message for machines with at most so many places.
func (p page) document(places int) ([]byte, error) {
	same := func(s string) string { return s }
	d := Document{
		Form: documentForm, ID: p.ID, DedupKey: p.Alert, Action: "trigger", Status: p.Status,
		Severity: p.condition.Severity, PagerDutySeverity: pagerDuty[p.condition.Severity], OpsgeniePriority: opsgenie[p.condition.Severity],
		Resolves: !p.condition.Once, Condition: p.Condition, Title: p.condition.Title,
		Summary: p.sentence(p.condition.What, same), Meaning: p.sentence(p.condition.Means, same), Steps: []documentStep{},
		Secret: Secret{plain(p.Secret.ARN, 2*maxWord), p.name()}, Account: p.account, Region: p.region, At: p.At.UTC(), Since: p.Since.UTC(),
		Problem: p.Problem.clean(places), Hosts: p.Problem.Hosts(), Links: p.links(),
	}
	if p.Status == Resolved {
		d.Action = "resolve"
	}
	for _, s := range p.condition.Steps {
		d.Steps = append(d.Steps, documentStep{p.sentence(s.Do, same), p.command(s.Run)})
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // nobody puts it into a page, and it is read by people too
	if err := e.Encode(d); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// clean returns the problem with every text fit for one line, and at most so many places.
func (p Problem) clean(places int) Problem {
	p.Left.Hosts = p.Hosts()
	p.Left.Places += max(0, len(p.Places)-places)
	if p.Left.Places == 0 {
		p.Left = Left{}
	}
	kept := p.Places[:min(len(p.Places), places)]
	p.Places = nil
	for _, pl := range kept {
		var prints []string
		for _, f := range pl.Fingerprints {
			prints = append(prints, plain(f, 100))
		}
		p.Places = append(p.Places, Place{plain(pl.Host, 100), plain(pl.User, 100), plain(pl.State, 40), plain(pl.Reason, maxWord), prints, plain(pl.CommandID, 100)})
	}
	for _, text := range []*string{&p.Scope, &p.Version, &p.Reason, &p.Step, &p.Function, &p.Fingerprint, &p.EventID, &p.EventName,
		&p.Who.Principal, &p.Who.Session, &p.Who.Address} {
		*text = plain(*text, maxWord)
	}
	return p
}
