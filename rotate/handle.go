package rotate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// ActionAlias is the alias of the function through which it takes an Action. Whoever may invoke this
// alias and not the function itself can ask for hosts to be brought to what the secret says, and for
// nothing else.
const ActionAlias = "reconcile"

// Handle takes every event of the function: a Step of a rotation through the function's own ARN, an
// Action through the alias. A step answers null.
func (r *Rotator) Handle(ctx context.Context, event json.RawMessage) (*ActionResult, error) {
	var kind struct{ Step, Action string }
	if err := json.Unmarshal(event, &kind); err != nil {
		return nil, permanent(errors.New("read event: it is no JSON object with a Step or an Action"))
	}
	ctx, cancel := ShortOfDeadline(ctx)
	defer cancel()
	qualifier := qualifierOf(ctx)
	switch {
	case kind.Step != "" && kind.Action != "":
		return nil, permanent(errors.New("read event: it has both a Step and an Action"))
	case kind.Action != "" && qualifier != ActionAlias:
		return nil, permanent(fmt.Errorf("read event: an Action is taken through the alias %s alone", ActionAlias))
	case kind.Action != "":
		return r.act(ctx, event)
	case qualifier != "":
		return nil, permanent(fmt.Errorf("read event: a Step is taken through the function's own ARN alone, not through %s", qualifier))
	}
	var step events.SecretsManagerSecretRotationEvent
	if err := json.Unmarshal(event, &step); err != nil {
		return nil, permanent(errors.New("read event: its members have the wrong types"))
	}
	return nil, r.rotate(ctx, step)
}

// qualifierOf returns the alias or version through which the function was invoked, or "".
func qualifierOf(ctx context.Context) string {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return ""
	}
	// arn:aws:lambda:region:account:function:name:qualifier
	parts := strings.SplitN(lc.InvokedFunctionArn, ":", 8)
	if len(parts) < 8 {
		return ""
	}
	return parts[7]
}
