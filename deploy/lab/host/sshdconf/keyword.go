package sshdconf

import (
	"errors"
	"strconv"
	"strings"
)

// kind says how the arguments of a keyword are read.
type kind int

const (
	unread     kind = iota // accepted, never printed
	word                   // one word
	text                   // the rest of the line, quotes and comments included
	command                // the rest of the line: an absolute path or none
	choice                 // one of the words of value
	number                 // an integer
	seconds                // a time as 1h30m, printed in seconds
	file                   // the name of a file
	files                  // names of files, on one line
	words                  // several words on one line
	each                   // several words, printed one a line
	users                  // several user patterns, printed one a line
	methods                // lists of authentication methods
	algorithms             // a list of algorithms, or a change of the default
	port
	address
	subsystem
	include
	match
)

// keyword is one row of the table of keywords.
type keyword struct {
	name  string
	kind  kind
	flags flags
	value string // the default, as printed, and for a choice the other words
}

// flags of a keyword.
type flags int

const (
	inMatch flags = 1 << iota // allowed in a Match block
	adds                      // repeated lines add up; otherwise the first wins
	clears                    // the word none, or any, unsets it
)

func (k *keyword) is(f flags) bool { return k.flags&f != 0 }

const yesNo, noYes = "yes no", "no yes"

