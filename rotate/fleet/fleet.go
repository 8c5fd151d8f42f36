// Package fleet reaches the hosts: it finds the managed nodes of a target, sends them the host script
// through Systems Manager Run Command, and turns what each of them answers into one observation for
// each host and user.
//
// The script (host.sh) does the work on the host; order.go is what it is asked, answer.go what it
// says. ssm.go is the only file that knows the AWS SDK. Which keys are wanted or retired is the
// caller's knowledge, not this package's.
package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says how commands are sent.
type Config struct {
	Apply, Inspect DocumentRef
	// MaxConcurrency and MaxErrors give, for a number of hosts, how many may run at once and how
	// many may fail before no more are started.
	MaxConcurrency, MaxErrors func(hosts int) int
	// DeliveryTimeout bounds the wait for a node to take the command, ExecutionTimeout its run.
	DeliveryTimeout, ExecutionTimeout time.Duration
}

// ShellDocument is the document that AWS ships. It takes any script, so it needs no set-up, and a
// role that may send it may run anything on the fleet.
const ShellDocument = "AWS-RunShellScript"

// DocumentRef names a document, pinned by version and SHA-256 where both are given.
type DocumentRef struct{ Name, Version, Hash string }

// ParseDocumentRef reads "name" or "name:version:hash".
func ParseDocumentRef(text string) (DocumentRef, error) {
	parts := strings.Split(text, ":")
	switch {
	case len(parts) == 1 && parts[0] != "":
		return DocumentRef{Name: parts[0]}, nil
	case len(parts) == 3 && parts[0] != "" && parts[1] != "" && len(parts[2]) == 64:
		return DocumentRef{parts[0], parts[1], parts[2]}, nil
	}
	return DocumentRef{}, fmt.Errorf("%q is neither name nor name:version:sha256", text)
}

// Fleet sends orders to hosts. It is safe for concurrent use.
type Fleet struct {
	config Config
	ssm    systems
}

// New returns a Fleet that talks to Systems Manager through client.
func New(config Config, client SystemsManager) *Fleet {
	return &Fleet{config, systems{client}}
}

