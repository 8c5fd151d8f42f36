package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// SystemsManager is the part of *ssm.Client that a fleet needs.
type SystemsManager interface {
	ssm.DescribeInstanceInformationAPIClient
	ssm.ListCommandInvocationsAPIClient
	SendCommand(context.Context, *ssm.SendCommandInput, ...func(*ssm.Options)) (*ssm.SendCommandOutput, error)
	GetCommandInvocation(context.Context, *ssm.GetCommandInvocationInput, ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error)
	CancelCommand(context.Context, *ssm.CancelCommandInput, ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error)
}

// systems speaks to Systems Manager in this package's words.
type systems struct{ client SystemsManager }

// Both lists return at most 50 a page; DescribeInstanceInformation's default is 10.
const pageSize = 50

func (s systems) nodes(ctx context.Context, target Target) ([]Node, error) {
	in := &ssm.DescribeInstanceInformationInput{MaxResults: aws.Int32(pageSize)}
	for _, t := range target {
		in.Filters = append(in.Filters, types.InstanceInformationStringFilter{
			Key: aws.String("tag:" + t.Key), Values: []string{t.Value},
		})
	}
	var nodes []Node
	for pages := ssm.NewDescribeInstanceInformationPaginator(s.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range page.InstanceInformationList {
			id, err := ParseInstanceID(aws.ToString(i.InstanceId))
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, Node{
				ID:       id,
				Platform: string(i.PlatformType),
				Online:   i.PingStatus == types.PingStatusOnline,
				Address:  aws.ToString(i.IPAddress),
			})
		}
	}
	return nodes, nil
}

// send starts one command and returns its id.
func (s systems) send(ctx context.Context, document DocumentRef, ids []InstanceID, order Order, config Config) (string, error) {
	in := &ssm.SendCommandInput{
		DocumentName: aws.String(document.Name),
		Comment:      aws.String(comment(order.Action, order.Scope)),
		// Batches do the rate control: inside one, every host runs and none stops the others.
		MaxConcurrency: aws.String(strconv.Itoa(len(ids))),
		MaxErrors:      aws.String("100%"),
		TimeoutSeconds: aws.Int32(int32(config.DeliveryTimeout / time.Second)),
	}
	for _, id := range ids {
		in.InstanceIds = append(in.InstanceIds, string(id))
	}
	if document.Hash != "" {
		in.DocumentVersion = aws.String(document.Version)
		in.DocumentHash, in.DocumentHashType = aws.String(document.Hash), types.DocumentHashTypeSha256
	}
	seconds := strconv.Itoa(int(config.ExecutionTimeout / time.Second))
	if document.Name == ShellDocument {
		commands, err := order.Commands()
		if err != nil {
			return "", err
		}
		in.Parameters = map[string][]string{"commands": commands, "executionTimeout": {seconds}}
	} else {
		parameters, err := order.Parameters()
		if err != nil {
			return "", err
		}
		in.Parameters = parameters
		in.Parameters["ExecutionTimeout"] = []string{seconds}
	}
	out, err := s.client.SendCommand(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Command.CommandId), nil
}

// invocation is the state of one command on one host.
type invocation struct {
	host   InstanceID
	status string // StatusDetails
	output string // standard output, cut at 2,500 characters by Systems Manager
}

func (s systems) invocations(ctx context.Context, command string) ([]invocation, error) {
	in := &ssm.ListCommandInvocationsInput{CommandId: &command, Details: true, MaxResults: aws.Int32(pageSize)}
	var out []invocation
	for pages := ssm.NewListCommandInvocationsPaginator(s.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range page.CommandInvocations {
			out = append(out, read(i))
		}
	}
	return out, nil
}

func read(i types.CommandInvocation) invocation {
	v := invocation{host: InstanceID(aws.ToString(i.InstanceId)), status: aws.ToString(i.StatusDetails)}
	for _, p := range i.CommandPlugins {
		v.output += aws.ToString(p.Output)
	}
	return v
}

// comment names an order to people, and its secret to Trouble: at most 100 characters.
func comment(a Action, scope string) string { return "keytrail " + string(a) + " " + scope }

// sent is an invocation with its command.
type sent struct {
	invocation
	command string
	at      time.Time
}

// past returns the invocations of all orders of one kind and scope that were sent in a time, newest first.
func (s systems) past(ctx context.Context, document, comment string, from, to time.Time) ([]sent, error) {
	in := &ssm.ListCommandInvocationsInput{
		Details: true, MaxResults: aws.Int32(pageSize),
		Filters: []types.CommandFilter{
			{Key: types.CommandFilterKeyDocumentName, Value: &document},
			{Key: types.CommandFilterKeyInvokedAfter, Value: aws.String(from.UTC().Format(time.RFC3339))},
			{Key: types.CommandFilterKeyInvokedBefore, Value: aws.String(to.UTC().Format(time.RFC3339))},
		},
	}
	var out []sent
	for pages := ssm.NewListCommandInvocationsPaginator(s.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range page.CommandInvocations {
			if aws.ToString(i.Comment) == comment {
				out = append(out, sent{read(i), aws.ToString(i.CommandId), aws.ToTime(i.RequestedDateTime)})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b sent) int { return b.at.Compare(a.at) })
	return out, nil
}

// output returns the first 24,000 characters of a host's standard output.
func (s systems) output(ctx context.Context, command string, host InstanceID) (string, error) {
	out, err := s.client.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: &command, InstanceId: aws.String(string(host))})
	if err != nil {
		return "", fmt.Errorf("read the whole answer: %w", err)
	}
	return aws.ToString(out.StandardOutputContent), nil
}

// cancel asks Systems Manager not to deliver a command to hosts that have not taken it.
func (s systems) cancel(ctx context.Context, command string, hosts []InstanceID) error {
	in := &ssm.CancelCommandInput{CommandId: &command}
	for _, h := range hosts {
		in.InstanceIds = append(in.InstanceIds, string(h))
	}
	_, err := s.client.CancelCommand(ctx, in)
	var gone *types.InvalidCommandId
	if errors.As(err, &gone) {
		return nil
	}
	return err
}

// ended reports whether the status is a final one.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
func (i invocation) ended() bool {
	switch i.status {
	case "", "Pending", "InProgress", "Delayed", "Cancelling":
		return false
	}
	return true
}

// verdict says what a status alone tells: OK means that there is an answer to read.
func (i invocation) verdict(c Config) (State, string) {
	switch i.status {
	case "Success":
		return OK, ""
	case "":
		return Unreachable, "Systems Manager has no invocation for this node"
	case "Pending", "InProgress", "Delayed", "Cancelling":
		return Unreachable, "no answer in time, status " + i.status
	case "DeliveryTimedOut":
		return Unreachable, fmt.Sprintf("the node did not take the command within %s", c.DeliveryTimeout)
	case "ExecutionTimedOut":
		return Unverifiable, fmt.Sprintf("the host script did not end within %s", c.ExecutionTimeout)
	case "Failed":
		return Unverifiable, "the host script failed: see the command's output in Systems Manager"
	case "AccessDenied":
		return Unreachable, "Systems Manager denied the command for this node: the role may send to nodes with the boundary tag only"
	case "InvalidPlatform":
		return Unsupported, "the document does not support this platform"
	}
	// Undeliverable, Terminated, Cancelled, and whatever AWS adds.
	return Unreachable, "status " + i.status
}
