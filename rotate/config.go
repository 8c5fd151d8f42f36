package rotate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/environ"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/register"
	"github.com/keytrail/keytrail/rotate/sshkey"
	"github.com/keytrail/keytrail/rotate/wanted"
)

// Config is everything that the function reads from its environment, checked. ParseConfig makes it.
type Config struct {
	// Users are the accounts that may be managed (USERNAME), in the order given, each once.
	Users []string
	// Boundary is the tag that bounds every host the function may touch (TAGNAME, TAGVALUE).
	Boundary fleet.Tag
	// KeyType and KeyFormat say what createSecret makes; the pair exists.
	KeyType   sshkey.Type
	KeyFormat sshkey.Format
	// Proof is how testSecret proves the pending key.
	Proof Proof
	// MaxOffline is how many hosts may be unreachable without failing a step.
	MaxOffline Limit
	// MissingUser is "fail" or "skip": whether a host may lack some of the users, never all.
	MissingUser MissingUser
	// AllowRoot lets accounts with uid 0 be managed.
	AllowRoot bool
	// Fleet holds the documents, rate control and time-outs of Run Command.
	Fleet fleet.Config
	// Bucket holds the register; empty means that there is none. Retention is that of its objects.
	Bucket    string
	Retention register.Retention
	// Grace is how long AWSPREVIOUS stays trusted after a promotion.
	Grace time.Duration
}

// Proof names a way to prove a key on a host.
type Proof string

const (
	// ProofHost asks the host: the key is in a file that sshd reads, and sshd would honour it.
	ProofHost Proof = "host"
	// ProofSSH logs in over the network with the key, against pinned host keys.
	ProofSSH Proof = "ssh"
)

// MissingUser says what a host that lacks one of the users means.
type MissingUser string

const (
	// MissingUserFail makes such a host fail the step.
	MissingUserFail MissingUser = "fail"
	// MissingUserSkip accepts it as long as the host has at least one of the users.
	MissingUserSkip MissingUser = "skip"
)

