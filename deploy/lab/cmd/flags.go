package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/shell"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
)

const usage = `lab keeps Secrets Manager, Systems Manager, Lambda, S3, IAM, CloudFormation,
CloudTrail, EventBridge, SNS and SQS running on this machine, with hosts that have
real files, a real sshd_config and a real SSH server. It prints export commands
that point any AWS client at it, and runs until it is interrupted. Nothing outside
its folder is written, mails and chat included; it listens on loopback only.

  lab --function 'rotate=build/rotate' --env rotate:USERNAME=alice \
      --env rotate:TAGNAME=Fleet --env rotate:TAGVALUE=lab --users alice

Flags:
`

// settings are what the command line asks for.
type settings struct {
	options  lab.Options
	duration time.Duration // 0: until interrupted
}

// shape is the part of the command line that options are made from.
type shape struct {
	hosts, hybrid int
	users, tags   string
	trust         []string
	functions     []string
	env, alias    []string
	throttle      []string
	timeout       time.Duration
}

// parse reads the command line. With --help it writes the flags to w and
// returns flag.ErrHelp.
func parse(args []string, w io.Writer) (settings, error) {
	var s settings
	var h shape
	o := &s.options
	f := flag.NewFlagSet("lab", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&h.hosts, "hosts", 3, "`number` of EC2 instances")
	f.IntVar(&h.hybrid, "hybrid", 0, "`number` of hybrid nodes (mi-…) beside them")
	f.StringVar(&h.users, "users", "ec2-user", "`names` of the accounts on each host, separated by commas")
	f.StringVar(&h.tags, "tags", "Fleet=lab", "tags of each host: `Key=Value`, separated by commas")
	f.DurationVar(&o.Latency, "latency", 0, "`time` that passes on a host before a command runs")
	f.StringVar(&o.Address, "address", "127.0.0.1:0", "IP `address` and port of all services; loopback only, port 0 is any free one")
	f.StringVar(&o.Dir, "folder", ".lab", "`folder` to keep everything in; what an earlier run left there is taken up again")
	f.StringVar(&o.Tools, "tools", "", "`path` of the hosts' commands (getent, sshd, …) in one program; required with hosts")
	f.Func("trust", "`file` with a script that hosts may run under this machine's own sh; others run in a shell\nthat cannot leave the host's folder. Repeatable", collect(&h.trust))
	f.Func("function", "a function, `NAME=COMMAND`: any program that speaks the Lambda Runtime API. Repeatable", collect(&h.functions))
	f.Func("env", "a variable of a function, `NAME:KEY=VALUE`. Repeatable", collect(&h.env))
	f.Func("alias", "an alias of a function, `NAME:ALIAS`. Repeatable", collect(&h.alias))
	f.DurationVar(&h.timeout, "timeout", 5*time.Minute, "`time` that each invocation of a function may take")
	f.IntVar(&o.Concurrency, "concurrency", 10, "`number` of invocations at once")
	f.IntVar(&o.Retries, "retries", 2, "`number` of times that a failed rotation is tried again; AWS does not document it")
	f.DurationVar(&o.RetryDelay, "retry-delay", 10*time.Second, "`time` between these; not documented either")
	f.BoolVar(&o.SNS.ConfirmMail, "confirm-mail", false, "confirm subscriptions by e-mail at once; otherwise by the link in mail/ADDRESS/")
	f.Func("throttle", "a limit on calls, `SERVICE:ACTION=PER-SECOND`, as ssm:SendCommand=5. Repeatable", collect(&h.throttle))
	f.Uint64Var(&o.Seed, "seed", 1, "`number` that decides everything which AWS makes up, such as ids and orders")
	f.StringVar(&o.Account, "account", "111122223333", "`id` of the account")
	f.StringVar(&o.Region, "region", "us-east-1", "`name` of the Region")
	f.DurationVar(&s.duration, "for", 0, "`time` after which the lab ends by itself; 0 is never")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			explain(f, w)
		}
		return settings{}, err
	}
	if f.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q; --help lists the flags", f.Arg(0))
	}
	return s, h.fill(o)
}

// explain writes the flags with two dashes, as the documentation spells them.
func explain(f *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, usage)
	f.VisitAll(func(g *flag.Flag) {
		value, text := flag.UnquoteUsage(g)
		if g.DefValue != "" && g.DefValue != "0" && g.DefValue != "0s" {
			text += " (default " + g.DefValue + ")"
		}
		fmt.Fprintf(w, "  --%s %s\n      %s\n", g.Name, value, strings.ReplaceAll(text, "\n", "\n      "))
	})
}

