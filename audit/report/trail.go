package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/audit/line"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// window is how long Secrets Manager may take to start a rotation that is due, and stuck how long a version may
// have AWSPENDING: after a day its key counts as abandoned.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
const (
	window = 24 * time.Hour
	stuck  = 24 * time.Hour
)

// trail reads one chain, record by record.
type trail struct {
	o      *Options
	secret evidence.Secret
	ledger
	sorted []*standing
	out    Secret

	hosts, settings, rotations group
	view                       *view
	seen                       []evidence.Host // what the view is of
	until                      time.Time       // when an exception expires that the view counts with
	inside                     bool            // the view was counted in the period

	records      int               // of the period
	first, last  entry             // of them
	firstLook    entry             // the first verification of the period
	verified     int               // verifications of the period
	known        map[string]*sight // hosts of the period, by id
	clean        []entry           // verifications
	ended        []entry           // rotations, all
	pending      string
	pendingSince time.Time
	unwatched    bool // a record says that reads are not watched
	unlisted     int
	skipped      int
	alerts       map[string]*AlertCount
	untimed      string // why the age of the key is not testable
	untyped      bool
	lastLook     entry // the last verification of the period
}

func newTrail(o *Options, secret evidence.Secret) *trail {
	open := func() group { return group{open: map[key]*standing{}} }
	return &trail{
		o: o, secret: secret, ledger: ledger{map[key]*standing{}}, hosts: open(), settings: open(), rotations: open(),
		known: map[string]*sight{}, alerts: map[string]*AlertCount{},
		out: Secret{Name: line.Plain(secret.Name, maxName), ARN: line.Plain(secret.ARN, 2*maxName), Rotations: []Rotation{}, Days: []Day{},
			States: []StateCount{}, Hosts: []HostState{}, Alerts: []AlertCount{}},
	}
}

// sight is what is known of a host in the period.
type sight struct {
	definite    bool
	first, last entry
}

// read takes the records up to the end of the period.
func (t *trail) read(entries []entry) {
	for _, e := range entries {
		if !e.At.Before(t.o.To) {
			continue
		}
		in := !e.At.Before(t.o.From)
		if in {
			t.records++
			t.unwatched = t.unwatched || !e.Stack.Readers
			if t.first.empty() {
				t.first = e
			}
			t.last = e
		}
		switch {
		case e.Verification != nil:
			t.verification(e, in)
		case e.Rotation != nil:
			t.rotation(e, in)
		case e.Alert != nil:
			t.alert(e, in)
		case e.Reconcile != nil && in:
			if e.Reconcile.Error != "" {
				t.out.Repairs.Failed++
			} else if len(e.Reconcile.Hosts) > 0 {
				t.out.Repairs.Succeeded++
			}
		}
	}
	for _, g := range []*group{&t.hosts, &t.settings, &t.rotations} {
		g.end()
	}
	t.neverSeen()
	t.inTime()
	t.close()
}

func (t *trail) verification(e entry, in bool) {
	v := e.Verification
	expired := !t.until.IsZero() && !e.At.Before(t.until)
	if t.view == nil || expired || !sameHosts(t.seen, v.Hosts) {
		t.leave()
		t.view, t.seen, t.until, t.inside = look(v.Hosts, t.o.Exceptions, e.At), v.Hosts, nextExpiry(t.o.Exceptions, e.At), false
		t.update(&t.hosts, e, t.view.issues, t.view.blind)
	} else {
		t.hosts.last = e
	}
	t.update(&t.settings, e, t.rules(e), nil)
	if v.Clean {
		t.clean = append(t.clean, e)
	}
	if !in {
		return
	}
	if !t.inside {
		t.inside = true
		for host, definite := range t.view.known {
			if t.known[host] == nil {
				t.known[host] = &sight{first: e}
			}
			t.known[host].definite = t.known[host].definite || definite
		}
		t.unlisted, t.skipped = max(t.unlisted, t.view.unlisted), max(t.skipped, t.view.skipped)
	}
	t.verified++
	t.out.Verifications++
	if v.Clean {
		t.out.Clean++
	}
	t.day(e)
	t.out.Last = &Last{At: e.At.UTC(), Clean: v.Clean, Expected: v.Coverage.Expected, Seen: v.Coverage.Seen, Gone: v.Gone}
	if v.Held != nil {
		held := line.Plain(*v.Held, maxText)
		t.out.Last.Held = &held
	}
	if t.firstLook.empty() {
		t.firstLook = e
	}
	t.lastLook = e
}

