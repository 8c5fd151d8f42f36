package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// Answer is what one host said, checked against what it was asked. A root user on the host can make
// it say anything; nobody else can.
type Answer struct {
	Users []UserAnswer // as in the order
	// Others are accounts that the order does not name and that hold a key of Retire, or may: their
	// Remaining says so, or is empty where that could not be told. Only an inspection looks for them.
	// Skipped is how many accounts more the host has, at least, and did not look at.
	Others   []UserAnswer
	Skipped  int
	Listen   []string             // where sshd listens, host:port
	HostKeys []sshkey.Fingerprint // of sshd's own keys
}

// SeenKey is one line of a key file that the order's lists do not name, or that has options.
type SeenKey struct {
	Path        string
	Line        int
	Type        string // as ssh-keygen has it: ED25519, RSA
	Fingerprint sshkey.Fingerprint
	// Options are letters: c a forced command, f bound to clients, a a certificate authority, p
	// principals, e expired, o others, x what sshd does not take.
	Options string
	Comment string // as the file has it, cut and with _ for what is not plain
}

// Forged reports whether the line claims to be one of ours.
func (k SeenKey) Forged() bool { return strings.HasPrefix(k.Comment, "keytrail:") }

// UserAnswer is what a host said of one account.
type UserAnswer struct {
	User   string
	Code   Code
	Reason Reason // empty for CodeOK and CodeNoUser
	// Present and Remaining hold one mark for each key of Install and Retire; they are empty where
	// the host did not come to look.
	Present   []Presence
	Remaining []Presence
	Added     int // lines written
	Removed   int // lines removed
	Foreign   int // keys that are in none of the order's lists
	Forged    int // foreign keys with our marker in their comment
	// Ways are other ways into the account: k an AuthorizedKeysCommand, c TrustedUserCAKeys,
	// l a cert-authority line.
	Ways string
	// Keys are those of line 2, and Omitted how many more there are.
	Keys    []SeenKey
	Omitted int
}

// Presence says whether a key stands in a file that sshd reads for the account.
type Presence byte

// The marks of the script.
const (
	Absent     Presence = '-'
	Honoured   Presence = 'y' // there, and sshd takes it from anywhere at any time
	NotAllowed Presence = 'n' // there, but sshd would not take it
	Unread     Presence = '?' // not seen, but one of the files could not be read
)

// Code is the script's word on one account.
type Code string

// The codes of an account.
const (
	CodeOK           Code = "ok"           // looked at, and changed where that was asked
	CodeNoUser       Code = "nouser"       // no such account
	CodeRefused      Code = "refused"      // sshd would not take the key, or the file may not be touched
	CodeFailed       Code = "failed"       // a change could not be made
	CodeUnverifiable Code = "unverifiable" // it cannot be told
)

// Reason is the script's word on why.
type Reason string

// reasons says each word of the script for people.
var reasons = map[Reason]string{
	"root":       "the account has uid 0: set KEYTRAIL_ALLOW_ROOT to manage it",
	"nofile":     "sshd reads no key file for the account: AuthorizedKeysFile is none",
	"pubkey":     "sshd does not allow public keys: PubkeyAuthentication is no",
	"methods":    "a public key alone is not enough: AuthenticationMethods",
	"rootlogin":  "sshd does not let root in: PermitRootLogin",
	"users":      "sshd does not let the account in: AllowUsers or DenyUsers",
	"groups":     "sshd does not let the account in: AllowGroups or DenyGroups",
	"expired":    "the account has expired",
	"locked":     "the account is locked",
	"shell":      "the account's shell does not exist",
	"algorithm":  "sshd does not accept the key's type: PubkeyAcceptedAlgorithms",
	"rsasize":    "the key is shorter than RequiredRSASize",
	"revoked":    "the key is in RevokedKeys, or that file cannot be read",
	"line":       "the key's line has options under which sshd does not take it",
	"home":       "the account's home directory does not exist",
	"modes":      "the key file or a directory above it has the wrong owner or mode: StrictModes",
	"mixed":      "the key file is neither the account's nor root's alone",
	"type":       "the key file is not a regular file",
	"unreadable": "the account cannot read its key file",
	"size":       "the key file is larger than 1 MiB",
	"nul":        "the key file holds NUL bytes",
	"write":      "the key file could not be written: is the disk full or read-only",
	"lock":       "another run holds the lock on the key file's directory",
	"race":       "the key file kept changing",
	"last":       "it is the only key that opens the account",
	"passwd":     "the account's passwd entry cannot be used",
	"sshd":       "sshd does not tell its settings: run sshd -T as root on the host",
	"path":       "the path of the key file cannot be followed",
	"worker":     "the program that reads the key file did not end well",
}

