package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// The second stack, its functions, its secret, and who hears of it.
const (
	shopStack  = "shop"
	shopRotate = shopStack + "-rotate"
	shopEvents = shopStack + "-events"
	shopChat   = shopStack + "-chat"
	shopSecret = shopStack + "/ssh"
	onCall     = "oncall@example.com"
)

// The account on the hosts of the shop, and their names.
const (
	shopUser = "deploy"
	shop1    = "shop-1"
	shop2    = "shop-2"
	shop3    = "shop-3"
)

// shop is the second half of the story: a few hosts that are watched, and the
// people who hear of them.
type shop struct {
	demo  *demo
	hosts []*member
	aws   operator
	stack *cloudformation.Stack
	keys  []*sshkey.PrivateKey // that the secret has had as AWSCURRENT, oldest first
	made  []*sshkey.PrivateKey // others that it has had

	since     time.Time       // the last deed
	reactions []reaction      // to it
	read      post            // what people have read
	known     map[string]bool // lines that were shown
	findings  []finding
}

// finding is a claim that is said at the end of its act.
type finding struct {
	sentence string
	problems []string
}

// newShop returns a shop that is not open yet.
func newShop(d *demo) *shop {
	s := &shop{demo: d, known: map[string]bool{}}
	for _, name := range []string{shop1, shop2, shop3} {
		s.hosts = append(s.hosts, &member{name: name, boundary: shopValue, users: []string{shopUser}})
	}
	return s
}

// inShop is an act that plays in the shop.
func inShop(play func(*shop, context.Context) error) func(*demo, context.Context) error {
	return func(d *demo, ctx context.Context) error {
		err := play(d.shop, ctx)
		d.shop.conclude()
		return err
	}
}

// open makes the hosts, deploys the stack with both functions, and has the
// person on call confirm the address.
func (s *shop) open(ctx context.Context) error {
	d := s.demo
	d.screen.status("deploying the second stack")
	for _, m := range s.hosts {
		h, err := d.lab.AddHost(m.spec())
		if err != nil {
			return err
		}
		if err := m.furnish(h, d.guests); err != nil {
			return fmt.Errorf("prepare %s: %w", m.name, err)
		}
	}
	var err error
	s.stack, err = d.lab.Deploy(ctx, cloudformation.Spec{
		Name: shopStack, Template: d.template,
		Parameters: map[string]string{
			"Users": shopUser, "TagName": boundaryKey, "TagValue": shopValue, "MaxOffline": "1",
			"AlertEmail": onCall, "SlackWorkspace": "T0123ABCD", "SlackChannel": "C0123ABCD",
			"SweepMinutes": "1440", "Settle": "0s",
		},
		Programs: map[string][]string{"Rotate": {d.programs.rotate}, "Events": {d.programs.events}},
	})
	if err != nil {
		return err
	}
	s.aws = newOperator(d.lab.URL(), shopSecret)
	if n := d.lab.SNS().Confirm(onCall); n != 1 {
		return fmt.Errorf("%d subscriptions wait for %s, not 1", n, onCall)
	}
	s.read, err = s.collect() // the mail that asked for it
	return err
}

// settleLimit bounds what one deed leads to; it takes seconds.
const settleLimit = 3 * time.Minute

// settle waits until everything has been done that a deed led to.
func (s *shop) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleLimit, fmt.Errorf("events are still being worked on after %s", settleLimit))
	defer cancel()
	// What one service hands to another is nowhere for a moment.
	const enough = 3
	for quiet := 0; quiet < enough; quiet++ {
		if err := s.idle(ctx); err != nil {
			return err
		}
		n, err := s.aws.waiting(ctx, s.stack.Outputs()["Checks"])
		if err != nil {
			return err
		}
		if n > 0 {
			quiet = -1
		}
		if err := pause(ctx, pollEvery); err != nil {
			return err
		}
	}
	return nil
}

