// Package operator is the command keytrail: what a person asks about the keys of a fleet, and has done about
// them. It finds the stack by its name, works with the rights of whoever runs it, and decides nothing that
// audit, events or rotate decide.
package operator

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

const long = `keytrail asks the hosts of a fleet which SSH keys they trust, and compares that with the secrets in
AWS Secrets Manager that Keytrail rotates. It finds the set-up by the name of the CloudFormation stack.

Credentials, profiles, Regions and endpoints are those of the AWS CLI: AWS_PROFILE, AWS_REGION and
AWS_ENDPOINT_URL work, and so do the flags of the same names.

Exit codes
   0  all is well, or it was done
   1  drift: something is wrong, and the answer says what
   2  it could not be told
  64  the command was not understood
  66  there is no such secret or file
  69  AWS did not answer, or refused for another reason
  77  the credentials lack a right, have expired, or are missing
  78  the set-up is not complete: no stack of that name, no Region, a function that is not configured`

// Run runs one command line, and returns what to exit with.
func Run(ctx context.Context, args []string, streams Streams) int {
	s := &session{screen: newScreen(streams)}
	root := s.command()
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	ran, err := root.ExecuteContextC(ctx)
	s.quiet()
	if err == nil {
		return exitClean
	}
	if code, ok := errors.AsType[exit](err); ok {
		return int(code)
	}
	if !s.started {
		err = &failure{code: exitUsage, asked: ran.CommandPath(), err: err, fix: ran.CommandPath() + " --help explains it"}
	}
	f := explain(ctx, ran.CommandPath(), err)
	s.fail(f)
	return f.code
}

// command returns the whole tree of commands.
func (s *session) command() *cobra.Command {
	root := &cobra.Command{
		Use: "keytrail", Short: "See and mend what the hosts of a fleet trust", Long: long,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if s.output != table && s.output != asJSON {
				return fmt.Errorf("--output is table or json, not %q", s.output)
			}
			s.started = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.output, "output", table, "`form` of the answer: table or json")
	flags.StringVar(&s.profile, "profile", "", "`name` of a profile of the AWS CLI")
	flags.StringVar(&s.region, "region", "", "`name` of the Region")
	flags.StringVar(&s.endpoint, "endpoint-url", "", "`address` of all AWS services, for a lab")
	flags.StringVar(&s.stackName, "stack", "keytrail", "`name` of the CloudFormation stack")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{table, asJSON}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	root.AddCommand(
		s.statusCommand(), s.verifyCommand(), s.historyCommand(),
		s.reportCommand(), s.evidenceCommand(), s.exceptionsCommand(),
		s.rotateCommand(), s.reconcileCommand(), s.revokeCommand(), s.adoptCommand(), s.unblockCommand(),
		s.replayCommand(), s.doctorCommand(),
	)
	return root
}

// The forms of an answer.
const (
	table  = "table"
	asJSON = "json"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       *os.File
	Out, Err *os.File
}

// Terminal returns those of the process.
func Terminal() Streams { return Streams{os.Stdin, os.Stdout, os.Stderr} }
