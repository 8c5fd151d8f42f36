package sns

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// custom is a custom notification of Amazon Q Developer in chat applications.
// https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
type custom struct {
	Version string `json:"version"`
	Source  string `json:"source"`
	ID      string `json:"id"`
	Content struct {
		TextType    string   `json:"textType"`
		Title       string   `json:"title"`
		Description string   `json:"description"`
		NextSteps   []string `json:"nextSteps"`
		Keywords    []string `json:"keywords"`
	} `json:"content"`
	Metadata struct {
		ThreadID            string            `json:"threadId"`
		Summary             string            `json:"summary"`
		EventType           string            `json:"eventType"`
		RelatedResources    []string          `json:"relatedResources"`
		AdditionalContext   map[string]string `json:"additionalContext"`
		EnableCustomActions *bool             `json:"enableCustomActions"`
	} `json:"metadata"`
}

// parseCustom reads a custom notification and holds it against the limits of
// the schema, in characters.
func parseCustom(text string) (custom, error) {
	var c custom
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("no custom notification: %w", err)
	}
	var errs []error
	limit := func(name, value string, most int) {
		if n := utf8.RuneCountInString(value); n > most {
			errs = append(errs, fmt.Errorf("%s has %d characters, more than %d", name, n, most))
		}
	}
	if c.Version != "1.0" || c.Source != "custom" {
		errs = append(errs, fmt.Errorf("version is %q and source is %q, not 1.0 and custom", c.Version, c.Source))
	}
	if t := c.Content.TextType; t != "" && t != "client-markdown" {
		errs = append(errs, fmt.Errorf("content.textType is %q, not client-markdown", t))
	}
	if c.Content.Description == "" {
		errs = append(errs, errors.New("content.description is missing"))
	}
	limit("content.title", c.Content.Title, 250)
	limit("content.description", c.Content.Description, 8000)
	for i, step := range c.Content.NextSteps {
		limit(fmt.Sprintf("content.nextSteps[%d]", i), step, 350)
	}
	for i, word := range c.Content.Keywords {
		limit(fmt.Sprintf("content.keywords[%d]", i), word, 75)
	}
	return c, errors.Join(errs...)
}

// dropped is the file that notes what the chat does not show.
const dropped = "dropped.txt"

// writeChat writes a message as Slack shows it: a file for each thread, or for
// a message without one. What is no custom notification is dropped without a
// word by the real service; here the drop is noted in a file.
func (s *Service) writeChat(d *delivery) error {
	dir := filepath.Join(s.options.Dir, "chat", d.topicName)
	stamp := d.time.Format("2006-01-02 15:04:05 UTC")
	c, err := parseCustom(d.text(d.protocol))
	if err != nil {
		return appendFile(filepath.Join(dir, dropped), stamp+" "+d.id+" "+strings.ReplaceAll(visible(err.Error()), "\n", "; ")+"\n")
	}
	if c.Metadata.ThreadID == "" {
		return s.newFile(dir, ".txt", c.render(stamp, ""))
	}
	path := filepath.Join(dir, "thread-"+fileName(c.Metadata.ThreadID)+".txt")
	indent := ""
	if _, err := os.Stat(path); err == nil {
		indent = "    | " // a reply
	}
	return appendFile(path, c.render(stamp, indent))
}

// render shows a notification; replies are indented.
func (c custom) render(stamp, indent string) string {
	lines := []string{"Amazon Q Developer  " + stamp}
	if c.Metadata.Summary != "" && indent == "" {
		lines = append(lines, slack(c.Metadata.Summary), "")
	}
	if c.Content.Title != "" {
		lines = append(lines, "*"+slack(c.Content.Title)+"*")
	}
	lines = append(lines, slack(c.Content.Description))
	if len(c.Content.NextSteps) > 0 {
		lines = append(lines, "", "*Next steps*")
		for _, step := range c.Content.NextSteps {
			lines = append(lines, "• "+slack(step))
		}
	}
	if len(c.Content.Keywords) > 0 {
		var words []string
		for _, word := range c.Content.Keywords {
			words = append(words, "`"+slack(word)+"`")
		}
		lines = append(lines, "", "*Keywords*  "+strings.Join(words, "  "))
	}
	text := strings.Join(lines, "\n")
	return indent + strings.ReplaceAll(text, "\n", "\n"+indent) + "\n\n"
}

// control is what Slack reads in angle brackets: mentions and links.
// https://api.slack.com/reference/surfaces/formatting
var control = regexp.MustCompile(`<([!@#]|[a-zA-Z][a-zA-Z0-9+.-]*:)([^<>|]*)(?:\|([^<>]*))?>`)

// slack shows text as Slack does: links with where they lead, and mentions as
// what they do.
func slack(text string) string {
	text = control.ReplaceAllStringFunc(text, func(match string) string {
		m := control.FindStringSubmatch(match)
		switch kind, target, label := m[1], m[2], m[3]; {
		case kind == "!" || kind == "@":
			return "[notifies @" + target + "]"
		case kind == "#":
			return "#" + target
		case label != "":
			return label + " (" + kind + target + ")"
		default:
			return kind + target
		}
	})
	return visible(strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text))
}

// visible shows control characters and those that turn text around, which a
// terminal would obey.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if isControl(r) && r != '\n' && r != '\t' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == utf8.RuneError {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fileName makes a text from outside a part of a file's name.
func fileName(text string) string {
	safe := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r) {
			return r
		}
		return '_'
	}, text)
	if safe == text && len(text) <= 100 {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return safe[:min(len(safe), 60)] + "-" + hex.EncodeToString(sum[:6])
}
