package login_test

import (
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/rotate/login"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// A server is an SSH server on loopback that remembers what was asked of it.
type server struct {
	address string
	config  *ssh.ServerConfig
	drop    string // the authentication method in which it drops the connection, if any

	mu          sync.Mutex
	connections int
	offers      int // keys that were offered
	users       []string
	channels    int
}

// serve starts a server with these host keys that accepts key for every user.
// A change is applied before it starts.
func serve(t testing.TB, key sshkey.PublicKey, hostKeys []*sshkey.PrivateKey, change ...func(*server)) *server {
	t.Helper()
	s := &server{config: &ssh.ServerConfig{}}
	s.config.PublicKeyCallback = func(c ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.offers++
		s.users = append(s.users, c.User())
		if ssh.FingerprintSHA256(offered) != string(key.Fingerprint()) {
			return nil, ssh.ErrNoAuth
		}
		return nil, nil
	}
	for _, k := range hostKeys {
		s.config.AddHostKey(k.Signer())
	}
	for _, c := range change {
		c(s)
	}
	l := listen(t, "127.0.0.1:0")
	s.address = l.Addr().String()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.handle(conn) })
		}
	})
	return s
}

func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.connections++
	s.mu.Unlock()
	config := *s.config
	if s.drop != "" {
		config.AuthLogCallback = func(_ ssh.ConnMetadata, method string, _ error) {
			if method == s.drop {
				conn.Close()
			}
		}
	}
	c, channels, requests, err := ssh.NewServerConn(conn, &config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		s.mu.Lock()
		s.channels++
		s.mu.Unlock()
		_ = ch.Reject(ssh.Prohibited, "no sessions here")
	}
	_ = c.Wait()
}

// saw returns how many connections were made and how many keys were offered.
func (s *server) saw() (connections, offers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections, s.offers
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// silent returns an address that accepts connections and never says a word.
func silent(t testing.TB) string {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// closed returns an address where nobody listens.
func closed(t testing.TB) string {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	return l.Addr().String()
}

// talking returns an address that answers each connection with these words
// and drops it, and a count of the connections.
func talking(t testing.TB, words string) (string, func() int) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	accepted := 0
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			accepted++
			mu.Unlock()
			_, _ = conn.Write([]byte(words))
			conn.Close()
		}
	}()
	return l.Addr().String(), func() int {
		mu.Lock()
		defer mu.Unlock()
		return accepted
	}
}

func newKey(t testing.TB, typ sshkey.Type) *sshkey.PrivateKey {
	t.Helper()
	k, err := sshkey.Generate(typ, sshkey.OpenSSH, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pins(keys ...*sshkey.PrivateKey) []sshkey.Fingerprint {
	var all []sshkey.Fingerprint
	for _, k := range keys {
		all = append(all, k.Public().Fingerprint())
	}
	return all
}

func target(s *server, user string, hostKeys ...*sshkey.PrivateKey) login.Target {
	return login.Target{Host: "i-0a", Addresses: []string{s.address}, User: user, HostKeys: pins(hostKeys...)}
}

// proveOne returns the result of one target within generous limits.
func proveOne(t testing.TB, key *sshkey.PrivateKey, to login.Target) error {
	t.Helper()
	results := login.Prove(t.Context(), key, []login.Target{to}, login.Limits{})
	if len(results) != 1 {
		t.Fatalf("%d results for one target", len(results))
	}
	return results[0].Err
}

// reasons are the sentinels that exclude one another.
var reasons = []error{login.ErrRefused, login.ErrHostKey, login.ErrUnreachable, login.ErrOpen}
