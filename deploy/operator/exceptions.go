package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events"
)

func (s *session) exceptionsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "exceptions", Short: "See and change which foreign keys somebody answers for",
		Long: `exceptions works on the list of foreign keys that somebody answers for: exceptions.json in the bucket. Each has an
owner, a reason and a last day. A change is in force when the hosts are next looked at, and stands in the evidence.`,
	}
	list := &cobra.Command{
		Use: "list", Short: "List the exceptions", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.listExceptions(c.Context()) },
	}
	var e evidence.Exception
	answer := func(c *cobra.Command) {
		c.Flags().StringVar(&e.Owner, "owner", "", "`who` answers for it")
		c.Flags().StringVar(&e.Reason, "reason", "", "`why` it is there")
		c.Flags().StringVar(&e.Expires, "expires", "", "last `day` on which it holds, such as 2027-06-30")
		for _, name := range []string{"owner", "reason", "expires"} {
			_ = c.MarkFlagRequired(name) // the flag is there
		}
		c.PreRunE = func(c *cobra.Command, _ []string) error {
			if err := c.ValidateRequiredFlags(); err != nil {
				return &failure{code: exitUsage, err: err, fix: c.CommandPath() + " --help explains it"}
			}
			return nil
		}
	}
	add := &cobra.Command{
		Use: "add FINGERPRINT", Short: "Answer for one foreign key", Args: cobra.ExactArgs(1),
		Long: `add puts a key into the list, or changes what the list says of it for the same account and hosts. The fingerprint is
as ssh-keygen -l has it: SHA256:…`,
		RunE: func(c *cobra.Command, args []string) error {
			e.Fingerprint = args[0]
			return s.addExceptions(c.Context(), []evidence.Exception{e})
		},
	}
	answer(add)
	add.Flags().StringVar(&e.User, "user", "", "`account`; all where none is named")
	add.Flags().StringArrayVar(&e.Hosts, "host", nil, "`id`, or a pattern such as i-0a*; all where none is named")
	user := ""
	remove := &cobra.Command{
		Use: "remove FINGERPRINT", Short: "Answer for a foreign key no more", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.removeExceptions(c.Context(), args[0], user) },
	}
	remove.Flags().StringVar(&user, "user", "", "only what is about this `account`")
	yes := false
	accept := &cobra.Command{
		Use: "accept-baseline", Short: "Answer for all keys that the first look found", Args: cobra.NoArgs,
		Long: `accept-baseline shows the foreign keys that stood on the hosts when each secret was first looked at and that no
exception is about, and after a yes puts them all into the list.`,
		RunE: func(c *cobra.Command, _ []string) error { return s.acceptBaseline(c.Context(), e, yes) },
	}
	answer(accept)
	accept.Flags().BoolVarP(&yes, "yes", "y", false, "do it without asking")
	c.AddCommand(list, add, remove, accept)
	return c
}

// exceptions reads the list, and what it takes to replace it.
func (s *session) exceptions(ctx context.Context) (bucket evidence.Bucket, list []evidence.Exception, tag string, err error) {
	k, err := s.open(ctx)
	if err != nil {
		return bucket, nil, "", err
	}
	if bucket, err = k.bucket(); err != nil {
		return bucket, nil, "", err
	}
	body, tag, err := bucket.Read(ctx, evidence.ExceptionsKey)
	if errors.Is(err, evidence.ErrAbsent) {
		return bucket, nil, "", nil
	}
	if err == nil {
		if list, err = evidence.ParseExceptions(body); err != nil {
			err = &failure{code: exitConfig, err: err, fix: "mend " + evidence.ExceptionsKey + " in the bucket by hand; until then the list from before is in force"}
		}
	}
	return bucket, list, tag, err
}

// replaceExceptions writes the list, unless somebody else did meanwhile.
func (s *session) replaceExceptions(ctx context.Context, bucket evidence.Bucket, list []evidence.Exception, tag string) error {
	slices.SortFunc(list, func(a, b evidence.Exception) int {
		return cmp.Or(strings.Compare(a.Fingerprint, b.Fingerprint), strings.Compare(a.User, b.User), slices.Compare(a.Hosts, b.Hosts))
	})
	body, err := evidence.FormatExceptions(list)
	if err != nil {
		return err
	}
	if _, err := evidence.ParseExceptions(body); err != nil {
		return &failure{code: exitUsage, err: err, fix: "see keytrail exceptions add --help"}
	}
	_, err = bucket.Write(ctx, evidence.ExceptionsKey, body, tag)
	if errors.Is(err, evidence.ErrChanged) {
		return &failure{code: exitUnknown, err: err, fix: "somebody else changed the list at the same time: do it again"}
	}
	return err
}

