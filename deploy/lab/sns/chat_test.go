package sns_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/sns"
)

// notice is a custom notification as its schema spells it.
func notice(content, metadata map[string]any) string {
	b, _ := json.Marshal(map[string]any{"version": "1.0", "source": "custom", "content": content, "metadata": metadata})
	out, _ := json.Marshal(map[string]string{"default": "for machines", "https": string(b)})
	return string(out)
}

func TestChatShowsThreads(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "chat")
	l.join(t, topic, "https", sns.ChatEndpoint, nil)
	l.say(t, topic, notice(map[string]any{
		"textType": "client-markdown", "title": ":warning: web-1 lost its key", "description": "*ssh/web* is missing on <https://console.aws.amazon.com/x|web-1> &amp; 1 other",
		"nextSteps": []string{"Run `keytrail reconcile ssh/web`"}, "keywords": []string{"high", "missing"},
	}, map[string]any{"threadId": "alert-1", "summary": "missing on 2 of 12 hosts"}), structured)
	l.advance(time.Hour)
	l.say(t, topic, notice(map[string]any{"description": "RESOLVED\nafter 1 h"}, map[string]any{"threadId": "alert-1"}), structured)
	l.say(t, topic, notice(map[string]any{"description": "hello <!channel> \u202e\x1b[31m <@U123>"}, nil), structured)
	files := l.files(t, "chat/chat")
	if len(files) != 2 {
		t.Fatalf("%d files, want a thread and a message", len(files))
	}
	golden(t, "chat.txt", files[1]+files[0])
}

// The real service drops these without a word.
func TestChatNotesWhatIsDropped(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ message, want string }{
		"plain text":                 {`{"default":"hello"}`, "no custom notification"},
		"no description":             {notice(map[string]any{"title": "x"}, nil), "content.description is missing"},
		"a title that is too long":   {notice(map[string]any{"title": strings.Repeat("ü", 251), "description": "x"}, nil), "content.title has 251 characters, more than 250"},
		"a text that is too long":    {notice(map[string]any{"description": strings.Repeat("x", 8001)}, nil), "content.description has 8001 characters, more than 8000"},
		"a step that is too long":    {notice(map[string]any{"description": "x", "nextSteps": []string{strings.Repeat("x", 351)}}, nil), "content.nextSteps[0] has 351"},
		"a keyword that is too long": {notice(map[string]any{"description": "x", "keywords": []string{"a", strings.Repeat("x", 76)}}, nil), "content.keywords[1] has 76"},
		"steps that are no list":     {notice(map[string]any{"description": "x", "nextSteps": "y"}, nil), "no custom notification"},
		"another type of text":       {notice(map[string]any{"description": "x", "textType": "html"}, nil), `content.textType is "html"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			topic := l.topic(t, "chat")
			l.join(t, topic, "https", sns.ChatEndpoint, nil)
			id := l.say(t, topic, tt.message, structured)
			files := l.files(t, "chat/chat")
			if len(files) != 1 || !strings.Contains(files[0], id) || !strings.Contains(files[0], tt.want) {
				t.Errorf("%q, want a note of %q", files, tt.want)
			}
		})
	}
}

// A thread's id comes from outside and names a file.
func TestAThreadStaysInItsFolder(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	topic := l.topic(t, "chat")
	l.join(t, topic, "https", sns.ChatEndpoint, nil)
	for _, id := range []string{"../../x", "a/b", "a_b", strings.Repeat("ü", 300)} {
		l.say(t, topic, notice(map[string]any{"description": "x"}, map[string]any{"threadId": id}), structured)
	}
	if n := len(l.files(t, "chat/chat")); n != 4 {
		t.Errorf("%d files, want one for each thread", n)
	}
}
