package cloudformation

import "strings"

// ec2Kinds are kept: functions of the lab have the machine's own network.
var ec2Kinds = map[string]kind{
	"AWS::EC2::SecurityGroup": kept("AWS::EC2::SecurityGroup",
		func(t *task, _ *securityGroupProperties) string { return t.ec2ID("sg") },
		map[string]func(*task, string) string{"GroupId": func(_ *task, id string) string { return id }}),
	"AWS::EC2::VPCEndpoint": kept("AWS::EC2::VPCEndpoint",
		func(t *task, _ *endpointProperties) string { return t.ec2ID("vpce") },
		map[string]func(*task, string) string{"Id": func(_ *task, id string) string { return id }}),
}

// ec2ID makes up an id such as sg-0123456789abcdef0.
func (t *task) ec2ID(prefix string) string {
	return prefix + "-0" + strings.ReplaceAll(t.uuid(prefix), "-", "")[:16]
}

type securityGroupRule struct {
	CidrIp, CidrIpv6, Description string
	DestinationPrefixListId       string
	DestinationSecurityGroupId    string
	FromPort, ToPort              int64
	IpProtocol                    string `cfn:"required"`
	SourcePrefixListId            string
	SourceSecurityGroupId         string
}

type securityGroupProperties struct {
	GroupDescription     string `cfn:"required,fixed"`
	GroupName            string `cfn:"name"`
	SecurityGroupEgress  []securityGroupRule
	SecurityGroupIngress []securityGroupRule
	Tags                 []Tag
	VpcId                string `cfn:"fixed"`
}

type endpointProperties struct {
	IpAddressType     string
	PolicyDocument    document
	PrivateDnsEnabled bool
	RouteTableIds     []string
	SecurityGroupIds  []string
	ServiceName       string `cfn:"required,fixed"`
	SubnetIds         []string
	Tags              []Tag
	VpcEndpointType   string `cfn:"fixed"`
	VpcId             string `cfn:"required,fixed"`
}
