package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

// Digest tells people that a report is there, and what it comes to.
type Digest struct {
	Form            string `json:"form"` // keytrail-digest-1; Topics writes it
	Period          string `json:"period"`
	Account, Region string `json:"-"`
	Status          string `json:"status"`   // pass, fail or not testable
	Sentence        string `json:"sentence"` // the verdict
	Secrets         int    `json:"secrets"`
	Hosts           int    `json:"hosts"`
	Seen            int    `json:"seen"`      // hosts with a definite answer
	Rotations       int    `json:"rotations"` // that succeeded
	Failures        int    `json:"failures"`  // rotations that did not
	Passed          int    `json:"passed"`    // controls
	Failed          int    `json:"failed"`
	NotTestable     int    `json:"notTestable"`
	Mended          int    `json:"mended"`   // findings
	Findings        []Line `json:"findings"` // that stand, the most severe first
	Bucket          string `json:"bucket"`
	Key             string `json:"key"`
	Link            string `json:"link"` // to the report in the console; Topics writes it
}

// Line is one finding in a few words. The text may come from outside.
type Line struct {
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
}

// maxDigest bounds the findings that a digest lists: the report has them all.
const maxDigest = 10

// Digest says to a topic that a report is there.
func (t Topics) Digest(ctx context.Context, topic Topic, d Digest) error {
	if t.arns[topic] == "" {
		return errors.New("the topic is not configured")
	}
	d = d.whole(t.arns[topic])
	in := &sns.PublishInput{TopicArn: aws.String(t.arns[topic]), MessageAttributes: map[string]types.MessageAttributeValue{}}
	for name, value := range map[string]string{
		"severity": string(Info), "condition": "report", "status": d.Status, "account": d.Account, "region": d.Region,
	} {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
	}
	var body []byte
	var err error
	if topic == Chat {
		body, err = json.Marshal(d.chat())
	} else {
		var document []byte
		if document, err = json.Marshal(d); err == nil {
			body, err = json.Marshal(map[string]string{"default": string(document), "email": d.mail(), "sms": d.subject()})
		}
		in.MessageStructure, in.Subject = aws.String("json"), aws.String(d.subject())
	}
	if err != nil {
		return fmt.Errorf("write the digest: %w", err)
	}
	in.Message = aws.String(string(body))
	_, err = t.sender.Publish(ctx, in)
	return err
}

// whole is the digest with its form and link, few findings, and texts that are fit for one line.
func (d Digest) whole(topic string) Digest {
	d.Form = "keytrail-digest-1"
	domain := consoles[strings.SplitN(topic, ":", 3)[1]]
	if domain == "" {
		domain = "console.aws.amazon.com"
	}
	region := url.QueryEscape(d.Region)
	d.Link = "https://" + region + "." + domain + "/s3/object/" + url.PathEscape(d.Bucket) + "?region=" + region + "&prefix=" + url.QueryEscape(d.Key)
	d.Sentence = plain(d.Sentence, maxWord)
	var lines []Line
	for _, l := range d.Findings[:min(len(d.Findings), maxDigest)] {
		lines = append(lines, Line{l.Severity, plain(l.Text, maxWord)})
	}
	if more := len(d.Findings) - len(lines); more > 0 {
		lines = append(lines, Line{d.Findings[len(lines)].Severity, "and " + count(more, "more finding")})
	}
	d.Findings = lines
	return d
}

// when is the period for people.
func (d Digest) when() string {
	if day, err := time.Parse(time.DateOnly, d.Period); err == nil {
		return day.Format("2 January 2006")
	}
	if month, err := time.Parse("2006-01", d.Period); err == nil {
		return month.Format("January 2006")
	}
	return d.Period
}

func (d Digest) subject() string {
	verdict := map[string]string{"pass": "all controls passed", "fail": count(d.Failed, "control") + " failed"}[d.Status]
	if verdict == "" {
		verdict = "not all could be tested"
	}
	return "[REPORT] " + d.when() + ": " + verdict
}

// facts are the numbers, as people read them.
func (d Digest) facts() []fact {
	return []fact{
		{"Secrets", fmt.Sprint(d.Secrets)},
		{"Hosts", fmt.Sprintf("%d of %d gave a definite answer", d.Seen, d.Hosts)},
		{"Rotations", fmt.Sprintf("%d succeeded, %d did not", d.Rotations, d.Failures)},
		{"Controls", fmt.Sprintf("%d passed, %d failed, %d not testable", d.Passed, d.Failed, d.NotTestable)},
		{"Mended", count(d.Mended, "finding")},
	}
}

func (d Digest) mail() string {
	var b strings.Builder
	b.WriteString(fold("Keytrail's report of "+d.when()+", account "+d.Account+", Region "+d.Region+".", "") + "\n\n" + fold(d.Sentence, "") + "\n\n")
	for _, f := range d.facts() {
		fmt.Fprintf(&b, "  %-10s %s\n", f.name, f.value)
	}
	if len(d.Findings) > 0 {
		b.WriteString("\nWhat stands\n")
		for _, l := range d.Findings {
			b.WriteString(fold(fmt.Sprintf("  %-8s %s", l.Severity, l.Text), "           ") + "\n")
		}
	}
	b.WriteString("\nLook at\n  " + d.Link + "\n")
	return b.String()
}

func (d Digest) chat() notification {
	var b strings.Builder
	b.WriteString(chatWords.Replace(d.Sentence) + "\n\n")
	for _, f := range d.facts() {
		b.WriteString("*" + f.name + "* " + f.value + "\n")
	}
	for _, l := range d.Findings {
		b.WriteString("• " + marks[l.Severity] + " " + code(l.Text) + "\n")
	}
	b.WriteString("\n<" + d.Link + "|Report>")
	var n notification
	n.Version, n.Source, n.ID = "1.0", "custom", "report-"+d.Account+"-"+d.Region+"-"+d.Period
	n.Metadata.ThreadID, n.Metadata.EventType = "keytrail-reports-"+d.Account+"-"+d.Region, "report"
	n.Metadata.Summary = cut(strings.TrimPrefix(d.subject(), "[REPORT] "), maxTitle)
	n.Content = content{
		TextType: "client-markdown", Title: n.Metadata.Summary, Description: cut(b.String(), maxDescription),
		Keywords: []string{"report", keyword(d.Status)},
	}
	return n
}
