package events

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/keytrail/keytrail/events/alert"
	"github.com/keytrail/keytrail/rotate"
	"github.com/keytrail/keytrail/rotate/environ"
)

// Config is everything that the function reads from its environment, checked. ParseConfig makes it.
type Config struct {
	// Stack is what rotate is told as well: users, boundary, documents, bucket, grace.
	Stack rotate.Config
	// Rotate and RotateRole are the ARNs of the rotation function and of its role.
	Rotate, RotateRole string
	Topics             map[alert.Topic]string // ARNs; Chat is optional
	// Queue takes the checks of a sweep, DeadLetters what no retry can mend: URLs.
	Queue, DeadLetters string
	Heal               Heal
	Repeat             time.Duration // how long an open alert is silent before it is said again
	Settle             time.Duration // how long hosts that are late get after a rotation
	// Patience is how long one step of a rotation may take until its end is told of: rotate's time-out and
	// a margin for events that are late.
	Patience time.Duration
	Readers  []Pattern // who may read private keys; none turns the check off
	Mute     []alert.ID
	Runbook  string // URL
	// Reports are written each day, each month, or both; none turns them off.
	Reports []Every
	// SecurityHub has the findings of each daily report imported.
	SecurityHub bool
}

// Every is how often a report is written.
type Every string

const (
	Daily   Every = "daily"
	Monthly Every = "monthly"
)

// Heal says which drift is mended without asking.
type Heal string

const (
	HealOff     Heal = "off"
	HealMissing Heal = "missing" // the live key is put back
	HealAll     Heal = "all"     // retired keys are taken away as well
)

// Pattern is the ARN of a principal, in which * stands for any text without a slash.
type Pattern string

// Matches reports whether the ARN is one that the pattern names.
func (p Pattern) Matches(arn string) bool {
	ok, err := path.Match(string(p), arn)
	return ok && err == nil
}

// ParseConfig reads the configuration through getenv (os.Getenv in the function). The error joins every
// missing or bad name.
func ParseConfig(getenv func(string) string) (Config, error) {
	stack, err := rotate.ParseConfig(getenv)
	e := environ.New(getenv)
	c := Config{
		Stack:      stack,
		Rotate:     environ.Parse(e, "KEYTRAIL_ROTATE_FUNCTION", "", arnOf("lambda")),
		RotateRole: environ.Parse(e, "KEYTRAIL_ROTATE_ROLE", "", arnOf("iam")),
		Topics: map[alert.Topic]string{
			alert.Alerts: environ.Parse(e, "KEYTRAIL_ALERTS_TOPIC", "", arnOf("sns")),
		},
		Queue:       environ.Parse(e, "KEYTRAIL_QUEUE", "", address),
		DeadLetters: environ.Parse(e, "KEYTRAIL_DEAD_LETTERS", "", address),
		Heal:        environ.Parse(e, "KEYTRAIL_HEAL", string(HealMissing), environ.OneOf(HealOff, HealMissing, HealAll)),
		Repeat:      environ.Parse(e, "KEYTRAIL_REPEAT", "24h", interval),
		Settle:      environ.Parse(e, "KEYTRAIL_SETTLE", "60s", environ.Duration),
		Patience:    environ.Parse(e, "KEYTRAIL_PATIENCE", "20m", interval),
		Readers:     environ.Parse(e, "KEYTRAIL_READERS", "", patterns),
		Mute:        environ.Parse(e, "KEYTRAIL_MUTE", string(alert.RotationSucceeded), conditions),
		Runbook:     e.Text("KEYTRAIL_RUNBOOK"),
		Reports:     environ.Parse(e, "KEYTRAIL_REPORTS", "daily,monthly", reports),
		SecurityHub: environ.Parse(e, "KEYTRAIL_SECURITY_HUB", "false", environ.Bool),
	}
	if e.Text("KEYTRAIL_CHAT_TOPIC") != "" {
		c.Topics[alert.Chat] = environ.Parse(e, "KEYTRAIL_CHAT_TOPIC", "", arnOf("sns"))
	}
	if e.Text("KEYTRAIL_BUCKET") == "" {
		e.Fail("KEYTRAIL_BUCKET", errors.New("is required: what should be trusted stands in the register, and what was told in its bucket"))
	}
	return c, errors.Join(err, e.Err())
}

// place is the account and Region of the stack.
func (c Config) place() (account, region string) {
	part := strings.SplitN(c.Rotate, ":", 6)
	return part[4], part[3]
}

// arnParts finds partition, service, Region, account and resource.
var arnParts = lazily(`^arn:(aws[a-z-]*):([a-z0-9-]+):([a-z0-9-]*):([0-9]{12}):(.+)$`)

// arnOf returns a parser of the ARNs of one service.
func arnOf(service string) func(string) (string, error) {
	return func(text string) (string, error) {
		m := arnParts().FindStringSubmatch(text)
		if m == nil || m[2] != service {
			return "", fmt.Errorf("%q is no ARN of %s", text, service)
		}
		return text, nil
	}
}

var queueURL = lazily(`^https?://[^ ]+$`)

func address(text string) (string, error) {
	if !queueURL().MatchString(text) {
		return "", fmt.Errorf("%q is not the URL of a queue", text)
	}
	return text, nil
}

func interval(text string) (time.Duration, error) {
	d, err := environ.Duration(text)
	if err == nil && d == 0 {
		err = errors.New("must be more than 0")
	}
	return d, err
}

// words parts a list at commas and blanks.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func patterns(text string) ([]Pattern, error) {
	var all []Pattern
	for _, w := range words(text) {
		if _, err := path.Match(w, ""); err != nil || !strings.HasPrefix(w, "arn:") {
			return nil, fmt.Errorf("%q is no ARN of a principal", w)
		}
		all = append(all, Pattern(w))
	}
	return all, nil
}

func conditions(text string) ([]alert.ID, error) {
	var all []alert.ID
	for _, w := range words(text) {
		if w == "none" {
			continue
		}
		if _, ok := alert.Lookup(alert.ID(w)); !ok {
			return nil, fmt.Errorf("no condition is named %q", w)
		}
		all = append(all, alert.ID(w))
	}
	return all, nil
}

func reports(text string) ([]Every, error) {
	var all []Every
	for _, w := range words(text) {
		switch every := Every(w); every {
		case Daily, Monthly:
			all = append(all, every)
		case "none":
		default:
			return nil, fmt.Errorf("%q is neither daily, monthly nor none", w)
		}
	}
	return all, nil
}
