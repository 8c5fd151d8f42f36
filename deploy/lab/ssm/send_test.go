package ssm_test

import (
	"strings"
	"testing"

	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/ssm"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

func TestSendCommandRefuses(t *testing.T) {
	t.Parallel()
	nodes := fleet(3)
	nodes[1].change(func(i *ssm.Info) { i.PlatformType = types.PlatformTypeWindows })
	nodes[2].set(ssm.Terminated)
	l := start(t, nodes, ssm.Options{})
	many := make([]string, 51)
	for k := range many {
		many[k] = id(k + 1)
	}
	ok := shell(nodes[0])
	tests := []struct {
		name string
		edit func(*awsssm.SendCommandInput)
		want string
	}{
		{"a node that nobody knows", func(in *awsssm.SendCommandInput) { in.InstanceIds = []string{id(99)} },
			"InvalidInstanceId: Instances not in a valid state for account"},
		{"a node that nobody knows, as a target", func(in *awsssm.SendCommandInput) {
			in.InstanceIds, in.Targets = nil, []types.Target{{Key: new("instanceids"), Values: []string{id(99)}}}
		}, "InvalidInstanceId: Instances not in a valid state for account"},
		{"a terminated node", func(in *awsssm.SendCommandInput) { in.InstanceIds = []string{nodes[2].id} },
			"InvalidInstanceId: Instances not in a valid state for account"},
		{"a Windows node for a Linux document", func(in *awsssm.SendCommandInput) { in.InstanceIds = []string{nodes[1].id} },
			"UnsupportedPlatformType: Cannot perform operation for instance id " + nodes[1].id + " of platform type Windows"},
		{"the same node twice", func(in *awsssm.SendCommandInput) { in.InstanceIds = []string{nodes[0].id, nodes[0].id} },
			"DuplicateInstanceId: "},
		{"51 nodes", func(in *awsssm.SendCommandInput) { in.InstanceIds = many },
			"ValidationException: 1 validation error detected: Value '[" + strings.Join(many, ", ") + "]' at 'instanceIds' failed to satisfy constraint: Member must have length less than or equal to 50"},
		{"an id that is none", func(in *awsssm.SendCommandInput) { in.InstanceIds = []string{"i-1"} },
			`ValidationException: 1 validation error detected: Value '[i-1]' at 'instanceIds' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy regular expression pattern: (^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)]`},
		{"no target at all", func(in *awsssm.SendCommandInput) { in.InstanceIds = nil },
			"ValidationException: Either InstanceIds or Targets must be specified."},
		{"six targets", func(in *awsssm.SendCommandInput) {
			in.InstanceIds, in.Targets = nil, make([]types.Target, 6)
		}, "ValidationException: 1 validation error detected: Value '[Target, Target, Target, Target, Target, Target]' at 'targets' failed to satisfy constraint: Member must have length less than or equal to 5"},
		{"a time-out below 30 seconds", func(in *awsssm.SendCommandInput) { in.TimeoutSeconds = new(int32(29)) },
			"ValidationException: 1 validation error detected: Value '29' at 'timeoutSeconds' failed to satisfy constraint: Member must have value greater than or equal to 30"},
		{"a time-out above 30 days", func(in *awsssm.SendCommandInput) { in.TimeoutSeconds = new(int32(2592001)) },
			"ValidationException: 1 validation error detected: Value '2592001' at 'timeoutSeconds' failed to satisfy constraint: Member must have value less than or equal to 2592000"},
		{"a comment of 101 characters", func(in *awsssm.SendCommandInput) { in.Comment = new(strings.Repeat("ä", 101)) },
			"ValidationException: 1 validation error detected: Value '" + strings.Repeat("ä", 101) + "' at 'comment' failed to satisfy constraint: Member must have length less than or equal to 100"},
		{"two mistakes at once", func(in *awsssm.SendCommandInput) { in.MaxConcurrency, in.MaxErrors = new("0"), new("101%") },
			"ValidationException: 2 validation errors detected: Value '0' at 'maxConcurrency' failed to satisfy constraint: Member must satisfy regular expression pattern: ^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$; " +
				"Value '101%' at 'maxErrors' failed to satisfy constraint: Member must satisfy regular expression pattern: ^([1-9][0-9]*|[0]|[1-9][0-9]%|[0-9]%|100%)$"},
		{"a document that does not exist", func(in *awsssm.SendCommandInput) { in.DocumentName = new("Missing") },
			"InvalidDocument: Document with name Missing does not exist."},
		{"a document of another account", func(in *awsssm.SendCommandInput) {
			in.DocumentName = new("arn:aws:ssm:us-east-1:999999999999:document/Missing")
		}, "InvalidDocument: Document with name arn:aws:ssm:us-east-1:999999999999:document/Missing does not exist."},
		{"a version that does not exist", func(in *awsssm.SendCommandInput) { in.DocumentVersion = new("7") },
			"InvalidDocumentVersion: Version 7 of document AWS-RunShellScript does not exist."},
		{"another hash than the document's", func(in *awsssm.SendCommandInput) {
			in.DocumentHash, in.DocumentHashType = new(strings.Repeat("0", 64)), types.DocumentHashTypeSha256
		}, "InvalidDocument: The document hash does not match the content of document AWS-RunShellScript."},
		{"a parameter that the document does not have", func(in *awsssm.SendCommandInput) { in.Parameters["comands"] = []string{"true"} },
			"InvalidParameters: Parameters provided in document are invalid or not supported."},
		{"a missing parameter", func(in *awsssm.SendCommandInput) { delete(in.Parameters, "commands") },
			"InvalidParameters: Parameters provided in document are invalid or not supported."},
		{"a list where a string is wanted", func(in *awsssm.SendCommandInput) { in.Parameters["executionTimeout"] = []string{"60", "61"} },
			"InvalidParameters: Parameters provided in document are invalid or not supported."},
		{"a value that does not match the whole allowed pattern", func(in *awsssm.SendCommandInput) { in.Parameters["executionTimeout"] = []string{"60s"} },
			"InvalidParameters: Parameters provided in document are invalid or not supported."},
		{"a Parameter Store parameter that does not exist", func(in *awsssm.SendCommandInput) { in.Parameters["commands"] = []string{"echo {{ssm:/keys/alice}}"} },
			"InvalidParameters: Parameter Store parameters not found: [/keys/alice]"},
		{"document and values of more than 64 KB", func(in *awsssm.SendCommandInput) { in.Parameters["commands"] = []string{strings.Repeat("#", 64<<10)} },
			"MaxDocumentSizeExceeded: The size limit of a document is 64 KB."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := *ok
			in.Parameters = map[string][]string{"commands": {"true"}}
			tt.edit(&in)
			_, err := l.SendCommand(t.Context(), &in)
			if diff := cmp.Diff(tt.want, failure(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSendCommandAnswersBeforeAnythingHappened(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(2)
		l := start(t, nodes, ssm.Options{})
		c := l.send(shell(nodes...))
		if *c.StatusDetails != "Pending" || c.TargetCount != 2 || c.CompletedCount != 0 {
			t.Errorf("by ids: %s with %d targets, %d complete, want Pending with 2, 0", *c.StatusDetails, c.TargetCount, c.CompletedCount)
		}
		if *c.DocumentVersion != "$DEFAULT" || *c.MaxConcurrency != "50" || *c.MaxErrors != "0" || *c.TimeoutSeconds != 3600 {
			t.Errorf("defaults are %s, %s, %s, %d", *c.DocumentVersion, *c.MaxConcurrency, *c.MaxErrors, *c.TimeoutSeconds)
		}
		if d := c.ExpiresAfter.Sub(*c.RequestedDateTime); d.Seconds() != 3600+3600 {
			t.Errorf("expires after %v, want delivery and execution time-out together", d)
		}
		if c = l.send(tagged("Env", "Dev")); *c.StatusDetails != "Pending" || c.TargetCount != 0 {
			t.Errorf("by tag: %s with %d targets, want Pending with 0: targets are resolved later", *c.StatusDetails, c.TargetCount)
		}
	})
}

func TestTargets(t *testing.T) {
	tests := []struct {
		name    string
		targets []types.Target
		want    []int
	}{
		{"one of several values", []types.Target{{Key: new("tag:Env"), Values: []string{"Dev", "Test"}}}, []int{0, 1}},
		{"all of several targets", []types.Target{{Key: new("tag:Env"), Values: []string{"Dev", "Test"}}, {Key: new("tag:Role"), Values: []string{"web"}}}, []int{1}},
		{"whoever has the key", []types.Target{{Key: new("tag-key"), Values: []string{"Role"}}}, []int{1, 2}},
		{"an empty value finds only empty values", []types.Target{{Key: new("tag:Role"), Values: []string{""}}}, []int{2}},
		{"ids, whatever the case of the key", []types.Target{{Key: new("InstanceIds"), Values: []string{id(1), id(3)}}}, []int{0, 2}},
		{"ids and a tag", []types.Target{{Key: new("InstanceIds"), Values: []string{id(1), id(2)}}, {Key: new("tag-key"), Values: []string{"Role"}}}, []int{1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := fleet(3)
				nodes[1].info.Tags = map[string]string{"Env": "Test", "Role": "web"}
				nodes[2].info.Tags = map[string]string{"Env": "Prod", "Role": ""}
				l := start(t, nodes, ssm.Options{})
				in := shell()
				in.Targets = tt.targets
				c := l.send(in)
				wait()
				got, want := map[string]bool{}, map[string]bool{}
				for i := range l.invocations(*c.CommandId) {
					got[i] = true
				}
				for _, k := range tt.want {
					want[nodes[k].id] = true
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestDocumentByARN(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(1)
		l := start(t, nodes, ssm.Options{})
		in := shell(nodes[0])
		in.DocumentName = new("arn:aws:ssm:us-east-1::document/AWS-RunShellScript")
		if c := l.send(in); *c.DocumentName != "AWS-RunShellScript" {
			t.Errorf("DocumentName is %s", *c.DocumentName)
		}
	})
}

func TestAuthorize(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := fleet(2)
		nodes[1].info.Tags["Team"] = "other"
		l := start(t, nodes, ssm.Options{Authorize: func(_ wire.Identity, resource string, tags map[string]string) error {
			if tags["Team"] == "other" {
				return &wire.Error{Code: "AccessDeniedException", Message: "not on " + resource}
			}
			return nil
		}})
		_, err := l.SendCommand(t.Context(), shell(nodes...))
		want := "AccessDeniedException: not on arn:aws:ec2:us-east-1:111122223333:instance/" + nodes[1].id
		if diff := cmp.Diff(want, failure(t, err)); diff != "" {
			t.Error("by id:", diff)
		}
		c := l.send(tagged("Env", "Dev"))
		wait()
		if diff := cmp.Diff(map[string]int{"Success": 1, "AccessDenied": 1}, l.details(*c.CommandId)); diff != "" {
			t.Error("by tag:", diff)
		}
	})
}
