package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keytrail/keytrail/audit/report"
	"github.com/keytrail/keytrail/audit/signed"
)

// hub imports findings into AWS Security Hub.
type hub struct{ client *signed.Client }

func newHub(config aws.Config) hub {
	return hub{signed.New(config, "securityhub", func(r signed.Reply) (code, message string) {
		var answer struct{ Message string }
		_ = json.Unmarshal(r.Body, &answer) // a gateway answers in no JSON
		code, _, _ = strings.Cut(r.Header.Get("X-Amzn-Errortype"), ":")
		return code, answer.Message
	})}
}

// take imports the findings of a report: those that stand as active, what was mended or is gone as archived. An id is
// the same in each report, so that a finding is one finding.
// https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html
func (h hub) take(ctx context.Context, r report.Report) error {
	var errs []error
	for _, batch := range r.ASFF() {
		body, err := json.Marshal(map[string]any{"Findings": batch})
		if err != nil {
			return err
		}
		reply, err := h.client.Post(ctx, "/findings/import", signed.JSON(), body)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var answer struct {
			FailedFindings []struct{ ID, ErrorCode, ErrorMessage string }
		}
		if err := json.Unmarshal(reply.Body, &answer); err != nil {
			errs = append(errs, fmt.Errorf("read the answer: %w", err))
		}
		for _, f := range answer.FailedFindings {
			errs = append(errs, fmt.Errorf("%s: %s: %s", f.ID, f.ErrorCode, f.ErrorMessage))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("import findings into Security Hub: %w", err)
	}
	return nil
}
