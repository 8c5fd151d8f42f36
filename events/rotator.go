package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/keytrail/keytrail/rotate"
)

// rotator asks the rotation function for actions, through the one door that this function has to it.
type rotator struct {
	client   *lambda.Client
	function string // ARN, without an alias
}

// ask returns what an action came to. An action is safe to be asked for again.
func (r rotator) ask(ctx context.Context, req rotate.ActionRequest) (*rotate.ActionResult, error) {
	payload, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	out, err := r.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(r.function + ":" + rotate.ActionAlias), Payload: payload})
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", nameOf(r.function), err)
	}
	if out.FunctionError != nil {
		var failure struct{ ErrorMessage string }
		if json.Unmarshal(out.Payload, &failure) != nil || failure.ErrorMessage == "" {
			failure.ErrorMessage = aws.ToString(out.FunctionError)
		}
		return nil, errors.New(failure.ErrorMessage)
	}
	result := &rotate.ActionResult{}
	if err := json.Unmarshal(out.Payload, result); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", nameOf(r.function), err)
	}
	return result, nil
}

// nameOf is the name in a function's ARN.
func nameOf(arn string) string {
	_, name, _ := strings.Cut(arn, ":function:")
	return name
}