func (s *session) listExceptions(ctx context.Context) error {
	_, list, _, err := s.exceptions(ctx)
	if err != nil {
		return err
	}
	if s.output == asJSON {
		return s.print(map[string]any{"exceptions": append([]evidence.Exception{}, list...)})
	}
	if len(list) == 0 {
		s.say("there is no exception")
		return nil
	}
	s.exceptionTable(list)
	return nil
}

func (s *session) exceptionTable(list []evidence.Exception) {
	var rows [][]cell
	for _, e := range list {
		end := word(e.Expires)
		if e.Expires != "" && !e.Holds(time.Now()) {
			end = cell{e.Expires + " (over)", red}
		}
		rows = append(rows, []cell{word(e.Fingerprint), word(cmp.Or(e.User, "all")), word(cmp.Or(strings.Join(e.Hosts, " "), "all")), end, word(e.Owner), word(e.Reason)})
	}
	s.table([]string{"FINGERPRINT", "ACCOUNT", "HOSTS", "UNTIL", "OWNER", "REASON"}, rows)
}

// addExceptions puts exceptions into the list, each in place of one about the same.
func (s *session) addExceptions(ctx context.Context, news []evidence.Exception) error {
	bucket, list, tag, err := s.exceptions(ctx)
	if err != nil {
		return err
	}
	for _, e := range news {
		list = slices.DeleteFunc(list, func(old evidence.Exception) bool {
			return old.Fingerprint == e.Fingerprint && old.User == e.User && slices.Equal(old.Hosts, e.Hosts)
		})
		list = append(list, e)
	}
	if err := s.replaceExceptions(ctx, bucket, list, tag); err != nil {
		return err
	}
	return s.changed(list)
}

func (s *session) changed(list []evidence.Exception) error {
	if s.output == asJSON {
		return s.print(map[string]any{"exceptions": list})
	}
	s.say("%s in the list; it is in force when the hosts are next looked at", plural(len(list), "exception"))
	return nil
}

func (s *session) removeExceptions(ctx context.Context, fingerprint, user string) error {
	bucket, list, tag, err := s.exceptions(ctx)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(list), func(e evidence.Exception) bool {
		return e.Fingerprint == fingerprint && (user == "" || e.User == user)
	})
	if len(left) == len(list) {
		return &failure{code: exitNoInput, err: fmt.Errorf("no exception is about %s", fingerprint), fix: "keytrail exceptions list shows them"}
	}
	if err := s.replaceExceptions(ctx, bucket, left, tag); err != nil {
		return err
	}
	return s.changed(left)
}

func (s *session) acceptBaseline(ctx context.Context, answer evidence.Exception, yes bool) error {
	bucket, list, _, err := s.exceptions(ctx)
	if err != nil {
		return err
	}
	keys, err := bucket.List(ctx, events.BaselineFolder, "")
	if err != nil {
		return err
	}
	var news []evidence.Exception
	for _, key := range keys {
		body, _, err := bucket.Read(ctx, key)
		if err != nil {
			return err
		}
		found, err := evidence.ParseBaseline(body)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		for _, e := range found {
			about := func(old evidence.Exception) bool { return old.Fingerprint == e.Fingerprint && old.User == e.User }
			if !slices.ContainsFunc(list, about) && !slices.ContainsFunc(news, about) {
				e.Owner, e.Reason, e.Expires = answer.Owner, answer.Reason, answer.Expires
				news = append(news, e)
			}
		}
	}
	if len(news) == 0 {
		s.note("the first look found no key that nobody answers for")
		return s.changed(list)
	}
	if !yes {
		s.exceptionTable(news)
		ok, err := s.confirm(fmt.Sprintf("Answer for %s?", plural(len(news), "key")))
		if err != nil {
			return err
		}
		if !ok {
			return exit(exitUnknown)
		}
	}
	return s.addExceptions(ctx, news)
}