// idle waits until no service of the lab is at work.
func (s *shop) idle(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		l := s.demo.lab // the waits end with it at the latest
		l.Secrets().Wait()
		l.Events().Wait()
		l.Lambda().Wait()
		l.SNS().Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause waits for a while.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// find keeps a claim for the end of the act.
func (s *shop) find(sentence string, problems ...string) {
	s.findings = append(s.findings, finding{sentence, problems})
}

// conclude says the claims of the act.
func (s *shop) conclude() {
	if len(s.findings) > 0 {
		s.demo.screen.blank()
	}
	for _, f := range s.findings {
		s.demo.claims.claim(f.sentence, f.problems...)
	}
	s.findings = nil
}

// begin marks the moment of a deed: what is shown next came after it.
func (s *shop) begin(status string) {
	s.since = time.Now()
	s.demo.bus.take()
	s.demo.screen.status(status)
}

// sweep hands the function the event of its schedule.
func (s *shop) sweep(ctx context.Context) error {
	s.begin("the function looks at the hosts")
	now := time.Now().UTC()
	return s.hand(ctx, fmt.Appendf(nil, `{"version":"0","id":"sweep-%d","detail-type":"Scheduled Event","source":"aws.events",`+
		`"account":"111122223333","time":%q,"region":"us-east-1","resources":["arn:aws:events:us-east-1:111122223333:rule/%s-sweep"],"detail":{}}`,
		now.UnixNano(), now.Format(time.RFC3339), shopStack))
}

// hand gives the function an event in EventBridge's place.
func (s *shop) hand(ctx context.Context, body []byte) error {
	s.demo.bus.note(body)
	if err := s.demo.lab.Lambda().InvokeEvent(ctx, shopEvents, body); err != nil {
		return err
	}
	return s.settle(ctx)
}

// rotate starts a rotation, and waits for all that it leads to.
func (s *shop) rotate(ctx context.Context, start func(context.Context) (version string, err error)) (rotation, error) {
	s.begin("rotating")
	version, err := start(ctx)
	if err != nil {
		return rotation{}, err
	}
	if err := s.settle(ctx); err != nil {
		return rotation{}, err
	}
	text, err := s.demo.lab.Lambda().Logs(shopRotate)
	if err != nil {
		return rotation{}, err
	}
	entries := parseLog(text, version, s.since)
	r := rotation{version: version, ended: filter(entries, stepDone, stepFailed), failed: filter(entries, hostNotOK)}
	if len(r.problems()) > 0 {
		return r, nil
	}
	return r, s.promoted(ctx)
}

// promoted takes the key that AWSCURRENT has now from the secret.
func (s *shop) promoted(ctx context.Context) error {
	key, err := s.aws.key(ctx, current)
	if err == nil {
		s.keys = append(s.keys, key)
	}
	return err
}

// live is the key that AWSCURRENT has, and old the one that had it before.
func (s *shop) live() *sshkey.PrivateKey { return s.keys[len(s.keys)-1] }
func (s *shop) old() *sshkey.PrivateKey  { return s.keys[len(s.keys)-2] }

// try logs in to the hosts with these names, or to all, and finds what comes
// of it.
func (s *shop) try(ctx context.Context, sentence string, key *sshkey.PrivateKey, want outcome, names ...string) error {
	var accounts []account
	for _, m := range s.hosts {
		if len(names) == 0 || slices.Contains(names, m.name) {
			accounts = append(accounts, m.accounts()...)
		}
	}
	tried, err := s.demo.logIn(ctx, s.demo.client, key, accounts)
	if err != nil {
		return err
	}
	s.find(sentence, expect(want, tried)...)
	return nil
}

// host returns the host of a name.
func (s *shop) host(name string) *member { return byName(s.hosts, name) }

// addLine adds a line to the key file of a host, as somebody with an editor
// does. undo makes the file what it was.
func (s *shop) addLine(name, line string) (undo func() error, err error) {
	path := s.host(name).AuthorizedKeys(shopUser)
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	undo = func() error { return os.WriteFile(path, before, 0o600) }
	return undo, os.WriteFile(path, append(slices.Clone(before), line+"\n"...), 0o600)
}

// holders are the hosts in whose files a key stands.
func (s *shop) holders(key *sshkey.PrivateKey) ([]string, error) {
	var names []string
	for _, m := range s.hosts {
		files, err := m.read()
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if slices.Contains(f.keys(), string(key.Public().Fingerprint())) {
				names = append(names, f.String()+" holds "+string(key.Public().Fingerprint()))
			}
		}
	}
	return names, nil
}

// obey does what a mail says, by the number of its command, and waits for all
// that it leads to.
func (s *shop) obey(ctx context.Context, p post, about notice, number int) error {
	m := p.mail(about, shopSecret)
	if m == nil {
		return fmt.Errorf("there is no mail %q to act on", about.subject(shopSecret))
	}
	commands := commandsOf(m.Text)
	if len(commands) < number {
		return fmt.Errorf("the mail %q gives %d commands, not %d", about.subject(shopSecret), len(commands), number)
	}
	command := commands[number-1]
	s.note("run", cut(legible(inShort(command)), min(s.demo.screen.width(), readable)-margin-len("event")-2))
	s.begin("running the command of the mail")
	err := s.aws.run(ctx, command)
	if message, ok := refusal(err); ok {
		s.note("aws", clean(message))
		err = nil
	}
	return errors.Join(err, s.settle(ctx))
}

// patience changes how long the function waits for an event that tells of a
// rotation, and returns how long it was told to wait before; "" is the default.
func (s *shop) patience(value string) (before string, err error) {
	const name = "KEYTRAIL_PATIENCE"
	f, ok := s.demo.lab.Lambda().Function(shopEvents)
	if !ok {
		return "", fmt.Errorf("there is no function %s", shopEvents)
	}
	before = f.Env[name]
	if f.Env[name] = value; value == "" {
		delete(f.Env, name)
	}
	return before, s.demo.lab.AddFunction(f)
}
