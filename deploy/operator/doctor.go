package operator

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"
)

func (s *session) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check the whole set-up, line by line, each with the fix", Args: cobra.NoArgs,
		Long: `doctor checks a set-up from end to end: credentials, functions, their rights and documents, trail, rules, queues,
topics, bucket, hosts and secrets. It changes nothing, and reads no private key. What it cannot check it says
so, and never calls it fine: exit code 1 says that something is wrong, 2 that something could not be checked.`,
		RunE: func(c *cobra.Command, _ []string) error { return s.doctor(c.Context()) },
	}
}

// condition is how a part of the set-up is.
type condition string

const (
	fine    condition = "ok"
	wrong   condition = "wrong"
	unknown condition = "could not check"
)

// finding is one line of what the doctor says.
type finding struct {
	Subject   string    `json:"subject"`
	Condition condition `json:"condition"`
	Detail    string    `json:"detail,omitempty"`
	Fix       string    `json:"fix,omitempty"`
}

func isFine(subject, format string, args ...any) finding {
	return finding{Subject: subject, Condition: fine, Detail: fmt.Sprintf(format, args...)}
}

func isWrong(subject, detail, fix string) finding {
	return finding{Subject: subject, Condition: wrong, Detail: detail, Fix: fix}
}

func notChecked(subject, why, fix string) finding {
	return finding{Subject: subject, Condition: unknown, Detail: why, Fix: fix}
}

// unread is what is said where AWS did not answer a question.
func unread(subject string, err error) finding {
	f := explain(context.Background(), "", err)
	return notChecked(subject, err.Error(), f.fix)
}

// patient is a set-up that may be incomplete.
type patient struct {
	*stack
	client *lambda.Client
	// rotates and watches are the functions as Lambda has them, nil where there is none.
	rotates, watches *lambda.GetFunctionConfigurationOutput
}

// check looks at one part.
type check func(context.Context, patient) []finding

// checks are in the order in which they are told: what others rest on comes first.
var checks = []check{
	checkRotates, checkWatches, checkAgreement, checkAlias, checkInvoker, checkRights, checkDocuments, checkBucket,
	checkTrail, checkRules, checkSource, checkDeadLetters, checkAlerts, checkChat, checkHosts, checkProof, checkSecrets,
}

func (s *session) doctor(ctx context.Context) error {
	s.working("checking the credentials")
	cfg, err := s.configuration(ctx)
	if err != nil {
		return err
	}
	told := []finding{checkCaller(ctx, cfg)}
	s.tellFinding(told[0])
	p, found := s.examine(ctx, cfg)
	for _, f := range found {
		s.tellFinding(f)
	}
	told = append(told, found...)
	if p.rotates != nil {
		told = append(told, s.run(ctx, p)...)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if s.output == asJSON {
		if err := s.print(told); err != nil {
			return err
		}
	}
	return ended(s.diagnose(told))
}

// run runs all checks at once, and tells of each as soon as those before it are told of.
func (s *session) run(ctx context.Context, p patient) []finding {
	results := make([]chan []finding, len(checks))
	for i, c := range checks {
		results[i] = make(chan []finding, 1)
		go func() { results[i] <- c(ctx, p) }()
	}
	var all []finding
	for _, r := range results {
		s.working("checking the set-up")
		found := <-r
		for _, f := range found {
			s.tellFinding(f)
		}
		all = append(all, found...)
	}
	return all
}

func (s *session) tellFinding(f finding) {
	if s.output == asJSON {
		return
	}
	c := map[condition]colour{fine: green, wrong: red, unknown: yellow}[f.Condition]
	s.say("%s  %s: %s", s.paint(c, fmt.Sprintf("%-15s", f.Condition)), s.paint(bold, clean(f.Subject)), clean(f.Detail))
	if f.Fix != "" {
		s.say("%-15s  fix: %s", "", clean(f.Fix))
	}
}

// diagnose sums up, and says what to exit with.
func (s *session) diagnose(all []finding) int {
	n := map[condition]int{}
	for _, f := range all {
		n[f.Condition]++
	}
	if s.output == table {
		s.say("")
		s.say("%d fine, %d wrong, %d could not be checked", n[fine], n[wrong], n[unknown])
	}
	switch {
	case n[wrong] > 0:
		return exitDrift
	case n[unknown] > 0:
		return exitUnknown
	}
	return exitClean
}
