package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keytrail/keytrail/audit/signed"
)

// trails asks CloudTrail. The SDK's package of it would be a tenth of the command.
// https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_Operations.html
type trails struct{ client *signed.Client }

func newTrails(cfg aws.Config) trails {
	return trails{signed.New(cfg, "cloudtrail", func(r signed.Reply) (code, message string) {
		var answer struct {
			Type    string `json:"__type"`
			Message string
		}
		_ = json.Unmarshal(r.Body, &answer) // a gateway answers in no JSON
		return answer.Type[strings.LastIndexByte(answer.Type, '#')+1:], answer.Message
	})}
}

// ask makes one call.
func (t trails) ask(ctx context.Context, action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	reply, err := t.client.Post(ctx, "/", http.Header{
		"Content-Type": {"application/x-amz-json-1.1"},
		"X-Amz-Target": {"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101." + action},
	}, body)
	if err == nil {
		err = json.Unmarshal(reply.Body, out)
	}
	if err != nil {
		return fmt.Errorf("cloudtrail:%s: %w", action, err)
	}
	return nil
}

// oneTrail is a trail, or what one of another Region shows of itself here.
type oneTrail struct {
	Name string
	ARN  string `json:"TrailARN"`
}

func (t trails) list(ctx context.Context) ([]oneTrail, error) {
	var out struct{ TrailList []oneTrail }
	err := t.ask(ctx, "DescribeTrails", struct{}{}, &out)
	return out.TrailList, err
}

func (t trails) logs(ctx context.Context, arn string) (bool, error) {
	var out struct{ IsLogging bool }
	err := t.ask(ctx, "GetTrailStatus", map[string]string{"Name": arn}, &out)
	return out.IsLogging, err
}

// selectors say what a trail logs.
type selectors struct {
	EventSelectors []struct {
		IncludeManagementEvents bool
		ReadWriteType           string
	}
	AdvancedEventSelectors []struct {
		FieldSelectors []struct {
			Field  string
			Equals []string
		}
	}
}

func (t trails) selectors(ctx context.Context, arn string) (out selectors, err error) {
	err = t.ask(ctx, "GetEventSelectors", map[string]string{"TrailName": arn}, &out)
	return out, err
}

// lookUp returns a page of the records of one event name since a time, newest first, and the token of the next.
func (t trails) lookUp(ctx context.Context, name string, since time.Time, token string) (records []string, next string, err error) {
	type attribute struct{ AttributeKey, AttributeValue string }
	in := struct {
		StartTime        int64
		LookupAttributes []attribute
		NextToken        string `json:",omitempty"`
	}{since.Unix(), []attribute{{"EventName", name}}, token}
	var out struct {
		Events    []struct{ CloudTrailEvent string }
		NextToken string
	}
	err = t.ask(ctx, "LookupEvents", in, &out)
	for _, e := range out.Events {
		records = append(records, e.CloudTrailEvent)
	}
	return records, out.NextToken, err
}
