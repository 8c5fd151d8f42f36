package sqs

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/policy"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// deletedFor is how long the name of a deleted queue cannot be used.
const deletedFor = 60 * time.Second

// purgeEvery is how often a queue may be purged.
const purgeEvery = 60 * time.Second

var queueName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,80}$`)

// queue is one standard queue. Everything in it is under the service's lock.
type queue struct {
	name, arn, url    string
	attributes        map[string]string // those that were set, and defaults
	tags              map[string]string
	created, modified time.Time
	purged            time.Time
	messages          []*message // in the order in which they were sent
	gone              bool
}

// numbers are the numeric attributes with their ranges and defaults.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
var numbers = map[string]struct{ least, most, usual int }{
	"DelaySeconds":                  {0, 900, 0},
	"MaximumMessageSize":            {1024, maxMessage, maxMessage},
	"MessageRetentionPeriod":        {60, 1209600, 345600},
	"ReceiveMessageWaitTimeSeconds": {0, 20, 0},
	"VisibilityTimeout":             {0, 43200, 30},
	"KmsDataKeyReusePeriodSeconds":  {60, 86400, 300},
}

func (q *queue) number(name string) int {
	n, _ := strconv.Atoi(q.attributes[name]) // checked when it was set
	return n
}

func (q *queue) seconds(name string) time.Duration {
	return time.Duration(q.number(name)) * time.Second
}

// redrive is the policy that sends messages to a dead letter queue.
type redrive struct {
	TargetARN string      `json:"deadLetterTargetArn"`
	Most      json.Number `json:"maxReceiveCount"`
}

// redrive returns the dead letter queue and the number of receives after which
// a message goes there; nil if there is none.
func (s *Service) redrive(q *queue) (*queue, int) {
	var r redrive
	if json.Unmarshal([]byte(q.attributes["RedrivePolicy"]), &r) != nil {
		return nil, 0
	}
	most, _ := strconv.Atoi(r.Most.String())
	return s.byARN(r.TargetARN), most
}

func (s *Service) arn(name string) string {
	return "arn:aws:sqs:" + s.options.Region + ":" + s.options.Account + ":" + name
}

// byARN returns a queue or nil.
func (s *Service) byARN(arn string) *queue {
	for _, q := range s.queues {
		if q.arn == arn {
			return q
		}
	}
	return nil
}

// find returns the queue of a URL, of which the path counts, for a caller who
// may use it.
func (s *Service) find(r wire.Request, queueURL *string) (*queue, error) {
	if queueURL == nil || *queueURL == "" {
		return nil, errMissing("QueueUrl")
	}
	u, err := url.Parse(*queueURL)
	if err != nil {
		return nil, errNoQueue()
	}
	account, name, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if name == "" { // awscli takes a bare name for a URL
		account, name = s.options.Account, account
	}
	q := s.queues[name]
	if !s.options.Authorize(r.Caller, r.Action, s.arn(name)) {
		return nil, errDenied(r.Caller, strings.ToLower(r.Action), s.arn(name))
	}
	if q == nil || account != s.options.Account {
		return nil, errNoQueue()
	}
	return q, nil
}

type createQueueInput struct {
	QueueName  *string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

func (s *Service) createQueue(r wire.Request, in *createQueueInput) (any, error) {
	if in.QueueName == nil {
		return nil, errMissing("QueueName")
	}
	name := *in.QueueName
	switch {
	case strings.HasSuffix(name, ".fifo") || in.Attributes["FifoQueue"] != "":
		return nil, errParameter("The lab has no FIFO queues.")
	case !queueName.MatchString(name):
		return nil, errParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	case !s.options.Authorize(r.Caller, r.Action, s.arn(name)):
		return nil, errDenied(r.Caller, "createqueue", s.arn(name))
	}
	if err := s.checkAttributes(in.Attributes); err != nil {
		return nil, err
	}
	if q := s.queues[name]; q != nil {
		for _, key := range slices.Sorted(maps.Keys(in.Attributes)) {
			if q.attributes[key] != in.Attributes[key] {
				return nil, errQueueExists(key)
			}
		}
		return map[string]string{"QueueUrl": q.url}, nil
	}
	now := s.now()
	if t, ok := s.deleted[name]; ok && now.Before(t.Add(deletedFor)) {
		return nil, errQueueDeleted()
	}
	q := &queue{
		name: name, arn: s.arn(name), url: s.options.URL + "/" + s.options.Account + "/" + name,
		attributes: map[string]string{"SqsManagedSseEnabled": "true"}, tags: in.Tags, created: now, modified: now,
	}
	for key, n := range numbers {
		if key != "KmsDataKeyReusePeriodSeconds" {
			q.attributes[key] = strconv.Itoa(n.usual)
		}
	}
	if err := s.set(q, in.Attributes); err != nil {
		return nil, err
	}
	s.queues[name] = q
	return map[string]string{"QueueUrl": q.url}, nil
}

// set takes attributes that were checked. An empty value removes one.
func (s *Service) set(q *queue, attributes map[string]string) error {
	if text, given := attributes["Policy"]; given {
		if err := s.tell(q, text); err != nil {
			return err
		}
	}
	for key, value := range attributes {
		q.attributes[key] = value
		if value == "" {
			delete(q.attributes, key)
		}
	}
	if q.attributes["KmsMasterKeyId"] != "" {
		q.attributes["SqsManagedSseEnabled"] = "false"
	}
	return nil
}

// tell hands on the policy of a queue.
func (s *Service) tell(q *queue, text string) error {
	var document json.RawMessage
	if text != "" {
		document = json.RawMessage(text)
	}
	if err := s.options.Policy(q.arn, document); err != nil {
		return errValue(text, "Policy", err.Error())
	}
	return nil
}

func (s *Service) checkAttributes(attributes map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		value := attributes[key]
		if limits, ok := numbers[key]; ok {
			n, err := strconv.Atoi(value)
			if err != nil || n < limits.least || n > limits.most {
				return errAttributeValue(key)
			}
			continue
		}
		switch key {
		case "KmsMasterKeyId", "SqsManagedSseEnabled":
		case "Policy":
			if _, err := policy.Parse(value); value != "" && err != nil {
				return errAttributeValue(key)
			}
		case "RedrivePolicy":
			if err := s.checkRedrive(value); err != nil {
				return err
			}
		case "RedriveAllowPolicy":
			if value != "" && !json.Valid([]byte(value)) {
				return errAttributeValue(key)
			}
		default:
			return errAttributeName(key)
		}
	}
	return nil
}

func (s *Service) checkRedrive(value string) error {
	if value == "" {
		return nil
	}
	var r redrive
	if err := json.Unmarshal([]byte(value), &r); err != nil || r.TargetARN == "" {
		return errValue(value, "RedrivePolicy", "Redrive policy is not a valid JSON map.")
	}
	if n, err := strconv.Atoi(r.Most.String()); err != nil || n < 1 || n > 1000 {
		return errValue(value, "RedrivePolicy", "Invalid value for maxReceiveCount: "+r.Most.String()+", valid values are from 1 to 1000 both inclusive.")
	}
	if s.byARN(r.TargetARN) == nil {
		return errValue(value, "RedrivePolicy", "Dead letter target does not exist.")
	}
	return nil
}

type onlyQueue struct{ QueueUrl *string }

func (in onlyQueue) url() *string { return in.QueueUrl }

// pagedQueue is the input of a list that is short enough for one page.
type pagedQueue struct {
	QueueUrl   *string
	NextToken  *string
	MaxResults *int32
}

func (in pagedQueue) url() *string { return in.QueueUrl }

type setQueueAttributesInput struct {
	QueueUrl   *string
	Attributes map[string]string
}

func (in setQueueAttributesInput) url() *string { return in.QueueUrl }

func (s *Service) setQueueAttributes(q *queue, _ wire.Request, in setQueueAttributesInput) (any, error) {
	if err := s.checkAttributes(in.Attributes); err != nil {
		return nil, err
	}
	if err := s.set(q, in.Attributes); err != nil {
		return nil, err
	}
	q.modified = s.now()
	return nil, nil
}

type getQueueAttributesInput struct {
	QueueUrl       *string
	AttributeNames []string
}

func (in getQueueAttributesInput) url() *string { return in.QueueUrl }

func (s *Service) getQueueAttributes(q *queue, _ wire.Request, in getQueueAttributesInput) (any, error) {
	all := maps.Clone(q.attributes)
	visible, hidden, delayed := q.count(s.now())
	all["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(hidden)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(delayed)
	all["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	all["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.Unix(), 10)
	all["QueueArn"] = q.arn
	asked := map[string]string{}
	for _, name := range in.AttributeNames {
		_, numeric := numbers[name]
		value, set := all[name]
		switch {
		case name == "All":
			asked = all
		case set:
			asked[name] = value
		case !numeric && !slices.Contains([]string{"Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId"}, name):
			return nil, errAttributeName(name)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	return map[string]any{"Attributes": asked}, nil
}

type getQueueURLInput struct {
	QueueName              *string
	QueueOwnerAWSAccountId *string
}

func (s *Service) getQueueURL(r wire.Request, in *getQueueURLInput) (any, error) {
	if in.QueueName == nil {
		return nil, errMissing("QueueName")
	}
	q, err := s.find(r, in.QueueName)
	if err != nil || in.QueueOwnerAWSAccountId != nil && *in.QueueOwnerAWSAccountId != s.options.Account {
		return nil, errNoQueue()
	}
	return map[string]string{"QueueUrl": q.url}, nil
}

type listQueuesInput struct {
	QueueNamePrefix *string
	NextToken       *string
	MaxResults      *int32
}

type page struct {
	QueueUrls []string
	NextToken *string
}

// listQueues answers at most 1,000; only a caller who gives MaxResults is told
// that there are more. A token is the last name that was listed.
func (s *Service) listQueues(_ wire.Request, in *listQueuesInput) (any, error) {
	most := 1000
	if in.MaxResults != nil {
		most = int(*in.MaxResults)
		if most < 1 || most > 1000 {
			return nil, errValue(strconv.Itoa(most), "MaxResults", "Must be between 1 and 1000, if provided.")
		}
	}
	var out page
	last := ""
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		if in.QueueNamePrefix != nil && !strings.HasPrefix(name, *in.QueueNamePrefix) || in.NextToken != nil && name <= *in.NextToken {
			continue
		}
		if len(out.QueueUrls) == most {
			if in.MaxResults != nil {
				out.NextToken = &last
			}
			break
		}
		out.QueueUrls = append(out.QueueUrls, s.queues[name].url)
		last = name
	}
	return out, nil
}

// listDeadLetterSourceQueues answers one page.
func (s *Service) listDeadLetterSourceQueues(q *queue, _ wire.Request, _ pagedQueue) (any, error) {
	urls := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		if dead, _ := s.redrive(s.queues[name]); dead == q {
			urls = append(urls, s.queues[name].url)
		}
	}
	return map[string]any{"queueUrls": urls}, nil
}

func (s *Service) deleteQueue(q *queue, _ wire.Request, _ onlyQueue) (any, error) {
	if err := s.tell(q, ""); err != nil {
		return nil, err
	}
	delete(s.queues, q.name)
	s.deleted[q.name] = s.now()
	q.gone, q.messages = true, nil
	return nil, nil
}

func (s *Service) purgeQueue(q *queue, _ wire.Request, _ onlyQueue) (any, error) {
	now := s.now()
	if !q.purged.IsZero() && now.Before(q.purged.Add(purgeEvery)) {
		return nil, errPurging(q.name)
	}
	q.purged, q.messages = now, nil
	return nil, nil
}

type tagQueueInput struct {
	QueueUrl *string
	Tags     map[string]string
}

func (in tagQueueInput) url() *string { return in.QueueUrl }

func (s *Service) tagQueue(q *queue, _ wire.Request, in tagQueueInput) (any, error) {
	if q.tags == nil {
		q.tags = map[string]string{}
	}
	maps.Copy(q.tags, in.Tags)
	return nil, nil
}

type untagQueueInput struct {
	QueueUrl *string
	TagKeys  []string
}

func (in untagQueueInput) url() *string { return in.QueueUrl }

func (s *Service) untagQueue(q *queue, _ wire.Request, in untagQueueInput) (any, error) {
	for _, key := range in.TagKeys {
		delete(q.tags, key)
	}
	return nil, nil
}

func (s *Service) listQueueTags(q *queue, _ wire.Request, _ onlyQueue) (any, error) {
	return map[string]any{"Tags": q.tags}, nil
}
