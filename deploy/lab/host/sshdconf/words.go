package sshdconf

import "strings"

// firstWord cuts the keyword off a line. It ends at white space or at one "=",
// as strdelim has it; a keyword in quotes is legal too.
func firstWord(s string) (word, rest string) {
	if strings.HasPrefix(s, `"`) {
		word, rest, _ = strings.Cut(s[1:], `"`)
		return word, strings.TrimLeft(rest, " \t")
	}
	i := strings.IndexAny(s, " \t\r=")
	if i < 0 {
		return s, ""
	}
	word, rest = s[:i], strings.TrimLeft(s[i+1:], " \t\r")
	if s[i] != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], " \t\r")
	}
	return word, rest
}

// split breaks the arguments of a line at white space, up to a comment. Both
// kinds of quotes hold words together; a backslash takes the meaning from a
// quote, a backslash and, outside quotes, a space. It reports an open quote.
func split(s string) (words []string, ok bool) {
	for i := 0; i < len(s); {
		switch s[i] {
		case ' ', '\t':
			i++
			continue
		case '#':
			return words, true
		}
		var word []byte
		var quote byte
		for ; i < len(s); i++ {
			c := s[i]
			switch {
			case c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				word = append(word, s[i])
				continue
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				continue
			case quote != 0 && c == quote:
				quote = 0
				continue
			}
			if quote == 0 && (c == ' ' || c == '\t') {
				break
			}
			word = append(word, c)
		}
		if quote != 0 {
			return nil, false
		}
		words = append(words, string(word))
	}
	return words, true
}

// absolute resolves a file name of the configuration: below dir if relative,
// below root's home after "~/".
func absolute(name, dir string) string {
	switch {
	case strings.HasPrefix(name, "/"):
		return name
	case strings.HasPrefix(name, "~/"):
		return "/root" + name[1:]
	default:
		return strings.TrimSuffix(dir, "/") + "/" + name
	}
}

// hostPort splits "host:port" and "[host]:port"; a bare IPv6 address has no port.
func hostPort(s string) (host, port string, given bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") || (s[0] != '[' && strings.IndexByte(s, ':') != i) {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
