package alert

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryConditionSaysWhatToDo(t *testing.T) {
	t.Parallel()
	seen := map[ID]bool{}
	words := regexp.MustCompile(`\{[a-z]+\}`)
	for _, c := range Conditions() {
		if seen[c.ID] || !regexp.MustCompile(`^[a-z-]+$`).MatchString(string(c.ID)) {
			t.Errorf("%s is no id, or stands twice", c.ID)
		}
		seen[c.ID] = true
		if marks[c.Severity] == "" || pagerDuty[c.Severity] == "" || opsgenie[c.Severity] == "" {
			t.Errorf("%s: severity %q", c.ID, c.Severity)
		}
		if c.Title == "" || !strings.HasSuffix(c.What, ".") || !strings.HasSuffix(c.Means, ".") || len(c.Steps) == 0 && c.ID != RotationSucceeded {
			t.Errorf("%s is not whole", c.ID)
		}
		for _, status := range []Status{Opened, Repeated} {
			p := render(t, Message{Condition: c.ID, Status: status, Secret: fleetKey, At: noon, Since: noon, Problem: Problem{Condition: c.ID}})
			for _, text := range []string{p.mail(), p.description(), strings.Join(p.nextSteps(), " ")} {
				if w := words.FindString(text); w != "" {
					t.Errorf("%s: %s stands in the text", c.ID, w)
				}
			}
		}
	}
}

func TestACommandIsOnlyFilledWithWhatIsSafeToPaste(t *testing.T) {
	t.Parallel()
	m := message(RotationBlocked, Opened)
	m.Problem.Version = "x; reboot"
	p := render(t, m)
	got := p.command(p.condition.Steps[0].Run)
	want := "aws secretsmanager update-secret-version-stage --region eu-west-1 --secret-id " + fleetKey.ARN + " --version-stage AWSPENDING --remove-from-version-id <version-id>"
	if got != want {
		t.Errorf("got %s", got)
	}
}
