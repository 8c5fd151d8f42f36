package cloudformation

import "cmp"

// cloudWatchKinds are kept: nothing measures in the lab.
var cloudWatchKinds = map[string]kind{
	"AWS::CloudWatch::Alarm": kept("AWS::CloudWatch::Alarm",
		func(t *task, p *alarmProperties) string { return cmp.Or(p.AlarmName, t.name(255)) }, arnAttribute("cloudwatch", "alarm:", "")),
}

type dimension struct {
	Name  string `cfn:"required"`
	Value string `cfn:"required"`
}

type alarmProperties struct {
	ActionsEnabled                   *bool
	AlarmActions                     []string
	AlarmDescription                 string
	AlarmName                        string `cfn:"name"`
	ComparisonOperator               string `cfn:"required"`
	DatapointsToAlarm                int64
	Dimensions                       []dimension
	EvaluateLowSampleCountPercentile string
	EvaluationPeriods                int64 `cfn:"required"`
	ExtendedStatistic                string
	InsufficientDataActions          []string
	MetricName                       string
	Metrics                          []struct {
		AccountId, Expression, Label string
		Id                           string `cfn:"required"`
		MetricStat                   *struct {
			Metric struct {
				Dimensions            []dimension
				MetricName, Namespace string
			} `cfn:"required"`
			Period int64  `cfn:"required"`
			Stat   string `cfn:"required"`
			Unit   string
		}
		Period     int64
		ReturnData bool
	}
	Namespace         string
	OKActions         []string
	Period            int64
	Statistic         string
	Tags              []Tag
	Threshold         float64
	ThresholdMetricId string
	TreatMissingData  string
	Unit              string
}
