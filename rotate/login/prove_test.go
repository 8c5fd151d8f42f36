package login_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/login"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// wantReason checks that err is this reason, none of the others, and one
// printable line with these words in it.
func wantReason(t *testing.T, err, reason error, words ...string) {
	t.Helper()
	if reason == nil {
		if err != nil {
			t.Fatalf("err = %v, want the proof", err)
		}
		return
	}
	for _, r := range reasons {
		if errors.Is(err, r) != (r == reason) {
			t.Fatalf("err = %v, want %v and nothing else", err, reason)
		}
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("err = %q, want %q in it", err, w)
		}
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x9b }) {
		t.Errorf("err = %q has control characters", err)
	}
}

func TestAnAcceptedKeyIsProved(t *testing.T) {
	t.Parallel()
	hostKey := newKey(t, sshkey.Ed25519)
	for _, typ := range sshkey.Types() {
		if typ == sshkey.RSA3072 || typ == sshkey.RSA4096 {
			continue // differ from rsa-2048 in time only
		}
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			key := newKey(t, typ)
			s := serve(t, key.Public(), []*sshkey.PrivateKey{hostKey})
			wantReason(t, proveOne(t, key, target(s, "alice", hostKey)), nil)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.connections != 1 || s.offers != 1 || s.channels != 0 || s.users[0] != "alice" {
				t.Errorf("server saw %d connections, %d offers, %d channels, users %q; want one offer for alice and no channel",
					s.connections, s.offers, s.channels, s.users)
			}
		})
	}
}

func TestAServersNoIsARefusal(t *testing.T) {
	t.Parallel()
	hostKey := newKey(t, sshkey.Ed25519)
	ed, rsa := newKey(t, sshkey.Ed25519), newKey(t, sshkey.RSA2048)
	other := newKey(t, sshkey.Ed25519).Public()
	password := func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, nil }
	tests := []struct {
		name    string
		key     *sshkey.PrivateKey
		trusted sshkey.PublicKey
		change  func(*server)
		want    string
	}{
		{"to a key it does not know", ed, other, func(*server) {}, "not accepted"},
		{"to an RSA key it does not know", rsa, other, func(*server) {}, "not accepted"},
		{"by hanging up at its first failure", ed, other, func(s *server) { s.config.MaxAuthTries = 1 }, "too many authentication failures"},
		{"where other methods go on", ed, other, func(s *server) { s.config.PasswordCallback = password }, "not accepted"},
		{"because the signature is of no use", ed, ed.Public(), func(s *server) {
			s.config.VerifiedPublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey, *ssh.Permissions, string) (*ssh.Permissions, error) {
				return nil, errors.New("account expired")
			}
		}, "not accepted"},
		{"because it takes passwords only", ed, ed.Public(), func(s *server) {
			s.config.PasswordCallback, s.config.PublicKeyCallback = password, nil
		}, "takes no public keys, only password"},
		{"because the key is not enough", ed, ed.Public(), func(s *server) {
			s.config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
				return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{PasswordCallback: password}}
			}
		}, "accepted, but not alone: wants password as well"},
		{"because it takes no such keys", rsa, rsa.Public(), func(s *server) {
			s.config.PublicKeyAuthAlgorithms = []string{ssh.KeyAlgoED25519}
		}, "not accepted"},
		{"because it signs RSA with SHA-1 only", rsa, rsa.Public(), func(s *server) {
			s.config.PublicKeyAuthAlgorithms = []string{ssh.KeyAlgoRSA}
		}, "takes RSA signatures with SHA-1 only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.trusted, []*sshkey.PrivateKey{hostKey}, tt.change)
			err := proveOne(t, tt.key, target(s, "alice", hostKey))
			wantReason(t, err, login.ErrRefused, "alice at "+s.address, tt.want)
			if connections, offers := s.saw(); connections != 1 || offers > 1 {
				t.Errorf("server saw %d connections and %d offers, want one", connections, offers)
			}
		})
	}
}

func TestRSAKeysSignWithEitherSHA2(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.RSA2048)
	for _, algorithm := range []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			s := serve(t, key.Public(), []*sshkey.PrivateKey{hostKey}, func(s *server) {
				s.config.PublicKeyAuthAlgorithms = []string{algorithm, ssh.KeyAlgoED25519}
			})
			wantReason(t, proveOne(t, key, target(s, "alice", hostKey)), nil)
		})
	}
}