// refusals are the script's reasons for not following an order at all.
var refusals = map[string]string{
	"busy":       "another order of this secret is running on the host",
	"expired":    "the order arrived after its time",
	"superseded": "the host has followed a newer order of this secret",
	"state":      "the state below root's home cannot be kept: is the disk full or read-only",
}

// What can be wrong with an answer.
var (
	ErrGarbage = errors.New("the host did not answer in the script's words")
	ErrCut     = errors.New("the host's answer was cut")
	ErrOther   = errors.New("the answer belongs to another host or command")
	ErrDetail  = errors.New("the summary leaves the accounts out")
)

// Decode reads the standard output of the script on one host. Line 1 is the summary; where it leaves
// the accounts out, line 2 has them, and ErrDetail says that stdout does not hold the whole of it.
// Nothing is trusted: what does not fit the order is an error.
func Decode(stdout string, o Order, host string) (Answer, error) {
	var s summary
	var d detail
	whole, err := decodeLines(stdout, o.Nonce, o.Action, host, &s, &d)
	if err != nil {
		return Answer{}, err
	}
	if o.Detail && s.Detail && !whole {
		return Answer{}, ErrDetail
	}
	a, err := s.answer(o)
	if err != nil {
		return Answer{}, err
	}
	if whole && s.Detail {
		d.keys(&a)
	}
	return a, nil
}

// decodeLines reads both lines of an answer to the order with a nonce, any order's where that is "", and reports
// whether line 2 is whole. A summary that leaves the accounts out gets them from there.
func decodeLines(stdout, nonce string, action Action, host string, s *summary, d *detail) (whole bool, err error) {
	first, rest, _ := strings.Cut(stdout, "\n")
	if err := decodeLine(first, s); err != nil {
		return false, err
	}
	if nonce == "" {
		nonce = s.Nonce
	}
	if s.Nonce != nonce || s.Host != host || s.Action != string(action) {
		return false, ErrOther
	}
	if s.End != s.Nonce || s.Keytrail != 1 {
		return false, ErrGarbage
	}
	if s.Code != "ok" {
		why, known := refusals[s.Code]
		if !known {
			return false, ErrGarbage
		}
		return false, fmt.Errorf("the host refused the order: %s", why)
	}
	second, _, _ := strings.Cut(rest, "\n")
	whole = decodeLine(second, d) == nil && d.Nonce == nonce && d.End == nonce
	if s.More && !whole {
		return false, ErrDetail
	}
	if s.More {
		s.Users, s.Others, s.Skipped = d.Users, d.Others, d.Skipped
	}
	return whole, nil
}

// usersOf reads what a host said of its accounts in answer to an apply order that is not known.
func usersOf(stdout, host string) ([]UserAnswer, error) {
	var s summary
	if _, err := decodeLines(stdout, "", Apply, host, &s, &detail{}); err != nil {
		return nil, err
	}
	var out []UserAnswer
	for _, line := range s.Users {
		u, ok := line.answer(Order{Install: make([]sshkey.PublicKey, len(line.Present)), Retire: make([]sshkey.Fingerprint, len(line.Remaining))})
		if !ok || CheckUser(u.User) != nil {
			return nil, ErrGarbage
		}
		out = append(out, u)
	}
	return out, nil
}

// summary is line 1.
type summary struct {
	Keytrail            int
	Nonce, Host, Action string
	Code                string
	Listen, HostKeys    []string
	Users, Others       []userLine
	Skipped             int
	More, Detail        bool
	End                 string
}

// detail is line 2.
type detail struct {
	Nonce         string
	Users, Others []userLine
	Skipped       int
	Files         []struct {
		User  string
		Files []struct{ Path string }
		Keys  []struct {
			File, Line       int
			Type, Print      string
			Options, Comment string
		}
		Omitted int
	}
	End string
}

