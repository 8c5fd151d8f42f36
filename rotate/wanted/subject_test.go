package wanted

import (
	"strings"
	"testing"

	"github.com/keytrail/keytrail/rotate/fleet"
)

func TestTagsThatCannotNarrowAreRefusedInWords(t *testing.T) {
	t.Parallel()
	limits := Limits{Users: []string{"ec2-user", "admin"}, Boundary: fleet.Tag{Key: "Fleet", Value: "all"}}
	for _, row := range []struct{ tag, value, words string }{
		{TagTarget, "", "want Key=Value pairs"},
		{TagTarget, "   ", "want Key=Value pairs"},
		{TagTarget, "prod", `"prod" is not Key=Value`},
		{TagUsers, "", "at least one account name"},
		{TagUsers, "root", "which USERNAME does not allow"},
	} {
		_, err := limits.Subject("arn", "s", map[string]string{row.tag: row.value})
		if err == nil || !strings.Contains(err.Error(), row.tag) || !strings.Contains(err.Error(), row.words) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s=%q: %v", row.tag, row.value, err)
		}
	}
}
