package cloudformation

import (
	"cmp"
	"maps"
)

// logsKinds: filters are kept, since nothing measures in the lab.
var logsKinds = map[string]kind{
	"AWS::Logs::LogGroup": define(definition[logGroupProperties]{attributes: []string{"Arn"}, create: createLogGroup, update: updateLogGroup, remove: removeLogGroup}),
	"AWS::Logs::MetricFilter": kept("AWS::Logs::MetricFilter",
		func(t *task, p *metricFilterProperties) string { return cmp.Or(p.FilterName, t.name(512)) }, nil),
}

type logGroupProperties struct {
	KmsKeyId        string
	LogGroupClass   string `cfn:"fixed"`
	LogGroupName    string `cfn:"name"`
	RetentionInDays int64
	Tags            []Tag
}

type metricFilterProperties struct {
	FilterName            string `cfn:"name"`
	FilterPattern         string `cfn:"required"`
	LogGroupName          string `cfn:"required,fixed"`
	MetricTransformations []struct {
		DefaultValue    float64
		Dimensions      []struct{ Key, Value string }
		MetricName      string `cfn:"required"`
		MetricNamespace string `cfn:"required"`
		MetricValue     string `cfn:"required"`
		Unit            string
	} `cfn:"required"`
}

// logs calls an action of CloudWatch Logs.
func (t *task) logs(action, group string, more map[string]any) error {
	in := map[string]any{"logGroupName": group}
	maps.Copy(in, more)
	return t.json(t, "logs", "Logs_20140328."+action, in, nil)
}

func createLogGroup(t *task, p *logGroupProperties) (entity, error) {
	name := cmp.Or(p.LogGroupName, t.name(512))
	if err := t.logs("CreateLogGroup", name, nil); err != nil {
		return entity{}, err
	}
	e := entity{ID: name, Attributes: map[string]string{"Arn": t.arn("logs", "log-group:"+name+":*")}}
	return updateLogGroup(t, e, &logGroupProperties{}, p)
}

func updateLogGroup(t *task, e entity, was, is *logGroupProperties) (entity, error) {
	if is.RetentionInDays == was.RetentionInDays {
		return e, nil
	}
	return e, t.logs("PutRetentionPolicy", e.ID, map[string]any{"retentionInDays": is.RetentionInDays})
}

func removeLogGroup(t *task, e entity, _ *logGroupProperties) error {
	err := t.logs("DeleteLogGroup", e.ID, nil)
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	return err
}
