package events

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// glance looks at what Secrets Manager says of a secret, and asks no host.
func (c *Consumer) glance(ctx context.Context, f found, e Event, j journal) error {
	now := time.Now().UTC()
	known := situation{config: c.config, secret: f.Secret, gone: f.gone, journal: j, now: now}
	problems, ids := known.ofSecret()
	// What hosts showed stands in these alerts as well: they are left to a look at the hosts.
	whole := func(id alert.ID) bool { return id == alert.RotationFailed || id == alert.RotationBlocked }
	problems = slices.DeleteFunc(problems, func(p alert.Problem) bool { return whole(p.Condition) })
	ids = slices.DeleteFunc(ids, whole)
	return c.tell(ctx, e, alert.Sighting{Secret: f.named(), At: now, Looked: ids, Problems: problems})
}

// look takes an event down, asks the hosts of its secret what they trust, has rotate mend what it may mend,
// and tells people. One look answers all events from before it.
func (c *Consumer) look(ctx context.Context, f found, e Event) (outcome string, err error) {
	t, err := c.journals.begin(ctx, f.named(), holderOf(ctx, e), e)
	if err != nil {
		return "", err
	}
	if t.holder == "" {
		return shared, c.proveEndings(ctx, f.named(), e, t.kept)
	}
	e.Version = t.version
	k := &visit{
		Consumer: c, known: situation{config: c.config, secret: f.Secret, gone: f.gone, journal: t.journal},
		old: f.old || t.waited, named: f.named(), event: e,
	}
	if k.known.agreed, err = c.exceptions.agreed(ctx); err != nil {
		c.log.WarnContext(ctx, "exceptions not read", "error", err.Error()) // those from before hold
	}
	if err := k.run(ctx); err != nil {
		// What was seen may not have been told: the next look must not be spared because of it.
		return "", errors.Join(err, k.leave(context.WithoutCancel(ctx), t, false))
	}
	c.metrics.verdict(k)
	if err := k.leave(ctx, t, true); err != nil {
		return "", err
	}
	if e.Kind == Check {
		c.closeDay(ctx, k.named, t.journal)
	}
	return looked, nil
}

// holderOf names who looks: Lambda tries an event again under the id of its first invocation.
func holderOf(ctx context.Context, e Event) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" {
		return lc.AwsRequestID + " " + e.ID
	}
	return rand.Text()
}

// visit is one look at one secret.
type visit struct {
	*Consumer
	known situation
	old   bool // as that of found
	named alert.Secret
	event Event
	open  int // alerts
	// records are what the evidence gets of it, in the order in which it came about.
	records []evidence.Record
}

// leave writes down what was seen and done, and lets others look. A look that could not tell people of what it saw
// leaves that to the next.
func (k *visit) leave(ctx context.Context, t turn, told bool) error {
	const most = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var missed []*rotationSeen
	if told {
		missed = k.known.missed() // by the journal as it was: the change is written into the same rotations
	}
	if t.Baseline == nil {
		if err := k.offer(ctx, k.named, k.known.journal.Baseline); err != nil {
			k.log.WarnContext(ctx, "baseline not written", "secretArn", k.named.ARN, "error", err.Error())
		}
	}
	mark := func(j *journal) {
		if j.Baseline == nil && told {
			j.Baseline = k.known.journal.Baseline
		}
		for _, m := range missed {
			j.rotation(m.Version).Missed = k.known.now
		}
	}
	mark(&k.known.journal)
	endings, kept := k.known.journal.endings()
	head, unproved := k.append(ctx, k.named, k.event, t.Proof, append(endings, k.records...))
	_, err := k.journals.change(ctx, t.kept, k.named, func(j *journal) {
		if j.Look.Holder == t.holder {
			j.Look = claim{}
		}
		mark(j)
		if j.prove(head); unproved == nil {
			kept(j)
		}
		if r := j.find(k.event.Version); r != nil && r.EventID == k.event.ID {
			r.InTheWay = k.known.journal.find(k.event.Version).InTheWay
		}
		if v := k.known.verdict; told && unproved == nil && v != nil && (j.Verdict == nil || v.At.After(j.Verdict.At)) {
			j.Verdict, j.Cause = v, k.event.ID
		}
	})
	return errors.Join(unproved, err)
}

func (k *visit) run(ctx context.Context) error {
	if err := k.inTheWay(ctx); err != nil {
		return err
	}
	if err := k.abandon(ctx); err != nil {
		return err
	}
	err := k.verify(ctx)
	if err != nil && k.event.Kind == Check && ctx.Err() == nil {
		// The schedule comes again by itself. What it could not see, people are told now.
		return k.blind(ctx, err)
	}
	if err != nil {
		return err
	}
	if k.known.graceOver() {
		// Nothing is wrong yet: the end of the grace is ours to bring about.
		if _, err := k.reconcile(ctx, whyGrace, rotate.ActionRequest{}); err != nil {
			k.log.WarnContext(ctx, "grace not ended", "secretArn", k.named.ARN, "error", err.Error())
		}
		if err := k.ask(ctx); err != nil {
			return err
		}
	}
	heal := k.healable()
	if err := k.tell(ctx, heal != nil); err != nil {
		return err
	}
	if heal == nil {
		return nil
	}
	return k.heal(ctx, heal)
}

