package register

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Lease is the right to change what the hosts of one secret trust. One holder has it at a time, until
// it is over: a holder stops before Expires by its own clock.
type Lease struct {
	Secret string // ARN
	Holder string // empty: released
	// Generation grows with every lease of the secret, whoever held it and whatever was restarted, and
	// is at least the time in Unix milliseconds at which the lease was taken, so that it goes on growing
	// even if the object is lost. Renew keeps it.
	Generation int64
	Expires    time.Time

	tag string // of the object that says so
}

// HeldError: another holder has the lease, or took it meanwhile.
type HeldError struct{ Lease Lease }

func (e *HeldError) Error() string {
	if e.Lease.Holder == "" {
		return fmt.Sprintf("the lease on %s was released meanwhile (generation %d)", e.Lease.Secret, e.Lease.Generation)
	}
	return fmt.Sprintf("the lease on %s is held by %s until %s (generation %d)",
		e.Lease.Secret, e.Lease.Holder, e.Lease.Expires.Format(timeForm), e.Lease.Generation)
}

// Leases keeps one lease for each secret in a bucket. Its objects are under no retention: they are
// written over and over. Make it with NewLeases.
type Leases struct{ bucket bucket }

// NewLeases returns the leases in a bucket.
func NewLeases(client objects, bucketName string) *Leases { return &Leases{bucket{client, bucketName}} }

const (
	// clockDifference is how long after its end a lease is left alone: clocks of functions differ, by
	// far less than this.
	clockDifference = 2 * time.Second
	// leaseTries bounds how often a lost race is looked at again.
	leaseTries = 4
	// maxTTL is the longest that a function runs.
	// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
	maxTTL = 15 * time.Minute
	// maxHolder bounds a name; a request id has 36 characters.
	maxHolder = 200
)

// Acquire takes the lease on a secret for ttl (15 minutes at most), or returns a HeldError that names
// who has it. It does not wait. A holder's name belongs to one piece of work: whoever does it again,
// after a lost reply or in place of an invocation that was killed, gets the lease at once and with a
// higher generation, so that hosts refuse what the earlier one may still send.
func (l *Leases) Acquire(ctx context.Context, secretARN, holder string, now time.Time, ttl time.Duration) (Lease, error) {
	next := Lease{Secret: secretARN, Holder: holder, Expires: expiry(now, ttl)}
	if err := next.check(now, ttl); err != nil {
		return Lease{}, err
	}
	var err error
	stands := false // as a write was told
	for range leaseTries {
		var current Lease
		current, err = l.current(ctx, secretARN)
		// Denied, the lease is perhaps only missing: then it can be created.
		missing := errors.Is(err, errAbsent) || errors.Is(err, ErrDenied) && !stands
		if err != nil && !missing {
			return Lease{}, fmt.Errorf("acquire lease: %w", err)
		}
		if current.says(next) {
			return current, nil // our own write, whose reply was lost
		}
		if current.Holder != "" && current.Holder != holder && now.Before(current.Expires.Add(clockDifference)) {
			return Lease{}, &HeldError{current}
		}
		next.Generation = max(current.Generation+1, now.UnixMilli())
		next.tag, err = l.put(ctx, next, current.tag)
		stands = errors.Is(err, errPrecondition)
		switch {
		case err == nil:
			return next, nil
		case !stands && !errors.Is(err, errAbsent):
			return Lease{}, fmt.Errorf("acquire lease: %w", err)
		}
		// Lost the race, or only the reply: the next look tells.
	}
	return Lease{}, fmt.Errorf("acquire lease: %w: %w", ErrBusy, err)
}

// Renew prolongs a lease to ttl from now, or returns a HeldError when another holder took it. One that
// is over but that nobody took may be renewed.
func (l *Leases) Renew(ctx context.Context, lease Lease, now time.Time, ttl time.Duration) (Lease, error) {
	lease.Expires = expiry(now, ttl)
	if err := lease.check(now, ttl); err != nil {
		return Lease{}, err
	}
	next, err := l.swap(ctx, lease)
	if err != nil {
		return Lease{}, fmt.Errorf("renew lease: %w", err)
	}
	return next, nil
}

