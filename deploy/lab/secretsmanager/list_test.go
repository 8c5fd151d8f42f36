package secretsmanager_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
)

func TestListSecrets(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i, name := range []string{"prod/alice", "prod/bob", "test/alice", "test/carol", "gone"} {
		l.advance(time.Second)
		must(l.CreateSecret(t.Context(), &api.CreateSecretInput{
			Name: &name, Description: aws.String("Key of " + name), SecretString: aws.String("x"),
			Tags: []types.Tag{{Key: aws.String("env"), Value: aws.String(name[:4])}, {Key: aws.String(fmt.Sprintf("n%d", i))}},
		}))
	}
	must(l.DeleteSecret(t.Context(), &api.DeleteSecretInput{SecretId: aws.String("gone")}))

	filter := func(key types.FilterNameStringType, values ...string) []types.Filter {
		return []types.Filter{{Key: key, Values: values}}
	}
	for name, test := range map[string]struct {
		in   api.ListSecretsInput
		want string
	}{
		"all":                                {api.ListSecretsInput{}, "prod/alice prod/bob test/alice test/carol"},
		"with those that are to be deleted":  {api.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true)}, "prod/alice prod/bob test/alice test/carol gone"},
		"newest first":                       {api.ListSecretsInput{SortOrder: types.SortOrderTypeDesc}, "test/carol test/alice prod/bob prod/alice"},
		"by name":                            {api.ListSecretsInput{SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeDesc}, "test/carol test/alice prod/bob prod/alice"},
		"a name's beginning":                 {api.ListSecretsInput{Filters: filter("name", "prod/")}, "prod/alice prod/bob"},
		"a name's beginning in another case": {api.ListSecretsInput{Filters: filter("name", "PROD/")}, ""},
		"a name's end":                       {api.ListSecretsInput{Filters: filter("name", "alice")}, ""},
		"one of two names":                   {api.ListSecretsInput{Filters: filter("name", "prod/a", "test/c")}, "prod/alice test/carol"},
		"not a name":                         {api.ListSecretsInput{Filters: filter("name", "!prod/")}, "test/alice test/carol"},
		"a description in another case":      {api.ListSecretsInput{Filters: filter("description", "key OF test")}, "test/alice test/carol"},
		"a tag's key":                        {api.ListSecretsInput{Filters: filter("tag-key", "n2")}, "test/alice"},
		"a tag's value":                      {api.ListSecretsInput{Filters: filter("tag-value", "test")}, "test/alice test/carol"},
		"two filters":                        {api.ListSecretsInput{Filters: append(filter("tag-value", "test"), filter("name", "test/a")...)}, "test/alice"},
		"words anywhere":                     {api.ListSecretsInput{Filters: filter("all", "ALICE n2")}, "test/alice"},
		"secrets of another service":         {api.ListSecretsInput{Filters: filter("owning-service", "rds")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []*int32{nil, aws.Int32(1), aws.Int32(3)} {
				in := test.in
				in.MaxResults = size
				var got []string
				for p := api.NewListSecretsPaginator(l, &in); p.HasMorePages(); {
					page := must(p.NextPage(t.Context()))
					for _, s := range page.SecretList {
						got = append(got, *s.Name)
					}
				}
				if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
					t.Errorf("pages of %d (-want +got):\n%s", aws.ToInt32(size), diff)
				}
			}
		})
	}
}

