package ssm

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// agentWorkers is how many commands one agent runs at a time: the published
// agent's CommandWorkersLimit.
const agentWorkers = 5

// Exit codes that mean something to the agent.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-command-ssm-plugin-reference.html
const (
	exitStopped     = 137 // what it reports of a script that it killed
	exitWithSuccess = 168 // leave the document, successful
	exitWithFailure = 169 // leave the document, failed
	notStarted      = -1
)

var (
	errTimedOut  = errors.New("execution timed out")
	errCancelled = errors.New("command cancelled")
	errDied      = errors.New("node stopped")
)

// agent is the SSM agent of one node and the service's queue for it.
type agent struct {
	node    Node
	random  *rand.Rand
	waiting []*message
	working int      // scripts that run
	unsent  []func() // reports that could not be sent
}

// message is an invocation on its way to an agent.
type message struct {
	invocation *invocation
	due        time.Time
	again      int  // how often it comes after this time
	forced     bool // it runs even if the invocation is over
}

// run is a script that runs.
type run struct {
	agent    *agent
	message  *message
	deadline time.Time
	cancel   context.CancelCauseFunc
}

func (s *Service) agent(n Node) *agent {
	a := s.agents[n.ID()]
	if a == nil {
		h := fnv.New64a()
		h.Write([]byte(n.ID()))
		a = &agent{random: rand.New(rand.NewPCG(s.options.Seed, h.Sum64()))}
		s.agents[n.ID()] = a
	}
	a.node = n
	return a
}

// dispatch sends a command to as many further nodes as it may, and ends it
// when nothing is left.
func (s *Service) dispatch(c *command) {
	for c.sent < len(c.invocations) && c.holding < c.concurrency && !c.halted() {
		i := c.invocations[c.sent]
		c.sent++
		if !i.detail.done() {
			s.send(i)
		}
	}
	if c.halted() {
		for _, i := range c.invocations[c.sent:] {
			i.set(terminated)
		}
	}
	if c.done() && s.active[c] {
		delete(s.active, c)
		c.cancelExpiry()
	}
}

// halted reports whether a command has seen more errors than it allows: what
// was sent goes on, nothing more is.
func (c *command) halted() bool { return c.counts.errors() > c.maxErrors }

// send puts an invocation on its way, or ends it where there is none.
func (s *Service) send(i *invocation) {
	c, info := i.command, i.node.Info()
	i.sent = s.options.Now()
	switch {
	case s.allowed(c.caller, s.nodeARN(i.node, info), info.Tags) != nil:
		i.set(accessDenied)
		return
	case !slices.Contains(c.content.platforms(), info.platform()):
		i.set(invalidPlatform)
		return
	case info.State == Terminated, info.State == Unmanaged:
		i.set(undeliverable)
		return
	}
	f := s.options.Fate(Delivery{CommandID: c.id, NodeID: i.id, DocumentName: c.document.name, Parameters: c.request.Parameters})
	if f.Undeliverable {
		i.set(undeliverable)
		if !f.Held {
			return
		}
	} else {
		i.holds = true
		c.holding++
		i.set(inProgress)
	}
	if f.Lost {
		return
	}
	a := s.agent(i.node)
	delay := s.options.DeliveryDelay + f.Delay
	a.waiting = append(a.waiting, &message{invocation: i, due: i.sent.Add(delay), again: max(f.Times, 1) - 1, forced: f.Held})
	if delay > 0 {
		s.after(delay, func() { s.pump(a) })
		return
	}
	s.pump(a)
}

// pump hands an agent what waits for it.
func (s *Service) pump(a *agent) {
	if s.closed || len(a.waiting)+len(a.unsent) == 0 {
		return
	}
	state, now := a.node.Info().State, s.options.Now()
	if state == Online {
		reports := a.unsent
		a.unsent = nil
		for _, report := range reports {
			report()
		}
	}
	for a.working < agentWorkers {
		m := a.take(now, state)
		if m == nil {
			break
		}
		s.start(a, m)
	}
	if state == Online {
		return
	}
	for _, m := range a.waiting {
		if !m.forced && !m.due.After(now) && m.invocation.detail == inProgress {
			m.invocation.set(delayed)
		}
	}
	if len(a.waiting)+len(a.unsent) > 0 {
		s.pollSoon()
	}
}

