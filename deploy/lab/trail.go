package lab

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/cloudtrail"
	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
)

// makeEvents makes EventBridge, and CloudTrail before it.
func (l *Lab) makeEvents() {
	o := l.options
	e := o.Events
	e.Account, e.Region, e.Now, e.Seed = o.Account, o.Region, o.Now, o.Seed
	e.Targets = l.targets()
	maps.Copy(e.Targets, o.Events.Targets)
	if e.DeadLetter == nil {
		e.DeadLetter = l.sendForRule
	}
	e.MayDeliver = l.mayDeliver
	if o.Events.MayDeliver != nil {
		e.MayDeliver = func(target, rule string) bool { return l.mayDeliver(target, rule) && o.Events.MayDeliver(target, rule) }
	}
	l.events = events.New(e)

	t := o.CloudTrail
	t.Account, t.Region, t.Now, t.Seed = o.Account, o.Region, o.Now, o.Seed
	t.SecretARN = func(id string) string {
		secret, _ := l.secrets.Look(id)
		return secret.ARN
	}
	t.Deliver, t.MayWrite = l.deliver, l.mayWrite
	if t.Trails == nil {
		t.Trails = []string{"management"}
	}
	l.trail = cloudtrail.New(t)
}

// mayDeliver tells whether the policy of a function, or of its alias, lets a
// rule invoke it. Other targets judge by themselves.
func (l *Lab) mayDeliver(targetARN, ruleARN string) bool {
	return !strings.HasPrefix(targetARN, "arn:aws:lambda:") || l.gate.MayInvoke(eventsService, targetARN, ruleARN)
}

// mayWrite tells whether the policy of a bucket lets CloudTrail look at it and
// write into it as it does: with the owner's full control over each object.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html
func (l *Lab) mayWrite(bucket, prefix, trailARN string) bool {
	if prefix != "" {
		prefix += "/"
	}
	arn := "arn:aws:s3:::" + bucket
	return l.gate.MayUse(iam.Call{Principal: trailService, Action: "s3:GetBucketAcl", Resource: arn}, trailARN) &&
		l.gate.MayUse(iam.Call{
			Principal: trailService, Action: "s3:PutObject", Resource: arn + "/" + prefix + "AWSLogs/" + l.options.Account + "/CloudTrail/",
			Keys: iam.Keys{"s3:x-amz-acl": {"bucket-owner-full-control"}},
		}, trailARN)
}

// deliver hands what a trail passes on to EventBridge.
func (l *Lab) deliver(e cloudtrail.Event) {
	l.events.Publish(events.Event{Source: e.Source, DetailType: e.DetailType, Time: e.Time, Detail: e.Record, Reads: e.ReadOnly})
}

// emit tells CloudTrail what Secrets Manager did by itself; a label that moved
// goes to EventBridge alone.
func (l *Lab) emit(e secretsmanager.Event) {
	if e.Name == secretsmanager.SecretLabelUpdated {
		detail, _ := json.Marshal(struct { // strings always have a form in JSON
			Name    string `json:"name"`
			Label   string `json:"labelUpdated"`
			Version string `json:"versionId"`
		}{e.SecretName, e.Label, e.VersionID})
		l.events.Publish(events.Event{
			Source: "aws.secretsmanager", DetailType: secretsmanager.SecretLabelUpdated, Time: e.Time, Resources: []string{e.SecretARN}, Detail: detail,
		})
	} else {
		l.trail.RecordService(e)
	}
	if l.options.Emit != nil {
		l.options.Emit(e)
	}
}
