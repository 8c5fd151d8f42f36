package operator

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/keytrail/keytrail/audit/signed"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate"
)

// queryError reads an error of a service that answers in XML.
func queryError(r signed.Reply) (code, message string) {
	var answer struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	_ = xml.Unmarshal(r.Body, &answer) // a gateway answers in no XML
	return answer.Code, answer.Message
}

// checkCaller asks who the credentials are of.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func checkCaller(ctx context.Context, cfg aws.Config) finding {
	reply, err := signed.New(cfg, "sts", queryError).Post(ctx, "/", signed.Form(), []byte("Action=GetCallerIdentity&Version=2011-06-15"))
	if err != nil {
		f := unread("credentials", err)
		f.Condition = wrong
		return f
	}
	var caller struct {
		ARN     string `xml:"GetCallerIdentityResult>Arn"`
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	if err := xml.Unmarshal(reply.Body, &caller); err != nil {
		return unread("credentials", err)
	}
	return isFine("credentials", "%s in %s", caller.ARN, cfg.Region)
}

// examine reads both functions, whatever is wrong with them.
func (s *session) examine(ctx context.Context, cfg aws.Config) (patient, []finding) {
	client := lambda.NewFromConfig(cfg)
	p := patient{client: client, stack: &stack{
		aws: cfg, name: s.stackName, secrets: secretsmanager.NewFromConfig(cfg), systems: ssm.NewFromConfig(cfg), objects: s3.NewFromConfig(cfg),
	}}
	read := func(name string) (*lambda.GetFunctionConfigurationOutput, error) {
		out, err := client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
			return nil, nil
		}
		return out, err
	}
	rotateName, eventsName := s.stackName+"-rotate", s.stackName+"-events"
	var err error
	if p.rotates, err = read(rotateName); err != nil {
		return p, []finding{unread("function "+rotateName, err)}
	}
	if p.rotates == nil {
		return p, []finding{isWrong("function "+rotateName, "there is none in "+cfg.Region, "name the stack with --stack and its Region with --region, or make one with make deploy")}
	}
	p.function, p.log = aws.ToString(p.rotates.FunctionArn), logGroup(p.rotates)
	if p.watches, err = read(eventsName); err != nil {
		return p, []finding{unread("function "+eventsName, err)}
	}
	return p, nil
}

// checkRotates looks at the function that rotates, and at its environment.
func checkRotates(_ context.Context, p patient) []finding {
	_, err := rotate.ParseConfig(variables(p.rotates))
	return p.described("-rotate", p.rotates, err)
}

// checkWatches does so with the other one.
func checkWatches(_ context.Context, p patient) []finding {
	if p.watches == nil {
		return []finding{isWrong("function "+p.name+"-events", "there is none: nobody looks at hosts between rotations, and nobody is told", "deploy the stack with Watch=true")}
	}
	_, err := events.ParseConfig(variables(p.watches))
	return p.described("-events", p.watches, err)
}

func (p patient) described(suffix string, f *lambda.GetFunctionConfigurationOutput, environment error) []finding {
	subject := "function " + p.name + suffix
	var all []finding
	switch {
	case f.State != "" && f.State != types.StateActive:
		all = append(all, isWrong(subject, "it is "+string(f.State)+": "+aws.ToString(f.StateReason), "invoke it once, or deploy it again"))
	// A step waits for hosts twice as long as they may take, and some more.
	case aws.ToInt32(f.Timeout) < 300:
		all = append(all, isWrong(subject, fmt.Sprintf("it has %d seconds for each invocation", aws.ToInt32(f.Timeout)),
			"aws lambda update-function-configuration --function-name "+p.name+suffix+" --timeout 900"))
	default:
		all = append(all, isFine(subject, "%s, %d s, %d MB", aws.ToString(f.Role), aws.ToInt32(f.Timeout), aws.ToInt32(f.MemorySize)))
	}
	if environment != nil {
		return append(all, isWrong("environment of "+p.name+suffix, environment.Error(), "set what is named, or deploy the stack again"))
	}
	return append(all, isFine("environment of "+p.name+suffix, "complete"))
}

