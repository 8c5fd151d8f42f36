// Command rotator is a rotation function without a fleet: the new value is made
// of the token.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func main() { lambda.Start(rotate) }

func rotate(ctx context.Context, e events.SecretsManagerSecretRotationEvent) error {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	sm := secretsmanager.NewFromConfig(c)
	switch e.Step {
	case "createSecret":
		_, err = sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
			SecretId: &e.SecretID, ClientRequestToken: &e.ClientRequestToken,
			SecretString: aws.String("value of " + e.ClientRequestToken), VersionStages: []string{"AWSPENDING"},
		})
	case "finishSecret":
		var d *secretsmanager.DescribeSecretOutput
		if d, err = sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &e.SecretID}); err != nil {
			return err
		}
		in := &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: &e.SecretID, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &e.ClientRequestToken,
		}
		for id, stages := range d.VersionIdsToStages {
			for _, s := range stages {
				if s == "AWSCURRENT" {
					in.RemoveFromVersionId = &id
				}
			}
		}
		_, err = sm.UpdateSecretVersionStage(ctx, in)
	}
	return err
}
