package cloudformation

import "cmp"

// logsKinds are kept: the lab's Lambda writes its logs to files.
var logsKinds = map[string]kind{
	"AWS::Logs::LogGroup": kept("AWS::Logs::LogGroup",
		func(t *task, p *logGroupProperties) string { return cmp.Or(p.LogGroupName, t.name(512)) }, arnAttribute("logs", "log-group:", ":*")),
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
