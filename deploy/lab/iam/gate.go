package iam

import (
	"context"
	"net/http"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Directory knows what there is in the services, for the ARNs and tags that
// calls are judged by.
type Directory interface {
	// Secret finds a secret by what a request calls it: ARN, partial ARN or
	// name.
	Secret(id string) (Secret, bool)
	// Tags returns the tags of a document by its ARN, nil if it has none.
	Tags(arn string) map[string]string
	// Key returns the KMS key that a topic or a queue was given, by its ARN,
	// "" for none.
	Key(arn string) string
}

// Secret is what IAM sees of a secret.
type Secret struct {
	ARN      string
	Tags     map[string]string
	Function string // ARN of its rotation function, "" for none
	Key      string // ARN of a customer managed key, "" for the service's own
}

// Gate judges calls as they come off the wire, by the table in calls.txt. Make
// it with [NewGate].
type Gate struct {
	engine    *Engine
	directory Directory
	calls     map[string][]need
}

// NewGate returns a gate to the services that a directory knows.
func NewGate(e *Engine, d Directory) (*Gate, error) {
	calls, err := parseCalls(callsText)
	if err != nil {
		return nil, err
	}
	return &Gate{engine: e, directory: d, calls: calls}, nil
}

// Authorize returns nil for a call that may go on to its service, or the error
// that the caller is to be told. It has the form that wire.Options.Authorize
// wants. All permissions that a call needs are judged until one is denied. An
// unsigned call that the front takes is anybody's.
func (g *Gate) Authorize(ctx context.Context, r wire.Request, hr *http.Request) error {
	if r.Caller == (wire.Identity{}) {
		return nil
	}
	name := r.Service + ":" + r.Action
	needs, ok := g.calls[name]
	if !ok && g.engine.Judges(r.Caller.ARN) {
		return refusal(r.Service, "User: "+r.Caller.ARN+" is not authorized to perform: "+name+
			" because the lab's table of calls and permissions does not have it")
	}
	q := newQuestion(g, r, hr)
	for _, n := range needs {
		if !n.applies(q) {
			continue
		}
		for _, on := range n.on(q) {
			c := Call{Principal: r.Caller.ARN, Action: n.action, Resource: on.arn, Keys: q.keys(n, on)}
			if d := g.engine.Authorize(ctx, c); !d.Allowed {
				return refuse(r.Service, c, on, d)
			}
		}
	}
	return nil
}

// MayCommand decides on ssm:SendCommand for a document or a node. It has the
// form that ssm.Options.Authorize wants.
func (g *Gate) MayCommand(caller wire.Identity, arn string, tags map[string]string) error {
	c := Call{Principal: caller.ARN, Action: "ssm:SendCommand", Resource: arn, Keys: tagKeys(tags, "ssm:resourceTag/")}
	if d := g.engine.Authorize(context.Background(), c); !d.Allowed {
		return Deny("ssm", c, d)
	}
	return nil
}

// MayList decides on s3:ListBucket where it makes 404 of 403. It has the form
// that s3.Options.MayList wants. The request is not one that lists, so that it
// has no s3:prefix: a policy that wants one gets 403.
func (g *Gate) MayList(caller wire.Identity, bucket string) bool {
	return g.engine.Authorize(context.Background(), Call{
		Principal: caller.ARN, Action: "s3:ListBucket", Resource: "arn:aws:s3:::" + bucket,
	}).Allowed
}

// MayUse decides on a call that a service makes on behalf of a resource, which
// is aws:SourceArn, of this account.
func (g *Gate) MayUse(c Call, sourceARN string) bool {
	c.Keys = c.Keys.with(Keys{"aws:SourceAccount": {g.engine.account}, "aws:SourceArn": {sourceARN}})
	return g.engine.Authorize(context.Background(), c).Allowed
}

// MayInvoke decides on a function that a service invokes for a resource.
func (g *Gate) MayInvoke(service, functionARN, sourceARN string) bool {
	return g.MayUse(Call{Principal: service, Action: "lambda:InvokeFunction", Resource: functionARN}, sourceARN)
}

// MayCall decides on a call that a service makes, or would make, as a session of
// a role: it does not come over the wire.
func (g *Gate) MayCall(session wire.Identity, action, resource string) bool {
	return g.engine.Authorize(context.Background(), Call{Principal: session.ARN, Action: action, Resource: resource}).Allowed
}

// MayEncrypt decides on the key of a topic or a queue that a service uses, or a
// function that reads: every one of some actions of KMS must be allowed. A
// source is that of MayUse, "" for none.
func (g *Gate) MayEncrypt(principal, holderARN, key, sourceARN string, actions ...string) bool {
	on := g.messageKey(holderARN, key)
	if sourceARN != "" {
		on.keys = on.keys.with(Keys{"aws:SourceAccount": {g.engine.account}, "aws:SourceArn": {sourceARN}})
	}
	for _, action := range actions {
		if !g.engine.Authorize(context.Background(), Call{Principal: principal, Action: action, Resource: on.arn, Keys: on.keys}).Allowed {
			return false
		}
	}
	return true
}

// MayAssume decides on a role that a service assumes, by the role's trust
// policy.
func (g *Gate) MayAssume(service, roleARN string) bool {
	return g.engine.Authorize(context.Background(), Call{Principal: service, Action: "sts:AssumeRole", Resource: roleARN}).Allowed
}

// Deny returns the error for a call of a service's own that was denied, in the
// words of that service.
func Deny(service string, c Call, d Decision) error {
	return refusal(service, denial(service, c.Principal, c.Action, c.Resource, d))
}

func refuse(service string, c Call, on resource, d Decision) error {
	if strings.HasPrefix(c.Action, "kms:") && service == "secretsmanager" {
		return refusal(service, "Access to KMS is not allowed") // recorded
	}
	if on.typed != "" {
		c.Resource = on.typed
	}
	return Deny(service, c, d)
}

// denial is AWS's sentence. Actions without a resource leave it out, S3 puts it
// in quotes, SNS and SQS spell the action in their own way.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func denial(service, principal, action, resource string, d Decision) string {
	spelled := action
	switch service {
	case "sns":
		spelled = strings.Replace(action, "sns:", "SNS:", 1)
	case "sqs":
		spelled = strings.ToLower(action)
	case "s3":
		resource = `"` + resource + `"`
	}
	where := " on resource: " + resource
	if resource == "*" {
		where = ""
	}
	text := "User: " + principal + " is not authorized to perform: " + spelled + where + " " +
		strings.ReplaceAll(d.Reason, action, spelled)
	if service == "ec2" {
		text = "You are not authorized to perform this operation. " + text
	}
	return text
}

// refusal is a denial with the code and status of the service.
func refusal(service, message string) error {
	e := &wire.Error{Code: "AccessDeniedException", Message: message}
	switch service {
	case "s3", "iam", "sts":
		e.Code, e.Status = "AccessDenied", http.StatusForbidden
	case "lambda":
		e.Status = http.StatusForbidden
	case "sns":
		e.Code, e.Status = "AuthorizationError", http.StatusForbidden
	case "ec2":
		e.Code, e.Status = "UnauthorizedOperation", http.StatusForbidden
	}
	return e
}
