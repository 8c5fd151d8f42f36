package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate/wanted"
)

func (s *session) rotateCommand() *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use: "rotate SECRET", Short: "Ask for a rotation, and follow it until it is verified", Args: cobra.ExactArgs(1),
		Long: `rotate asks Secrets Manager for a rotation and follows it: each step as the function logs it, each host that is
not as it should be, and in the end what all hosts trust by their own word. An interruption ends the watching,
not the rotation.`,
		ValidArgsFunction: s.completeSecret,
		RunE:              func(c *cobra.Command, args []string) error { return s.rotate(c.Context(), args[0], patience) },
	}
	c.Flags().DurationVar(&patience, "timeout", 30*time.Minute, "`time` after which to stop following")
	return c
}

// following is a rotation that is looked at.
type following struct {
	*session
	stack   *stack
	secret  audit.Secret
	version string
	log     *logReader
	deaf    bool // the log cannot be read
	steps   []logged
	// promoted is when AWSCURRENT was first seen on the version.
	promoted time.Time
}

func (s *session) rotate(ctx context.Context, secret string, patience time.Duration) error {
	k, described, err := s.find(ctx, secret)
	if err != nil {
		return err
	}
	if err := k.mayRotate(described); err != nil {
		return err
	}
	// The clocks of this machine and of AWS may differ by some seconds; lines are known by their version.
	const apart = time.Minute
	started := time.Now()
	out, err := k.secrets.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &described.ARN})
	if _, busy := errors.AsType[*types.InvalidRequestException](err); busy {
		return &failure{code: exitDrift, err: fmt.Errorf("rotate %s: %w", described.Name, err),
			fix: "if a rotation is stuck, keytrail unblock " + described.Name + " gives it up"}
	}
	if err != nil {
		return fmt.Errorf("rotate %s: %w", described.Name, err)
	}
	f := &following{session: s, stack: k, secret: described, version: aws.ToString(out.VersionId), log: newLogReader(k.aws, k.log, started.Add(-apart))}
	s.note("rotating %s to version %s", clean(described.Name), f.version)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	if err := f.follow(ctx); err != nil {
		if errors.Is(context.Cause(ctx), errPatience) {
			return &failure{code: exitUnknown, err: fmt.Errorf("the rotation of %s has not ended after %s", described.Name, patience),
				fix: "keytrail history " + described.Name + " tells later how it ended"}
		}
		return err
	}
	v, err := s.ask(ctx, k, described.ARN, nil)
	if err != nil {
		return err
	}
	if s.output == asJSON {
		err = s.print(struct {
			Version string        `json:"version"`
			Steps   []logged      `json:"steps"`
			Verdict verdictAnswer `json:"verdict"`
		}{f.version, f.steps, verdictAnswer{v.Clean(), v.Coverage(), v}})
	} else {
		s.say("")
		err = s.tellVerdict(v, false)
	}
	if err != nil {
		return err
	}
	return ended(judge(v))
}

var errPatience = errors.New("the rotation takes too long")

// mayRotate says why a rotation of a secret would fail, or not be Keytrail's.
func (k *stack) mayRotate(secret audit.Secret) error {
	attach := fmt.Sprintf("aws secretsmanager rotate-secret --secret-id %s --rotation-lambda-arn %s --rotation-rules AutomaticallyAfterDays=30 attaches it, and rotates at once", secret.Name, k.function)
	switch why := wanted.CheckHold(secret.Tags); {
	case why != nil:
		return &failure{code: exitUnavailable, err: why, fix: "take the tag keytrail:hold off " + secret.Name + " once nobody investigates any more"}
	case secret.Function == "":
		return &failure{code: exitConfig, err: fmt.Errorf("no function rotates %s", secret.Name), fix: attach}
	case secret.Function != k.function:
		return &failure{code: exitConfig, err: fmt.Errorf("another function rotates %s: %s", secret.Name, secret.Function), fix: "name its stack with --stack, or attach this one's: " + attach}
	}
	return nil
}

