package events

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// What became of an event, for the log.
const (
	ignored    = "ignored"   // not known, not of this account and Region, or of a secret that is not ours
	refusedOne = "refused"   // the call was not granted: nothing changed
	recorded   = "recorded"  // taken down, and nothing else to do
	told       = "told"      // people were told of what it says
	looked     = "looked at" // the hosts were asked
	shared     = "shared"    // another look answers it
	expected   = "expected"  // a reader who may read
	fanned     = "fanned out"
	reported   = "reported"
)

// depth is how much of a secret an event asks to be looked at.
type depth int

const (
	nothing depth = iota
	secretOnly
	hosts
)

// depths are what is looked at after an event. Others are taken down only.
var depths = map[Kind]depth{
	RotationSucceeded: hosts, RotationFailed: hosts, RotationAbandoned: hosts, TestRotationFailed: hosts,
	PutSecretValue: hosts, UpdateSecret: hosts, UpdateSecretVersionStage: hosts, DeletionEnded: hosts, Check: hosts,
	TagResource: hosts, UntagResource: hosts, // they may move the secret to other hosts
	RotateSecret: secretOnly, CancelRotateSecret: secretOnly, DeleteSecret: secretOnly, RestoreSecret: secretOnly,
	DeletionCancelled: secretOnly, // that one began is told with who asked for it
}

// react does what an event asks for.
func (c *Consumer) react(ctx context.Context, e Event) (outcome string, err error) {
	switch {
	case e.Kind == Unknown:
		return ignored, nil
	case e.Account != c.account || e.Region != c.region:
		return ignored, nil
	case e.Kind == Sweep:
		return fanned, c.sweep(ctx, e)
	case e.Kind == Report:
		return reported, c.report(ctx, e.Period)
	case e.Refused():
		return refusedOne, nil
	case !e.In(c.account, c.region):
		return ignored, nil
	}
	if now := time.Now(); e.At.After(now) { // a clock that is ahead must not make everything later look old
		e.At = now.UTC().Truncate(time.Second)
	}
	occurred := c.occurrences(e)
	if e.Kind == GetSecretValue && len(occurred) == 0 {
		return expected, nil
	}
	f, err := c.find(ctx, e.Secret)
	if err != nil && e.Kind == Check && ctx.Err() == nil {
		// The schedule comes again by itself. What it could not see, people are told now.
		named := alert.Secret{ARN: e.Secret.String(), Name: audit.NameOf(e.Secret.String())}
		return told, c.tell(ctx, e, notVerified(named, err, nil, nil))
	}
	if err != nil || f.ARN == "" {
		return ignored, err
	}
	if len(occurred) > 0 {
		if err := c.tell(ctx, e, alert.Sighting{Secret: f.named(), At: e.At, Problems: occurred}); err != nil {
			return "", err
		}
		outcome, f.old = told, true
	}
	if e.Kind == GetSecretValue {
		return outcome, nil
	}
	if byRotation(e, c.config.RotateRole) {
		return recorded, nil // a rotation's own call: what comes of it is told by how the rotation ends
	}
	if depths[e.Kind] == hosts {
		return c.look(ctx, f, e)
	}
	j, err := c.journals.update(ctx, f.named(), func(j *journal) { j.note(e) })
	if err != nil {
		return "", err
	}
	if depths[e.Kind] == secretOnly {
		return looked, c.glance(ctx, f, e, j.journal)
	}
	return recorded, nil
}

// found is a secret as Secrets Manager described it.
type found struct {
	audit.Secret
	gone bool // Secrets Manager does not have it any more: only the ARN and the name are known
	old  bool // since then something happened that may have taken its time
}

func (f found) named() alert.Secret { return alert.Secret{ARN: f.ARN, Name: f.Name} }

// find returns the secret that an event names if it is one that Keytrail looks after: by its rotation
// function, by its tags, or because rotate once made a key for it.
func (c *Consumer) find(ctx context.Context, id SecretID) (found, error) {
	s, err := c.auditor.Describe(ctx, id.String())
	f := found{Secret: s}
	if errors.Is(err, wanted.ErrGone) {
		if !id.IsARN() {
			return found{}, nil
		}
		f = found{Secret: audit.Secret{ARN: id.String(), Name: audit.NameOf(id.String())}, gone: true}
	} else if err != nil {
		return found{}, err
	}
	if c.ours(f.Secret) {
		return f, nil
	}
	registered, err := c.auditor.Registered(ctx)
	if err != nil || !slices.Contains(registered, f.ARN) {
		return found{}, err
	}
	return f, nil
}

// ours reports whether a secret says itself that Keytrail looks after it.
func (c *Consumer) ours(s audit.Secret) bool { return Ours(s, c.config.Rotate) }

// Ours reports whether a secret says itself that Keytrail looks after it, whose rotation function has an ARN.
func Ours(s audit.Secret, rotate string) bool {
	if s.Function == rotate {
		return true
	}
	for name := range s.Tags {
		if strings.HasPrefix(name, "keytrail:") {
			return true
		}
	}
	return false
}

// byRotation reports whether the rotation function made a call: it is known by its role, since whoever
// assumes a role chooses the session's name.
func byRotation(e Event, role string) bool {
	_, name, _ := strings.Cut(role, ":role/")
	name = name[strings.LastIndexByte(name, '/')+1:] // an ARN without the path, where a record has no other
	account := strings.SplitN(role, ":role/", 2)[0]
	return e.By.Role != "" && (e.By.Role == role || e.By.Role == account+":role/"+name)
}

// occurrences are what an event says by itself, whatever is seen later.
func (c *Consumer) occurrences(e Event) []alert.Problem {
	p := alert.Problem{EventID: e.ID, EventName: string(e.Kind), EventTime: e.At, Who: who(e.By), Version: e.Version}
	switch e.Kind {
	case PutSecretValue, UpdateSecret, UpdateSecretVersionStage:
		p.Condition = alert.ValueChanged
		if e.Kind == UpdateSecretVersionStage && len(e.Labels) > 0 {
			p.Reason = "label " + strings.Join(e.Labels, ", ")
		}
	case PutResourcePolicy, DeleteResourcePolicy:
		p.Condition = alert.PolicyChanged
	case TagResource, UntagResource:
		p.Condition = alert.TagsChanged
	case GetSecretValue:
		if len(c.config.Readers) == 0 || slices.ContainsFunc(c.config.Readers, func(r Pattern) bool { return r.Matches(e.By.ARN) || r.Matches(e.By.Role) }) {
			return nil
		}
		p.Condition, p.Scope = alert.PrivateKeyRead, e.By.String()
	default:
		return nil
	}
	if byRotation(e, c.config.RotateRole) {
		return nil
	}
	return []alert.Problem{p}
}