func collect(list *[]string) func(string) error {
	return func(v string) error {
		*list = append(*list, v)
		return nil
	}
}

// fill makes options, or returns all that is wrong with what they are made
// from.
func (h shape) fill(o *lab.Options) error {
	tags, err := parseTags(h.tags)
	errs := []error{err, h.fillFunctions(o), h.fillThrottle(o)}
	for _, path := range h.trust {
		text, err := os.ReadFile(path)
		errs = append(errs, err)
		o.Trusted = append(o.Trusted, string(text))
	}
	if h.hosts < 0 || h.hybrid < 0 {
		errs = append(errs, errors.New("--hosts and --hybrid: want numbers from 0"))
	}
	if h.hosts+h.hybrid > 0 && o.Tools == "" {
		errs = append(errs, errors.New("--tools: hosts need it"))
	}
	users := list(h.users)
	for n := range h.hosts {
		o.Hosts = append(o.Hosts, spec(fmt.Sprintf("i-%017x", n+1), fmt.Sprintf("ec2-%d", n+1), users, tags))
	}
	for n := range h.hybrid {
		o.Hosts = append(o.Hosts, spec(fmt.Sprintf("mi-%017x", n+1), fmt.Sprintf("hybrid-%d", n+1), users, tags))
	}
	return errors.Join(errs...)
}

func spec(id, name string, users []string, tags map[string]string) host.Spec {
	s := host.Spec{ID: id, Name: name, Tags: maps.Clone(tags)}
	for _, u := range users {
		s.Users = append(s.Users, host.User{Name: u})
	}
	return s
}

// list splits at commas.
func list(text string) []string {
	var l []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			l = append(l, part)
		}
	}
	return l
}

func parseTags(text string) (map[string]string, error) {
	tags := map[string]string{}
	for _, part := range list(text) {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--tags %q: want Key=Value", part)
		}
		tags[key] = value
	}
	return tags, nil
}

func tagList(tags map[string]string) string {
	var l []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		l = append(l, key+"="+tags[key])
	}
	return strings.Join(l, ",")
}

// setting takes NAME:KEY=VALUE and NAME:ALIAS apart.
var setting = regexp.MustCompile(`(?s)^([a-zA-Z0-9-_]+):(.+)$`)

func (h shape) fillFunctions(o *lab.Options) error {
	var errs []error
	for _, text := range h.functions {
		name, command, _ := strings.Cut(text, "=")
		words, err := shell.Fields(command, nil)
		if err != nil || name == "" || len(words) == 0 {
			errs = append(errs, errors.Join(fmt.Errorf("--function %q: want NAME=COMMAND", text), err))
			continue
		}
		o.Functions = append(o.Functions, lambda.Function{
			Name: name, Command: words, Timeout: h.timeout, Env: map[string]string{},
		})
	}
	for _, text := range h.env {
		f, rest := findFunction(o.Functions, text)
		key, value, ok := strings.Cut(rest, "=")
		if f == nil || !ok {
			errs = append(errs, fmt.Errorf("--env %q: want NAME:KEY=VALUE with the NAME of a --function", text))
			continue
		}
		f.Env[key] = value
	}
	for _, text := range h.alias {
		f, rest := findFunction(o.Functions, text)
		if f == nil {
			errs = append(errs, fmt.Errorf("--alias %q: want NAME:ALIAS with the NAME of a --function", text))
			continue
		}
		f.Aliases = append(f.Aliases, rest)
	}
	return errors.Join(errs...)
}

// findFunction returns the function that a setting is for, and its rest.
func findFunction(list []lambda.Function, text string) (*lambda.Function, string) {
	m := setting.FindStringSubmatch(text)
	if m == nil {
		return nil, ""
	}
	i := slices.IndexFunc(list, func(f lambda.Function) bool { return f.Name == m[1] })
	if i < 0 {
		return nil, ""
	}
	return &list[i], m[2]
}

func (h shape) fillThrottle(o *lab.Options) error {
	o.Throttle = map[string]float64{}
	var errs []error
	for _, text := range h.throttle {
		name, rate, _ := strings.Cut(text, "=")
		n, err := strconv.ParseFloat(rate, 64)
		if err != nil || n <= 0 || !strings.Contains(name, ":") {
			errs = append(errs, fmt.Errorf("--throttle %q: want SERVICE:ACTION=PER-SECOND", text))
			continue
		}
		o.Throttle[name] = n
	}
	return errors.Join(errs...)
}
