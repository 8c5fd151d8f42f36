package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// Action is what hosts are asked to do.
type Action string

const (
	// Apply brings the key files to the wanted state.
	Apply Action = "apply"
	// Inspect only looks, and takes neither lock nor state. For keys of Retire it looks into every account.
	Inspect Action = "inspect"
)

// Order is what a host is asked: the whole wanted state of some users for one secret.
type Order struct {
	Action Action
	// Nonce names this very order; the answer repeats it.
	Nonce string
	// Scope names the secret on the host, see [Scope].
	Scope string
	Users []string
	// Install are the keys that each user must have. A host drops retired keys of a user only after it
	// saw that sshd takes all of these. An order without any is for users who no longer belong to the
	// secret: a host drops their retired keys only while another key stays that sshd takes and that is
	// bound to no command, be it foreign or known. The last key that opens an account is never dropped.
	Install []sshkey.PublicKey
	// Retire are the keys that no user may have, Known others that are ours and allowed. Every
	// further key is reported as foreign and left alone.
	Retire, Known []sshkey.Fingerprint
	// AllowRoot lets users with uid 0 be managed.
	AllowRoot bool
	// Detail asks for the keys that are foreign or have options, which is one call more for each host
	// that has any.
	Detail bool
	// Generation grows with each apply of a scope, in milliseconds since 1970. A host refuses an apply
	// that is older than the last one it followed. Where it is 0, [Fleet.Run] takes the time.
	Generation int64
	// Expires is when a host no longer follows an apply that reaches it late.
	Expires time.Time
}

// Scope returns the name of a secret on hosts: short, always of the same form, and telling nothing.
func Scope(secretARN string) string {
	sum := sha256.Sum256([]byte(secretARN))
	return hex.EncodeToString(sum[:16])
}

const userPattern = `[A-Za-z_][A-Za-z0-9_.-]{0,31}`

var userName = regexp.MustCompile(`^` + userPattern + `$`)

// CheckUser refuses what cannot be the name of an account on Linux, numbers above all: getent would
// take them for a uid.
func CheckUser(name string) error {
	if !userName.MatchString(name) {
		return fmt.Errorf("%q is not a user name: a letter or _, then letters, digits and _ . -, at most 32", name)
	}
	return nil
}

// Lists in parameters.
const (
	nothing        = "-" // an empty list: Systems Manager has no empty parameter
	maxUsers       = 32
	maxFingerprint = 128 // in one command: Secrets Manager keeps about 100 versions of a secret
)

// parameter is one value of an order on its way to a host. The pattern stands in the documents, is
// checked before anything is sent, and leaves no character that means something to a shell.
type parameter struct {
	name, about, pattern string
	maxChars             int
	value                func(Order) string
}

const (
	keyPattern   = `[a-z0-9-]{7,32} [A-Za-z0-9+/=]+ [A-Za-z0-9/_+=.@:-]+`
	printPattern = `[A-Za-z0-9+/]{43}`
)

