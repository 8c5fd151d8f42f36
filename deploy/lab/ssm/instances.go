package ssm

import (
	"fmt"
	"slices"
	"strings"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Page sizes of DescribeInstanceInformation.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeInstanceInformation.html
const (
	minInstancePage     = 5
	maxInstancePage     = 50
	defaultInstancePage = 10
)

// instanceFilter is one filter in the form of Filters.
type instanceFilter struct {
	key    string
	values []string
}

func (s *Service) describeInstanceInformation(_ wire.Identity, in *awsssm.DescribeInstanceInformationInput) (*awsssm.DescribeInstanceInformationOutput, error) {
	filters, err := instanceFilters(in)
	if err != nil {
		return nil, err
	}
	nodes, infos := s.managed(filters)
	for _, f := range filters {
		if f.key != "InstanceIds" {
			continue
		}
		unknown := slices.DeleteFunc(slices.Clone(f.values), func(id string) bool { _, ok := infos[id]; return ok })
		if len(unknown) > 0 {
			return nil, errUnknownInstances(unknown)
		}
	}
	found := slices.DeleteFunc(nodes, func(n Node) bool {
		info := infos[n.ID()]
		return info.State == Stopped || slices.ContainsFunc(filters, func(f instanceFilter) bool { return !f.lets(n, info) })
	})
	if in.MaxResults == nil {
		in.MaxResults = new(int32(defaultInstancePage))
	}
	page, next, err := paginate(found, fmt.Sprint("instances", filters), in.NextToken, in.MaxResults, maxInstancePage, Node.ID)
	if err != nil {
		return nil, err
	}
	out := &awsssm.DescribeInstanceInformationOutput{InstanceInformationList: []types.InstanceInformation{}, NextToken: next}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range page {
		out.InstanceInformationList = append(out.InstanceInformationList, s.describeInstance(n, infos[n.ID()]))
	}
	return out, nil
}

// managed returns what SSM knows of, in the order of the ids, with those that
// do not run at the moment: naming one of them is no error. If ids are asked
// for, the other nodes are not looked at.
func (s *Service) managed(filters []instanceFilter) ([]Node, map[string]Info) {
	var nodes []Node
	infos := map[string]Info{}
	for _, n := range s.options.Nodes() {
		if slices.ContainsFunc(filters, func(f instanceFilter) bool { return f.key == "InstanceIds" && !slices.Contains(f.values, n.ID()) }) {
			continue
		}
		if info := n.Info(); info.State != Unmanaged && info.State != Terminated {
			nodes = append(nodes, n)
			infos[n.ID()] = info
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.ID(), b.ID()) })
	return nodes, infos
}

