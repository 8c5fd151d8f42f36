package sshdconf_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

// load reads a configuration whose further files follow as name, text pairs.
func load(t *testing.T, text string, more ...string) *sshdconf.Config {
	t.Helper()
	c, err := tryLoad(text, more...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryLoad(text string, more ...string) (*sshdconf.Config, error) {
	root := fstest.MapFS{"etc/ssh/sshd_config": {Data: []byte(text)}}
	for i := 0; i < len(more); i += 2 {
		root[more[i]] = &fstest.MapFile{Data: []byte(more[i+1])}
	}
	return sshdconf.Load(root, "etc/ssh/sshd_config")
}

var alice = sshdconf.Connection{
	User: "alice", Groups: []string{"alice", "wheel"},
	Host: "client.example", Address: "10.1.2.3", LocalAddress: "127.0.0.1", LocalPort: 22,
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		text    string
		keyword string
		want    []string
	}{
		{"a keyword that no line sets has its default", "", "strictmodes", []string{"yes"}},
		{"the first value wins", "StrictModes no\nStrictModes yes", "strictmodes", []string{"no"}},
		{"the default key files are two", "", "authorizedkeysfile", []string{".ssh/authorized_keys", ".ssh/authorized_keys2"}},
		{"the first line of key files wins as a whole", "AuthorizedKeysFile a b\nAuthorizedKeysFile c", "authorizedkeysfile", []string{"a", "b"}},
		{"quotes hold a file name together", `AuthorizedKeysFile "a b" c\ d 'e'`, "authorizedkeysfile", []string{"a b", "c d", "e"}},
		{"a comment ends the line", "AuthorizedKeysFile a # b", "authorizedkeysfile", []string{"a"}},
		{"an equals sign may follow the keyword", "AuthorizedKeysFile = a", "authorizedkeysfile", []string{"a"}},
		{"carriage returns are white space", "PubkeyAuthentication no\r\n", "pubkeyauthentication", []string{"no"}},
		{"keywords and flags ignore case", "PUBKEYAUTHENTICATION No", "pubkeyauthentication", []string{"no"}},
		{"prohibit-password is printed by its old name", "PermitRootLogin prohibit-password", "permitrootlogin", []string{"without-password"}},
		{"AllowUsers lines add up", "AllowUsers a b\nAllowUsers c", "allowusers", []string{"a", "b", "c"}},
		{"a Match block replaces AllowUsers", "AllowUsers a\nMatch User alice\nAllowUsers b", "allowusers", []string{"b"}},
		{"a Match block outweighs the global section", "PubkeyAuthentication yes\nMatch User alice\nPubkeyAuthentication no", "pubkeyauthentication", []string{"no"}},
		{"the first Match block that holds wins", "Match User alice\nMaxAuthTries 1\nMatch User a*\nMaxAuthTries 2", "maxauthtries", []string{"1"}},
		{"a Match block ends at the next one", "Match User bob\nMaxAuthTries 1\nMatch all\nMaxAuthTries 2", "maxauthtries", []string{"2"}},
		{"all conditions of a Match must hold", "Match User alice Address 192.168.0.0/16\nMaxAuthTries 1", "maxauthtries", []string{"6"}},
		{"a negated user is excluded", "Match User *,!alice\nMaxAuthTries 1", "maxauthtries", []string{"6"}},
		{"only negated users match nobody", "Match User !bob\nMaxAuthTries 1", "maxauthtries", []string{"6"}},
		{"a group matches by pattern", "Match Group whe?l\nMaxAuthTries 1", "maxauthtries", []string{"1"}},
		{"a negated group outweighs a group that matches", "Match Group wheel,!alice\nMaxAuthTries 1", "maxauthtries", []string{"6"}},
		{"a network matches an address", "Match Address 10.0.0.0/8\nMaxAuthTries 1", "maxauthtries", []string{"1"}},
		{"a negated network excludes an address", "Match Address 10.0.0.0/8,!10.1.0.0/16\nMaxAuthTries 1", "maxauthtries", []string{"6"}},
		{"a pattern matches an address", "Match Address 10.1.*\nMaxAuthTries 1", "maxauthtries", []string{"1"}},
		{"a host name matches in any case", "Match Host *.EXAMPLE\nMaxAuthTries 1", "maxauthtries", []string{"1"}},
		{"a local port matches", "Match LocalPort 22\nMaxAuthTries 1", "maxauthtries", []string{"1"}},
		{"a local address matches", "Match LocalAddress 127.0.0.0/8\nMaxAuthTries 1", "maxauthtries", []string{"1"}},
		{"a condition may be written with an equals sign", "Match user=alice\nMaxAuthTries 1", "maxauthtries", []string{"1"}},
		{"a plus adds algorithms to the default", "PubkeyAcceptedAlgorithms +ssh-rsa\nCASignatureAlgorithms ssh-ed25519", "casignaturealgorithms", []string{"ssh-ed25519"}},
		{"a minus takes algorithms from the default", "CASignatureAlgorithms -ecdsa*,sk-*,rsa*", "casignaturealgorithms", []string{"ssh-ed25519"}},
		{"a caret puts algorithms first", "CASignatureAlgorithms ^ssh-rsa\nMatch all\nCASignatureAlgorithms rsa-sha2-512,rsa*512", "casignaturealgorithms", []string{"rsa-sha2-512"}},
		{"none unsets a file", "RevokedKeys none", "revokedkeys", nil},
		{"a relative file stands below the root", "RevokedKeys etc/revoked", "revokedkeys", []string{"/etc/revoked"}},
		{"a tilde is root's home", "AuthorizedKeysFile ~/keys", "authorizedkeysfile", []string{"/root/keys"}},
		{"a command keeps its quotes and comments", `ForceCommand echo "a  b" # c`, "forcecommand", []string{`echo "a  b" # c`}},
		{"times are printed in seconds", "LoginGraceTime 1h30m5", "logingracetime", []string{"5405"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := load(t, tt.text).Settings(alice)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, s.All(tt.keyword)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.keyword, diff)
			}
		})
	}
}

