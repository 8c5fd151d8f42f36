package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// commandsOf returns the commands that a mail gives, in order.
func commandsOf(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "     aws ") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// inShort leaves out of a command what stands before a payload.
func inShort(command string) string {
	if _, payload, ok := strings.Cut(command, " --payload "); ok && strings.HasPrefix(command, "aws lambda invoke ") {
		return "aws lambda invoke … " + payload
	}
	return command
}

// words parts a command as a shell does, as far as these commands need one: at
// blanks, with single quotes.
func words(command string) ([]string, error) {
	var all []string
	word, begun, quoted := "", false, false
	for _, r := range command + " " {
		switch {
		case r == '\'':
			begun, quoted = true, !quoted
		case quoted || r != ' ':
			begun = true
			word += string(r)
		case begun:
			all = append(all, word)
			word, begun = "", false
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote has no end in %s", command)
	}
	return all, nil
}

// optionsOf are the options of a command with their values.
func optionsOf(words []string) map[string]*string {
	options := map[string]*string{}
	for i := 0; i+1 < len(words) && strings.HasPrefix(words[i], "--"); i += 2 {
		options[words[i]] = &words[i+1]
	}
	return options
}

// run does what a command of the AWS CLI would, through the AWS SDK. It takes
// the commands that the story needs and no other, nor one with an option that
// it does not know.
func (o operator) run(ctx context.Context, command string) error {
	all, err := words(command)
	if err != nil {
		return err
	}
	if len(all) < 3 || all[0] != "aws" {
		return fmt.Errorf("no command of the AWS CLI: %s", command)
	}
	name, options := all[1]+" "+all[2], optionsOf(all[3:])
	known := map[string][]string{
		"lambda invoke":                              {"--region", "--function-name", "--cli-binary-format", "--payload"},
		"secretsmanager rotate-secret":               {"--region", "--secret-id", "--rotation-lambda-arn"},
		"secretsmanager update-secret-version-stage": {"--region", "--secret-id", "--version-stage", "--remove-from-version-id"},
	}[name]
	if known == nil {
		return fmt.Errorf("the story has no use for the command %s", command)
	}
	for _, option := range slices.Sorted(maps.Keys(options)) {
		if !slices.Contains(known, option) {
			return fmt.Errorf("the option %s is not known here: %s", option, command)
		}
	}
	switch name {
	case "secretsmanager rotate-secret":
		_, err = o.secrets.RotateSecret(ctx, &secretsmanager.RotateSecretInput{
			SecretId: options["--secret-id"], RotationLambdaARN: options["--rotation-lambda-arn"],
		})
		return err
	case "secretsmanager update-secret-version-stage":
		_, err = o.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: options["--secret-id"], VersionStage: options["--version-stage"], RemoveFromVersionId: options["--remove-from-version-id"],
		})
		return err
	}
	if options["--payload"] == nil {
		return fmt.Errorf("the option --payload is missing: %s", command)
	}
	out, err := o.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: options["--function-name"], Payload: []byte(*options["--payload"])})
	if err != nil {
		return err
	}
	if out.FunctionError != nil {
		return errors.New("the function failed: " + string(out.Payload))
	}
	return nil
}
