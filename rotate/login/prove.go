package login

import (
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

// A Target is one user on one host.
type Target struct {
	Host      string   // names the host in results: "i-0123456789abcdef0"
	Addresses []string // host:port, tried in order: "10.0.0.7:22", "[2001:db8::7]:22"
	User      string
	HostKeys  []sshkey.Fingerprint // the pinned host keys: any of them proves the host
}

// A Result is what became of one target's login.
type Result struct {
	Target Target
	// Err is nil if the server accepted the key. Otherwise it is one of
	// ErrRefused, ErrHostKey, ErrUnreachable and ErrOpen to errors.Is, and
	// its text is fit for a log whatever the server said.
	Err error
}

// Limits bound the logins. A limit that is not positive has its default.
type Limits struct {
	Parallel  int           // hosts at a time
	Dial      time.Duration // for one connection to be made
	Handshake time.Duration // from then until authentication is answered
}

const (
	// DefaultParallel keeps a thousand hosts within seconds and the memory of
	// a small Lambda function: a login takes less than 100 KB while it runs.
	DefaultParallel = 64
	// DefaultDial leaves room for two lost SYN packets, which are repeated
	// after 1 s and 3 s.
	DefaultDial = 5 * time.Second
	// DefaultHandshake covers a loaded host that looks the client's name up
	// first (UseDNS): a resolver gives up after 10 s.
	DefaultHandshake = 15 * time.Second
)

func (l Limits) orDefaults() Limits {
	if l.Parallel <= 0 {
		l.Parallel = DefaultParallel
	}
	if l.Dial <= 0 {
		l.Dial = DefaultDial
	}
	if l.Handshake <= 0 {
		l.Handshake = DefaultHandshake
	}
	return l
}

// Prove logs in with key to every target and returns one result for each, in
// their order. It returns early when ctx ends; what was not answered by then
// is ErrUnreachable.
//
// Hosts are asked in parallel, the users of one host one after the other:
// sshd drops connections at random when ten are not yet authenticated
// (MaxStartups), and from OpenSSH 9.8 on all those of a source that failed
// often (PerSourcePenalties). For the same reason no login is repeated, and an
// address that failed to prove itself the host is not tried for its other
// users.
func Prove(ctx context.Context, key *sshkey.PrivateKey, targets []Target, limits Limits) []Result {
	limits = limits.orDefaults()
	results := make([]Result, len(targets))
	var g errgroup.Group
	g.SetLimit(limits.Parallel)
	for _, users := range byHost(targets) {
		g.Go(func() error {
			h := newHost(targets[users[0]], limits)
			for _, i := range users {
				results[i] = Result{Target: targets[i], Err: h.login(ctx, key, targets[i].User)}
			}
			return nil
		})
	}
	_ = g.Wait() // failures are results
	return results
}

// byHost groups the indices of targets that differ in their users only.
func byHost(targets []Target) [][]int {
	type identity struct{ host, addresses, keys string }
	var groups [][]int
	at := make(map[identity]int, len(targets))
	for i, t := range targets {
		keys := make([]string, len(t.HostKeys))
		for j, k := range t.HostKeys {
			keys[j] = string(k)
		}
		slices.Sort(keys)
		id := identity{t.Host, strings.Join(t.Addresses, "\n"), strings.Join(keys, "\n")}
		g, ok := at[id]
		if !ok {
			g = len(groups)
			at[id] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}