func TestInclude(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		text string
		more []string
		want string // maxauthtries
	}{
		{"a relative pattern stands below /etc/ssh", "Include sshd_config.d/*.conf\nMaxAuthTries 9",
			[]string{"etc/ssh/sshd_config.d/b.conf", "MaxAuthTries 2", "etc/ssh/sshd_config.d/a.conf", "MaxAuthTries 1"}, "1"},
		{"a pattern without files is nothing", "Include /etc/none/*.conf\nMaxAuthTries 9", nil, "9"},
		{"a file included in a block that holds belongs to it", "MaxAuthTries 9\nMatch User alice\nInclude x",
			[]string{"etc/ssh/x", "MaxAuthTries 1"}, "1"},
		{"a file included in a block that does not hold is ignored", "MaxAuthTries 9\nMatch User bob\nInclude x",
			[]string{"etc/ssh/x", "MaxAuthTries 1\nMatch User alice\nMaxAuthTries 2\nMatch all\nMaxAuthTries 3"}, "9"},
		{"a Match in an included file ends with it", "Include x\nMaxAuthTries 9",
			[]string{"etc/ssh/x", "Match User bob\nMaxAuthTries 1"}, "9"},
		{"a Match in an included file holds within it", "Include x\nMaxAuthTries 9",
			[]string{"etc/ssh/x", "Match User alice\nMaxAuthTries 1"}, "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := load(t, tt.text, tt.more...).Settings(alice)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.First("maxauthtries"); got != tt.want {
				t.Errorf("maxauthtries = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown keyword", "Nonsense yes", "line 1: Bad configuration option: Nonsense"},
		{"a keyword without a value", "\nPort", `line 2: no argument after keyword "Port"`},
		{"a value that is not one of the choices", "StrictModes maybe", `unsupported option "maybe"`},
		{"an open quote", `AuthorizedKeysFile "a`, "invalid quotes"},
		{"two values where one belongs", "Port 1 2", "extra arguments at end of line"},
		{"a port out of range", "Port 70000", "badly formatted port number"},
		{"a global keyword in a Match block", "Match User bob\nPort 22", "Directive 'port' is not allowed within a Match block"},
		{"an unknown condition", "Match Shoe 42", "Unsupported Match attribute shoe"},
		{"a condition without a value", "Match User", "Missing Match criteria for User"},
		{"a network with bits below its mask", "Match Address 10.0.0.1/8", "invalid address argument"},
		{"an unknown algorithm", "PubkeyAcceptedAlgorithms ssh-dance", "Bad key types 'ssh-dance'."},
		{"a key command without a user", "AuthorizedKeysCommand /bin/x", "AuthorizedKeysCommand set without AuthorizedKeysCommandUser"},
		{"a key command with a relative path", "AuthorizedKeysCommand x", "must be an absolute path"},
		{"a file that includes itself", "Include sshd_config", "Too many recursive configuration includes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := tryLoad(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v, want an error with %q", err, tt.want)
			}
		})
	}
	t.Run("all mistakes of a file at once", func(t *testing.T) {
		t.Parallel()
		_, err := tryLoad("One 1\nTwo 2\nPort x")
		for _, want := range []string{"One", "Two", "port number"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Load = %v, want an error with %q", err, want)
			}
		}
	})
}

