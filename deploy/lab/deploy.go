package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
	"github.com/keytrail/keytrail/deploy/lab/iam"
	"github.com/keytrail/keytrail/deploy/lab/sqs"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// Deploy makes a stack of a CloudFormation template in the lab, as its
// operator. What could not be made is undone, and the error says why.
func (l *Lab) Deploy(ctx context.Context, s cloudformation.Spec) (*cloudformation.Stack, error) {
	return l.stacks.Create(ctx, s)
}

// Policies returns the roles and resource policies that stacks have put.
func (l *Lab) Policies() *cloudformation.PolicyStore { return l.policies }

// CloudFormation returns CloudFormation.
func (l *Lab) CloudFormation() *cloudformation.Service { return l.stacks }

// newStacks returns CloudFormation for the services of the lab.
func (l *Lab) newStacks() *cloudformation.Service {
	o := l.options
	l.policies = cloudformation.NewPolicyStore()
	return cloudformation.New(cloudformation.Options{
		Account: o.Account, Region: o.Region, Now: o.Now, Seed: o.Seed, Dir: filepath.Join(l.Dir(), "functions"),
		Front: l.front, AccessKey: operatorAccessKey, Functions: l.lambda, Sources: sources{l}, Policies: judged{l.policies, l.iam}, Programs: o.Programs,
	})
}

// sources is the part of Lambda that reads queues, as CloudFormation sees it: a
// function's role is looked at before its queue.
type sources struct{ lab *Lab }

// AddSource implements cloudformation.Sources.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
func (s sources) AddSource(src sqs.Source) (remove func(), err error) {
	session, err := s.lab.lambda.Identity(src.FunctionARN)
	if err != nil {
		return nil, err
	}
	for _, call := range []string{"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"} {
		if !s.lab.gate.MayCall(session, "sqs:"+call, src.QueueARN) {
			return nil, &wire.Error{Code: "InvalidParameterValueException", Message: "The provided execution role does not have permissions to call " + call + " on SQS"}
		}
	}
	// Whether AWS looks at the key here, or finds out when it reads, is not known.
	if key := s.lab.sqs.Key(src.QueueARN); key != "" && !strings.HasPrefix(key, "alias/aws/") &&
		!s.lab.gate.MayEncrypt(session.ARN, src.QueueARN, key, "", "kms:Decrypt") {
		return nil, &wire.Error{Code: "InvalidParameterValueException", Message: "The provided execution role does not have permissions to call Decrypt on KMS"}
	}
	return s.lab.sqs.AddSource(src)
}

// judged keeps the policies of stacks, and has them judge.
type judged struct {
	*cloudformation.PolicyStore
	engine *iam.Engine
}

// PutRole implements cloudformation.Policies.
func (j judged) PutRole(r cloudformation.Role) error {
	role := iam.Role{Name: r.Name, Path: r.Path, AssumeRolePolicy: r.Trust, Inline: r.Inline, Managed: map[string]json.RawMessage{}}
	var err error
	for _, arn := range r.Managed {
		if role.Managed[arn], err = j.managed(arn); err != nil {
			return err
		}
	}
	if r.Boundary != "" {
		if role.Boundary, err = j.managed(r.Boundary); err != nil {
			return err
		}
	}
	if err := j.engine.PutRole(role); err != nil {
		return err
	}
	return j.PolicyStore.PutRole(r)
}

// managed returns the document of a managed policy, the account's own or one of AWS's.
func (j judged) managed(arn string) (json.RawMessage, error) {
	if document, ok := j.Managed()[arn]; ok {
		return document, nil
	}
	if document, ok := iam.ManagedPolicy(arn); ok {
		return document, nil
	}
	return nil, fmt.Errorf("policy %s does not exist or is not attachable", arn)
}

// DeleteRole implements cloudformation.Policies.
func (j judged) DeleteRole(name string) {
	j.engine.DeleteRole(name)
	j.PolicyStore.DeleteRole(name)
}

// PutManagedPolicy implements cloudformation.Policies: the roles that have the policy get the new one.
func (j judged) PutManagedPolicy(arn string, document json.RawMessage) error {
	if err := j.PolicyStore.PutManagedPolicy(arn, document); err != nil || document == nil {
		return err
	}
	roles := j.Roles()
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if r := roles[name]; slices.Contains(r.Managed, arn) || r.Boundary == arn {
			if err := j.PutRole(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// PutResourcePolicy implements cloudformation.Policies.
func (j judged) PutResourcePolicy(arn string, document json.RawMessage) error {
	if err := j.engine.PutResourcePolicy(arn, document); err != nil {
		return err
	}
	return j.PolicyStore.PutResourcePolicy(arn, document)
}
