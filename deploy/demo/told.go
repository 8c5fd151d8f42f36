package main

import (
	"fmt"
	"slices"
	"strings"
)

// note writes a line or two about the course of an act.
func (s *shop) note(mark, text string) {
	s.demo.screen.item(fmt.Sprintf("%-5s", mark), dim, text)
}

// react shows what the last deed led to: the events, and what the function
// made of them. The verdict is its last one; there may be none.
func (s *shop) react() (verdict, error) {
	text, err := s.demo.lab.Lambda().Logs(shopEvents)
	if err != nil {
		return verdict{}, err
	}
	s.reactions = parseReactions(text, s.since)
	v := parseVerdict(text, shopSecret, s.since)
	said := v.String()
	if said == "" {
		said = "no look at the hosts"
	}
	s.note("event", legible(shown(s.demo.bus.take(), s.reactions)+": "+said))
	for _, r := range s.reactions {
		if r.Message == eventFailed { // Lambda tries it again
			s.note("log", clean(fmt.Sprintf("%s failed: %s", r.Kind, r.Error)))
		}
	}
	return v, nil
}

// shown names the events that were more than taken down, and otherwise counts
// them.
func shown(events []event, reactions []reaction) string {
	var names []string
	for _, e := range events {
		mattered := func(r reaction) bool { return r.Kind == e.name && (r.Outcome == lookedAt || r.Outcome == told) }
		if e.name == scheduled || slices.ContainsFunc(reactions, mattered) {
			names = append(names, e.name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("%d to take down", len(events))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// scheduled is the event of a sweep.
const scheduled = "Scheduled Event"

// learn shows what the last deed led to, and what people heard of it. It finds
// that the verdict is this one and that people heard exactly these notices, in
// so many threads.
func (s *shop) learn(sentence, want string, threads int, notices ...notice) (post, error) {
	v, err := s.react()
	if err != nil {
		return post{}, err
	}
	all, err := s.collect()
	if err != nil {
		return post{}, err
	}
	news := all.since(s.read)
	s.read = all
	news.sort(shopSecret, notices)
	s.show(news)
	s.find(sentence, append(same(want, v.String()), news.check(shopSecret, threads, notices)...)...)
	return news, nil
}

// show shows what people got: the first mail and the first thread whole, and
// of later ones what is new.
func (s *shop) show(p post) {
	whole := len(s.known) == 0
	for i, m := range p.mails {
		first := whole && i == 0
		if first {
			s.note("mail", "to "+clean(m.To))
			s.demo.screen.quote(fmt.Sprintf("From: %s\nSubject: %s\n\n%s", m.From, m.Subject, m.Text))
		} else {
			s.note("mail", clean(m.Subject))
		}
		for _, line := range gist(m.Text) {
			if !first && !s.known[line] && !strings.HasPrefix(line, "This is over.") {
				s.note("", clean(line))
			}
			s.known[line] = true
		}
	}
	for i, t := range p.threads {
		if whole && i == 0 {
			s.note("slack", "a thread in the channel")
			s.demo.screen.quote(t.Text)
			continue
		}
		for _, m := range messages(t.Text) {
			mark := ""
			if m.reply {
				mark = "| "
			}
			s.note("slack", mark+legible(m.title))
		}
	}
}

// collect returns all that people have got.
func (s *shop) collect() (post, error) {
	service := s.demo.lab.SNS()
	service.Wait()
	mails, err := service.Mails(onCall)
	if err != nil {
		return post{}, err
	}
	threads, err := service.Threads(shopChat)
	return post{mails, threads}, err
}
