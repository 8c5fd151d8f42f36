package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab"
	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/lambda"
	"github.com/keytrail/keytrail/deploy/lab/sns"
)

func TestParse(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "host.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := parse([]string{
		"--hosts", "1", "--hybrid", "1", "--users", "alice, bob", "--tags", "Fleet=web,Stage=", "--tools", "build/hosttools",
		"--trust", script, "--latency", "1s", "--folder", "/tmp/x", "--seed", "7", "--retries", "5", "--retry-delay", "1m",
		"--function", "rotate=python3 'my function.py'", "--env", "rotate:USERNAME=alice bob", "--env", "rotate:EMPTY=",
		"--alias", "rotate:reconcile", "--timeout", "1m", "--throttle", "ssm:SendCommand=0.5", "--for", "2s",
		"--confirm-mail",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	users := []host.User{{Name: "alice"}, {Name: "bob"}}
	tags := map[string]string{"Fleet": "web", "Stage": ""}
	want := settings{duration: 2 * time.Second, options: lab.Options{
		Dir: "/tmp/x", Address: "127.0.0.1:0", Account: "111122223333", Region: "us-east-1", Tools: "build/hosttools",
		Trusted: []string{"#!/bin/sh\n"}, Latency: time.Second, Concurrency: 10, Retries: 5, RetryDelay: time.Minute, Seed: 7,
		Hosts: []host.Spec{
			{ID: "i-00000000000000001", Name: "ec2-1", Users: users, Tags: tags},
			{ID: "mi-00000000000000001", Name: "hybrid-1", Users: users, Tags: tags},
		},
		Functions: []lambda.Function{{
			Name: "rotate", Command: []string{"python3", "my function.py"}, Timeout: time.Minute, Aliases: []string{"reconcile"},
			Env: map[string]string{"USERNAME": "alice bob", "EMPTY": ""},
		}},
		Throttle: map[string]float64{"ssm:SendCommand": 0.5},
		SNS:      sns.Options{ConfirmMail: true},
	}}
	if diff := cmp.Diff(want.options, got.options); diff != "" || want.duration != got.duration {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"hosts without their program", nil, []string{"--tools"}},
		{"an argument that is no flag", []string{"--hosts", "0", "rotate"}, []string{`unexpected argument "rotate"`}},
		{"a flag that does not exist", []string{"--host", "1"}, []string{"-host"}},
		{
			"all that is wrong is named",
			[]string{
				"--hosts", "0", "--tags", "Fleet", "--function", "rotate", "--env", "other:A=B", "--alias", "other:live",
				"--throttle", "SendCommand=5", "--trust", "/none/host.sh",
			},
			[]string{`--tags "Fleet"`, `--function "rotate"`, `--env "other:A=B"`, `--alias "other:live"`, `--throttle "SendCommand=5"`, "/none/host.sh"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(tt.args, io.Discard)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to name %s", err, want)
				}
			}
		})
	}
}

func TestHelpExplainsEachFlag(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if _, err := parse([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, name := range []string{
		"hosts", "hybrid", "users", "tags", "address", "folder", "latency", "seed", "retries", "retry-delay", "throttle",
		"function", "env", "alias", "timeout", "concurrency", "trust", "tools", "account", "region", "for", "confirm-mail",
	} {
		if !strings.Contains(out.String(), "\n  --"+name+" ") {
			t.Errorf("--%s is not explained:\n%s", name, out.String())
		}
	}
}