// take removes one of the messages that are due, in no promised order. Those
// whose command has ended are dropped. An agent that is cut off goes on with
// what it already has.
func (a *agent) take(now time.Time, s State) *message {
	a.waiting = slices.DeleteFunc(a.waiting, func(m *message) bool { return !m.forced && m.invocation.detail.done() })
	var due []*message
	for _, m := range a.waiting {
		if !m.due.After(now) && (s == Online || m.forced && s == Offline) {
			due = append(due, m)
		}
	}
	if len(due) == 0 {
		return nil
	}
	m := due[a.random.IntN(len(due))]
	a.waiting = slices.DeleteFunc(a.waiting, func(o *message) bool { return o == m })
	return m
}

func (s *Service) start(a *agent, m *message) {
	i := m.invocation
	ctx, cancel := context.WithCancelCause(s.ctx)
	r := &run{agent: a, message: m, cancel: cancel}
	i.set(inProgress)
	i.run = r
	a.working++
	s.runs[r] = true
	s.group.Go(func() {
		defer cancel(nil)
		plugins := s.execute(ctx, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finish(ctx, r, plugins)
	})
}

// execute runs all steps of a document, as the agent does: a failed step does
// not stop those after it, unless it says so.
func (s *Service) execute(ctx context.Context, r *run) []plugin {
	c, node := r.message.invocation.command, r.agent.node
	info := node.Info()
	plugins := make([]plugin, len(c.content.steps))
	for k, st := range c.content.steps {
		plugins[k] = plugin{name: st.name, detail: pending, code: notStarted}
	}
	leave := false
	for k, st := range c.content.steps {
		p := &plugins[k]
		p.start, p.detail = s.options.Now(), inProgress
		if leave || !st.runsOn(info.platform()) {
			p.detail, p.code, p.end = success, 0, p.start
			p.stdout = "Step execution skipped. Step name: " + st.name
			continue
		}
		script := c.content.script(st, c.values, info.AgentVersion)
		script.Env["AWS_SSM_INSTANCE_ID"] = node.ID()
		script.Env["AWS_SSM_REGION_NAME"] = s.options.Region
		script.Env["AWS_SSM_PLATFORM_NAME"] = info.PlatformName
		script.Env["AWS_SSM_PLATFORM_VERSION"] = info.PlatformVersion
		out := s.runScript(ctx, r, script, plugins)
		p.end = s.options.Now()
		p.ended(out, context.Cause(ctx))
		leave = p.code == exitWithSuccess || p.code == exitWithFailure || ctx.Err() != nil ||
			p.detail == failed && (st.onFailure == "exit" || st.onFailure == "successAndExit")
		if leave && st.onFailure == "successAndExit" && p.detail == failed {
			p.detail, p.code = success, exitWithSuccess
		}
	}
	return plugins
}

// runScript runs one script under the lab's clock.
func (s *Service) runScript(ctx context.Context, r *run, script Script, plugins []plugin) Output {
	s.mu.Lock()
	r.deadline = s.options.Now().Add(script.Timeout)
	stop := s.after(script.Timeout, func() { r.cancel(errTimedOut) })
	if i := r.message.invocation; i.run == r && !i.detail.done() {
		i.plugins = slices.Clone(plugins)
	}
	s.mu.Unlock()
	out := r.agent.node.Run(ctx, script)
	s.mu.Lock()
	defer s.mu.Unlock()
	stop()
	r.deadline = time.Time{}
	return out
}

// ended fills in what the agent reports of a script that has ended.
func (p *plugin) ended(out Output, cause error) {
	p.stdout, p.stderr, p.code = out.Stdout, out.Stderr, out.ExitCode
	defer p.trim()
	switch {
	case out.TimedOut, errors.Is(cause, errTimedOut):
		p.detail, p.code = executionTimedOut, exitStopped
	case cause != nil:
		p.detail, p.code = cancelled, exitStopped
	case p.code == 0, p.code == exitWithSuccess:
		p.detail = success
	default:
		p.detail = failed
		if p.stderr != "" {
			p.stderr += "\n"
		}
		p.stderr += "failed to run commands: exit status " + strconv.Itoa(p.code)
	}
}

// trim lets go of output that no answer will show.
func (p *plugin) trim() {
	p.stdout = strings.Clone(p.stdout[:min(len(p.stdout), stdoutLimit)])
	p.stderr = strings.Clone(p.stderr[:min(len(p.stderr), stderrLimit)])
}

// finish reports a run that has ended, once the node can. What ran on a node
// that stopped meanwhile is never heard of.
func (s *Service) finish(ctx context.Context, r *run, plugins []plugin) {
	a, m := r.agent, r.message
	a.working--
	delete(s.runs, r)
	i := m.invocation
	if i.run == r {
		i.run = nil
	}
	report := func() {
		if i.detail.done() {
			return
		}
		i.plugins = plugins
		i.set(aggregate(plugins))
		s.dispatch(i.command)
	}
	switch state := a.node.Info().State; {
	case errors.Is(context.Cause(ctx), errDied), state == Stopped, state == Terminated:
	case state != Online:
		a.unsent = append(a.unsent, report)
	default:
		report()
	}
	if m.again > 0 {
		a.waiting = append(a.waiting, &message{invocation: i, due: s.options.Now(), again: m.again - 1, forced: true})
	}
	s.pump(a)
}

// aggregate is the agent's order of precedence.
func aggregate(plugins []plugin) detail {
	for _, d := range []detail{failed, executionTimedOut, cancelled} {
		if slices.ContainsFunc(plugins, func(p plugin) bool { return p.detail == d }) {
			return d
		}
	}
	return success
}

// cancelInvocation withdraws what no agent has, and asks the agent to stop
// what runs. One that cannot be reached is asked when it is back.
func (s *Service) cancelInvocation(i *invocation) {
	switch {
	case i.detail.done():
	case i.run == nil:
		i.set(cancelled)
	default:
		i.set(cancelling)
		if i.node.Info().State == Online {
			i.run.cancel(errCancelled)
			return
		}
		s.pollSoon()
	}
}

// expireInTime ends what is left of a command when its total time-out, for
// delivery and execution together, is over.
func (s *Service) expireInTime(c *command) {
	c.cancelExpiry = s.after(c.expires.Sub(s.options.Now()), func() { s.expire(c) })
}

func (s *Service) expire(c *command) {
	if s.options.Now().Before(c.expires) {
		s.expireInTime(c) // the clock was set back
		return
	}
	for _, i := range c.invocations {
		if i.detail == cancelling {
			i.set(cancelled)
		}
		i.set(deliveryTimedOut)
	}
	s.dispatch(c)
}

// wake does whatever the clock and the nodes' states allow by now.
func (s *Service) wake() {
	now := s.options.Now()
	for r := range s.runs {
		switch state := r.agent.node.Info().State; {
		case state == Stopped, state == Terminated:
			r.cancel(errDied)
		case !r.deadline.IsZero() && !now.Before(r.deadline):
			r.cancel(errTimedOut)
		case state == Online && r.message.invocation.detail == cancelling:
			r.cancel(errCancelled)
		case state != Online && r.message.invocation.detail == cancelling:
			s.pollSoon()
		}
	}
	for c := range s.active {
		if !now.Before(c.expires) {
			s.expire(c)
		}
	}
	for _, a := range s.agents {
		s.pump(a)
	}
}

// pollSoon looks again at all nodes after a while.
func (s *Service) pollSoon() {
	if s.polling || s.closed {
		return
	}
	s.polling = true
	s.after(s.options.Poll, func() {
		s.polling = false
		s.wake()
	})
}
