package secretsmanager_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/keytrail/keytrail/deploy/lab/secretsmanager"
	"github.com/keytrail/keytrail/deploy/lab/wire"
)

var alice = aws.String("alice")

// TestQuirks has a row for each behaviour of Secrets Manager that was recorded
// on AWS or stands in its documentation, words included.
func TestQuirks(t *testing.T) {
	t.Parallel()
	const marked = "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion."
	for name, test := range map[string]struct {
		do   func(l *lab) string
		want string
	}{
		"a secret that is not there": {
			func(l *lab) string {
				_, err := l.DescribeSecret(l.t.Context(), &api.DescribeSecretInput{SecretId: aws.String("bob")})
				return said(err)
			},
			"ResourceNotFoundException: Secrets Manager can't find the specified secret.",
		},
		"a name with a character that none may have": {
			func(l *lab) string {
				_, err := l.DescribeSecret(l.t.Context(), &api.DescribeSecretInput{SecretId: aws.String("Inv Name")})
				return said(err)
			},
			"ValidationException: Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
		},
		"a secret that exists already": {
			func(l *lab) string {
				_, err := l.CreateSecret(l.t.Context(), &api.CreateSecretInput{Name: alice, SecretString: aws.String("x")})
				return said(err)
			},
			"ResourceExistsException: The operation failed because the secret alice already exists.",
		},
		"created again with the same token and value": {
			func(l *lab) string {
				out, err := l.CreateSecret(l.t.Context(), &api.CreateSecretInput{Name: alice, ClientRequestToken: id(1), SecretString: aws.String("one")})
				return said(err) + *out.VersionId
			},
			*id(1),
		},
		"a token that is too short": {
			func(l *lab) string {
				_, err := l.PutSecretValue(l.t.Context(), &api.PutSecretValueInput{SecretId: alice, ClientRequestToken: aws.String("short"), SecretString: aws.String("x")})
				return said(err)
			},
			"InvalidParameterException: ClientRequestToken must be 32-64 characters long.",
		},
		"a value of 65,536 characters": {
			func(l *lab) string { _, err := l.put(2, strings.Repeat("ü", 65536)); return said(err) },
			"",
		},
		"a value of 65,537 characters": {
			func(l *lab) string { _, err := l.put(2, strings.Repeat("x", 65537)); return said(err) },
			"ValidationException: 1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536",
		},
		"no value": {
			func(l *lab) string {
				_, err := l.PutSecretValue(l.t.Context(), &api.PutSecretValueInput{SecretId: alice})
				return said(err)
			},
			"InvalidRequestException: You must provide either SecretString or SecretBinary.",
		},
		"text and bytes at once": {
			func(l *lab) string {
				_, err := l.PutSecretValue(l.t.Context(), &api.PutSecretValueInput{SecretId: alice, SecretString: aws.String("x"), SecretBinary: []byte("x")})
				return said(err)
			},
			"InvalidParameterException: You can't specify both a binary secret value and a string secret value in the same secret.",
		},
		"put without labels moves AWSCURRENT, and AWSPREVIOUS follows it": {
			func(l *lab) string { must(l.put(2, "two")); must(l.put(3, "three")); return l.labels() },
			"2:AWSPREVIOUS 3:AWSCURRENT",
		},
		"put with AWSPENDING leaves AWSCURRENT": {
			func(l *lab) string { must(l.put(2, "two", "AWSPENDING")); return l.labels() },
			"1:AWSCURRENT 2:AWSPENDING",
		},
		"the same token with the same value changes no value but attaches the labels": {
			func(l *lab) string { must(l.put(1, "one", "REPLAY")); return l.labels() },
			"1:AWSCURRENT+REPLAY",
		},
		"an old token with its value does not bring it back": {
			func(l *lab) string {
				must(l.put(2, "two"))
				must(l.put(3, "three"))
				must(l.put(2, "two"))
				must(l.UpdateSecret(l.t.Context(), &api.UpdateSecretInput{SecretId: alice, ClientRequestToken: id(2), SecretString: aws.String("two")}))
				return l.labels()
			},
			"2:AWSPREVIOUS 3:AWSCURRENT",
		},
		"the same token with another value": {
			func(l *lab) string {
				_, err := l.put(1, "other")
				return strings.Replace(said(err), *l.describe().ARN, "ARN", 1)
			},
			"ResourceExistsException: You can't use ClientRequestToken 00000000-0000-4000-8000-000000000001 because that value is already in use for a version of secret ARN.",
		},
		"a label that is moved by put is on one version": {
			func(l *lab) string {
				must(l.put(2, "two", "blue", "green"))
				must(l.put(3, "three", "blue"))
				return l.labels()
			},
			"1:AWSCURRENT 2:green 3:blue",
		},
		"the first version is current whatever was asked": {
			func(l *lab) string {
				must(l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: alice, ForceDeleteWithoutRecovery: aws.Bool(true)}))
				must(l.CreateSecret(l.t.Context(), &api.CreateSecretInput{Name: alice}))
				must(l.put(2, "two", "AWSPENDING"))
				return l.labels()
			},
			"2:AWSCURRENT+AWSPENDING",
		},
		"moving AWSCURRENT moves AWSPREVIOUS and leaves AWSPENDING": {
			func(l *lab) string {
				must(l.put(2, "two", "AWSPENDING"))
				return said(l.move("AWSCURRENT", id(2), id(1))) + l.labels()
			},
			"1:AWSPREVIOUS 2:AWSCURRENT+AWSPENDING",
		},
		"moving AWSCURRENT back": {
			func(l *lab) string {
				must(l.put(2, "two"))
				return said(l.move("AWSCURRENT", id(1), id(2))) + l.labels()
			},
			"1:AWSCURRENT 2:AWSPREVIOUS",
		},
		"moving another label leaves AWSPREVIOUS": {
			func(l *lab) string {
				must(l.put(2, "two"))
				must(l.put(3, "three", "blue"))
				return said(l.move("blue", id(2), id(3))) + l.labels()
			},
			"1:AWSPREVIOUS 2:AWSCURRENT+blue",
		},
		"moving a label without saying from where": {
			func(l *lab) string {
				must(l.put(2, "two", "AWSPENDING"))
				return said(l.move("AWSCURRENT", id(2), nil))
			},
			"InvalidParameterException: The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version 00000000-0000-4000-8000-000000000001, so you must explicitly reference that version in RemoveFromVersionId.",
		},
		"moving a label from a version that does not have it": {
			func(l *lab) string {
				must(l.put(2, "two", "AWSPENDING"))
				return said(l.move("AWSCURRENT", id(2), id(2)))
			},
			"InvalidParameterException: When you move staging label AWSCURRENT, if you specify RemoveFromVersionId, it must be set to the version that currently has the staging label AWSCURRENT.",
		},
		"moving a label that nobody has needs no source": {
			func(l *lab) string { return said(l.move("blue", id(1), nil)) + l.labels() },
			"1:AWSCURRENT+blue",
		},
		"taking a label away": {
			func(l *lab) string {
				must(l.put(2, "two", "AWSPENDING"))
				return said(l.move("AWSPENDING", nil, id(2))) + l.labels()
			},
			"1:AWSCURRENT",
		},
		"taking AWSCURRENT away": {
			func(l *lab) string { return said(l.move("AWSCURRENT", nil, id(1))) },
			"InvalidParameterException: You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed.",
		},
		"21 labels on one secret": {
			func(l *lab) string {
				must(l.put(2, "two", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s"))
				return code(l.move("t", id(1), nil)) + " " + l.labels()
			},
			"LimitExceededException 1:AWSCURRENT 2:a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+q+r+s",
		},
		"reading a version by a label that it does not have": {
			func(l *lab) string {
				_, err := l.GetSecretValue(l.t.Context(), &api.GetSecretValueInput{SecretId: alice, VersionId: id(1), VersionStage: aws.String("AWSPENDING")})
				return said(err)
			},
			"InvalidRequestException: You provided a VersionStage that is not associated to the provided VersionId.",
		},
		"reading by a label that nobody has": {
			func(l *lab) string {
				_, err := l.GetSecretValue(l.t.Context(), &api.GetSecretValueInput{SecretId: alice, VersionStage: aws.String("AWSPREVIOUS")})
				return said(err)
			},
			"ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS",
		},
		"reading a version that is not there": {
			func(l *lab) string {
				_, err := l.GetSecretValue(l.t.Context(), &api.GetSecretValueInput{SecretId: alice, VersionId: id(9)})
				return said(err)
			},
			"ResourceNotFoundException: Secrets Manager can't find the specified secret value for VersionId: 00000000-0000-4000-8000-000000000009",
		},
		"rotating without a function": {
			func(l *lab) string {
				_, err := l.RotateSecret(l.t.Context(), &api.RotateSecretInput{SecretId: alice})
				return said(err)
			},
			"InvalidRequestException: No Lambda rotation function ARN is associated with this secret.",
		},
		"rotating with a function that is not there": {
			func(l *lab) string {
				_, err := l.RotateSecret(l.t.Context(), &api.RotateSecretInput{SecretId: alice, RotationLambdaARN: aws.String(functionARN + "x")})
				return said(err)
			},
			"AccessDeniedException: Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.",
		},
		"rotating while AWSPENDING is on another version": {
			func(l *lab) string { must(l.put(2, "two", "AWSPENDING")); return said(l.rotate(3)) },
			"InvalidRequestException: A previous rotation isn't complete. That rotation will be reattempted.",
		},
		"rotating while AWSPENDING is on the current version": {
			func(l *lab) string {
				must(l.put(2, "two", "AWSPENDING"))
				return said(l.move("AWSCURRENT", id(2), id(1))) + said(l.rotate(3)) + l.labels()
			},
			"2:AWSPREVIOUS 3:AWSCURRENT+AWSPENDING",
		},
		"cancelling where rotation was never configured": {
			func(l *lab) string {
				_, err := l.CancelRotateSecret(l.t.Context(), &api.CancelRotateSecretInput{SecretId: alice})
				if l.describe().RotationEnabled != nil {
					return "RotationEnabled is shown"
				}
				return said(err)
			},
			"",
		},
		"a rotation token with a character that none has": {
			func(l *lab) string {
				_, err := l.PutSecretValue(l.t.Context(), &api.PutSecretValueInput{SecretId: alice, SecretString: aws.String("x"), RotationToken: aws.String(strings.Repeat("_", 36))})
				return said(err)
			},
			`ValidationException: 1 validation error detected: Value at 'rotationToken' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9\-]+$`,
		},
		"a rotation token that is too short": {
			func(l *lab) string {
				_, err := l.PutSecretValue(l.t.Context(), &api.PutSecretValueInput{SecretId: alice, SecretString: aws.String("x"), RotationToken: aws.String("x")})
				return said(err)
			},
			"ValidationException: 1 validation error detected: Value at 'rotationToken' failed to satisfy constraint: Member must have length greater than or equal to 36",
		},
		"a day and an expression at once": {
			func(l *lab) string {
				_, err := l.RotateSecret(l.t.Context(), &api.RotateSecretInput{SecretId: alice, RotationLambdaARN: aws.String(functionARN),
					RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(3), ScheduleExpression: aws.String("rate(3 days)")}})
				return code(err)
			},
			"InvalidParameterException",
		},
		"a recovery window of 6 days": {
			func(l *lab) string {
				_, err := l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: alice, RecoveryWindowInDays: aws.Int64(6)})
				return said(err)
			},
			"InvalidParameterException: The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
		},
		"a recovery window and force": {
			func(l *lab) string {
				_, err := l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: alice, RecoveryWindowInDays: aws.Int64(7), ForceDeleteWithoutRecovery: aws.Bool(true)})
				return said(err)
			},
			"InvalidParameterException: You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
		},
		"reading what is marked for deletion": {
			func(l *lab) string {
				must(l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: alice}))
				_, err := l.GetSecretValue(l.t.Context(), &api.GetSecretValueInput{SecretId: alice})
				return said(err)
			},
			marked,
		},
		"tagging what is marked for deletion": {
			func(l *lab) string {
				must(l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: alice}))
				_, err := l.TagResource(l.t.Context(), &api.TagResourceInput{SecretId: alice, Tags: []types.Tag{}})
				return said(err)
			},
			marked,
		},
		"rotating what is marked for deletion": {
			func(l *lab) string {
				must(l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: alice}))
				return said(l.rotate(2))
			},
			marked,
		},
		"creating what is marked for deletion": {
			func(l *lab) string {
				must(l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: alice}))
				_, err := l.CreateSecret(l.t.Context(), &api.CreateSecretInput{Name: alice})
				return said(err)
			},
			"InvalidRequestException: You can't create this secret because a secret with this name is already scheduled for deletion.",
		},
		"deleting by force what is not there": {
			func(l *lab) string {
				_, err := l.DeleteSecret(l.t.Context(), &api.DeleteSecretInput{SecretId: aws.String("bob"), ForceDeleteWithoutRecovery: aws.Bool(true)})
				return said(err)
			},
			"",
		},
		"a list token that nobody gave out": {
			func(l *lab) string {
				_, err := l.ListSecrets(l.t.Context(), &api.ListSecretsInput{NextToken: aws.String("x")})
				return code(err)
			},
			"InvalidNextTokenException",
		},
		"a page of 101": {
			func(l *lab) string {
				_, err := l.ListSecrets(l.t.Context(), &api.ListSecretsInput{MaxResults: aws.Int32(101)})
				return said(err)
			},
			"ValidationException: 1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100",
		},
		"a policy that is not JSON": {
			func(l *lab) string {
				_, err := l.PutResourcePolicy(l.t.Context(), &api.PutResourcePolicyInput{SecretId: alice, ResourcePolicy: aws.String("{")})
				return code(err)
			},
			"MalformedPolicyDocumentException",
		},
		"a policy for everybody, blocked": {
			func(l *lab) string {
				_, err := l.PutResourcePolicy(l.t.Context(), &api.PutResourcePolicyInput{SecretId: alice, BlockPublicPolicy: aws.Bool(true),
					ResourcePolicy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:*","Resource":"*"}]}`)})
				return code(err)
			},
			"PublicPolicyException",
		},
		"an action that does not exist here": {
			func(l *lab) string {
				_, err := l.GetRandomPassword(l.t.Context(), &api.GetRandomPasswordInput{})
				return said(err)
			},
			"UnknownOperationException: UnknownError",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.create()
			if got := test.do(l); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// The SDKs fill in what these requests lack.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	const noToken = "Exception: You must provide a ClientRequestToken value. We recommend a UUID-type value."
	l := newLab(t)
	l.create()
	for _, test := range []struct{ action, body, want string }{
		{"CreateSecret", `{"Name":"bob"}`, "InvalidRequest" + noToken},
		{"UpdateSecret", `{"SecretId":"alice","SecretString":"x"}`, "InvalidRequest" + noToken},
		{"PutSecretValue", `{"SecretId":"alice","SecretString":"x"}`, "InvalidRequest" + noToken},
		{"RotateSecret", `{"SecretId":"alice"}`, "InvalidParameter" + noToken},
		{"DescribeSecret", `{}`, "ValidationException: 1 validation error detected: Value null at 'secretId' failed to satisfy constraint: Member must not be null"},
		{"DescribeSecret", `{"SecretId":""}`, "ValidationException: 1 validation error detected: Value '' at 'secretId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"DescribeSecret", `{"SecretId":1}`, "SerializationException: NUMBER_VALUE can not be converted to a String"},
		{"UpdateSecretVersionStage", `{"SecretId":"alice"}`, "ValidationException: 1 validation error detected: Value null at 'versionStage' failed to satisfy constraint: Member must not be null"},
		{"TagResource", `{"SecretId":"alice","Tags":[{"Value":"v"}]}`, "ValidationException: 1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null"},
		{"ListSecrets", `{"Filters":[{"Key":"colour","Values":["red"]}]}`, "ValidationException: 1 validation error detected: Value 'colour' at 'filters.1.member.key' failed to satisfy constraint: Member must satisfy enum value set: [all, name, tag-key, description, tag-value, primary-region, owning-service]"},
		{"DeleteEverything", `{}`, "UnknownOperationException"},
	} {
		_, err := l.service.Serve(t.Context(), wire.Request{Action: test.action, Body: []byte(test.body)})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s %s: %v\nwant %s", test.action, test.body, err, test.want)
		}
	}
}

// What was never set is left out of DescribeSecret and not shown as empty.
func TestNeverValued(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	out := must(l.CreateSecret(t.Context(), &api.CreateSecretInput{Name: alice}))
	d := l.describe()
	if out.VersionId != nil || d.VersionIdsToStages != nil || d.RotationEnabled != nil || d.LastAccessedDate != nil ||
		d.Tags != nil || d.RotationRules != nil || d.NextRotationDate != nil || d.DeletedDate != nil || d.Description != nil {
		t.Errorf("a secret that was never valued shows %+v", d)
	}
	_, err := l.GetSecretValue(t.Context(), &api.GetSecretValueInput{SecretId: alice})
	if want := "ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"; said(err) != want {
		t.Errorf("reading it: %v, want %s", err, want)
	}
	must(l.TagResource(t.Context(), &api.TagResourceInput{SecretId: alice, Tags: []types.Tag{{Key: aws.String("k")}}}))
	must(l.UntagResource(t.Context(), &api.UntagResourceInput{SecretId: alice, TagKeys: []string{"k"}}))
	if d := l.describe(); d.Tags == nil || len(d.Tags) > 0 {
		t.Errorf("tags after untagging = %v, want an empty list", d.Tags)
	}
}

// Reading is noted by the day, everything that changes a secret to the
// millisecond.
func TestDates(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	l.advance(26 * time.Hour)
	must(l.GetSecretValue(t.Context(), &api.GetSecretValueInput{SecretId: alice}))
	d := l.describe()
	if want := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC); !d.LastAccessedDate.Equal(want) {
		t.Errorf("LastAccessedDate = %v, want %v", d.LastAccessedDate, want)
	}
	if !d.CreatedDate.Equal(monday) || !d.LastChangedDate.Equal(monday) {
		t.Errorf("created %v, changed %v, want %v", d.CreatedDate, d.LastChangedDate, monday)
	}
	must(l.put(2, "two"))
	if d := l.describe(); !d.LastChangedDate.Equal(l.clock()) || d.LastRotatedDate != nil {
		t.Errorf("changed %v, rotated %v", d.LastChangedDate, d.LastRotatedDate)
	}
}

// Deprecated versions go when there are more than 100, but not on their first
// day; labelled ones stay.
func TestHundredVersions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	must(l.put(1, "one", "keep"))
	for n := 2; n <= 100; n++ {
		must(l.put(n, "v"))
	}
	_, err := l.put(101, "v")
	if code(err) != "LimitExceededException" {
		t.Errorf("the 101st version of the first day: %v", err)
	}
	l.advance(24 * time.Hour)
	must(l.put(101, "v"))
	list := must(l.ListSecretVersionIds(t.Context(), &api.ListSecretVersionIdsInput{SecretId: alice, IncludeDeprecated: aws.Bool(true)}))
	if len(list.Versions) != 100 || *list.Versions[0].VersionId != *id(1) || *list.Versions[1].VersionId != *id(3) {
		t.Errorf("%d versions, from %s, %s", len(list.Versions), *list.Versions[0].VersionId, *list.Versions[1].VersionId)
	}
	if got := l.rotationEvents(); len(got) != 1 || got[0] != secretsmanager.SecretVersionDeletion {
		t.Errorf("events = %v", got)
	}
}
