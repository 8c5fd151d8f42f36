package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/audit/line"
)

// Limits of the AWS Security Finding Format.
// https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format-syntax.html
const (
	asffBatch        = 100 // findings of one BatchImportFindings
	asffTitle        = 256
	asffDescription  = 1024
	asffRequirement  = 64
	asffRequirements = 32
	asffText         = 512
	asffField        = 2048
	asffResources    = 32
)

// ASFFFinding is a finding as AWS Security Hub imports it. Note, Workflow and what else belongs to people is not set:
// an import may not change it.
type ASFFFinding struct {
	SchemaVersion, ID, ProductArn, GeneratorID, AwsAccountID string
	CreatedAt, UpdatedAt, FirstObservedAt, LastObservedAt    time.Time
	Title, Description                                       string
	Types                                                    []string
	Label                                                    string // of the severity
	Resources                                                []ASFFResource
	Status                                                   string // PASSED, FAILED, NOT_AVAILABLE
	RelatedRequirements                                      []string
	Recommendation                                           string
	ProductFields                                            map[string]string
	RecordState                                              string // ACTIVE, ARCHIVED
}

// ASFFResource is what a finding is about.
type ASFFResource struct{ Type, ID, Partition, Region string }

// ASFF returns the findings of a report in batches that BatchImportFindings takes. What was mended, and what the
// report before had and this one has no more, is archived.
func (r Report) ASFF() [][]ASFFFinding {
	var all []ASFFFinding
	for _, f := range r.Findings {
		all = append(all, r.asff(f, f.Status == Mended))
	}
	if r.Changes != nil {
		for _, f := range r.Changes.Gone {
			all = append(all, r.asff(f, true))
		}
	}
	return slices.Collect(slices.Chunk(all, asffBatch))
}

func (r Report) asff(f Finding, over bool) ASFFFinding {
	i := slices.IndexFunc(controls[:], func(c Control) bool { return c.ID == f.Control })
	var c Control // of an earlier release, where it is not known
	if i >= 0 {
		c = controls[i]
	}
	part := r.partition(f.ARN)
	out := ASFFFinding{
		SchemaVersion: "2018-10-08", ID: "keytrail/" + r.Stack.Region + "/" + r.Stack.Account + "/" + f.ID,
		ProductArn:  fmt.Sprintf("arn:%s:securityhub:%s:%s:product/%[3]s/default", part, r.Stack.Region, r.Stack.Account),
		GeneratorID: "keytrail/" + f.Control, AwsAccountID: r.Stack.Account,
		CreatedAt: f.FirstSeen, UpdatedAt: r.Generated, FirstObservedAt: f.FirstSeen, LastObservedAt: f.LastSeen,
		Title:       line.Cut(f.Control+" "+f.Title, asffTitle),
		Description: line.Cut(joined(". ", f.Title, f.Detail, c.Why), asffDescription),
		Types:       []string{"Software and Configuration Checks/AWS Security Best Practices"},
		Label:       strings.ToUpper(string(f.Severity)), Resources: r.asffResources(f, part),
		Status: "FAILED", RecordState: "ACTIVE", Recommendation: line.Cut(c.Mend, asffText), ProductFields: map[string]string{},
	}
	if f.Severity == Info {
		out.Label = "INFORMATIONAL"
	}
	if over {
		out.RecordState, out.Status = "ARCHIVED", "NOT_AVAILABLE"
		if f.Status == Mended {
			out.Status = "PASSED"
		}
	}
	for _, m := range c.Mappings {
		if len(out.RelatedRequirements) < asffRequirements {
			out.RelatedRequirements = append(out.RelatedRequirements, line.Cut(m.Framework+" "+m.Requirement, asffRequirement))
		}
	}
	for name, value := range map[string]string{"secret": f.Secret, "scope": f.Scope, "standing": string(f.Status), "mended": stamp(f.Mended), "evidence": cited(f.Evidence)} {
		if value != "" {
			out.ProductFields["keytrail/"+name] = line.Cut(value, asffField)
		}
	}
	return out
}

// asffResources are the secret and, as far as there is room, the hosts.
func (r Report) asffResources(f Finding, part string) []ASFFResource {
	out := []ASFFResource{{"AwsSecretsManagerSecret", f.ARN, part, r.Stack.Region}}
	if f.ARN == "" {
		out[0] = ASFFResource{"AwsAccount", "AWS::::Account:" + r.Stack.Account, part, r.Stack.Region}
	}
	for _, place := range f.Places {
		host, _, _ := strings.Cut(place, "/")
		h := ASFFResource{"AwsEc2Instance", fmt.Sprintf("arn:%s:ec2:%s:%s:instance/%s", part, r.Stack.Region, r.Stack.Account, host), part, r.Stack.Region}
		if !strings.HasPrefix(host, "i-") {
			h.Type, h.ID = "Other", fmt.Sprintf("arn:%s:ssm:%s:%s:managed-instance/%s", part, r.Stack.Region, r.Stack.Account, host)
		}
		h.ID = line.Cut(h.ID, asffText)
		if len(out) < asffResources && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// MarshalJSON writes the finding under the names of the format.
func (f ASFFFinding) MarshalJSON() ([]byte, error) {
	type object map[string]any
	resources := []object{}
	for _, h := range f.Resources {
		resources = append(resources, object{"Type": h.Type, "Id": h.ID, "Partition": h.Partition, "Region": h.Region})
	}
	severity := object{"Label": f.Label}
	return json.Marshal(object{
		"SchemaVersion": f.SchemaVersion, "Id": f.ID, "ProductArn": f.ProductArn, "ProductName": "Keytrail", "GeneratorId": f.GeneratorID, "AwsAccountId": f.AwsAccountID,
		"CreatedAt": f.CreatedAt, "UpdatedAt": f.UpdatedAt, "FirstObservedAt": f.FirstObservedAt, "LastObservedAt": f.LastObservedAt,
		"Title": f.Title, "Description": f.Description, "Types": f.Types, "Severity": severity, "Resources": resources,
		"FindingProviderFields": object{"Severity": severity, "Types": f.Types},
		"Compliance":            object{"Status": f.Status, "RelatedRequirements": f.RelatedRequirements},
		"Remediation":           object{"Recommendation": object{"Text": f.Recommendation}},
		"ProductFields":         f.ProductFields, "RecordState": f.RecordState,
	})
}

// WriteASFF writes a line for each batch: what aws securityhub batch-import-findings takes as --cli-input-json.
func (r Report) WriteASFF(w io.Writer) error {
	e := json.NewEncoder(w)
	for _, batch := range r.ASFF() {
		if err := e.Encode(map[string]any{"Findings": batch}); err != nil {
			return fmt.Errorf("write ASFF: %w", err)
		}
	}
	return nil
}