// leave notes until when the hosts of a view were expected.
func (t *trail) leave() {
	if t.inside {
		for host := range t.view.known {
			t.known[host].last = t.hosts.last
		}
	}
}

// neverSeen makes a finding of each host that was expected and never gave a definite answer.
func (t *trail) neverSeen() {
	t.leave()
	for host, s := range t.known {
		if !s.definite {
			host = line.Plain(host, maxName)
			f := t.standing(s.first, issue{control: verifiable, scope: host, title: "A host could never be verified in the period", severity: Medium, places: []string{host}})
			f.status, f.times, f.last = Open, 1, s.last
		}
	}
}

// day counts a verification.
func (t *trail) day(e entry) {
	name := e.At.UTC().Format(time.DateOnly)
	n := len(t.out.Days)
	if n == 0 || t.out.Days[n-1].Day != name {
		t.out.Days = append(t.out.Days, Day{Day: name})
		n++
	}
	d := &t.out.Days[n-1]
	d.Verifications++
	if e.Verification.Clean {
		d.Clean++
	}
	if t.view.drift {
		d.Drift++
	}
}

// rules finds what Secrets Manager's own word says is wrong.
func (t *trail) rules(e entry) []issue {
	v, s := e.Verification, e.Verification.Settings
	var out []issue
	add := func(control int, scope, title, detail string, severity Severity) {
		out = append(out, issue{control: control, scope: scope, title: title, detail: detail, severity: severity})
	}
	if v.Gone {
		return nil
	}
	switch {
	case !s.Rotates:
		add(rotationOn, "", "Rotation is off", "", High)
	case !s.Ours:
		add(rotationOn, "", "Another function rotates the secret", line.Plain(s.Function, 2*maxName), High)
	}
	if v.Coverage.Expected == 0 {
		add(currentKey, "no hosts", "The secret has no hosts", "nothing has the tags that the secret is for", High)
	}
	if v.Unregistered {
		add(onlyRotation, "unregistered "+line.Plain(v.Version, maxName), "The value was put by hand", "nobody adopted version "+line.Plain(v.Version, maxName), High)
	}
	if s.KMSKey == "" || strings.HasSuffix(s.KMSKey, "alias/aws/secretsmanager") {
		add(ownKMSKey, "", "The account's default key encrypts the secret", "", Medium)
	}
	out = append(out, t.stuck(e)...)
	return append(out, t.liveKey(e)...)
}

func (t *trail) stuck(e entry) []issue {
	v := e.Verification
	if v.Settings.Pending != t.pending {
		t.pending, t.pendingSince = v.Settings.Pending, e.At
		for _, k := range v.Keys {
			if k.Version == t.pending && !k.Created.IsZero() && k.Created.Before(e.At) {
				t.pendingSince = k.Created
			}
		}
	}
	if t.pending == "" || e.At.Sub(t.pendingSince) <= stuck {
		return nil
	}
	version := line.Plain(t.pending, maxName)
	return []issue{{control: noneStuck, scope: version, title: "A rotation is stuck", severity: High,
		detail: "version " + version + " has had AWSPENDING since " + minute(t.pendingSince) + " UTC, or before"}}
}