// instanceFilters checks a request and brings both kinds of filter into one
// form.
func instanceFilters(in *awsssm.DescribeInstanceInformationInput) ([]instanceFilter, error) {
	c := &constraints{}
	c.between("maxResults", in.MaxResults, minInstancePage, maxInstancePage)
	var list []instanceFilter
	for _, f := range in.Filters {
		list = append(list, instanceFilter{deref(f.Key), f.Values})
	}
	for _, f := range in.InstanceInformationFilterList {
		enum(c, "instanceInformationFilterList.member.key", f.Key, f.Key.Values())
		list = append(list, instanceFilter{string(f.Key), f.ValueSet})
	}
	for k, f := range list {
		member := fmt.Sprintf("filters.%d.member", k+1)
		c.required(member+".key", f.key != "")
		c.required(member+".values", f.values != nil)
		c.size(member+".values", f.values, 1, 100)
		if slices.Contains(f.values, "") {
			c.add("'["+strings.Join(f.values, ", ")+"]'", member+".values", "Member must satisfy constraint: [Member must have length greater than or equal to 1]")
		}
	}
	if len(in.Filters) > 0 && len(in.InstanceInformationFilterList) > 0 {
		return nil, errValidation("Filters and InstanceInformationFilterList can't both be specified.")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	byTag := 0
	for _, f := range list {
		if f.key == tagKeyTarget || strings.HasPrefix(f.key, tagTarget) {
			byTag++
			continue
		}
		check, ok := instanceFilterKeys[f.key]
		switch bad := slices.IndexFunc(f.values, func(v string) bool { return ok && !check(v) }); {
		case !ok:
			return nil, errFilterKey()
		case bad >= 0:
			return nil, errFilterValue("Filter value " + f.values[bad] + " is not valid for key " + f.key + ".")
		}
	}
	if byTag > 0 && byTag < len(list) {
		return nil, errFilterKey()
	}
	return list, nil
}

// instanceFilterKeys are the keys beside tags, with what their values must be.
var instanceFilterKeys = map[string]func(string) bool{
	"InstanceIds":       instanceID.MatchString,
	"PingStatus":        oneOf(types.PingStatus("").Values()),
	"PlatformType":      oneOf(types.PlatformType("").Values()),
	"PlatformTypes":     oneOf(types.PlatformType("").Values()),
	"ResourceType":      oneOf(types.ResourceType("").Values()),
	"AgentVersion":      anyValue,
	"ActivationIds":     anyValue,
	"IamRole":           anyValue,
	"SourceIds":         anyValue,
	"SourceTypes":       anyValue,
	"AssociationStatus": anyValue,
}

func anyValue(string) bool { return true }

func oneOf[E ~string](known []E) func(string) bool {
	return func(v string) bool { return slices.Contains(known, E(v)) }
}

// lets reports whether a node passes.
func (f instanceFilter) lets(n Node, i Info) bool {
	switch f.key {
	case "InstanceIds":
		return slices.Contains(f.values, n.ID())
	case "PingStatus":
		return slices.Contains(f.values, string(ping(i)))
	case "PlatformType", "PlatformTypes":
		return slices.Contains(f.values, string(i.platform()))
	case "ResourceType":
		return slices.Contains(f.values, string(resourceType(n, i)))
	case "AgentVersion":
		return slices.Contains(f.values, i.AgentVersion)
	case tagKeyTarget:
		return slices.ContainsFunc(f.values, func(k string) bool { _, ok := i.Tags[k]; return ok })
	default:
		key, isTag := strings.CutPrefix(f.key, tagTarget)
		value, ok := i.Tags[key]
		return isTag && ok && slices.Contains(f.values, value)
	}
}

func ping(i Info) types.PingStatus {
	if i.State == Online {
		return types.PingStatusOnline
	}
	return types.PingStatusConnectionLost
}

func (s *Service) describeInstance(n Node, i Info) types.InstanceInformation {
	if i.State == Online {
		s.seen[n.ID()] = s.options.Now()
	}
	last, ok := s.seen[n.ID()]
	if !ok {
		last = s.started
	}
	out := types.InstanceInformation{
		InstanceId: new(n.ID()), PingStatus: ping(i), LastPingDateTime: &last, AgentVersion: &i.AgentVersion,
		IsLatestVersion: new(!older(i.AgentVersion, envVarAgent)), PlatformType: i.platform(), PlatformName: &i.PlatformName,
		PlatformVersion: &i.PlatformVersion, ResourceType: resourceType(n, i), IPAddress: optional(i.IPAddress), ComputerName: optional(i.ComputerName),
		SourceId: new(n.ID()), SourceType: types.SourceTypeAwsEc2Instance,
	}
	if out.ResourceType == types.ResourceTypeManagedInstance {
		out.SourceType = types.SourceTypeAwsSsmManagedinstance
		out.Name = &i.Name
		out.ActivationId = new(activation)
		out.IamRole = new("service-role/AmazonEC2RunCommandRoleForManagedInstances")
		out.RegistrationDate = &s.started
	}
	return out
}

// activation is the id of the one activation by which all hybrid nodes of the
// lab came.
const activation = "0d1e2f3a-4b5c-4d6e-8f70-8192a3b4c5d6"
