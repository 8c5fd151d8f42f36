package rotate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// permanentError marks what no retry can mend. Secrets Manager retries all the same; the mark decides
// what the log says.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

func permanent(err error) error { return permanentError{err} }

func isPermanent(err error) bool {
	_, ok := errors.AsType[permanentError](err)
	return ok
}

// errDeadline is the cause of a context that ended because the function's time was nearly up.
var errDeadline = errors.New("stopped short of the function's deadline")

// shortOfDeadline ends the work before Lambda would kill it, so that the error can say what was done
// and what is left: a tenth of the remaining time, at most ten seconds, is kept for that.
func shortOfDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	reserve := min(time.Until(deadline)/10, 10*time.Second)
	return context.WithDeadlineCause(ctx, deadline.Add(-reserve), errDeadline)
}

// logStep writes one line for the step and one for each host and user that is not ok.
func (r *Rotator) logStep(ctx context.Context, req request, result outcome, took time.Duration, err error) {
	for _, o := range result.hosts.NotOK() {
		r.log.WarnContext(ctx, "host not ok",
			"step", req.step, "secretArn", req.secretID, "version", req.version,
			"instanceId", o.Host, "user", o.User, "state", o.State, "reason", o.Reason, "commandId", o.CommandID)
	}
	attrs := []slog.Attr{
		slog.String("step", string(req.step)),
		slog.String("secretArn", req.secretID),
		slog.String("version", req.version),
		slog.Float64("seconds", took.Seconds()),
	}
	if result.key != "" {
		attrs = append(attrs, slog.String("fingerprint", string(result.key)))
	}
	if result.hosts != nil {
		attrs = append(attrs,
			slog.Int("hosts", result.hosts.Hosts()),
			slog.Any("states", result.hosts.Count()),
			slog.Any("commandIds", commands(result.hosts)))
	}
	if result.note != "" {
		attrs = append(attrs, slog.String("note", result.note))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()), slog.Bool("permanent", isPermanent(err)))
		r.log.LogAttrs(ctx, slog.LevelError, "rotation step failed", attrs...)
		return
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, "rotation step done", attrs...)
}

// commands lists the distinct command ids of a pass.
func commands(hosts fleet.Observations) []string {
	var ids []string
	seen := map[string]bool{"": true}
	for _, o := range hosts {
		if !seen[o.CommandID] {
			seen[o.CommandID] = true
			ids = append(ids, o.CommandID)
		}
	}
	return ids
}
