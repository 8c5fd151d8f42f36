package rotate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keytrail/keytrail/rotate/register"
)

const (
	// A lease is waited for as long as a pass over a fleet usually takes.
	leaseWait = 30 * time.Second
	leasePoll = time.Second
	// An invocation has its lease for all of its time and a little more, so that what it does last is
	// still covered.
	leaseMargin = 2 * time.Second
	// Without a deadline, as in no Lambda, work ends after the longest time that a Lambda may run.
	leaseLongest = 15*time.Minute - leaseMargin
	// releaseTimeout bounds the clean-up once the work's own time is over.
	releaseTimeout = 3 * time.Second
)

// exclusively runs work while nobody else changes what hosts trust of the secret, and tells it the
// generation of its orders. Hosts refuse what is older than they have seen, so that an invocation that
// is slower than its lease does no harm either: whatever work reads, it reads after its generation was
// fixed.
//
// Without a register there is no lease, and the generation is the time.
func (r *Rotator) exclusively(ctx context.Context, arn, holder string, work func(ctx context.Context, generation int64) error) error {
	if r.register == nil {
		return work(ctx, time.Now().UnixMilli())
	}
	ctx, cancel := context.WithTimeout(ctx, leaseLongest)
	defer cancel()
	lease, err := r.lease(ctx, arn, holder)
	if err != nil {
		return err
	}
	defer func() {
		tidy, done := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer done()
		if err := r.leases.Release(tidy, lease, time.Now()); err != nil {
			r.log.WarnContext(ctx, "lease not released", "secretArn", arn, "until", lease.Expires, "error", err.Error())
		}
	}()
	return work(ctx, lease.Generation)
}

// lease takes the lease on a secret, and waits a while for who has it.
func (r *Rotator) lease(ctx context.Context, arn, holder string) (register.Lease, error) {
	deadline, _ := ctx.Deadline()
	for waited := time.Duration(0); ; waited += leasePoll {
		lease, err := r.leases.Acquire(ctx, arn, holder, time.Now(), time.Until(deadline)+leaseMargin)
		if _, busy := errors.AsType[*register.HeldError](err); !busy || waited >= leaseWait {
			return lease, err
		}
		select {
		case <-ctx.Done():
			return register.Lease{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(leasePoll):
		}
	}
}
