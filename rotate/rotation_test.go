package rotate

import (
	"strings"
	"testing"
)

func TestTagsThatCannotNarrowAreRefusedInWords(t *testing.T) {
	t.Parallel()
	conf, err := ParseConfig(getenv("USERNAME", "ec2-user admin"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Rotator{config: conf}
	for _, row := range []struct{ tag, value, words string }{
		{tagTarget, "", "want Key=Value pairs"},
		{tagTarget, "   ", "want Key=Value pairs"},
		{tagTarget, "prod", `"prod" is not Key=Value`},
		{tagUsers, "", "at least one account name"},
		{tagUsers, "root", "which USERNAME does not allow"},
	} {
		s := secret{name: "s", stages: map[string][]string{"v": {labelPending}}, tags: map[string]string{row.tag: row.value}}
		_, err := r.subjectOf(s)
		if err == nil || !strings.Contains(err.Error(), row.tag) || !strings.Contains(err.Error(), row.words) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s=%q: %v", row.tag, row.value, err)
		}
	}
}
