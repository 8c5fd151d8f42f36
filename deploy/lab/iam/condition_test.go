package iam_test

import (
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/iam"
)

// The rows are AWS's documented rules.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
func TestConditions(t *testing.T) {
	t.Parallel()
	keys := func(pairs ...string) iam.Keys {
		k := iam.Keys{}
		for i := 0; i < len(pairs); i += 2 {
			k[pairs[i]] = append(k[pairs[i]], pairs[i+1])
		}
		return k
	}
	env, tags := func(v string) iam.Keys { return keys("ssm:resourceTag/Env", v) }, func(v ...string) iam.Keys { return iam.Keys{"aws:TagKeys": v} }
	for _, test := range []struct {
		name, block string
		keys        iam.Keys
		holds       bool
	}{
		{"equal", `{"StringEquals":{"ssm:resourceTag/Env":"prod"}}`, env("prod"), true},
		{"case matters", `{"StringEquals":{"ssm:resourceTag/Env":"prod"}}`, env("Prod"), false},
		{"but not in the key's name", `{"StringEquals":{"SSM:ResourceTag/env":"prod"}}`, env("prod"), true},
		{"one of several values", `{"StringEquals":{"ssm:resourceTag/Env":["dev","prod"]}}`, env("prod"), true},
		{"a star is a star", `{"StringEquals":{"ssm:resourceTag/Env":"p*"}}`, env("prod"), false},
		{"a missing key does not match", `{"StringEquals":{"ssm:resourceTag/Env":"prod"}}`, nil, false},
		{"unless it may be missing", `{"StringEqualsIfExists":{"ssm:resourceTag/Env":"prod"}}`, nil, true},
		{"an empty tag is there", `{"StringEqualsIfExists":{"ssm:resourceTag/Env":"prod"}}`, env(""), false},
		{"not equal", `{"StringNotEquals":{"ssm:resourceTag/Env":"prod"}}`, env("dev"), true},
		{"to none of several", `{"StringNotEquals":{"ssm:resourceTag/Env":["dev","prod"]}}`, env("dev"), false},
		{"a missing key is not equal", `{"StringNotEquals":{"ssm:resourceTag/Env":"prod"}}`, nil, true},
		{"like", `{"StringLike":{"ssm:resourceTag/Env":"p?o*"}}`, env("prod"), true},
		{"like has case", `{"StringLike":{"ssm:resourceTag/Env":"P*"}}`, env("prod"), false},
		{"not like", `{"StringNotLike":{"ssm:resourceTag/Env":"d*"}}`, env("prod"), true},
		{"not like a missing key", `{"StringNotLike":{"ssm:resourceTag/Env":"*"}}`, nil, true},
		{"equal but for case", `{"StringEqualsIgnoreCase":{"ssm:resourceTag/Env":"PROD"}}`, env("prod"), true},
		{"not even but for case", `{"StringNotEqualsIgnoreCase":{"ssm:resourceTag/Env":"PROD"}}`, env("prod"), false},
		{"all keys must match", `{"StringEquals":{"ssm:resourceTag/Env":"prod","s3:prefix":"x"}}`, env("prod"), false},
		{"all operators must match", `{"StringEquals":{"ssm:resourceTag/Env":"prod"},"Null":{"s3:prefix":"false"}}`, env("prod"), false},
		{"a variable", `{"StringEquals":{"ssm:resourceTag/Env":"${aws:PrincipalAccount}"}}`, env("111122223333"), true},
		{"a wildcard in a variable's value is text", `{"StringLike":{"ssm:resourceTag/Env":"${s3:prefix}"}}`, keys("ssm:resourceTag/Env", "prod", "s3:prefix", "*"), false},

		{"an ARN", `{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:111122223333:t"}}`, keys("aws:SourceArn", "arn:aws:sns:us-east-1:111122223333:t"), true},
		{"ArnEquals has wildcards", `{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:*:*:t*"}}`, keys("aws:SourceArn", "arn:aws:sns:us-east-1:111122223333:topic"), true},
		{"that end at a colon", `{"ArnLike":{"aws:SourceArn":"arn:aws:s*:t"}}`, keys("aws:SourceArn", "arn:aws:sns:us-east-1:111122223333:t"), false},
		{"but for the last part", `{"ArnLike":{"aws:SourceArn":"arn:aws:lambda:*:*:function:*"}}`, keys("aws:SourceArn", "arn:aws:lambda:r:a:function:f:live"), true},
		{"what is no ARN is like none", `{"ArnLike":{"aws:SourceArn":"*"}}`, keys("aws:SourceArn", "x"), false},
		{"not an ARN", `{"ArnNotEquals":{"aws:SourceArn":"arn:aws:sns:*:*:t"}}`, keys("aws:SourceArn", "arn:aws:sns:r:a:u"), true},
		{"not a missing ARN", `{"ArnNotLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}`, nil, true},
		{"a missing ARN", `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}`, nil, false},

		{"true", `{"Bool":{"aws:ViaAWSService":"false"}}`, nil, true},
		{"in any case, and as JSON", `{"Bool":{"aws:SecureTransport":["False",true]}}`, nil, true},
		{"loopback stands for TLS", `{"Bool":{"aws:SecureTransport":"false"}}`, nil, false},
		{"absent", `{"Null":{"s3:if-none-match":"true"}}`, nil, true},
		{"not absent", `{"Null":{"s3:if-none-match":"false"}}`, keys("s3:if-none-match", "*"), true},
		{"absent, but it should be there", `{"Null":{"s3:if-none-match":"false"}}`, nil, false},

		{"a number", `{"NumericEquals":{"s3:max-keys":10}}`, keys("s3:max-keys", "10.0"), true},
		{"another number", `{"NumericNotEquals":{"s3:max-keys":"10"}}`, keys("s3:max-keys", "11"), true},
		{"less, and not as text", `{"NumericLessThan":{"s3:max-keys":"10"}}`, keys("s3:max-keys", "9"), true},
		{"not less", `{"NumericLessThan":{"s3:max-keys":"10"}}`, keys("s3:max-keys", "10"), false},
		{"at most", `{"NumericLessThanEquals":{"s3:max-keys":"10"}}`, keys("s3:max-keys", "10"), true},
		{"more", `{"NumericGreaterThan":{"s3:max-keys":"10"}}`, keys("s3:max-keys", "10.5"), true},
		{"at least", `{"NumericGreaterThanEquals":{"s3:max-keys":"10"}}`, keys("s3:max-keys", "9"), false},
		{"what is no number is less than none", `{"NumericLessThan":{"s3:max-keys":"10"}}`, keys("s3:max-keys", "x"), false},

		{"before", `{"DateLessThan":{"aws:CurrentTime":"2026-11-02T00:00:00Z"}}`, nil, true},
		{"not before", `{"DateLessThan":{"aws:CurrentTime":"2026-11-01"}}`, nil, false},
		{"after, in seconds", `{"DateGreaterThan":{"aws:CurrentTime":"1577836800"}}`, nil, true},
		{"at that time", `{"DateEquals":{"aws:EpochTime":"2026-11-01T12:00:00+00:00"}}`, nil, true},
		{"at another", `{"DateNotEquals":{"aws:CurrentTime":"2026-11-01T12:00:00Z"}}`, nil, false},
		{"at or after", `{"DateGreaterThanEquals":{"aws:CurrentTime":"2026-11-01T12:00:00Z"}}`, nil, true},
		{"at or before", `{"DateLessThanEquals":{"aws:CurrentTime":"2026-11-01T12:00:00Z"}}`, nil, true},

		{"an address in a range", `{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","127.0.0.0/8"]}}`, keys("aws:SourceIp", "127.0.0.1"), true},
		{"an address by itself", `{"IpAddress":{"aws:SourceIp":"192.0.2.1"}}`, keys("aws:SourceIp", "192.0.2.2"), false},
		{"an address not in a range", `{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`, keys("aws:SourceIp", "127.0.0.1"), true},

		{"any of many", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}`, tags("b", "c"), true},
		{"none of many", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}`, tags("c"), false},
		{"any of none", `{"ForAnyValue:StringEquals":{"aws:TagKeys":"a"}}`, nil, false},
		{"any that is not", `{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"a"}}`, tags("a", "b"), true},
		{"any of none that is not", `{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"a"}}`, nil, false},
		{"all of many", `{"ForAllValues:StringLike":{"aws:TagKeys":"keytrail:*"}}`, tags("keytrail:a", "keytrail:b"), true},
		{"not all of many", `{"ForAllValues:StringLike":{"aws:TagKeys":"keytrail:*"}}`, tags("keytrail:a", "b"), false},
		{"all of none", `{"ForAllValues:StringLike":{"aws:TagKeys":"keytrail:*"}}`, nil, true},
		{"all that are not", `{"ForAllValues:StringNotLike":{"aws:TagKeys":"key1*"}}`, tags("key2:audit"), true},
		{"not all that are not", `{"ForAllValues:StringNotLike":{"aws:TagKeys":"key1*"}}`, tags("key1:hr", "key1:legal"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := iam.New(account, region, iam.Options{Now: func() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }})
			put(t, e, iam.Role{Name: "worker"}, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+test.block+`}`)
			d := e.Authorize(t.Context(), iam.Call{Principal: session, Action: "s3:ListBucket", Resource: "arn:aws:s3:::b", Keys: test.keys})
			if d.Allowed != test.holds {
				t.Errorf("%s with %v: %+v", test.block, test.keys, d)
			}
		})
	}
}
