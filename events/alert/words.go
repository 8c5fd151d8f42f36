package alert

import (
	"fmt"
	"strings"
	"time"
)

// Site is what texts name of the deployment.
type Site struct {
	Rotate  string // the rotate function's name, for commands
	Runbook string // URL of the runbook; the condition is its fragment
	Report  string // URL of the report, if there is one
}

// maxWord bounds one text from outside, in bytes: people read the start.
const maxWord = 400

// page is a message with all that its texts are made of.
type page struct {
	Message
	condition Condition
	site      Site
	partition string
	region    string
	account   string
}

func (m Message) page(site Site) (page, error) {
	c, ok := Lookup(m.Condition)
	if !ok {
		return page{}, fmt.Errorf("no condition is named %q", m.Condition)
	}
	p := page{Message: m, condition: c, site: site}
	p.partition, p.region, p.account = m.Secret.place()
	return p, nil
}

// sentence fills a text for people in. shape makes each text from outside fit for its place.
func (p page) sentence(text string, shape func(string) string) string {
	who := "somebody"
	if w := p.Problem.Who.Principal; w != "" {
		who = shape(plain(w, maxWord))
	}
	step := "one of its steps"
	if p.Problem.Step != "" {
		step = shape(plain(p.Problem.Step, maxWord))
	}
	print := "this is"
	if f := p.fingerprint(); f != "" {
		print = shape(plain(f, maxWord))
	}
	host := "the host"
	if len(p.Problem.Places) > 0 {
		host = shape(plain(p.Problem.Places[0].Host, maxWord))
	}
	return strings.NewReplacer("{secret}", shape(p.name()), "{hosts}", p.hosts(shape), "{host}", host,
		"{who}", who, "{step}", step, "{fingerprint}", print).Replace(text)
}

func (p page) name() string { return plain(p.Secret.Name, maxWord) }

// hosts says on how many hosts, or on which.
func (p page) hosts(shape func(string) string) string {
	switch n := p.Problem.Hosts(); n {
	case 0:
		return "its hosts"
	case 1:
		return "host " + shape(plain(p.Problem.Places[0].Host, maxWord))
	default:
		return fmt.Sprintf("%d hosts", n)
	}
}

// fingerprint is the key that it is about, if it is one.
func (p page) fingerprint() string {
	if p.Problem.Fingerprint != "" {
		return p.Problem.Fingerprint
	}
	found := ""
	for _, pl := range p.Problem.Places {
		for _, f := range pl.Fingerprints {
			if found != "" && found != f {
				return ""
			}
			found = f
		}
	}
	return found
}

