package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/audit"
	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/events"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// checkHosts looks at what Systems Manager and EC2 say of the hosts with the tag.
func checkHosts(ctx context.Context, p patient) []finding {
	const subject = "hosts"
	conf, err := rotate.ParseConfig(variables(p.rotates))
	if err != nil {
		return []finding{notChecked(subject, "the environment of "+p.name+"-rotate does not say which", "mend that first")}
	}
	tag := fleet.Target{conf.Boundary}
	in := &ssm.DescribeInstanceInformationInput{
		MaxResults: aws.Int32(50), // the most: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeInstanceInformation.html
		Filters:    []types.InstanceInformationStringFilter{{Key: aws.String("tag:" + conf.Boundary.Key), Values: []string{conf.Boundary.Value}}},
	}
	var online, offline, old []string
	var managed []string
	for pages := ssm.NewDescribeInstanceInformationPaginator(p.systems, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return []finding{unread(subject, err)}
		}
		for _, i := range page.InstanceInformationList {
			id := aws.ToString(i.InstanceId)
			managed = append(managed, id)
			if i.PingStatus == types.PingStatusOnline {
				online = append(online, id)
			} else {
				offline = append(offline, id)
			}
			if i.IsLatestVersion != nil && !*i.IsLatestVersion {
				old = append(old, id+" has "+aws.ToString(i.AgentVersion))
			}
		}
	}
	var all []finding
	switch {
	case len(managed) == 0:
		all = append(all, isWrong(subject, "Systems Manager knows none with the tag "+tag.String()+": every rotation fails", "tag the hosts, and see that their agent runs and their role has the policy AmazonSSMManagedInstanceCore"))
	case len(offline) > 0:
		all = append(all, isWrong(subject, fmt.Sprintf("%d of %d are offline: %s", len(offline), len(managed), some(offline)), "start them or their agent: sudo systemctl restart amazon-ssm-agent"))
	default:
		all = append(all, isFine(subject, "%s with the tag %s, all online", plural(len(online), "host"), tag))
	}
	if len(old) > 0 {
		// https://docs.aws.amazon.com/systems-manager/latest/userguide/ssm-agent-automatic-updates.html
		all = append(all, isWrong("agents", some(old), "aws ssm send-command --document-name AWS-UpdateSSMAgent --targets Key=tag:"+conf.Boundary.Key+",Values="+conf.Boundary.Value))
	} else if len(managed) > 0 {
		all = append(all, isFine("agents", "the newest"))
	}
	return append(all, p.unmanaged(ctx, tag, managed))
}

// unmanaged looks for EC2 instances with the tag that Systems Manager does not know.
func (p patient) unmanaged(ctx context.Context, tag fleet.Target, managed []string) finding {
	const subject = "EC2 instances with the tag"
	list, err := audit.NewEC2(p.aws).Tagged(ctx, tag)
	if err != nil {
		return unread(subject, err)
	}
	var unknown []string
	for _, i := range list {
		if i.Running && !slices.Contains(managed, string(i.ID)) {
			unknown = append(unknown, string(i.ID))
		}
	}
	if unknown != nil {
		return isWrong(subject, plural(len(unknown), "instance")+" not managed: "+some(unknown), "install the SSM agent there, and give the instance profile the policy AmazonSSMManagedInstanceCore")
	}
	return isFine(subject, "%d, all managed or stopped", len(list))
}

