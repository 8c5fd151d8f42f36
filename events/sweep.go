package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// sweep asks for a look at every secret that Keytrail looks after, a message each: one call could not do it
// for many. A secret that left, or that is gone, is found in the register.
func (c *Consumer) sweep(ctx context.Context, e Event) error {
	secrets, err := c.auditor.Secrets(ctx)
	if err != nil {
		return err
	}
	var arns []string
	for _, s := range secrets {
		if c.ours(s) {
			arns = append(arns, s.ARN)
		}
	}
	// With an error, some that left may be missing. All others are looked at, and then the error is told.
	registered, unread := c.auditor.Registered(ctx)
	arns = append(arns, registered...)
	slices.Sort(arns)
	arns = slices.Compact(arns)
	var messages []string
	for _, arn := range arns {
		id, err := ParseSecretID(arn)
		if err != nil {
			return err
		}
		body, err := EncodeCheck(e, id)
		if err != nil {
			return fmt.Errorf("encode the check of %s: %w", arn, err)
		}
		messages = append(messages, string(body))
	}
	c.log.InfoContext(ctx, "sweep", "eventId", e.ID, "secrets", len(arns))
	return errors.Join(c.queues.ask(ctx, messages), unread)
}