// Nodes returns every managed node that has all tags of target, ordered by id. It does not return
// stopped or terminated instances: Systems Manager does not list them.
func (f *Fleet) Nodes(ctx context.Context, target Target) ([]Node, error) {
	nodes, err := f.ssm.nodes(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("list managed nodes with %s: %w", target, err)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return nodes, nil
}

// Run gives the order to every node and returns what is known of each user on each of them. A node
// that is offline or no Linux gets no command, only its observation. An inspection that retires keys
// looks for them in all accounts of a node: where another one has any, its observation is marked
// Elsewhere and comes after those of the node's users.
//
// Hosts go in batches that MaxConcurrency bounds; once more than MaxErrors hosts are not ok, no
// further batch starts. An order that retires more keys than a command can name goes in several passes.
// An error means that some command could not be sent or followed at all; the observations are complete
// even then: a host that was not asked says so.
func (f *Fleet) Run(ctx context.Context, nodes []Node, order Order) (Observations, error) {
	if order.Generation == 0 {
		order.Generation = time.Now().UnixMilli()
	}
	if len(order.Retire) <= maxFingerprint {
		return f.pass(ctx, nodes, order)
	}
	var out Observations
	var errs []error
	for part := range slices.Chunk(order.Retire, maxFingerprint) {
		order.Retire = part
		told, err := f.pass(ctx, nodes, order)
		out = Join(out, told)
		errs = append(errs, err)
	}
	return out.ByHost(), errors.Join(errs...)
}

// pass gives an order that fits into one command.
func (f *Fleet) pass(ctx context.Context, nodes []Node, order Order) (Observations, error) {
	order.Expires = time.Now().Add(f.config.DeliveryTimeout + f.config.ExecutionTimeout)

	var out Observations
	var reachable []Node
	for _, n := range nodes {
		switch {
		case n.Platform == "Windows":
			out = append(out, whole(n.ID, order, Unsupported, "Windows has no managed authorized_keys file: narrow the target with the tag keytrail:target", "")...)
		case !n.Online:
			out = append(out, whole(n.ID, order, Unreachable, "Systems Manager shows the node offline", "")...)
		default:
			reachable = append(reachable, n)
		}
	}
	told, err := f.runBatches(ctx, reachable, order)
	return append(out, told...).ByHost(), err
}

// maxBatch is SendCommand's limit of instance ids.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html
const maxBatch = 50

func (f *Fleet) runBatches(ctx context.Context, nodes []Node, order Order) (Observations, error) {
	concurrency := max(1, f.config.MaxConcurrency(len(nodes)))
	maxErrors := f.config.MaxErrors(len(nodes))
	var (
		mu     sync.Mutex
		out    Observations
		failed int
		errs   []error
		group  errgroup.Group
	)
	group.SetLimit(max(1, concurrency/maxBatch))
	for batch := range slices.Chunk(nodes, min(concurrency, maxBatch)) {
		group.Go(func() error {
			mu.Lock()
			stop := failed > maxErrors
			mu.Unlock()
			var told Observations
			var err error
			if stop {
				for _, n := range batch {
					told = append(told, whole(n.ID, order, Unreachable, "not asked: KEYTRAIL_MAX_ERRORS was reached", "")...)
				}
			} else {
				told, err = f.runBatch(ctx, batch, order)
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, told...)
			failed += told.NotOK().Hosts()
			if err != nil {
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = group.Wait() // the goroutines keep their own errors
	return out, errors.Join(errs...)
}

// runBatch sends one command to at most maxBatch nodes and follows it to its end.
func (f *Fleet) runBatch(ctx context.Context, nodes []Node, order Order) (Observations, error) {
	order.Nonce = rand.Text()
	document := f.config.Inspect
	if order.Action == Apply {
		document = f.config.Apply
	}
	ids := make([]InstanceID, len(nodes))
	for i, n := range nodes {
		ids[i] = n.ID
	}
	everyone := func(reason, command string) (out Observations) {
		for _, id := range ids {
			out = append(out, whole(id, order, Unreachable, reason, command)...)
		}
		return out
	}
	command, err := f.ssm.send(ctx, document, ids, order, f.config)
	if err != nil {
		return everyone("the command was not sent", ""), fmt.Errorf("send %s command to %d hosts: %w", order.Action, len(ids), err)
	}
	invocations, err := f.follow(ctx, command, ids)
	if err != nil {
		return everyone("the command could not be followed", command), fmt.Errorf("follow command %s: %w", command, err)
	}
	var out Observations
	for _, n := range nodes {
		out = append(out, f.observe(ctx, n, order, command, invocations[n.ID])...)
	}
	return out, nil
}

// Polling starts fast, because a healthy host answers within a second, and backs off, because
// Systems Manager does not publish the rate that it throttles at.
const (
	firstPoll  = 100 * time.Millisecond
	slowestGap = 2 * time.Second
	// grace after both time-outs: SSM needs a moment to notice them itself.
	followGrace = 15 * time.Second
	// clean-up after the caller's context ended.
	cancelTimeout = 3 * time.Second
)

// follow polls a command until every host's invocation has ended, or no more time is left. What has
// not ended is cancelled, so that it does not reach a host later; that is best effort, and the
// order's expiry is what makes a late command harmless.
func (f *Fleet) follow(ctx context.Context, command string, ids []InstanceID) (map[InstanceID]invocation, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, f.config.DeliveryTimeout+f.config.ExecutionTimeout+followGrace)
	defer cancel()
	known := map[InstanceID]invocation{}
	for gap := firstPoll; ; gap = min(gap*4/3, slowestGap) {
		if err := sleep(ctx, gap); err != nil {
			break
		}
		list, err := f.ssm.invocations(ctx, command)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			known[i.host] = i
		}
		if !slices.ContainsFunc(ids, func(id InstanceID) bool { return !known[id].ended() }) {
			return known, nil
		}
	}
	var open []InstanceID
	for _, id := range ids {
		if !known[id].ended() {
			open = append(open, id)
		}
	}
	tidy, done := context.WithTimeout(context.WithoutCancel(outer), cancelTimeout)
	defer done()
	_ = f.ssm.cancel(tidy, command, open)
	return known, nil
}

// observe turns the invocation of one host into its observations.
func (f *Fleet) observe(ctx context.Context, n Node, order Order, command string, i invocation) Observations {
	if state, reason := i.verdict(f.config); state != OK {
		return whole(n.ID, order, state, reason, command)
	}
	out, err := Observe(n, order, i.output)
	if errors.Is(err, ErrDetail) {
		// The summary says that it had to leave users out: the whole answer is one call further.
		full, err := f.ssm.output(ctx, command, n.ID)
		if err != nil {
			return whole(n.ID, order, Unverifiable, err.Error(), command)
		}
		out, _ = Observe(n, order, full)
	}
	for i := range out {
		out[i].CommandID = command
	}
	return out
}

// Observe says what the standard output of the script on a node means for each user of the order, and
// after them for each other account that the host told of. The observations of the users are complete
// even where it cannot be believed: then the error of [Decode] is their reason.
func Observe(n Node, order Order, stdout string) (Observations, error) {
	answer, err := Decode(stdout, order, string(n.ID))
	if err != nil {
		return whole(n.ID, order, Unverifiable, err.Error(), ""), err
	}
	var out Observations
	for _, u := range answer.Users {
		o := judge(u)
		o.Host = n.ID
		o.Remaining = remaining(u, order.Retire)
		o.Keys, o.Omitted, o.Ways, o.Skipped = u.Keys, u.Omitted, u.Ways, answer.Skipped
		o.Sockets, o.HostKeys = sockets(answer.Listen, n.Address), answer.HostKeys
		out = append(out, o)
	}
	for _, u := range answer.Others {
		o := judgeOther(u, order.Retire)
		o.Host = n.ID
		out = append(out, o)
	}
	return out, nil
}

// sockets replaces wildcard listen addresses by the address that Systems Manager has of the node.
func sockets(listen []string, address string) []string {
	var out []string
	for _, l := range listen {
		host, port, err := net.SplitHostPort(l)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = address
		}
		if s := net.JoinHostPort(host, port); host != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// whole gives all users of a host the same state.
func whole(id InstanceID, order Order, state State, reason, command string) Observations {
	out := make(Observations, len(order.Users))
	for i, u := range order.Users {
		out[i] = Observation{Host: id, User: u, State: state, Reason: reason, CommandID: command}
	}
	return out
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
