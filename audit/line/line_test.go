package line

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainIsOneLineOfWhatCanBeSeen(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          "",
		"deploy@host":               "deploy@host",
		" two  words ":              "two words",
		"a\nb\r\n\tc":               "a b c",
		"a\u2028b\u2029c":           "a b c",
		"a\u202eb\u200bc\ufe0fd":    "abcd",
		"\x1b[31mred\x1b[0m":        "red",
		"\x1b]0;title\x07text":      "text",
		"\u009b31mred":              "red",
		"a\x00b\x7fc":               "a b c",
		"caf\u00e9 \xff \U0001f511": "caf\u00e9 \ufffd \U0001f511",
	} {
		if got := Plain(in, 100); got != want {
			t.Errorf("%q became %q, not %q", in, got, want)
		}
	}
}

func TestCutIsBetweenCharactersAndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("a", 300), strings.Repeat("é", 300), strings.Repeat("\U0001f511", 300)} {
		for most := 40; most < 120; most++ {
			got := Cut(text, most)
			if len(got) > most || !utf8.ValidString(got) || !strings.Contains(got, " more characters)") {
				t.Fatalf("cut to %d: %q", most, got)
			}
		}
		if Cut(text, len(text)) != text {
			t.Error("what fits was cut")
		}
	}
}
