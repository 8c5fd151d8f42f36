package sshdconf_test

import (
	"crypto/ed25519"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

// TestSameTextAsOpenSSH holds each configuration against the machine's own
// sshd -T, which needs root and its directory for privilege separation.
func TestSameTextAsOpenSSH(t *testing.T) {
	t.Parallel()
	sshd := judge(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	writeHostKey(t, key)
	if err := os.WriteFile(filepath.Join(dir, "extra.conf"), []byte("Match User root\nMaxAuthTries 4\nMatch all\nMaxSessions 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	const full = "user=root,host=client.example,addr=10.1.2.3,laddr=127.0.0.1,lport=22"
	for _, tt := range []struct{ name, text, conn string }{
		{"nothing set", "", full},
		{"no connection given", "Match User root\nMaxAuthTries 1\nMatch all\nMaxSessions 2", ""},
		{"two ports", "Port 22\nPort 2222", full},
		{"two addresses and a port", "ListenAddress 127.0.0.1\nListenAddress 127.0.0.2:33\nListenAddress ::1\nListenAddress [::1]:44\nPort 55", full},
		{"one family", "AddressFamily inet\nPort 22", full},
		{"two ports and two addresses", "Port 1\nPort 2\nListenAddress 127.0.0.1\nListenAddress 127.0.0.2", full},
		{"key files with quotes and comments", `AuthorizedKeysFile "a b" c\ d %h/x /etc/keys/%u # end`, full},
		{"no key file", "AuthorizedKeysFile none", full},
		{"a key file below a tilde", "AuthorizedKeysFile ~/keys", full},
		{"an equals sign", "PermitRootLogin=prohibit-password\nStrictModes = no", full},
		{"every root login", "PermitRootLogin forced-commands-only", full},
		{"lists of users and groups", "AllowUsers a b@10.0.0.0/8\nAllowUsers c\nDenyUsers d\nAllowGroups e f\nDenyGroups g", full},
		{"lists replaced by a block", "AllowUsers a b\nMatch User root\nAllowUsers c\nAllowUsers d", full},
		{"the group of a user", "Match Group root\nPubkeyAuthentication no", full},
		{"a negated group", "Match Group *,!root\nPubkeyAuthentication no", full},
		{"an unknown user", "Match User nosuch\nMaxAuthTries 1\nMatch Group *\nMaxSessions 1", "user=nosuch,host=h,addr=1.2.3.4,laddr=1.2.3.4,lport=1"},
		{"a user alone", "Match Address 10.0.0.0/8\nMaxAuthTries 1\nMatch Host *\nMaxSessions 1", "user=root"},
		{"addresses and hosts", "Match Address 10.0.0.0/8,!10.1.0.0/16\nMaxAuthTries 1\nMatch Host *.example LocalPort 22\nMaxSessions 1", full},
		{"the first block that holds", "Match User r*\nMaxAuthTries 1\nMatch User root\nMaxAuthTries 2\nPasswordAuthentication no", full},
		{"match all in the middle", "PubkeyAuthentication yes\nMatch User nobody\nPubkeyAuthentication no\nMatch all\nPubkeyAuthentication no", full},
		{"algorithms added", "PubkeyAcceptedAlgorithms +ssh-rsa,ssh-dss*", full},
		{"algorithms taken away", "PubkeyAcceptedAlgorithms -ssh-ed25519*,*nistp*", full},
		{"algorithms put first", "PubkeyAcceptedAlgorithms ^rsa-sha2-256\nHostKeyAlgorithms ^rsa-sha2-*", full},
		{"algorithms named", "PubkeyAcceptedAlgorithms rsa-*,ssh-ed25519", full},
		{"algorithms of a block", "PubkeyAcceptedAlgorithms ssh-ed25519\nMatch User root\nPubkeyAcceptedAlgorithms +ssh-rsa", full},
		{"authentication methods", "AuthenticationMethods publickey,password publickey", full},
		{"files and commands", "RevokedKeys /etc/revoked\nTrustedUserCAKeys /etc/ca\nAuthorizedKeysCommand /bin/x %u \"%f\"\nAuthorizedKeysCommandUser nobody\nBanner none\nPidFile none", full},
		{"files unset by a block", "Banner /etc/issue\nMatch User root\nBanner none\nForceCommand echo \"a  b\" # c", full},
		{"times and numbers", "LoginGraceTime 2m\nClientAliveInterval 1h\nMaxAuthTries 3\nRequiredRSASize 2048", full},
		{"choices", "PermitTunnel ethernet\nGatewayPorts clientspecified\nAllowTcpForwarding local\nLogLevel verbose\nSyslogFacility authpriv\nIgnoreRhosts shosts-only\nFingerprintHash md5", full},
		{"environment and subsystems", "AcceptEnv LANG LC_*\nAcceptEnv X\nSetEnv A=b C=d\nSubsystem sftp internal-sftp -f AUTH", full},
		{"old spellings", "ChallengeResponseAuthentication no\nPubkeyAcceptedKeyTypes ssh-ed25519\nProtocol 2\nUsePrivilegeSeparation yes", full},
		{"an included file", "Include " + dir + "/*.conf\nMaxAuthTries 9\nMaxSessions 9", full},
		{"an included file in a block that does not hold", "Match User nobody\nInclude " + dir + "/*.conf\n", full},
		{"an included file in a block that holds", "Match User root\nInclude " + dir + "/*.conf\n", full},
		{"no value", "StrictModes", full},
		{"an unknown keyword", "Nonsense yes", full},
		{"an unknown value", "StrictModes perhaps", full},
		{"an open quote", `AuthorizedKeysFile "a`, full},
		{"a global keyword in a block", "Match User root\nStrictModes no", full},
		{"an unknown condition", "Match Shoe 42", full},
		{"all with another condition", "Match all User root", full},
		{"a broken network", "Match Address 10.0.0.1/8", full},
		{"a local port and none given", "Match LocalPort 22\nMaxAuthTries 1", "user=root"},
		{"an unknown algorithm", "PubkeyAcceptedAlgorithms ssh-dance", full},
		{"a key command without a user", "AuthorizedKeysCommand /bin/x", full},
		{"a bad connection", "", "usr=root"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "sshd_config")
			text := "HostKey " + key + "\n" + tt.text + "\n"
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"-T", "-f", name}
			if tt.conn != "" {
				args = append(args, "-C", tt.conn)
			}
			cmd := exec.Command(sshd, args...)
			cmd.Dir = "/"
			out, theirErr := cmd.Output()
			ours, ourErr := ourText(name, tt.conn)
			if (theirErr == nil) != (ourErr == nil) {
				t.Fatalf("sshd: %v\nsshdconf: %v", theirErr, ourErr)
			}
			if theirErr != nil {
				return
			}
			want, got := comparable(string(out), ours)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("settings (-sshd +sshdconf):\n%s", diff)
			}
		})
	}
}

