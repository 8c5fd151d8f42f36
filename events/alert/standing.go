package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
)

// Standing is an alert that is open.
type Standing struct {
	ID        string // of the problem, the same in all messages about it
	Condition Condition
	Since     time.Time
	Problem   Problem
}

// Open reads the alerts of a secret that are open, by severity and then by id. What happened once is none: it
// was told, and nothing ends it.
func Open(ctx context.Context, bucket evidence.Bucket, secretARN string) ([]Standing, error) {
	body, _, err := bucket.Read(ctx, keyOf(secretARN))
	if errors.Is(err, evidence.ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := decode(body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", keyOf(secretARN), err)
	}
	var open []Standing
	for id, l := range r.Alerts {
		if c, ok := Lookup(l.Condition); ok && l.Open && !c.Once {
			open = append(open, Standing{id, c, l.Since, l.Problem})
		}
	}
	slices.SortFunc(open, func(a, b Standing) int {
		return cmp.Or(a.Condition.Severity.rank()-b.Condition.Severity.rank(), cmp.Compare(a.ID, b.ID))
	})
	return open, nil
}

// rank is lowest for what is looked at first.
func (s Severity) rank() int {
	return slices.Index([]Severity{Critical, High, Medium, Low, Info}, s)
}