// Release ends a lease. One that another holder took meanwhile, or that is released already, is none
// of ours and no error. The object stays, so that the generation goes on.
func (l *Leases) Release(ctx context.Context, lease Lease, now time.Time) error {
	lease.Holder, lease.Expires = "", now.UTC().Truncate(time.Millisecond)
	_, err := l.swap(ctx, lease)
	if _, held := errors.AsType[*HeldError](err); held || errors.Is(err, errAbsent) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release lease: %w", err)
	}
	return nil
}

// swap writes a lease over the one it was made from. What another wrote meanwhile is a HeldError.
func (l *Leases) swap(ctx context.Context, next Lease) (Lease, error) {
	if next.tag == "" {
		return Lease{}, errors.New("the lease was not acquired")
	}
	tag, err := l.put(ctx, next, next.tag)
	if errors.Is(err, errPrecondition) {
		current, readErr := l.current(ctx, next.Secret)
		if readErr != nil {
			return Lease{}, readErr
		}
		if current.says(next) {
			return current, nil // our own write, whose reply was lost
		}
		return Lease{}, &HeldError{current}
	}
	next.tag = tag
	return next, err
}

// says tells whether what stands is what was to be written.
func (l Lease) says(next Lease) bool {
	return l.Holder == next.Holder && l.Generation == next.Generation && l.Expires.Equal(next.Expires)
}

func expiry(now time.Time, ttl time.Duration) time.Time {
	return now.Add(ttl).UTC().Truncate(time.Millisecond)
}

// check refuses what could not be read back.
func (l Lease) check(now time.Time, ttl time.Duration) error {
	if err := checkARN(l.Secret); err != nil {
		return err
	}
	if l.Holder == "" || len(l.Holder) > maxHolder || strings.ContainsFunc(l.Holder, unprintable) {
		return fmt.Errorf("%q is not the name of a lease's holder", l.Holder)
	}
	if ttl <= 0 || ttl > maxTTL || now.Year() < 2000 || now.Year() > 9000 {
		return fmt.Errorf("a lease of %s is out of range: at most %s", ttl, maxTTL)
	}
	return nil
}

// leaseObject is a lease as it stands in S3.
type leaseObject struct {
	Schema     int    `json:"schema"`
	Secret     string `json:"secret"`
	Holder     string `json:"holder"`
	Generation int64  `json:"generation"`
	Expires    string `json:"expires"`
}

func leaseKey(arn string) string { return leaseFolder + pathOf(arn) + ".json" }

// current reads the lease that stands. errAbsent when the secret never had one.
func (l *Leases) current(ctx context.Context, arn string) (Lease, error) {
	key := leaseKey(arn)
	body, tag, err := l.bucket.read(ctx, key, maxObject)
	if err != nil {
		return Lease{}, err
	}
	var o leaseObject
	if err := strict(body, &o); err != nil || o.Schema != schema || o.Generation < 1 {
		return Lease{}, &ObjectError{l.bucket.name, key, ErrDamaged}
	}
	expires, err := time.Parse(timeForm, o.Expires)
	if err != nil {
		return Lease{}, &ObjectError{l.bucket.name, key, ErrDamaged}
	}
	if o.Secret != arn {
		return Lease{}, &ObjectError{l.bucket.name, key, fmt.Errorf("%w: of secret %q", ErrForeign, o.Secret)}
	}
	return Lease{o.Secret, o.Holder, o.Generation, expires, tag}, nil
}

// put writes a lease over the object with a tag, or where none is.
func (l *Leases) put(ctx context.Context, next Lease, tag string) (string, error) {
	key := leaseKey(next.Secret)
	body := line(leaseObject{schema, next.Secret, next.Holder, next.Generation, next.Expires.Format(timeForm)})
	if tag == "" {
		return l.bucket.create(ctx, key, body, Retention{}, time.Time{})
	}
	return l.bucket.replace(ctx, key, body, tag)
}
