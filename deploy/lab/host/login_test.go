package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host"
)

func lineOf(k ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(k)), "\n")
}

// TestLoginIsJudgedAsSshdWould: alice has the key, bob has none. Each row
// changes one thing and says why the server refuses alice, or "".
func TestLoginIsJudgedAsSshdWould(t *testing.T) {
	t.Parallel()
	key, line := newKey(t)
	_, other := newKey(t)
	file := func(text string) func(*testing.T, *host.Host) {
		return func(t *testing.T, h *host.Host) { writeFile(t, h, "/home/alice/.ssh/authorized_keys", text) }
	}
	config := func(text string) func(*testing.T, *host.Host) {
		return func(t *testing.T, h *host.Host) { must(t, h.Configure(text)) }
	}
	mode := func(path string, m os.FileMode) func(*testing.T, *host.Host) {
		return func(t *testing.T, h *host.Host) { must(t, os.Chmod(h.Path(path), m)) }
	}
	owner := func(text string) func(*testing.T, *host.Host) {
		return func(t *testing.T, h *host.Host) { writeFile(t, h, "/owners", text+"\n") }
	}
	all := func(steps ...func(*testing.T, *host.Host)) func(*testing.T, *host.Host) {
		return func(t *testing.T, h *host.Host) {
			for _, s := range steps {
				s(t, h)
			}
		}
	}
	const keys = "/home/alice/.ssh/authorized_keys"
	keysFile := func(path string) func(*testing.T, *host.Host) {
		return func(t *testing.T, h *host.Host) {
			must(t, os.Remove(h.Path(keys)))
			writeFile(t, h, path, line+"\n")
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *host.Host)
		want   string
	}{
		{"the key stands in the file", func(*testing.T, *host.Host) {}, ""},

		// What stands in the file.
		{"no file", func(t *testing.T, h *host.Host) { must(t, os.Remove(h.Path(keys))) }, "key is in no file"},
		{"an empty file", file(""), "key is in no file"},
		{"another key", file(other + "\n"), "key is in no file"},
		{"no newline at the end", file(other + "\n" + line), ""},
		{"carriage returns", file(other + "\r\n" + line + "\r\n"), ""},
		{"comments, garbage and blank lines before it", file("# c\n\ngarbage\nssh-rsa !!!\n \t" + line + "\n"), ""},
		{"a line that is disabled", file("#" + line + "\n"), "key is in no file"},
		{"a key glued to the comment of another", file(other + " x" + line + "\n"), "key is in no file"},
		{"a NUL before the key", file("x\x00" + line + "\n"), "key is in no file"},
		{"a NUL behind the key", file(line + "\x00\n"), ""},
		{"the wrong name before the blob", file("ssh-rsa " + strings.Fields(line)[1] + "\n"), "key is in no file"},

		// Options.
		{"harmless options", file(`restrict,pty,no-X11-forwarding,environment="A=b" ` + line + "\n"), ""},
		{"options with quotes and commas", file(`command="echo \"a,b\" c",from="127.0.0.0/8,!127.0.0.2" ` + line + "\n"), ""},
		{"an address that is permitted", file(`from="10.0.0.0/8,127.0.0.1" ` + line + "\n"), ""},
		{"an address that is not permitted", file(`from="10.0.0.0/8" ` + line + "\n"), "not permitted from this address"},
		{"an address that is excluded", file(`from="*,!127.0.0.1" ` + line + "\n"), "not permitted from this address"},
		{"a key that has expired", file(`expiry-time="20300501" ` + line + "\n"), "key has expired"},
		{"a key that expires later", file(`expiry-time="203005011201" ` + line + "\n"), ""},
		{"a time that is no time", file(`expiry-time="soon" ` + line + "\n"), "invalid expires time"},
		{"an unknown option", file("no-nonsense " + line + "\n"), "unknown key option"},
		{"an open quote", file(`command="x ` + line + "\n"), "key is in no file"},
		{"a key of an authority", file("cert-authority " + line + "\n"), "mixed up"},
		{"principals on a plain key", file(`principals="alice" ` + line + "\n"), "principals on a key"},
		{"the same key twice, the first refused", file(`from="10.0.0.1" ` + line + "\n" + line + "\n"), ""},

		// Which file.
		{"the second file", all(config("AuthorizedKeysFile .ssh/a .ssh/b"), keysFile("/home/alice/.ssh/b")), ""},
		{"a file that sshd does not read", all(config("AuthorizedKeysFile .ssh/a .ssh/b"), keysFile("/home/alice/.ssh/c")), "key is in no file"},
		{"a file for all users by name", all(config("AuthorizedKeysFile /etc/ssh/keys/%u"), keysFile("/etc/ssh/keys/alice")), ""},
		{"a file with a number and the home", all(config("AuthorizedKeysFile /etc/ssh/keys/%U%% %h/%u.keys"), keysFile("/home/alice/alice.keys")), ""},
		{"no file at all", config("AuthorizedKeysFile none"), "key is in no file"},
		{"a file of a block for this user", config("AuthorizedKeysFile none\nMatch User alice\nAuthorizedKeysFile .ssh/authorized_keys"), ""},
		{"a block for this address takes it away", config("Match Address 127.0.0.0/8\nAuthorizedKeysFile none"), "key is in no file"},
		{"a link to a file", func(t *testing.T, h *host.Host) {
			must(t, os.Rename(h.Path(keys), h.Path(keys+".real")))
			must(t, os.Symlink("authorized_keys.real", h.Path(keys)))
		}, ""},
		{"a link to the directory of a shared place", func(t *testing.T, h *host.Host) {
			must(t, os.MkdirAll(h.Path("/srv"), 0o755))
			must(t, os.Rename(h.Path("/home/alice/.ssh"), h.Path("/srv/alice")))
			must(t, os.Symlink("../../srv/alice", h.Path("/home/alice/.ssh")))
			writeFile(t, h, "/owners", "1000:1000 /srv/alice\n1000:1000 /srv/alice/authorized_keys\n")
		}, ""},
		{"a link that leads out of the host", func(t *testing.T, h *host.Host) {
			away := t.TempDir() + "/keys"
			must(t, os.Rename(h.Path(keys), away))
			must(t, os.Symlink(away, h.Path(keys)))
		}, "key is in no file"},
		{"a directory in the place of the file", func(t *testing.T, h *host.Host) {
			must(t, os.Remove(h.Path(keys)))
			must(t, os.Mkdir(h.Path(keys), 0o700))
		}, "not a regular file"},

		// StrictModes.
		{"a file that the group may write", mode(keys, 0o660), "bad ownership or modes for file"},
		{"a directory that anybody may write", mode("/home/alice/.ssh", 0o777), "bad ownership or modes for directory /home/alice/.ssh"},
		{"a home that the group may write", mode("/home/alice", 0o770), "bad ownership or modes for directory /home/alice"},
		{"above the home nobody looks", mode("/home", 0o777), ""},
		{"a bad mode without strict modes", all(config("StrictModes no"), mode(keys, 0o666)), ""},
		{"a file of another user", owner("1001:1001 " + keys), "permission denied"},
		{"a readable file of another user", all(owner("1001:1001 "+keys), mode(keys, 0o644)), "bad ownership or modes for file"},
		{"a file of root", all(owner("0:0 "+keys), mode(keys, 0o644)), ""},
		{"a file of root that the user may not read", owner("0:0 " + keys), "permission denied"},
		{"a file of root that a group of the user may read", all(owner("0:1000 "+keys), mode(keys, 0o640)), ""},
		{"a home of another user", owner("1001:1001 /home/alice"), "permission denied"},
		{"a directory that the user may not pass", mode("/home/alice/.ssh", 0o600), "permission denied"},

		// Settings.
		{"keys are off", config("PubkeyAuthentication no"), "public key authentication is off"},
		{"keys are off for a group", config("Match Group alice\nPubkeyAuthentication no"), "public key authentication is off"},
		{"keys are off for another group", config("Match Group staff\nPubkeyAuthentication no"), ""},
		{"an algorithm that is not accepted", config("PubkeyAcceptedAlgorithms rsa-sha2-512"), "not in PubkeyAcceptedAlgorithms"},
		{"a password is asked as well", config("AuthenticationMethods publickey,password"), "AuthenticationMethods asks for more"},
		{"a password is asked or a key", config("AuthenticationMethods password publickey"), ""},
		{"the key is revoked", func(t *testing.T, h *host.Host) {
			writeFile(t, h, "/etc/ssh/revoked", other+"\n"+line+"\n")
			must(t, h.Configure("RevokedKeys /etc/ssh/revoked"))
		}, "key is revoked"},
		{"another key is revoked", func(t *testing.T, h *host.Host) {
			writeFile(t, h, "/etc/ssh/revoked", other+"\n")
			must(t, h.Configure("RevokedKeys /etc/ssh/revoked"))
		}, ""},
		{"the list of revoked keys is missing", config("RevokedKeys /etc/ssh/revoked"), "revoked keys cannot be read"},
		{"a user who is not allowed", config("AllowUsers bob"), "not listed in AllowUsers"},
		{"a user who is allowed from here", config("AllowUsers alice@127.0.0.1"), ""},
		{"a user who is denied", config("DenyUsers al*"), "listed in DenyUsers"},
		{"a group that is not allowed", config("AllowGroups staff"), "none of the groups"},
		{"a group that is denied", config("DenyGroups alice"), "a group is listed in DenyGroups"},
		{"a configuration with a mistake", config("Nonsense yes"), "handshake failed"},

		// Accounts.
		{"a user who is gone", func(t *testing.T, h *host.Host) { must(t, h.RemoveUser("alice")) }, "no such user"},
		{"a locked account with PAM", all(config("UsePAM yes"), func(t *testing.T, h *host.Host) { must(t, h.SetShadow("alice", 1, "!")) }), ""},
		{"a locked account without PAM", all(config("UsePAM no"), func(t *testing.T, h *host.Host) { must(t, h.SetShadow("alice", 1, "!!")) }), "account is locked"},
		{"an account that has expired", func(t *testing.T, h *host.Host) { must(t, h.SetShadow("alice", 7, "22035")) }, "account has expired"},
		{"an account that expires tomorrow", func(t *testing.T, h *host.Host) { must(t, h.SetShadow("alice", 7, "22036")) }, ""},
		{"a shell that is missing", func(t *testing.T, h *host.Host) { must(t, os.Remove(h.Path("/bin/bash"))) }, "shell /bin/bash does not exist"},
		{"a shell that is not executable", mode("/bin/bash", 0o644), "shell /bin/bash is not executable"},
		{"a system that lets nobody in", func(t *testing.T, h *host.Host) { writeFile(t, h, "/etc/nologin", "") }, "/etc/nologin exists"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(s *host.Spec) { s.Users[0].Keys = []string{line} })
			tt.change(t, h)
			err := h.Login("alice", key)
			if (err == nil) != (tt.want == "") {
				t.Fatalf("Login: %v, want %q", err, tt.want)
			}
			logins := h.Logins()
			if tt.want == "handshake failed" {
				return
			}
			if len(logins) == 0 {
				t.Fatal("no login was recorded")
			}
			last := logins[len(logins)-1]
			if last.User != "alice" || last.Fingerprint != ssh.FingerprintSHA256(key.PublicKey()) || last.Accepted != (tt.want == "") || !strings.Contains(last.Reason, tt.want) {
				t.Errorf("recorded %+v, want the reason %q", last, tt.want)
			}
		})
	}
}