// inTheWay asks SSM what hosts answered to a rotation that failed, before anything else is asked of them. Where
// that cannot be known, the hosts are named by what they show now.
func (k *visit) inTheWay(ctx context.Context) error {
	r := k.known.journal.find(k.event.Version)
	if k.event.Kind != RotationFailed || r == nil || !r.failed() || r.EventID != k.event.ID {
		return nil
	}
	from := r.Started
	if from.IsZero() {
		from = r.Failed.Add(-k.known.longest())
	}
	// Times of events are cut to the second, and both ends of the filter are exclusive.
	places, err := k.auditor.InTheWay(ctx, k.named.ARN, from.Add(-time.Second), r.Failed.Add(2*time.Second))
	if err != nil {
		k.log.WarnContext(ctx, "hosts in the way not known", "secretArn", k.named.ARN, "version", r.Version, "error", err.Error())
		return ctx.Err()
	}
	r.InTheWay = nil
	for _, p := range places[:min(len(places), maxInTheWay)] {
		r.InTheWay = append(r.InTheWay, place(p, nil))
	}
	return nil
}

// maxInTheWay bounds what a journal keeps of one rotation: a mail shows fewer.
const maxInTheWay = 100

// abandon has rotate retire the key of a rotation that failed: it may be on some hosts. Where that cannot
// be done now, it stays until the next rotation or reconcile.
func (k *visit) abandon(ctx context.Context) error {
	if k.event.Kind != RotationFailed && k.event.Kind != RotationAbandoned || k.event.Version == "" || k.known.gone {
		return nil
	}
	if wanted.CheckHold(k.known.secret.Tags) != nil {
		return nil
	}
	r := k.known.journal.find(k.event.Version)
	if r == nil || !r.ended() || r.Succeeded.After(k.event.At) {
		return nil // it goes on by now
	}
	_, err := k.reconcile(ctx, whyAbandoned, rotate.ActionRequest{Abandoned: k.event.Version})
	if err != nil {
		k.log.WarnContext(ctx, "abandoned key not retired", "secretArn", k.named.ARN, "version", k.event.Version, "error", err.Error())
	}
	return ctx.Err()
}

// verify asks the hosts, and after a rotation again while some of them are late and there is time.
func (k *visit) verify(ctx context.Context) error {
	patience := time.Now()
	if k.event.Kind == RotationSucceeded {
		patience = patience.Add(k.config.Settle)
	}
	for pause := 2 * time.Second; ; pause = min(2*pause, 15*time.Second) {
		if err := k.ask(ctx); err != nil {
			return err
		}
		left := time.Until(patience)
		if left <= 0 || !late(*k.known.verdict) {
			return nil
		}
		if err := sleep(ctx, min(pause, left)); err != nil {
			return nil // what was seen so far is told
		}
		k.old = true
	}
}

// late reports whether a little time may mend what was seen.
func late(v audit.Verdict) bool {
	n := v.Count()
	return n[fleet.Missing]+n[fleet.Stale]+n[fleet.Unreachable]+n[fleet.Unverifiable] > 0
}

// ask asks the hosts once, or twice when AWSCURRENT moved meanwhile.
func (k *visit) ask(ctx context.Context) error {
	if k.old {
		if err := k.describe(ctx); err != nil {
			return err
		}
	}
	for again := false; ; again = true {
		v, err := k.ofHosts(ctx)
		if err != nil {
			return err
		}
		k.known.verdict, k.known.now = &v, time.Now().UTC()
		if k.known.journal.Baseline == nil && v.Coverage().Seen > 0 {
			k.known.journal.Baseline = baseline(v)
		}
		if v.Clean() || k.known.gone {
			return nil
		}
		if err := k.describe(ctx); err != nil {
			return err
		}
		if again || k.known.secret.Version("AWSCURRENT") == v.Version {
			return nil
		}
	}
}

// describe reads anew what Secrets Manager says of the secret, unless it is gone.
func (k *visit) describe(ctx context.Context) error {
	if k.known.gone {
		return nil
	}
	s, err := k.auditor.Describe(ctx, k.named.ARN)
	if err != nil {
		return err
	}
	k.known.secret, k.old = s, false
	return nil
}

func (k *visit) ofHosts(ctx context.Context) (audit.Verdict, error) {
	if k.known.gone {
		return k.hosts.VerifyGone(ctx, k.named.ARN)
	}
	return k.hosts.Verify(ctx, k.known.secret)
}

// blind tells that the hosts could not be asked.
func (k *visit) blind(ctx context.Context, why error) error {
	k.known.now = time.Now().UTC()
	problems, ids := k.known.ofSecret()
	result, err := k.desk.Tell(ctx, notVerified(k.named, why, ids, problems))
	k.open, k.records = result.Open, append(k.records, said(result)...)
	return err
}

