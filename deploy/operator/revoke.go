package operator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

func (s *session) revokeCommand() *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use: "revoke SECRET FINGERPRINT", Short: "End trust in one key of a secret, until nobody trusts it", Args: cobra.ExactArgs(2),
		Long: `revoke has the rotation function take one key away from every host that has it, whatever the grace period, and
goes on until every host was seen without it. It can be interrupted and asked again. A key that is the last to
open an account stays until there is another: to revoke the live key, rotate first.`,
		ValidArgsFunction: s.completeSecret,
		RunE: func(c *cobra.Command, args []string) error {
			fp, err := sshkey.ParseFingerprint(args[1])
			if err != nil {
				return &failure{code: exitUsage, err: err, fix: "a fingerprint is what ssh-keygen -lf says: SHA256:…"}
			}
			return s.revoke(c.Context(), args[0], fp, patience)
		},
	}
	c.Flags().DurationVar(&patience, "timeout", 15*time.Minute, "`time` after which to stop asking hosts that do not answer")
	return c
}

// revocation is what revoke came to.
type revocation struct {
	Fingerprint sshkey.Fingerprint `json:"fingerprint"`
	// Trusted are the places where the key is still, or may be; Unknown those that could not be asked.
	Trusted []audit.Place `json:"trusted"`
	Unknown []audit.Place `json:"unknown"`
	Seen    int           `json:"seen"` // places that were seen without it
}

func (s *session) revoke(ctx context.Context, secret string, fp sshkey.Fingerprint, patience time.Duration) error {
	k, described, err := s.find(ctx, secret)
	if err != nil {
		return err
	}
	end := time.Now().Add(patience)
	const shortest, longest = 2 * time.Second, 30 * time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		r, err := s.act(ctx, k, described, rotate.ActionRequest{Action: rotate.Revoke, Fingerprint: fp})
		if err != nil {
			return err
		}
		if len(r.LockedOut) > 0 {
			name := audit.NameOf(r.LockedOut[0])
			return &failure{code: exitDrift, err: fmt.Errorf("%s is the live key of %s: it stays where no other key opens the account", fp, name),
				fix: "keytrail rotate " + name + ", and then revoke it again"}
		}
		left := 0
		for _, h := range r.Hosts {
			if slices.Contains(h.Trusted, fp) || audit.Unknown(h.State) {
				left++
				s.note("%s %s: %s", clean(string(h.Host)), clean(h.User), clean(string(h.State)+" "+h.Reason))
			}
		}
		if left == 0 || time.Now().Add(pause).After(end) {
			break
		}
		s.working(fmt.Sprintf("%s may still trust it; asking again in %s", plural(left, "account"), span(pause)))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
	// The function looks after the secret's own accounts. A copy in another one is found by a look alone.
	v, err := s.ask(ctx, k, described.ARN, nil)
	if err != nil {
		return err
	}
	return s.tellRevoked(described.Name, trusting(v, fp))
}

// trusting sorts the places of a verdict by what is known of a key there.
func trusting(v audit.Verdict, fp sshkey.Fingerprint) revocation {
	r := revocation{Fingerprint: fp, Trusted: []audit.Place{}, Unknown: []audit.Place{}}
	for _, p := range v.Places {
		switch {
		case slices.Contains(p.Retired, fp):
			r.Trusted = append(r.Trusted, p)
		case audit.Unknown(p.State):
			r.Unknown = append(r.Unknown, p)
		default:
			r.Seen++
		}
	}
	return r
}

func (s *session) tellRevoked(name string, r revocation) error {
	code := exitClean
	switch {
	case len(r.Trusted) > 0:
		code = exitDrift
	case len(r.Unknown) > 0 || r.Seen == 0:
		code = exitUnknown
	}
	if s.output == asJSON {
		if err := s.print(r); err != nil {
			return err
		}
		return ended(code)
	}
	var rows [][]cell
	for _, p := range slices.Concat(r.Trusted, r.Unknown) {
		rows = append(rows, []cell{word(string(p.Host)), word(p.User), {string(p.State), shade(p.State)}, word(remark(p))})
	}
	if len(rows) > 0 {
		s.table([]string{"HOST", "USER", "STATE", "REMARK"}, rows)
		s.say("")
	}
	switch code {
	case exitClean:
		s.say("%s nobody trusts %s any more: %s seen without it", s.paint(green, "revoked:"), r.Fingerprint, plural(r.Seen, "account"))
	case exitDrift:
		s.say("%s %s still trusted by %s of %s", s.paint(red, "drift:"), r.Fingerprint, plural(len(r.Trusted), "account"), clean(name))
	default:
		s.say("%s %s could not be asked; keytrail revoke goes on where it stopped", s.paint(yellow, "not known:"), plural(len(r.Unknown), "account"))
	}
	return ended(code)
}
