package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// What OCSF calls a Compliance Finding, and the version whose names are used.
// https://schema.ocsf.io/1.7.0/classes/compliance_finding
const (
	ocsfVersion  = "1.7.0"
	ocsfCategory = 2
	ocsfClass    = 2003
)

type ocsfFinding struct {
	ActivityID   int             `json:"activity_id"`
	ActivityName string          `json:"activity_name"`
	CategoryUID  int             `json:"category_uid"`
	CategoryName string          `json:"category_name"`
	ClassUID     int             `json:"class_uid"`
	ClassName    string          `json:"class_name"`
	Cloud        ocsfCloud       `json:"cloud"`
	Compliance   ocsfCompliance  `json:"compliance"`
	FindingInfo  ocsfInfo        `json:"finding_info"`
	Message      string          `json:"message"`
	Metadata     ocsfMetadata    `json:"metadata"`
	Remediation  ocsfRemediation `json:"remediation"`
	Resources    []ocsfResource  `json:"resources"`
	Severity     string          `json:"severity"`
	SeverityID   int             `json:"severity_id"`
	StartTime    int64           `json:"start_time"` // of the period, in milliseconds as all times
	EndTime      int64           `json:"end_time"`
	Status       string          `json:"status"`
	StatusID     int             `json:"status_id"`
	Time         int64           `json:"time"`
	TimeDT       time.Time       `json:"time_dt"`
	TypeName     string          `json:"type_name"`
	TypeUID      int             `json:"type_uid"`
	Unmapped     ocsfUnmapped    `json:"unmapped"`
}

type ocsfCloud struct {
	Account  ocsfAccount `json:"account"`
	Provider string      `json:"provider"`
	Region   string      `json:"region"`
}

type ocsfAccount struct {
	Type   string `json:"type"`
	TypeID int    `json:"type_id"`
	UID    string `json:"uid"`
}

type ocsfCompliance struct {
	Checks        []ocsfCheck `json:"checks"`
	Control       string      `json:"control"`
	Desc          string      `json:"desc"`
	Requirements  []string    `json:"requirements"`
	Standards     []string    `json:"standards"`
	Status        string      `json:"status"`
	StatusDetails []string    `json:"status_details"`
	StatusID      int         `json:"status_id"`
}

type ocsfCheck struct {
	Desc      string   `json:"desc"`
	Name      string   `json:"name"`
	Standards []string `json:"standards"`
	Status    string   `json:"status"`
	StatusID  int      `json:"status_id"`
	UID       string   `json:"uid"`
}

type ocsfInfo struct {
	Desc      string `json:"desc"`
	FirstSeen int64  `json:"first_seen_time,omitempty"`
	LastSeen  int64  `json:"last_seen_time,omitempty"`
	Title     string `json:"title"`
	UID       string `json:"uid"`
}

