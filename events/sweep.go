package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// watched are the ARNs of the secrets that Keytrail looks after, sorted. A secret that left, or that is gone, is found
// in the register: with unread, some of those may be missing.
func (c *Consumer) watched(ctx context.Context) (arns []string, unread, err error) {
	secrets, err := c.auditor.Secrets(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range secrets {
		if c.ours(s) {
			arns = append(arns, s.ARN)
		}
	}
	registered, unread := c.auditor.Registered(ctx)
	arns = append(arns, registered...)
	slices.Sort(arns)
	return slices.Compact(arns), unread, nil
}

// sweep asks for a look at every secret that Keytrail looks after, a message each: one call could not do it
// for many; and for the reports that are due.
func (c *Consumer) sweep(ctx context.Context, e Event) error {
	arns, unread, err := c.watched(ctx)
	if err != nil {
		return err
	}
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
	// With an error, all that is known is looked at, and then the error is told.
	due, late := c.due(ctx, e)
	return errors.Join(c.queues.ask(ctx, append(messages, due...)), unread, late)
}