// keys gives the users of an answer their keys. What has not the form of the script's own words is
// counted as omitted: whoever wrote the file may have made the script say it.
func (d detail) keys(a *Answer) {
	for i := range a.Users {
		u := &a.Users[i]
		for _, f := range d.Files {
			if f.User != u.User {
				continue
			}
			u.Omitted += max(0, f.Omitted)
			for _, k := range f.Keys {
				fp, err := sshkey.ParseFingerprint("SHA256:" + k.Print)
				if err != nil || k.File < 1 || k.File > len(f.Files) || !plain(k.Type+k.Options+k.Comment+f.Files[k.File-1].Path) {
					u.Omitted++
					continue
				}
				u.Keys = append(u.Keys, SeenKey{f.Files[k.File-1].Path, k.Line, k.Type, fp, k.Options, k.Comment})
			}
		}
	}
}

// plain reports whether a text has only the characters that the script lets through.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._@+,:=~%-", r)
	})
}

type userLine struct {
	User, Code, Reason              string
	Present, Remaining              string
	Added, Removed, Foreign, Forged int
	Ways                            string
}

func decodeLine(line string, into any) error {
	switch err := json.Unmarshal([]byte(line), into); {
	case !strings.HasPrefix(line, "{"):
		return ErrGarbage
	case err != nil && !strings.HasSuffix(strings.TrimSpace(line), "}"):
		return ErrCut
	case err != nil:
		return ErrGarbage
	}
	return nil
}

var socket = lazily(`^[][0-9A-Za-z.:%]{1,64}$`)

func (s summary) answer(o Order) (Answer, error) {
	if len(s.Users) != len(o.Users) {
		return Answer{}, ErrGarbage
	}
	var a Answer
	for i, line := range s.Users {
		u, ok := line.answer(o)
		if !ok || u.User != o.Users[i] {
			return Answer{}, ErrGarbage
		}
		a.Users = append(a.Users, u)
	}
	var ok bool
	if a.Others, ok = s.others(o); !ok {
		return Answer{}, ErrGarbage
	}
	a.Skipped = s.Skipped
	for _, l := range s.Listen {
		if socket().MatchString(l) {
			a.Listen = append(a.Listen, l)
		}
	}
	for _, k := range s.HostKeys {
		if fp, err := sshkey.ParseFingerprint("SHA256:" + k); err == nil {
			a.HostKeys = append(a.HostKeys, fp)
		}
	}
	return a, nil
}

// others checks what the host said of accounts that the order does not name.
func (s summary) others(o Order) ([]UserAnswer, bool) {
	if len(s.Others) == 0 && s.Skipped == 0 {
		return nil, true
	}
	if o.Action != Inspect || len(o.Retire) == 0 || s.Skipped < 0 {
		return nil, false
	}
	met := slices.Clone(o.Users)
	var out []UserAnswer
	for _, line := range s.Others {
		u, ok := line.answer(o)
		if !ok || CheckUser(u.User) != nil || slices.Contains(met, u.User) {
			return nil, false
		}
		if u.Code != CodeUnverifiable && !slices.ContainsFunc(u.Remaining, func(p Presence) bool { return p != Absent }) {
			return nil, false
		}
		met = append(met, u.User)
		out = append(out, u)
	}
	return out, true
}

func (l userLine) answer(o Order) (UserAnswer, bool) {
	u := UserAnswer{
		User: l.User, Code: Code(l.Code), Reason: Reason(l.Reason),
		Added: l.Added, Removed: l.Removed, Foreign: l.Foreign, Forged: l.Forged, Ways: l.Ways,
	}
	_, known := reasons[u.Reason]
	looked := l.Present != "" || l.Remaining != ""
	switch u.Code {
	case CodeOK:
		looked, known = true, l.Reason == ""
	case CodeNoUser:
		known = !looked && l.Reason == ""
	case CodeRefused, CodeFailed, CodeUnverifiable:
	default:
		known = false
	}
	if !known || strings.Trim(l.Ways, "kcl") != "" || min(l.Added, l.Removed, l.Foreign, l.Forged) < 0 {
		return u, false
	}
	if looked {
		var ok1, ok2 bool
		u.Present, ok1 = presences(l.Present, len(o.Install), "yn-")
		u.Remaining, ok2 = presences(l.Remaining, len(o.Retire), "y?-")
		return u, ok1 && ok2
	}
	return u, true
}

func presences(text string, n int, marks string) ([]Presence, bool) {
	return []Presence(text), len(text) == n && strings.Trim(text, marks) == ""
}
