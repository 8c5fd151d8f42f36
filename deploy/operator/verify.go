package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/wanted"
)

func (s *session) verifyCommand() *cobra.Command {
	var hosts []string
	var all bool
	c := &cobra.Command{
		Use: "verify SECRET", Short: "Ask the hosts of a secret which keys they trust", Args: cobra.ExactArgs(1),
		Long: `verify asks every host that a secret concerns which keys it trusts: those of its fleet, EC2 instances that
have the tags of its target, and hosts that had a key of it once. It changes nothing. Exit code 0 says that
every account on every host was seen, trusts the live key and none before it.`,
		ValidArgsFunction: s.completeSecret,
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := instanceIDs(hosts)
			if err != nil {
				return err
			}
			return s.verify(c.Context(), args[0], ids, all)
		},
	}
	c.Flags().StringSliceVar(&hosts, "host", nil, "`id` of a host to ask; may be repeated")
	c.Flags().BoolVarP(&all, "all", "a", false, "list every account, not only those that are not as they should be")
	return c
}

// instanceIDs reads the ids of hosts that somebody typed.
func instanceIDs(typed []string) ([]fleet.InstanceID, error) {
	var ids []fleet.InstanceID
	for _, t := range typed {
		id, err := fleet.ParseInstanceID(t)
		if err != nil {
			return nil, &failure{code: exitUsage, err: err, fix: "a host is named by its id, such as i-0123456789abcdef0 or mi-0123456789abcdef0"}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (s *session) verify(ctx context.Context, secret string, hosts []fleet.InstanceID, all bool) error {
	s.working("finding the stack " + s.stackName)
	k, err := s.open(ctx)
	if err != nil {
		return err
	}
	v, err := s.ask(ctx, k, secret, hosts)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if !slices.ContainsFunc(v.Places, func(p audit.Place) bool { return p.Host == h }) {
			return &failure{code: exitNoInput, err: fmt.Errorf("%s is no host of %s, and never had a key of it", h, v.SecretName),
				fix: "keytrail verify " + v.SecretName + " --all lists the hosts"}
		}
	}
	if err := s.tellVerdict(v, all); err != nil {
		return err
	}
	return ended(judge(v))
}

// ask has the hosts of a secret asked, also of one that is gone.
func (s *session) ask(ctx context.Context, k *stack, secret string, hosts []fleet.InstanceID) (audit.Verdict, error) {
	auditor, err := k.auditor()
	if err != nil {
		return audit.Verdict{}, err
	}
	s.working("asking the hosts of " + secret)
	described, err := auditor.Describe(ctx, secret)
	if errors.Is(err, wanted.ErrGone) && strings.HasPrefix(secret, "arn:") {
		v, err := auditor.VerifyGone(ctx, secret)
		if err == nil && len(v.Keys) == 0 {
			err = fmt.Errorf("%w: %s, and no key of it was ever registered", wanted.ErrGone, secret)
		}
		return v, err
	}
	if err != nil {
		return audit.Verdict{}, err
	}
	return auditor.Verify(ctx, described, hosts...)
}

// judge turns a verdict into what to exit with.
func judge(v audit.Verdict) int {
	switch {
	case v.Clean():
		return exitClean
	case len(v.Drifted()) > 0, v.Unregistered:
		return exitDrift
	case v.Gone && len(v.Places) == v.Count()[fleet.OK]:
		return exitClean // nobody trusts a key of it any more
	}
	return exitUnknown
}

// verdictAnswer is a verdict as JSON.
type verdictAnswer struct {
	Clean    bool           `json:"clean"`
	Coverage audit.Coverage `json:"coverage"`
	audit.Verdict
}

// fewPlaces are listed without being asked for.
const fewPlaces = 30

func (s *session) tellVerdict(v audit.Verdict, all bool) error {
	if s.output == asJSON {
		return s.print(verdictAnswer{v.Clean(), v.Coverage(), v})
	}
	places := v.Places
	if !all && len(places) > fewPlaces {
		places = slices.DeleteFunc(slices.Clone(places), func(p audit.Place) bool { return p.State == fleet.OK && len(p.Foreign) == 0 })
	}
	var rows [][]cell
	for _, p := range places {
		rows = append(rows, []cell{word(string(p.Host)), word(p.User), {string(p.State), shade(p.State)}, word(remark(p))})
	}
	if len(rows) > 0 {
		s.table([]string{"HOST", "USER", "STATE", "REMARK"}, rows)
		s.say("")
	}
	s.say("%s", s.sentence(v))
	return nil
}

// shade is the colour of a state.
func shade(state fleet.State) colour {
	switch {
	case state == fleet.OK:
		return green
	case audit.Unknown(state):
		return yellow
	}
	return red
}

// remark says in a line what else is known of a place.
func remark(p audit.Place) string {
	var parts []string
	add := func(text string) {
		if text != "" {
			parts = append(parts, text)
		}
	}
	add(p.Reason)
	if len(p.Retired) > 0 {
		add("retired: " + join(p.Retired))
	}
	if p.Elsewhere {
		add("not an account of the secret: take the line away by hand")
	} else if p.Stray {
		add("left the fleet")
	}
	for _, key := range p.Foreign {
		add(fmt.Sprintf("foreign: %s %s (%s:%d)", key.Fingerprint, key.Comment, key.Path, key.Line))
	}
	if p.Unlisted > 0 {
		add(plural(p.Unlisted, "more key"))
	}
	if p.Skipped > 0 {
		add(plural(p.Skipped, "other account") + " not looked at")
	}
	return strings.Join(parts, "; ")
}

// join lists texts with commas.
func join[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

// sentence is the verdict in one line.
func (s *session) sentence(v audit.Verdict) string {
	c := v.Coverage()
	name, seen := clean(v.SecretName), fmt.Sprintf("%d of %d hosts seen", c.Seen, c.Expected)
	switch {
	case v.Clean():
		return s.paint(green, "clean:") + fmt.Sprintf(" %d of %d hosts trust version %s of %s, and none any before it", c.Seen, c.Expected, v.Version, name)
	case len(v.Places) == 0 && !v.Gone:
		return s.paint(yellow, "not known:") + " no host has the tags that " + name + " is for"
	case judge(v) == exitClean:
		return s.paint(green, "clean:") + " " + name + " is gone, and no host trusts a key of it"
	case v.Unregistered:
		return s.paint(red, "unregistered:") + " the value of " + name + " was put by hand; nothing of it is rolled out until somebody runs keytrail adopt " + name
	case judge(v) == exitDrift:
		return s.paint(red, "drift:") + fmt.Sprintf(" %s of %s: %s; %s", plural(len(v.Drifted()), "account"), name, counts(v.Count()), seen)
	}
	return s.paint(yellow, "not known:") + fmt.Sprintf(" %s of %s; %s", seen, name, counts(v.Count()))
}

// counts lists states with their numbers.
func counts(n map[fleet.State]int) string {
	var parts []string
	for state, count := range n {
		parts = append(parts, fmt.Sprintf("%d %s", count, state))
	}
	slices.SortFunc(parts, func(a, b string) int {
		return strings.Compare(a[strings.IndexByte(a, ' '):], b[strings.IndexByte(b, ' '):])
	})
	return strings.Join(parts, ", ")
}
