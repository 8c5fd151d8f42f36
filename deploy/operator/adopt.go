package operator

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/rotate"
)

func (s *session) adoptCommand() *cobra.Command {
	return &cobra.Command{
		Use: "adopt SECRET", Short: "Register a value that was put by hand, so that it may be rolled out", Args: cobra.ExactArgs(1),
		Long: `adopt registers the key pair that AWSCURRENT holds and that no rotation made. It changes no host: reconcile
rolls the key out then. Whoever put the value knows its private key: rotate if you do not trust them.`,
		ValidArgsFunction: s.completeSecret,
		RunE:              func(c *cobra.Command, args []string) error { return s.adopt(c.Context(), args[0]) },
	}
}

func (s *session) adopt(ctx context.Context, secret string) error {
	k, described, err := s.find(ctx, secret)
	if err != nil {
		return err
	}
	r, err := s.act(ctx, k, described, rotate.ActionRequest{Action: rotate.Adopt})
	if err != nil {
		return err
	}
	if s.output == asJSON {
		return s.print(r)
	}
	name := clean(described.Name)
	if r.Note != "" {
		s.say("%s", clean(r.Note))
		return nil
	}
	s.say("adopted: version %s of %s, key %s; keytrail reconcile %s rolls it out", clean(r.Version), name, join(r.Live), name)
	return nil
}
