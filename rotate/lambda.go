package rotate

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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

// ShortOfDeadline ends the work before Lambda would kill it, so that the error can say what was done
// and what is left: a tenth of the remaining time, at most ten seconds, is kept for that.
func ShortOfDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	reserve := min(time.Until(deadline)/10, 10*time.Second)
	return context.WithDeadlineCause(ctx, deadline.Add(-reserve), errDeadline)
}

// logStep writes one line for the step and one for each host and user that is not ok.
func (r *Rotator) logStep(ctx context.Context, req request, result outcome, took time.Duration, err error) {
	attrs := []slog.Attr{
		slog.String("step", string(req.step)),
		slog.String("secretArn", req.secretID),
		slog.String("version", req.version),
	}
	r.logHosts(ctx, slices.Concat(result.hosts, result.strays), attrs)
	if result.key != "" {
		attrs = append(attrs, slog.String("fingerprint", string(result.key)))
	}
	if result.hosts != nil {
		attrs = append(attrs,
			slog.Int("hosts", result.hosts.Hosts()),
			slog.Any("states", result.hosts.Count()),
			slog.Any("commandIds", commands(result.hosts)))
	}
	if result.strays != nil {
		attrs = append(attrs, slog.Any("strays", result.strays.Count()))
	}
	if result.note != "" {
		attrs = append(attrs, slog.String("note", result.note))
	}
	r.logEnd(ctx, "rotation step", attrs, took, err)
}

// logAction writes one line for the action and one for each host and user that is not ok.
func (r *Rotator) logAction(ctx context.Context, req ActionRequest, result *ActionResult, took time.Duration, err error) {
	attrs := []slog.Attr{slog.String("action", string(req.Action)), slog.String("secretArn", req.SecretID)}
	if req.Fingerprint != "" {
		attrs = append(attrs, slog.String("fingerprint", string(req.Fingerprint)))
	}
	if result != nil {
		for _, h := range result.Hosts {
			if h.State != fleet.OK {
				r.logHosts(ctx, fleet.Observations{{Host: h.Host, User: h.User, State: h.State, Reason: h.Reason, CommandID: h.CommandID}}, attrs)
			}
		}
		attrs = append(attrs, slog.String("version", result.Version), slog.Any("states", result.Counts),
			slog.Bool("clean", result.Clean), slog.Bool("dryRun", result.DryRun))
	}
	r.logEnd(ctx, "action", attrs, took, err)
}

// logHosts writes one line for each host and user that is not ok.
func (r *Rotator) logHosts(ctx context.Context, hosts fleet.Observations, about []slog.Attr) {
	for _, o := range hosts.NotOK() {
		r.log.LogAttrs(ctx, slog.LevelWarn, "host not ok", append(slices.Clone(about),
			slog.String("instanceId", string(o.Host)), slog.String("user", o.User), slog.String("state", string(o.State)),
			slog.String("reason", o.Reason), slog.String("commandId", o.CommandID))...)
	}
}

// logEnd writes how a step or an action ended.
func (r *Rotator) logEnd(ctx context.Context, what string, attrs []slog.Attr, took time.Duration, err error) {
	attrs = append(attrs, slog.Float64("seconds", took.Seconds()))
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()), slog.Bool("permanent", isPermanent(err)))
		r.log.LogAttrs(ctx, slog.LevelError, what+" failed", attrs...)
		return
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, what+" done", attrs...)
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
