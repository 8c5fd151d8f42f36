package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/keytrail/keytrail/deploy/lab/sns"
)

// post is what people got: mails, and what a channel shows.
type post struct {
	mails   []sns.Mail
	threads []sns.Thread
}

// since returns what is in p and was not in an earlier post. Of a thread it is
// what was said since.
func (p post) since(earlier post) post {
	news := post{mails: p.mails[len(earlier.mails):]}
	for _, t := range p.threads {
		i := slices.IndexFunc(earlier.threads, func(e sns.Thread) bool { return e.ID == t.ID })
		if i >= 0 {
			t.Text = strings.TrimPrefix(t.Text, earlier.threads[i].Text)
		}
		if t.Text != "" {
			news.threads = append(news.threads, t)
		}
	}
	return news
}

// message is one in the channel.
type message struct {
	reply bool   // it is not the first of its thread
	title string // in bold
	what  string // the first paragraph below it
}

// titled finds what stands in bold on a line of its own, and the line below.
var titled = regexp.MustCompile(`(?m)^(    \| )?\*(.+)\*\n(?:    \| )?(.*)$`)

// messages returns the messages of a thread, in order.
func messages(thread string) []message {
	var all []message
	for _, m := range titled.FindAllStringSubmatch(thread, -1) {
		if m[2] != "Next steps" {
			all = append(all, message{m[1] != "", m[2], m[3]})
		}
	}
	return all
}

// notice is what people are to be told by one mail and by one message in the
// channel.
type notice struct {
	severity string
	title    string
	hosts    int  // that it counts
	over     bool // it tells that it is over
}

func critical(title string, hosts int) notice { return notice{"critical", title, hosts, false} }
func high(title string) notice                { return notice{"high", title, 0, false} }
func medium(title string, hosts int) notice   { return notice{"medium", title, hosts, false} }
func info(title string, hosts int) notice     { return notice{"info", title, hosts, false} }

// on is the notice with a number of hosts.
func (n notice) on(hosts int) notice {
	n.hosts = hosts
	return n
}

// resolved is the notice that another is over.
func resolved(n notice) notice {
	n.over = true
	return n
}

// subject is that of the mail.
func (n notice) subject(secret string) string {
	mark := strings.ToUpper(n.severity)
	if n.over {
		mark = "RESOLVED, was " + n.severity
	}
	text := "[" + mark + "] " + n.title + ": " + secret
	switch n.hosts {
	case 0:
		return text
	case 1:
		return text + " (1 host)"
	}
	return fmt.Sprintf("%s (%d hosts)", text, n.hosts)
}

// discs are what messages in the channel begin with.
var discs = map[string]string{"critical": "🔴", "high": "🟠", "medium": "🟡", "info": "🔵"}

// chatTitle is the title of the message in the channel.
func (n notice) chatTitle(secret string) string {
	mark := discs[n.severity] + " " + strings.ToUpper(n.severity)
	if n.over {
		mark = "✅ RESOLVED"
	}
	return mark + ": " + n.title + ", " + secret
}

// check is empty if a post is exactly these notices, each by a mail and by a
// message that says the same, and the channel has news in so many threads.
func (p post) check(secret string, threads int, want []notice) []string {
	var subjects, titles, mails, chat []string
	what := map[string]string{} // by title
	for _, n := range want {
		subjects, titles = append(subjects, n.subject(secret)), append(titles, n.chatTitle(secret))
	}
	for _, t := range p.threads {
		for _, m := range messages(t.Text) {
			chat = append(chat, m.title)
			what[m.title] = strings.ReplaceAll(m.what, "`", "")
		}
	}
	for _, m := range p.mails {
		mails = append(mails, m.Subject)
	}
	problems := append(compare("mail", subjects, mails), compare("message in the channel", titles, chat)...)
	if len(p.threads) != threads {
		problems = append(problems, fmt.Sprintf("%d threads have news, not %d", len(p.threads), threads))
	}
	for _, n := range want {
		problems = append(problems, p.checkWords(n, secret, what[n.chatTitle(secret)])...)
	}
	return append(problems, p.hostile()...)
}