// ParseConfig reads the configuration through getenv (os.Getenv in the function). The error joins
// every missing, empty or bad name, so that one look mends them all.
func ParseConfig(getenv func(string) string) (Config, error) {
	e := environ.New(getenv)
	c := Config{
		Users:       users(e, "USERNAME"),
		Boundary:    boundary(e, "TAGNAME", "TAGVALUE"),
		KeyType:     environ.Parse(e, "KEYTRAIL_KEY_TYPE", "ed25519", sshkey.ParseType),
		KeyFormat:   environ.Parse(e, "KEYTRAIL_PRIVATE_KEY_FORMAT", "openssh", sshkey.ParseFormat),
		Proof:       environ.Parse(e, "KEYTRAIL_LOGIN_PROOF", "host", environ.OneOf(ProofHost, ProofSSH)),
		MaxOffline:  environ.Parse(e, "KEYTRAIL_MAX_OFFLINE", "0", ParseLimit),
		MissingUser: environ.Parse(e, "KEYTRAIL_MISSING_USER", "fail", environ.OneOf(MissingUserFail, MissingUserSkip)),
		AllowRoot:   environ.Parse(e, "KEYTRAIL_ALLOW_ROOT", "false", environ.Bool),
		Fleet: fleet.Config{
			Apply:            environ.Parse(e, "KEYTRAIL_APPLY_DOCUMENT", fleet.ShellDocument, fleet.ParseDocumentRef),
			Inspect:          environ.Parse(e, "KEYTRAIL_INSPECT_DOCUMENT", fleet.ShellDocument, fleet.ParseDocumentRef),
			MaxConcurrency:   environ.Parse(e, "KEYTRAIL_MAX_CONCURRENCY", "50", ParseLimit).Of,
			MaxErrors:        environ.Parse(e, "KEYTRAIL_MAX_ERRORS", "100%", ParseLimit).Of,
			DeliveryTimeout:  environ.Parse(e, "KEYTRAIL_DELIVERY_TIMEOUT", "60s", deliveryTimeout),
			ExecutionTimeout: environ.Parse(e, "KEYTRAIL_EXECUTION_TIMEOUT", "60s", executionTimeout),
		},
		Bucket:    environ.Parse(e, "KEYTRAIL_BUCKET", "", bucketName),
		Retention: environ.Parse(e, "KEYTRAIL_RETENTION", "", register.ParseRetention),
		Grace:     environ.Parse(e, "KEYTRAIL_GRACE", "0s", environ.Duration),
	}
	sweep := environ.Parse(e, "KEYTRAIL_SWEEP", "0s", environ.Duration)
	switch {
	case c.Grace > 0 && c.Bucket == "":
		e.Fail("KEYTRAIL_GRACE", errors.New("needs KEYTRAIL_BUCKET: when a key was promoted stands in the register alone"))
	case c.Grace > 0 && sweep == 0:
		e.Fail("KEYTRAIL_GRACE", errors.New("needs KEYTRAIL_SWEEP, how often every secret is reconciled: nothing else would retire the previous key when the grace is over"))
	case c.Retention != (register.Retention{}) && c.Bucket == "":
		e.Fail("KEYTRAIL_RETENTION", errors.New("needs KEYTRAIL_BUCKET"))
	}
	if c.KeyType != "" && c.KeyFormat != "" {
		if err := sshkey.Check(c.KeyType, c.KeyFormat); err != nil {
			e.Fail("KEYTRAIL_PRIVATE_KEY_FORMAT", err)
		}
	}
	if err := e.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func users(e *environ.Reader, name string) []string {
	users, err := wanted.ParseUsers(strings.ReplaceAll(e.Text(name), ",", " "))
	if err != nil {
		e.Fail(name, err)
	}
	return users
}

func boundary(e *environ.Reader, name, value string) fleet.Tag {
	key, val := e.Text(name), e.Text(value)
	if key == "" {
		e.Fail(name, errors.New("is required: the key of the tag that bounds the hosts"))
	}
	if val == "" {
		e.Fail(value, errors.New("is required: an empty value would select hosts by accident"))
	}
	if key == "" || val == "" {
		return fleet.Tag{}
	}
	tag, err := fleet.ParseTag(key, val)
	if err != nil {
		e.Fail(name, err)
	}
	return tag
}

// limits are what the stack allows for any secret.
func (c Config) limits() wanted.Limits { return wanted.Limits{Users: c.Users, Boundary: c.Boundary} }

// Limit is a count or a percentage of hosts. The zero Limit allows none.
type Limit struct {
	n       int
	percent bool
}

// ParseLimit reads "3" or "10%".
func ParseLimit(text string) (Limit, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || (percent && n > 100) {
		return Limit{}, fmt.Errorf("%q is neither a count nor a percentage such as 10%%", text)
	}
	return Limit{n, percent}, nil
}

// Of returns how many of total hosts the limit allows, a percentage rounded down.
func (l Limit) Of(total int) int {
	if l.percent {
		return total * l.n / 100
	}
	return l.n
}

// SSM's own bounds: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html
// An hour is more than any Lambda can wait for.
func deliveryTimeout(text string) (time.Duration, error) {
	return boundedDuration(text, 30*time.Second, time.Hour)
}

func executionTimeout(text string) (time.Duration, error) {
	return boundedDuration(text, 5*time.Second, time.Hour)
}

func boundedDuration(text string, low, high time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < low || d > high || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is not a duration in whole seconds between %s and %s", text, low, high)
	}
	return d, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func bucketName(text string) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-"
	if text != "" && (len(text) < 3 || len(text) > 63 || strings.Trim(text, letters) != "" || strings.Trim(text, ".-") != text) {
		return "", fmt.Errorf("%q is not the name of an S3 bucket", text)
	}
	return text, nil
}
