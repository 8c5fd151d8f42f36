// Package report turns evidence into what an auditor reads: one model of what was tested, found, mended and not
// testable in a period, and its forms. It is pure: it asks nobody and has no clock, so that the same evidence gives
// the same bytes. Evidence is read in audit/evidence.
//
// Build makes every text from outside fit for one line; each form guards against what such a text means in it.
package report

import "time"

// Form names the form of a Report; report.schema.json describes it. Members may be added under the same name;
// whatever else changes gets another.
const Form = "keytrail-report-1"

// Report is what the evidence of a period says.
type Report struct {
	Form      string    `json:"form"`
	Generated time.Time `json:"generated"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"` // the first moment that is not part of the period
	Stack     Stack     `json:"stack"`
	// MaxAge is the limit that was asked for, and Within the time in which each rotation is to be verified.
	MaxAge     string          `json:"maxAge,omitempty"`
	Within     string          `json:"within"`
	Summary    Summary         `json:"summary"`
	Controls   []ControlResult `json:"controls"` // KT-1 first
	Findings   []Finding       `json:"findings"` // the most severe first, and what was mended last
	Exceptions []ExceptionUse  `json:"exceptions"`
	Changes    *Changes        `json:"changes,omitempty"` // since the report before, where that is given
	Secrets    []Secret        `json:"secrets"`           // by name
	Faults     []Fault         `json:"faults"`            // of the evidence
	Untested   []string        `json:"untested"`          // what no such report can tell
	Method     []string        `json:"method"`            // how the data was gathered
}

// Stack is the deployment that gathered the evidence.
type Stack struct {
	Account string `json:"account"`
	Region  string `json:"region"`
}

// Status is the outcome of a test.
type Status string

// The outcomes.
const (
	Pass        Status = "pass"
	Fail        Status = "fail"
	NotTestable Status = "not testable"
)

// Severity is how soon somebody should look.
type Severity string

// The severities, in their order.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Severities returns all of them, the most severe first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low, Info} }

// Summary is the page for a manager.
type Summary struct {
	Status Status `json:"status"`
	// Sentence is the verdict.
	Sentence      string   `json:"sentence"`
	Secrets       int      `json:"secrets"`
	Hosts         int      `json:"hosts"` // expected at the end of the period
	Seen          int      `json:"seen"`  // of them, with a definite answer
	Verifications int      `json:"verifications"`
	Rotations     Outcomes `json:"rotations"`
	Controls      Tally    `json:"controls"`
	Open          Counts   `json:"open"` // findings that stand, and what occurred and cannot be undone
	Mended        int      `json:"mended"`
	Excepted      int      `json:"excepted"` // keys that are there by a valid exception
	Records       int      `json:"records"`
	Faults        int      `json:"faults"`
}

// Outcomes counts rotations.
type Outcomes struct {
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"` // and abandoned
}

// Tally counts outcomes of tests.
type Tally struct {
	Pass        int `json:"pass"`
	Fail        int `json:"fail"`
	NotTestable int `json:"notTestable"`
}

func (t *Tally) add(s Status) {
	switch s {
	case Pass:
		t.Pass++
	case Fail:
		t.Fail++
	default:
		t.NotTestable++
	}
}

// Counts counts findings by severity.
type Counts struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
	Info     int `json:"info"`
}

func (c *Counts) add(s Severity) {
	switch s {
	case Critical:
		c.Critical++
	case High:
		c.High++
	case Medium:
		c.Medium++
	case Low:
		c.Low++
	default:
		c.Info++
	}
}

// Evidence names one record.
type Evidence struct {
	ID     string    `json:"id"` // secret#sequence
	At     time.Time `json:"at"`
	SHA256 string    `json:"sha256"`
}

// ControlResult is one control and how its tests ended.
type ControlResult struct {
	Control
	Status Status   `json:"status"`
	Tally  Tally    `json:"tally"` // of the secrets
	Tests  []Result `json:"tests"` // by secret; what concerns no single secret comes first
}

// Result is the outcome of one control for one secret.
type Result struct {
	Secret string `json:"secret"` // its name; empty: the stack
	ARN    string `json:"arn"`
	Status Status `json:"status"`
	Reason string `json:"reason"`
	// Records is how many were tested, and Evidence those that decide: where nothing is wrong, the first and the last.
	Records  int        `json:"records"`
	Evidence []Evidence `json:"evidence"`
	// idle: nothing was due that could have been tested. It does not count against the control.
	idle bool
}

// FindingStatus says whether something still stands.
type FindingStatus string

// The standings of a finding.
const (
	Open     FindingStatus = "open"     // it was so when last looked
	Occurred FindingStatus = "occurred" // it happened, and cannot be undone
	Mended   FindingStatus = "mended"
)

