package sns_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/sns"
)

// What was published is what is read, whatever a mail has to make of it on its way.
func TestMailsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *sns.Options) { o.ConfirmMail = true })
	topic := l.topic(t, "alerts")
	l.join(t, topic, "email", "ops@example.com", nil)
	texts := []string{"plain\nand a second line", "grün\n.\nFrom here", strings.Repeat("x", 2000) + "=\n\tend", "\x1b[2Jbell \x07"}
	for _, text := range texts {
		l.advance(time.Second)
		l.say(t, topic, text, func(in *api.PublishInput) { in.Subject = aws.String("Schlüssel " + strings.Repeat("ü", 80)) })
	}
	mails, err := l.service.Mails("ops@example.com")
	if err != nil || len(mails) != 1+len(texts) {
		t.Fatalf("%d mails (%v), want the one that asks to confirm and %d", len(mails), err, len(texts))
	}
	for i, want := range texts {
		m := mails[i+1]
		text, footer, ok := strings.Cut(m.Text, "\n\n--\n")
		if text != want || !ok || !strings.HasPrefix(footer, "If you wish to stop") {
			t.Errorf("mail %d reads %q, want %q and a footer", i+1, m.Text, want)
		}
		if m.Subject != "Schlüssel "+strings.Repeat("ü", 80) || m.From != `"AWS Notifications" <no-reply@sns.amazonaws.com>` || m.To != "ops@example.com" {
			t.Errorf("mail %d is %q from %s to %s", i+1, m.Subject, m.From, m.To)
		}
		if want := start.Add(time.Duration(i+1) * time.Second); !m.Date.Equal(want) {
			t.Errorf("mail %d is of %s, want %s", i+1, m.Date, want)
		}
	}
	if mails, err := l.service.Mails("nobody@example.com"); err != nil || len(mails) != 0 {
		t.Errorf("%d mails (%v) for somebody who gets none", len(mails), err)
	}
	if _, err := l.service.Mails("../chat"); err == nil {
		t.Error("mails are read from beside the folder of mails")
	}
}

func TestThreadsAreReadAsTheyStand(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "chat")
	l.join(t, topic, "https", sns.ChatEndpoint, nil)
	for _, m := range []struct{ thread, text string }{{"b", "one"}, {"a", "two"}, {"b", "three"}} {
		l.say(t, topic, notice(map[string]any{"description": m.text}, map[string]any{"threadId": m.thread}), structured)
	}
	got, err := l.service.Threads("chat")
	if err != nil {
		t.Fatal(err)
	}
	const head = "Amazon Q Developer  2026-11-02 09:30:00 UTC\n"
	want := []sns.Thread{{ID: "thread-a", Text: head + "two\n\n"}, {ID: "thread-b", Text: head + "one\n\n    | " + head + "    | three\n\n"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	l.say(t, topic, `{"default":"hello"}`, structured)
	if _, err := l.service.Threads("chat"); err == nil || !strings.Contains(err.Error(), "no custom notification") {
		t.Errorf("error %v, want what is not shown", err)
	}
}
