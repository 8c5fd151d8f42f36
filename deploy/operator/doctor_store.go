package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
)

// checkDocuments compares the documents with the hashes that the functions pin.
func checkDocuments(ctx context.Context, p patient) []finding {
	var all []finding
	for _, name := range []string{"KEYTRAIL_APPLY_DOCUMENT", "KEYTRAIL_INSPECT_DOCUMENT"} {
		subject := "document of " + name
		ref, err := fleet.ParseDocumentRef(variables(p.rotates)(name))
		if err != nil {
			ref = fleet.DocumentRef{Name: fleet.ShellDocument}
		}
		all = append(all, p.document(ctx, subject, ref))
	}
	return all
}

func (p patient) document(ctx context.Context, subject string, ref fleet.DocumentRef) finding {
	in := &ssm.DescribeDocumentInput{Name: &ref.Name}
	if ref.Version != "" {
		in.DocumentVersion = &ref.Version
	}
	out, err := p.systems.DescribeDocument(ctx, in)
	if _, missing := errors.AsType[*types.InvalidDocument](err); missing {
		return isWrong(subject, "there is no document "+ref.Name, "deploy the stack again")
	}
	if err != nil {
		return unread(subject, err)
	}
	switch hash := aws.ToString(out.Document.Hash); {
	case ref.Name == fleet.ShellDocument:
		return isFine(subject, "%s, which runs any script: the stack's own documents run one", ref.Name)
	case ref.Hash == "":
		return isWrong(subject, ref.Name+" is not pinned: whoever may change it runs what they like on the hosts", "set it to "+ref.Name+":"+aws.ToString(out.Document.DocumentVersion)+":"+hash)
	case hash != ref.Hash:
		return isWrong(subject, ref.Name+" has the hash "+hash+", and the function is told "+ref.Hash+": Systems Manager refuses every command", "deploy the stack again, and find out who changed the document")
	}
	return isFine(subject, "%s version %s has the hash that is pinned", ref.Name, aws.ToString(out.Document.DocumentVersion))
}

// checkBucket looks at what keeps the register as it was written.
func checkBucket(ctx context.Context, p patient) []finding {
	name := variables(p.rotates)("KEYTRAIL_BUCKET")
	subject := "bucket " + name
	if name == "" {
		return []finding{isWrong("bucket", "there is none: hosts that left the fleet are not followed, and adopt and revoke are refused", "set KEYTRAIL_BUCKET, or deploy the template")}
	}
	return []finding{p.versioning(ctx, subject, name), p.lock(ctx, subject, name), p.access(ctx, subject, name)}
}

func (p patient) versioning(ctx context.Context, subject, name string) finding {
	out, err := p.objects.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &name})
	switch {
	case err != nil:
		return unread(subject+", versions", err)
	case out.Status != s3types.BucketVersioningStatusEnabled:
		return isWrong(subject+", versions", "it keeps no versions", "aws s3api put-bucket-versioning --bucket "+name+" --versioning-configuration Status=Enabled")
	}
	return isFine(subject+", versions", "kept")
}

func (p patient) lock(ctx context.Context, subject, name string) finding {
	subject += ", lock"
	wanted := variables(p.rotates)("KEYTRAIL_RETENTION")
	if r, err := register.ParseRetention(wanted); err != nil || r == (register.Retention{}) {
		return isWrong(subject, "KEYTRAIL_RETENTION is not set: whoever may write to the bucket can delete the register and the evidence", "deploy the stack with Retention=governance:365, in a bucket with Object Lock")
	}
	out, err := p.objects.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &name})
	switch {
	case errorCode(err) == "ObjectLockConfigurationNotFoundError":
		return isWrong(subject, "it has no Object Lock, which "+wanted+" needs", "aws s3api put-object-lock-configuration --bucket "+name+" --object-lock-configuration ObjectLockEnabled=Enabled")
	case err != nil:
		return unread(subject, err)
	case out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.ObjectLockEnabled != s3types.ObjectLockEnabledEnabled:
		return isWrong(subject, "its Object Lock is off", "aws s3api put-object-lock-configuration --bucket "+name+" --object-lock-configuration ObjectLockEnabled=Enabled")
	}
	return isFine(subject, "%s", wanted)
}

func (p patient) access(ctx context.Context, subject, name string) finding {
	subject += ", public access"
	fix := "aws s3api put-public-access-block --bucket " + name + " --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
	out, err := p.objects.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &name})
	switch {
	case errorCode(err) == "NoSuchPublicAccessBlockConfiguration":
		return isWrong(subject, "nothing blocks it", fix)
	case err != nil:
		return unread(subject, err)
	}
	var open []string
	c := out.PublicAccessBlockConfiguration
	for _, part := range []struct {
		name string
		on   *bool
	}{{"BlockPublicAcls", c.BlockPublicAcls}, {"IgnorePublicAcls", c.IgnorePublicAcls}, {"BlockPublicPolicy", c.BlockPublicPolicy}, {"RestrictPublicBuckets", c.RestrictPublicBuckets}} {
		if !aws.ToBool(part.on) {
			open = append(open, part.name)
		}
	}
	if open != nil {
		return isWrong(subject, fmt.Sprintf("%s not set", strings.Join(open, ", ")), fix)
	}
	return isFine(subject, "blocked")
}
