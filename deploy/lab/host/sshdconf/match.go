package sshdconf

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Connection is what Match conditions and access lists are compared with. An
// empty field is unknown: no condition on it matches.
type Connection struct {
	User         string
	Groups       []string // names of the groups the user is in; none for an unknown user
	Host         string   // the client's name; its address when sshd looks up no names
	Address      string   // the client's address
	LocalAddress string
	LocalPort    int // 0: unknown, which is an error where Match LocalPort stands
}

// Add reads one argument of -C, as "user=alice,addr=127.0.0.1".
func (c *Connection) Add(spec string) error {
	for part := range strings.SplitSeq(spec, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "user":
			c.User = value
		case "host":
			c.Host = value
		case "addr":
			c.Address = value
		case "laddr":
			c.LocalAddress = value
		case "lport":
			p, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return errors.New("Invalid port '" + value + "' in test mode specification " + part)
			}
			c.LocalPort = int(p)
		case "rdomain":
		default:
			return errors.New("Invalid test mode specification " + part)
		}
	}
	return nil
}

// conditionWords splits the conditions of a Match line; "user=x" is "user x".
func conditionWords(s string) []string {
	var all []string
	for s != "" {
		var w string
		w, s = firstWord(s)
		if strings.HasPrefix(w, "#") {
			break
		}
		all = append(all, w)
	}
	return all
}

// conditions reports whether all conditions of a Match line hold. Without a
// connection it checks the line only, and nothing but "all" matches.
func conditions(args []string, conn *Connection) (bool, error) {
	if len(args) == 0 {
		return false, errors.New("one or more attributes required for Match")
	}
	if strings.EqualFold(args[0], "all") {
		if len(args) > 1 {
			return false, errors.New("'all' cannot be combined with other Match attributes")
		}
		return true, nil
	}
	holds := true
	for i := 0; i < len(args); i += 2 {
		attribute := strings.ToLower(args[i])
		if attribute == "all" {
			return false, errors.New("'all' cannot be combined with other Match attributes")
		}
		if i+1 == len(args) || args[i+1] == "" {
			return false, errors.New("Missing Match criteria for " + args[i])
		}
		ok, err := condition(attribute, args[i+1], conn)
		if err != nil {
			return false, err
		}
		holds = holds && ok
	}
	return holds, nil
}

func condition(attribute, arg string, conn *Connection) (bool, error) {
	c := Connection{}
	if conn != nil {
		c = *conn
	}
	switch attribute {
	case "user":
		return c.User != "" && matchList(c.User, arg) == positive, nil
	case "group":
		return matchGroups(c.Groups, arg), nil
	case "host":
		return c.Host != "" && matchHostName(c.Host, arg) == positive, nil
	case "address":
		return matchAddressOrFail(c.Address, arg)
	case "localaddress":
		return matchAddressOrFail(c.LocalAddress, arg)
	case "localport":
		p, err := strconv.ParseUint(arg, 10, 16)
		switch {
		case err != nil:
			return false, errors.New("Invalid LocalPort '" + arg + "' on Match line")
		case conn != nil && conn.LocalPort == 0:
			return false, errors.New("'Match LocalPort' in configuration but 'lport' not in connection test specification")
		}
		return conn != nil && int(p) == conn.LocalPort, nil
	case "rdomain":
		return false, nil
	}
	return false, errors.New("Unsupported Match attribute " + attribute)
}

// outcome of comparing with a list in which "!" negates a pattern.
type outcome int

const (
	negative outcome = iota - 1
	nothing
	positive
)

// matchPattern compares with one pattern of ? and *.
func matchPattern(s, pattern string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, mark = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}

// matchList compares with patterns separated by commas; a negated one that
// matches outweighs all others.
func matchList(s, patterns string) outcome {
	found := nothing
	for pattern := range strings.SplitSeq(patterns, ",") {
		negated := strings.HasPrefix(pattern, "!")
		if !matchPattern(s, strings.TrimPrefix(pattern, "!")) {
			continue
		}
		if negated {
			return negative
		}
		found = positive
	}
	return found
}

func matchHostName(host, patterns string) outcome {
	return matchList(strings.ToLower(host), strings.ToLower(patterns))
}

// matchGroups reports whether a group matches and none is excluded.
func matchGroups(groups []string, patterns string) bool {
	found := false
	for _, g := range groups {
		switch matchList(g, patterns) {
		case negative:
			return false
		case positive:
			found = true
		}
	}
	return found
}

var errAddress = errors.New("invalid address argument")

// matchAddress compares an address with networks as 10.0.0.0/8 and, for what
// is not an address, with patterns. An empty address only checks the list.
func matchAddress(address, list string) (outcome, error) {
	addr, err := netip.ParseAddr(address)
	if address != "" && err != nil {
		return nothing, nil
	}
	addr = addr.Unmap()
	found := nothing
	for entry := range strings.SplitSeq(list, ",") {
		negated := strings.HasPrefix(entry, "!")
		entry = strings.TrimPrefix(entry, "!")
		if entry == "" {
			return nothing, errAddress
		}
		matched := false
		if network, isNetwork, err := parseNetwork(entry); err != nil {
			return nothing, err
		} else if isNetwork {
			matched = address != "" && network.Contains(addr)
		} else {
			matched = address != "" && matchPattern(address, entry)
		}
		switch {
		case matched && negated:
			return negative, nil
		case matched:
			found = positive
		}
	}
	return found, nil
}

// parseNetwork reads an address or a network. A network whose address has bits
// below its mask is an error; what is neither is a pattern.
func parseNetwork(s string) (p netip.Prefix, ok bool, err error) {
	host, _, masked := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}, false, nil
	}
	if !masked {
		return netip.PrefixFrom(addr, addr.BitLen()), true, nil
	}
	p, err = netip.ParsePrefix(s)
	if err != nil || p.Masked() != p {
		return netip.Prefix{}, false, errAddress
	}
	return p, true, nil
}

func matchAddressOrFail(address, list string) (bool, error) {
	found, err := matchAddress(address, list)
	return found == positive, err
}

// MatchHost compares a client's name and address with a list, as the option
// from= of a key and the part of AllowUsers after the @ do.
func MatchHost(host, address, patterns string) (bool, error) {
	byAddress, err := matchAddress(address, patterns)
	if err != nil {
		return false, err
	}
	byName := matchHostName(host, patterns)
	if byAddress == negative || byName == negative {
		return false, nil
	}
	return byAddress == positive || byName == positive, nil
}

// matchUser compares with USER or USER@HOST.
func matchUser(c Connection, pattern string) (bool, error) {
	i := strings.LastIndexByte(pattern, '@')
	if i < 0 {
		return matchPattern(c.User, pattern), nil
	}
	if !matchPattern(c.User, pattern[:i]) {
		return false, nil
	}
	return MatchHost(c.Host, c.Address, pattern[i+1:])
}

// validUser checks the host part of a user pattern.
func validUser(pattern string) bool {
	i := strings.LastIndexByte(pattern, '@')
	if i < 0 {
		return true
	}
	_, err := matchAddress("", pattern[i+1:])
	return err == nil
}
