package operator

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/events"
)

// completeSecret offers the names of the secrets of the stack, where AWS answers while somebody waits.
func (s *session) completeSecret(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	var names []cobra.Completion
	if k, err := s.open(ctx); err == nil {
		all, _ := k.listed(ctx) // without names nothing is offered
		for _, secret := range all {
			names = append(names, secret.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// listed are the secrets that Keytrail looks after, as Secrets Manager lists them.
func (k *stack) listed(ctx context.Context) ([]audit.Secret, error) {
	auditor, err := k.auditor()
	if err != nil {
		return nil, err
	}
	all, err := auditor.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	var ours []audit.Secret
	for _, secret := range all {
		if events.Ours(secret, k.function) {
			ours = append(ours, secret)
		}
	}
	return ours, nil
}
