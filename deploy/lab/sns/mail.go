package sns

import (
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// usualSubject is that of a mail whose message has none.
const usualSubject = "AWS Notification Message"

// writeMail writes a message as the mail that a subscriber gets.
func (s *Service) writeMail(d *delivery) error {
	subject := d.subject
	if subject == "" {
		subject = usualSubject
	}
	return s.mail(d, subject, d.text("email")+s.footer(d))
}

// writeMailJSON writes the envelope as a mail.
func (s *Service) writeMailJSON(d *delivery) error {
	subject := d.subject
	if subject == "" {
		subject = usualSubject
	}
	return s.mail(d, subject, s.envelope(d, "Notification")+"\n")
}

// writeConfirmation writes the mail with the link that confirms.
func (s *Service) writeConfirmation(d *delivery, link string) error {
	return s.mail(d, "AWS Notification - Subscription Confirmation", "You have chosen to subscribe to the topic:\n"+d.topicARN+
		"\n\nTo confirm this subscription, visit the link below (if this was in error no action is necessary):\n"+link+
		"\n\nPlease do not reply directly to this email.\n")
}

// footer is what AWS puts below each message.
func (s *Service) footer(d *delivery) string {
	return "\n\n--\nIf you wish to stop receiving notifications from this topic, please click or visit the link below to unsubscribe:\n" +
		s.unsubscribeURL(d) + "&Endpoint=" + d.endpoint +
		"\n\nPlease do not reply directly to this email. If you have any questions or comments regarding this email, " +
		"please contact us at https://aws.amazon.com/support\n"
}

// mail writes a mail into the folder of its address.
func (s *Service) mail(d *delivery, subject, text string) error {
	name := d.displayName
	if name == "" {
		name = "AWS Notifications"
	}
	from := mail.Address{Name: name, Address: "no-reply@sns.amazonaws.com"}
	encoding, body := encodeBody(text)
	var b strings.Builder
	for _, h := range []member{
		{"From", from.String()},
		{"To", d.endpoint},
		{"Subject", fold(subject)},
		{"Date", d.time.Format(time.RFC1123Z)},
		{"Message-ID", "<" + d.id + "@sns." + s.options.Region + ".amazonaws.com>"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=UTF-8"},
		{"Content-Transfer-Encoding", encoding},
	} {
		b.WriteString(h.name + ": " + h.value + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return s.newFile(filepath.Join(s.options.Dir, "mail", d.endpoint), ".eml", b.String())
}

// fold writes a subject as a header has it. A subject has less than 100
// characters: plain ones fit a line, others are words of RFC 2047, a line each.
func fold(subject string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", subject), "?= =?", "?=\r\n =?")
}

// longestLine is that of RFC 5322, without its end.
const longestLine = 998

// encodeBody writes a text so that a person can read the file as it is, where
// lines and characters allow it.
func encodeBody(text string) (encoding, body string) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	long := false
	for line := range strings.SplitSeq(text, "\n") {
		long = long || len(line) > longestLine
	}
	odd := strings.ContainsFunc(text, func(r rune) bool { return isControl(r) && r != '\n' && r != '\t' })
	switch ascii := !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }); {
	case long || odd || !utf8.ValidString(text):
		var b strings.Builder
		w := quotedprintable.NewWriter(&b)
		_, _ = w.Write([]byte(text)) // to memory
		_ = w.Close()
		return "quoted-printable", b.String()
	case ascii:
		return "7bit", strings.ReplaceAll(text, "\n", "\r\n")
	default:
		return "8bit", strings.ReplaceAll(text, "\n", "\r\n")
	}
}
