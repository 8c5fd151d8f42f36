package sqs

import (
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

type handleInput struct {
	QueueUrl          *string
	Id                *string
	ReceiptHandle     *string
	VisibilityTimeout *int32
}

func (in handleInput) url() *string { return in.QueueUrl }

type handleEntry struct {
	Id                *string
	ReceiptHandle     *string
	VisibilityTimeout *int32
}

func (e handleEntry) id() string { return deref(e.Id) }

// byHandle returns the message that was last received under a handle; nil if
// it is gone or was received again since.
func (q *queue) byHandle(handle *string) (*message, error) {
	switch {
	case handle == nil:
		return nil, errMissing("ReceiptHandle")
	case !isHandle(*handle):
		return nil, errHandle(*handle)
	}
	for _, m := range q.messages {
		if m.handle == *handle {
			return m, nil
		}
	}
	return nil, nil
}

func (s *Service) deleteMessage(q *queue, _ wire.Request, in handleInput) (any, error) {
	return nil, s.remove(q, in.ReceiptHandle)
}

// remove deletes a message. An old handle succeeds and deletes nothing, which
// AWS allows itself.
func (s *Service) remove(q *queue, handle *string) error {
	m, err := q.byHandle(handle)
	if err != nil {
		return err
	}
	if m != nil {
		q.drop(m)
	}
	return nil
}

func (s *Service) deleteMessageBatch(q *queue, _ wire.Request, in batch[handleEntry]) (any, error) {
	return each(in.Entries, func(e handleEntry) (any, error) {
		return map[string]string{"Id": e.id()}, s.remove(q, e.ReceiptHandle)
	})
}

func (s *Service) changeMessageVisibility(q *queue, _ wire.Request, in handleInput) (any, error) {
	return nil, s.hide(q, in.ReceiptHandle, in.VisibilityTimeout)
}

func (s *Service) changeMessageVisibilityBatch(q *queue, _ wire.Request, in batch[handleEntry]) (any, error) {
	return each(in.Entries, func(e handleEntry) (any, error) {
		return map[string]string{"Id": e.id()}, s.hide(q, e.ReceiptHandle, e.VisibilityTimeout)
	})
}

// hide sets from when on a message that is in flight can be received again.
func (s *Service) hide(q *queue, handle *string, timeout *int32) error {
	d, err := visibility(timeout)
	if err != nil {
		return err
	}
	m, err := q.byHandle(handle)
	if err != nil {
		return err
	}
	now := s.now()
	if m == nil || !m.visible.After(now) {
		return errNotInFlight(*handle)
	}
	m.visible = now.Add(d)
	return nil
}