// checkWords is empty if the mail of a notice begins as it must, and the
// message in the channel says the same.
func (p post) checkWords(n notice, secret, chat string) []string {
	m := p.mail(n, secret)
	if m == nil {
		return nil // that was said
	}
	var problems []string
	mail := paragraphs(m.Text)[0]
	if mail != chat {
		problems = append(problems, fmt.Sprintf("the channel says %q, and the mail %q", chat, mail))
	}
	if n.over && !strings.HasPrefix(mail, "This is over. ") {
		problems = append(problems, fmt.Sprintf("the mail %q begins with %q", m.Subject, mail))
	}
	return problems
}

// mail returns the mail of a notice, nil if there is none.
func (p post) mail(n notice, secret string) *sns.Mail {
	i := slices.IndexFunc(p.mails, func(m sns.Mail) bool { return m.Subject == n.subject(secret) })
	if i < 0 {
		return nil
	}
	return &p.mails[i]
}

// lacks is empty if the mail of a notice has these words, wherever its lines
// end.
func (p post) lacks(n notice, secret, text string) []string {
	if m := p.mail(n, secret); m == nil || !strings.Contains(strings.Join(strings.Fields(m.Text), " "), text) {
		return []string{"it does not say " + text}
	}
	return nil
}

// hostile is empty if nothing in a post would do anything to a terminal, or to
// the people in the channel.
func (p post) hostile() []string {
	var problems []string
	control := func(r rune) bool { return r != '\n' && unicode.IsControl(r) }
	for _, m := range p.mails {
		if strings.ContainsFunc(m.Subject+m.Text, control) {
			problems = append(problems, fmt.Sprintf("there are control characters in the mail %q", m.Subject))
		}
	}
	for _, t := range p.threads {
		if strings.ContainsFunc(t.Text, control) || strings.Contains(t.Text, `\u00`) || strings.Contains(t.Text, "[notifies ") {
			problems = append(problems, "there are control characters or mentions in the "+t.ID)
		}
	}
	return problems
}

// compare tells what is missing from a list, and what is too much.
func compare(what string, want, got []string) []string {
	var problems []string
	left := slices.Clone(got)
	for _, w := range want {
		if i := slices.Index(left, w); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			problems = append(problems, fmt.Sprintf("there is no %s %q", what, w))
		}
	}
	for _, l := range left {
		problems = append(problems, fmt.Sprintf("there is a %s %q", what, l))
	}
	return problems
}

// sort puts a post into the order in which its notices are named: deliveries
// keep none.
func (p post) sort(secret string, want []notice) {
	slices.SortStableFunc(p.mails, func(x, y sns.Mail) int {
		place := func(m sns.Mail) int {
			return slices.IndexFunc(want, func(n notice) bool { return n.subject(secret) == m.Subject })
		}
		return place(x) - place(y)
	})
	slices.SortStableFunc(p.threads, func(x, y sns.Thread) int {
		place := func(t sns.Thread) int {
			return slices.IndexFunc(want, func(n notice) bool {
				return slices.ContainsFunc(messages(t.Text), func(m message) bool { return m.title == n.chatTitle(secret) })
			})
		}
		return place(x) - place(y)
	})
}

// paragraphs parts a mail at its empty lines; each is one line. There is at
// least one.
func paragraphs(text string) []string {
	var all []string
	for p := range strings.SplitSeq(text, "\n\n") {
		all = append(all, strings.Join(strings.Fields(p), " "))
	}
	return all
}

// Of what is known, this line of a mail means something without AWS at hand.
var telling = regexp.MustCompile(`^  Key `)

// gist returns what happened and where, of a mail: its first paragraph, some
// of what is known, and the places of which there is something to say, a line
// each.
func gist(text string) []string {
	all := paragraphs(text)[:1]
	where, open := false, false // below "Where"; the line before goes on
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		body := strings.TrimLeft(line, " ")
		indent := len(line) - len(body)
		switch {
		case line == "Where":
			where = true
		case indent == 0:
			where, open = false, false
		case indent > 2 && open:
			all[len(all)-1] += " " + body
		case indent == 2 && where && strings.Contains(line, ": "), telling.MatchString(line):
			all, open = append(all, strings.Join(strings.Fields(body), " ")), true
		default:
			open = false
		}
	}
	return all
}