// keywords are in the order in which sshd -T prints them. The value of a
// choice lists its words, the default first; "a=b" reads a and prints b.
var keywords = [...]keyword{
	{"port", port, adds, ""},
	{"addressfamily", choice, 0, "any inet inet6"},
	{"listenaddress", address, adds, ""},
	{"usepam", choice, 0, noYes},
	{"logingracetime", seconds, 0, "120"},
	{"x11displayoffset", number, inMatch, "10"},
	{"maxauthtries", number, inMatch, "6"},
	{"maxsessions", number, inMatch, "10"},
	{"clientaliveinterval", seconds, inMatch, "0"},
	{"clientalivecountmax", number, inMatch, "3"},
	{"requiredrsasize", number, inMatch, "1024"},
	{"permitrootlogin", choice, inMatch, "without-password prohibit-password=without-password forced-commands-only yes no"},
	{"ignorerhosts", choice, inMatch, "yes no shosts-only"},
	{"ignoreuserknownhosts", choice, 0, noYes},
	{"hostbasedauthentication", choice, inMatch, noYes},
	{"hostbasedusesnamefrompacketonly", choice, inMatch, noYes},
	{"pubkeyauthentication", choice, inMatch, yesNo},
	{"passwordauthentication", choice, inMatch, yesNo},
	{"kbdinteractiveauthentication", choice, inMatch, yesNo},
	{"printmotd", choice, 0, yesNo},
	{"printlastlog", choice, 0, yesNo},
	{"x11forwarding", choice, inMatch, noYes},
	{"x11uselocalhost", choice, inMatch, yesNo},
	{"permittty", choice, inMatch, yesNo},
	{"permituserrc", choice, inMatch, yesNo},
	{"strictmodes", choice, 0, yesNo},
	{"tcpkeepalive", choice, 0, yesNo},
	{"permitemptypasswords", choice, inMatch, noYes},
	{"compression", choice, 0, "yes delayed=yes no"},
	{"gatewayports", choice, inMatch, "no yes clientspecified"},
	{"usedns", choice, 0, noYes},
	{"allowtcpforwarding", choice, inMatch, "yes all=yes no remote local"},
	{"allowagentforwarding", choice, inMatch, yesNo},
	{"disableforwarding", choice, inMatch, noYes},
	{"allowstreamlocalforwarding", choice, inMatch, "yes all=yes no remote local"},
	{"streamlocalbindunlink", choice, inMatch, noYes},
	{"fingerprinthash", choice, 0, "SHA256 MD5"},
	{"exposeauthinfo", choice, inMatch, noYes},
	{"pidfile", file, clears, "/run/sshd.pid"},
	{"banner", file, inMatch | clears, "none"},
	{"forcecommand", text, inMatch | clears, "none"},
	{"chrootdirectory", word, inMatch | clears, "none"},
	{"trustedusercakeys", file, inMatch | clears, "none"},
	{"revokedkeys", file, inMatch | clears, "none"},
	{"authorizedprincipalsfile", file, inMatch | clears, "none"},
	{"versionaddendum", text, clears, "none"},
	{"authorizedkeyscommand", command, inMatch | clears, "none"},
	{"authorizedkeyscommanduser", word, inMatch, "none"},
	{"authorizedprincipalscommand", command, inMatch | clears, "none"},
	{"authorizedprincipalscommanduser", word, inMatch, "none"},
	{"hostkeyagent", file, clears, "none"},
	{"casignaturealgorithms", algorithms, inMatch, signing},
	{"hostbasedacceptedalgorithms", algorithms, inMatch, accepted},
	{"hostkeyalgorithms", algorithms, 0, accepted},
	{"pubkeyacceptedalgorithms", algorithms, inMatch, accepted},
	{"loglevel", choice, inMatch, "INFO QUIET FATAL ERROR VERBOSE DEBUG=DEBUG1 DEBUG1 DEBUG2 DEBUG3"},
	{"syslogfacility", choice, 0, "AUTH DAEMON USER AUTHPRIV LOCAL0 LOCAL1 LOCAL2 LOCAL3 LOCAL4 LOCAL5 LOCAL6 LOCAL7"},
	{"authorizedkeysfile", files, inMatch, ".ssh/authorized_keys .ssh/authorized_keys2"},
	{"hostkey", file, adds, "/etc/ssh/ssh_host_rsa_key /etc/ssh/ssh_host_ecdsa_key /etc/ssh/ssh_host_ed25519_key"},
	{"hostcertificate", file, adds, ""},
	{"allowusers", users, inMatch | adds, ""},
	{"denyusers", users, inMatch | adds, ""},
	{"allowgroups", each, inMatch | adds, ""},
	{"denygroups", each, inMatch | adds, ""},
	{"acceptenv", each, inMatch | adds, ""},
	{"setenv", each, inMatch, ""},
	{"authenticationmethods", methods, inMatch | clears, "any"},
	{"subsystem", subsystem, adds, ""},
	{"permittunnel", choice, inMatch, "no yes point-to-point ethernet"},
	{"permitopen", words, inMatch, "any"},
	{"permitlisten", words, inMatch, "any"},
	{"permituserenvironment", word, 0, "no"},

	{"include", include, inMatch, ""},
	{"match", match, inMatch, ""},
	{"ciphers", unread, 0, ""},
	{"macs", unread, 0, ""},
	{"kexalgorithms", unread, 0, ""},
	{"ipqos", unread, inMatch, ""},
	{"rekeylimit", unread, inMatch, ""},
	{"maxstartups", unread, 0, ""},
	{"persourcemaxstartups", unread, 0, ""},
	{"persourcenetblocksize", unread, 0, ""},
	{"persourcepenalties", unread, 0, ""},
	{"persourcepenaltyexemptlist", unread, 0, ""},
	{"modulifile", unread, 0, ""},
	{"xauthlocation", unread, 0, ""},
	{"securitykeyprovider", unread, 0, ""},
	{"streamlocalbindmask", unread, inMatch, ""},
	{"channeltimeout", unread, inMatch, ""},
	{"unusedconnectiontimeout", unread, inMatch, ""},
	{"logverbose", unread, inMatch, ""},
	{"pubkeyauthoptions", unread, inMatch, ""},
	{"rdomain", unread, inMatch, ""},
	{"debianbanner", unread, 0, ""},
	{"gssapiauthentication", unread, inMatch, ""},
	{"gssapicleanupcredentials", unread, 0, ""},
	{"gssapistrictacceptorcheck", unread, 0, ""},
	{"gssapikeyexchange", unread, 0, ""},
	{"gssapistorecredentialsonrekey", unread, 0, ""},
	{"gssapikexalgorithms", unread, 0, ""},
	{"kerberosauthentication", unread, inMatch, ""},
	{"kerberosorlocalpasswd", unread, 0, ""},
	{"kerberosticketcleanup", unread, 0, ""},
	{"kerberosgetafstoken", unread, 0, ""},
	{"protocol", unread, 0, ""},
	{"serverkeybits", unread, 0, ""},
	{"keyregenerationinterval", unread, 0, ""},
	{"rhostsrsaauthentication", unread, inMatch, ""},
	{"rsaauthentication", unread, inMatch, ""},
	{"useprivilegeseparation", unread, 0, ""},
	{"uselogin", unread, 0, ""},
}

// find returns the row of a keyword, old spellings included, or -1.
func find(name string) int {
	name = strings.ToLower(name)
	switch name {
	case "hostdsakey":
		name = "hostkey"
	case "hostbasedacceptedkeytypes":
		name = "hostbasedacceptedalgorithms"
	case "pubkeyacceptedkeytypes":
		name = "pubkeyacceptedalgorithms"
	case "dsaauthentication":
		name = "pubkeyauthentication"
	case "challengeresponseauthentication", "skeyauthentication":
		name = "kbdinteractiveauthentication"
	case "keepalive":
		name = "tcpkeepalive"
	}
	for i := range keywords {
		if keywords[i].name == name {
			return i
		}
	}
	return -1
}