func TestALoginWithoutAnyKeyProvesNothing(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	s := serve(t, key.Public(), []*sshkey.PrivateKey{hostKey}, func(s *server) { s.config.NoClientAuth = true })
	wantReason(t, proveOne(t, key, target(s, "alice", hostKey)), login.ErrOpen, "alice at "+s.address)
}

func TestAnyPinnedHostKeyProvesTheHost(t *testing.T) {
	t.Parallel()
	key := newKey(t, sshkey.Ed25519)
	ed, p256, p521, rsa := newKey(t, sshkey.Ed25519), newKey(t, sshkey.ECDSAP256), newKey(t, sshkey.ECDSAP521), newKey(t, sshkey.RSA2048)
	all := []*sshkey.PrivateKey{rsa, p521, p256, ed}
	stranger := newKey(t, sshkey.Ed25519)
	tests := []struct {
		name        string
		server      []*sshkey.PrivateKey
		pinned      []*sshkey.PrivateKey
		want        error
		words       []string
		connections int
	}{
		{"all are pinned", all, all, nil, nil, 1},
		{"only ed25519 is pinned", all, []*sshkey.PrivateKey{ed}, nil, nil, 1},
		{"only ecdsa is pinned", all, []*sshkey.PrivateKey{p256}, nil, nil, 2},
		{"only the larger ecdsa is pinned", all, []*sshkey.PrivateKey{p521}, nil, nil, 3},
		{"only rsa is pinned", all, []*sshkey.PrivateKey{rsa}, nil, nil, 4},
		{"the host has but its rsa key", []*sshkey.PrivateKey{rsa}, all, nil, nil, 1},
		{"no key is pinned that the host has", all, []*sshkey.PrivateKey{stranger}, login.ErrHostKey, []string{
			"ssh-ed25519 " + string(ed.Public().Fingerprint()), "ecdsa-sha2-nistp256 " + string(p256.Public().Fingerprint()),
			"ecdsa-sha2-nistp521 " + string(p521.Public().Fingerprint()), "ssh-rsa " + string(rsa.Public().Fingerprint())}, 5},
		{"the host has but one key", []*sshkey.PrivateKey{ed}, []*sshkey.PrivateKey{stranger}, login.ErrHostKey,
			[]string{"shows ssh-ed25519 " + string(ed.Public().Fingerprint())}, 2},
		{"none is pinned at all", all, nil, login.ErrHostKey, []string{"no host key is known"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, key.Public(), tt.server)
			to := []login.Target{target(s, "alice", tt.pinned...), target(s, "bob", tt.pinned...)}
			results := login.Prove(t.Context(), key, to, login.Limits{})
			for _, r := range results {
				wantReason(t, r.Err, tt.want, tt.words...)
			}
			// The second user profits from what the first has found out.
			want := tt.connections
			if tt.want == nil {
				want++
			}
			connections, offers := s.saw()
			if connections != want {
				t.Errorf("%d connections for two users, want %d", connections, want)
			}
			if tt.want != nil && offers > 0 {
				t.Error("the key was offered to a server that is not the host")
			}
		})
	}
}

func TestACertificateInPlaceOfAHostKeyIsAskedForOnce(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	signer := hostKey.Signer()
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.HostCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	s := serve(t, key.Public(), nil, func(s *server) { s.config.AddHostKey(disguise{signer, cert.Marshal()}) })
	wantReason(t, proveOne(t, key, target(s, "alice", hostKey)), login.ErrHostKey, "ssh-ed25519-cert-v01@openssh.com")
	if connections, _ := s.saw(); connections != 1 {
		t.Errorf("%d connections, want 1", connections)
	}
}

// A disguise signs as a plain key and shows another blob.
type disguise struct {
	ssh.Signer
	blob []byte
}

type disguisedKey struct {
	ssh.PublicKey
	blob []byte
}

func (d disguise) PublicKey() ssh.PublicKey { return disguisedKey{d.Signer.PublicKey(), d.blob} }

func (k disguisedKey) Marshal() []byte { return k.blob }