// shared are the names that both functions must have alike: what one installs the other would call drift.
var shared = []string{"USERNAME", "TAGNAME", "TAGVALUE", "KEYTRAIL_ALLOW_ROOT", "KEYTRAIL_BUCKET", "KEYTRAIL_GRACE", "KEYTRAIL_INSPECT_DOCUMENT"}

func checkAgreement(_ context.Context, p patient) []finding {
	if p.watches == nil {
		return nil
	}
	var differ []string
	for _, name := range shared {
		if variables(p.rotates)(name) != variables(p.watches)(name) {
			differ = append(differ, name)
		}
	}
	if about := variables(p.watches)("KEYTRAIL_ROTATE_FUNCTION"); about != p.function {
		differ = append(differ, "KEYTRAIL_ROTATE_FUNCTION")
	}
	if role := variables(p.watches)("KEYTRAIL_ROTATE_ROLE"); role != aws.ToString(p.rotates.Role) {
		differ = append(differ, "KEYTRAIL_ROTATE_ROLE")
	}
	if differ != nil {
		return []finding{isWrong("both functions", "they do not agree on "+strings.Join(differ, ", "), "set them alike, or deploy the stack again")}
	}
	return []finding{isFine("both functions", "they agree on hosts, users, bucket and grace")}
}

func checkAlias(ctx context.Context, p patient) []finding {
	name, subject := p.name+"-rotate", "alias "+rotate.ActionAlias
	out, err := p.client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &name, Name: aws.String(rotate.ActionAlias)})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return []finding{isWrong(subject, "there is none: nothing can be reconciled", "aws lambda create-alias --function-name "+name+" --name "+rotate.ActionAlias+" --function-version '$LATEST'")}
	}
	if err != nil {
		return []finding{unread(subject, err)}
	}
	if v := aws.ToString(out.FunctionVersion); v != "$LATEST" {
		return []finding{isWrong(subject, "it stays on version "+v+", while rotations run $LATEST", "aws lambda update-alias --function-name "+name+" --name "+rotate.ActionAlias+" --function-version '$LATEST'")}
	}
	return []finding{isFine(subject, "on $LATEST, as rotations are")}
}

// invoker is a statement of a function's policy, as far as it is read.
type invoker struct {
	Effect, Action string
	Principal      struct{ Service string }
	Condition      struct {
		ArnLike      map[string]string
		StringEquals map[string]string
	}
}

// invokers are the statements of a function's policy that let an AWS service invoke it.
func (p patient) invokers(ctx context.Context, function, service string) ([]invoker, error) {
	out, err := p.client.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &function})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var policy struct{ Statement []json.RawMessage }
	if err := json.Unmarshal([]byte(aws.ToString(out.Policy)), &policy); err != nil {
		return nil, fmt.Errorf("read the policy of %s: %w", function, err)
	}
	var all []invoker
	for _, text := range policy.Statement {
		var s invoker
		if json.Unmarshal(text, &s) == nil && s.Effect == "Allow" && s.Action == "lambda:InvokeFunction" && s.Principal.Service == service {
			all = append(all, s)
		}
	}
	return all, nil
}

func checkInvoker(ctx context.Context, p patient) []finding {
	const subject = "Secrets Manager may invoke"
	all, err := p.invokers(ctx, p.name+"-rotate", "secretsmanager.amazonaws.com")
	account := strings.Split(p.function, ":")[4]
	permit := "aws lambda add-permission --function-name " + p.name + "-rotate --statement-id SecretsManager --action lambda:InvokeFunction --principal secretsmanager.amazonaws.com --source-account " + account
	switch {
	case err != nil:
		return []finding{unread(subject, err)}
	case len(all) == 0:
		return []finding{isWrong(subject, "it may not, so that no rotation starts", permit)}
	case !slices.ContainsFunc(all, func(s invoker) bool { return s.Condition.StringEquals["AWS:SourceAccount"] == account }):
		return []finding{isWrong(subject, "it may for secrets of any account", "remove that statement, and "+permit)}
	}
	return []finding{isFine(subject, "for secrets of this account alone")}
}
