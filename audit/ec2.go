package audit

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keytrail/keytrail/audit/signed"
	"github.com/keytrail/keytrail/rotate/fleet"
)

// Instance is one EC2 instance.
type Instance struct {
	ID      fleet.InstanceID
	Running bool // or about to
}

// EC2 asks EC2 about instances, by the one call that is needed: DescribeInstances.
type EC2 struct{ client *signed.Client }

// NewEC2 returns a client for the configuration's account and Region.
func NewEC2(config aws.Config) *EC2 {
	return &EC2{signed.New(config, "ec2", func(r signed.Reply) (code, message string) {
		var answer struct {
			Code    string `xml:"Errors>Error>Code"`
			Message string `xml:"Errors>Error>Message"`
		}
		if xml.Unmarshal(r.Body, &answer) != nil {
			return "", ""
		}
		return answer.Code, answer.Message
	})}
}

// alive are the states of an instance that may yet be logged in to.
var alive = []string{"pending", "running", "stopping", "stopped"}

// Tagged returns the instances that have all tags of a target and are not terminated, by id.
func (e *EC2) Tagged(ctx context.Context, target fleet.Target) ([]Instance, error) {
	filters := []filter{{"instance-state-name", alive}}
	for _, t := range target {
		filters = append(filters, filter{"tag:" + t.Key, []string{literal(t.Value)}})
	}
	return e.describe(ctx, filters)
}

// Terminated returns those of some ids that EC2 has terminated or does not know any more. Ids of hybrid
// nodes are never among them.
func (e *EC2) Terminated(ctx context.Context, ids []fleet.InstanceID) ([]fleet.InstanceID, error) {
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html: at most 200 values.
	const most = 200
	var gone []fleet.InstanceID
	ids = slices.DeleteFunc(slices.Clone(ids), func(id fleet.InstanceID) bool { return !strings.HasPrefix(string(id), "i-") })
	for part := range slices.Chunk(ids, most) {
		values := make([]string, len(part))
		for i, id := range part {
			values[i] = string(id)
		}
		// As a filter, an id that EC2 does not know is no error.
		there, err := e.describe(ctx, []filter{{"instance-id", values}, {"instance-state-name", alive}})
		if err != nil {
			return nil, err
		}
		for _, id := range part {
			if !slices.ContainsFunc(there, func(i Instance) bool { return i.ID == id }) {
				gone = append(gone, id)
			}
		}
	}
	return gone, nil
}

// filter is one of DescribeInstances; several are and-ed, their values or-ed.
type filter struct {
	name   string
	values []string
}

// literal keeps EC2 from taking a tag's value for a pattern.
func literal(value string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`).Replace(value)
}

// describe returns the instances of all pages that pass the filters, by id.
func (e *EC2) describe(ctx context.Context, filters []filter) ([]Instance, error) {
	form := url.Values{"Action": {"DescribeInstances"}, "Version": {"2016-11-15"}, "MaxResults": {"1000"}}
	for i, f := range filters {
		prefix := "Filter." + strconv.Itoa(i+1) + "."
		form.Set(prefix+"Name", f.name)
		for j, v := range f.values {
			form.Set(prefix+"Value."+strconv.Itoa(j+1), v)
		}
	}
	var out []Instance
	for {
		page, err := e.page(ctx, form)
		if err != nil {
			return nil, fmt.Errorf("list EC2 instances: %w", err)
		}
		for _, i := range page.Instances {
			id, err := fleet.ParseInstanceID(i.ID)
			if err != nil {
				return nil, fmt.Errorf("list EC2 instances: %w", err)
			}
			out = append(out, Instance{id, i.State == "running" || i.State == "pending"})
		}
		if page.NextToken == "" {
			break
		}
		form.Set("NextToken", page.NextToken)
	}
	slices.SortFunc(out, func(a, b Instance) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out, nil
}

// instancePage is what DescribeInstances answers, as far as it is read.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
type instancePage struct {
	NextToken string `xml:"nextToken"`
	Instances []struct {
		ID    string `xml:"instanceId"`
		State string `xml:"instanceState>name"`
	} `xml:"reservationSet>item>instancesSet>item"`
}

func (e *EC2) page(ctx context.Context, form url.Values) (instancePage, error) {
	reply, err := e.client.Post(ctx, "/", signed.Form(), []byte(form.Encode()))
	if err != nil {
		return instancePage{}, err
	}
	var page instancePage
	err = xml.Unmarshal(reply.Body, &page)
	return page, err
}
