// Package lab is an AWS-compatible engine on this machine: Secrets Manager,
// Systems Manager, Lambda and its logs, S3, IAM, CloudFormation, CloudTrail,
// EventBridge, SNS and SQS behind one address on loopback, and hosts whose
// files a person can look into, as well as the mails and the chat that SNS
// brings. It starts and ends them together and gives them one account, one
// Region and one clock; how each behaves stands in the packages below this one.
//
// It speaks wire protocols only, and imports nothing of what is run in it.
package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/cloudtrail"
	"github.com/keytrail/keytrail/deploy/lab/ec2"
	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/logs"
	"github.com/keytrail/keytrail/deploy/lab/s3"
	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/sns"
	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/ssm"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// tickInterval is how often the services look at the clock, where they do not
// know when to. Rotation windows are hours long.
const tickInterval = time.Minute

// startersAtOnce bounds the hosts that are made at the same time.
const startersAtOnce = 8

// Options of a lab. The zero value is one without hosts and functions.
type Options struct {
	// Dir is the folder that everything is written below. It is made when it
	// is missing, and what stands in it from an earlier run is taken up
	// again. "" is a temporary folder that Close removes.
	Dir     string
	Address string           // IP address and port, on loopback; default 127.0.0.1:0
	Account string           // default 111122223333
	Region  string           // default us-east-1
	Now     func() time.Time // the lab's clock; default time.Now. Time-outs of processes are real

	Tools   string        // path of the hosts' multi-call program
	Trusted []string      // script bodies that run under the machine's own shell
	Shell   []string      // that shell, as in `sh -c TEXT`; default /bin/sh
	Hosts   []host.Spec   // those that the folder does not have already are made
	Latency time.Duration // of each script, for hosts that name none

	Functions   []lambda.Function
	Concurrency int // invocations at once of functions without a reservation; default 10
	// Programs take the place of the code of functions in stacks that come
	// over the wire, by logical id.
	Programs map[string][]string

	Retries    int           // of a failed rotation; AWS documents neither number
	RetryDelay time.Duration // between them
	Linger     time.Duration // how long a secret deleted by force can be described

	// Enforce says whose calls are judged by policies. With the zero value
	// they are those of roles that were put; see [Lab.IAM].
	Enforce iam.Enforcement

	// Throttle limits calls: "ssm:SendCommand" to so many a second.
	Throttle map[string]float64
	// SSM has the finer settings of Systems Manager. Account, Region, Now,
	// Nodes, Logger, Seed and Authorize in it are the lab's.
	SSM ssm.Options
	// SNS and SQS have theirs. What the lab makes itself in them is the lab's:
	// account, Region, URL, folder, clock, logger, seed, and each other.
	SNS sns.Options
	SQS sqs.Options

	// CloudTrail, Events and Async have the finer settings of CloudTrail, of
	// EventBridge and of asynchronous invocations. Account, Region, Now and
	// Seed in them are the lab's, and so is what CloudTrail records and
	// delivers. Events.Targets go before the lab's own functions, topics and
	// queues; Events.DeadLetter and Async.Send take the place of its queues
	// and topics. Without trails one logs from the start; an empty list is
	// none.
	CloudTrail cloudtrail.Options
	Events     events.Options
	Async      lambda.Async

	Seed   uint64 // of everything that AWS makes up; the same seed and calls give the same ids
	Logger *slog.Logger
	Emit   func(secretsmanager.Event) // is told of every service event; it must not call the lab
}

// Lab is a running lab. Make it with [Start]; end it with Close.
type Lab struct {
	options  Options
	url      string
	front    *wire.Front
	iam      *iam.Engine
	gate     *iam.Gate
	secrets  *secretsmanager.Service
	ssm      *ssm.Service
	lambda   *lambda.Service
	sns      *sns.Service
	sqs      *sqs.Service
	events   *events.Service
	trail    *cloudtrail.Service
	stacks   *cloudformation.Service
	policies *cloudformation.PolicyStore
	machine  host.Machine
	folder   *folder
	stop     context.CancelFunc // of the goroutines below
	group    errgroup.Group     // server and clock
	closing  func() error

	mu     sync.Mutex
	hosts  map[string]*host.Host
	closed bool
}

