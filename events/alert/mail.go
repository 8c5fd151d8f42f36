package alert

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// mail is the message as a person writes: plain text.
func (p page) mail() string {
	var b strings.Builder
	same := func(s string) string { return s }
	para := func(text string) {
		if text != "" {
			b.WriteString(fold(text, "") + "\n\n")
		}
	}
	for _, text := range p.opening(same) {
		para(text)
	}
	p.mailFacts(&b)
	p.mailHosts(&b)
	if p.Status != Resolved && len(p.condition.Steps) > 0 {
		b.WriteString("What to do\n")
		for i, s := range p.condition.Steps {
			b.WriteString(fold(fmt.Sprintf("%d. %s", i+1, p.sentence(s.Do, same)), "   ") + "\n")
			if s.Run != "" {
				b.WriteString("\n     " + p.command(s.Run) + "\n\n")
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("Look at\n")
	for _, l := range p.links() {
		fmt.Fprintf(&b, "  %-8s %s\n", l.Name, l.URL)
	}
	b.WriteString("\n--\n" + fold(p.foot(), "") + "\n")
	return tidy().ReplaceAllString(b.String(), "\n\n")
}

// tidy leaves one empty line between paragraphs.
var tidy = lazily(`\n{3,}`)

func (p page) mailFacts(b *strings.Builder) {
	for _, f := range p.facts() {
		fmt.Fprintf(b, "%s\n", fold(fmt.Sprintf("  %-8s %s", f.name, f.value), "           "))
	}
	if p.Status == Opened && p.Problem.EventTime.IsZero() && !p.condition.Once {
		fmt.Fprintf(b, "  %-8s %s\n", "Since", moment(p.Since))
	}
	b.WriteString("\n")
}

// maxLines bounds the hosts of a mail: beyond it nobody reads, and the document has them.
const maxLines = 25

func (p page) mailHosts(b *strings.Builder) {
	places := p.Problem.Places
	if len(places) == 0 {
		return
	}
	where := "Where"
	if p.Status == Resolved {
		where = "Where it was"
	}
	b.WriteString(where + "\n")
	shown := places[:min(len(places), maxLines)]
	for _, pl := range shown {
		b.WriteString(fold("  "+p.line(pl, func(s string) string { return s }), "      ") + "\n")
	}
	if more := len(places) - len(shown) + p.Problem.Left.Places; more > 0 {
		fmt.Fprintf(b, "  and %s; %s in all\n", count(more, "more account"), count(p.Problem.Hosts(), "host"))
	}
	b.WriteString("\n")
}

func (p page) foot() string {
	text := "Alert " + p.Alert + ", message " + p.ID + ", seen on " + moment(p.At) + ". "
	switch {
	case p.Status == Resolved:
		return text + "No more follows about this unless it happens again."
	case p.condition.Once:
		return text + "This tells of something that happened, so no message will say that it is over."
	}
	return text + "A message follows when this changes or is over, and a reminder while it stands."
}

// fold breaks text at spaces after 76 characters, with an indent on each line but the first. Words are
// never broken: keys and addresses are copied.
func fold(text, indent string) string {
	const width = 76
	lead := text[:len(text)-len(strings.TrimLeft(text, " "))]
	var b strings.Builder
	column := 0
	for i, w := range strings.SplitAfter(strings.TrimLeft(text, " "), " ") {
		n := utf8.RuneCountInString(w)
		switch {
		case i == 0:
			b.WriteString(lead)
			column = len(lead)
		case column+len(strings.TrimRight(w, " ")) > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		}
		b.WriteString(w)
		column += n
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
