package operator

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/rotate"
)

func (s *session) reconcileCommand() *cobra.Command {
	var dry bool
	var hosts []string
	c := &cobra.Command{
		Use: "reconcile SECRET", Short: "Bring hosts to what the secret says: its key in, every older one out", Args: cobra.ExactArgs(1),
		Long: `reconcile has the rotation function put the live key of a secret on its hosts and take every retired one away,
each on a host only after that host has shown the live key in place. With --dry-run it compares, and changes
nothing. Foreign keys are never touched.`,
		ValidArgsFunction: s.completeSecret,
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := instanceIDs(hosts)
			if err != nil {
				return err
			}
			return s.reconcile(c.Context(), args[0], rotate.ActionRequest{Action: rotate.Reconcile, Hosts: ids, DryRun: dry})
		},
	}
	c.Flags().BoolVarP(&dry, "dry-run", "n", false, "compare, and change nothing")
	c.Flags().StringSliceVar(&hosts, "host", nil, "`id` of a host to bring up to date; may be repeated")
	return c
}

func (s *session) reconcile(ctx context.Context, secret string, req rotate.ActionRequest) error {
	k, described, err := s.find(ctx, secret)
	if err != nil {
		return err
	}
	r, err := s.act(ctx, k, described, req)
	if err != nil {
		return err
	}
	if err := s.tellAction(r); err != nil {
		return err
	}
	if s.output == table {
		s.say("%s", s.actionSentence(described.Name, r))
	}
	return ended(judgeAction(r))
}

// actionSentence is what a reconcile came to, in one line.
func (s *session) actionSentence(name string, r *rotate.ActionResult) string {
	changed := 0
	for _, h := range r.Hosts {
		if h.Added+h.Removed > 0 {
			changed++
		}
	}
	did := plural(changed, "account") + " changed"
	if r.DryRun {
		did = "nothing was changed"
	}
	name = clean(name)
	switch code := judgeAction(r); {
	case code == exitClean:
		return s.paint(green, "clean:") + fmt.Sprintf(" %s as %s says; %s", plural(len(r.Hosts), "account"), name, did)
	case r.Unregistered:
		return s.paint(red, "unregistered:") + " the value of " + name + " was put by hand; nothing of it is rolled out until somebody runs keytrail adopt " + name
	case code == exitDrift:
		return s.paint(red, "drift:") + fmt.Sprintf(" %s; %s", counts(r.Counts), did)
	}
	return s.paint(yellow, "not known:") + fmt.Sprintf(" %s; %s", counts(r.Counts), did)
}
