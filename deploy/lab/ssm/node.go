package ssm

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// State says whether a node runs and can be reached. Anything else than the
// named states counts as [Offline].
type State string

// The states of a node.
const (
	Online     State = "online"     // the agent answers
	Offline    State = "offline"    // it runs, but the agent cannot be reached: ConnectionLost
	Stopped    State = "stopped"    // it does not run, and will again
	Terminated State = "terminated" // it is gone; only its tags are still found
	Unmanaged  State = "unmanaged"  // it has tags, but no agent ever registered
)

// Node is a machine with an SSM agent. Its methods are called concurrently
// and must not call the service.
type Node interface {
	// ID returns the node's id, i-… or mi-….
	ID() string
	// Info returns what the node says of itself at this moment.
	Info() Info
	// Run runs a script as root and returns when it has ended. It stops the
	// script when the context ends, and returns what was written until then.
	Run(ctx context.Context, s Script) Output
}

// Info describes a node.
type Info struct {
	Name            string // of hybrid nodes; SSM does not return an EC2 instance's Name tag
	ComputerName    string
	ResourceType    types.ResourceType // empty: by the node's id
	PlatformType    types.PlatformType // empty: Linux
	PlatformName    string
	PlatformVersion string
	AgentVersion    string // 3.3.2746.0
	IPAddress       string
	Tags            map[string]string
	State           State
}

// Script is a text for the node's shell.
type Script struct {
	Text    string
	Env     map[string]string // added to the agent's own environment
	Timeout time.Duration     // also kept by the context; never 0
}

// Output is what a script left.
type Output struct {
	Stdout, Stderr string
	ExitCode       int
	TimedOut       bool // killed when Script.Timeout was over
}

func (i Info) platform() types.PlatformType {
	if i.PlatformType == "" {
		return types.PlatformTypeLinux
	}
	return i.PlatformType
}

func resourceType(n Node, i Info) types.ResourceType {
	switch {
	case i.ResourceType != "":
		return i.ResourceType
	case isHybrid(n.ID()):
		return types.ResourceTypeManagedInstance
	default:
		return types.ResourceTypeEc2Instance
	}
}
