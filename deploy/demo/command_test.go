package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheCommandsOfAMailAreFoundAndParted(t *testing.T) {
	t.Parallel()
	commands := commandsOf(golden(t, "drift-stale.txt").Text)
	if len(commands) != 1 {
		t.Fatalf("commands %q, want one", commands)
	}
	got, err := words(commands[0])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"aws", "lambda", "invoke", "--region", "eu-west-1", "--function-name", "keytrail-rotate:reconcile",
		"--cli-binary-format", "raw-in-base64-out", "--payload",
		`{"Action":"reconcile","SecretId":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:fleet/deploy-AbCdEf"}`, "/dev/stdout"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, want := inShort(commands[0]), `aws lambda invoke … '{"Action":"reconcile","SecretId":"`; !strings.HasPrefix(got, want) {
		t.Errorf("%s, want it to begin with %s", got, want)
	}
}

func TestCommandsArePartedAsAShellDoes(t *testing.T) {
	t.Parallel()
	got, err := words(`a  b'c d'e '' `)
	if diff := cmp.Diff([]string{"a", "bc de", ""}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := words("a 'b"); err == nil {
		t.Error("a quote without an end is no error")
	}
}

func TestCommandsThatNobodyNeedsAreNotRun(t *testing.T) {
	t.Parallel()
	o := newOperator("http://127.0.0.1:0", "s")
	for command, want := range map[string]string{
		"rm -rf /":                             "no command of the AWS CLI",
		"aws s3":                               "no command of the AWS CLI",
		"aws secretsmanager delete-secret --x": "no use for the command",
		"aws secretsmanager rotate-secret --secret-id s --force yes":      "the option --force is not known",
		"aws lambda invoke --function-name f --region r":                  "the option --payload is missing",
		"aws lambda invoke --function-name f --payload '{\"a\":\"b\"}' '": "a quote has no end",
	} {
		if err := o.run(t.Context(), command); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
}
