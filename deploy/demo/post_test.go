package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/sns"
)

// golden returns a mail as the alerts of the product have it.
func golden(t *testing.T, name string) sns.Mail {
	t.Helper()
	text, err := os.ReadFile("../../events/alert/testdata/mail/" + name)
	if err != nil {
		t.Fatal(err)
	}
	subject, body, _ := strings.Cut(strings.TrimPrefix(string(text), "Subject: "), "\n\n")
	return sns.Mail{Subject: subject, Text: body}
}

// The product's own goldens say how its mails and messages are titled.
func TestANoticeIsTitledAsTheProductTitlesIt(t *testing.T) {
	t.Parallel()
	const secret = "fleet/deploy"
	for name, n := range map[string]notice{
		"drift-missing":          critical("live key missing", 2),
		"drift-missing.resolved": resolved(critical("live key missing", 2)),
		"foreign-key":            high("unknown key trusted").on(2),
		"event-missed":           medium("rotation without an event", 0),
		"heal-done":              info("drift mended", 1),
	} {
		if got, want := n.subject(secret), golden(t, name+".txt").Subject; got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
		chat, err := os.ReadFile("../../events/alert/testdata/chat/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if title := n.chatTitle(secret); !strings.Contains(string(chat), `"title": "`+title+`"`) {
			t.Errorf("%s.json has not the title %q", name, title)
		}
	}
}

func TestTheGistOfAMailIsWhatHappenedAndWhere(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"drift-refused.txt": {
			"The live key of fleet/deploy is in place on host i-0a1b2c3d4e5f60001, but sshd would not honour it.",
			"deploy on i-0a1b2c3d4e5f60001: refused, /home/deploy is writable by its group",
		},
		"drift-forged.txt": {
			"A key that claims to come from Keytrail, and does not, is trusted on host i-0a1b2c3d4e5f60001.",
			"Key SHA256:VPpM0zECrnpuNte6YTMeHljH/Uuhwp3SadwCCP88zW8",
			"deploy on i-0a1b2c3d4e5f60001: forged",
		},
		"drift-missing.resolved.txt": {
			"This is over. It stood from 19 November 2026, 10:00 UTC to 20 November 2026, 12:00 UTC (26 hours). There is nothing to do.",
		},
	} {
		if diff := cmp.Diff(want, gist(golden(t, name).Text)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

const thread = "Amazon Q Developer  2026-11-28 00:18:41 UTC\n🔴 CRITICAL: live key missing, s\n\n*🔴 CRITICAL: live key missing, s*\n" +
	"The live key of `s` is missing on host `i-1`.\n\n*Next steps*\n• Put the key back.\n\n"

const reply = "    | Amazon Q Developer  2026-11-28 00:18:42 UTC\n    | *✅ RESOLVED: live key missing, s*\n    | This is over. It took `1` minute.\n    | \n\n"

func missing() (post, []notice) {
	n := critical("live key missing", 1)
	return post{
		mails: []sns.Mail{
			{Subject: "[RESOLVED, was critical] live key missing: s (1 host)", Text: "This is over. It took\n1 minute.\n\nAlert 7"},
			{Subject: "[CRITICAL] live key missing: s (1 host)", Text: "The live key of s is missing on\nhost i-1.\n\nMore.\n"},
		},
		threads: []sns.Thread{{ID: "thread-1", Text: thread + reply}},
	}, []notice{n, resolved(n)}
}

func TestAThreadIsReadMessageByMessage(t *testing.T) {
	t.Parallel()
	want := []message{
		{false, "🔴 CRITICAL: live key missing, s", "The live key of `s` is missing on host `i-1`."},
		{true, "✅ RESOLVED: live key missing, s", "This is over. It took `1` minute."},
	}
	if diff := cmp.Diff(want, messages(thread+reply), cmp.AllowUnexported(message{})); diff != "" {
		t.Error(diff)
	}
}

func TestAPostIsCheckedToBeExactlyItsNotices(t *testing.T) {
	t.Parallel()
	p, want := missing()
	if problems := p.check("s", 1, want); len(problems) > 0 {
		t.Errorf("a post as it should be has problems: %q", problems)
	}
	for name, row := range map[string]struct {
		change func(*post, *[]notice)
		want   string // part of the complaint
	}{
		"a notice that did not come":         {func(_ *post, want *[]notice) { *want = append(*want, high("rotation failed")) }, `no mail "[HIGH] rotation failed: s"`},
		"a mail too much":                    {func(_ *post, want *[]notice) { *want = (*want)[:1] }, `there is a mail "[RESOLVED`},
		"a message too much":                 {func(p *post, want *[]notice) { p.mails, *want = p.mails[1:], (*want)[:1] }, `there is a message in the channel "✅`},
		"another number of hosts":            {func(_ *post, want *[]notice) { (*want)[0].hosts = 2 }, `no mail "[CRITICAL] live key missing: s (2 hosts)"`},
		"two threads for one":                {func(p *post, _ *[]notice) { p.threads = []sns.Thread{{Text: thread}, {Text: reply}} }, "2 threads have news, not 1"},
		"a channel that says something else": {func(p *post, _ *[]notice) { p.mails[1].Text = "The live key is missing." }, "the channel says"},
		"an end that is none":                {func(p *post, _ *[]notice) { p.mails[0].Text = "Soon." }, "begins with"},
		"a mail that clears the screen":      {func(p *post, _ *[]notice) { p.mails[0].Text += "\x1b[2J" }, "control characters in the mail"},
		"a message that calls everybody":     {func(p *post, _ *[]notice) { p.threads[0].Text += "[notifies @channel]" }, "mentions in the thread-1"},
		"a message that cleared the screen":  {func(p *post, _ *[]notice) { p.threads[0].Text += `\u001b[2J` }, "mentions in the thread-1"},
	} {
		p, want := missing()
		row.change(&p, &want)
		if got := strings.Join(p.check("s", 1, want), "\n"); !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func TestNewsAreWhatCameSince(t *testing.T) {
	t.Parallel()
	all, _ := missing()
	earlier := post{mails: all.mails[:1], threads: []sns.Thread{{ID: "thread-1", Text: thread}}}
	news := all.since(earlier)
	if len(news.mails) != 1 || news.mails[0].Subject != all.mails[1].Subject {
		t.Errorf("mails %v", news.mails)
	}
	if diff := cmp.Diff([]sns.Thread{{ID: "thread-1", Text: reply}}, news.threads); diff != "" {
		t.Error(diff)
	}
	if news := all.since(all); len(news.mails)+len(news.threads) > 0 {
		t.Errorf("nothing came, but %v", news)
	}
}

func TestWhatAMailLacksIsSaid(t *testing.T) {
	t.Parallel()
	p, want := missing()
	if problems := p.lacks(want[0], "s", "missing on host"); len(problems) > 0 {
		t.Errorf("words on two lines are lacking: %q", problems)
	}
	for _, n := range []notice{want[1], high("rotation failed")} {
		if len(p.lacks(n, "s", "missing on host")) == 0 {
			t.Errorf("%v lacks nothing", n)
		}
	}
}

func TestAPostIsSortedAsItsNoticesAreNamed(t *testing.T) {
	t.Parallel()
	p, want := missing()
	p.sort("s", want)
	if got := p.mails[0].Subject; got != want[0].subject("s") {
		t.Errorf("the first mail is %q", got)
	}
}
