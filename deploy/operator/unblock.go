package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate"
)

func (s *session) unblockCommand() *cobra.Command {
	var yes, force bool
	c := &cobra.Command{
		Use: "unblock SECRET", Short: "Give up a rotation that is stuck, so that the next one can start", Args: cobra.ExactArgs(1),
		Long: `unblock takes the label AWSPENDING off a version that is not the current one, and has the rotation function take
that version's key away from hosts where the rotation had put it. The live key is untouched. It says what it
will do, and asks. While a rotation may still be at work it refuses, unless --force is given.`,
		ValidArgsFunction: s.completeSecret,
		RunE:              func(c *cobra.Command, args []string) error { return s.unblock(c.Context(), args[0], yes, force) },
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do it without asking")
	c.Flags().BoolVar(&force, "force", false, "even while the rotation may still be at work")
	return c
}

// aRotation is as long as one may take: four steps of a function that has 15 minutes for each.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
const aRotation = time.Hour

func (s *session) unblock(ctx context.Context, secret string, yes, force bool) error {
	k, described, err := s.find(ctx, secret)
	if err != nil {
		return err
	}
	name, pending := clean(described.Name), described.Version("AWSPENDING")
	if pending == "" || pending == described.Version("AWSCURRENT") {
		s.note("%s is not blocked: no version but the current one has AWSPENDING", name)
		if s.output == asJSON {
			return s.print(struct{}{})
		}
		return nil
	}
	bucket, err := k.bucket()
	if err != nil {
		return err
	}
	watched, err := events.ReadWatched(ctx, bucket, described.ARN)
	if err != nil {
		return err
	}
	r, known := watched.Find(pending)
	s.note("version %s of %s has AWSPENDING, and the current one is %s", clean(pending), name, clean(described.Version("AWSCURRENT")))
	switch {
	case known && r.Outcome == events.Running:
		s.note("its rotation began %s, and no event told how it ended", ago(r.Began, time.Now()))
	case known:
		s.note("its rotation %s %s %s", r.Outcome, ago(r.Ended, time.Now()), clean(r.Step))
	default:
		s.note("no event told of its rotation")
	}
	if known && r.Outcome == events.Running && time.Since(r.Began) < aRotation && !force {
		return &failure{code: exitUnknown, err: fmt.Errorf("the rotation of %s may still be at work: it began %s", name, ago(r.Began, time.Now())),
			fix: "wait until it ends, or say --force if you know that it does not"}
	}
	s.note("This takes AWSPENDING off that version, and its key away from the hosts that have it. The live key stays.")
	if !yes {
		ok, err := s.confirm("Give this rotation up?")
		if err != nil {
			return err
		}
		if !ok {
			s.note("nothing was done")
			return ended(exitUnknown)
		}
	}
	return s.giveUp(ctx, k, described, pending)
}

// giveUp ends the rotation of a version. Once its label is gone its key is retired, which any reconcile does:
// an interruption leaves nothing that unblock alone could mend.
func (s *session) giveUp(ctx context.Context, k *stack, secret audit.Secret, version string) error {
	_, err := k.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &secret.ARN, VersionStage: aws.String("AWSPENDING"), RemoveFromVersionId: &version,
	})
	if err != nil {
		return fmt.Errorf("take AWSPENDING off version %s: %w", version, err)
	}
	r, err := s.act(ctx, k, secret, rotate.ActionRequest{Action: rotate.Reconcile, Abandoned: version})
	if err != nil {
		return err
	}
	if err := s.tellAction(r); err != nil {
		return err
	}
	if s.output == table {
		s.say("%s version %s of %s was given up; keytrail rotate %s starts anew", s.paint(green, "unblocked:"), clean(version), clean(secret.Name), clean(secret.Name))
		s.say("%s", s.actionSentence(secret.Name, r))
	}
	return ended(judgeAction(r))
}
