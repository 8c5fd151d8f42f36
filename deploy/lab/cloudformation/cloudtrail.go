package cloudformation

import (
	"cmp"
	"reflect"
	"strings"
)

var cloudTrailKinds = map[string]kind{
	"AWS::CloudTrail::Trail": define(definition[trailProperties]{attributes: []string{"Arn", "SnsTopicArn"}, create: createTrail, update: undone(updateTrail), remove: removeTrail}),
}

// trailProperties are those of a trail of one account that keeps its files in a
// bucket. The lab writes none: what a trail does is to pass events on to
// EventBridge.
type trailProperties struct {
	EnableLogFileValidation    bool
	EventSelectors             []eventSelector
	IncludeGlobalServiceEvents *bool
	IsLogging                  bool `cfn:"required"`
	IsMultiRegionTrail         bool
	KMSKeyId                   string
	S3BucketName               string `cfn:"required"`
	S3KeyPrefix                string
	SnsTopicName               string
	Tags                       []Tag
	TrailName                  string `cfn:"name"`
}

// eventSelector is one as PutEventSelectors takes it.
type eventSelector struct {
	DataResources []struct {
		Type   string   `cfn:"required"`
		Values []string `json:",omitempty"`
	} `json:",omitempty"`
	ExcludeManagementEventSources []string `json:",omitempty"`
	IncludeManagementEvents       *bool    `json:",omitempty"`
	ReadWriteType                 string   `json:",omitempty"`
}

// trail calls an action of CloudTrail.
func (t *task) trail(action string, in map[string]any, out any) error {
	return t.json(t, "cloudtrail", "CloudTrail_20131101."+action, in, out)
}

// input is what CreateTrail and UpdateTrail have in common. An empty text takes
// a setting away.
func (p *trailProperties) input(name string) map[string]any {
	return map[string]any{
		"Name": name, "S3BucketName": p.S3BucketName, "S3KeyPrefix": p.S3KeyPrefix, "SnsTopicName": p.SnsTopicName, "KmsKeyId": p.KMSKeyId,
		"IncludeGlobalServiceEvents": p.IncludeGlobalServiceEvents == nil || *p.IncludeGlobalServiceEvents,
		"IsMultiRegionTrail":         p.IsMultiRegionTrail, "EnableLogFileValidation": p.EnableLogFileValidation,
	}
}

func (p *trailProperties) describe(t *task, name string) entity {
	e := entity{ID: name, Attributes: map[string]string{"Arn": t.arn("cloudtrail", "trail/"+name)}}
	if p.SnsTopicName != "" {
		e.Attributes["SnsTopicArn"] = p.SnsTopicName
		if !strings.HasPrefix(p.SnsTopicName, "arn:") {
			e.Attributes["SnsTopicArn"] = t.arn("sns", p.SnsTopicName)
		}
	}
	return e
}

func createTrail(t *task, p *trailProperties) (entity, error) {
	name := cmp.Or(p.TrailName, t.name(128))
	in := p.input(name)
	for key, value := range in {
		if value == "" {
			delete(in, key)
		}
	}
	if err := t.trail("CreateTrail", in, nil); err != nil {
		return entity{}, err
	}
	e := p.describe(t, name)
	if err := t.setTrail(name, &trailProperties{}, p); err != nil {
		_ = removeTrail(t, e, p) // err is what is to be told
		return entity{}, err
	}
	return e, nil
}

func updateTrail(t *task, e entity, was, is *trailProperties) (entity, error) {
	if err := t.trail("UpdateTrail", is.input(e.ID), nil); err != nil {
		return e, err
	}
	return is.describe(t, e.ID), t.setTrail(e.ID, was, is)
}

// setTrail sets which events a trail is about, and whether it logs. Without
// selectors it is about all management events.
// https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_PutEventSelectors.html
func (t *task) setTrail(name string, was, is *trailProperties) error {
	if !reflect.DeepEqual(was.EventSelectors, is.EventSelectors) {
		selectors := is.EventSelectors
		if len(selectors) == 0 {
			yes := true
			selectors = []eventSelector{{ReadWriteType: "All", IncludeManagementEvents: &yes}}
		}
		if err := t.trail("PutEventSelectors", map[string]any{"TrailName": name, "EventSelectors": selectors}, nil); err != nil {
			return err
		}
	}
	switch {
	case is.IsLogging && !was.IsLogging:
		return t.trail("StartLogging", map[string]any{"Name": name}, nil)
	case was.IsLogging && !is.IsLogging:
		return t.trail("StopLogging", map[string]any{"Name": name}, nil)
	}
	return nil
}

func removeTrail(t *task, e entity, _ *trailProperties) error {
	err := t.trail("DeleteTrail", map[string]any{"Name": e.ID}, nil)
	if isCode(err, "TrailNotFoundException") {
		return nil
	}
	return err
}
