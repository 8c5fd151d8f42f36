package iam_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/iam"
)

const (
	bucket   = "arn:aws:s3:::b"
	object   = "arn:aws:s3:::b/k"
	roleARN  = "arn:aws:iam::111122223333:role/team/worker"
	operator = "arn:aws:iam::111122223333:user/operator"
	cmk      = "arn:aws:kms:us-east-1:111122223333:key/k"

	allowGet = `{"Sid":"Get","Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`
	denyGet  = `{"Sid":"NoGet","Effect":"Deny","Action":"s3:GetObject","Resource":"*"}`
)

// put adds a role with one inline policy, if there are statements.
func put(t *testing.T, e *iam.Engine, r iam.Role, statements ...string) {
	t.Helper()
	r.AssumeRolePolicy = json.RawMessage(lambda)
	if len(statements) > 0 {
		r.Inline = map[string]json.RawMessage{"work": policy(statements...)}
	}
	if err := e.PutRole(r); err != nil {
		t.Fatal(err)
	}
}

func by(pairs ...string) (list []iam.Statement) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, iam.Statement{Policy: pairs[i], ID: pairs[i+1]})
	}
	return list
}

// Who is named how in the policy of a resource.
func grant(principal, action string) string {
	return `{"Sid":"R","Effect":"Allow","Principal":` + principal + `,"Action":"` + action + `","Resource":"*"}`
}

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
func TestEvaluation(t *testing.T) {
	t.Parallel()
	const (
		toRole    = `{"AWS":"` + roleARN + `"}`
		toSession = `{"AWS":"` + session + `"}`
		toAccount = `{"AWS":"arn:aws:iam::111122223333:root"}`
	)
	for _, test := range []struct {
		name                         string
		identity, boundary, resource string // one statement each, or ""
		call                         iam.Call
		want                         iam.Decision
	}{
		{
			name: "nothing allows", call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Reason: "because no identity-based policy allows the s3:GetObject action"},
		},
		{
			name: "the identity's policy allows", identity: allowGet, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Allowed: true, By: by("worker/work", "Get")},
		},
		{
			name: "an explicit deny of the identity", identity: denyGet, resource: grant(toSession, "s3:*"), call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{By: by("worker/work", "NoGet"), Reason: "with an explicit deny in an identity-based policy"},
		},
		{
			name: "an explicit deny of the bucket", identity: allowGet, resource: `{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}`, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{By: by(bucket, "#0"), Reason: "with an explicit deny in a resource-based policy"},
		},
		{
			name: "an explicit deny of the boundary", identity: allowGet, boundary: denyGet, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{By: by("worker permissions boundary", "NoGet"), Reason: "with an explicit deny in a permissions boundary"},
		},
		{
			name: "the bucket's policy is enough in the same account", resource: grant(toRole, "s3:GetObject"), call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Allowed: true, By: by(bucket, "R")},
		},
		{
			name: "it is for others", resource: grant(`{"AWS":"arn:aws:iam::111122223333:role/other"}`, "s3:GetObject"), call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Reason: "because no identity-based policy allows the s3:GetObject action"},
		},
		{
			name: "the account is not everybody in it", resource: grant(toAccount, "s3:GetObject"), call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Reason: "because no identity-based policy allows the s3:GetObject action"},
		},
		{
			name: "within the boundary", identity: allowGet, boundary: allowGet, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Allowed: true, By: by("worker/work", "Get", "worker permissions boundary", "Get")},
		},
		{
			name: "outside the boundary", identity: allowGet, boundary: `{"Effect":"Allow","Action":"s3:Put*","Resource":"*"}`, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Reason: "because no permissions boundary allows the s3:GetObject action"},
		},
		{
			name: "a boundary grants nothing", boundary: allowGet, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Reason: "because no identity-based policy allows the s3:GetObject action"},
		},
		{
			name: "a boundary limits what a resource grants to the role", resource: grant(toRole, "s3:*"), boundary: `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Reason: "because no permissions boundary allows the s3:GetObject action"},
		},
		{
			name: "but not what it grants to the session", resource: grant(toSession, "s3:*"), boundary: `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`, call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Allowed: true, By: by(bucket, "R")},
		},
		{
			name: "a key that does not know the account", identity: `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`, call: iam.Call{Action: "kms:Decrypt", Resource: cmk},
			want: iam.Decision{Reason: "because no resource-based policy allows the kms:Decrypt action"},
		},
		{
			name: "a key that leaves it to the account", identity: `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`, resource: grant(toAccount, "kms:*"), call: iam.Call{Action: "kms:Decrypt", Resource: cmk},
			want: iam.Decision{Allowed: true, By: by(cmk, "R", "worker/work", "#0")},
		},
		{
			name: "which the account does not allow", resource: grant(toAccount, "kms:*"), call: iam.Call{Action: "kms:Decrypt", Resource: cmk},
			want: iam.Decision{Reason: "because no identity-based policy allows the kms:Decrypt action"},
		},
		{
			name: "a key that names the role", resource: grant(toRole, "kms:Decrypt"), call: iam.Call{Action: "kms:Decrypt", Resource: cmk},
			want: iam.Decision{Allowed: true, By: by(cmk, "R")},
		},
		{
			name: "a service that a resource names", resource: grant(`{"Service":"sns.amazonaws.com"}`, "s3:PutObject"), call: iam.Call{Principal: "sns.amazonaws.com", Action: "s3:PutObject", Resource: object},
			want: iam.Decision{Allowed: true, By: by(bucket, "R")},
		},
		{
			name: "a service that it does not name", resource: grant(`{"Service":"sns.amazonaws.com"}`, "s3:PutObject"), call: iam.Call{Principal: "events.amazonaws.com", Action: "s3:PutObject", Resource: object},
			want: iam.Decision{Reason: "because no resource-based policy allows the s3:PutObject action"},
		},
		{
			name: "a user is an administrator", call: iam.Call{Principal: operator, Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Allowed: true, By: by("arn:aws:iam::aws:policy/AdministratorAccess", "#0")},
		},
		{
			name: "whom a deny binds", resource: `{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/register/*","Condition":{"ArnNotEquals":{"aws:PrincipalArn":"` + roleARN + `"}}}`,
			call: iam.Call{Principal: operator, Action: "s3:PutObject", Resource: bucket + "/register/x"},
			want: iam.Decision{By: by(bucket, "#0"), Reason: "with an explicit deny in a resource-based policy"},
		},
		{
			name: "but not the role that it leaves out", identity: `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`, resource: `{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/register/*","Condition":{"ArnNotEquals":{"aws:PrincipalArn":"` + roleARN + `"}}}`,
			call: iam.Call{Action: "s3:PutObject", Resource: bucket + "/register/x"},
			want: iam.Decision{Allowed: true, By: by("worker/work", "#0")},
		},
		{
			name: "NotPrincipal must name account, role and session", identity: allowGet, resource: `{"Effect":"Deny","NotPrincipal":{"AWS":["` + roleARN + `","arn:aws:iam::111122223333:root"]},"Action":"s3:*","Resource":"*"}`,
			call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{By: by(bucket, "#0"), Reason: "with an explicit deny in a resource-based policy"},
		},
		{
			name: "and does here", identity: allowGet, resource: `{"Effect":"Deny","NotPrincipal":{"AWS":["` + roleARN + `","` + session + `","111122223333"]},"Action":"s3:*","Resource":"*"}`,
			call: iam.Call{Action: "s3:GetObject", Resource: object},
			want: iam.Decision{Allowed: true, By: by("worker/work", "Get")},
		},
		{
			name: "a function may be its role", call: iam.Call{Principal: "lambda.amazonaws.com", Action: "sts:AssumeRole", Resource: roleARN},
			want: iam.Decision{Allowed: true, By: by(roleARN, "#0")},
		},
		{
			name: "nobody else may", call: iam.Call{Principal: operator, Action: "sts:AssumeRole", Resource: roleARN},
			want: iam.Decision{Reason: "because no resource-based policy allows the sts:AssumeRole action"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := iam.New(account, region, iam.Options{Enforcement: iam.Everyone})
			r := iam.Role{Name: "worker", Path: "/team/"}
			if test.boundary != "" {
				r.Boundary = policy(test.boundary)
			}
			var statements []string
			if test.identity != "" {
				statements = append(statements, test.identity)
			}
			put(t, e, r, statements...)
			if test.resource != "" {
				arn := bucket
				if test.call.Resource == cmk {
					arn = cmk
				}
				if err := e.PutResourcePolicy(arn, policy(test.resource)); err != nil {
					t.Fatal(err)
				}
			}
			if test.call.Principal == "" {
				test.call.Principal = session
			}
			if diff := cmp.Diff(test.want, e.Authorize(t.Context(), test.call)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnforcement(t *testing.T) {
	t.Parallel()
	const stranger = "arn:aws:sts::111122223333:assumed-role/unknown/run"
	const function = "arn:aws:lambda:us-east-1:111122223333:function:f"
	calls := map[string]iam.Call{
		"a role that is known":       {Principal: session, Action: "s3:GetObject", Resource: object},
		"one that is not":            {Principal: stranger, Action: "s3:GetObject", Resource: object},
		"the operator":               {Principal: operator, Action: "s3:GetObject", Resource: object},
		"a service without a policy": {Principal: "sns.amazonaws.com", Action: "lambda:InvokeFunction", Resource: function},
		"a service with a policy":    {Principal: "sns.amazonaws.com", Action: "lambda:InvokeFunction", Resource: function + ":live"},
	}
	for enforcement, want := range map[iam.Enforcement]map[string]bool{
		iam.KnownRoles: {"a role that is known": false, "one that is not": true, "the operator": true, "a service without a policy": true, "a service with a policy": false},
		iam.Everyone:   {"a role that is known": false, "one that is not": false, "the operator": true, "a service without a policy": false, "a service with a policy": false},
	} {
		e := iam.New(account, region, iam.Options{Enforcement: enforcement})
		put(t, e, iam.Role{Name: "worker"})
		if err := e.PutResourcePolicy(function+":live", policy(grant(`{"Service":"events.amazonaws.com"}`, "lambda:*"))); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for name, c := range calls {
			got[name] = e.Authorize(t.Context(), c).Allowed
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("enforcement %d allows (-want +got):\n%s", enforcement, diff)
		}
	}
}

func TestRecordsShowWhatIsNeeded(t *testing.T) {
	t.Parallel()
	e := engine(t,
		`{"Sid":"Read","Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"*"}`,
		`{"Sid":"ReadAgain","Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b"}`,
		`{"Sid":"Write","Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`,
		`{"Sid":"NotThere","Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/x"}`,
		`{"Sid":"Nowhere","Effect":"Deny","Action":"s3:PutObject","Resource":"*"}`)
	for _, c := range []iam.Call{
		{Action: "s3:GetObject", Resource: object}, {Action: "s3:GetObject", Resource: object},
		{Action: "s3:ListBucket", Resource: bucket}, {Action: "s3:GetObject", Resource: object[:len(object)-1] + "x"},
	} {
		c.Principal = session
		e.Authorize(t.Context(), c)
	}
	records := e.Decisions()
	if len(records) != 3 || records[0].Count != 2 || records[0].Keys["aws:principalarn"][0] != roleARN {
		t.Fatalf("records = %+v", records)
	}
	needing := map[string][]string{}
	for _, g := range e.Grants() {
		if g.Policy != "worker/work" {
			continue
		}
		for _, action := range append(g.Actions, "") {
			list := []string{}
			for _, r := range e.Needing(g.Statement, action) {
				list = append(list, r.Resource)
			}
			needing[g.ID+" "+action] = list
		}
	}
	want := map[string][]string{
		"Read ": {object}, "Read s3:GetObject": {object}, "Read s3:ListBucket": {},
		"ReadAgain ": {}, "ReadAgain s3:ListBucket": {}, // each of the two would do
		"Write ": {}, "Write s3:PutObject": {},
	}
	if diff := cmp.Diff(want, needing); diff != "" {
		t.Errorf("calls that need each statement and action (-want +got):\n%s", diff)
	}
	if held := e.HeldBackBy(iam.Statement{Policy: "worker/work", ID: "NotThere"}); len(held) != 1 {
		t.Errorf("NotThere holds back %v", held)
	}
	if held := e.HeldBackBy(iam.Statement{Policy: "worker/work", ID: "Nowhere"}); len(held) != 0 {
		t.Errorf("Nowhere holds back %v", held)
	}
	if len(e.Decisions()) != 3 {
		t.Error("judging again was recorded")
	}
	e.Forget()
	if len(e.Decisions()) != 0 {
		t.Error("records were not forgotten")
	}
}