// Start starts a lab. It runs until Close, or until the context ends.
func Start(ctx context.Context, o Options) (*Lab, error) {
	o.Address = cmp.Or(o.Address, "127.0.0.1:0")
	o.Account = cmp.Or(o.Account, "111122223333")
	o.Region = cmp.Or(o.Region, "us-east-1")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tools != "" {
		var err error
		if o.Tools, err = filepath.Abs(o.Tools); err != nil {
			return nil, err
		}
	}
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	listener, err := wire.Listen(o.Address)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	l := &Lab{
		options: o,
		url:     "http://" + listener.Addr().String(),
		folder:  f,
		machine: host.Machine{Tools: o.Tools, Trusted: o.Trusted, Shell: o.Shell, Now: o.Now},
		hosts:   map[string]*host.Host{},
	}
	l.iam = iam.New(o.Account, o.Region, iam.Options{Enforcement: o.Enforce, Now: o.Now})
	if l.gate, err = iam.NewGate(l.iam, directory{l}); err != nil {
		return nil, errors.Join(err, listener.Close(), f.close())
	}
	l.closing = sync.OnceValue(l.close)
	if err := l.start(listener); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	return l, nil
}

// start makes the services, then what they are about.
func (l *Lab) start(listener net.Listener) error {
	if err := l.serve(listener); err != nil {
		return err
	}
	for _, f := range l.options.Functions {
		if err := l.AddFunction(f); err != nil {
			return err
		}
	}
	if err := l.openHosts(); err != nil {
		return err
	}
	for name, rate := range l.options.Throttle {
		service, action, ok := strings.Cut(name, ":")
		if !ok || rate <= 0 {
			return fmt.Errorf("throttle %s to %g calls a second: want SERVICE:ACTION and more than 0", name, rate)
		}
		l.front.Inject(wire.Fault{Match: wire.Action(service, action), Do: wire.Limit(rate, l.options.Now)})
	}
	return nil
}