var parameters = []parameter{
	{"Nonce", "Names this order; the answer repeats it.",
		`[A-Za-z0-9-]{8,64}`, 64,
		func(o Order) string { return o.Nonce }},
	{"Scope", "Names the secret on the host.",
		`[0-9a-f]{32}`, 32,
		func(o Order) string { return o.Scope }},
	{"Users", "Accounts, separated by spaces.",
		list(userPattern, " "), maxUsers * 33,
		func(o Order) string { return strings.Join(o.Users, " ") }},
	{"Install", "Public keys that each of the users must have, separated by commas, or -.",
		`(-|` + list(keyPattern, ",") + `)`, 6000,
		func(o Order) string {
			lines := make([]string, len(o.Install))
			for i, k := range o.Install {
				lines[i] = k.String()
			}
			return joined(lines, ",")
		}},
	{"Retire", "SHA256 fingerprints of keys that no user may have, or -.",
		`(-|` + list(printPattern, " ") + `)`, maxFingerprint * 44,
		func(o Order) string { return joined(short(o.Retire), " ") }},
	{"Known", "SHA256 fingerprints of keys that are allowed and not reported, or -.",
		`(-|` + list(printPattern, " ") + `)`, maxFingerprint * 44,
		func(o Order) string { return joined(short(o.Known), " ") }},
	{"AllowRoot", "Whether accounts with uid 0 may be managed.",
		`(yes|no)`, 3,
		func(o Order) string {
			if o.AllowRoot {
				return "yes"
			}
			return "no"
		}},
	{"Generation", "Grows with each order: a host refuses to apply an older one.",
		`[1-9][0-9]{0,14}`, 15,
		func(o Order) string { return strconv.FormatInt(o.Generation, 10) }},
	{"Expires", "When hosts no longer apply this order, in seconds since 1970.",
		`[1-9][0-9]{0,11}`, 12,
		func(o Order) string { return strconv.FormatInt(o.Expires.Unix(), 10) }},
}

// patterns are those of parameters, anchored and compiled, when they are first needed: compiling them
// takes longer than the rest of the function's start.
var patterns = sync.OnceValue(func() []*regexp.Regexp {
	out := make([]*regexp.Regexp, len(parameters))
	for i, p := range parameters {
		out[i] = regexp.MustCompile(p.anchored())
	}
	return out
})

func (p parameter) anchored() string { return "^" + p.pattern + "$" }

// list is the pattern of one or more items; maxChars bounds their number, since Go's regular
// expressions, which the agent uses as well, count to no more than 1,000.
func list(item, separator string) string {
	return item + `(` + separator + item + `)*`
}

func joined(items []string, separator string) string {
	if len(items) == 0 {
		return nothing
	}
	return strings.Join(items, separator)
}

func short(prints []sshkey.Fingerprint) []string {
	out := make([]string, len(prints))
	for i, p := range prints {
		out[i] = p.Short()
	}
	return out
}

// values checks the order and returns its parameters in the order of the table. Every fault is
// named; none of them can reach a host.
func (o Order) values() ([]string, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.Action != Apply && o.Action != Inspect {
		fault("action %q is neither %s nor %s", o.Action, Apply, Inspect)
	}
	seen := map[string]string{}
	once := func(kind, name string) {
		if was, ok := seen[name]; ok {
			fault("%s %s is among those to %s already", kind, name, was)
		}
		seen[name] = kind
	}
	for _, u := range o.Users {
		once("user", u)
	}
	for _, k := range o.Install {
		once("install", string(k.Fingerprint()))
	}
	for _, f := range o.Retire {
		once("retire", string(f))
	}
	out := make([]string, len(parameters))
	for i, p := range parameters {
		out[i] = p.value(o)
		if len(out[i]) > p.maxChars || !patterns()[i].MatchString(out[i]) {
			fault("parameter %s cannot be sent: %.80q", p.name, out[i])
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("order: %w", errors.Join(faults...))
	}
	return out, nil
}

// Parameters returns the order for our own documents, which know their action. It fails where a
// value could not be passed on as a plain word.
func (o Order) Parameters() (map[string][]string, error) {
	values, err := o.values()
	if err != nil {
		return nil, err
	}
	out := make(map[string][]string, len(values)+1)
	for i, p := range parameters {
		out[p.name] = []string{values[i]}
	}
	return out, nil
}

// Commands returns the order as the commands of AWS-RunShellScript: one assignment for each
// parameter, and the script. It fails where Parameters does.
func (o Order) Commands() ([]string, error) {
	values, err := o.values()
	if err != nil {
		return nil, err
	}
	out := []string{"SSM_Action='" + string(o.Action) + "'"}
	for i, p := range parameters {
		out = append(out, "SSM_"+p.name+"='"+values[i]+"'")
	}
	return append(out, script), nil
}