func TestRootLogin(t *testing.T) {
	t.Parallel()
	key, line := newKey(t)
	for _, tt := range []struct {
		name, config, file string
		want               bool
	}{
		{"is possible with a key by default", "", line, true},
		{"is possible where it is permitted", "PermitRootLogin yes", line, true},
		{"is refused where it is not", "PermitRootLogin no", line, false},
		{"needs a command where only commands are", "PermitRootLogin forced-commands-only", line, false},
		{"with a command is possible where only commands are", "PermitRootLogin forced-commands-only", `command="x" ` + line, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			must(t, h.Configure(tt.config))
			must(t, h.WriteKeys("root", tt.file))
			if err := h.Login("root", key); (err == nil) != tt.want {
				t.Errorf("Login: %v", err)
			}
		})
	}
}

func TestKeyTypes(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	for _, tt := range []struct {
		name, config string
		key          any
		want         bool
	}{
		{"an elliptic curve", "", p256, true},
		{"RSA", "", rsa2048, true},
		{"RSA that is too short", "RequiredRSASize 3072", rsa2048, false},
		{"RSA that is too short for a user", "Match User alice\nRequiredRSASize 3072", rsa2048, false},
		{"RSA with the one signature that is accepted", "PubkeyAcceptedAlgorithms rsa-sha2-256", rsa2048, true},
		{"RSA with the old signature alone", "PubkeyAcceptedAlgorithms ssh-rsa", rsa2048, false},
		{"RSA where it is not accepted", "PubkeyAcceptedAlgorithms -rsa*", rsa2048, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, line := signerOf(t, tt.key)
			h := newHost(t, func(s *host.Spec) { s.Users[0].Keys = []string{line} })
			must(t, h.Configure(tt.config))
			if tt.config == "PubkeyAcceptedAlgorithms rsa-sha2-256" {
				limited, err := ssh.NewSignerWithAlgorithms(key.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSASHA256})
				must(t, err)
				key = limited
			}
			if err := h.Login("alice", key); (err == nil) != tt.want {
				t.Errorf("Login: %v; %+v", err, h.Logins())
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	ca, caLine := newKey(t)
	key, _ := newKey(t)
	sign := func(edit func(*ssh.Certificate)) ssh.Signer {
		c := &ssh.Certificate{
			Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"alice"},
			ValidAfter: uint64(now.Add(-time.Hour).Unix()), ValidBefore: uint64(now.Add(time.Hour).Unix()),
		}
		if edit != nil {
			edit(c)
		}
		must(t, c.SignCert(rand.Reader, ca))
		s, err := ssh.NewCertSigner(c, key)
		must(t, err)
		return s
	}
	line := func(text string) func(*testing.T, *host.Host) {
		return func(t *testing.T, h *host.Host) { must(t, h.WriteKeys("alice", text)) }
	}
	trusted := func(t *testing.T, h *host.Host) {
		writeFile(t, h, "/etc/ssh/ca", caLine+"\n")
		must(t, h.Configure("TrustedUserCAKeys /etc/ssh/ca"))
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *host.Host)
		cert   ssh.Signer
		want   bool
	}{
		{"an authority in the file", line("cert-authority " + caLine), sign(nil), true},
		{"a plain key in the file is no authority", line(caLine), sign(nil), false},
		{"an authority of the system", trusted, sign(nil), true},
		{"no authority", func(*testing.T, *host.Host) {}, sign(nil), false},
		{"for somebody else", trusted, sign(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"bob"} }), false},
		{"for a principal of the line", line(`cert-authority,principals="ops,web" ` + caLine), sign(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"ops"} }), true},
		{"that has expired", trusted, sign(func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Add(-time.Minute).Unix()) }), false},
		{"for hosts", trusted, sign(func(c *ssh.Certificate) { c.CertType = ssh.HostCert }), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			tt.change(t, h)
			if err := h.Login("alice", tt.cert); (err == nil) != tt.want {
				t.Errorf("Login: %v; %+v", err, h.Logins())
			}
		})
	}
}

