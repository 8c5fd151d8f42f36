package operator

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func TestHistorySaysHowRotationsWentAndWhoPutAValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.secret("fleet")
	w.secret("other")
	_, err := w.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("fleet"), SecretString: aws.String(`{"PublicKey":"","PrivateKey":""}`)})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.keytrail("history", "fleet").want(t, 0, "RotationStarted", "RotationSucceeded", "PutSecretValue", "arn:aws:iam::111122223333:")
	var h struct {
		Secret string
		Events []struct{ What, Version, EventID string }
	}
	w.keytrail("history", "fleet", "--output", "json").read(t, &h)
	n := 0
	for _, e := range h.Events {
		if e.What == "RotationSucceeded" {
			n++
		}
	}
	if n != 1 || h.Secret != "fleet" {
		t.Errorf("%d rotations of %s, want 1: %+v", n, h.Secret, h.Events)
	}
	w.keytrail("history", "fleet", "--days", "0").wantError(t, 64, "--days")
	w.keytrail("history", "nothing").wantError(t, 66, "nothing")
}