// serve makes the services and has them answer.
func (l *Lab) serve(listener net.Listener) error {
	o := l.options
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.front = wire.New(wire.Options{
		Account: o.Account, Region: o.Region, Now: o.Now, Logger: o.Logger, Seed: o.Seed, Authorize: l.gate.Authorize,
	})
	async := o.Async
	async.Now, async.Seed = o.Now, o.Seed
	if async.Send == nil {
		async.Send = l.sendFor
	}
	l.lambda = lambda.New(lambda.Options{
		Account: o.Account, Region: o.Region, Endpoint: l.url, Dir: l.Dir(), Async: async,
		Concurrency: o.Concurrency, Identify: l.front.AddIdentity, Policy: l.iam.PutResourcePolicy,
		MayAssume: func(roleARN string) bool { return l.gate.MayAssume(lambdaService, roleARN) },
		MayCall:   l.gate.MayCall,
	})
	l.serveMessages()
	s := o.SSM
	s.Account, s.Region, s.Now, s.Logger, s.Seed, s.Nodes = o.Account, o.Region, o.Now, o.Logger, o.Seed, l.nodes
	s.Authorize = l.gate.MayCommand
	l.ssm = ssm.New(s)
	l.makeEvents()
	var err error
	l.secrets, err = secretsmanager.New(secretsmanager.Options{
		Account: o.Account, Region: o.Region, Now: o.Now, Seed: o.Seed, Dir: filepath.Join(l.Dir(), "secrets"),
		Invoker: invoker{l.lambda, l.gate}, MayInvoke: l.mayRotate, Policy: l.iam.PutResourcePolicy, Emit: l.emit,
		Retries: o.Retries, RetryDelay: o.RetryDelay, Linger: o.Linger,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	store, err := s3.New(s3.Options{
		Dir: filepath.Join(l.Dir(), "s3"), Region: o.Region, Now: o.Now, Seed: o.Seed, MayList: l.gate.MayList, Policy: l.iam.PutResourcePolicy,
	})
	if err != nil {
		l.secrets.Close()
		return errors.Join(err, listener.Close())
	}
	l.iam.HandleIn(l.front)
	l.front.HandleHTTP("s3", store)
	l.front.HandleHTTP("ec2", ec2.Handler(l.instances))
	l.front.Handle("secretsmanager", l.secrets)
	l.front.Handle("ssm", l.ssm)
	l.front.HandleHTTP("lambda", l.lambda.Handler())
	l.stacks = l.newStacks()
	l.front.HandleQuery("cloudformation", cloudformation.Namespace, l.stacks)
	l.front.Handle("logs", logs.New(logs.Options{Account: o.Account, Region: o.Region, Now: o.Now, Streams: l.lambda.Streams}))
	l.front.Handle("events", l.events)
	l.front.Handle("cloudtrail", l.trail)
	l.front.Handle("sqs", l.sqs)
	l.front.HandleQuery("sns", sns.Namespace, l.sns)
	l.front.Observe(l.trail.Record)
	l.group.Go(func() error { return l.front.Serve(ctx, listener) })
	l.group.Go(func() error { return l.tick(ctx) })
	return nil
}

// Wake has all services look at the clock. Whoever sets it calls Wake.
func (l *Lab) Wake() {
	l.secrets.Tick(l.options.Now())
	l.ssm.Wake()
	l.lambda.Wake()
	l.events.Wake()
	l.sns.Wake()
	l.sqs.Wake()
}

// tick has the services do what is due, from the first moment on.
func (l *Lab) tick(ctx context.Context) error {
	t := time.NewTicker(tickInterval)
	defer t.Stop()
	for {
		l.Wake()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// URL returns the address of all services.
func (l *Lab) URL() string { return l.url }

// Dir returns the folder that everything is written below.
func (l *Lab) Dir() string { return l.folder.path }

// Front returns what stands before all services: recorded calls, faults.
func (l *Lab) Front() *wire.Front { return l.front }

// IAM returns what judges calls: roles and policies are put there, and the
// decisions are read there.
func (l *Lab) IAM() *iam.Engine { return l.iam }

// Secrets returns Secrets Manager.
func (l *Lab) Secrets() *secretsmanager.Service { return l.secrets }

// SSM returns Systems Manager.
func (l *Lab) SSM() *ssm.Service { return l.ssm }

// Lambda returns Lambda.
func (l *Lab) Lambda() *lambda.Service { return l.lambda }

// Events returns EventBridge.
func (l *Lab) Events() *events.Service { return l.events }

// CloudTrail returns CloudTrail.
func (l *Lab) CloudTrail() *cloudtrail.Service { return l.trail }

// SNS returns SNS.
func (l *Lab) SNS() *sns.Service { return l.sns }

// SQS returns SQS.
func (l *Lab) SQS() *sqs.Service { return l.sqs }

// AddFunction adds a function, or replaces the one of that name.
func (l *Lab) AddFunction(f lambda.Function) error { return l.lambda.AddFunction(f) }

// AddHost makes a host while the lab runs.
func (l *Lab) AddHost(s host.Spec) (*host.Host, error) {
	s.Switches.Latency = cmp.Or(s.Switches.Latency, host.Duration(l.options.Latency))
	h, err := host.New(filepath.Join(l.Dir(), "hosts", s.ID), s, l.machine)
	if err != nil {
		return nil, err
	}
	return h, l.register(h)
}

// register makes a host known, unless the lab was closed meanwhile.
func (l *Lab) register(h *host.Host) error {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.hosts[h.ID()] = h
	}
	l.mu.Unlock()
	if closed {
		return errors.Join(errors.New("the lab is closed"), h.Close())
	}
	l.ssm.Wake()
	return nil
}

// openHosts starts the hosts of the folder, and makes those that it lacks.
func (l *Lab) openHosts() error {
	dir := filepath.Join(l.Dir(), "hosts")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var group errgroup.Group
	group.SetLimit(startersAtOnce)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		group.Go(func() error {
			h, err := host.Open(filepath.Join(dir, e.Name()), l.machine)
			if err != nil {
				return err
			}
			return l.register(h)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group = errgroup.Group{}
	group.SetLimit(startersAtOnce)
	for _, s := range l.options.Hosts {
		if l.Host(s.ID) == nil {
			group.Go(func() error {
				_, err := l.AddHost(s)
				return err
			})
		}
	}
	return group.Wait()
}

// Hosts returns the hosts by id.
func (l *Lab) Hosts() []*host.Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*host.Host, 0, len(l.hosts))
	for _, h := range l.hosts {
		list = append(list, h)
	}
	slices.SortFunc(list, func(x, y *host.Host) int { return strings.Compare(x.ID(), y.ID()) })
	return list
}

// Host returns the host with an id, nil if there is none.
func (l *Lab) Host(id string) *host.Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hosts[id]
}

// Close ends the lab. When it returns, no process, listener or goroutine of it
// is left; its folder is, unless it was a temporary one.
func (l *Lab) Close() error { return l.closing() }

// close ends what makes calls before what answers them.
func (l *Lab) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	var errs []error
	if l.secrets != nil {
		l.secrets.Close()
	}
	if l.events != nil {
		l.events.Close()
	}
	l.sqs.Close()
	l.sns.Close()
	errs = append(errs, l.lambda.Close())
	l.ssm.Close()
	l.stop()
	errs = append(errs, l.group.Wait())
	for _, h := range l.Hosts() {
		errs = append(errs, h.Close())
	}
	return errors.Join(append(errs, l.folder.close())...)
}