// none is the word that unsets the keyword.
func (k *keyword) none() string {
	if k.kind == methods {
		return "any"
	}
	return "none"
}

// defaults returns the values of a keyword that no line sets.
func (k *keyword) defaults() []string {
	switch {
	case k.value == "" || k.is(clears) && k.value == k.none() || k.kind == word && k.value == "none":
		return nil
	case k.kind == choice:
		first, _, _ := strings.Cut(k.value, " ")
		return []string{first}
	case k.kind == algorithms:
		return []string{k.value}
	default:
		return strings.Fields(k.value)
	}
}

var (
	errMissing = errors.New("missing argument")
	errExtra   = errors.New("extra arguments at end of line")
)

// read checks the arguments of one line and puts them into the form in which
// sshd prints them. rest is the unsplit text.
func (k *keyword) read(args []string, rest string) ([]string, error) {
	switch k.kind {
	case unread:
		return []string{rest}, nil
	case match:
		return conditionWords(rest), nil
	case text:
		return []string{rest}, nil
	case command:
		if rest[0] != '/' && !strings.EqualFold(rest, "none") {
			return nil, errors.New("must be an absolute path")
		}
		return []string{rest}, nil
	}
	if len(args) == 0 || args[0] == "" {
		return nil, errMissing
	}
	switch k.kind {
	case files, words, each, users, methods, subsystem:
		return k.readMany(args)
	}
	if len(args) > 1 {
		return nil, errExtra
	}
	value, err := k.readOne(args[0])
	return []string{value}, err
}

func (k *keyword) readOne(arg string) (string, error) {
	switch k.kind {
	case choice:
		for c := range strings.SplitSeq(k.value, " ") {
			read, printed, alias := strings.Cut(c, "=")
			if strings.EqualFold(arg, read) {
				if alias {
					return printed, nil
				}
				return read, nil
			}
		}
		return "", errors.New(`unsupported option "` + arg + `"`)
	case number:
		n, err := strconv.ParseInt(arg, 10, 32)
		if err != nil || n < 0 {
			return "", errors.New("integer value invalid")
		}
		return strconv.FormatInt(n, 10), nil
	case seconds:
		n, ok := parseSeconds(arg)
		if !ok {
			return "", errors.New("invalid time value")
		}
		return strconv.Itoa(n), nil
	case port:
		return readPort(arg)
	case address:
		return readAddress(arg)
	case file:
		if strings.EqualFold(arg, "none") {
			return "none", nil
		}
		return absolute(arg, "/"), nil
	case algorithms:
		if !knownAlgorithms(arg) {
			return "", errors.New("Bad key types '" + arg + "'.")
		}
		return arg, nil
	}
	return arg, nil
}

func (k *keyword) readMany(args []string) ([]string, error) {
	for i, arg := range args {
		switch {
		case arg == "":
			return nil, errors.New("empty argument")
		case k.kind == files && strings.HasPrefix(arg, "~/"):
			args[i] = absolute(arg, "/")
		case k.kind == users && !validUser(arg):
			return nil, errors.New(`invalid pattern: "` + arg + `"`)
		case k.kind == methods && arg == "any" && len(args) > 1:
			return nil, errors.New(`"any" must appear alone`)
		}
	}
	if k.kind == subsystem {
		if len(args) < 2 {
			return nil, errors.New("missing subsystem command")
		}
		return []string{strings.Join(args, " ")}, nil
	}
	return args, nil
}

func readPort(arg string) (string, error) {
	n, err := strconv.ParseUint(arg, 10, 16)
	if err != nil || n == 0 {
		return "", errors.New("badly formatted port number")
	}
	return strconv.FormatUint(n, 10), nil
}

// readAddress returns the address with IPv6 in brackets.
func readAddress(arg string) (string, error) {
	host, p, given := hostPort(arg)
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" {
		return "", errors.New("bad address:port usage")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if !given {
		return host, nil
	}
	p, err := readPort(p)
	return host + ":" + p, err
}

// parseSeconds reads a time as "90", "1h30m" or "1w".
func parseSeconds(s string) (total int, ok bool) {
	const maxSeconds = 1<<31 - 1
	for s != "" {
		i := 0
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		n, err := strconv.ParseInt(s[:i], 10, 32)
		if err != nil {
			return 0, false
		}
		unit := 1
		if i < len(s) {
			switch s[i] | 0x20 {
			case 's':
			case 'm':
				unit = 60
			case 'h':
				unit = 60 * 60
			case 'd':
				unit = 24 * 60 * 60
			case 'w':
				unit = 7 * 24 * 60 * 60
			default:
				return 0, false
			}
			i++
		}
		total += int(n) * unit
		if total > maxSeconds {
			return 0, false
		}
		s = s[i:]
	}
	return total, true
}
