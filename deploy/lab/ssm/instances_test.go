package ssm_test

import (
	"testing"
	"time"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keytrail/keytrail/deploy/lab/ssm"
)

func where(key string, values ...string) []types.InstanceInformationStringFilter {
	return []types.InstanceInformationStringFilter{{Key: &key, Values: values}}
}

func TestDescribeInstanceInformation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		nodes = append(nodes, &node{id: "mi-00000000000000002", info: ssm.Info{
			State: ssm.Offline, Name: "cellar", AgentVersion: "3.2.0.0", PlatformName: "Debian", PlatformVersion: "12", IPAddress: "192.0.2.2", ComputerName: "cellar.example",
		}})
		l := start(t, nodes, ssm.Options{})
		time.Sleep(time.Hour)
		out, err := l.DescribeInstanceInformation(t.Context(), &awsssm.DescribeInstanceInformationInput{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		want := []types.InstanceInformation{
			{
				InstanceId: &nodes[0].id, PingStatus: "Online", LastPingDateTime: new(began.Add(time.Hour)), AgentVersion: new("3.3.2746.0"), IsLatestVersion: new(true),
				PlatformType: "Linux", PlatformName: new("Amazon Linux"), PlatformVersion: new("2023"), ResourceType: "EC2Instance",
				IPAddress: new("192.0.2.1"), ComputerName: new("host.example"), SourceId: &nodes[0].id, SourceType: "AWS::EC2::Instance",
			},
			{
				InstanceId: &nodes[1].id, PingStatus: "ConnectionLost", LastPingDateTime: &began, AgentVersion: new("3.2.0.0"), IsLatestVersion: new(false),
				PlatformType: "Linux", PlatformName: new("Debian"), PlatformVersion: new("12"), ResourceType: "ManagedInstance",
				IPAddress: new("192.0.2.2"), ComputerName: new("cellar.example"), SourceId: &nodes[1].id, SourceType: "AWS::SSM::ManagedInstance",
				Name: new("cellar"), ActivationId: new("0d1e2f3a-4b5c-4d6e-8f70-8192a3b4c5d6"), IamRole: new("service-role/AmazonEC2RunCommandRoleForManagedInstances"),
				RegistrationDate: &began,
			},
		}
		if diff := cmp.Diff(want, out.InstanceInformationList, cmpopts.IgnoreUnexported(types.InstanceInformation{})); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDescribeInstanceInformationFilters(t *testing.T) {
	t.Parallel()
	nodes := fleet(5)
	nodes[1].set(ssm.Offline)
	nodes[2].set(ssm.Stopped)
	nodes[3].set(ssm.Terminated)
	nodes[4].change(func(i *ssm.Info) { i.PlatformType, i.Tags = "Windows", map[string]string{"Role": ""} })
	nodes = append(nodes, &node{id: "mi-00000000000000006", info: ssm.Info{State: ssm.Online}}, &node{id: id(7), info: ssm.Info{State: ssm.Unmanaged}})
	l := start(t, nodes, ssm.Options{})
	tests := []struct {
		name    string
		filters []types.InstanceInformationStringFilter
		want    []int
	}{
		{"stopped, terminated and unmanaged nodes are left out", nil, []int{0, 1, 4, 5}},
		{"by id; a stopped node is known, but not told of", where("InstanceIds", id(1), id(3)), []int{0}},
		{"by ping", where("PingStatus", "ConnectionLost"), []int{1}},
		{"by platform", where("PlatformTypes", "Windows"), []int{4}},
		{"by platform, in the other spelling", where("PlatformType", "Windows"), []int{4}},
		{"by kind", where("ResourceType", "ManagedInstance"), []int{5}},
		{"by tag", where("tag:Env", "Dev", "Test"), []int{0, 1}},
		{"by an empty tag", where("tag:Role", ""), nil},
		{"by tag key", where("tag-key", "Role", "Env"), []int{0, 1, 4}},
		{"two tags", append(where("tag-key", "Env"), where("tag:Env", "Test")...), nil},
		{"two filters", append(where("PingStatus", "Online"), where("ResourceType", "EC2Instance")...), []int{0, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := l.DescribeInstanceInformation(t.Context(), &awsssm.DescribeInstanceInformationInput{Filters: tt.filters})
			if tt.name == "by an empty tag" {
				if got := failure(t, err); got != "ValidationException: 1 validation error detected: Value '[]' at 'filters.1.member.values' failed to satisfy constraint: Member must satisfy constraint: [Member must have length greater than or equal to 1]" {
					t.Error(got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, want := map[string]bool{}, map[string]bool{}
			for _, i := range out.InstanceInformationList {
				got[*i.InstanceId] = true
			}
			for _, k := range tt.want {
				want[nodes[k].id] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDescribeInstanceInformationRefuses(t *testing.T) {
	t.Parallel()
	l := start(t, fleet(1), ssm.Options{})
	tests := []struct {
		name string
		in   awsssm.DescribeInstanceInformationInput
		want string
	}{
		{"four results", awsssm.DescribeInstanceInformationInput{MaxResults: new(int32(4))},
			"ValidationException: 1 validation error detected: Value '4' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 5"},
		{"51 results", awsssm.DescribeInstanceInformationInput{MaxResults: new(int32(51))},
			"ValidationException: 1 validation error detected: Value '51' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 50"},
		{"an unknown id", awsssm.DescribeInstanceInformationInput{Filters: where("InstanceIds", id(1), id(9))},
			"InvalidInstanceId: Managed nodes do not exist: [" + id(9) + "]"},
		{"an id that is none", awsssm.DescribeInstanceInformationInput{Filters: where("InstanceIds", "web-1")},
			"InvalidInstanceInformationFilterValue: Filter value web-1 is not valid for key InstanceIds."},
		{"a key that is none", awsssm.DescribeInstanceInformationInput{Filters: where("Name", "web-1")}, "InvalidFilterKey: "},
		{"a tag together with another filter", awsssm.DescribeInstanceInformationInput{Filters: append(where("tag:Env", "Dev"), where("PingStatus", "Online")...)}, "InvalidFilterKey: "},
		{"both kinds of filter", awsssm.DescribeInstanceInformationInput{
			Filters:                       where("PingStatus", "Online"),
			InstanceInformationFilterList: []types.InstanceInformationFilter{{Key: "PingStatus", ValueSet: []string{"Online"}}},
		}, "ValidationException: Filters and InstanceInformationFilterList can't both be specified."},
		{"a token that is none", awsssm.DescribeInstanceInformationInput{NextToken: new("next")}, "InvalidNextToken: The specified token isn't valid."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := l.DescribeInstanceInformation(t.Context(), &tt.in)
			if diff := cmp.Diff(tt.want, failure(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDescribeInstanceInformationPages(t *testing.T) {
	t.Parallel()
	nodes := fleet(23)
	l := start(t, nodes, ssm.Options{})
	var sizes []int
	seen := map[string]bool{}
	p := awsssm.NewDescribeInstanceInformationPaginator(l.Client, &awsssm.DescribeInstanceInformationInput{})
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.InstanceInformationList))
		for _, i := range page.InstanceInformationList {
			seen[*i.InstanceId] = true
		}
		// A node that goes between two pages shifts nothing that is still to come.
		nodes[0].set(ssm.Stopped)
	}
	if diff := cmp.Diff([]int{10, 10, 3}, sizes); diff != "" || len(seen) != 23 {
		t.Error(diff, len(seen))
	}
}
