package ssm

import (
	"time"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// command is one SendCommand and what became of it.
type command struct {
	id          string
	request     *awsssm.SendCommandInput
	caller      wire.Identity
	document    *document
	content     *content
	values      map[string]any // of all parameters
	requested   time.Time
	expires     time.Time
	concurrency int
	maxErrors   int

	resolved        bool
	cancelledByUser bool
	tooMany         bool // beyond Options.PendingLimit
	invocations     []*invocation
	sent            int // invocations that were looked at for sending, from the first on
	holding         int // invocations that hold one of the MaxConcurrency places
	counts          tally
	reads           int
	cancelExpiry    func()
}

// invocation is a command on one node.
type invocation struct {
	command *command
	node    Node
	id      string
	detail  detail
	holds   bool // one of the command's places
	sent    time.Time
	plugins []plugin // what the agent reported
	run     *run     // while it runs
}

// plugin is what the agent reported of one step.
type plugin struct {
	name           string
	detail         detail
	code           int
	start, end     time.Time // zero: not yet
	stdout, stderr string
}

// done reports whether all invocations are over.
func (c *command) done() bool {
	return c.resolved && c.counts.completed() == len(c.invocations)
}

func (c *command) detail() detail {
	switch {
	case c.tooMany:
		return rateExceeded
	case !c.resolved:
		return pending
	case c.done():
		return c.counts.outcome(c.maxErrors, c.cancelledByUser)
	default:
		return c.counts.progress(c.cancelledByUser)
	}
}

// set changes an invocation's detail. What is over stays as it is.
func (i *invocation) set(d detail) {
	if i.detail.done() {
		return
	}
	i.command.counts[i.detail]--
	i.command.counts[d]++
	i.detail = d
	if d.done() && i.holds {
		i.holds = false
		i.command.holding--
	}
}

func (s *Service) visible(c *command) bool {
	if s.options.Now().Before(c.requested.Add(s.options.Settle)) {
		return false
	}
	c.reads++
	return c.reads > s.options.SettleReads
}

func (c *command) describe() types.Command {
	d := c.detail()
	name, version := c.document.name, "$DEFAULT"
	if v := deref(c.request.DocumentVersion); v != "" {
		version = v
	}
	out := types.Command{
		CommandId:              &c.id,
		DocumentName:           &name,
		DocumentVersion:        &version,
		Comment:                new(deref(c.request.Comment)),
		ExpiresAfter:           &c.expires,
		Parameters:             c.request.Parameters,
		InstanceIds:            c.request.InstanceIds,
		Targets:                c.request.Targets,
		RequestedDateTime:      &c.requested,
		Status:                 d.command(),
		StatusDetails:          new(string(d)),
		OutputS3BucketName:     new(deref(c.request.OutputS3BucketName)),
		OutputS3KeyPrefix:      new(deref(c.request.OutputS3KeyPrefix)),
		MaxConcurrency:         new(maxConcurrencyOf(c.request)),
		MaxErrors:              new(maxErrorsOf(c.request)),
		TargetCount:            int32(len(c.invocations)),
		CompletedCount:         int32(c.counts.completed()),
		ErrorCount:             int32(c.counts.errors()),
		DeliveryTimedOutCount:  int32(c.counts[deliveryTimedOut]),
		ServiceRole:            new(deref(c.request.ServiceRoleArn)),
		NotificationConfig:     notificationConfig(),
		CloudWatchOutputConfig: cloudWatchConfig(),
		TimeoutSeconds:         new(timeoutSeconds(c.request)),
	}
	// AWS writes empty lists and maps, not absent ones.
	if out.Parameters == nil {
		out.Parameters = map[string][]string{}
	}
	if out.InstanceIds == nil {
		out.InstanceIds = []string{}
	}
	if out.Targets == nil {
		out.Targets = []types.Target{}
	}
	return out
}

func notificationConfig() *types.NotificationConfig {
	return &types.NotificationConfig{NotificationArn: new(""), NotificationEvents: []types.NotificationEvent{}}
}

func cloudWatchConfig() *types.CloudWatchOutputConfig {
	return &types.CloudWatchOutputConfig{CloudWatchLogGroupName: new("")}
}