// liveKey judges age, type and size.
func (t *trail) liveKey(e entry) []issue {
	v := e.Verification
	k := Key{Fingerprint: line.Plain(v.Fingerprint, maxName), Version: line.Plain(v.Version, maxName), Created: v.Settings.Rotated.UTC()}
	for _, known := range v.Keys {
		if known.Fingerprint == v.Fingerprint && known.Version == v.Version {
			k.Type, k.Bits = line.Plain(known.Type, maxName), known.Bits
			if !known.Created.IsZero() {
				k.Created = known.Created.UTC()
			}
		}
	}
	limit, from := t.o.limit(v.Settings)
	k.Limit, k.LimitSeconds = from, int64(limit/time.Second)
	var out []issue
	t.untimed = ""
	switch age := e.At.Sub(k.Created); {
	case v.Version == "":
		t.untimed = "no version is current"
	case k.Created.IsZero():
		t.untimed = "nobody knows when the key was made"
	case limit > 0 && age > limit:
		out = append(out, issue{control: keyAge, scope: k.Version, title: "The key is older than its limit", severity: High,
			detail: fmt.Sprintf("made %s UTC; the limit is %s", minute(k.Created), span(limit))})
	case limit == 0 && v.Settings.Next.IsZero():
		t.untimed = "no maximum age was given, and the secret has no rule that says one"
	case limit == 0 && e.At.After(v.Settings.Next.Add(window)):
		out = append(out, issue{control: keyAge, scope: k.Version, title: "The rotation is overdue", severity: High,
			detail: "it was due " + minute(v.Settings.Next) + " UTC"})
	}
	if !k.Created.IsZero() {
		k.AgeSeconds = int64(e.At.Sub(k.Created) / time.Second)
	}
	t.untyped = k.Type == "" || k.Type == "ssh-rsa" && k.Bits == 0
	if weak := weakness(k.Type, k.Bits); weak != "" {
		out = append(out, issue{control: keyType, scope: k.Fingerprint, title: "The key is weak", detail: weak, severity: High})
	}
	if v.Version != "" {
		t.out.Key = &k
	}
	return out
}

// weakness says what is wrong with a type and size, as far as they are known.
func weakness(kind string, bits int) string {
	const leastRSA, leastECDSA = 2048, 256 // 112 and 128 bits of strength, NIST SP 800-57 part 1
	switch {
	case kind == "", kind == "ssh-ed25519", kind == "ssh-rsa" && bits == 0:
		return ""
	case kind == "ssh-rsa" && bits >= leastRSA, strings.HasPrefix(kind, "ecdsa-sha2-") && (bits == 0 || bits >= leastECDSA):
		return ""
	case bits == 0:
		return kind
	}
	return fmt.Sprintf("%s of %s bits", kind, number(bits))
}

// limit is the maximum age of a key: the one asked for, or what the secret's rule says, and a window.
func (o *Options) limit(s evidence.Settings) (limit time.Duration, from string) {
	rule := time.Duration(s.Days) * 24 * time.Hour
	var n time.Duration
	var unit string
	if _, err := fmt.Sscanf(s.Schedule, "rate(%d %s", &n, &unit); err == nil {
		switch strings.TrimSuffix(strings.TrimSuffix(unit, ")"), "s") {
		case "day":
			rule = n * 24 * time.Hour
		case "hour":
			rule = n * time.Hour
		}
	}
	switch {
	case o.MaxAge > 0:
		return o.MaxAge, "asked for"
	case rule > 0:
		return rule + window, "the secret's rule and its window"
	case s.Schedule != "":
		return 0, line.Plain(s.Schedule, maxName)
	}
	return 0, ""
}

func (t *trail) rotation(e entry, in bool) {
	r := e.Rotation
	var issues []issue
	switch r.Outcome {
	case evidence.Succeeded:
	case evidence.Unheard:
		t.occurred(e, issue{control: alertPath, scope: "unheard " + line.Plain(r.Version, maxName), title: "No event told of a rotation", severity: Medium,
			detail: "hosts and labels show that version " + line.Plain(r.Version, maxName) + " was rolled out"})
	default:
		what := "failed"
		if r.Outcome == evidence.Abandoned {
			what = "was abandoned"
		}
		step := line.Plain(r.Step, maxName)
		if step != "" {
			step = "in " + step
		}
		issues = []issue{{control: lastRotation, title: "The last rotation " + what, severity: High, detail: joined(": ", step, line.Plain(r.Failure, maxText))}}
	}
	t.update(&t.rotations, e, issues, nil)
	t.ended = append(t.ended, e)
	if in {
		t.out.Rotations = append(t.out.Rotations, Rotation{
			At: e.At.UTC(), Started: r.Started.UTC(), Outcome: line.Plain(string(r.Outcome), maxName), Version: line.Plain(r.Version, maxName),
			Step: line.Plain(r.Step, maxName), Failure: line.Plain(r.Failure, maxText), Evidence: e.cite(),
		})
	}
}