// command fills a command in. What is not known, or not safe to paste, stays a word in angle brackets.
func (p page) command(text string) string {
	var pl Place
	if len(p.Problem.Places) > 0 {
		pl = p.Problem.Places[0]
	}
	var pairs []string
	for _, w := range []struct{ name, value, absent string }{
		{"{arn}", p.Secret.ARN, "<secret-arn>"},
		{"{region}", p.region, "<region>"},
		{"{rotate}", p.site.Rotate, "<rotate-function>"},
		{"{version}", p.Problem.Version, "<version-id>"},
		{"{function}", p.Problem.Function, "<rotate-function-arn>"},
		{"{fingerprint}", p.fingerprint(), "<fingerprint>"},
		{"{event}", p.Problem.EventID, "<event-id>"},
		{"{host}", pl.Host, "<instance-id>"},
		{"{command}", pl.CommandID, "<command-id>"},
	} {
		if !safe().MatchString(w.value) || strings.HasPrefix(w.value, "-") || chatWords.Replace(w.value) != w.value {
			w.value = w.absent
		}
		pairs = append(pairs, w.name, w.value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// subject names severity, condition and secret: ASCII, in one line.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html: fewer than 100 characters.
func (p page) subject() string {
	const most = 99
	mark := strings.ToUpper(string(p.condition.Severity))
	switch p.Status {
	case Updated:
		mark += ", changed"
	case Repeated:
		mark += ", still so"
		if p.condition.Once {
			mark = strings.TrimSuffix(mark, "still so") + "again"
		}
	case Unstable:
		mark += ", comes and goes"
	case Resolved:
		mark = "RESOLVED, was " + string(p.condition.Severity)
	}
	start, name, end := "["+mark+"] "+p.condition.Title+": ", ascii(p.name()), ""
	if n := p.Problem.Hosts(); n > 0 {
		end = fmt.Sprintf(" (%s)", count(n, "host"))
	}
	if room := most - len(start) - len(end); len(name) > room {
		name = name[:room-3] + "..." // the start of a name is its path: what people sort by
	}
	return start + name + end
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// lasting says how long, as people do.
func lasting(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour")
	}
	return count(int(d/(24*time.Hour)), "day")
}

// news says what is new about an alert that was told before; empty for one that opens.
func (p page) news() string {
	took := lasting(p.At.Sub(p.Since))
	switch p.Status {
	case Updated:
		return "This has changed since the last message. It began on " + moment(p.Since) + "."
	case Repeated:
		if p.condition.Once {
			return fmt.Sprintf("It happened %s since the last message.", count(p.Times, "time"))
		}
		return "This still stands, since " + moment(p.Since) + " (" + took + ")."
	case Unstable:
		return fmt.Sprintf("It has come and gone more than %d times within an hour. You will hear of it again once it has stayed as it is for an hour.", maxOpenings)
	case Resolved:
		return "This is over. It stood from " + moment(p.Since) + " to " + moment(p.At) + " (" + took + "). There is nothing to do."
	}
	return ""
}

// opening returns the first paragraphs: what happened, what is new, what it means.
func (p page) opening(shape func(string) string) []string {
	what, news := p.sentence(p.condition.What, shape), p.news()
	switch {
	case p.Status == Resolved:
		return []string{news, "It was: " + what}
	case news == "":
		return []string{what, p.sentence(p.condition.Means, shape)}
	}
	return []string{what, news, p.sentence(p.condition.Means, shape)}
}

// stateWords say a state where its name does not.
var stateWords = map[string]string{"ok": "", "nouser": "no such account"}

// line is a place in one line. A key is named where it is not the only one of the problem.
func (p page) line(pl Place, shape func(string) string) string {
	at := shape(plain(pl.Host, maxWord))
	if pl.User != "" {
		at = shape(plain(pl.User, maxWord)) + " on " + at
	}
	state, ok := stateWords[pl.State]
	if !ok {
		state = shape(plain(pl.State, 40))
	}
	var more []string
	if state != "" {
		more = append(more, state)
	}
	if pl.Reason != "" {
		more = append(more, shape(plain(pl.Reason, maxWord)))
	}
	if p.fingerprint() == "" {
		for i, f := range pl.Fingerprints {
			if i == maxPrints {
				more = append(more, fmt.Sprintf("and %s", count(len(pl.Fingerprints)-i, "more key")))
				break
			}
			more = append(more, "key "+shape(plain(f, 100)))
		}
	}
	if len(more) == 0 {
		return at
	}
	return at + ": " + strings.Join(more, ", ")
}

// maxPrints bounds the keys of one account that a text names.
const maxPrints = 3

// fact is one line of what is known.
type fact struct{ name, value string }

// facts returns what is known beside the hosts, in the order in which people ask.
func (p page) facts() []fact {
	var all []fact
	add := func(name, value string) {
		if value = plain(value, maxWord); value != "" {
			all = append(all, fact{name, value})
		}
	}
	pr := p.Problem
	add("Reason", pr.Reason)
	add("Step", pr.Step)
	add("Function", pr.Function)
	add("Version", pr.Version)
	add("Key", p.fingerprint())
	add("Who", pr.Who.Principal)
	add("Session", pr.Who.Session)
	add("From", pr.Who.Address)
	if pr.Who.Principal != "" {
		add("Call", pr.EventName)
	}
	if !pr.EventTime.IsZero() {
		add("When", moment(pr.EventTime))
	}
	add("Event", pr.EventID)
	if pr.Expected > 0 {
		add("Checked", fmt.Sprintf("%d of %s", pr.Seen, count(pr.Expected, "host")))
	}
	return all
}