func TestUnreachableHosts(t *testing.T) {
	t.Parallel()
	key, line := newKey(t)
	for _, tt := range []struct {
		name   string
		change func(*host.Switches)
	}{
		{"an offline host", func(s *host.Switches) { s.State = host.Offline }},
		{"a stopped host", func(s *host.Switches) { s.State = host.Stopped }},
		{"a host with a wrong host key", func(s *host.Switches) { s.WrongHostKey = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(s *host.Spec) { s.Users[0].Keys = []string{line} })
			must(t, h.Change(tt.change))
			if err := h.Login("alice", key); err == nil {
				t.Error("Login succeeded")
			}
			must(t, h.Change(func(s *host.Switches) { *s = host.Switches{State: host.Online} }))
			if err := h.Login("alice", key); err != nil {
				t.Errorf("Login after it came back: %v", err)
			}
		})
	}
	t.Run("a silent host", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, func(s *host.Spec) { s.Switches.Silent = true })
		c, err := net.Dial("tcp", h.Address())
		must(t, err)
		defer c.Close()
		// Close ends the connection that the host kept; until then nothing comes.
		go h.Close()
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("a silent host said something: %d, %v", n, err)
		}
	})
}

func TestHostKeysFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(s *host.Spec) { s.HostKeys = []string{"ed25519", "ecdsa"} })
	types := func() (all []string) {
		keys, err := h.HostKeys()
		must(t, err)
		for _, k := range keys {
			all = append(all, k.Type())
		}
		return all
	}
	if got := strings.Join(types(), " "); got != "ecdsa-sha2-nistp256 ssh-ed25519" {
		t.Errorf("host keys %s", got)
	}
	must(t, h.Configure("HostKey /etc/ssh/ssh_host_ed25519_key"))
	if got := strings.Join(types(), " "); got != "ssh-ed25519" {
		t.Errorf("host keys %s", got)
	}
	if got, want := do(t, h, "sshd -T").Stdout, "hostkey "+h.Path("/etc/ssh/ssh_host_ed25519_key")+"\n"; strings.Count(got, "hostkey ") != 1 || !strings.Contains(got, want) {
		t.Errorf("sshd -T has no single line %q:\n%s", want, got)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	key, line := newKey(t)
	for _, tt := range []struct {
		name    string
		shell   string
		options string
		command string
		stdout  string
		status  int
	}{
		{"the name of the host", "/bin/bash", "", "hostname", "web-1\n", 0},
		{"the name of the user", "/bin/bash", "", "whoami", "alice\n", 0},
		{"something to say", "/bin/bash", "", "echo a  b", "a b\n", 0},
		{"nothing to do", "/bin/bash", "", "true", "", 0},
		{"a command that is missing", "/bin/bash", "", "make coffee", "", 127},
		{"an account without a shell", "/sbin/nologin", "", "hostname", "This account is currently not available.\n", 1},
		{"a forced command", "/bin/bash", `command="echo forced" `, "hostname", "forced\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(s *host.Spec) {
				s.Users[0].Keys = []string{tt.options + line}
				s.Users[0].Shell = tt.shell
			})
			client, err := ssh.Dial("tcp", h.Address(), &ssh.ClientConfig{
				User: "alice", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
				HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { return nil },
			})
			must(t, err)
			defer client.Close()
			session, err := client.NewSession()
			must(t, err)
			out, err := session.Output(tt.command)
			status := 0
			if exit, ok := err.(*ssh.ExitError); ok {
				status = exit.ExitStatus()
			} else {
				must(t, err)
			}
			if string(out) != tt.stdout || status != tt.status {
				t.Errorf("%s: %q, status %d, want %q, %d", tt.command, out, status, tt.stdout, tt.status)
			}
		})
	}
}

func TestRealClientLogsIn(t *testing.T) {
	t.Parallel()
	client, err := exec.LookPath("ssh")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs OpenSSH's ssh")
	}
	h := newHost(t, nil)
	dir := t.TempDir()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/key").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, h.WriteKeys("alice", readFile(t, dir+"/key.pub")))
	keys, err := h.HostKeys()
	must(t, err)
	name, port, err := net.SplitHostPort(h.Address())
	must(t, err)
	must(t, os.WriteFile(dir+"/known_hosts", []byte("["+name+"]:"+port+" "+keys[0].Type()+" "+base64.StdEncoding.EncodeToString(keys[0].Marshal())+"\n"), 0o600))
	login := func() (string, error) {
		out, err := exec.Command(client, "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
			"-o", "UserKnownHostsFile="+dir+"/known_hosts", "-i", dir+"/key", "-p", port, "alice@"+name, "hostname").Output()
		return string(out), err
	}
	if out, err := login(); out != "web-1\n" || err != nil {
		t.Errorf("ssh: %q, %v", out, err)
	}
	must(t, h.WriteKeys("alice"))
	if out, err := login(); err == nil {
		t.Errorf("ssh without a key in the file: %q", out)
	}
}