func TestMatchLocalPortNeedsALocalPort(t *testing.T) {
	t.Parallel()
	c := load(t, "Match LocalPort 22\nMaxAuthTries 1")
	if _, err := c.Settings(sshdconf.Connection{User: "alice"}); err == nil {
		t.Error("Settings without a local port succeeded")
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       string // "" means admitted
	}{
		{"nothing set admits everybody", "", ""},
		{"a listed user", "AllowUsers bob alice", ""},
		{"a user who is not listed", "AllowUsers bob", "not listed in AllowUsers"},
		{"a user at the right address", "AllowUsers alice@10.0.0.0/8", ""},
		{"a user at the wrong address", "AllowUsers alice@192.168.0.0/16", "not listed in AllowUsers"},
		{"a user at the right name", "AllowUsers alice@*.example", ""},
		{"a denied user who is allowed as well", "AllowUsers alice\nDenyUsers a*", "listed in DenyUsers"},
		{"a user in a listed group", "AllowGroups adm wheel", ""},
		{"a user in no listed group", "AllowGroups adm", "none of the groups is listed in AllowGroups"},
		{"a user in a denied group", "DenyGroups wheel", "a group is listed in DenyGroups"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := load(t, tt.text).Settings(alice)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := s.Admit(alice); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Admit = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestConnectionReadsTheArgumentOfC(t *testing.T) {
	t.Parallel()
	var got sshdconf.Connection
	if err := got.Add("user=alice,host=client.example,addr=10.1.2.3"); err != nil {
		t.Fatal(err)
	}
	if err := got.Add("laddr=127.0.0.1,lport=22,rdomain=x"); err != nil {
		t.Fatal(err)
	}
	want := alice
	want.Groups = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("connection (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"usr=alice", "lport=x", ""} {
		if err := new(sshdconf.Connection).Add(bad); err == nil {
			t.Errorf("Add(%q) succeeded", bad)
		}
	}
}

func TestTextMapsFileNames(t *testing.T) {
	t.Parallel()
	s, err := load(t, "AuthorizedKeysFile .ssh/a /etc/keys/%u none\nRevokedKeys /etc/revoked").Settings(alice)
	if err != nil {
		t.Fatal(err)
	}
	text := s.Text(func(p string) string { return "/lab" + p })
	for _, want := range []string{
		"authorizedkeysfile .ssh/a /lab/etc/keys/%u none\n",
		"revokedkeys /lab/etc/revoked\n",
		"trustedusercakeys none\n",
		"authenticationmethods any\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in:\n%s", want, text)
		}
	}
}

func TestMatchHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, patterns string
		want           bool
	}{
		{"a network", "10.0.0.0/8", true},
		{"a name", "client.*", true},
		{"another network", "192.168.0.0/16,172.16.0.0/12", false},
		{"a network but not this name", "10.0.0.0/8,!client.example", false},
		{"everybody but this address", "*,!10.1.2.3", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := sshdconf.MatchHost("client.example", "10.1.2.3", tt.patterns)
			if err != nil || got != tt.want {
				t.Errorf("MatchHost(%q) = %v, %v, want %v", tt.patterns, got, err, tt.want)
			}
		})
	}
}
