package cloudformation

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
)

var sqsKinds = map[string]kind{
	"AWS::SQS::Queue":       define(definition[queueProperties]{attributes: []string{"Arn", "QueueName", "QueueUrl"}, create: createQueue, update: undone(updateQueue), remove: removeQueue}),
	"AWS::SQS::QueuePolicy": define(definition[queuePolicyProperties]{attributes: []string{"Id"}, create: createQueuePolicy, update: undone(updateQueuePolicy), remove: removeQueuePolicy}),
}

// sqs calls an action of SQS.
func (t *task) sqs(action string, in map[string]any, out any) error {
	return t.json(t, "sqs", "AmazonSQS."+action, in, out)
}

// queueProperties are those of a standard queue.
type queueProperties struct {
	DelaySeconds                  *int64
	KmsDataKeyReusePeriodSeconds  *int64
	KmsMasterKeyId                string
	MaximumMessageSize            *int64
	MessageRetentionPeriod        *int64
	QueueName                     string `cfn:"name"`
	ReceiveMessageWaitTimeSeconds *int64
	RedriveAllowPolicy            document
	RedrivePolicy                 document
	SqsManagedSseEnabled          *bool
	Tags                          []Tag
	VisibilityTimeout             *int64
}

// usualQueue are the attributes of a queue that nobody set.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
var usualQueue = map[string]string{
	"DelaySeconds": "0", "KmsDataKeyReusePeriodSeconds": "300", "KmsMasterKeyId": "", "MaximumMessageSize": "262144",
	"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0", "RedriveAllowPolicy": "", "RedrivePolicy": "",
	"SqsManagedSseEnabled": "true", "VisibilityTimeout": "30",
}

// attributes are those that the template gives.
func (p *queueProperties) attributes() map[string]string {
	m := map[string]string{}
	for name, n := range map[string]*int64{
		"DelaySeconds": p.DelaySeconds, "KmsDataKeyReusePeriodSeconds": p.KmsDataKeyReusePeriodSeconds, "MaximumMessageSize": p.MaximumMessageSize,
		"MessageRetentionPeriod": p.MessageRetentionPeriod, "ReceiveMessageWaitTimeSeconds": p.ReceiveMessageWaitTimeSeconds, "VisibilityTimeout": p.VisibilityTimeout,
	} {
		if n != nil {
			m[name] = strconv.FormatInt(*n, 10)
		}
	}
	for name, text := range map[string]string{
		"KmsMasterKeyId": p.KmsMasterKeyId, "RedriveAllowPolicy": string(p.RedriveAllowPolicy), "RedrivePolicy": string(p.RedrivePolicy),
	} {
		if text != "" {
			m[name] = text
		}
	}
	if p.SqsManagedSseEnabled != nil {
		m["SqsManagedSseEnabled"] = strconv.FormatBool(*p.SqsManagedSseEnabled)
	}
	return m
}

func tagMap(tags []Tag) map[string]string {
	m := map[string]string{}
	for _, tag := range tags {
		m[tag.Key] = tag.Value
	}
	return m
}

// createQueue refuses a name that is taken, which SQS does only where the queue
// is another one. A name that was given up less than a minute ago is refused by
// SQS; CloudFormation on AWS waits for it.
func createQueue(t *task, p *queueProperties) (entity, error) {
	name := cmp.Or(p.QueueName, t.name(80))
	if t.sqs("GetQueueUrl", map[string]any{"QueueName": name}, nil) == nil {
		return entity{}, alreadyExists("AWS::SQS::Queue", name)
	}
	in := map[string]any{"QueueName": name, "Attributes": p.attributes()}
	if tags := t.tags(p.Tags); len(tags) > 0 {
		in["tags"] = tagMap(tags)
	}
	var out struct{ QueueUrl string }
	if err := t.sqs("CreateQueue", in, &out); err != nil {
		return entity{}, err
	}
	return entity{ID: out.QueueUrl, Attributes: map[string]string{"Arn": t.arn("sqs", name), "QueueName": name, "QueueUrl": out.QueueUrl}}, nil
}

// updateQueue gives back what AWS gives a new queue to what is no longer given.
func updateQueue(t *task, e entity, was, is *queueProperties) (entity, error) {
	old, wanted := maps.Clone(usualQueue), maps.Clone(usualQueue)
	maps.Copy(old, was.attributes())
	maps.Copy(wanted, is.attributes())
	maps.DeleteFunc(wanted, func(name, value string) bool { return value == old[name] })
	if len(wanted) > 0 {
		if err := t.sqs("SetQueueAttributes", map[string]any{"QueueUrl": e.ID, "Attributes": wanted}, nil); err != nil {
			return e, err
		}
	}
	before, tags := t.tags(was.Tags), t.tags(is.Tags)
	if gone := goneTags(before, tags); len(gone) > 0 {
		if err := t.sqs("UntagQueue", map[string]any{"QueueUrl": e.ID, "TagKeys": gone}, nil); err != nil {
			return e, err
		}
	}
	if len(tags) == 0 {
		return e, nil
	}
	return e, t.sqs("TagQueue", map[string]any{"QueueUrl": e.ID, "Tags": tagMap(tags)}, nil)
}

func removeQueue(t *task, e entity, _ *queueProperties) error {
	err := t.sqs("DeleteQueue", map[string]any{"QueueUrl": e.ID}, nil)
	if isCode(err, "QueueDoesNotExist") {
		return nil
	}
	return err
}

// queuePolicyProperties names queues by their URLs.
type queuePolicyProperties struct {
	PolicyDocument document `cfn:"required"`
	Queues         []string `cfn:"required"`
}

func createQueuePolicy(t *task, p *queuePolicyProperties) (entity, error) {
	id := t.name(128)
	e := entity{ID: id, Attributes: map[string]string{"Id": id}}
	if _, err := updateQueuePolicy(t, e, &queuePolicyProperties{}, p); err != nil {
		_ = removeQueuePolicy(t, e, p) // err is what is to be told
		return entity{}, err
	}
	return e, nil
}

func updateQueuePolicy(t *task, e entity, was, is *queuePolicyProperties) (entity, error) {
	for _, queue := range is.Queues {
		if err := t.setQueuePolicy(queue, string(is.PolicyDocument)); err != nil {
			return e, err
		}
	}
	var errs []error
	for _, queue := range was.Queues {
		if !slices.Contains(is.Queues, queue) {
			errs = append(errs, t.dropQueuePolicy(queue))
		}
	}
	return e, errors.Join(errs...)
}

func removeQueuePolicy(t *task, _ entity, p *queuePolicyProperties) error {
	var errs []error
	for _, queue := range p.Queues {
		errs = append(errs, t.dropQueuePolicy(queue))
	}
	return errors.Join(errs...)
}

func (t *task) setQueuePolicy(queue, text string) error {
	return t.sqs("SetQueueAttributes", map[string]any{"QueueUrl": queue, "Attributes": map[string]string{"Policy": text}}, nil)
}

func (t *task) dropQueuePolicy(queue string) error {
	err := t.setQueuePolicy(queue, "")
	if isCode(err, "QueueDoesNotExist") {
		return nil
	}
	return err
}