type ocsfMetadata struct {
	EventCode string      `json:"event_code"`
	Product   ocsfProduct `json:"product"`
	Profiles  []string    `json:"profiles"`
	Version   string      `json:"version"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

type ocsfRemediation struct {
	Desc string `json:"desc"`
}

type ocsfResource struct {
	Partition string `json:"cloud_partition,omitempty"`
	Name      string `json:"name"`
	Region    string `json:"region"`
	Type      string `json:"type"`
	UID       string `json:"uid"`
}

// ocsfUnmapped is what OCSF has no place for.
type ocsfUnmapped struct {
	Evidence []Evidence `json:"evidence"`
	Findings []string   `json:"findings"` // ids
	Mappings []Mapping  `json:"mappings"`
}

var (
	ocsfSeverity = map[Severity]int{Info: 1, Low: 2, Medium: 3, High: 4, Critical: 5}
	ocsfCaption  = [...]string{"Unknown", "Informational", "Low", "Medium", "High", "Critical"}
	ocsfStatus   = map[Status]int{Pass: 1, NotTestable: 2, Fail: 3}
	ocsfOutcome  = [...]string{"", "Pass", "Warning", "Fail"}
)

// WriteOCSF writes an array of OCSF Compliance Findings: one for each control and secret. What is not testable is a
// warning.
func (r Report) WriteOCSF(w io.Writer) error {
	out := []ocsfFinding{}
	for _, c := range r.Controls {
		for _, t := range c.Tests {
			out = append(out, r.ocsf(c, t))
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("write OCSF: %w", err)
	}
	return nil
}

func (r Report) ocsf(c ControlResult, t Result) ocsfFinding {
	activity, name := 1, "Create"
	if r.Changes != nil {
		activity, name = 2, "Update"
	}
	status, caption := 1, "New"
	if t.Status == Pass {
		status, caption = 4, "Resolved"
	}
	outcome := ocsfStatus[t.Status]
	var requirements, standards []string
	for _, m := range c.Mappings {
		requirements = append(requirements, m.Framework+" "+m.Requirement)
		if !slices.Contains(standards, m.Framework) {
			standards = append(standards, m.Framework)
		}
	}
	f := ocsfFinding{
		ActivityID: activity, ActivityName: name, CategoryUID: ocsfCategory, CategoryName: "Findings", ClassUID: ocsfClass, ClassName: "Compliance Finding",
		Cloud: ocsfCloud{ocsfAccount{"AWS Account", 10, r.Stack.Account}, "AWS", r.Stack.Region},
		Compliance: ocsfCompliance{
			Checks:  []ocsfCheck{{c.Test, c.Title, standards, ocsfOutcome[outcome], outcome, c.ID}},
			Control: c.ID + " " + c.Title, Desc: c.Why, Requirements: requirements, Standards: standards,
			Status: ocsfOutcome[outcome], StatusDetails: []string{t.Reason}, StatusID: outcome,
		},
		FindingInfo: ocsfInfo{Desc: c.Why, Title: c.Title, UID: identify(t.ARN, c.ID, "result")},
		Message:     c.ID + ", " + cmp.Or(t.Secret, "the stack") + ": " + string(t.Status) + ": " + t.Reason,
		Metadata:    ocsfMetadata{c.ID, ocsfProduct{"Keytrail", "Keytrail"}, []string{"cloud", "datetime"}, ocsfVersion},
		Remediation: ocsfRemediation{c.Mend}, Resources: []ocsfResource{r.ocsfResource(t)},
		StartTime: r.From.UnixMilli(), EndTime: r.To.UnixMilli(), Status: caption, StatusID: status,
		Time: r.Generated.UnixMilli(), TimeDT: r.Generated, TypeName: "Compliance Finding: " + name, TypeUID: ocsfClass*100 + activity,
		Unmapped: ocsfUnmapped{t.Evidence, []string{}, c.Mappings},
	}
	f.SeverityID = 1
	if t.Status == Fail {
		f.SeverityID = ocsfSeverity[Low]
	}
	for _, found := range r.Findings {
		if found.Control != c.ID || found.ARN != t.ARN {
			continue
		}
		f.Unmapped.Findings = append(f.Unmapped.Findings, found.ID)
		if t.Status == Fail && (found.Status != Mended || c.strict) {
			f.SeverityID = max(f.SeverityID, ocsfSeverity[found.Severity])
			first, last := found.FirstSeen.UnixMilli(), found.LastSeen.UnixMilli()
			if f.FindingInfo.FirstSeen == 0 || first < f.FindingInfo.FirstSeen {
				f.FindingInfo.FirstSeen = first
			}
			f.FindingInfo.LastSeen = max(f.FindingInfo.LastSeen, last)
		}
	}
	f.Severity = ocsfCaption[f.SeverityID]
	return f
}

func (r Report) ocsfResource(t Result) ocsfResource {
	if t.ARN == "" {
		return ocsfResource{Partition: r.partition(""), Name: r.Stack.Account, Region: r.Stack.Region, Type: "AwsAccount", UID: "AWS::::Account:" + r.Stack.Account}
	}
	return ocsfResource{r.partition(t.ARN), t.Secret, r.Stack.Region, "AwsSecretsManagerSecret", t.ARN}
}

// partition is that of an ARN, or else of any secret: aws, aws-cn, aws-us-gov.
func (r Report) partition(arn string) string {
	if arn == "" && len(r.Secrets) > 0 {
		arn = r.Secrets[0].ARN
	}
	if parts := strings.SplitN(arn, ":", 3); len(parts) == 3 && parts[0] == "arn" && parts[1] != "" {
		return parts[1]
	}
	return "aws"
}