// told are the alerts that break a control by themselves.
var told = map[string]struct {
	control  int
	severity Severity
	title    string
}{
	"value-changed":    {onlyRotation, High, "Somebody changed the value or a label"},
	"function-changed": {onlyRotation, High, "Somebody set another rotation function"},
	"policy-changed":   {onlyRotation, High, "Somebody changed the resource policy"},
	"secret-deleted":   {onlyRotation, Critical, "Somebody deleted the secret"},
	"private-key-read": {readers, Critical, "Somebody who is not allowed to read the private key did"},
	"event-missed":     {alertPath, Medium, "No event told of a rotation"},
}

func (t *trail) alert(e entry, in bool) {
	a := e.Alert
	name := line.Plain(a.Condition, maxName)
	if in {
		c := t.alerts[name]
		if c == nil {
			c = &AlertCount{Condition: name}
			t.alerts[name] = c
		}
		switch a.Status {
		case "opened":
			c.Opened++
		case "resolved":
			c.Resolved++
		}
	}
	if what, ok := told[a.Condition]; ok && a.Status != "resolved" {
		t.occurred(e, issue{control: what.control, scope: line.Plain(a.ID, maxName), title: what.title, severity: what.severity,
			detail: joined("; ", line.Plain(a.Who, 2*maxName), line.Plain(a.Reason, maxText))})
	}
}

// inTime looks for the verification of each rotation.
func (t *trail) inTime() {
	shown := 0
	for _, e := range t.ended {
		in := !e.At.Before(t.o.From)
		var row *Rotation
		if in {
			row = &t.out.Rotations[shown]
			shown++
		}
		if o := e.Rotation.Outcome; !in || o != evidence.Succeeded && o != evidence.Unheard {
			continue
		}
		i := slices.IndexFunc(t.clean, func(c entry) bool {
			return !c.At.Before(e.At) && (e.Rotation.Version == "" || c.Verification.Version == e.Rotation.Version)
		})
		if i >= 0 {
			row.Verified = t.clean[i].At.UTC()
		}
		deadline := e.At.Add(t.o.Within)
		version := line.Plain(e.Rotation.Version, maxName)
		switch {
		case i >= 0 && !t.clean[i].At.After(deadline):
		case i >= 0:
			t.occurred(e, issue{control: verifiedAfter, scope: version, title: "A rotation was verified late", severity: Medium,
				detail: fmt.Sprintf("after %s; the limit is %s", span(t.clean[i].At.Sub(e.At)), span(t.o.Within))})
		case deadline.Before(t.o.end()):
			t.occurred(e, issue{control: verifiedAfter, scope: version, title: "A rotation was never verified", severity: High,
				detail: "no verification since has found every account as it should be"})
		}
	}
}

// close writes what is known when all is read.
func (t *trail) close() {
	for _, c := range t.alerts {
		t.out.Alerts = append(t.out.Alerts, *c)
	}
	slices.SortFunc(t.out.Alerts, func(a, b AlertCount) int { return strings.Compare(a.Condition, b.Condition) })
	if t.lastLook.empty() {
		t.out.Key = nil
		return
	}
	t.out.Last.Evidence = t.lastLook.cite()
	t.out.Hosts = accounts(t.lastLook.Verification)
	for state, n := range t.view.states {
		t.out.States = append(t.out.States, StateCount{line.Plain(state, maxName), n})
	}
	slices.SortFunc(t.out.States, func(a, b StateCount) int {
		return cmp.Or(cmp.Compare(stateRank(a.State), stateRank(b.State)), strings.Compare(a.State, b.State))
	})
}

// states in the order of a chart: what is well, what is wrong, what is not known.
var stateOrder = [...]string{"ok", "missing", "stale", "refused", "nouser", "forged", "unverifiable", "unreachable", "stopped", "unmanaged", "unsupported"}

func stateRank(state string) int {
	if i := slices.Index(stateOrder[:], state); i >= 0 {
		return i
	}
	return len(stateOrder)
}