// follow returns when the rotation ended well, or with how it failed.
func (f *following) follow(ctx context.Context) error {
	// FilterLogEvents and DescribeSecret take some calls a second and more.
	const every = time.Second
	for {
		f.working("rotating " + f.secret.Name)
		if err := f.listen(ctx); err != nil {
			return err
		}
		done, err := f.look(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(every):
		}
	}
}

// listen tells what the function logged.
func (f *following) listen(ctx context.Context) error {
	if f.deaf {
		return nil
	}
	lines, err := f.log.news(ctx, f.version)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if code := errorCode(err); err != nil && code != "ResourceNotFoundException" { // a log that nobody wrote yet
		f.deaf = true
		f.note("the log %s cannot be read, so that steps are not shown: %s", f.stack.log, clean(err.Error()))
		return nil
	}
	for _, l := range lines {
		f.steps = append(f.steps, l)
		f.tellLine(l)
	}
	for _, l := range lines {
		if l.Permanent {
			return f.failed(l.Step, l.Error)
		}
	}
	return nil
}

func (f *following) tellLine(l logged) {
	if f.output == asJSON {
		return
	}
	switch l.Message {
	case "host not ok":
		f.say("  %s", f.paint(red, clean(fmt.Sprintf("%s %s: %s %s", l.InstanceID, l.User, l.State, l.Reason))))
	case "rotation step done":
		f.say("%-12s %6.1f s  %s%s", clean(l.Step), l.Seconds, f.paint(green, "done"), states(l))
	case "rotation step failed":
		f.say("%-12s %6.1f s  %s %s", clean(l.Step), l.Seconds, f.paint(red, "failed:"), clean(l.Error))
	}
}

// states says how many accounts a step saw in which state.
func states(l logged) string {
	if l.Hosts == 0 {
		return ""
	}
	var parts []string
	for state, n := range l.States {
		parts = append(parts, fmt.Sprintf("%d %s", n, clean(state)))
	}
	slices.Sort(parts)
	return fmt.Sprintf("  %s: %s", plural(l.Hosts, "host"), strings.Join(parts, ", "))
}

// look asks Secrets Manager and what is remembered how far it is.
func (f *following) look(ctx context.Context) (done bool, err error) {
	auditor, err := f.stack.auditor()
	if err != nil {
		return false, err
	}
	now, err := auditor.Describe(ctx, f.secret.ARN)
	if err != nil {
		return false, err
	}
	if now.Version("AWSCURRENT") == f.version {
		if f.promoted.IsZero() {
			f.promoted = time.Now()
		}
		finished := slices.ContainsFunc(f.steps, func(l logged) bool { return l.Step == "finishSecret" && l.Message == "rotation step done" })
		// A log comes some seconds late, or cannot be read.
		const late = 30 * time.Second
		return finished || time.Since(f.promoted) > late && f.quietly(), nil
	}
	if f.stack.events == nil {
		return false, nil
	}
	bucket, err := f.stack.bucket()
	if err != nil {
		return false, err
	}
	w, err := events.ReadWatched(ctx, bucket, f.secret.ARN)
	if err != nil {
		return false, err
	}
	r, ok := w.Find(f.version)
	if ok && (r.Outcome == evidence.Failed || r.Outcome == evidence.Abandoned) {
		return false, f.failed(r.Step, r.Message)
	}
	return false, nil
}

// quietly reports that no step is known to have failed last, after which Secrets Manager would try again.
func (f *following) quietly() bool {
	n := len(f.steps)
	return n == 0 || f.steps[n-1].Message != "rotation step failed"
}

func (f *following) failed(step, message string) error {
	return &failure{code: exitDrift, err: fmt.Errorf("the rotation of %s failed in %s: %s; the key from before is still the live one", f.secret.Name, step, message),
		fix: "mend what stands in the way and rotate again, or keytrail unblock " + f.secret.Name + " gives the new key up"}
}
