package ssm

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Limits and defaults of SendCommand.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html
const (
	maxInstanceIDs      = 50
	maxTargets          = 5
	maxTargetValues     = 50
	maxComment          = 100
	minTimeout          = 30
	maxTimeout          = 2592000
	defaultTimeout      = 3600
	defaultConcurrency  = "50"
	defaultMaxErrors    = "0"
	instanceIDsTarget   = "instanceids" // the key is written in any case
	tagTarget           = "tag:"
	tagKeyTarget        = "tag-key"
	resourceGroupTarget = "resource-groups:"
)

func (s *Service) sendCommand(caller wire.Identity, in *awsssm.SendCommandInput) (*awsssm.SendCommandOutput, error) {
	if err := checkSend(in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, v, err := s.runnable(caller, in)
	if err != nil {
		return nil, err
	}
	named, err := s.named(caller, v.content, in)
	if err != nil {
		return nil, err
	}
	now := s.options.Now()
	c := &command{
		id: s.uuid(), request: in, caller: caller, document: d, content: v.content, values: v.resolve(in.Parameters),
		requested: now, counts: tally{},
	}
	c.expires = now.Add(time.Duration(timeoutSeconds(in))*time.Second + v.execution(c.values))
	s.commands = append(s.commands, c)
	s.byID[c.id] = c
	s.active[c] = true
	if len(in.Targets) == 0 {
		s.resolve(c, named)
	}
	out := c.describe() // Pending, and without a count where targets are still to be resolved
	s.after(0, func() {
		if !c.resolved {
			s.resolve(c, s.selected(in.Targets))
		}
		s.dispatch(c)
	})
	s.expireInTime(c)
	return &awsssm.SendCommandOutput{Command: &out}, nil
}

// checkSend checks a request against AWS's model.
func checkSend(in *awsssm.SendCommandInput) error {
	c := &constraints{}
	c.required("documentName", in.DocumentName != nil)
	c.pattern("documentName", in.DocumentName, documentARN)
	c.pattern("documentVersion", in.DocumentVersion, documentVersion)
	c.length("documentHash", in.DocumentHash, 0, 256)
	enum(c, "documentHashType", in.DocumentHashType, in.DocumentHashType.Values())
	c.size("instanceIds", in.InstanceIds, 0, maxInstanceIDs)
	c.each("instanceIds", in.InstanceIds, instanceID)
	if len(in.Targets) > maxTargets {
		c.add("'["+strings.Repeat("Target, ", len(in.Targets)-1)+"Target]'", "targets", "Member must have length less than or equal to 5")
	}
	for i, t := range in.Targets {
		c.length("targets."+strconv.Itoa(i+1)+".member.key", t.Key, 1, 163)
		c.size("targets."+strconv.Itoa(i+1)+".member.values", t.Values, 0, maxTargetValues)
	}
	c.between("timeoutSeconds", in.TimeoutSeconds, minTimeout, maxTimeout)
	c.length("comment", in.Comment, 0, maxComment)
	c.pattern("maxConcurrency", in.MaxConcurrency, maxConcurrency)
	c.length("maxConcurrency", in.MaxConcurrency, 1, 7)
	c.pattern("maxErrors", in.MaxErrors, maxErrors)
	c.length("maxErrors", in.MaxErrors, 1, 7)
	if err := c.err(); err != nil {
		return err
	}
	switch {
	case len(in.InstanceIds) == 0 && len(in.Targets) == 0:
		return errValidation("Either InstanceIds or Targets must be specified.")
	case len(in.InstanceIds) > 0 && len(in.Targets) > 0:
		return errValidation("InstanceIds and Targets can't both be specified.")
	}
	for _, t := range in.Targets {
		switch key := strings.ToLower(deref(t.Key)); {
		case key == instanceIDsTarget, key == tagKeyTarget, strings.HasPrefix(key, tagTarget) && len(key) > len(tagTarget):
		case strings.HasPrefix(key, resourceGroupTarget):
			return errValidation("The lab has no resource groups.")
		default:
			return errValidation("Target key " + deref(t.Key) + " is not valid.")
		}
	}
	return nil
}

// runnable returns the document version of a request, if its parameters fit
// and the caller may run it.
func (s *Service) runnable(caller wire.Identity, in *awsssm.SendCommandInput) (*document, *documentRevision, error) {
	d, err := s.document(*in.DocumentName)
	if err != nil {
		return nil, nil, err
	}
	if err := s.allowed(caller, s.documentARN(d), d.tags); err != nil {
		return nil, nil, err
	}
	v, err := d.revision(in.DocumentVersion, nil)
	if err != nil {
		return nil, nil, err
	}
	if in.DocumentHash != nil {
		if in.DocumentHashType == types.DocumentHashTypeSha1 {
			return nil, nil, errValidation("Sha1 hashes are deprecated; the lab has Sha256 only.")
		}
		if !strings.EqualFold(*in.DocumentHash, v.hash) {
			return nil, nil, errDocument("The document hash does not match the content of document " + d.name + ".")
		}
	}
	if len(v.parameters) == 0 && len(in.Parameters) > 0 {
		return nil, nil, errNoParameters(d.name)
	}
	if why := v.refuse(in.Parameters); why != "" {
		s.options.Logger.Debug("parameters refused", "document", d.name, "reason", why)
		return nil, nil, errParameters()
	}
	if names := storeNames(in.Parameters); len(names) > 0 {
		return nil, nil, errParameterStore(names)
	}
	size := len(v.text)
	for _, values := range in.Parameters {
		for _, value := range values {
			size += len(value)
		}
	}
	if size > maxDocumentSize {
		return nil, nil, errDocumentSize()
	}
	return d, v, nil
}

// named returns the nodes that a request names by id. An id that does not fit
// fails the whole request; nodes found by their tags only fail themselves.
func (s *Service) named(caller wire.Identity, d *content, in *awsssm.SendCommandInput) ([]Node, error) {
	ids := slices.Clone(in.InstanceIds)
	for _, t := range in.Targets {
		if strings.EqualFold(deref(t.Key), instanceIDsTarget) {
			ids = append(ids, t.Values...)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	nodes := map[string]Node{}
	for _, n := range s.options.Nodes() {
		nodes[n.ID()] = n
	}
	var list []Node
	for k, id := range ids {
		n := nodes[id]
		switch {
		case n == nil:
			return nil, errInstancesNotValid()
		case slices.Contains(ids[:k], id):
			return nil, errDuplicateInstance()
		}
		list = append(list, n)
		info := n.Info()
		if info.State == Terminated || info.State == Unmanaged {
			return nil, errInstancesNotValid()
		}
		if err := s.allowed(caller, s.nodeARN(n, info), info.Tags); err != nil {
			return nil, err
		}
		if !slices.Contains(d.platforms(), info.platform()) {
			return nil, errPlatform(id, string(info.platform()))
		}
	}
	return list, nil
}

// selected returns the nodes that all targets select.
func (s *Service) selected(targets []types.Target) []Node {
	var list []Node
	for _, n := range s.options.Nodes() {
		tags := n.Info().Tags
		if !slices.ContainsFunc(targets, func(t types.Target) bool { return !selects(t, n.ID(), tags) }) {
			list = append(list, n)
		}
	}
	return list
}

func selects(t types.Target, id string, tags map[string]string) bool {
	key := deref(t.Key)
	switch lower := strings.ToLower(key); {
	case lower == instanceIDsTarget:
		return slices.Contains(t.Values, id)
	case lower == tagKeyTarget:
		return slices.ContainsFunc(t.Values, func(k string) bool { _, ok := tags[k]; return ok })
	default:
		value, ok := tags[key[len(tagTarget):]]
		return ok && slices.Contains(t.Values, value)
	}
}

// resolve gives a command its invocations, in an order that AWS does not
// promise.
func (s *Service) resolve(c *command, nodes []Node) {
	c.resolved = true
	waiting := len(nodes)
	for other := range s.active {
		waiting += other.counts[pending]
	}
	for _, k := range s.random.Perm(len(nodes)) {
		c.invocations = append(c.invocations, &invocation{command: c, node: nodes[k], id: nodes[k].ID(), detail: pending, sent: c.requested})
		c.counts[pending]++
	}
	c.concurrency = max(1, share(maxConcurrencyOf(c.request), len(nodes), 99))
	c.maxErrors = share(maxErrorsOf(c.request), len(nodes), 0)
	if limit := s.options.PendingLimit; limit > 0 && waiting > limit {
		c.tooMany = true
		for _, i := range c.invocations {
			i.set(terminated)
		}
	}
}

// share reads a count or a percentage of n; up is added before the hundredth
// part is cut off, 99 to round up. That AWS rounds concurrency up and errors
// down is an assumption.
func share(value string, n, up int) int {
	percent, isPercent := strings.CutSuffix(value, "%")
	k, _ := strconv.Atoi(percent) // checked against the pattern
	if isPercent {
		return (k*n + up) / 100
	}
	return k
}

func maxConcurrencyOf(in *awsssm.SendCommandInput) string {
	return cmp.Or(deref(in.MaxConcurrency), defaultConcurrency)
}

func maxErrorsOf(in *awsssm.SendCommandInput) string {
	return cmp.Or(deref(in.MaxErrors), defaultMaxErrors)
}

func timeoutSeconds(in *awsssm.SendCommandInput) int32 {
	if in.TimeoutSeconds == nil {
		return defaultTimeout
	}
	return *in.TimeoutSeconds
}

func (s *Service) allowed(caller wire.Identity, arn string, tags map[string]string) error {
	if s.options.Authorize == nil {
		return nil
	}
	return s.options.Authorize(caller, arn, tags)
}

func (s *Service) nodeARN(n Node, i Info) string {
	scope := s.options.Region + ":" + s.options.Account
	if resourceType(n, i) == types.ResourceTypeManagedInstance {
		return "arn:aws:ssm:" + scope + ":managed-instance/" + n.ID()
	}
	return "arn:aws:ec2:" + scope + ":instance/" + n.ID()
}

func (s *Service) cancelCommand(_ wire.Identity, in *awsssm.CancelCommandInput) (*awsssm.CancelCommandOutput, error) {
	k := &constraints{}
	k.required("commandId", in.CommandId != nil)
	k.length("commandId", in.CommandId, 36, 36)
	k.size("instanceIds", in.InstanceIds, 0, maxInstanceIDs)
	k.each("instanceIds", in.InstanceIds, instanceID)
	if err := k.err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[*in.CommandId]
	if c == nil {
		return nil, errCommandID()
	}
	if !c.resolved {
		s.resolve(c, s.selected(c.request.Targets))
	}
	for k, id := range in.InstanceIds {
		switch {
		case slices.Contains(in.InstanceIds[:k], id):
			return nil, errDuplicateInstance()
		case !slices.ContainsFunc(c.invocations, func(i *invocation) bool { return i.id == id }):
			return nil, errInstancesNotValid()
		}
	}
	if c.done() {
		return &awsssm.CancelCommandOutput{}, nil
	}
	c.cancelledByUser = c.cancelledByUser || len(in.InstanceIds) == 0
	for _, i := range c.invocations {
		if len(in.InstanceIds) == 0 || slices.Contains(in.InstanceIds, i.id) {
			s.cancelInvocation(i)
		}
	}
	s.dispatch(c)
	return &awsssm.CancelCommandOutput{}, nil
}
