package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// notification is a custom notification of Amazon Q Developer in chat applications, which shows nothing
// else that is published. https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
type notification struct {
	Version  string  `json:"version"` // "1.0"
	Source   string  `json:"source"`  // "custom"
	ID       string  `json:"id"`
	Content  content `json:"content"`
	Metadata struct {
		ThreadID  string `json:"threadId"` // messages of one alert are one thread
		Summary   string `json:"summary"`  // shown on the thread's first message
		EventType string `json:"eventType"`
	} `json:"metadata"`
}

type content struct {
	TextType    string   `json:"textType"` // "client-markdown"
	Title       string   `json:"title"`
	Description string   `json:"description"`
	NextSteps   []string `json:"nextSteps,omitempty"`
	Keywords    []string `json:"keywords"`
}

// The service's limits, in characters.
const (
	maxTitle       = 250
	maxDescription = 8000
	maxStep        = 350
	maxKeyword     = 75
	maxChatHosts   = 10 // a chat is not a list
)

// marks are what eyes look for in a channel.
var marks = map[Severity]string{Critical: "🔴", High: "🟠", Medium: "🟡", Low: "⚪", Info: "🔵"}

func (p page) chat() ([]byte, error) {
	var n notification
	n.Version, n.Source, n.ID = "1.0", "custom", p.ID
	n.Metadata.ThreadID, n.Metadata.EventType = p.thread(), string(p.Condition)
	n.Metadata.Summary = cut(p.chatTitle(), maxTitle)
	n.Content = content{
		TextType: "client-markdown", Title: n.Metadata.Summary, Description: p.description(),
		Keywords: []string{string(p.condition.Severity), string(p.Condition), string(p.Status), keyword(chatWords.Replace(p.name()))},
	}
	if p.Status != Resolved {
		n.Content.NextSteps = p.nextSteps()
	}
	return json.Marshal(n)
}

// thread is the alert's own, or that of the alert that it tells more of.
func (p page) thread() string {
	if p.Problem.About != "" {
		return identify(p.Secret.ARN, p.Problem.About, "")
	}
	return p.Alert
}

// keyword shortens a name: the end of a path tells secrets apart.
func keyword(name string) string {
	if len(name) <= maxKeyword {
		return name
	}
	name = name[len(name)-maxKeyword+len("…"):]
	for name != "" && !utf8.RuneStart(name[0]) {
		name = name[1:]
	}
	return "…" + name
}

func (p page) chatTitle() string {
	mark := marks[p.condition.Severity] + " " + strings.ToUpper(string(p.condition.Severity))
	switch {
	case p.Status == Resolved:
		mark = "✅ RESOLVED"
	case p.Status == Updated:
		mark += " (changed)"
	case p.Status == Repeated && p.condition.Once:
		mark += " (again)"
	case p.Status == Repeated:
		mark += " (still so)"
	case p.Status == Unstable:
		mark += " (comes and goes)"
	}
	return mark + ": " + p.condition.Title + ", " + chatWords.Replace(p.name())
}

// description says what happened and what it means, then where, then the commands that no next step has
// room for. The commands and the links are never cut.
func (p page) description() string {
	var b strings.Builder
	for _, text := range p.opening(code) {
		b.WriteString(text + "\n\n")
	}
	for _, f := range p.facts() {
		b.WriteString("*" + f.name + "* " + code(f.value) + "\n")
	}
	foot := ""
	if p.Status != Resolved {
		for _, s := range p.longSteps() {
			foot += "\n" + s + "\n"
		}
	}
	var links []string
	for _, l := range p.links() {
		links = append(links, "<"+l.URL+"|"+l.Name+">")
	}
	foot += "\n" + strings.Join(links, " · ")
	return strings.TrimSpace(b.String()+p.chatHosts(maxDescription-b.Len()-len(foot)-2)) + "\n" + foot
}

// chatHosts lists hosts as long as there is room, in bytes.
func (p page) chatHosts(room int) string {
	const tail = 100 // for the line that says what is left out
	var b strings.Builder
	places := p.Problem.Places
	shown := 0
	for _, pl := range places[:min(len(places), maxChatHosts)] {
		line := "• " + p.line(pl, code) + "\n"
		if b.Len()+len(line)+tail > room {
			break
		}
		b.WriteString(line)
		shown++
	}
	if more := len(places) - shown + p.Problem.Left.Places; more > 0 {
		fmt.Fprintf(&b, "and %s; %s in all\n", count(more, "more account"), count(p.Problem.Hosts(), "host"))
	}
	return "\n" + b.String()
}

// nextSteps are numbered by the service.
func (p page) nextSteps() []string {
	var all []string
	for _, s := range p.condition.Steps {
		text, run := p.nextStep(s)
		if s.Run != "" && run == "" {
			text += " (command above)"
		}
		all = append(all, text+run)
	}
	return all
}

// nextStep returns what a step says, and its command where both fit.
func (p page) nextStep(s Step) (text, run string) {
	const most = 80 // of a name, in bytes: a step has two at most
	text = p.sentence(s.Do, func(name string) string { return code(cut(name, most)) })
	if run = " `" + p.command(s.Run) + "`"; s.Run == "" || utf8.RuneCountInString(text+run) > maxStep {
		run = ""
	}
	return text, run
}

// longSteps are the commands that are too long for a next step.
func (p page) longSteps() []string {
	var all []string
	for _, s := range p.condition.Steps {
		if _, run := p.nextStep(s); s.Run != "" && run == "" {
			all = append(all, "```\n"+p.command(s.Run)+"\n```")
		}
	}
	return all
}
