package operator

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keytrail/keytrail/audit/signed"
)

// right is what a function's role must be allowed: actions on one resource, given some context.
type right struct {
	actions  []string
	resource string
	context  map[string]string
}

// checkRights has IAM say what the roles of the functions may do.
func checkRights(ctx context.Context, p patient) []finding {
	part := strings.Split(p.function, ":")
	prefix := func(service string) string {
		return strings.Join([]string{"arn", part[1], service, part[3], part[4], ""}, ":")
	}
	env := variables(p.rotates)
	document := func(name string) string {
		d, _, _ := strings.Cut(env(name), ":")
		if strings.HasPrefix(d, "AWS-") || d == "" {
			return "arn:" + part[1] + ":ssm:" + part[3] + "::document/AWS-RunShellScript"
		}
		return prefix("ssm") + "document/" + d
	}
	secret := prefix("secretsmanager") + "secret:keytrail-doctor-AbCdEf"
	object := "arn:" + part[1] + ":s3:::" + env("KEYTRAIL_BUCKET") + "/"
	answers := right{[]string{"ssm:CancelCommand", "ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation", "ssm:ListCommandInvocations"}, "*", nil}
	host := right{[]string{"ssm:SendCommand"}, prefix("ec2") + "instance/i-00000000000000000", map[string]string{"ssm:resourceTag/" + env("TAGNAME"): env("TAGVALUE")}}
	all := []finding{p.rights(ctx, p.name+"-rotate", aws.ToString(p.rotates.Role), []right{
		{[]string{"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:ListSecretVersionIds", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"},
			secret, map[string]string{"secretsmanager:resource/AllowRotationLambdaArn": p.function}},
		{[]string{"ssm:SendCommand"}, document("KEYTRAIL_APPLY_DOCUMENT"), nil},
		{[]string{"ssm:SendCommand"}, document("KEYTRAIL_INSPECT_DOCUMENT"), nil},
		host, answers,
		{[]string{"s3:GetObject", "s3:PutObject"}, object + "register/x", nil},
		{[]string{"s3:GetObject", "s3:PutObject"}, object + "lease/x", nil},
	})}
	if p.watches == nil {
		return all
	}
	return append(all, p.rights(ctx, p.name+"-events", aws.ToString(p.watches.Role), []right{
		{[]string{"secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"}, secret, nil},
		{[]string{"secretsmanager:ListSecrets", "ec2:DescribeInstances"}, "*", nil},
		{[]string{"ssm:SendCommand"}, document("KEYTRAIL_INSPECT_DOCUMENT"), nil},
		host, answers,
		{[]string{"s3:GetObject"}, object + "register/x", nil},
		{[]string{"s3:GetObject", "s3:PutObject"}, object + "alerts/x", nil},
		{[]string{"s3:GetObject", "s3:PutObject"}, object + "watch/x", nil},
		{[]string{"lambda:InvokeFunction"}, p.function + ":reconcile", nil},
		{[]string{"sns:Publish"}, variables(p.watches)("KEYTRAIL_ALERTS_TOPIC"), nil},
	}))
}

// rights asks what a role lacks. Policies of resources and of the organization are not looked at.
func (p patient) rights(ctx context.Context, function, role string, needed []right) finding {
	subject := "rights of " + function
	var lacks []string
	for _, r := range needed {
		denied, err := simulate(ctx, p.aws, role, r)
		if err != nil {
			return notChecked(subject, "IAM does not simulate its policies for you: "+err.Error(), "get the right iam:SimulatePrincipalPolicy, or see that the role has the policies of deploy/template.yaml")
		}
		for _, action := range denied {
			lacks = append(lacks, action+" on "+r.resource)
		}
	}
	if lacks != nil {
		slices.Sort(lacks)
		return isWrong(subject, "its role "+role+" may not "+strings.Join(lacks, ", "), "give the role the policies of deploy/template.yaml, or deploy the stack again")
	}
	return isFine(subject, "its role's policies allow what it does")
}

// simulate returns the actions that a role's policies do not allow.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func simulate(ctx context.Context, cfg aws.Config, role string, r right) (denied []string, err error) {
	if cfg.BaseEndpoint == nil {
		// IAM is one for all Regions of a partition.
		if !strings.HasPrefix(role, "arn:aws:") {
			return nil, fmt.Errorf("the endpoint of IAM for %s is not known", role)
		}
		cfg.BaseEndpoint, cfg.Region = aws.String("https://iam.amazonaws.com"), "us-east-1"
	}
	form := url.Values{"Action": {"SimulatePrincipalPolicy"}, "Version": {"2010-05-08"}, "PolicySourceArn": {role}, "ResourceArns.member.1": {r.resource}}
	for i, action := range r.actions {
		form.Set("ActionNames.member."+strconv.Itoa(i+1), action)
	}
	i := 0
	for key, value := range r.context {
		i++
		entry := "ContextEntries.member." + strconv.Itoa(i) + "."
		form.Set(entry+"ContextKeyName", key)
		form.Set(entry+"ContextKeyType", "string")
		form.Set(entry+"ContextKeyValues.member.1", value)
	}
	reply, err := signed.New(cfg, "iam", queryError).Post(ctx, "/", signed.Form(), []byte(form.Encode()))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Action   string `xml:"EvalActionName"`
			Decision string `xml:"EvalDecision"`
		} `xml:"SimulatePrincipalPolicyResult>EvaluationResults>member"`
	}
	if err := xml.Unmarshal(reply.Body, &answer); err != nil {
		return nil, err
	}
	if len(answer.Results) != len(r.actions) {
		return nil, fmt.Errorf("IAM answered about %d of %d actions", len(answer.Results), len(r.actions))
	}
	for _, result := range answer.Results {
		if result.Decision != "allowed" {
			denied = append(denied, result.Action)
		}
	}
	return denied, nil
}
