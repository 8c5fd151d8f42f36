package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/events"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// settings are the flags.
type settings struct {
	tools, function, events, script, template string
	keytrail, report                          string
	dir                                       string
	hold                                      bool
}

func parseFlags(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.StringVar(&s.tools, "tools", "build/hosttools", "`program` that the hosts of the lab have as their commands")
	f.StringVar(&s.function, "function", "build/rotate", "`program` of the rotation function")
	f.StringVar(&s.events, "events", "build/events", "`program` of the function that watches")
	f.StringVar(&s.script, "script", "rotate/fleet/host.sh", "`file` with the host script, which runs under this machine's /bin/sh")
	f.StringVar(&s.template, "template", "deploy/template.yaml", "CloudFormation `file` that is deployed")
	f.StringVar(&s.keytrail, "keytrail", "build/keytrail", "`program` of the operator's command")
	f.StringVar(&s.report, "report", "build/report.html", "`file` that the compliance report is written to")
	f.StringVar(&s.dir, "dir", "", "new or empty `folder` for the lab, which is kept; default is a temporary one")
	f.BoolVar(&s.hold, "hold", false, "leave the lab running at the end, until Ctrl-C")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "demo rotates and watches the SSH keys of fifteen hosts on this machine and checks every claim.\n\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return s, flag.ErrHelp
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return s, nil
}

// The stack that is deployed, and the rotation function in it.
const (
	stackName    = "keytrail"
	functionName = stackName + "-rotate"
)

// demo is the state of the story.
type demo struct {
	screen *screen
	claims *claims
	lab    *lab.Lab
	aws    operator
	client client
	fleet  []*member
	guests guests
	shop   *shop
	bus    *bus

	template []byte // of both stacks
	programs struct{ rotate, events, keytrail string }
	report   string // file
	scratch  string // folder that goes with the story

	before []keyFile            // as the files were when the story began
	keys   []*sshkey.PrivateKey // that the secret has had as AWSCURRENT, oldest first
	ours   map[string]bool      // fingerprints of all keys that the function made
}

// run tells the story and cleans up behind it.
func run(ctx context.Context, args []string) (err error) {
	began := time.Now()
	s, err := parseFlags(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := newScreen(os.Stdout, os.Getenv)
	out.broken = cancel
	d := &demo{screen: out, claims: &claims{screen: out}, fleet: newFleet(), ours: map[string]bool{}, bus: &bus{}}
	d.shop = newShop(d)
	defer func() { out.clear() }()

	scratch, err := os.MkdirTemp("", "keytrail-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	d.client, d.scratch, d.report = newClient(ctx, scratch), scratch, s.report

	out.status("starting the lab")
	if err := d.start(ctx, s); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.lab.Close()) }()
	if err := d.tell(ctx); err != nil {
		return cmp.Or(out.err, err)
	}
	out.blank()
	out.line(out.paint(bold, d.claims.summary()) + fmt.Sprintf(", in %.1f s", time.Since(began).Seconds()))
	switch {
	case s.hold:
		d.hold(ctx)
	case s.dir != "":
		out.line("What the lab wrote is below " + clean(d.lab.Dir()))
	}
	return out.err
}

// start starts the lab with the fleet and the function in it.
func (d *demo) start(ctx context.Context, s settings) error {
	if err := checkEmpty(s.dir); err != nil {
		return err
	}
	script, err := os.ReadFile(s.script)
	if err != nil {
		return err
	}
	// Any other script would run in the lab's own shell, which cannot do it.
	if string(script) != fleet.Script() {
		return fmt.Errorf("%s is not the script that this program was built with: run make build", s.script)
	}
	if d.programs.rotate, err = filepath.Abs(s.function); err != nil {
		return err
	}
	if d.programs.events, err = filepath.Abs(s.events); err != nil {
		return err
	}
	if d.programs.keytrail, err = filepath.Abs(s.keytrail); err != nil {
		return err
	}
	tools, err := filepath.Abs(s.tools)
	if err != nil {
		return err
	}
	var hosts []host.Spec
	for _, m := range d.fleet {
		hosts = append(hosts, m.spec())
	}
	if d.template, err = os.ReadFile(s.template); err != nil {
		return err
	}
	// As in an account, nobody may do what no policy allows.
	d.lab, err = lab.Start(ctx, lab.Options{
		Dir: s.dir, Tools: tools, Trusted: []string{string(script)}, Hosts: hosts, Enforce: iam.Everyone,
		Events: events.Options{Targets: map[string]events.Target{"lambda": d.bus.target(func() *lab.Lab { return d.lab })}},
		// Lambda waits minutes before it tries an event again.
		Async: lambda.Async{RetryDelays: [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}},
	})
	if err != nil {
		return err
	}
	_, err = d.lab.Deploy(ctx, cloudformation.Spec{
		Name: stackName, Template: d.template,
		Parameters: map[string]string{
			"Users": users[0] + " " + users[1], "TagName": boundaryKey, "TagValue": boundaryValue, "LoginProof": "ssh",
			"Watch": "false",
		},
		Programs: map[string][]string{"Rotate": {d.programs.rotate}},
	})
	if err != nil {
		return errors.Join(err, d.lab.Close())
	}
	d.aws = newOperator(d.lab.URL(), secretName)
	return d.furnish()
}

// furnish makes the hosts as odd as they are.
func (d *demo) furnish() error {
	var err error
	for key, comment := range map[**sshkey.PrivateKey]string{&d.guests.alice: "alice@laptop", &d.guests.monitor: "monitor@old"} {
		if *key, err = sshkey.Generate("ed25519", "openssh", comment); err != nil {
			return err
		}
	}
	for _, m := range d.fleet {
		if err := m.furnish(d.lab.Host(m.id()), d.guests); err != nil {
			return fmt.Errorf("prepare %s: %w", m.name, err)
		}
	}
	return nil
}

// hold leaves the lab running until the context ends.
func (d *demo) hold(ctx context.Context) {
	d.screen.blank()
	d.screen.line("The lab runs on until Ctrl-C, below " + clean(d.lab.Dir()))
	d.screen.line("For the AWS CLI in another terminal:")
	for _, e := range d.lab.Exports() {
		d.screen.line("  " + e)
	}
	d.screen.line("  aws secretsmanager describe-secret --secret-id " + secretName)
	<-ctx.Done()
	d.screen.blank() // after the ^C that the terminal shows
}

// checkEmpty refuses a folder that has anything in it: a lab would go on with
// what it finds, and the story would not be true.
func checkEmpty(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("the folder %s is not empty", dir)
	}
	return nil
}