func TestSilenceAndDropsAreNoRefusals(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	drops := func(method string) func(*testing.T) string {
		return func(t *testing.T) string {
			return serve(t, newKey(t, sshkey.Ed25519).Public(), []*sshkey.PrivateKey{hostKey}, func(s *server) { s.drop = method }).address
		}
	}
	says := func(words string) func(*testing.T) string {
		return func(t *testing.T) string { address, _ := talking(t, words); return address }
	}
	tests := []struct {
		name      string
		address   func(*testing.T) string
		handshake time.Duration
		want      string
	}{
		{"nobody listens", func(t *testing.T) string { return closed(t) }, 0, "connection refused"},
		{"an address that is none", func(*testing.T) string { return "10.0.0.7" }, 0, "missing port"},
		{"a hostile address", func(*testing.T) string { return "\x1b[2J\nlevel=info:22" }, 0, "no answer from the host"},
		{"a server that never speaks", func(t *testing.T) string { return silent(t) }, 50 * time.Millisecond, "nothing within 50ms"},
		{"a server that drops at once", says(""), 0, "no answer from the host"},
		{"a server that is too busy", says("Exceeded MaxStartups\r\n"), 0, "no answer from the host"},
		{"a server that drops after its version", says("SSH-2.0-x\r\n"), 0, "no answer from the host"},
		{"a server of another kind", says("HTTP/1.1 400 \x1b[2J\r\n\r\n"), 0, "no answer from the host"},
		{"a server that drops before the key is offered", drops("none"), 0, "alice at "},
		{"a server that drops over the key", drops("publickey"), 0, "alice at "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to := login.Target{Host: "i-0a", Addresses: []string{tt.address(t)}, User: "alice", HostKeys: pins(hostKey)}
			results := login.Prove(t.Context(), key, []login.Target{to}, login.Limits{Handshake: tt.handshake})
			wantReason(t, results[0].Err, login.ErrUnreachable, tt.want)
		})
	}
	t.Run("no address", func(t *testing.T) {
		t.Parallel()
		err := proveOne(t, key, login.Target{Host: "i-0a", User: "alice", HostKeys: pins(hostKey)})
		wantReason(t, err, login.ErrUnreachable, "no address is known")
	})
}

func TestAddressesAreTriedUntilOneIsTheHost(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	stranger := newKey(t, sshkey.Ed25519)
	right := func(t *testing.T) string { return serve(t, key.Public(), []*sshkey.PrivateKey{hostKey}).address }
	wrong := func(t *testing.T) string { return serve(t, key.Public(), []*sshkey.PrivateKey{stranger}).address }
	refusing := func(t *testing.T) string { return serve(t, stranger.Public(), []*sshkey.PrivateKey{hostKey}).address }
	dead := func(t *testing.T) string { return closed(t) }
	tests := []struct {
		name      string
		addresses []func(*testing.T) string
		want      error
		words     []string
	}{
		{"the first is the host", []func(*testing.T) string{right, dead}, nil, nil},
		{"the first is dead", []func(*testing.T) string{dead, right}, nil, nil},
		{"the first belongs to another host now", []func(*testing.T) string{wrong, right}, nil, nil},
		{"the host refuses, and its word is final", []func(*testing.T) string{dead, refusing, right}, login.ErrRefused, []string{"not accepted"}},
		{"all are dead", []func(*testing.T) string{dead, dead}, login.ErrUnreachable, []string{"; "}},
		{"none is the host", []func(*testing.T) string{dead, wrong}, login.ErrHostKey,
			[]string{"connection refused", "shows ssh-ed25519 " + string(stranger.Public().Fingerprint())}},
		{"another host, then silence", []func(*testing.T) string{wrong, dead}, login.ErrHostKey, []string{"connection refused"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to := login.Target{Host: "i-0a", User: "alice", HostKeys: pins(hostKey)}
			for _, address := range tt.addresses {
				to.Addresses = append(to.Addresses, address(t))
			}
			err := proveOne(t, key, to)
			wantReason(t, err, tt.want, tt.words...)
			if tt.want != nil && tt.want != login.ErrRefused {
				for _, a := range to.Addresses {
					wantReason(t, err, tt.want, a)
				}
			}
		})
	}
}

func TestAnAddressThatFailsIsTriedForOneUserOnly(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	dropping, accepted := talking(t, "")
	s := serve(t, key.Public(), []*sshkey.PrivateKey{hostKey})
	var to []login.Target
	for _, user := range []string{"alice", "bob", "carol"} {
		to = append(to, login.Target{Host: "i-0a", Addresses: []string{dropping, s.address}, User: user, HostKeys: pins(hostKey)})
	}
	for _, r := range login.Prove(t.Context(), key, to, login.Limits{}) {
		wantReason(t, r.Err, nil)
	}
	if n := accepted(); n != 1 {
		t.Errorf("%d connections to the address that drops, want 1", n)
	}
}

