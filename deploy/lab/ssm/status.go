package ssm

import "github.com/aws/aws-sdk-go-v2/service/ssm/types"

// detail is the StatusDetails of a command or an invocation, spelled as on the
// wire: without the spaces that the documentation prints.
type detail string

// Details of invocations, and three that only commands have.
const (
	pending           detail = "Pending"
	inProgress        detail = "InProgress"
	delayed           detail = "Delayed"
	cancelling        detail = "Cancelling"
	success           detail = "Success"
	failed            detail = "Failed"
	deliveryTimedOut  detail = "DeliveryTimedOut"
	executionTimedOut detail = "ExecutionTimedOut"
	cancelled         detail = "Cancelled"
	undeliverable     detail = "Undeliverable"
	invalidPlatform   detail = "InvalidPlatform"
	accessDenied      detail = "AccessDenied"
	terminated        detail = "Terminated"

	incomplete       detail = "Incomplete"
	rateExceeded     detail = "RateExceeded"
	noInstancesInTag detail = "NoInstancesInTag"
)

// done reports whether an invocation with this detail is over.
func (d detail) done() bool {
	switch d {
	case pending, inProgress, delayed, cancelling:
		return false
	default:
		return true
	}
}

// invocation returns the Status that goes with an invocation's detail.
func (d detail) invocation() types.CommandInvocationStatus {
	switch d {
	case deliveryTimedOut, executionTimedOut:
		return types.CommandInvocationStatusTimedOut
	case undeliverable, invalidPlatform, accessDenied:
		return types.CommandInvocationStatusFailed
	case terminated:
		return types.CommandInvocationStatusCancelled
	default:
		return types.CommandInvocationStatus(d)
	}
}

// command returns the Status that goes with a command's detail.
func (d detail) command() types.CommandStatus {
	switch d {
	case deliveryTimedOut, executionTimedOut:
		return types.CommandStatusTimedOut
	case delayed:
		return types.CommandStatusInProgress
	case incomplete:
		return types.CommandStatusFailed
	case rateExceeded:
		return types.CommandStatusCancelled
	case noInstancesInTag:
		return types.CommandStatusSuccess
	default:
		return types.CommandStatus(d)
	}
}

// tally counts a command's invocations by detail.
type tally map[detail]int

func (t tally) total() int {
	n := 0
	for _, c := range t {
		n += c
	}
	return n
}

func (t tally) completed() int {
	n := 0
	for d, c := range t {
		if d.done() {
			n += c
		}
	}
	return n
}

// errors are what counts towards MaxErrors.
func (t tally) errors() int { return t[failed] + t[executionTimedOut] }

// outcome is the detail of a command whose invocations are all over. It says
// less than it seems to: invocations that were undeliverable, denied or on
// the wrong platform count for nothing, unless there are no others, and no
// invocation at all is a success.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
func (t tally) outcome(maxErrors int, cancelledByUser bool) detail {
	limit := max(maxErrors, 1) // "the value of MaxErrors or more", but not of none
	ignored := t[undeliverable] + t[invalidPlatform] + t[accessDenied]
	switch {
	case t.total() == 0:
		return noInstancesInTag
	case cancelledByUser && t[cancelled] > 0:
		return cancelled
	case ignored == t.total():
		return failed
	case t[failed] >= limit:
		return failed
	case t[executionTimedOut] >= limit:
		return executionTimedOut
	case t.errors() >= limit:
		return failed
	case t[deliveryTimedOut] >= limit:
		return deliveryTimedOut
	case t[success]+ignored == t.total():
		return success
	default:
		return incomplete
	}
}

// progress is the detail of a command that is not over.
func (t tally) progress(cancelledByUser bool) detail {
	sent := t.total() - t[pending]
	switch {
	case cancelledByUser:
		return cancelling
	case sent == 0:
		return pending
	case t[delayed] == sent:
		return delayed
	default:
		return inProgress
	}
}