// some names the first few of many.
func some(list []string) string {
	const most = 5
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

// checkProof looks at the network of a function that logs in to the hosts.
func checkProof(_ context.Context, p patient) []finding {
	const subject = "network path for logins"
	if rotate.Proof(variables(p.rotates)("KEYTRAIL_LOGIN_PROOF")) != rotate.ProofSSH {
		return []finding{isFine(subject, "none is needed: hosts say for themselves whether sshd takes a key")}
	}
	if p.rotates.VpcConfig == nil || len(p.rotates.VpcConfig.SubnetIds) == 0 {
		return []finding{isWrong(subject, "the function logs in to hosts and is in no VPC, so that it reaches public addresses alone", "deploy the stack with Vpc and Subnets, or with LoginProof=host")}
	}
	return []finding{notChecked(subject, "only the function itself can try", "aws secretsmanager rotate-secret --no-rotate-immediately --secret-id NAME has it log in everywhere and changes nothing; its log says where it could not")}
}

// checkSecrets looks at each secret that Keytrail looks after.
func checkSecrets(ctx context.Context, p patient) []finding {
	const subject = "secrets"
	conf, err := rotate.ParseConfig(variables(p.rotates))
	if err != nil {
		return []finding{notChecked(subject, "the environment of "+p.name+"-rotate is not complete", "mend that first")}
	}
	if p.rotate = conf; conf.Bucket == "" {
		return []finding{notChecked(subject, "there is no bucket", "set KEYTRAIL_BUCKET, or deploy the template")}
	}
	list, err := p.listed(ctx)
	if err != nil {
		return []finding{unread(subject, err)}
	}
	if len(list) == 0 {
		return []finding{isWrong(subject, "none has this function", "aws secretsmanager rotate-secret --secret-id NAME --rotation-lambda-arn "+p.function+" --rotation-rules AutomaticallyAfterDays=30")}
	}
	var all []finding
	for _, secret := range list {
		all = append(all, p.secret(ctx, secret)...)
	}
	return all
}

// secret looks at the tags, the rotation and the value of one, without reading that.
func (p patient) secret(ctx context.Context, secret audit.Secret) []finding {
	subject := "secret " + secret.Name
	limits := wanted.Limits{Users: p.rotate.Users, Boundary: p.rotate.Boundary}
	attach := "aws secretsmanager rotate-secret --secret-id " + secret.ARN + " --rotation-lambda-arn " + p.function + " --rotation-rules AutomaticallyAfterDays=30"
	var all []finding
	add := func(detail, fix string) { all = append(all, isWrong(subject, detail, fix)) }
	if !secret.Deleted.IsZero() {
		add("it is being deleted", "aws secretsmanager restore-secret --secret-id "+secret.ARN)
		return all
	}
	if _, err := limits.Subject(secret.ARN, secret.Name, secret.Tags); err != nil {
		add(err.Error(), "mend its tags keytrail:users and keytrail:target")
	}
	if err := wanted.CheckHold(secret.Tags); err != nil {
		add(err.Error(), "aws secretsmanager untag-resource --secret-id "+secret.ARN+" --tag-keys "+wanted.TagHold)
	}
	switch {
	case secret.Function != p.function:
		add("its rotation function is another one, or none: "+secret.Function, attach)
	case !secret.Rotates:
		add("its rotation is off", attach)
	case secret.Days == 0 && secret.Schedule == "":
		add("it has no rule when to rotate", attach)
	}
	if pending := secret.Version("AWSPENDING"); pending != "" && pending != secret.Version("AWSCURRENT") {
		add("version "+pending+" has AWSPENDING: a rotation is at work or stuck", "keytrail unblock "+secret.Name)
	}
	if f := p.value(ctx, subject, secret); f.Condition != fine || len(all) == 0 {
		all = append(all, f)
	}
	return all
}

// value says what is known of a secret's value: that its key is registered. The value itself is nobody's to read.
func (p patient) value(ctx context.Context, subject string, secret audit.Secret) finding {
	w, err := events.ReadWatched(ctx, evidence.NewBucket(p.objects, p.rotate.Bucket), secret.ARN)
	switch v := w.Verdict; {
	case err != nil:
		return unread(subject, err)
	case v == nil:
		return notChecked(subject, "nobody has looked at its hosts yet, so that it is not known whether its value is a key pair", "keytrail verify "+secret.Name)
	case v.Unregistered:
		return isWrong(subject, "its value was put by hand", "keytrail adopt "+secret.Name+", or keytrail rotate "+secret.Name)
	case v.Version != secret.Version("AWSCURRENT"):
		return notChecked(subject, "it has another version than its hosts were last asked about", "keytrail verify "+secret.Name)
	}
	return isFine(subject, "rotates by this function; its key is registered")
}