// Finding is one fact that breaks one control.
type Finding struct {
	// ID is the same in every report: it follows from secret, control and scope.
	ID       string        `json:"id"`
	Control  string        `json:"control"`
	Secret   string        `json:"secret"`
	ARN      string        `json:"arn"`
	Scope    string        `json:"scope"` // what it is about: host/user, a fingerprint, a version, an event
	Title    string        `json:"title"`
	Detail   string        `json:"detail,omitempty"`
	Severity Severity      `json:"severity"`
	Status   FindingStatus `json:"status"`
	// Places are the accounts that it concerns, as host/user, when it was last seen.
	Places []string `json:"places"`
	// Times is how often it came, as far as the evidence goes back.
	Times     int        `json:"times"`
	FirstSeen time.Time  `json:"firstSeen"`
	LastSeen  time.Time  `json:"lastSeen"`
	Mended    time.Time  `json:"mended,omitzero"`
	Evidence  []Evidence `json:"evidence"` // first, last, mended
}

// ExceptionUse is an exception and the keys it was used for.
type ExceptionUse struct {
	Fingerprint string    `json:"fingerprint"`
	User        string    `json:"user,omitempty"`
	Hosts       []string  `json:"hosts,omitempty"`
	Owner       string    `json:"owner"`
	Reason      string    `json:"reason"`
	Expires     time.Time `json:"expires,omitzero"`
	// State is valid, expired or unused, at the end of the period.
	State string `json:"state"`
	// Places are the accounts where the key was seen last.
	Places []string `json:"places"`
}

// Changes is what is different from the report before.
type Changes struct {
	Since time.Time `json:"since"` // when that was generated
	// New are the ids of findings that it did not have, and Again of those that it had as mended.
	New    []string `json:"new"`
	Again  []string `json:"again"`
	Mended []string `json:"mended"`
	// Gone are findings that it had and that this one has no more: out of the period, or of its secrets.
	Gone []Finding `json:"gone"`
	// Controls are those that ended otherwise.
	Controls []ControlChange `json:"controls"`
}

// ControlChange is a control that ended otherwise than before.
type ControlChange struct {
	Control string `json:"control"`
	Was     Status `json:"was"`
	Is      Status `json:"is"`
}

// Secret is one secret in the period.
type Secret struct {
	Name          string     `json:"name"`
	ARN           string     `json:"arn"`
	Verifications int        `json:"verifications"`
	Clean         int        `json:"clean"` // of them
	Rotations     []Rotation `json:"rotations"`
	Key           *Key       `json:"key,omitempty"`
	Last          *Last      `json:"last,omitempty"`
	// Days are the days of the period with a verification, for the time line.
	Days   []Day        `json:"days"`
	States []StateCount `json:"states"` // at the last verification
	Hosts  []HostState  `json:"hosts"`  // at the last verification: what is not ok first
	// Alerts counts messages that opened one, by condition.
	Alerts []AlertCount `json:"alerts"`
	// Repairs are reconciles: how many changed hosts, and how many failed.
	Repairs Outcomes `json:"repairs"`
}

// Rotation is one that ended in the period.
type Rotation struct {
	At       time.Time `json:"at"`
	Started  time.Time `json:"started,omitzero"`
	Outcome  string    `json:"outcome"`
	Version  string    `json:"version,omitempty"`
	Step     string    `json:"step,omitempty"`
	Failure  string    `json:"failure,omitempty"`
	Verified time.Time `json:"verified,omitzero"` // the first clean verification of its version
	Evidence Evidence  `json:"evidence,omitzero"`
	// EventID is CloudTrail's, of one that the evidence does not know: see Options.Recorded.
	EventID string `json:"eventId,omitempty"`
}

// Key is the live key when last looked.
type Key struct {
	Fingerprint string    `json:"fingerprint"`
	Version     string    `json:"version"`
	Type        string    `json:"type,omitempty"`
	Bits        int       `json:"bits,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	// AgeSeconds at the last verification, and the limit: 0 where none is known.
	AgeSeconds   int64  `json:"ageSeconds"`
	LimitSeconds int64  `json:"limitSeconds"`
	Limit        string `json:"limit"` // where it comes from
}

// Last is the last verification of the period.
type Last struct {
	At       time.Time `json:"at"`
	Clean    bool      `json:"clean"`
	Expected int       `json:"expected"`
	Seen     int       `json:"seen"`
	Held     *string   `json:"held,omitempty"`
	Gone     bool      `json:"gone,omitempty"`
	Evidence Evidence  `json:"evidence"`
}

// Day is the worst of a day.
type Day struct {
	Day           string `json:"day"` // UTC
	Verifications int    `json:"verifications"`
	Clean         int    `json:"clean"`
	Drift         int    `json:"drift"` // verifications that saw something wrong
}

// StateCount counts accounts.
type StateCount struct {
	State    string `json:"state"`
	Accounts int    `json:"accounts"`
}

// HostState is one account on one host.
type HostState struct {
	Host    string `json:"host"`
	User    string `json:"user"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Command string `json:"command,omitempty"` // id of the SSM command that asked
	Foreign int    `json:"foreign"`
	Ways    string `json:"ways,omitempty"`
	Stray   bool   `json:"stray,omitempty"`
}

// AlertCount counts alerts.
type AlertCount struct {
	Condition string `json:"condition"`
	Opened    int    `json:"opened"`
	Resolved  int    `json:"resolved"`
}

// Fault is something in the evidence that is not as it was written.
type Fault struct {
	Path     string `json:"path"`
	Secret   string `json:"secret,omitempty"`
	Sequence int64  `json:"sequence,omitempty"`
	What     string `json:"what"`
	Detail   string `json:"detail"`
}
