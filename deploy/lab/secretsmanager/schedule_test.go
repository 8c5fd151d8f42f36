package secretsmanager_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// Each row says when the window closes that follows Monday, 2 November 2026,
// 09:30; "" where the rules are refused.
func TestSchedules(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.create()
	for _, test := range []struct {
		days       int64
		expression string
		duration   string
		closes     string
	}{
		{days: 1, closes: "2026-11-03T23:59:59Z"},
		{days: 1000, closes: "2029-07-29T23:59:59Z"},
		{days: 1, duration: "3h", closes: "2026-11-03T03:00:00Z"},
		{days: 1001},
		{days: -1},
		{duration: "3h"},
		{days: 1, duration: "25h"},
		{days: 1, duration: "0h"},
		{days: 1, duration: "3"},
		{expression: "rate(4 hours)", closes: "2026-11-02T13:00:00Z"},
		{expression: "rate(10 hours)", duration: "10h", closes: "2026-11-02T20:00:00Z"},
		{expression: "rate(10 hours)", duration: "11h"},
		{expression: "rate(3 hours)"},
		{expression: "rate(1 day)", closes: "2026-11-03T23:59:59Z"},
		{expression: "rate(999 days)", closes: "2029-07-28T23:59:59Z"},
		{expression: "rate(1000 days)"},
		{expression: "rate(0 days)"},
		{expression: "rate(10 weeks)"},
		{expression: "rate(10days)"},
		{expression: "every day"},
		{expression: "cron(0 10 * * ? *)", closes: "2026-11-02T23:59:59Z"},
		{expression: "cron(0 9 * * ? *)", closes: "2026-11-03T23:59:59Z"}, // that hour has begun
		{expression: "cron(0 10 * * ? *)", duration: "14h", closes: "2026-11-03T00:00:00Z"},
		{expression: "cron(0 10 * * ? *)", duration: "15h"},
		{expression: "cron(0 8/8 * * ? *)", closes: "2026-11-02T17:00:00Z"},
		{expression: "cron(0 /4 * * ? *)", closes: "2026-11-02T13:00:00Z"},
		{expression: "cron(0 */4 * * ? *)", duration: "4h", closes: "2026-11-02T16:00:00Z"},
		{expression: "cron(0 */4 * * ? *)", duration: "5h"},
		{expression: "cron(0 1,3 * * ? *)"},
		{expression: "cron(0 2,23 * * ? *)"},
		{expression: "cron(0 12 ? * FRI *)", closes: "2026-11-06T23:59:59Z"},
		{expression: "cron(0 12 ? * 6 *)", closes: "2026-11-06T23:59:59Z"},
		{expression: "cron(0 12 ? * MON-WED *)", closes: "2026-11-02T23:59:59Z"},
		{expression: "cron(0 12 ? * 6L *)", closes: "2026-11-27T23:59:59Z"},
		{expression: "cron(0 12 ? * 6#2 *)", closes: "2026-11-13T23:59:59Z"},
		{expression: "cron(0 12 ? * L *)", closes: "2026-11-07T23:59:59Z"},
		{expression: "cron(0 12 L * ? *)", closes: "2026-11-30T23:59:59Z"},
		{expression: "cron(0 12 1,15 * ? *)", closes: "2026-11-15T23:59:59Z"},
		{expression: "cron(0 12 1/7 JAN,jul ? *)", closes: "2027-01-01T23:59:59Z"},
		{expression: "cron(0 12 29 2 ? *)", closes: "2028-02-29T23:59:59Z"},
		{expression: "cron(0 12 31 2 ? *)"},
		{expression: "cron(30 12 * * ? *)"},
		{expression: "cron(0 12 * * ? 2027)"},
		{expression: "cron(0 12 1 * MON *)"},
		{expression: "cron(0 24 * * ? *)"},
		{expression: "cron(0 12 * 13 ? *)"},
		{expression: "cron(0 12 ? * 8 *)"},
		{expression: "cron(0 12 ? * 6#6 *)"},
		{expression: "cron(0 5-3 * * ? *)"},
		{expression: "cron(0 12/0 * * ? *)"},
		{expression: "cron(0 12 * * ?)"},
	} {
		rules := &types.RotationRulesType{}
		if test.days != 0 {
			rules.AutomaticallyAfterDays = &test.days
		}
		if test.expression != "" {
			rules.ScheduleExpression = &test.expression
		}
		if test.duration != "" {
			rules.Duration = &test.duration
		}
		_, err := l.RotateSecret(t.Context(), &api.RotateSecretInput{
			SecretId: alice, RotationLambdaARN: aws.String(functionARN), RotationRules: rules, RotateImmediately: aws.Bool(false),
		})
		got := ""
		if err == nil {
			got = l.describe().NextRotationDate.Format(time.RFC3339)
		} else if code(err) != "InvalidParameterException" {
			t.Errorf("%d %q %q: %v", test.days, test.expression, test.duration, err)
		}
		if got != test.closes {
			t.Errorf("%d %q %q closes %q, want %q (%v)", test.days, test.expression, test.duration, got, test.closes, err)
		}
	}
}