// judge returns the machine's sshd, or skips: only CI promises to have one.
func judge(t *testing.T) string {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	_, absent := os.Stat(sshd)
	_, noDir := os.Stat("/run/sshd")
	if absent == nil && os.Getuid() == 0 && noDir != nil {
		noDir = os.MkdirAll("/run/sshd", 0o755)
	}
	if absent != nil || noDir != nil || os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("no judge: %v, %v, uid %d", absent, noDir, os.Getuid())
		}
		t.Skip("needs OpenSSH's sshd and root")
	}
	return sshd
}

func writeHostKey(t *testing.T, name string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

func ourText(name, conn string) (string, error) {
	c, err := sshdconf.Load(os.DirFS("/"), strings.TrimPrefix(name, "/"))
	if err != nil {
		return "", err
	}
	var connection sshdconf.Connection
	if conn != "" {
		if err := connection.Add(conn); err != nil {
			return "", err
		}
	}
	if connection.User == "root" {
		connection.Groups = []string{"root"}
	}
	s, err := c.Settings(connection)
	if err != nil {
		return "", err
	}
	return s.Text(func(p string) string { return p }), nil
}

// comparable drops the keywords that only one side knows, and the case of
// keywords, which later releases of OpenSSH print as they are documented.
func comparable(theirs, ours string) (want, got []string) {
	theirLines, theirKeywords := keywordsOf(theirs)
	ourLines, ourKeywords := keywordsOf(ours)
	return known(theirLines, ourKeywords), known(ourLines, theirKeywords)
}

func keywordsOf(text string) (lines []string, keywords map[string]bool) {
	// Those that sshd prints only when they are set count as known to both.
	keywords = map[string]bool{
		"allowusers": true, "denyusers": true, "allowgroups": true, "denygroups": true, "acceptenv": true,
		"setenv": true, "subsystem": true, "hostcertificate": true, "authorizedkeysfile": true,
	}
	for line := range strings.Lines(text) {
		keyword, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		keyword = strings.ToLower(keyword)
		keywords[keyword] = true
		lines = append(lines, keyword+" "+rest)
	}
	return lines, keywords
}

func known(lines []string, keywords map[string]bool) (kept []string) {
	for _, l := range lines {
		if keyword, _, _ := strings.Cut(l, " "); keywords[keyword] {
			kept = append(kept, l)
		}
	}
	return kept
}
