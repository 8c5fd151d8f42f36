package alert

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// press keeps what is published.
type press struct{ said []*sns.PublishInput }

func (p *press) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	p.said = append(p.said, in)
	return &sns.PublishOutput{}, nil
}

func TestADigestReadsAsItWasReviewed(t *testing.T) {
	t.Parallel()
	d := Digest{
		Period: "2026-11-27", Account: "111122223333", Region: "eu-west-1", Status: "fail",
		Sentence: "2 of 3 secrets are not as they should be: 12 of 13 hosts gave a definite answer, and 1 of them trusts a retired key.",
		Secrets:  3, Hosts: 13, Seen: 12, Rotations: 2, Failures: 1, Passed: 12, Failed: 2, NotTestable: 2, Mended: 4,
		Bucket: "keytrail-bucket", Key: "reports/2026-11-27/report.html",
	}
	d.Findings = append(d.Findings, Line{Critical, "A retired key is still trusted: fleet/deploy deploy"},
		Line{High, "An unknown key is trusted: <!channel> `rm` \x1b[31m\u202e evil\nSubject: x"})
	for range 12 {
		d.Findings = append(d.Findings, Line{Medium, "Hosts could not be checked: other"})
	}
	p := &press{}
	topics := Topics{p, Site{}, map[Topic]string{Alerts: "arn:aws:sns:eu-west-1:111122223333:alerts", Chat: "arn:aws:sns:eu-west-1:111122223333:chat"}}
	for _, topic := range []Topic{Alerts, Chat} {
		if err := topics.Digest(t.Context(), topic, d); err != nil {
			t.Fatal(err)
		}
	}
	var mail map[string]string
	if err := json.Unmarshal([]byte(*p.said[0].Message), &mail); err != nil {
		t.Fatal(err)
	}
	golden(t, "digest/mail.txt", []byte("Subject: "+*p.said[0].Subject+"\n\n"+mail["email"]))
	golden(t, "digest/document.json", indented(t, []byte(mail["default"])))
	golden(t, "digest/chat.json", indented(t, []byte(*p.said[1].Message)))
	for _, bad := range []string{"\x1b", "\u202e", "<!channel>"} {
		if strings.Contains(*p.said[1].Message, bad) || strings.Contains(mail["email"], "\x1b") {
			t.Errorf("%q came through", bad)
		}
	}
	if len(*p.said[0].Subject) > 99 {
		t.Errorf("the subject has %d characters", len(*p.said[0].Subject))
	}
}