func TestListSecretVersionIds(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	for n := 2; n <= 4; n++ {
		must(l.put(n, "v"))
	}
	for _, test := range []struct {
		deprecated bool
		want       string
	}{{false, "3 4"}, {true, "1 2 3 4"}} {
		var got []string
		in := &api.ListSecretVersionIdsInput{SecretId: alice, IncludeDeprecated: &test.deprecated, MaxResults: aws.Int32(1)}
		for p := api.NewListSecretVersionIdsPaginator(l, in); p.HasMorePages(); {
			page := must(p.NextPage(t.Context()))
			for _, v := range page.Versions {
				got = append(got, strings.TrimLeft((*v.VersionId)[24:], "0"))
				if diff := cmp.Diff([]string{"DefaultEncryptionKey"}, v.KmsKeyIds); diff != "" {
					t.Error(diff)
				}
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("deprecated %t (-want +got):\n%s", test.deprecated, diff)
		}
	}
}

// A secret is found by its name, its ARN and its ARN without the end, but not
// by the latter when its name ends as an ARN does.
func TestFinding(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, partial := range map[string]bool{"Valid/_+=.@-Name": true, "Valid/_+=.@-Name-a1b2": true, "Valid/_+=.@-Name-a1b2c3-": true, "Invalid/_+=.@-Name-a1b2c3": false} {
		arn := *must(l.CreateSecret(t.Context(), &api.CreateSecretInput{Name: &name, SecretString: aws.String("x")})).ARN
		if !regexp.MustCompile(`^arn:aws:secretsmanager:us-east-1:111122223333:secret:` + regexp.QuoteMeta(name) + `-[A-Za-z0-9]{6}$`).MatchString(arn) {
			t.Errorf("ARN = %s", arn)
		}
		for id, found := range map[string]bool{
			name: true, arn: true, arn[:len(arn)-7]: partial, arn[:len(arn)-3]: false, arn + "x": false,
			strings.Replace(arn, "us-east-1", "us-east-2", 1): false,
		} {
			out, err := l.GetSecretValue(t.Context(), &api.GetSecretValueInput{SecretId: &id})
			if (err == nil) != found || found && *out.ARN != arn {
				t.Errorf("%s: %v, found should be %t", id, err, found)
			}
		}
	}
	same := newLab(t)
	same.create()
	other := newLab(t)
	other.create()
	if a, b := *same.describe().ARN, *other.describe().ARN; a != b {
		t.Errorf("the same seed gives %s and %s", a, b)
	}
}

func TestBatchGetSecretValue(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	must(l.CreateSecret(t.Context(), &api.CreateSecretInput{Name: aws.String("bob"), SecretBinary: []byte("two")}))
	out := must(l.BatchGetSecretValue(t.Context(), &api.BatchGetSecretValueInput{SecretIdList: []string{"alice", "nobody"}}))
	if len(out.SecretValues) != 1 || *out.SecretValues[0].SecretString != "one" || len(out.Errors) != 1 || *out.Errors[0].ErrorCode != "ResourceNotFoundException" {
		t.Errorf("by name: %+v", out)
	}
	out = must(l.BatchGetSecretValue(t.Context(), &api.BatchGetSecretValueInput{Filters: []types.Filter{{Key: "name", Values: []string{"!alice"}}}}))
	if len(out.SecretValues) != 1 || string(out.SecretValues[0].SecretBinary) != "two" {
		t.Errorf("by filter: %+v", out)
	}
	if _, err := l.BatchGetSecretValue(t.Context(), &api.BatchGetSecretValueInput{}); said(err) != "InvalidParameterException: Either 'SecretIdList' or 'Filters' must be provided, but not both." {
		t.Errorf("by neither: %v", err)
	}
}

// Writers at the same time leave one current and one previous version.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *secretsmanager.Options) { o.Dir = t.TempDir() })
	l.create()
	var all sync.WaitGroup
	for n := 2; n <= 40; n++ {
		all.Go(func() {
			if _, err := l.put(n, "v"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := l.labels(); strings.Count(got, "AWSCURRENT") != 1 || strings.Count(got, "AWSPREVIOUS") != 1 {
		t.Errorf("labels = %s", got)
	}
	list := must(l.ListSecretVersionIds(t.Context(), &api.ListSecretVersionIdsInput{SecretId: alice, IncludeDeprecated: aws.Bool(true)}))
	if len(list.Versions) != 40 {
		t.Errorf("%d versions, want 40", len(list.Versions))
	}
}

func TestUpdateSecret(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	out := must(l.UpdateSecret(t.Context(), &api.UpdateSecretInput{SecretId: alice, Description: aws.String("d"), KmsKeyId: aws.String("alias/k")}))
	if d := l.describe(); out.VersionId != nil || *d.Description != "d" || *d.KmsKeyId != "alias/k" || l.labels() != "1:AWSCURRENT" {
		t.Errorf("a description makes version %v: %+v", out.VersionId, d)
	}
	out = must(l.UpdateSecret(t.Context(), &api.UpdateSecretInput{SecretId: alice, ClientRequestToken: id(2), SecretString: aws.String("two")}))
	if *out.VersionId != *id(2) || l.labels() != "1:AWSPREVIOUS 2:AWSCURRENT" {
		t.Errorf("labels = %s", l.labels())
	}
}

func TestResourcePolicy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	const text = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	if p := must(l.GetResourcePolicy(t.Context(), &api.GetResourcePolicyInput{SecretId: alice})); p.ResourcePolicy != nil {
		t.Errorf("policy before one is put: %s", *p.ResourcePolicy)
	}
	must(l.PutResourcePolicy(t.Context(), &api.PutResourcePolicyInput{SecretId: alice, ResourcePolicy: aws.String(text), BlockPublicPolicy: aws.Bool(true)}))
	if p := must(l.GetResourcePolicy(t.Context(), &api.GetResourcePolicyInput{SecretId: alice})); *p.ResourcePolicy != text {
		t.Errorf("policy = %s", *p.ResourcePolicy)
	}
	must(l.DeleteResourcePolicy(t.Context(), &api.DeleteResourcePolicyInput{SecretId: alice}))
	if p := must(l.GetResourcePolicy(t.Context(), &api.GetResourcePolicyInput{SecretId: alice})); p.ResourcePolicy != nil {
		t.Errorf("policy after it was deleted: %s", *p.ResourcePolicy)
	}
}