func TestIPv6AddressesWork(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		missing(t, "no IPv6 on this machine: %v", err)
	}
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	s := serve(t, key.Public(), []*sshkey.PrivateKey{hostKey})
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		if conn, err := l.Accept(); err == nil {
			s.handle(conn)
		}
	})
	to := target(s, "alice", hostKey)
	to.Addresses = []string{l.Addr().String()}
	wantReason(t, proveOne(t, key, to), nil)
}

func TestCancellingEndsEveryLogin(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	l := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithCancelCause(t.Context())
	late := errors.New("no time left")
	go func() {
		conn, err := l.Accept() // and never a word
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		cancel(late)
	}()
	var to []login.Target
	for i := range 10 {
		to = append(to, login.Target{Host: fmt.Sprint("i-", i), Addresses: []string{l.Addr().String()}, User: "alice", HostKeys: pins(hostKey)})
	}
	results := login.Prove(ctx, key, to, login.Limits{Parallel: 2, Dial: time.Hour, Handshake: time.Hour})
	for i, r := range results {
		wantReason(t, r.Err, login.ErrUnreachable, "no time left")
		if !errors.Is(r.Err, late) || r.Target.Host != to[i].Host {
			t.Errorf("result %d is of %s: %v", i, r.Target.Host, r.Err)
		}
	}
}

func TestNoTargetsGiveNoResults(t *testing.T) {
	t.Parallel()
	if r := login.Prove(t.Context(), newKey(t, sshkey.Ed25519), nil, login.Limits{}); len(r) != 0 {
		t.Errorf("results = %v", r)
	}
}

func TestHostsAreAskedInParallelWithinTheLimit(t *testing.T) {
	t.Parallel()
	const parallel, hosts = 8, 200
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	full := make(chan struct{})
	s := serve(t, key.Public(), []*sshkey.PrivateKey{hostKey}, func(s *server) {
		accept := s.config.PublicKeyCallback
		s.config.PublicKeyCallback = func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			p, err := accept(c, k)
			s.mu.Lock()
			if s.offers == parallel {
				if s.connections > parallel {
					t.Errorf("%d connections at a time, want %d", s.connections, parallel)
				}
				close(full)
			}
			s.mu.Unlock()
			<-full // nobody is let in before so many wait at once
			return p, err
		}
	})
	var to []login.Target
	var want []string
	for i := range hosts {
		// Every fourth is refused to show that results keep their order.
		tg := target(s, "alice", hostKey)
		tg.Host = fmt.Sprintf("i-%03d", i)
		if i%4 == 0 {
			tg.HostKeys = nil
		}
		to = append(to, tg)
		want = append(want, fmt.Sprint(tg.Host, " ", i%4 != 0))
	}
	var got []string
	for _, r := range login.Prove(t.Context(), key, to, login.Limits{Parallel: parallel}) {
		got = append(got, fmt.Sprint(r.Target.Host, " ", r.Err == nil))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offers != hosts*3/4 {
		t.Errorf("%d offers, want %d", s.offers, hosts*3/4)
	}
}

func TestUsersOfOneHostComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	hostKey, key := newKey(t, sshkey.Ed25519), newKey(t, sshkey.Ed25519)
	s := serve(t, key.Public(), []*sshkey.PrivateKey{hostKey})
	var to []login.Target
	var want []string
	for i := range 20 {
		user := fmt.Sprintf("user%02d", i)
		to = append(to, target(s, user, hostKey))
		want = append(want, user)
	}
	for _, r := range login.Prove(t.Context(), key, to, login.Limits{}) {
		wantReason(t, r.Err, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(want, s.users); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func BenchmarkProve200(b *testing.B) {
	hostKey, key := newKey(b, sshkey.Ed25519), newKey(b, sshkey.Ed25519)
	s := serve(b, key.Public(), []*sshkey.PrivateKey{hostKey})
	var to []login.Target
	for i := range 200 {
		tg := target(s, "alice", hostKey)
		tg.Host = fmt.Sprint("i-", i)
		to = append(to, tg)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range login.Prove(b.Context(), key, to, login.Limits{}) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
}
