package lab

import (
	"context"
	"path/filepath"

	"github.com/keytrail/keytrail/deploy/lab/cloudformation"
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
		Front: l.front, AccessKey: operatorAccessKey, Functions: l.lambda, Policies: l.policies, Programs: o.Programs,
	})
}