// notVerified is the sighting of a secret whose hosts could not be asked.
func notVerified(named alert.Secret, why error, looked []alert.ID, problems []alert.Problem) alert.Sighting {
	return alert.Sighting{
		Secret: named, At: time.Now().UTC(), Looked: append(looked, alert.NotVerified),
		Problems: append(problems, alert.Problem{Condition: alert.NotVerified, Reason: why.Error()}),
	}
}

// tell has people told of all that is known. While something is yet to be mended, what became of that is
// left open.
func (k *visit) tell(ctx context.Context, mending bool) error {
	problems, ids := k.known.ofSecret()
	seen, of := k.known.ofHosts()
	problems, ids = append(problems, seen...), append(ids, of...)
	if !mending {
		ids = append(ids, alert.HealFailed)
	}
	for _, m := range k.known.missed() {
		problems = append(problems, alert.Problem{Condition: alert.EventMissed, Version: m.Version})
	}
	if v := k.known.verdict; k.event.Kind == RotationSucceeded && v.Clean() {
		problems = append(problems, alert.Problem{
			Condition: alert.RotationSucceeded, Version: v.Version, Fingerprint: string(v.Fingerprint),
			Seen: v.Coverage().Seen, Expected: v.Coverage().Expected,
			EventID: k.event.ID, EventName: string(k.event.Kind), EventTime: k.event.At,
		})
	}
	result, err := k.desk.Tell(ctx, alert.Sighting{Secret: k.named, At: k.known.verdict.At, Looked: ids, Problems: problems})
	k.open = result.Open
	k.records = append(append(k.records, k.known.verdict.Record(k.known.secret, k.config.Rotate)), said(result)...)
	return err
}

// healable are the places whose drift may be mended without asking.
func (k *visit) healable() []audit.Place {
	v := k.known.verdict
	if k.config.Heal == HealOff || v.Held != nil || v.Unregistered || v.Gone || k.known.underWay() || !k.known.registered() {
		return nil
	}
	var places []audit.Place
	for _, p := range v.Places {
		if p.Elsewhere {
			continue // nothing of the secret's is to be there, so rotate does not touch it
		}
		if p.State == fleet.Missing || p.State == fleet.Stale && k.config.Heal == HealAll {
			places = append(places, p)
		}
	}
	return places
}

// heal has rotate bring hosts to what the secret says, tells what came of it in the thread of the drift, and
// looks again.
func (k *visit) heal(ctx context.Context, places []audit.Place) error {
	var ids []fleet.InstanceID
	about := alert.DriftStale
	for _, p := range places {
		ids = append(ids, p.Host)
		if p.State == fleet.Missing {
			about = alert.DriftMissing
		}
	}
	result, err := k.reconcile(ctx, whyHeal, rotate.ActionRequest{Hosts: slices.Compact(ids)})
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := k.ask(ctx); err != nil {
		return err
	}
	var mended, left []alert.Place
	for _, p := range places {
		now := k.state(p)
		if now.State == fleet.OK {
			mended = append(mended, alert.Place{Host: string(p.Host), User: p.User, State: string(fleet.OK), CommandID: commandOf(result, p)})
		} else {
			left = append(left, place(now, nil))
		}
	}
	sighting := alert.Sighting{Secret: k.named, At: k.known.verdict.At, Looked: []alert.ID{alert.HealFailed}}
	if len(mended) > 0 {
		sighting.Problems = append(sighting.Problems, alert.Problem{Condition: alert.HealDone, About: about, Version: k.known.verdict.Version, Places: mended})
	}
	if len(left) > 0 {
		p := alert.Problem{Condition: alert.HealFailed, About: about, Version: k.known.verdict.Version, Places: left}
		if err != nil {
			p.Reason = err.Error()
		}
		sighting.Problems = append(sighting.Problems, p)
	}
	told, err := k.desk.Tell(ctx, sighting)
	if k.records = append(k.records, said(told)...); err != nil {
		return err
	}
	return k.tell(ctx, true)
}

// state is what a place was seen as last.
func (k *visit) state(was audit.Place) audit.Place {
	for _, p := range k.known.verdict.Places {
		if p.Host == was.Host && p.User == was.User {
			return p
		}
	}
	return was
}

func commandOf(r *rotate.ActionResult, p audit.Place) string {
	if r == nil {
		return ""
	}
	for _, h := range r.Hosts {
		if h.Host == p.Host && h.User == p.User {
			return h.CommandID
		}
	}
	return ""
}

// reconcile asks rotate for it.
func (k *visit) reconcile(ctx context.Context, why string, req rotate.ActionRequest) (*rotate.ActionResult, error) {
	req.Action, req.SecretID = rotate.Reconcile, k.named.ARN
	k.old = true
	result, err := k.rotator.Ask(ctx, req)
	k.records = append(k.records, reconciled(why, result, err))
	if err != nil {
		return result, fmt.Errorf("reconcile: %w", err)
	}
	return result, nil
}
