package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keytrail/keytrail/audit/signed"
	"github.com/keytrail/keytrail/rotate"
)

// Rotator asks the rotation function for actions, through the one door that it has for them. Make it with
// NewRotator.
type Rotator struct {
	client   *signed.Client
	function string // name
}

// NewRotator returns a Rotator for a function of the configuration's account and Region.
func NewRotator(config aws.Config, arn string) Rotator {
	return Rotator{signed.New(config, "lambda", func(r signed.Reply) (code, message string) {
		var answer struct{ Message string }
		_ = json.Unmarshal(r.Body, &answer) // a gateway answers in no JSON
		code, _, _ = strings.Cut(r.Header.Get("X-Amzn-Errortype"), ":")
		return code, answer.Message
	}), nameOf(arn)}
}

// Ask returns what an action came to. An action is safe to be asked for again.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (r Rotator) Ask(ctx context.Context, req rotate.ActionRequest) (*rotate.ActionResult, error) {
	payload, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	path := "/2015-03-31/functions/" + r.function + "/invocations?Qualifier=" + rotate.ActionAlias
	out, err := r.client.Post(ctx, path, signed.JSON(), payload)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", r.function, err)
	}
	if kind := out.Header.Get("X-Amz-Function-Error"); kind != "" {
		var failure struct{ ErrorMessage string }
		if json.Unmarshal(out.Body, &failure) != nil || failure.ErrorMessage == "" {
			failure.ErrorMessage = kind
		}
		return nil, errors.New(failure.ErrorMessage)
	}
	result := &rotate.ActionResult{}
	if err := json.Unmarshal(out.Body, result); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", r.function, err)
	}
	return result, nil
}

// nameOf is the name in a function's ARN.
func nameOf(arn string) string {
	_, name, _ := strings.Cut(arn, ":function:")
	return name
}
